//! Pages of rows: where one begins, which rows it has, and the token of the next.
//!
//! The next page begins after the last row's keys, wherever that row is by then. So what stays as it is, is on exactly one page,
//! whatever comes, goes or moves between two of them. A page ends before it has more bytes than a message may have, but has one row at
//! least. Nothing here knows what rows mean.

use crate::{
    crypto::root_key::{RootKey, RootKeyError},
    list::page_token::{self, PageContext},
    order::Order,
    store::{Cause, Condition, Datum, Name, Reader, Row, ScanError, Scanned, Select, Unavailable},
};

/// A page wanted.
pub(crate) struct Listing<'a> {
    /// Of this table.
    pub(crate) table: Name,
    /// These columns, in this order.
    pub(crate) columns: Vec<Name>,
    /// Of these rows.
    pub(crate) rows: Condition,
    /// In this order, which is total.
    pub(crate) order: &'a Order,
    /// What the token is bound to.
    pub(crate) context: &'a PageContext<'a>,
    /// The token that the page before came with; empty for the first page.
    pub(crate) token: &'a str,
    /// At most this many, at least 1.
    pub(crate) size: u32,
    /// At most this many bytes, as `weight` counts them; one row may have more.
    pub(crate) bytes_max: usize,
    /// How many bytes of the answer a row takes at most.
    pub(crate) weight: &'a (dyn Fn(&[Datum]) -> usize + Sync),
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum ListingError {
    /// The page token was not made for this list and this caller.
    #[error("the page token is invalid")]
    PageToken,
    /// Finding the rows took longer than a list may take.
    #[error("the list took longer than {limit_ms} ms")]
    TooLong {
        /// How long it may take.
        limit_ms: u64,
    },
    /// A database, or the root key, doesn't answer.
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

/// The rows of the page, and the token of the next one, empty if this is the last.
pub(crate) async fn page(
    root_key: &dyn RootKey,
    store: &dyn Reader,
    wanted: Listing<'_>,
) -> Result<(Vec<Row>, String), ListingError> {
    let Listing { table, mut columns, rows, order, context, token, size, bytes_max, weight } = wanted;
    let rows = if token.is_empty() {
        rows
    } else {
        let cursor = page_token::cursor(root_key, context, token)?.ok_or(ListingError::PageToken)?;
        rows.and(order.after(&cursor).ok_or(ListingError::PageToken)?)
    };
    let width = columns.len();
    columns.extend(order.columns());
    // One more than wanted tells whether there is a next page.
    let select = Select { table, columns, rows, order: order.to_store(), limit: size.saturating_add(1) };
    let Scanned { rows: mut found, is_cut } = store.scan(select, bytes_max).await?;
    let shown = fitting(&found, bytes_max, weight).min(usize::try_from(size).unwrap_or(usize::MAX));
    let more = is_cut || found.len() > shown;
    found.truncate(shown);
    let next_page_token = match found.last().and_then(|last| last.get(width..)) {
        Some(keys) if more => page_token::token(root_key, context, &Order::cursor(keys))?,
        Some(_) | None => String::new(),
    };
    found.iter_mut().for_each(|row| row.truncate(width));
    Ok((found, next_page_token))
}

/// How many of these rows fit together, the first one in any case.
fn fitting(rows: &[Row], bytes_max: usize, weight: impl Fn(&[Datum]) -> usize) -> usize {
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
            assert_eq!(fitting(&rows(sizes), 10, weight), fit, "{sizes:?}");
        }
    }
}
