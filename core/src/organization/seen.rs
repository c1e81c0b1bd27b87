//! The last known state of an organization's database: its ring, and the head of this deployment's audit chain. It is
//! stored in the configuration database. If an organization's database is older than its last known state, an old copy
//! was restored. It is served, and reported as *rolled back*.
//!
//! The state is saved when an organization is opened, when work on its keys ends, and when the server stops. A rollback
//! of later writes isn't detected. A database newer than its last known state isn't reported.
//!
//! Several servers can look at the same time. Each reads the last known state before the database, so that a change in
//! between doesn't look like a rollback. It replaces exactly the last known state that it read, so that an older look
//! never replaces a newer one.

use uuid::Uuid;

use crate::{
    audit::record,
    configuration::deployment_id,
    crypto::ring::stored::RingUnread,
    deployment::Deployment,
    id::{OrganizationId, Timestamp},
    organization::{handle::Organization, ring_rows},
    store::{Commit, CommitError, Comparison, Condition, Reader, Row, Store, Unavailable},
    table::{
        audit::AuditRecord,
        configuration::{ListedRow, SeenRow},
        declare::{Columns as _, TableRow as _},
    },
};

/// The state of an organization's database.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    /// The highest key version in the ring; 0 if the ring can't be read.
    key_version: i64,
    /// The length of this deployment's audit chain, and the hash of its last record.
    audit_sequence: i64,
    audit_hash: Vec<u8>,
}

/// The stored information about an organization's database.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Remembered {
    seen: Seen,
    /// The time when a rollback was detected.
    rolled_back: Option<Timestamp>,
    /// The position and hash of a head that is missing from the audit trail. It is kept permanently, because the loss
    /// is permanent.
    lost: Option<(i64, Vec<u8>)>,
}

/// Compares the database with its last known state, and stores the current state. Returns the time when a rollback was
/// detected; `None` if the database isn't rolled back. A change of the key that completes after the rollback ends the
/// report, because it seals all cells again.
///
/// # Errors
/// If a database is unavailable.
pub async fn check_rollback(
    deployment: &Deployment,
    organization: &Organization,
) -> Result<Option<Timestamp>, Unavailable> {
    let configuration = &*deployment.ports.configuration;
    let writer = deployment_id(configuration).await?;
    loop {
        let stored = Stored::read(configuration, organization.id).await?;
        let last = stored.remembered();
        let remembered = compare(deployment, organization, writer, last.as_ref()).await?;
        let rolled_back = remembered.rolled_back;
        if last.as_ref() == Some(&remembered) || stored.replace(configuration, organization.id, remembered).await? {
            return Ok(rolled_back);
        }
        // Another server has saved its look in between: compare with that one.
    }
}

/// Compares the database with its last known state. Returns what is known from now on.
async fn compare(
    deployment: &Deployment,
    organization: &Organization,
    writer: Uuid,
    last: Option<&Remembered>,
) -> Result<Remembered, Unavailable> {
    let now = present(organization, writer, last).await?;
    let (mut rolled_back, mut lost) = (None, None);
    if let Some(last) = last {
        let continues = continues(organization, writer, &last.seen).await?;
        lost =
            if continues { last.lost.clone() } else { Some((last.seen.audit_sequence, last.seen.audit_hash.clone())) };
        let is_sealed_again = now.key_version > last.seen.key_version && last.rolled_back.is_some();
        if !is_sealed_again {
            let is_older = now.key_version < last.seen.key_version || !continues;
            rolled_back = last.rolled_back.or_else(|| is_older.then(|| deployment.now()));
        }
    }
    Ok(Remembered { seen: now, rolled_back, lost })
}

/// Reads the time when a rollback of the organization's database was detected.
///
/// # Errors
/// If the configuration database is unavailable.
pub(crate) async fn rolled_back(
    deployment: &Deployment,
    organization: &Organization,
) -> Result<Option<Timestamp>, Unavailable> {
    let stored = Stored::read(&*deployment.ports.configuration, organization.id).await?;
    Ok(stored.remembered().and_then(|last| last.rolled_back))
}

/// Returns records that this deployment's chain in the organization's trail once contained: the last known head, and a
/// missing head if there is one.
///
/// # Errors
/// If the configuration database is unavailable.
pub(crate) async fn known_heads(
    configuration: &dyn Reader,
    organization: OrganizationId,
) -> Result<Vec<(Uuid, i64, [u8; 32])>, Unavailable> {
    let writer = deployment_id(configuration).await?;
    let Some(last) = Stored::read(configuration, organization).await?.remembered() else { return Ok(Vec::new()) };
    let heads = last.lost.into_iter().chain([(last.seen.audit_sequence, last.seen.audit_hash)]);
    Ok(heads.filter_map(|(sequence, hash)| Some((writer, sequence, hash.try_into().ok()?))).collect())
}

async fn present(organization: &Organization, writer: Uuid, last: Option<&Remembered>) -> Result<Seen, Unavailable> {
    let store = &*organization.store;
    let version = match ring_rows::read(store).await? {
        Ok(ring) => ring.version().map_or(0, |version| version.get().into()),
        // The version of a newer format is unknown, and it isn't older than the last known state.
        Err(RingUnread::Newer { .. }) => last.map_or(0, |last| last.seen.key_version),
        Err(RingUnread::Damaged(_)) => 0,
    };
    let (audit_sequence, audit_hash) = match record::head(store, writer).await? {
        Some(Ok((sequence, hash))) => (sequence, hash.to_vec()),
        // A malformed head doesn't shorten the trail: the last known head stays, and every later check compares with it.
        Some(Err(_)) => last.map(|last| (last.seen.audit_sequence, last.seen.audit_hash.clone())).unwrap_or_default(),
        None => (0, Vec::new()),
    };
    Ok(Seen { key_version: version, audit_sequence, audit_hash })
}

/// Returns whether the trail contains its last known record, or began after it when expired records were removed.
async fn continues(organization: &Organization, writer: Uuid, seen: &Seen) -> Result<bool, Unavailable> {
    if seen.audit_sequence == 0 {
        return Ok(true);
    }
    let Ok(hash) = seen.audit_hash.clone().try_into() else { return Ok(false) };
    let count = |condition: Condition| {
        organization.store.count(AuditRecord::TABLE.into(), AuditRecord::writer().is(writer).and(condition))
    };
    let position = AuditRecord::sequence;
    if count(position().is(seen.audit_sequence).and(AuditRecord::hash().is(hash))).await? == 1 {
        return Ok(true);
    }
    // A chain that was rolled back ends before the last known record. One that was cut has no record up to it.
    let up_to_seen = position().compares(Comparison::LessOrEqual, seen.audit_sequence);
    let next = position().is(seen.audit_sequence.saturating_add(1));
    let after_another = next.and(AuditRecord::previous_hash().is(hash).negated());
    Ok(count(up_to_seen).await? == 0
        && count(position().exceeds(seen.audit_sequence)).await? > 0
        && count(after_another).await? == 0)
}

/// The stored rows with the last known state: one, or none.
struct Stored(Vec<Row>);

impl Stored {
    async fn read(configuration: &dyn Reader, organization: OrganizationId) -> Result<Self, Unavailable> {
        Ok(Stored(configuration.select(SeenRow::all_columns().select(is_of(organization))).await?))
    }

    /// Returns the last known state; `None` if there is none, or if it is malformed.
    fn remembered(&self) -> Option<Remembered> {
        let row = SeenRow::all_columns().values(self.0.first()?.clone()).ok()?;
        Some(Remembered {
            seen: Seen { key_version: row.key_version, audit_sequence: row.audit_sequence, audit_hash: row.audit_hash },
            rolled_back: row.rolled_back_time,
            lost: row.lost_audit_sequence.zip(row.lost_audit_hash),
        })
    }

    /// Replaces the stored rows. Returns whether they were still the same. The state of an organization that was deleted
    /// is not saved, so that a later import of the same organization isn't compared with it.
    async fn replace(
        self,
        configuration: &dyn Store,
        organization: OrganizationId,
        remembered: Remembered,
    ) -> Result<bool, Unavailable> {
        let Remembered { seen, rolled_back, lost } = remembered;
        let (lost_audit_sequence, lost_audit_hash) = lost.unzip();
        let row = SeenRow {
            organization,
            key_version: seen.key_version,
            audit_sequence: seen.audit_sequence,
            audit_hash: seen.audit_hash,
            rolled_back_time: rolled_back,
            lost_audit_sequence,
            lost_audit_hash,
        };
        let mut steps = vec![ListedRow::require(ListedRow::id().is(organization))];
        steps.extend(SeenRow::require_unchanged(&self.0, is_of(organization)));
        steps.extend([SeenRow::delete(is_of(organization)), row.insert()]);
        match configuration.commit(Commit::of(steps)).await {
            // The first step: it was deleted.
            Ok(()) | Err(CommitError::Refused { step: 0 }) => Ok(true),
            Err(CommitError::Refused { .. }) => Ok(false),
            Err(CommitError::Unavailable(cause) | CommitError::Unknown(cause)) => Err(Unavailable(cause)),
        }
    }
}

fn is_of(organization: OrganizationId) -> Condition {
    SeenRow::organization().is(organization)
}
