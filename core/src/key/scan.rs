//! Scans of stored cells, in the order of the record ids.

use crate::{
    catalog::cell_columns,
    census::cells_after,
    crypto::cell,
    id::{KeyVersion, RecordId},
    key::unreadable::SetAside,
    store::{Condition, Reader, Unavailable},
};

/// Scans all stored headers. Returns whether all cells of other versions than `target` are set aside.
pub(super) async fn all_set_aside(
    store: &dyn Reader,
    target: KeyVersion,
    aside: &SetAside,
) -> Result<bool, Unavailable> {
    for (table, column) in cell_columns(store).await? {
        let mut after = None;
        loop {
            let page = select_cells(store, &table, &column, target, after, SCAN_PAGE_CELLS).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            if page.iter().any(|(id, cell)| !aside.holds(&table, &column, *id, cell)) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

const SCAN_PAGE_CELLS: u32 = 1_024;

/// Reads cells of other versions than `target`, in the order of the record ids.
pub(crate) async fn select_cells(
    store: &dyn Reader,
    table: &str,
    column: &str,
    target: KeyVersion,
    after: Option<RecordId>,
    limit: u32,
) -> Result<Vec<(RecordId, Vec<u8>)>, Unavailable> {
    cells_after(store, table, column, after, others(column, target), limit).await
}

/// Returns the format of a cell that a newer version sealed; `None` if there is no such cell.
pub(super) async fn newer_cell(store: &dyn Reader) -> Result<Option<u8>, Unavailable> {
    for (table, column) in cell_columns(store).await? {
        let other_format = Condition::HeaderDiffers { column: column.clone().into(), header: vec![cell::FORMAT] };
        let mut after = None;
        loop {
            let page = cells_after(store, &table, &column, after, other_format.clone(), SCAN_PAGE_CELLS).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            if let Some(format) = page.iter().find_map(|(_, cell)| cell::newer_format(cell)) {
                return Ok(Some(format));
            }
        }
    }
    Ok(None)
}

pub(crate) fn others(column: &str, target: KeyVersion) -> Condition {
    Condition::HeaderDiffers { column: column.to_owned().into(), header: cell::header(target).to_vec() }
}
