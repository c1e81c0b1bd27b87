//! The audit record of a write of encrypted attributes: the caller, the record, and the attributes that were set,
//! cleared or deleted.
//!
//! Each commit that writes encrypted attributes contains one such record, so that there is no write without a record. A
//! repetition, a refusal or a dry run has none. The record contains names of attributes, but never a value. Other
//! writes have no such record.

use crate::{
    audit::entry::{AuditAction, AuditEntry},
    deployment::Deployment,
    id::Timestamp,
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

    /// Adds the step that records the write, if it has an effect.
    ///
    /// # Errors
    /// [`RecordError::Store`] if audit records can't be written at present.
    pub(super) fn record(
        &self,
        plan: &mut Plan,
        deployment: &Deployment,
        place: &RecordPlace,
        caller: &Caller,
        time: Timestamp,
        mode: Mode,
    ) -> Result<(), RecordError> {
        let Some(details) = self.details() else { return Ok(()) };
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
        let names: Vec<&str> = self.0.iter().map(|(_, attribute)| attribute.name.as_str()).collect();
        let entry = AuditEntry {
            caller: Some(caller.clone()),
            attributes: Some(names.join(",")),
            details: Some(details),
            ..AuditEntry::done(time, AuditAction::WriteEncryptedAttributes, place.resource_name())
        };
        plan.step(Step::Audit(entry), Refusal::Moved);
        Ok(())
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
}
