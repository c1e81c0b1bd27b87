//! Reveals encrypted attributes: the only path to plaintext.
//!
//! The caller, the attributes and the purpose are recorded durably in the organization's trail before a value is
//! returned. If the record can't be written, nothing is revealed.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    audit::entry::{AuditAction, AuditEntry, OUTCOME_DONE},
    crypto::{cell, ring::KeyRing, secret::Plaintext},
    deployment::Deployment,
    id::RecordId,
    organization::{
        handle::Organization,
        keys::{Keys, Obstacle},
    },
    permit::Permit,
    policy,
    port::KeyUse,
    record::{
        error::{RecordError, exhausted},
        place::RecordPlace,
        plan::ATTEMPTS,
        row::read_cells,
        seal::{context, sealing_ring},
    },
    schema::{
        check::line_problem,
        entity::{Attribute, Entity, Kind},
    },
    store::{Datum, StoreFailure},
    violation::{Problem, Violation},
};

/// The maximum length of a purpose in Unicode scalar values, so that it fits one line of a trail.
pub(crate) const PURPOSE_MAX: u32 = 200;

/// A revealed value.
pub struct Revealed {
    /// The plaintext of the value.
    pub plaintext: Plaintext,
    /// Whether the value is text. Otherwise it is bytes.
    pub is_text: bool,
}

/// Returns the values of these encrypted attributes by name. Null attributes are absent.
///
/// # Errors
/// See [`RecordError`]. The refusal of a well-formed call is recorded in the trail.
pub async fn reveal(
    deployment: &Deployment,
    permit: Permit<policy::Reveal>,
    entity: &Arc<Entity>,
    id: RecordId,
    attributes: &[String],
    purpose: &str,
) -> Result<BTreeMap<String, Revealed>, RecordError> {
    let place = &permit.record_of(entity, id);
    let wanted = check(place, attributes, purpose)?;
    let outcome = read_and_open(deployment, place, &wanted).await;
    let reason = match &outcome {
        Ok(_) => OUTCOME_DONE,
        Err(error) => refusal_word(error),
    };
    let entry = AuditEntry {
        caller: Some(permit.caller().clone()),
        outcome: reason,
        attributes: Some(attributes.join(",")),
        purpose: Some(purpose.to_owned()),
        ..AuditEntry::done(deployment.now(), AuditAction::RevealAttributes, place.resource_name())
    };
    record_access(place, entry).await?;
    outcome
}

/// Returns the outcome for the trail, which is the reason that the caller gets.
pub(crate) fn refusal_word(error: &RecordError) -> &'static str {
    match error {
        RecordError::NotFound => "NOT_FOUND",
        RecordError::Inactive { .. } => "DATA_ENCRYPTION_INACTIVE",
        RecordError::RingDamaged => "KEY_RING_DAMAGED",
        RecordError::Inaccessible(obstacle) => obstacle.reason(),
        RecordError::CellUnreadable { .. } => "CELL_UNREADABLE",
        RecordError::Invalid(_)
        | RecordError::PageToken
        | RecordError::ListTooLong { .. }
        | RecordError::Items(_)
        | RecordError::BatchTooLarge { .. }
        | RecordError::AlreadyExists
        | RecordError::EtagMismatch
        | RecordError::RequestIdReused
        | RecordError::ReferenceInUse { .. }
        | RecordError::ComparisonQuota { .. }
        | RecordError::Store(_) => "STORE_UNAVAILABLE",
    }
}

pub(super) fn check<'a>(
    place: &'a RecordPlace,
    names: &[String],
    purpose: &str,
) -> Result<Vec<&'a Attribute>, RecordError> {
    let mut violations = Vec::new();
    let mut wanted: Vec<&Attribute> = Vec::new();
    if names.is_empty() {
        violations.push(Violation::new("attributes", Problem::Required));
    }
    for (position, name) in names.iter().enumerate() {
        let problem = match place.entity.attribute(name) {
            None => Some(Problem::no_such_field(name, place.entity.encrypted().map(|attribute| &*attribute.name))),
            Some(attribute) if !attribute.encrypted => Some(Problem::NotEncrypted),
            Some(attribute) if wanted.iter().any(|other| other.name == attribute.name) => Some(Problem::Repeated),
            Some(attribute) => {
                wanted.push(attribute);
                None
            }
        };
        violations.extend(problem.map(|problem| Violation::new(format!("attributes[{position}]"), problem)));
    }
    violations.extend(check_purpose(purpose));
    if violations.is_empty() { Ok(wanted) } else { Err(RecordError::Invalid(violations)) }
}

/// Returns the violation of an invalid purpose.
pub(crate) fn check_purpose(purpose: &str) -> Option<Violation> {
    line_problem(purpose, PURPOSE_MAX).map(|problem| Violation::new("purpose", problem))
}

pub(super) async fn read_and_open(
    deployment: &Deployment,
    place: &RecordPlace,
    wanted: &[&Attribute],
) -> Result<BTreeMap<String, Revealed>, RecordError> {
    let read = || async move { read_cells(place, wanted).await?.ok_or(RecordError::NotFound) };
    open_with_ring(deployment, &place.organization, read, |cells, ring| open(place, wanted, cells, ring)).await
}

/// Reads cells and opens them under the current ring.
///
/// Reads the ring before the cells. If a cell doesn't open, either of them may be newer than the other. Both are then
/// read again, until the same ring and cells fail twice.
pub(crate) async fn open_with_ring<Read, Opened, Reading, Error>(
    deployment: &Deployment,
    organization: &Organization,
    read: impl Fn() -> Reading,
    open: impl Fn(&Read, &KeyRing) -> Result<Opened, Unopened>,
) -> Result<Opened, Error>
where
    Read: PartialEq,
    Reading: Future<Output = Result<Read, Error>>,
    Error: From<RecordError>,
{
    let mut ring = sealing_ring(deployment, organization).await?;
    let mut failed = None;
    for _ in 0..ATTEMPTS {
        let cells = read().await?;
        let opening = deployment.begin(KeyUse::Open);
        let opened = open(&cells, &ring);
        drop(opening);
        match opened {
            Ok(values) => return Ok(values),
            Err(Unopened { entity, attribute, newer_format }) => {
                let now = Some((ring.revision(), cells));
                if failed == now {
                    let error = match newer_format {
                        Some(format) => RecordError::Inaccessible(Obstacle::NewerCell { format }),
                        None => RecordError::CellUnreadable { entity, attribute },
                    };
                    return Err(error.into());
                }
                failed = now;
                ring = reload(deployment, organization).await?;
            }
        }
    }
    Err(exhausted().into())
}

async fn reload(deployment: &Deployment, organization: &Organization) -> Result<Arc<KeyRing>, RecordError> {
    match organization.load_keys(deployment).await? {
        Keys::Active(ring) => Ok(ring),
        Keys::Inactive(stored) => Err(RecordError::Inactive { wanted: stored.fingerprint() }),
        Keys::Inaccessible(obstacle, _) => Err(RecordError::Inaccessible(obstacle)),
        Keys::Damaged => Err(RecordError::RingDamaged),
    }
}

/// The attribute whose cell can't be opened.
pub(crate) struct Unopened {
    entity: String,
    attribute: String,
    /// The format of the cell, if a newer version sealed it.
    newer_format: Option<u8>,
}

/// Opens the cell of one attribute of a record.
pub(crate) fn open_cell(
    place: &RecordPlace,
    attribute: &Attribute,
    cell: &[u8],
    ring: &KeyRing,
) -> Result<Plaintext, Unopened> {
    ring.open_cell(&context(place, attribute), cell).map_err(|_| Unopened {
        entity: place.entity.name.clone(),
        attribute: attribute.name.clone(),
        newer_format: cell::newer_format(cell),
    })
}

fn open(
    place: &RecordPlace,
    wanted: &[&Attribute],
    cells: &[Datum],
    ring: &KeyRing,
) -> Result<BTreeMap<String, Revealed>, Unopened> {
    let mut values = BTreeMap::new();
    for (attribute, cell) in wanted.iter().zip(cells) {
        if let Datum::Bytes(cell) = cell {
            let plaintext = open_cell(place, attribute, cell, ring)?;
            values.insert(attribute.name.clone(), Revealed { plaintext, is_text: attribute.kind == Kind::Text });
        }
    }
    Ok(values)
}

/// Records an access to the secrets of a record, before any of them is returned.
pub(crate) async fn record_access(place: &RecordPlace, entry: AuditEntry) -> Result<(), RecordError> {
    Ok(place.organization.record(entry).await.map_err(StoreFailure::unaudited)?)
}
