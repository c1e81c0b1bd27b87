//! The key change as one pure function: from what the two databases say to the one next step.
//!
//! The rpc, the start of a server and a restore all ask [`next_step`]; none of them remembers where a change was. Which text is current
//! is the ring's word alone.

use crate::{crypto::ring::stored::ReencryptionState, id::KeyVersion, organization::keys::Keys};

/// What the configuration database says of an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigurationFacts {
    /// It holds a sealed text for the ring's key-check value, and that text was proven to open the ring.
    pub has_current_text: bool,
}

/// What the organization's key ring says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingFacts {
    /// It is missing or damaged.
    Damaged,
    /// It is there, and this server can't use it: a newer version wrote it, or its text is sealed under a root key that isn't given.
    Inaccessible,
    /// It reads.
    Intact {
        /// Where its re-encryption stands.
        reencryption: ReencryptionState,
        /// The version that seals: the highest.
        version: KeyVersion,
    },
}

/// The one thing to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// Nothing: the ring can't be opened by any key.
    ReportDamage,
    /// Nothing: another server can open the ring, this one can't.
    AwaitOtherServer,
    /// Nothing until the key is restored.
    AwaitRestore {
        /// A re-encryption waits for it too.
        waiting: bool,
    },
    /// Seal again every cell of another version than this one; when a full scan finds none left, destroy the other data keys.
    Reseal(KeyVersion),
    /// Clear every cell of another version than this one, whose key is lost; then forget the texts that the ring no longer carries.
    Clear(KeyVersion),
    /// Forget the texts that the ring no longer carries; then the change is done.
    ForgetTexts,
    /// Nothing: no change is under way, and one may begin.
    Idle,
}

/// What to do next, given what the two databases say.
#[must_use]
pub fn next_step(configuration: ConfigurationFacts, ring: RingFacts) -> NextStep {
    let (reencryption, version) = match ring {
        RingFacts::Damaged => return NextStep::ReportDamage,
        RingFacts::Inaccessible => return NextStep::AwaitOtherServer,
        RingFacts::Intact { reencryption, version } => (reencryption, version),
    };
    if !configuration.has_current_text {
        return NextStep::AwaitRestore { waiting: reencryption != ReencryptionState::Idle };
    }
    match reencryption {
        ReencryptionState::Idle => NextStep::Idle,
        ReencryptionState::Running => NextStep::Reseal(version),
        ReencryptionState::Clearing => NextStep::Clear(version),
        ReencryptionState::Finishing => NextStep::ForgetTexts,
    }
}

/// What to do next for an organization whose keys were just loaded.
pub(crate) fn step(keys: &Keys) -> NextStep {
    let intact = |reencryption: ReencryptionState, version: Option<KeyVersion>| match version {
        Some(version) => RingFacts::Intact { reencryption, version },
        None => RingFacts::Damaged,
    };
    match keys {
        Keys::Active(ring) => {
            let facts = intact(ring.reencryption().state, Some(ring.version()));
            next_step(ConfigurationFacts { has_current_text: true }, facts)
        }
        Keys::Inactive(stored) => {
            let facts = intact(stored.reencryption.state, stored.version());
            next_step(ConfigurationFacts { has_current_text: false }, facts)
        }
        Keys::Inaccessible(..) => next_step(ConfigurationFacts { has_current_text: false }, RingFacts::Inaccessible),
        Keys::Damaged => next_step(ConfigurationFacts { has_current_text: false }, RingFacts::Damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intact(reencryption: ReencryptionState) -> RingFacts {
        RingFacts::Intact { reencryption, version: KeyVersion::FIRST }
    }

    const PRESENT: ConfigurationFacts = ConfigurationFacts { has_current_text: true };
    const MISSING: ConfigurationFacts = ConfigurationFacts { has_current_text: false };

    #[test]
    fn damaged_ring_has_no_next_step_with_any_configuration() {
        assert_eq!(next_step(PRESENT, RingFacts::Damaged), NextStep::ReportDamage);
        assert_eq!(next_step(MISSING, RingFacts::Damaged), NextStep::ReportDamage);
    }

    #[test]
    fn ring_that_only_another_server_can_open_is_unchanged() {
        assert_eq!(next_step(PRESENT, RingFacts::Inaccessible), NextStep::AwaitOtherServer);
        assert_eq!(next_step(MISSING, RingFacts::Inaccessible), NextStep::AwaitOtherServer);
    }

    #[test]
    fn without_the_key_text_every_state_waits_for_a_restore() {
        for (state, waiting) in [
            (ReencryptionState::Idle, false),
            (ReencryptionState::Running, true),
            (ReencryptionState::Finishing, true),
            (ReencryptionState::Clearing, true),
        ] {
            assert_eq!(next_step(MISSING, intact(state)), NextStep::AwaitRestore { waiting });
        }
    }

    #[test]
    fn with_the_key_text_a_change_continues_at_the_state_of_the_ring() {
        assert_eq!(next_step(PRESENT, intact(ReencryptionState::Idle)), NextStep::Idle);
        assert_eq!(next_step(PRESENT, intact(ReencryptionState::Running)), NextStep::Reseal(KeyVersion::FIRST));
        assert_eq!(next_step(PRESENT, intact(ReencryptionState::Clearing)), NextStep::Clear(KeyVersion::FIRST));
        assert_eq!(next_step(PRESENT, intact(ReencryptionState::Finishing)), NextStep::ForgetTexts);
    }

    /// A model of one change with a crash before every step: whatever is lost between the two databases, the steps lead to rest with
    /// the text that the ring carries, and no step is taken twice once it is done.
    #[test]
    fn change_that_crashes_anywhere_completes() {
        use ReencryptionState::{Finishing, Idle, Running};
        for crash_after in 0..4 {
            let mut state = [Idle, Running, Finishing, Idle][crash_after];
            let mut steps = 0;
            while next_step(PRESENT, intact(state)) != NextStep::Idle {
                state = match next_step(PRESENT, intact(state)) {
                    NextStep::Reseal(_) => Finishing,
                    NextStep::ForgetTexts => Idle,
                    stuck @ (NextStep::ReportDamage
                    | NextStep::AwaitOtherServer
                    | NextStep::AwaitRestore { .. }
                    | NextStep::Clear(_)
                    | NextStep::Idle) => {
                        panic!("{stuck:?}")
                    }
                };
                steps += 1;
            }
            assert!(steps <= 2);
        }
    }
}
