//! List records, page by page: those that a filter selects, in an order, as far as a mask wants them.

use std::sync::Arc;

use crate::{
    deployment::Deployment,
    filter::{Bounds, Filter, FilterError, FilterProblem},
    identity::Identity,
    listing::{self, Listing, ListingError},
    mask::ReadMask,
    order::Order,
    organization::Organization,
    page::PageContext,
    policy::{self, Permit},
    record::{Problem, Record, Violation},
    records::{RecordError, parse_row, record_columns, table_of},
    schema::Entity,
    store::{Condition, Unavailable},
};

/// Which records a list has, and in which order.
pub struct Query<'a> {
    rows: Condition,
    order: Order,
    /// As they were written, for the page token.
    filter: &'a str,
    order_by: &'a str,
}

impl<'a> Query<'a> {
    /// Reads a filter, within bounds, and an order of this entity; empty ones stand for every record, and for the order of ids.
    ///
    /// # Errors
    /// Everything that is wrong with both.
    pub fn parse(
        bounds: Bounds,
        filter: &'a str,
        order_by: &'a str,
        entity: &Entity,
        organization: &str,
    ) -> Result<Query<'a>, Vec<Violation>> {
        let rows = Filter::parse_within(bounds, filter, entity, organization);
        let rows = rows.map_err(|error| filter_violation(entity, error));
        match (rows, Order::parse(order_by, entity)) {
            (Ok(rows), Ok(order)) => Ok(Query { rows: rows.condition(), order, filter, order_by }),
            (rows, order) => Err(rows.err().into_iter().chain(order.err().into_iter().flatten()).collect()),
        }
    }
}

fn filter_violation(entity: &Entity, error: FilterError) -> Violation {
    let problem = if let FilterProblem::Encrypted { attribute } = error.problem {
        Problem::Encrypted { entity: entity.name.clone(), attribute }
    } else {
        Problem::Filter(error)
    };
    Violation::new("filter", problem)
}

/// A page wanted.
pub struct Page<'a> {
    /// At most this many records, at least 1.
    pub size: u32,
    /// The token that the page before came with; empty for the first page.
    pub token: &'a str,
    /// Which fields of the records.
    pub mask: &'a ReadMask,
    /// Whether to count the records of all pages.
    pub count: bool,
    /// The rpc, which the token is bound to.
    pub method: &'a str,
    /// The caller, whom the token is bound to.
    pub identity: &'a Identity,
}

/// Records, and the token of the next page if there is one.
pub struct Listed {
    /// The records, without their encrypted attributes.
    pub records: Vec<Record>,
    /// Empty on the last page.
    pub next_page_token: String,
    /// How many records all pages have, at the time of this one, if that was asked for.
    pub total_size: Option<u64>,
}

/// One page of an entity's records.
///
/// # Errors
/// [`RecordError::PageToken`], [`RecordError::Unavailable`].
pub async fn list(
    deployment: &Deployment,
    _permit: Permit<policy::ReadRecords>,
    organization: &Organization,
    entity: &Arc<Entity>,
    query: Query<'_>,
    wanted: Page<'_>,
) -> Result<Listed, RecordError> {
    let Query { rows, order, filter, order_by } = query;
    let parent = format!("{}/{}", organization.resource_name(), entity.collection);
    let context = PageContext { method: wanted.method, parent: &parent, filter, order_by, identity: wanted.identity };
    let listing = Listing {
        table: table_of(entity),
        columns: record_columns(entity, wanted.mask),
        rows: rows.clone(),
        order: &order,
        context: &context,
        token: wanted.token,
        size: wanted.size,
    };
    let (found, next_page_token) = listing::page(&*deployment.ports.root_key, &*organization.store, listing)
        .await
        .map_err(|error| match error {
            ListingError::PageToken => RecordError::PageToken,
            ListingError::Unavailable(Unavailable(cause)) => RecordError::Unavailable(cause),
        })?;
    let total_size = if wanted.count { Some(organization.store.count(table_of(entity), rows).await?) } else { None };
    let parsed = found.into_iter().map(|row| parse_row(entity, wanted.mask, row).map(|(record, _)| record));
    Ok(Listed { records: parsed.collect::<Result<_, _>>()?, next_page_token, total_size })
}
