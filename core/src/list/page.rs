//! Pages of rows: the start of a page, its rows, and the token of the next page.
//!
//! The next page begins after the keys of the last row, even if that row has moved or is gone. A row that doesn't
//! change is therefore on exactly one page, even if other rows are added, deleted or moved between two pages. A page
//! ends before it exceeds the maximum size of a message, but has at least one row. This file doesn't know the meaning
//! of rows.

use crate::{
    crypto::root_key::{RootKey, RootKeyError},
    list::page_token::{self, PageContext},
    order::Order,
    store::{Cause, Condition, Datum, Name, Reader, Row, ScanError, Scanned, Select, Unavailable},
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
    /// Maximum size in bytes, as `weight` computes it. A single row may be larger.
    pub(crate) bytes_max: usize,
    /// Returns the maximum size of a row in the response, in bytes.
    pub(crate) weight: &'a (dyn Fn(&[Datum]) -> usize + Sync),
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

/// Returns the rows of the page, and the token of the next page, which is empty after the last page.
pub(crate) async fn page(
    root_key: &dyn RootKey,
    store: &dyn Reader,
    request: Listing<'_>,
) -> Result<(Vec<Row>, String), ListingError> {
    let Listing { table, mut columns, rows, order, context, token, size, bytes_max, weight } = request;
    let rows = if token.is_empty() {
        rows
    } else {
        let cursor = page_token::cursor(root_key, context, token)?.ok_or(ListingError::PageToken)?;
        rows.and(order.after(&cursor).ok_or(ListingError::PageToken)?)
    };
    let width = columns.len();
    columns.extend(order.columns());
    // One extra row shows whether there is a next page.
    let select = Select { table, columns, rows, order: order.to_store(), limit: size.saturating_add(1) };
    let Scanned { rows: mut found, is_cut } = store.scan(select, bytes_max).await?;
    let shown = rows_that_fit(&found, bytes_max, weight).min(usize::try_from(size).unwrap_or(usize::MAX));
    let more = is_cut || found.len() > shown;
    found.truncate(shown);
    let next_page_token = match found.last().and_then(|last| last.get(width..)) {
        Some(keys) if more => page_token::token(root_key, context, &Order::cursor(keys))?,
        Some(_) | None => String::new(),
    };
    found.iter_mut().for_each(|row| row.truncate(width));
    Ok((found, next_page_token))
}

/// Returns the number of rows that fit into `bytes_max`, at least 1.
fn rows_that_fit(rows: &[Row], bytes_max: usize, weight: impl Fn(&[Datum]) -> usize) -> usize {
    let mut bytes = 0_usize;
    let fits = rows.iter().take_while(|row| {
        bytes = bytes.saturating_add(weight(row));
        bytes <= bytes_max
    });
    fits.count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_has_the_rows_that_fit_and_at_least_one() {
        let rows = |sizes: &[usize]| sizes.iter().map(|size| vec![Datum::Bytes(vec![0; *size])]).collect::<Vec<Row>>();
        let weight = |row: &[Datum]| if let [Datum::Bytes(bytes)] = row { bytes.len() } else { 0 };
        for (sizes, fit) in [(&[4, 6, 1][..], 2), (&[4, 7, 1], 1), (&[11, 1], 1), (&[10], 1), (&[3, 3, 3], 3)] {
            assert_eq!(rows_that_fit(&rows(sizes), 10, weight), fit, "{sizes:?}");
        }
    }
}
