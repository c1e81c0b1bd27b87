//! Scans of stored cells, in the order of their records' ids.

use crate::{
    catalog::cell_columns,
    crypto::cell,
    id::{KeyVersion, RecordId},
    key::unreadable::Aside,
    store::{Condition, Datum, Direction, Reader, Select, Unavailable},
};

/// The full scan of the stored headers: whether every cell of another version than `target` is one of those that are set aside.
pub(super) async fn all_aside(store: &dyn Reader, target: KeyVersion, aside: &Aside) -> Result<bool, Unavailable> {
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

/// Cells of another version than `target`, in the order of their records' ids.
pub(crate) async fn select_cells(
    store: &dyn Reader,
    table: &str,
    column: &str,
    target: KeyVersion,
    after: Option<RecordId>,
    limit: u32,
) -> Result<Vec<(RecordId, Vec<u8>)>, Unavailable> {
    select_where(store, table, column, others(column, target), after, limit).await
}

/// Cells that meet a condition, in the order of their records' ids.
async fn select_where(
    store: &dyn Reader,
    table: &str,
    column: &str,
    mut condition: Condition,
    after: Option<RecordId>,
    limit: u32,
) -> Result<Vec<(RecordId, Vec<u8>)>, Unavailable> {
    if let Some(after) = after {
        condition = Condition::greater("id", Datum::Uuid(after.uuid())).and(condition);
    }
    let select = Select {
        table: table.to_owned().into(),
        columns: vec!["id".into(), column.to_owned().into()],
        rows: condition,
        order: vec![("id".into(), Direction::Ascending)],
        limit,
    };
    store
        .select(select)
        .await?
        .into_iter()
        .map(|row| match <[Datum; 2]>::try_from(row) {
            Ok([Datum::Uuid(id), Datum::Bytes(cell)]) => Ok((RecordId::from_uuid(id), cell)),
            Ok(_) | Err(_) => Err(Unavailable("malformed value in a column of cells".into())),
        })
        .collect()
}

/// The format of a cell that a newer version sealed; `None` if there is no such cell.
pub(super) async fn newer_cell(store: &dyn Reader) -> Result<Option<u8>, Unavailable> {
    for (table, column) in cell_columns(store).await? {
        let other_format = Condition::HeaderDiffers { column: column.clone().into(), header: vec![cell::FORMAT] };
        let mut after = None;
        loop {
            let page = select_where(store, &table, &column, other_format.clone(), after, SCAN_PAGE_CELLS).await?;
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
