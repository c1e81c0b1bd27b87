//! List records, page by page: those that a filter selects, in an order, as far as a mask wants them.

use std::sync::Arc;

use crate::{
    deployment::Deployment,
    filter::{Filter, FilterError, FilterProblem},
    identity::Identity,
    mask::ReadMask,
    order::Order,
    organization::Organization,
    page::{self, PageContext},
    policy::{self, Permit},
    record::{Problem, Record, Violation},
    records::{RecordError, parse_row, record_columns, table_of},
    schema::Entity,
    store::{Condition, Row, Select},
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
    /// Reads a filter and an order of this entity; empty ones stand for every record, and for the order of ids.
    ///
    /// # Errors
    /// Everything that is wrong with both.
    pub fn parse(
        filter: &'a str,
        order_by: &'a str,
        entity: &Entity,
        organization: &str,
    ) -> Result<Query<'a>, Vec<Violation>> {
        let rows = Filter::parse(filter, entity, organization).map_err(|error| filter_violation(entity, error));
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
/// The next page begins after the last record's keys, wherever that record is by then. So what stays as it is, is on exactly one page,
/// whatever is created, deleted or moved by an update between two of them.
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
    let root_key = &*deployment.ports.root_key;
    let Query { rows, order, filter, order_by } = query;
    let parent = format!("{}/{}", organization.resource_name(), entity.collection);
    let context = PageContext { method: wanted.method, parent: &parent, filter, order_by, identity: wanted.identity };
    let after = if wanted.token.is_empty() {
        None
    } else {
        let cursor = page::cursor(root_key, &context, wanted.token)?.ok_or(RecordError::PageToken)?;
        Some(order.after(&cursor).ok_or(RecordError::PageToken)?)
    };
    let total_size =
        if wanted.count { Some(organization.store.count(table_of(entity), rows.clone()).await?) } else { None };

    let mut columns = record_columns(entity, wanted.mask);
    columns.extend(order.columns());
    let select = Select {
        table: table_of(entity),
        columns,
        rows: match after {
            Some(after) => rows.and(after),
            None => rows,
        },
        order: order.to_store(),
        // One more than wanted tells whether there is a next page.
        limit: wanted.size.saturating_add(1),
    };
    let mut found = organization.store.select(select).await?;
    let size = usize::try_from(wanted.size).unwrap_or(usize::MAX);
    let more = found.len() > size;
    found.truncate(size);
    let next_page_token = match found.last() {
        Some(last) if more => page::token(root_key, &context, &cursor(&order, last))?,
        Some(_) | None => String::new(),
    };
    let parsed = found.into_iter().map(|row| parse_row(entity, wanted.mask, row).map(|(record, _)| record));
    let records = parsed.collect::<Result<Vec<_>, _>>()?;
    Ok(Listed { records, next_page_token, total_size })
}

/// The cursor of a row, which ends with the columns of the order.
fn cursor(order: &Order, row: &Row) -> Vec<u8> {
    let start = row.len().saturating_sub(order.columns().len());
    Order::cursor(row.get(start..).unwrap_or_default())
}
