//! Pages of rows: the start of a page, its rows, and the token of the next page.
//!
//! The next page begins after the keys of the last row, even if that row has moved or is gone. A row that doesn't
//! change is therefore on exactly one page, even if other rows are added, deleted or moved between two pages. A page
//! ends before it exceeds the maximum size of a message, but has at least one row. It also ends when the store has
//! searched for its time: then it may be empty, and the next page begins after the last row that was examined. This file
//! doesn't know the meaning of rows.

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    crypto::root_key::{RootKey, RootKeyError},
    list::page_token::{self, PageContext},
    order::Order,
    store::{
        Cause, Condition, DatumRef, Name, Reader, Row, RowSink, Scan, ScanEnd, ScanError, Select, Unavailable,
        row_bytes,
    },
};

/// A request for a page of a table.
pub(crate) struct Listing<'a> {
    /// The table.
    pub(crate) table: Name,
    /// The columns, in this order.
    pub(crate) columns: Vec<Name>,
    /// The condition.
    pub(crate) rows: Condition,
    /// The order, which is total.
    pub(crate) order: &'a Order,
    /// The context that the token is bound to.
    pub(crate) context: &'a PageContext<'a>,
    /// The token from the previous page; empty for the first page.
    pub(crate) token: &'a str,
    /// Maximum number of rows, at least 1.
    pub(crate) size: u32,
}

/// Takes the rows of a page.
pub(crate) trait PageRows: Send + 'static {
    /// Takes a row of the listing's columns. Returns whether it fits into the page. The first row always does.
    ///
    /// # Errors
    /// If the row is malformed.
    fn add(&mut self, row: &[DatumRef<'_>]) -> Result<bool, Unavailable>;

    /// Drops all rows.
    fn clear(&mut self);
}

/// Why the page can't be returned.
#[derive(Debug, thiserror::Error)]
pub enum ListingError {
    /// The page token was issued for another list or another caller, or isn't a token.
    #[error("the page token is invalid")]
    PageToken,
    /// The list exceeded the time limit of a scan.
    #[error("the list took longer than {limit_ms} ms")]
    TooLong {
        /// The time limit.
        limit_ms: u64,
    },
    /// A database or the root key is unavailable.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<RootKeyError> for ListingError {
    fn from(error: RootKeyError) -> Self {
        ListingError::Unavailable(Unavailable(Cause(Box::new(error))))
    }
}

impl From<ScanError> for ListingError {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::TooLong { limit_ms } => ListingError::TooLong { limit_ms },
            ScanError::Unavailable(error) => ListingError::Unavailable(error),
        }
    }
}

/// Passes the rows of the page to `rows`, and returns it with the token of the next page, which is empty after the last
/// page.
pub(crate) async fn page<R: PageRows>(
    root_key: &dyn RootKey,
    store: &dyn Reader,
    request: Listing<'_>,
    rows: R,
) -> Result<(R, String), ListingError> {
    let Listing { table, mut columns, rows: condition, order, context, token, size } = request;
    // Rows in the order of the id are found by the key of the table.
    let is_short = size <= SHORT_ROWS && condition == Condition::EVERYTHING && order.is_by_id();
    let condition = if token.is_empty() {
        condition
    } else {
        let cursor = page_token::cursor(root_key, context, token)?.ok_or(ListingError::PageToken)?;
        condition.and(order.after(&cursor).ok_or(ListingError::PageToken)?)
    };
    let width = columns.len();
    let keys = order.columns().map(|key| position_of(key, &mut columns)).collect();
    // One extra row shows whether there is a next page.
    let limit = size.saturating_add(1);
    let select = Select { table, columns, rows: condition, order: order.to_store(), limit };
    let sink = PageSink { rows: Some(rows), width, keys, size, taken: 0, cursor: Vec::new(), is_full: false };
    let sink = Arc::new(Mutex::new(sink));
    let end = store.scan_into(Scan { select, is_short }, Arc::clone(&sink) as Arc<Mutex<dyn RowSink>>).await?;
    let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
    if let ScanEnd::Cut(keys) = &end
        && !sink.is_full
    {
        sink.ends_after(keys.iter().map(DatumRef::from));
        sink.is_full = true;
    }
    let next_page_token =
        if sink.is_full { page_token::token(root_key, context, &sink.cursor)? } else { String::new() };
    let rows = sink.rows.take().ok_or_else(|| Unavailable("a page was read twice".into()))?;
    Ok((rows, next_page_token))
}

/// Returns the position of a column, which is added if it isn't among the columns.
fn position_of(column: Name, columns: &mut Vec<Name>) -> usize {
    let position = columns.iter().position(|other| *other == column);
    position.unwrap_or_else(|| {
        columns.push(column);
        columns.len().saturating_sub(1)
    })
}

/// The maximum size of a page that may be read on the calling thread: about a hundred microseconds.
const SHORT_ROWS: u32 = 128;

/// Takes rows until the page is full.
struct PageSink<R> {
    /// `None` after the scan.
    rows: Option<R>,
    /// The number of the listing's columns.
    width: usize,
    /// The positions of the order's columns.
    keys: Vec<usize>,
    size: u32,
    /// The number of rows in the page.
    taken: u32,
    /// The cursor after which the next page begins.
    cursor: Vec<u8>,
    /// Whether there are rows after the page.
    is_full: bool,
}

impl<R> PageSink<R> {
    /// Sets the keys after which the next page begins.
    fn ends_after<'a>(&mut self, keys: impl Iterator<Item = DatumRef<'a>>) {
        self.cursor.clear();
        Order::write_cursor(keys, &mut self.cursor);
    }
}

impl<R: PageRows> RowSink for PageSink<R> {
    fn take(&mut self, row: &[DatumRef<'_>]) -> Result<ControlFlow<()>, Unavailable> {
        let Some(rows) = &mut self.rows else { return Ok(ControlFlow::Break(())) };
        if self.taken >= self.size || !rows.add(row.get(..self.width).unwrap_or(row))? {
            self.is_full = true;
            return Ok(ControlFlow::Break(()));
        }
        self.taken = self.taken.saturating_add(1);
        self.cursor.clear();
        Order::write_cursor(self.keys.iter().filter_map(|key| row.get(*key).copied()), &mut self.cursor);
        Ok(ControlFlow::Continue(()))
    }

    fn clear(&mut self) {
        self.rows.iter_mut().for_each(R::clear);
        (self.taken, self.is_full) = (0, false);
        self.cursor.clear();
    }
}

/// Rows in memory, up to a size in bytes.
pub(crate) struct StoredRows {
    rows: Vec<Row>,
    bytes: usize,
    bytes_max: usize,
    /// The size of a row in the answer in bytes, in addition to its stored values and 8 bytes for each column.
    overhead_bytes: usize,
}

impl StoredRows {
    pub(crate) fn new(bytes_max: usize, overhead_bytes: usize) -> Self {
        StoredRows { rows: Vec::new(), bytes: 0, bytes_max, overhead_bytes }
    }

    pub(crate) fn into_rows(self) -> Vec<Row> {
        self.rows
    }
}

impl PageRows for StoredRows {
    fn add(&mut self, row: &[DatumRef<'_>]) -> Result<bool, Unavailable> {
        let bytes = row_bytes(row.iter().copied()).saturating_add(row.len().saturating_mul(8));
        self.bytes = self.bytes.saturating_add(bytes).saturating_add(self.overhead_bytes);
        let fits = self.rows.is_empty() || self.bytes <= self.bytes_max;
        if fits {
            self.rows.push(row.iter().map(|datum| (*datum).into()).collect());
        }
        Ok(fits)
    }

    fn clear(&mut self) {
        self.rows.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_has_the_rows_that_fit_and_at_least_one() {
        for (sizes, fit) in [(&[4, 6, 1][..], 2), (&[4, 7, 1], 1), (&[11, 1], 1), (&[10], 1), (&[3, 3, 3], 3)] {
            // A row has 8 bytes more than its value, and 2 bytes overhead.
            let mut rows = StoredRows::new(10 + 10 * fit, 2);
            let values = sizes.iter().map(|size| vec![0; *size]);
            let taken = values.take_while(|value| rows.add(&[DatumRef::Bytes(value)]).unwrap()).count();
            assert_eq!((taken, rows.into_rows().len()), (fit, fit), "{sizes:?}");
        }
    }
}
