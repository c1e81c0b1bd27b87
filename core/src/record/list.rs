//! Lists records in pages, with a filter, an order and a field mask.

use std::sync::Arc;

use crate::{
    deployment::Deployment,
    filter::{
        error::{FilterError, FilterProblem},
        expression::Filter,
        parser::Bounds,
    },
    list::{
        page::{self, Listing, ListingError, PageRows},
        page_token::PageContext,
    },
    mask::ReadMask,
    order::Order,
    permit::Permit,
    policy,
    record::{
        error::RecordError,
        row::{is_read, record_columns, table_of},
        row_content::{RowContent, RowLayout},
        size::{FIELD, TIME, fixed_bytes_max, name_bytes_max},
    },
    schema::entity::{Entity, Kind},
    store::{Condition, Datum, DatumRef, ScanError, StoreFailure, Unavailable},
    table::{declare::TableRow as _, record::RecordColumns},
    violation::{Problem, Violation},
};

/// The filter and order of a list.
pub struct Query<'a> {
    /// The entity with the customizations of the organization.
    entity: Arc<Entity>,
    rows: Condition,
    order: Order,
    /// The original texts, for the page token.
    filter: &'a str,
    order_by: &'a str,
}

impl<'a> Query<'a> {
    /// Parses a filter, within bounds, and an order for this entity in the permit's organization. An empty filter
    /// matches all records. An empty order is the order by id.
    ///
    /// # Errors
    /// All violations of both.
    pub fn parse(
        permit: &Permit<policy::ReadRecords>,
        bounds: Bounds,
        filter: &'a str,
        order_by: &'a str,
        entity: &Arc<Entity>,
    ) -> Result<Query<'a>, Vec<Violation>> {
        let organization = permit.organization();
        let entity = organization.schema().entity(entity);
        let rows = Filter::parse_within(bounds, filter, &entity, Some(&organization.name));
        let rows = rows.map_err(|error| filter_violation(&entity, error));
        match (rows, Order::parse(order_by, &entity)) {
            (Ok(rows), Ok(order)) => Ok(Query { rows: rows.condition(), entity, order, filter, order_by }),
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

/// A request for a page.
pub struct Page<'a> {
    /// Maximum number of records, at least 1.
    pub size: u32,
    /// The token from the previous page; empty for the first page.
    pub token: &'a str,
    /// The fields to read.
    pub mask: &'a ReadMask,
    /// Whether to count the records of all pages.
    pub count: bool,
    /// The rpc. The token is bound to it.
    pub method: &'a str,
}

/// Takes the records of a page, on the thread that reads them.
pub trait PageWriter: Send + 'static {
    /// Takes a record. Returns `false` without taking it if the page would become too large. The first record always
    /// fits.
    fn add(&mut self, record: &RowContent<'_>) -> bool;

    /// Drops all records, because they are read again.
    fn clear(&mut self);
}

/// A page of records.
pub struct Listed<W> {
    /// The records, without their encrypted attributes.
    pub records: W,
    /// The token of the next page; empty on the last page.
    pub next_page_token: String,
    /// The number of records on all pages at the time of this page, if requested.
    pub total_size: Option<u64>,
}

/// Lists one page of an entity's records, which `records` takes. The page token is bound to the caller.
///
/// # Errors
/// [`RecordError::PageToken`], [`RecordError::ListTooLong`], [`RecordError::Store`].
pub async fn list<W: PageWriter>(
    deployment: &Deployment,
    permit: Permit<policy::ReadRecords>,
    query: Query<'_>,
    wanted: Page<'_>,
    records: W,
) -> Result<Listed<W>, RecordError> {
    let Query { entity, rows, order, filter, order_by } = query;
    let (organization, identity) = (permit.organization(), &*permit.caller().identity);
    let parent = format!("{}/{}", organization.resource_name(), entity.collection);
    let context = PageContext { method: wanted.method, parent: &parent, filter, order_by, identity };
    let count = wanted.count.then(|| rows.clone());
    let listing = Listing {
        table: table_of(&entity),
        columns: record_columns(&entity, wanted.mask),
        rows,
        order: &order,
        context: &context,
        token: wanted.token,
        size: wanted.size,
    };
    let written = Written { layout: RowLayout::new(&entity, wanted.mask), records };
    let listed = page::page(&*deployment.ports.root_key, &*organization.store, listing, written).await;
    let (Written { records, .. }, next_page_token) = listed.map_err(|error| match error {
        ListingError::PageToken => RecordError::PageToken,
        ListingError::TooLong { limit_ms } => RecordError::ListTooLong { limit_ms },
        ListingError::Unavailable(Unavailable(cause)) => RecordError::Store(StoreFailure::Unavailable(cause)),
    })?;
    let total_size = match count {
        Some(rows) => Some(organization.store.scan_count(table_of(&entity), rows).await?),
        None => None,
    };
    Ok(Listed { records, next_page_token, total_size })
}

/// Passes records to a writer.
struct Written<W> {
    layout: RowLayout,
    records: W,
}

impl<W: PageWriter> PageRows for Written<W> {
    fn add(&mut self, row: &[DatumRef<'_>]) -> Result<bool, Unavailable> {
        self.layout.read(row, |record| self.records.add(record))
    }

    fn clear(&mut self) {
        self.records.clear();
    }
}

impl From<ScanError> for RecordError {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::TooLong { limit_ms } => RecordError::ListTooLong { limit_ms },
            ScanError::Unavailable(Unavailable(cause)) => RecordError::Store(StoreFailure::Unavailable(cause)),
        }
    }
}

/// Returns the maximum size of a record in a page in bytes. The row begins with the columns of a record. The size is
/// estimated, because core doesn't know the wire format: each field needs up to 8 bytes for its tag and length in
/// addition to its value.
#[must_use]
pub fn record_bytes_max(entity: &Entity, mask: &ReadMask, row: &[Datum]) -> usize {
    // The field number needs two bytes more than that of an attribute.
    let identity = |datum: &Datum| if let Datum::Text(identity) = datum { identity.len() + FIELD + 2 } else { 0 };
    let identities: usize = row.iter().take(RecordColumns::COLUMNS.len()).map(identity).sum();
    let fixed = fixed_bytes_max(entity) + identities;
    let read = entity.attributes.iter().enumerate().filter(|(index, attribute)| is_read(*index, attribute, mask));
    let values = row.get(RecordColumns::COLUMNS.len()..).unwrap_or_default();
    read.zip(values).fold(fixed, |bytes, ((_, attribute), datum)| {
        let value = match (datum, &attribute.kind) {
            // Cells aren't returned.
            (Datum::Bytes(_), _) if attribute.encrypted => 0,
            (Datum::Null, _) => 0,
            (Datum::Text(text), _) => text.len() + FIELD,
            (Datum::Bytes(data), _) => data.len() + FIELD,
            (Datum::Time(_), _) => TIME,
            (Datum::Uuid(_), Kind::Reference { collection, .. }) => name_bytes_max(collection),
            (Datum::Uuid(_), _) => 36 + FIELD,
            (Datum::Boolean(_) | Datum::Integer(_), _) => 10 + FIELD,
        };
        bytes.saturating_add(value)
    })
}
