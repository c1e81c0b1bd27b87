//! Lists of recorded events of any kind, newest first, selected by a filter and split into pages.
//!
//! The filter language is that of records (docs/filter.md), over the fields of the event. This file doesn't know the
//! meaning of rows.

use crate::{
    deployment::Deployment,
    filter::{
        error::{FilterError, FilterProblem},
        expression::{Field, Filter},
    },
    identity::Identity,
    list::{
        page::{self, Listing, ListingError, StoredRows},
        page_token::PageContext,
    },
    order::Order,
    schema::entity::Entity,
    store::{Condition, Name, Reader, Row},
};

/// A request for a page.
pub struct Page<'a> {
    /// Maximum number of rows, at least 1.
    pub size: u32,
    /// The token from the previous page; empty for the first page.
    pub token: &'a str,
    /// The text of the filter; empty for all rows.
    pub filter: &'a str,
    /// The rpc. The token is bound to it.
    pub method: &'a str,
}

/// The source of a page, and its caller.
pub(crate) struct Reading<'a> {
    pub(crate) store: &'a dyn Reader,
    /// The resource name of the owner of the log; empty for the deployment. The token is bound to it.
    pub(crate) parent: &'a str,
    /// The caller. The token is bound to it.
    pub(crate) identity: &'a Identity,
}

/// Why the page can't be returned.
#[derive(Debug, thiserror::Error)]
pub enum ListLogError {
    /// The filter is invalid.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The token is invalid, or a database or the root key failed.
    #[error(transparent)]
    Listing(#[from] ListingError),
}

/// A table of recorded events.
pub(crate) struct Log<'a> {
    pub(crate) table: Name,
    /// The columns to return.
    pub(crate) columns: Vec<Name>,
    /// The order, newest first.
    pub(crate) order: Order,
    /// The fields that a filter can test.
    pub(crate) fields: &'a Entity,
    /// Translates a condition on the fields to a condition on the columns, where they differ.
    pub(crate) translate: fn(Condition) -> Result<Condition, FilterProblem>,
    /// The maximum size of a row in the response in bytes, in addition to its stored values and 8 bytes for each
    /// column.
    pub(crate) overhead_bytes: usize,
}

/// Returns the rows of a page that meet a condition, and the token of the next page, which is empty after the last
/// page.
pub(crate) async fn page(
    deployment: &Deployment,
    Reading { store, parent, identity }: Reading<'_>,
    log: Log<'_>,
    rows: Condition,
    request: &Page<'_>,
) -> Result<(Vec<Row>, String), ListLogError> {
    let filter = Filter::parse_within(deployment.filter_bounds, request.filter, log.fields, None)?;
    if let Some(name) = filter.fields().into_iter().find_map(record_field_name) {
        let problem = FilterProblem::NotFilterable { name: name.to_owned() };
        return Err(FilterError { position: 0, problem }.into());
    }
    let translated = (log.translate)(filter.condition());
    let condition = translated.map_err(|problem| FilterError { position: 0, problem })?;
    let context = PageContext { method: request.method, parent, filter: request.filter, order_by: "", identity };
    let kept = StoredRows::new(deployment.page_bytes_max, log.overhead_bytes);
    let listing = Listing {
        table: log.table,
        columns: log.columns,
        rows: rows.and(condition),
        order: &log.order,
        context: &context,
        token: request.token,
        size: request.size,
    };
    let (kept, next_page_token) = page::page(&*deployment.ports.root_key, store, listing, kept).await?;
    Ok((kept.into_rows(), next_page_token))
}

/// Returns the name of a field that only records have, not recorded events.
fn record_field_name(field: Field) -> Option<&'static str> {
    match field {
        Field::Attribute(_) => None,
        Field::Name => Some("name"),
        Field::CreateTime => Some("create_time"),
        Field::UpdateTime => Some("update_time"),
        Field::CreatedBy => Some("created_by"),
        Field::ModifiedBy => Some("modified_by"),
    }
}
