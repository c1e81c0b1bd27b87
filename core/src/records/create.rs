//! Create a record: defaults in, everything checked, encrypted attributes sealed.

use crate::{
    deployment::Deployment,
    policy::{self, Permit},
    record::{Draft, Given, Record, check_create},
    records::{
        ATTEMPTS, Place, Plan, RecordError, Refusal, exhausted, invalid_unless_empty, report_set, require_references,
        require_ring, sealing_ring, stored_datum, table_of,
    },
    schema::Value,
    store::{Datum, Name, Step},
};

/// Creates the record at `place`, and answers with it.
///
/// # Errors
/// See [`RecordError`].
pub async fn create(
    deployment: &Deployment,
    _permit: Permit<policy::WriteRecords>,
    place: &Place,
    mut draft: Draft,
) -> Result<Record, RecordError> {
    invalid_unless_empty(check_create(&place.entity, &mut draft))?;
    let seals = draft.given.values().any(|given| matches!(given, Given::Secret(_)));
    for _ in 0..ATTEMPTS {
        let ring = if seals { Some(sealing_ring(deployment, &place.organization).await?) } else { None };
        let now = deployment.now();
        let mut row: Vec<(Name, Datum)> = vec![
            ("id".into(), Datum::Uuid(place.id.uuid())),
            ("revision".into(), Datum::Integer(1)),
            ("create_time".into(), Datum::Time(now)),
            ("update_time".into(), Datum::Time(now)),
        ];
        for (index, given) in &draft.given {
            if let Some(attribute) = place.entity.attributes.get(*index) {
                let datum = stored_datum(deployment, place, attribute, Some(given), ring.as_deref())?;
                row.push((attribute.storage_name.clone().into(), datum));
            }
        }
        let mut plan = Plan::default();
        require_ring(&mut plan, ring.as_ref());
        require_references(&mut plan, deployment, place, clear_values(&draft));
        let insert = Step::Insert { table: table_of(&place.entity), row };
        plan.step(insert, Refusal::Answer(RecordError::AlreadyExists));
        match plan.commit(&place.organization).await? {
            None => {
                let mut record = Record {
                    id: place.id,
                    revision: 1,
                    create_time: now,
                    update_time: now,
                    values: vec![None; place.entity.attributes.len()],
                };
                for (index, value) in clear_values(&draft) {
                    if let Some(slot) = record.values.get_mut(index) {
                        *slot = Some(value);
                    }
                }
                report_set(&place.entity, &mut record.values, |name| is_given(place, &draft, name));
                return Ok(record);
            }
            Some(Refusal::StaleRing) => {
                place.organization.load_keys(deployment).await?;
            }
            Some(Refusal::Moved) => {}
            Some(Refusal::Answer(error)) => return Err(error),
        }
    }
    Err(exhausted())
}

fn clear_values(draft: &Draft) -> impl Iterator<Item = (usize, Value)> + '_ {
    draft.given.iter().filter_map(|(index, given)| match given {
        Given::Clear(value) => Some((*index, value.clone())),
        Given::Secret(_) | Given::Wrong(_) => None,
    })
}

fn is_given(place: &Place, draft: &Draft, name: &str) -> bool {
    place
        .entity
        .attributes
        .iter()
        .position(|attribute| attribute.name == name)
        .is_some_and(|index| draft.given.contains_key(&index))
}
