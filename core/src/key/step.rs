//! The key change as a pure function, from the facts in the two databases to the next step.
//!
//! The rpc, the start of a server and a restore all call [`next_step`]. None of them stores the progress of a change
//! elsewhere. Only the ring determines which text is current.

use crate::{crypto::ring::stored::ReencryptionState, id::KeyVersion, organization::keys::Keys};

/// The facts about an organization in the configuration database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigurationFacts {
    /// It contains a sealed text for the ring's key-check value, and the text was verified to open the ring.
    pub has_current_text: bool,
}

/// The facts about an organization's key ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingFacts {
    /// The ring is missing or damaged.
    Damaged,
    /// The ring exists, but this server can't use it. A newer version wrote it, or its text is sealed under a root key
    /// that isn't configured.
    Inaccessible,
    /// The ring is readable.
    Intact {
        /// The state of its re-encryption.
        reencryption: ReencryptionState,
        /// The highest key version, which seals new cells.
        version: KeyVersion,
    },
}

/// The next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// No step: no key opens the ring.
    ReportDamage,
    /// No step: another server can open the ring, but not this one.
    AwaitOtherServer,
    /// No step until the key is restored.
    AwaitRestore {
        /// Whether a re-encryption waits for the restore too.
        waiting: bool,
    },
    /// Seal all cells of other versions under this one. When a full scan finds no other cell, destroy the other data
    /// keys.
    Reseal(KeyVersion),
    /// Clear all cells of other versions, whose key is lost. Then delete the texts that the ring no longer uses.
    Clear(KeyVersion),
    /// Delete the texts that the ring no longer uses. Then the change is complete.
    ForgetTexts,
    /// No step: no change is in progress, and one can start.
    Idle,
}

/// Returns the next step from the facts in the two databases.
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

/// Returns the next step for an organization whose keys were just loaded.
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

    /// Models one change with a crash before each step. Whatever is lost between the two databases, the steps lead to
    /// the idle state with the text of the ring, and no completed step is repeated.
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
