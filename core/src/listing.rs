//! Pages of rows: where one begins, which rows it has, and the token of the next.
//!
//! The next page begins after the last row's keys, wherever that row is by then. So what stays as it is, is on exactly one page,
//! whatever comes, goes or moves between two of them. Nothing here knows what rows mean.

use crate::{
    crypto::root_key::{RootKey, RootKeyError},
    order::Order,
    page::{self, PageContext},
    store::{Cause, Condition, Name, Reader, Row, Select, Unavailable},
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
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum ListingError {
    /// The page token was not made for this list and this caller.
    #[error("the page token is invalid")]
    PageToken,
    /// A database, or the root key, doesn't answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<RootKeyError> for ListingError {
    fn from(error: RootKeyError) -> Self {
        ListingError::Unavailable(Unavailable(Cause(Box::new(error))))
    }
}

/// The rows of the page, and the token of the next one, empty if this is the last.
pub(crate) async fn page(
    root_key: &dyn RootKey,
    store: &dyn Reader,
    wanted: Listing<'_>,
) -> Result<(Vec<Row>, String), ListingError> {
    let Listing { table, mut columns, rows, order, context, token, size } = wanted;
    let rows = if token.is_empty() {
        rows
    } else {
        let cursor = page::cursor(root_key, context, token)?.ok_or(ListingError::PageToken)?;
        rows.and(order.after(&cursor).ok_or(ListingError::PageToken)?)
    };
    let width = columns.len();
    columns.extend(order.columns());
    // One more than wanted tells whether there is a next page.
    let select = Select { table, columns, rows, order: order.to_store(), limit: size.saturating_add(1) };
    let mut found = store.select(select).await?;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let more = found.len() > size;
    found.truncate(size);
    let next_page_token = match found.last().and_then(|last| last.get(width..)) {
        Some(keys) if more => page::token(root_key, context, &Order::cursor(keys))?,
        Some(_) | None => String::new(),
    };
    found.iter_mut().for_each(|row| row.truncate(width));
    Ok((found, next_page_token))
}
