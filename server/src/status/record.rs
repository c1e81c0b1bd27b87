//! Errors of records, lists and metadata of attributes.

use std::time::Duration;

use sealward::v1::ErrorReason;
use sealward_core::{
    id::RecordId,
    list::page::ListingError,
    metadata::update::UpdateMetadataError,
    name::RecordName,
    organization::Organization,
    record::{RecordError, RecordPlace, compare::INTERVAL_SECONDS},
    schema::{Attribute, Entity},
    store::Unavailable,
};
use tonic::{Code, Status};

use super::{
    builder::StatusBuilder,
    failure::{internal, store_failure, unavailable},
    key::{inaccessible, inactive, ring_damaged},
    text::and_more,
    violation::invalid,
};
use crate::config::limits::ERROR_VIOLATIONS_MAX;

/// The page token wasn't issued for this list and this caller.
pub(crate) fn page_token_invalid() -> Status {
    StatusBuilder::new(
        Code::InvalidArgument,
        ErrorReason::PageTokenInvalid,
        "page_token: isn't a token that this list returned to this caller for this filter and order: list from the first page",
    )
    .violation(
        "page_token",
        "isn't a token that this list returned to this caller for this filter and order: list from the first page",
        "NOT_A_PAGE_TOKEN",
    )
    .build()
}

/// Errors of lists.
pub(crate) fn listing(error: ListingError) -> Status {
    match error {
        ListingError::PageToken => page_token_invalid(),
        ListingError::TooLong { limit_ms } => list_too_long(limit_ms),
        ListingError::Unavailable(Unavailable(cause)) => unavailable(cause),
    }
}

/// The database reached the time limit of a list.
pub(super) fn list_too_long(limit_ms: u64) -> Status {
    let message = format!(
        "the list took longer than {limit_ms} ms: narrow the filter, order by an indexed attribute, or leave out the total size"
    );
    StatusBuilder::new(Code::ResourceExhausted, ErrorReason::ListTimeLimit, message)
        .bound("list_time_max_ms")
        .with("limit_ms", limit_ms)
        .build()
}

/// The fields that errors of a batch's items are about.
pub(crate) struct BatchFields<'a> {
    /// The list of items: `requests` or `names`.
    pub(crate) items: &'a str,
    /// The field of an item with the record's name or id; empty if the item is the name.
    pub(crate) id: &'a str,
    /// The field of an item with the etag.
    pub(crate) etag: &'a str,
    /// The records, by the index of their items.
    pub(crate) ids: &'a [RecordId],
}

impl BatchFields<'_> {
    /// `requests[3].mailbox.name`
    fn path(&self, index: usize, field: &str) -> String {
        let item = format!("{}[{index}]", self.items);
        if field.is_empty() { item } else { format!("{item}.{field}") }
    }
}

/// Errors of batches. An error of items lists them.
pub(crate) fn batch(error: RecordError, place: &RecordPlace, fields: &BatchFields<'_>) -> Status {
    let RecordError::Items(items) = error else { return record(error, place) };
    if items.iter().any(|(_, error)| matches!(error, RecordError::Invalid(_))) {
        let violations = items.into_iter().flat_map(|(index, error)| {
            let RecordError::Invalid(violations) = error else { return Vec::new() };
            let item = fields.path(index, "");
            violations.into_iter().map(|violation| violation.within(&item)).collect()
        });
        return invalid(violations.collect());
    }
    let total = items.len();
    let mut items = items.into_iter().peekable();
    let (field, problem, reason) = match items.peek() {
        Some((_, RecordError::NotFound)) => (fields.id, "doesn't exist", "NOT_FOUND"),
        Some((_, RecordError::AlreadyExists)) => (fields.id, "already exists: use another id", "ALREADY_EXISTS"),
        Some((_, RecordError::EtagMismatch)) => {
            (fields.etag, "was changed after this etag was read: read it again", "ETAG_MISMATCH")
        }
        // Errors that aren't those of several items.
        Some(_) | None => {
            return items.next().map_or_else(|| internal(UnknownItem), |(_, error)| record(error, place));
        }
    };
    let organization = &place.organization.name;
    let name = |index: usize| {
        let (organization, collection) = (organization.clone(), &place.entity.collection);
        let id = fields.ids.get(index).copied();
        id.map(|id| RecordName { organization, collection, id }.to_string()).unwrap_or_default()
    };
    let listed: Vec<(String, String)> = items
        .take(ERROR_VIOLATIONS_MAX)
        .map(|(index, _)| (fields.path(index, field), format!("{} {problem}", name(index))))
        .collect();
    let message = match listed.first() {
        Some((field, words)) => and_more(format!("{field}: {words}"), total),
        None => problem.to_owned(),
    };
    let builder = match reason {
        "NOT_FOUND" => StatusBuilder::not_found(&message),
        "ALREADY_EXISTS" => StatusBuilder::already_exists(&message),
        _ => StatusBuilder::new(Code::Aborted, ErrorReason::EtagMismatch, message).dynamics_code("80060882"),
    };
    let builder = builder.with("organization", organization).with("entity", &place.entity.name);
    let builder = listed.iter().fold(builder, |builder, (field, words)| builder.violation(field, words, reason));
    builder.leave_out(total.saturating_sub(listed.len())).build()
}

/// A batch was refused without an item.
#[derive(Debug, thiserror::Error)]
#[error("a batch was refused without an item")]
struct UnknownItem;

/// Errors of records.
pub(crate) fn record(error: RecordError, place: &RecordPlace) -> Status {
    let (organization, entity) = (&place.organization.name, &place.entity.name);
    match error {
        RecordError::Invalid(violations) => invalid(violations),
        RecordError::PageToken => page_token_invalid(),
        RecordError::ListTooLong { limit_ms } => list_too_long(limit_ms),
        RecordError::Items(items) => match items.into_iter().next() {
            Some((_, error)) => record(error, place),
            None => internal(UnknownItem),
        },
        RecordError::BatchTooLarge { limit_bytes } => StatusBuilder::new(
            Code::OutOfRange,
            ErrorReason::MessageTooLarge,
            format!(
                "the records of the batch are larger than {limit_bytes} bytes, the part of a message that is left for them \
                 (message_size_max_bytes); nothing was done: send smaller batches"
            ),
        )
        .bound("message_size_max_bytes")
        .with("limit", limit_bytes)
        .build(),
        RecordError::NotFound => StatusBuilder::not_found("the record doesn't exist")
            .with("organization", organization)
            .with("entity", entity)
            .build(),
        RecordError::AlreadyExists => StatusBuilder::already_exists("a record with this id already exists: use another id")
            .with("organization", organization)
            .with("entity", entity)
            .build(),
        RecordError::EtagMismatch => StatusBuilder::new(
            Code::Aborted,
            ErrorReason::EtagMismatch,
            "the record was changed after this etag was read: read the record again",
        )
        .with("organization", organization)
        .with("entity", entity)
        .dynamics_code("80060882")
        .build(),
        RecordError::RequestIdReused => StatusBuilder::new(
            Code::InvalidArgument,
            ErrorReason::RequestIdReused,
            "request_id was already used for a different request: use a new one; nothing changed",
        )
        .with("organization", organization)
        .violation("request_id", "was used for a different request in the last 24 hours: use a new one", "REUSED")
        .build(),
        RecordError::ReferenceInUse { entity, attribute } => StatusBuilder::new(
            Code::FailedPrecondition,
            ErrorReason::ReferenceInUse,
            format!("{entity}.{attribute} of another record refers to this record: remove the reference first"),
        )
        .with("organization", organization)
        .with("entity", entity)
        .with("attribute", attribute)
        .build(),
        RecordError::Inactive { wanted } => inactive(organization, wanted),
        RecordError::RingDamaged => ring_damaged(organization),
        RecordError::Inaccessible(obstacle) => inaccessible(organization, obstacle),
        RecordError::CellUnreadable { entity, attribute } => {
            StatusBuilder::new(Code::DataLoss, ErrorReason::CellUnreadable, "the stored value can't be decrypted: set the attribute again")
                .with("organization", organization)
                .with("entity", entity)
                .with("attribute", attribute)
                .dynamics_code("80048524")
                .build()
        }
        RecordError::ComparisonQuota { limit, retry_after_seconds } => StatusBuilder::new(
            Code::ResourceExhausted,
            ErrorReason::ComparisonQuota,
            format!("the attribute was compared {limit} times within 15 minutes, the maximum: try again in {retry_after_seconds} seconds"),
        )
        .with("organization", organization)
        .bound(COMPARISONS)
        .with("limit", limit)
        .with("interval_seconds", INTERVAL_SECONDS)
        .retry_after(Duration::from_secs(retry_after_seconds.into()))
        .build(),
        RecordError::Store(failure) => store_failure(failure).with("organization", organization).build(),
    }
}

/// The entity or the attribute doesn't exist.
pub(crate) fn metadata_not_found(message: &str) -> Status {
    StatusBuilder::not_found(message).build()
}

/// The operation isn't available for encrypted attributes.
pub(crate) fn encrypted_attribute(organization: &Organization, entity: &Entity, attribute: &Attribute) -> Status {
    let message =
        format!("{}.{} is encrypted: it can't be audited, indexed or customized", entity.name, attribute.name);
    StatusBuilder::new(Code::FailedPrecondition, ErrorReason::EncryptedAttribute, message)
        .with("organization", &organization.name)
        .with("entity", &entity.name)
        .with("attribute", &attribute.name)
        .build()
}

/// Errors of changes of an attribute's metadata.
pub(crate) fn update_metadata(
    error: UpdateMetadataError,
    organization: &Organization,
    entity: &Entity,
    attribute: &Attribute,
) -> Status {
    match error {
        UpdateMetadataError::Encrypted => encrypted_attribute(organization, entity, attribute),
        UpdateMetadataError::Invalid(violations) => invalid(violations),
        UpdateMetadataError::Store(failure) => store_failure(failure).with("organization", &organization.name).build(),
    }
}

/// The limit in `[limits]` on comparisons of one attribute.
pub(crate) const COMPARISONS: &str = "comparisons_per_15_minutes";
