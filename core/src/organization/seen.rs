//! What the configuration database has seen of an organization: its ring and the head of this deployment's audit chain. An organization
//! database that is older than that was put back from a copy; it is served, and reported as *rolled back*.
//!
//! Remembered when an organization is opened, when work on its keys is over and when the server ends. What was written after that is
//! not missed. A database that is newer than what was seen is nothing to report.

use uuid::Uuid;

use crate::{
    audit::AUDIT_TABLE,
    deployment::{Deployment, deployment_id, of_organization},
    id::Timestamp,
    layout::SEEN,
    organization::{Organization, ring_rows},
    store::{Commit, CommitError, Condition, Datum, Direction, Expect, Name, Select, Step, Unavailable, rows},
};

/// A state of an organization's database.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    /// The highest version in the ring; 0 if it doesn't read.
    key_version: i64,
    /// How long this deployment's audit chain is, and the hash of its last record.
    audit_sequence: i64,
    audit_hash: Vec<u8>,
}

/// Holds the database against what was seen last, remembers what it is now, and tells since when it is known to be rolled back; `None` if
/// it isn't. A change of the key that ends after the roll-back ends the report, since it seals everything anew.
///
/// # Errors
/// If one of the databases doesn't answer.
pub async fn look(deployment: &Deployment, organization: &Organization) -> Result<Option<Timestamp>, Unavailable> {
    let configuration = &*deployment.ports.configuration;
    let writer = deployment_id(configuration).await?;
    let now = present(organization, writer).await?;
    let last = last(deployment, organization).await?;
    let rolled_back = match &last {
        None => None,
        Some((seen, since)) if now.key_version > seen.key_version && since.is_some() => None,
        Some((seen, since)) => {
            let is_older = now.key_version < seen.key_version || !continues(organization, writer, seen).await?;
            since.or_else(|| is_older.then(|| deployment.now()))
        }
    };
    if last.as_ref() != Some(&(now.clone(), rolled_back)) {
        remember(deployment, organization, now, rolled_back).await?;
    }
    Ok(rolled_back)
}

/// Since when the organization is known to be rolled back.
///
/// # Errors
/// If the configuration database doesn't answer.
pub async fn rolled_back(
    deployment: &Deployment,
    organization: &Organization,
) -> Result<Option<Timestamp>, Unavailable> {
    Ok(last(deployment, organization).await?.and_then(|(_, since)| since))
}

async fn present(organization: &Organization, writer: Uuid) -> Result<Seen, Unavailable> {
    let store = &*organization.store;
    let version = ring_rows::read(store).await?.ok().and_then(|ring| ring.version());
    let head = Select {
        table: AUDIT_TABLE.into(),
        columns: ["sequence", "hash"].map(Name::from).into(),
        rows: Condition::equal("writer", Datum::Uuid(writer)),
        order: vec![("sequence".into(), Direction::Descending)],
        limit: 1,
    };
    let (audit_sequence, audit_hash) = match store.select(head).await?.into_iter().next().as_deref() {
        Some([Datum::Integer(sequence), Datum::Bytes(hash)]) => (*sequence, hash.clone()),
        Some(_) | None => (0, Vec::new()),
    };
    Ok(Seen { key_version: version.map_or(0, |version| version.get().into()), audit_sequence, audit_hash })
}

/// Whether the trail still has the record that was its last.
async fn continues(organization: &Organization, writer: Uuid, seen: &Seen) -> Result<bool, Unavailable> {
    if seen.audit_sequence == 0 {
        return Ok(true);
    }
    let rows = Condition::equal("writer", Datum::Uuid(writer))
        .and(Condition::equal("sequence", Datum::Integer(seen.audit_sequence)))
        .and(Condition::equal("hash", Datum::Bytes(seen.audit_hash.clone())));
    Ok(organization.store.count(AUDIT_TABLE.into(), rows).await? == 1)
}

async fn last(
    deployment: &Deployment,
    organization: &Organization,
) -> Result<Option<(Seen, Option<Timestamp>)>, Unavailable> {
    let columns = ["key_version", "audit_sequence", "audit_hash", "rolled_back_time"];
    let configuration = &*deployment.ports.configuration;
    let found = rows(configuration, SEEN, &columns, of_organization(organization.id)).await?;
    Ok(found.into_iter().next().and_then(|row| match <[Datum; 4]>::try_from(row) {
        Ok([Datum::Integer(key_version), Datum::Integer(audit_sequence), Datum::Bytes(audit_hash), since]) => {
            let since = if let Datum::Time(since) = since { Some(since) } else { None };
            Some((Seen { key_version, audit_sequence, audit_hash }, since))
        }
        Ok(_) | Err(_) => None,
    }))
}

async fn remember(
    deployment: &Deployment,
    organization: &Organization,
    seen: Seen,
    rolled_back: Option<Timestamp>,
) -> Result<(), Unavailable> {
    let row = vec![
        ("organization".into(), Datum::Uuid(organization.id.uuid())),
        ("key_version".into(), Datum::Integer(seen.key_version)),
        ("audit_sequence".into(), Datum::Integer(seen.audit_sequence)),
        ("audit_hash".into(), Datum::Bytes(seen.audit_hash)),
        ("rolled_back_time".into(), rolled_back.map_or(Datum::Null, Datum::Time)),
    ];
    let steps = vec![
        Step::Delete { table: SEEN.into(), rows: of_organization(organization.id), expect: Expect::Any },
        Step::Insert { table: SEEN.into(), row },
    ];
    match deployment.ports.configuration.commit(Commit::of(steps)).await {
        Ok(()) => Ok(()),
        Err(CommitError::Refused { .. }) => Err(Unavailable("what was seen of an organization was refused".into())),
        Err(CommitError::Unavailable(cause) | CommitError::Unknown(cause)) => Err(Unavailable(cause)),
    }
}
