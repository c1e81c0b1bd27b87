//! Scans of stored cells.

use crate::{
    cells::{CellWalk, PAGE_CELLS},
    crypto::cell,
    id::KeyVersion,
    key::unreadable::SetAside,
    store::{Reader, Unavailable},
};

/// Scans all stored headers. Returns whether all cells of other versions than `target` are set aside.
pub(super) async fn all_set_aside(
    store: &dyn Reader,
    target: KeyVersion,
    aside: &SetAside,
) -> Result<bool, Unavailable> {
    let mut walk = CellWalk::over_others(store, target).await?;
    while let Some(page) = walk.next(store, PAGE_CELLS).await? {
        if page.cells.iter().any(|cell| !aside.holds(&page.column, cell)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns the format of a cell that a newer version sealed; `None` if there is no such cell.
pub(super) async fn newer_cell(store: &dyn Reader) -> Result<Option<u8>, Unavailable> {
    let mut walk = CellWalk::over_other_formats(store).await?;
    while let Some(page) = walk.next(store, PAGE_CELLS).await? {
        if let Some(format) = page.cells.iter().find_map(|cell| cell::newer_format(&cell.bytes)) {
            return Ok(Some(format));
        }
    }
    Ok(None)
}
