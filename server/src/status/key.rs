//! Errors of key operations, and of access to data whose key can't be used.

use std::{fmt::Display, time::Duration};

use sealward::v1::ErrorReason;
use sealward_core::{
    crypto::{
        kek::Fingerprint,
        key_text::{GivenTextHint, KeyTextViolation},
    },
    key::{KeyError, RESTORE_INTERVAL_SECONDS},
    name::OrganizationName,
    organization::Obstacle,
    violation::{Problem, Violation},
};
use tonic::{Code, Status};

use super::{
    builder::{StatusBuilder, Wrong},
    failure::store_failure,
    text::and_more,
    violation::invalid,
};

/// The key is stored, but this server can't use it.
pub(super) fn inaccessible(organization: &OrganizationName, obstacle: Obstacle) -> Status {
    let builder = match obstacle {
        Obstacle::NewerRing { format } => written_by_newer_version("key-ring", format),
        Obstacle::NewerCell { format } => written_by_newer_version("cell", format),
        Obstacle::NewerKeyText { format } => written_by_newer_version("key-text", format),
        Obstacle::UnknownRootKey { id } => StatusBuilder::new(
            Code::Unavailable,
            ErrorReason::RootKeyUnknown,
            format!("the organization's key is sealed under the root key {id}, which this server doesn't have: add it to root_key.sources"),
        )
        .with("root_key_id", id),
    };
    builder.with("organization", organization).build()
}

fn written_by_newer_version(what: &'static str, format: impl Display) -> StatusBuilder {
    StatusBuilder::new(
        Code::Unavailable,
        ErrorReason::WrittenByNewerVersion,
        format!("the {what} has format {format}, written by a newer version of the server: run that version; no data is lost"),
    )
    .with("what", what)
    .with("format", format)
}

/// The delay before a retry, if another SetDataEncryptionKey is running.
const RETRY_SET_KEY: Duration = Duration::from_secs(5);

pub(super) fn ring_damaged(organization: &OrganizationName) -> Status {
    StatusBuilder::new(
        Code::DataLoss,
        ErrorReason::KeyRingDamaged,
        "the organization's key ring is missing or damaged: restore its database from a backup",
    )
    .with("organization", organization)
    .dynamics_code("8004852F")
    .build()
}

pub(super) fn inactive(organization: &OrganizationName, wanted: Fingerprint) -> Status {
    StatusBuilder::new(
        Code::FailedPrecondition,
        ErrorReason::DataEncryptionInactive,
        format!("data encryption is inactive: restore the key with the fingerprint {wanted}"),
    )
    .with("organization", organization)
    .with("wanted_fingerprint", wanted)
    .dynamics_code("80048524")
    .build()
}

/// The limit in `[limits]` that refused a key operation, if any.
pub(crate) fn bound_of_key_error(error: &KeyError) -> Option<&'static str> {
    if matches!(error, KeyError::ChangeQuota { .. }) {
        Some("key_changes_per_hour")
    } else if matches!(error, KeyError::RestoreQuota { .. }) {
        Some("wrong_key_restores_per_15_minutes")
    } else {
        None
    }
}

/// An error of a key operation. `progress` is the number of cells that a re-encryption has done, and the total.
pub(crate) fn key(error: KeyError, organization: &OrganizationName, progress: Option<(u64, u64)>) -> Status {
    key_from(error, organization, progress, ENCRYPTION_KEY)
}

/// An error of the key texts of an import as a copy.
pub(super) fn key_of_copy(error: KeyError, copy: &OrganizationName) -> Status {
    key_from(error, copy, None, "source_encryption_key")
}

/// `existing` is the field with the text of an existing key.
fn key_from(
    error: KeyError,
    organization: &OrganizationName,
    progress: Option<(u64, u64)>,
    existing: &'static str,
) -> Status {
    use Code::{Aborted, FailedPrecondition, InvalidArgument};
    let bound = bound_of_key_error(&error);
    let refused = |code, reason, dynamics_code, message: String| {
        StatusBuilder::new(code, reason, message).with("organization", organization).dynamics_code(dynamics_code)
    };
    let quota = |reason, interval_seconds: u32, retry_after_seconds: u64, limit: u32, message: String| {
        refused(Code::ResourceExhausted, reason, "80048529", format!("{message}; wait {retry_after_seconds} seconds"))
            .bound_if_any(bound)
            .with("limit", limit)
            .with("interval_seconds", interval_seconds)
            .retry_after(Duration::from_secs(retry_after_seconds))
    };
    let builder = match error {
        KeyError::AlreadyRunning => {
            let message = "another SetDataEncryptionKey, or its re-encryption, is running: try again when it has ended"
                .to_owned();
            let (done, total) = progress.unwrap_or_default();
            refused(Aborted, ErrorReason::SetKeyAlreadyRunning, "8004852A", message)
                .with("cells_done", done)
                .with("cells_total", total)
                .retry_after(RETRY_SET_KEY)
        }
        KeyError::Inactive { wanted } => {
            let message = format!("the key is missing: restore the key with the fingerprint {wanted}, then change it");
            refused(FailedPrecondition, ErrorReason::KeyInactive, "80048527", message)
                .with("wanted_fingerprint", wanted)
        }
        KeyError::NotPresent { wanted } => return inactive(organization, wanted),
        KeyError::AlreadyActive => {
            let message = "data encryption is already active: to set another key, change it".to_owned();
            refused(FailedPrecondition, ErrorReason::KeyAlreadyActive, "80048525", message)
        }
        KeyError::RingDamaged => return ring_damaged(organization),
        KeyError::Inaccessible(obstacle) => return inaccessible(organization, obstacle),
        KeyError::Mismatch { wanted, given_length, hints } => {
            let message = mismatch_message(wanted, &hints);
            let builder = refused(FailedPrecondition, ErrorReason::KeyMismatch, "8004852B", message)
                .with("wanted_fingerprint", wanted)
                .with("given_length", given_length);
            let names: Vec<_> = hints.iter().map(|hint| hint.name()).collect();
            if names.is_empty() { builder } else { builder.with("given_text", names.join(",")) }
        }
        KeyError::ChangeQuota { limit, retry_after_seconds } => {
            let message = format!("the key was changed {limit} times within an hour");
            quota(ErrorReason::KeyChangeQuota, 3_600, retry_after_seconds, limit, message)
        }
        KeyError::RestoreQuota { limit, retry_after_seconds } => {
            let message = format!("the key was tried {limit} times within 15 minutes");
            quota(ErrorReason::KeyRestoreQuota, RESTORE_INTERVAL_SECONDS, retry_after_seconds, limit, message)
        }
        KeyError::NotConfirmed { expected } => {
            return invalid(vec![Violation::new("confirm_fingerprint", Problem::NotConfirmed { expected })]);
        }
        KeyError::TextRule { violations, given_length } => {
            let first = violations.first().map_or_else(String::new, ToString::to_string);
            let message = and_more(format!("{ENCRYPTION_KEY}: {first}"), violations.len());
            let builder = refused(InvalidArgument, ErrorReason::KeyValidation, KEY_VALIDATION_CODE, message)
                .with("given_length", given_length);
            let wrong = |violation: &KeyTextViolation| wrong_text(ENCRYPTION_KEY, violation, violation.reason());
            violations.iter().map(wrong).fold(builder, StatusBuilder::wrong)
        }
        KeyError::TextNotRestorable { violation, given_length } => {
            let message = format!("{existing}: {violation}");
            refused(InvalidArgument, ErrorReason::KeyValidation, KEY_VALIDATION_CODE, message)
                .with("given_length", given_length)
                .wrong(wrong_text(existing, violation, violation.reason()))
        }
        KeyError::Store(failure) => store_failure(failure).with("organization", organization),
    };
    builder.build()
}

fn wrong_text(field: &str, description: impl Display, reason: &str) -> Wrong {
    Wrong::new(field, description, reason, Some(KEY_VALIDATION_CODE))
}

/// The field of a new key's text, and of the text of a restore.
const ENCRYPTION_KEY: &str = "encryption_key";

/// Dynamics 365's number for a key text that violates a rule.
const KEY_VALIDATION_CODE: &str = "80048528";

/// Names the key that opens the data, and describes the given text without repeating it.
fn mismatch_message(wanted: Fingerprint, hints: &[GivenTextHint]) -> String {
    let message = format!("this key doesn't open the data: use the key with the fingerprint {wanted}");
    if hints.is_empty() {
        return message;
    }
    let words: Vec<_> = hints.iter().map(|hint| hint.words()).collect();
    format!("{message}; the given text {}: check how it was entered", words.join(", "))
}
