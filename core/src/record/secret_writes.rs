//! The audit record of a write of encrypted attributes: the caller, the records, and the attributes that were set,
//! cleared or deleted.
//!
//! Each commit that writes encrypted attributes contains one such record, so that there is no write without a record. If
//! a commit writes several records, those with the same effect have one audit record, which lists their ids. A
//! repetition, a refusal or a dry run has none. The record contains names of attributes, but never a value. Other
//! writes have no such record.

use std::collections::BTreeMap;

use crate::{
    audit::entry::{AuditAction, AuditEntry},
    deployment::Deployment,
    id::{RecordId, Timestamp},
    identity::Caller,
    record::{
        error::RecordError,
        mode::Mode,
        place::RecordPlace,
        plan::{Plan, Refusal},
    },
    schema::entity::Attribute,
    store::{Step, StoreFailure},
};

/// The effect of a write on an encrypted attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// A value is set, whether or not there was one before.
    Set,
    /// The value is cleared by the request.
    Cleared,
    /// The value is cleared because the update changes its destination.
    ClearedAutomatically,
    /// The value is deleted with the record.
    Deleted,
}

impl Effect {
    const ALL: [Effect; 4] = [Effect::Set, Effect::Cleared, Effect::ClearedAutomatically, Effect::Deleted];

    /// Returns the word in the details of a record. It is part of the contract.
    fn word(self) -> &'static str {
        match self {
            Effect::Set => "set",
            Effect::Cleared => "cleared",
            Effect::ClearedAutomatically => "cleared-automatically",
            Effect::Deleted => "deleted",
        }
    }
}

/// The effects of one commit on the encrypted attributes of a record.
#[derive(Default)]
pub(super) struct SecretWrites<'a>(Vec<(Effect, &'a Attribute)>);

impl<'a> SecretWrites<'a> {
    pub(super) fn add(&mut self, effect: Effect, attribute: &'a Attribute) {
        self.0.push((effect, attribute));
    }

    /// Returns the names of the attributes that the write clears although the request doesn't ask for it.
    pub(super) fn cleared_automatically(&self) -> Vec<String> {
        self.with(Effect::ClearedAutomatically).map(str::to_owned).collect()
    }

    /// Returns the names of the attributes, separated by commas.
    fn names(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(|(_, attribute)| attribute.name.as_str()).collect();
        names.join(",")
    }

    /// `set incoming_password; cleared-automatically outgoing_password`
    fn details(&self) -> Option<String> {
        let of = |effect: Effect| {
            let names: Vec<&str> = self.with(effect).collect();
            (!names.is_empty()).then(|| format!("{} {}", effect.word(), names.join(",")))
        };
        let parts: Vec<String> = Effect::ALL.into_iter().filter_map(of).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    fn with(&self, effect: Effect) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(other, _)| *other == effect).map(|(_, attribute)| attribute.name.as_str())
    }
}

/// Adds the steps that record the writes of a commit, if they have effects: one audit record for each effect.
///
/// # Errors
/// [`RecordError::Store`] if audit records can't be written at present.
pub(super) fn record(
    plan: &mut Plan,
    deployment: &Deployment,
    place: &RecordPlace,
    caller: &Caller,
    time: Timestamp,
    mode: Mode,
    writes: &[(RecordId, SecretWrites<'_>)],
) -> Result<(), RecordError> {
    let by_effect = by_effect(writes);
    if by_effect.is_empty() {
        return Ok(());
    }
    match mode {
        Mode::Execute | Mode::ExecuteOnce(_) => {
            deployment
                .ports
                .audit_gate
                .admit()
                .map_err(|cause| RecordError::Store(StoreFailure::AuditUnavailable(cause)))?;
        }
        Mode::ValidateOnly => {}
    }
    plan.begin_item(None);
    for (details, (attributes, ids)) in by_effect {
        let (subject, records) = match ids.as_slice() {
            [only] => (place.at(*only).resource_name(), None),
            several => (place.collection_name(), Some(joined(several))),
        };
        let entry = AuditEntry {
            caller: Some(caller.clone()),
            attributes: Some(attributes),
            details: Some(details),
            records,
            ..AuditEntry::done(time, AuditAction::WriteEncryptedAttributes, subject)
        };
        plan.step(Step::Audit(entry), Refusal::Moved);
    }
    Ok(())
}

/// Returns the attributes and records of each effect, by its details.
fn by_effect(writes: &[(RecordId, SecretWrites<'_>)]) -> BTreeMap<String, (String, Vec<RecordId>)> {
    let mut by_effect: BTreeMap<String, (String, Vec<RecordId>)> = BTreeMap::new();
    for (id, write) in writes {
        if let Some(details) = write.details() {
            by_effect.entry(details).or_insert_with(|| (write.names(), Vec::new())).1.push(*id);
        }
    }
    by_effect
}

fn joined(ids: &[RecordId]) -> String {
    let ids: Vec<String> = ids.iter().map(RecordId::to_string).collect();
    ids.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::entity::Kind;

    #[test]
    fn details_list_attributes_by_action() {
        let attributes = ["a", "b", "c", "d"].map(|name| Attribute::new(name, Kind::Text));
        let mut writes = SecretWrites::default();
        assert_eq!(writes.details(), None);
        writes.add(Effect::ClearedAutomatically, &attributes[0]);
        writes.add(Effect::Set, &attributes[1]);
        writes.add(Effect::Cleared, &attributes[2]);
        writes.add(Effect::Set, &attributes[3]);
        assert_eq!(writes.details().unwrap(), "set b,d; cleared c; cleared-automatically a");
        assert_eq!(writes.cleared_automatically(), ["a"]);
    }

    #[test]
    fn records_with_the_same_effect_are_listed_together() {
        let attributes = ["a", "b"].map(|name| Attribute::new(name, Kind::Text));
        let writes = |effects: &[(Effect, usize)]| {
            let mut writes = SecretWrites::default();
            effects.iter().for_each(|(effect, index)| writes.add(*effect, &attributes[*index]));
            writes
        };
        let id = |number| RecordId::from_bytes([number; 16]);
        let all = [
            (id(1), writes(&[(Effect::Set, 0)])),
            (id(2), writes(&[(Effect::Cleared, 0), (Effect::Set, 1)])),
            (id(3), writes(&[])),
            (id(4), writes(&[(Effect::Set, 0)])),
        ];
        let found: Vec<_> = by_effect(&all).into_iter().collect();
        let expected = [
            ("set a".to_owned(), ("a".to_owned(), vec![id(1), id(4)])),
            ("set b; cleared a".to_owned(), ("a,b".to_owned(), vec![id(2)])),
        ];
        assert_eq!(found, expected);
        assert_eq!(joined(&[id(1), id(2)]), format!("{},{}", id(1), id(2)));
    }
}
