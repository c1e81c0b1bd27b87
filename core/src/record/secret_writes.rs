//! The audit record of a write of encrypted attributes: who set, cleared or deleted which ones of which record.
//!
//! One record for each commit that does so, in that commit: without the record there is no write, and a repeated, refused or only
//! checked write leaves none. It names attributes and never has a value. Writes that touch no encrypted attribute have no record here.

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

/// What a write does to an encrypted attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It gets a value, whether it had one or not.
    Set,
    /// Its value goes because the caller asked for that.
    Cleared,
    /// Its value goes because the update changes where it is sent.
    ClearedAutomatically,
    /// Its value goes with the record.
    Deleted,
}

impl Effect {
    const ALL: [Effect; 4] = [Effect::Set, Effect::Cleared, Effect::ClearedAutomatically, Effect::Deleted];

    /// The word in the details of a record; part of the contract.
    fn word(self) -> &'static str {
        match self {
            Effect::Set => "set",
            Effect::Cleared => "cleared",
            Effect::ClearedAutomatically => "cleared-automatically",
            Effect::Deleted => "deleted",
        }
    }
}

/// What one commit does to the encrypted attributes of a record.
#[derive(Default)]
pub(super) struct SecretWrites<'a>(Vec<(Effect, &'a Attribute)>);

impl<'a> SecretWrites<'a> {
    pub(super) fn add(&mut self, effect: Effect, attribute: &'a Attribute) {
        self.0.push((effect, attribute));
    }

    /// The names of the attributes that the write clears without having been asked to.
    pub(super) fn cleared_automatically(&self) -> Vec<String> {
        self.with(Effect::ClearedAutomatically).map(str::to_owned).collect()
    }

    /// Adds the step that records the write, if there is anything to record.
    ///
    /// # Errors
    /// [`RecordError::Store`] where nothing that has to be recorded may be done now.
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
            Mode::Make | Mode::MakeOnce(_) => {
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
