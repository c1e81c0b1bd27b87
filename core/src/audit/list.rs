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
    crypto::root_key::RootKeyError,
    deployment::Deployment,
    filter::{Filter, FilterError},
    id::Timestamp,
    identity::Identity,
    layout::AUDIT_HEAD,
    page::{self, PageContext},
    policy::{self, Permit},
    privilege::Privilege,
    schema::{Attribute, Entity, Kind},
    store::{Cause, Comparison, Condition, Datum, Direction, Name, Reader, Select, Unavailable},
};

/// What records are ordered by, all of it descending.
pub(super) const ORDER: [&str; 3] = ["time", "sequence", "writer"];

/// What a filter can look at.
static FIELDS: LazyLock<Entity> = LazyLock::new(|| {
    let field = |name, kind| Attribute::new(name, kind);
    Entity {
        name: "AuditRecord".to_owned(),
        collection: "auditRecords".to_owned(),
        singular: "audit_record".to_owned(),
        storage_name: AUDIT_TABLE.to_owned(),
        id_required: false,
        write_privilege: Privilege::WriteRecords,
        attributes: vec![
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
        ],
        rules: Vec::new(),
    }
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
    /// The page token was not made for this list and this caller.
    #[error("the page token is invalid")]
    PageToken,
    /// A database, or the root key, doesn't answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<RootKeyError> for ListTrailError {
    fn from(error: RootKeyError) -> Self {
        ListTrailError::Unavailable(Unavailable(Cause(Box::new(error))))
    }
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
    let root_key = &*deployment.ports.root_key;
    let filter = Filter::parse(wanted.filter, &FIELDS, "")?;
    if let Some(name) = filter.fields().iter().find_map(|field| not_a_field(*field)) {
        let problem = crate::filter::FilterProblem::NotFilterable { name: name.to_owned() };
        return Err(FilterError { position: 0, problem }.into());
    }
    let context = PageContext {
        method: wanted.method,
        parent: wanted.parent,
        filter: wanted.filter,
        order_by: "",
        identity: wanted.identity,
    };
    let rows = if wanted.token.is_empty() {
        filter.condition()
    } else {
        let cursor = page::cursor(root_key, &context, wanted.token)?.ok_or(ListTrailError::PageToken)?;
        filter.condition().and(before(&cursor).ok_or(ListTrailError::PageToken)?)
    };
    let select = Select {
        table: AUDIT_TABLE.into(),
        columns: columns(),
        rows,
        order: ORDER.map(|column| (Name::from(column), Direction::Descending)).into(),
        limit: wanted.size.saturating_add(1),
    };
    let unreadable = || Unavailable("the audit trail holds a row that is no record".into());
    let rows = store.select(select).await?.into_iter();
    let mut records = rows.map(AuditRecord::from_row).collect::<Option<Vec<_>>>().ok_or_else(unreadable)?;
    let size = usize::try_from(wanted.size).unwrap_or(usize::MAX);
    let more = records.len() > size;
    records.truncate(size);
    let next_page_token = match records.last() {
        Some(last) if more => page::token(root_key, &context, &cursor(last))?,
        Some(_) | None => String::new(),
    };
    let mut heads = signed_among(store, &records).await?;
    let records = records.into_iter().map(|record| {
        let head = heads.remove(&(record.writer, record.sequence));
        (record, head)
    });
    Ok(Listed { records: records.collect(), next_page_token })
}

/// Fields that every entity has and an audit record hasn't.
fn not_a_field(field: crate::filter::Field) -> Option<&'static str> {
    match field {
        crate::filter::Field::Attribute(_) => None,
        crate::filter::Field::Name => Some("name"),
        crate::filter::Field::CreateTime => Some("create_time"),
        crate::filter::Field::UpdateTime => Some("update_time"),
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

fn cursor(record: &AuditRecord) -> Vec<u8> {
    let mut cursor = record.time.unix_micros().to_be_bytes().to_vec();
    cursor.extend(record.sequence.to_be_bytes());
    cursor.extend(record.writer.as_bytes());
    cursor
}

/// Every record that comes after the one of this cursor.
fn before(cursor: &[u8]) -> Option<Condition> {
    let (time, rest) = cursor.split_first_chunk()?;
    let (sequence, rest) = rest.split_first_chunk()?;
    let values = [
        Datum::Time(Timestamp::from_unix_micros(i64::from_be_bytes(*time))),
        Datum::Integer(i64::from_be_bytes(*sequence)),
        Datum::Uuid(Uuid::from_slice(rest).ok()?),
    ];
    Some(Condition::earlier(ORDER.map(Name::from).into_iter().zip(values)))
}
