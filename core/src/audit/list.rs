//! A trail listed, the newest records first: those that a filter selects, page by page.
//!
//! The filter is that of records (docs/filter.md), over the fields of an audit record.

use std::{collections::HashMap, sync::LazyLock};

use uuid::Uuid;

use super::{
    AUDIT_TABLE, AuditRecord, columns,
    sign::{self, SignedHead},
};
use crate::{
    deployment::Deployment,
    filter::{Bounds, Field, Filter, FilterError, FilterProblem},
    identity::Identity,
    layout::AUDIT_HEAD,
    listing::{self, Listing, ListingError},
    order::Order,
    page::PageContext,
    policy::{self, Permit},
    schema::{Attribute, Entity, Kind},
    store::{ColumnType, Comparison, Condition, Datum, Name, Reader, Select, Unavailable},
};

/// What records are ordered by, all of it descending.
pub(super) const ORDER: [(&str, ColumnType); 3] =
    [("time", ColumnType::Time), ("sequence", ColumnType::Integer), ("writer", ColumnType::Uuid)];

/// What a filter can look at.
static FIELDS: LazyLock<Entity> = LazyLock::new(|| {
    let field = |name, kind| Attribute::new(name, kind);
    let fields = vec![
        field("time", Kind::Time),
        field("identity", Kind::Text),
        field("peer", Kind::Text),
        field("call_id", Kind::Text),
        field("action", Kind::Text),
        field("outcome", Kind::Text),
        field("subject", Kind::Text),
        field("attributes", Kind::Text),
        field("purpose", Kind::Text),
        field("fingerprint", Kind::Text),
        field("key_version", Kind::Integer64),
        field("details", Kind::Text),
        field("sequence", Kind::Integer64),
    ];
    Entity::new("AuditRecord", "auditRecords", "audit_record", fields)
});

/// A page wanted.
pub struct Page<'a> {
    /// At most this many records, at least 1.
    pub size: u32,
    /// The token that the page before came with; empty for the first page.
    pub token: &'a str,
    /// Which records; empty for all.
    pub filter: &'a str,
    /// Whose trail: `organizations/contoso`, or empty for the deployment's own.
    pub parent: &'a str,
    /// The rpc, which the token is bound to.
    pub method: &'a str,
    /// The caller, whom the token is bound to.
    pub identity: &'a Identity,
}

/// A page of a trail.
pub struct Listed {
    /// The records; with each the signature, if it is a head that was signed.
    pub records: Vec<(AuditRecord, Option<SignedHead>)>,
    /// Empty on the last page.
    pub next_page_token: String,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum ListTrailError {
    /// The filter isn't one.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// There is none of this token, or now.
    #[error(transparent)]
    Listing(#[from] ListingError),
}

/// One page of the trail in `store`.
///
/// # Errors
/// See [`ListTrailError`].
pub async fn list(
    deployment: &Deployment,
    _permit: Permit<policy::ReadAuditTrail>,
    store: &dyn Reader,
    wanted: Page<'_>,
) -> Result<Listed, ListTrailError> {
    let filter = read_filter(deployment.filter_bounds, wanted.filter, &FIELDS)?;
    let context = PageContext {
        method: wanted.method,
        parent: wanted.parent,
        filter: wanted.filter,
        order_by: "",
        identity: wanted.identity,
    };
    let listing = Listing {
        table: AUDIT_TABLE.into(),
        columns: columns(),
        rows: filter.condition(),
        order: &Order::descending(ORDER),
        context: &context,
        token: wanted.token,
        size: wanted.size,
    };
    let (rows, next_page_token) = listing::page(&*deployment.ports.root_key, store, listing).await?;
    let unreadable = || ListingError::from(Unavailable("the audit trail holds a row that is no record".into()));
    let rows = rows.into_iter();
    let records = rows.map(AuditRecord::from_row).collect::<Option<Vec<_>>>().ok_or_else(unreadable)?;
    let mut heads = signed_among(store, &records).await.map_err(ListingError::from)?;
    let records = records.into_iter().map(|record| {
        let head = heads.remove(&(record.writer, record.sequence));
        (record, head)
    });
    Ok(Listed { records: records.collect(), next_page_token })
}

/// Reads a filter over these fields, which are those of no record: it has neither name nor times of its own.
pub(crate) fn read_filter(bounds: Bounds, text: &str, fields: &Entity) -> Result<Filter, FilterError> {
    let filter = Filter::parse_within(bounds, text, fields, "")?;
    match filter.fields().into_iter().find_map(not_a_field) {
        Some(name) => {
            let problem = FilterProblem::NotFilterable { name: name.to_owned() };
            Err(FilterError { position: 0, problem })
        }
        None => Ok(filter),
    }
}

/// Fields that every entity has and an audit record hasn't.
fn not_a_field(field: Field) -> Option<&'static str> {
    match field {
        Field::Attribute(_) => None,
        Field::Name => Some("name"),
        Field::CreateTime => Some("create_time"),
        Field::UpdateTime => Some("update_time"),
    }
}

async fn signed_among(
    store: &dyn Reader,
    records: &[AuditRecord],
) -> Result<HashMap<(Uuid, i64), SignedHead>, Unavailable> {
    let sequences = || records.iter().map(|record| record.sequence);
    let (Some(first), Some(last)) = (sequences().min(), sequences().max()) else { return Ok(HashMap::new()) };
    let bound = |comparison, sequence| Condition::Compare {
        column: "sequence".into(),
        comparison,
        value: Datum::Integer(sequence),
    };
    let select = Select {
        table: AUDIT_HEAD.into(),
        columns: sign::COLUMNS.map(Name::from).into(),
        rows: bound(Comparison::GreaterOrEqual, first).and(bound(Comparison::LessOrEqual, last)),
        order: Vec::new(),
        limit: u32::MAX,
    };
    let heads = store.select(select).await?.into_iter().filter_map(SignedHead::from_row);
    Ok(heads.map(|head| ((head.writer, head.sequence), head)).collect())
}
