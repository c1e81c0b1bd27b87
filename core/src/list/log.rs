//! Lists of what was recorded, whatever that is: the newest first, those that a filter selects, page by page.
//!
//! The filter is that of records (docs/filter.md), over the fields of what was recorded. Nothing here knows what rows mean.

use crate::{
    deployment::Deployment,
    filter::{
        error::{FilterError, FilterProblem},
        expression::{Field, Filter},
    },
    identity::Identity,
    list::{
        page::{self, Listing, ListingError},
        page_token::PageContext,
    },
    order::Order,
    schema::entity::Entity,
    store::{Condition, Datum, Name, Reader, Row, row_bytes},
};

/// A page wanted.
pub struct Page<'a> {
    /// At most this many, at least 1.
    pub size: u32,
    /// The token that the page before came with; empty for the first page.
    pub token: &'a str,
    /// Which; empty for all.
    pub filter: &'a str,
    /// The rpc, which the token is bound to.
    pub method: &'a str,
}

/// From where a page is read, and for whom.
pub(crate) struct Reading<'a> {
    pub(crate) store: &'a dyn Reader,
    /// The resource name of what the log is of, which the token is bound to; empty for the deployment.
    pub(crate) parent: &'a str,
    /// The caller, whom the token is bound to.
    pub(crate) identity: &'a Identity,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum ListLogError {
    /// The filter isn't one.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// There is none of this token, or now.
    #[error(transparent)]
    Listing(#[from] ListingError),
}

/// A table of what was recorded.
pub(crate) struct Log<'a> {
    pub(crate) table: Name,
    /// The columns wanted.
    pub(crate) columns: Vec<Name>,
    /// Which has the newest first.
    pub(crate) order: Order,
    /// What a filter can look at.
    pub(crate) fields: &'a Entity,
    /// What a filter means in the table, where its fields are not the columns.
    pub(crate) translate: fn(Condition) -> Result<Condition, FilterProblem>,
    /// How many bytes an answer takes for a row at most, beside 8 for each column and the values as they are stored.
    pub(crate) overhead_bytes: usize,
}

/// The rows of a page of those that meet a condition, and the token of the next page, empty if this is the last.
pub(crate) async fn page(
    deployment: &Deployment,
    Reading { store, parent, identity }: Reading<'_>,
    log: Log<'_>,
    rows: Condition,
    wanted: &Page<'_>,
) -> Result<(Vec<Row>, String), ListLogError> {
    let filter = Filter::parse_within(deployment.filter_bounds, wanted.filter, log.fields, None)?;
    if let Some(name) = filter.fields().into_iter().find_map(of_records_alone) {
        let problem = FilterProblem::NotFilterable { name: name.to_owned() };
        return Err(FilterError { position: 0, problem }.into());
    }
    let translated = (log.translate)(filter.condition());
    let condition = translated.map_err(|problem| FilterError { position: 0, problem })?;
    let context = PageContext { method: wanted.method, parent, filter: wanted.filter, order_by: "", identity };
    let overhead_bytes = log.overhead_bytes;
    let weight =
        |row: &[Datum]| row_bytes(row).saturating_add(row.len().saturating_mul(8)).saturating_add(overhead_bytes);
    let listing = Listing {
        table: log.table,
        columns: log.columns,
        rows: rows.and(condition),
        order: &log.order,
        context: &context,
        token: wanted.token,
        size: wanted.size,
        bytes_max: deployment.page_bytes_max,
        weight: &weight,
    };
    Ok(page::page(&*deployment.ports.root_key, store, listing).await?)
}

/// Fields that every record has, and nothing that was recorded.
fn of_records_alone(field: Field) -> Option<&'static str> {
    match field {
        Field::Attribute(_) => None,
        Field::Name => Some("name"),
        Field::CreateTime => Some("create_time"),
        Field::UpdateTime => Some("update_time"),
        Field::CreatedBy => Some("created_by"),
        Field::ModifiedBy => Some("modified_by"),
    }
}
