//! Lists a trail, the newest records first, with the signatures of its heads.

use std::{
    collections::{BTreeMap, HashMap},
    sync::LazyLock,
};

use uuid::Uuid;

use crate::{
    audit::record::ORDER,
    deployment::Deployment,
    filter::error::FilterProblem,
    list::{
        log::{self, ListLogError, Log, Page, Reading},
        page::ListingError,
    },
    order::Order,
    permit::Permit,
    policy::{self, DeploymentPermit},
    schema::entity::{Attribute, Entity, Kind},
    store::{Comparison, Condition, Datum, Reader, Unavailable},
    table::{
        audit::{AuditRecord, SignedHead},
        declare::{Columns as _, TableRow as _, read_each},
    },
};

/// The fields that a filter can use.
static FIELDS: LazyLock<Entity> = LazyLock::new(|| {
    let field = |name, kind| Attribute::new(name, kind);
    let fields = vec![
        field("time", Kind::Time),
        field("identity", Kind::Text),
        field("peer", Kind::Text),
        field("hop", Kind::Text),
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
        field(RECORD, Kind::Text),
        field(ATTRIBUTE, Kind::Text),
    ];
    Entity::new("AuditRecord", "auditRecords", "audit_record", fields)
});

/// A pseudo field for a single attribute of a record; see [`translate`].
const ATTRIBUTE: &str = "attribute";

/// A pseudo field for a record that an action was about; see [`translate`].
const RECORD: &str = "record";

/// Returns the condition that an action was about the record with this name: it is the subject, or one of the records of
/// the subject, which is their collection.
fn is_about(name: String) -> Condition {
    let is_subject = |subject: &str| AuditRecord::subject().is(subject.to_owned());
    match name.rsplit_once('/') {
        Some((collection, id)) if !id.contains(',') => {
            let listed = Condition::Lists { column: AuditRecord::records().name(), element: id.to_owned() };
            Condition::Any(vec![is_subject(&name), is_subject(collection).and(listed)])
        }
        Some(_) | None => is_subject(&name),
    }
}

/// Translates conditions on [`ATTRIBUTE`] to conditions on the list of attributes in the table, and conditions on
/// [`RECORD`] to conditions on the subject and the list of records.
fn translate(condition: Condition) -> Result<Condition, FilterProblem> {
    let translate_all =
        |conditions: Vec<Condition>| conditions.into_iter().map(translate).collect::<Result<Vec<_>, _>>();
    Ok(match condition {
        Condition::Compare { column, comparison: Comparison::Equal, value: Datum::Text(element) }
            if column == ATTRIBUTE =>
        {
            // Names of attributes contain no comma.
            if element.contains(',') {
                Condition::Any(Vec::new())
            } else {
                Condition::Lists { column: AuditRecord::attributes().name(), element }
            }
        }
        Condition::IsNull(column) if column == ATTRIBUTE => AuditRecord::attributes().is(None),
        Condition::Compare { column, comparison: Comparison::Equal, value: Datum::Text(name) } if column == RECORD => {
            is_about(name)
        }
        // Records whose names compare in another way are found by the subject only.
        Condition::Compare { column, comparison, value } if column == RECORD => {
            Condition::Compare { column: AuditRecord::subject().name(), comparison, value }
        }
        Condition::BeginsWith { column, prefix } if column == RECORD => {
            Condition::BeginsWith { column: AuditRecord::subject().name(), prefix }
        }
        Condition::IsNull(column) if column == RECORD => Condition::IsNull(AuditRecord::subject().name()),
        Condition::Compare { column, .. } | Condition::BeginsWith { column, .. } if column == ATTRIBUTE => {
            return Err(FilterProblem::Operator { name: ATTRIBUTE.to_owned(), operators: "`=`, `!=` and `:*`" });
        }
        Condition::All(conditions) => Condition::All(translate_all(conditions)?),
        Condition::Any(conditions) => Condition::Any(translate_all(conditions)?),
        Condition::Not(condition) => translate(*condition)?.negated(),
        Condition::Compare { .. }
        | Condition::Among { .. }
        | Condition::BeginsWith { .. }
        | Condition::Lists { .. }
        | Condition::IsNull(_) => condition,
    })
}

/// A page of a trail.
pub struct Listed {
    /// The records, each with its signature if it is a signed head.
    pub records: Vec<(AuditRecord, Option<SignedHead>)>,
    /// The token of the next page; empty on the last page.
    pub next_page_token: String,
}

/// Lists one page of an organization's trail.
///
/// # Errors
/// See [`ListLogError`].
pub async fn list(
    deployment: &Deployment,
    permit: Permit<policy::ReadAuditTrail>,
    wanted: &Page<'_>,
) -> Result<Listed, ListLogError> {
    let organization = permit.organization();
    let (store, parent) = (&*organization.store, organization.resource_name());
    page(deployment, Reading { store, parent: &parent, identity: &permit.caller().identity }, wanted).await
}

/// Lists one page of the deployment's own trail.
///
/// # Errors
/// See [`ListLogError`].
pub async fn list_of_deployment(
    deployment: &Deployment,
    permit: DeploymentPermit<policy::ReadAuditTrail>,
    wanted: &Page<'_>,
) -> Result<Listed, ListLogError> {
    let store = &*deployment.ports.configuration;
    page(deployment, Reading { store, parent: "", identity: &permit.caller().identity }, wanted).await
}

async fn page(deployment: &Deployment, reading: Reading<'_>, wanted: &Page<'_>) -> Result<Listed, ListLogError> {
    let store = reading.store;
    let trail = Log {
        table: AuditRecord::TABLE.into(),
        columns: AuditRecord::names(),
        order: Order::descending(ORDER),
        fields: &FIELDS,
        translate,
        // For the signature of a head, and for ids in text form.
        overhead_bytes: 512,
    };
    let (rows, next_page_token) = log::page(deployment, reading, trail, Condition::EVERYTHING, wanted).await?;
    let records = rows.into_iter().map(|row| AuditRecord::all_columns().values(row)).collect::<Result<Vec<_>, _>>();
    let records = records.map_err(|damage| ListingError::from(Unavailable::from(damage)))?;
    let mut heads = signed_among(store, &records).await.map_err(ListingError::from)?;
    let records = records.into_iter().map(|record| {
        let head = heads.remove(&(record.writer, record.sequence));
        (record, head)
    });
    Ok(Listed { records: records.collect(), next_page_token })
}

/// Returns the signed heads among these records.
async fn signed_among(
    store: &dyn Reader,
    records: &[AuditRecord],
) -> Result<HashMap<(Uuid, i64), SignedHead>, Unavailable> {
    let mut by_writer: BTreeMap<Uuid, Vec<i64>> = BTreeMap::new();
    for record in records {
        by_writer.entry(record.writer).or_default().push(record.sequence);
    }
    let mut heads = HashMap::new();
    for (writer, sequences) in by_writer {
        for sequences in sequences.chunks(HEADS_AT_ONCE) {
            let these = sequences.iter().map(|sequence| SignedHead::sequence().is(*sequence));
            let rows = SignedHead::writer().is(writer).and(Condition::Any(these.collect()));
            let found = read_each(store, SignedHead::all_columns(), rows).await?.into_iter().flatten();
            heads.extend(found.map(|head| ((head.writer, head.sequence), head)));
        }
    }
    Ok(heads)
}

/// The number of records per lookup of signatures. A lookup names the positions, so it reads no other heads.
const HEADS_AT_ONCE: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::expression::Filter;

    fn translated(filter: &str) -> Result<Condition, FilterProblem> {
        translate(Filter::parse(filter, &FIELDS, None).unwrap().condition())
    }

    #[test]
    fn attribute_filter_searches_the_list_and_record_filter_the_subject() {
        let lists = || Condition::Lists { column: "attributes".into(), element: "password".to_owned() };
        let present = || Condition::IsNull("attributes".into()).negated();
        assert_eq!(translated("attribute = password"), Ok(lists()));
        assert_eq!(translated("attribute != password"), Ok(present().and(lists().negated())));
        assert_eq!(translated("attribute:*"), Ok(present()));
        assert_eq!(translated("attribute = \"a,b\""), Ok(Condition::Any(Vec::new())));
        let subject = Condition::equal("subject", Datum::Text("organizations/a/mailboxes/1".to_owned()));
        let listed = Condition::Lists { column: "records".into(), element: "1".to_owned() };
        let collection = Condition::equal("subject", Datum::Text("organizations/a/mailboxes".to_owned()));
        let about = Condition::Any(vec![subject, collection.and(listed)]);
        assert_eq!(translated("record = \"organizations/a/mailboxes/1\""), Ok(about));
        for filter in ["attribute = pass*", "attribute < password", "NOT (attribute >= a)"] {
            let refused = translated(filter).unwrap_err();
            assert!(matches!(refused, FilterProblem::Operator { .. }), "{filter}: {refused:?}");
        }
    }
}
