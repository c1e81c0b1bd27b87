//! Seals encrypted attributes: finds the current ring, and creates the value of a column.

use std::sync::Arc;

use crate::{
    crypto::{context::CellContext, ring::KeyRing},
    deployment::Deployment,
    organization::{handle::Organization, keys::Keys},
    random::Random,
    record::{content::Given, error::RecordError, place::RecordPlace},
    schema::{entity::Attribute, value::datum_of},
    store::{Datum, StoreFailure},
    violation::field_violation,
};

/// Returns the ring to seal with, and loads it if it isn't in memory. Before an inactive organization is refused, its
/// keys are loaded again.
pub(crate) async fn sealing_ring(
    deployment: &Deployment,
    organization: &Organization,
) -> Result<Arc<KeyRing>, RecordError> {
    if let Some(Keys::Active(ring)) = organization.keys() {
        return Ok(ring);
    }
    match organization.load_keys(deployment).await? {
        Keys::Active(ring) => Ok(ring),
        Keys::Inactive(stored) => Err(RecordError::Inactive { wanted: stored.fingerprint() }),
        Keys::Inaccessible(obstacle, _) => Err(RecordError::Inaccessible(obstacle)),
        Keys::Damaged => Err(RecordError::RingDamaged),
    }
}

/// Returns the stored value of an attribute: a clear value, a sealed cell or null.
pub(crate) fn stored_datum(
    place: &RecordPlace,
    attribute: &Attribute,
    given: Option<&Given>,
    ring: Option<&KeyRing>,
    random: &dyn Random,
) -> Result<Datum, RecordError> {
    match given {
        None => Ok(Datum::Null),
        Some(Given::Clear(value)) => Ok(datum_of(value)),
        Some(Given::Secret(plaintext)) => match ring {
            Some(ring) => Ok(Datum::Bytes(ring.seal(&context(place, attribute), plaintext, random))),
            None => Err(RecordError::Store(StoreFailure::Unavailable("no key ring to seal a value with".into()))),
        },
        Some(Given::Wrong(problem)) => {
            Err(RecordError::Invalid(vec![field_violation(&place.entity, attribute, problem.clone())]))
        }
    }
}

/// Returns the context that a cell of this attribute and record is bound to.
pub(crate) fn context<'a>(place: &'a RecordPlace, attribute: &'a Attribute) -> CellContext<'a> {
    CellContext {
        organization: place.organization.id,
        entity: &place.entity.storage_name,
        record: place.id,
        attribute: &attribute.storage_name,
    }
}
