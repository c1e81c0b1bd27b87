//! List records, page by page, in the order of their ids.

use std::sync::Arc;

use crate::{
    deployment::Deployment,
    id::RecordId,
    identity::Identity,
    organization::Organization,
    page::{self, PageContext},
    policy::{self, Permit},
    record::Record,
    records::{RecordError, parse_row, record_columns, table_of},
    schema::Entity,
    store::{Condition, Datum, Direction, Select},
};

/// A page wanted.
pub struct Page<'a> {
    /// At most this many records, at least 1.
    pub size: u32,
    /// The token that the page before came with; empty for the first page.
    pub token: &'a str,
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
    wanted: Page<'_>,
) -> Result<Listed, RecordError> {
    let root_key = &*deployment.ports.root_key;
    let parent = format!("{}/{}", organization.resource_name(), entity.collection);
    let context = PageContext { method: wanted.method, parent: &parent, identity: wanted.identity };
    let rows = if wanted.token.is_empty() {
        Condition::EVERYTHING
    } else {
        let after: RecordId = page::after(root_key, &context, wanted.token)?.ok_or(RecordError::PageToken)?;
        Condition::greater("id", Datum::Uuid(after.uuid()))
    };
    // One more than wanted tells whether there is a next page.
    let select = Select {
        table: table_of(entity),
        columns: record_columns(entity),
        rows,
        order: vec![("id".into(), Direction::Ascending)],
        limit: wanted.size.saturating_add(1),
    };
    let found = organization.store.select(select).await?;
    let size = usize::try_from(wanted.size).unwrap_or(usize::MAX);
    let more = found.len() > size;
    let records = found.into_iter().take(size).map(|row| parse_row(entity, row)).collect::<Result<Vec<_>, _>>()?;
    let next_page_token = match records.last() {
        Some(last) if more => page::token(root_key, &context, last.id)?,
        Some(_) | None => String::new(),
    };
    Ok(Listed { records, next_page_token })
}
