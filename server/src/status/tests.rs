//! What statuses carry, and how large they are.

use std::time::Duration;

use http::HeaderMap;
use sealward::v1::ErrorReason;
use sealward_core::{
    crypto::{
        kek::Fingerprint,
        key_text::{GivenTextHint, KeyTextViolation},
    },
    key::KeyError,
    name::OrganizationName,
    organization::import::ImportError,
    text::is_invisible,
    violation::{Problem, Violation},
};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{
    builder::{BOUND, StatusBuilder},
    record::list_too_long,
    *,
};
use crate::{audit::copy::CopyUnavailable, identity::token::TokenProblem, transport::connection_limit::LimitReached};

fn default() -> OrganizationName {
    "default".parse().unwrap()
}

fn headers_of(status: &Status) -> HeaderMap {
    let mut headers = HeaderMap::new();
    status.add_header(&mut headers).unwrap();
    headers
}

fn completed(status: &Status) -> Status {
    let mut headers = headers_of(status);
    complete(&mut headers, "the-call");
    Status::from_header_map(&headers).unwrap()
}

#[test]
fn refusal_has_reason_domain_and_the_number_of_dynamics_365() {
    let status = Status::from(Refusal::HttpsRequired);
    assert_eq!(status.code(), Code::FailedPrecondition);
    let info = status.get_details_error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("HTTPS_REQUIRED", "sealward"));
    assert_eq!(info.metadata.get("dynamics_code").map(String::as_str), Some("8004852C"));
}

#[test]
fn a_refusal_by_a_limit_names_the_limit() {
    let second = Duration::from_secs(1);
    for (refusal, bound) in [
        (
            Refusal::TooOften {
                bound: "calls_per_second_per_identity",
                limit: 1,
                interval_seconds: 1,
                retry_after: second,
            },
            "calls_per_second_per_identity",
        ),
        (Refusal::ConnectionLimit(LimitReached::Identity { limit: 1 }), "connections_per_identity_max"),
        (Refusal::ConnectionLimit(LimitReached::Listener { limit: 1 }), "connections_max"),
        (Refusal::RequestMemory { bound: "requests_max_bytes", limit: 1 }, "requests_max_bytes"),
        (Refusal::MessageTooLarge { bound: "message_size_max_bytes", limit: 1 }, "message_size_max_bytes"),
        (Refusal::MessageTooSlow { limit: second }, "message_time_max_ms"),
        (Refusal::TooManyInFlight { bound: "streams_per_identity_max", limit: 1 }, "streams_per_identity_max"),
        (Refusal::TooManyIndexSwitches { limit: 1, retry_after: second }, "index_switches_per_hour"),
        (Refusal::TransferLimit(TransferLimit::Rate), "transfer_rate_min_bytes_per_second"),
        (Refusal::TransferLimit(TransferLimit::Time), "transfer_time_max_seconds"),
        (Refusal::TransferLimit(TransferLimit::Log), "write_ahead_log_max_bytes"),
        (Refusal::TransferLimit(TransferLimit::KeyChange), "snapshot"),
        (Refusal::MetadataTooLarge(MetadataTooLarge { limit: 1 }), "header_list_size_max_bytes"),
        (Refusal::TokenRefused(TokenProblem::Lifetime { max_seconds: 1 }), "token_lifetime_max_seconds"),
    ] {
        assert_eq!(bound_in(&Status::from(refusal)).as_deref(), Some(bound));
    }
    let change = KeyError::ChangeQuota { limit: 1, retry_after_seconds: 1 };
    assert_eq!(bound_in(&key(change, &default(), None)).as_deref(), Some("key_changes_per_hour"));
    let restore = KeyError::RestoreQuota { limit: 1, retry_after_seconds: 1 };
    assert_eq!(bound_in(&key(restore, &default(), None)).as_deref(), Some("wrong_key_restores_per_15_minutes"));
    assert_eq!(bound_in(&key(KeyError::AlreadyActive, &default(), None)), None);
    let behind = audit_copy_unavailable(CopyUnavailable::Behind { records: 2, limit: 1 });
    assert_eq!(bound_in(&behind).as_deref(), Some("audit_copy_behind_max_records"));
    assert_eq!(bound_in(&list_too_long(1)).as_deref(), Some("list_time_max_ms"));
    // Of several violations, the first that a limit refused.
    let violations = vec![wrong_field("x"), Violation::new("read_mask", Problem::TooMany { limit: 1 })];
    assert_eq!(bound_in(&invalid(violations)).as_deref(), Some("mask_paths_max"));
    assert_eq!(bound_in(&invalid(vec![wrong_field("x")])), None);
}

fn bound_in(status: &Status) -> Option<String> {
    status.get_details_error_info()?.metadata.get(BOUND).cloned()
}

#[test]
fn message_of_a_transfer_limit_fits_every_call_that_it_can_end() {
    // A verification of cells has a snapshot too, and transfers no file.
    for limit in [TransferLimit::Log, TransferLimit::KeyChange] {
        let words = limit.words();
        assert!(!words.contains("export") && !words.contains("transfer"), "{words}");
    }
}

#[test]
fn completing_adds_the_call_and_keeps_the_rest() {
    let status = StatusBuilder::new(Code::ResourceExhausted, ErrorReason::KeyChangeQuota, "wait")
        .with("limit", 5)
        .violation("encryption_key", "too short", "TOO_SHORT")
        .retry_after(Duration::from_secs(7))
        .build();
    let completed = completed(&status);
    assert_eq!((completed.code(), completed.message()), (status.code(), status.message()));
    let details = completed.get_error_details();
    assert_eq!(details.request_info().unwrap().request_id, "the-call");
    let info = details.error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.metadata.get("limit").map(String::as_str)), ("KEY_CHANGE_QUOTA", Some("5")));
    assert_eq!(details.retry_info().unwrap().retry_delay, Some(Duration::from_secs(7)));
    assert_eq!(details.bad_request().unwrap().field_violations.len(), 1);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "what the framework does")]
fn framework_errors_get_a_reason() {
    for (status, reason) in [
        (Status::unimplemented(""), "METHOD_UNKNOWN"),
        (Status::out_of_range("too large"), "MESSAGE_TOO_LARGE"),
        (Status::cancelled("Timeout expired"), "CANCELLED"),
    ] {
        let completed = completed(&status);
        assert_eq!((completed.code(), completed.message()), (status.code(), status.message()));
        assert_eq!(completed.get_details_error_info().unwrap().reason, reason);
        assert_eq!(completed.get_details_request_info().unwrap().request_id, "the-call");
    }
    let undecodable = completed(&Status::internal("failed to decode Protobuf message: the field /secret"));
    assert_eq!((undecodable.code(), undecodable.message()), (Code::InvalidArgument, "the message can't be decoded"));
    assert_eq!(undecodable.get_details_error_info().unwrap().reason, "MESSAGE_INVALID");
    let unknown = completed(&Status::unknown("the path /secret is missing"));
    assert_eq!(unknown.get_details_error_info().unwrap().reason, "INTERNAL");
    assert!(!unknown.message().contains("secret"));
}

fn wrong_field(field: impl Into<String>) -> Violation {
    Violation::new(field, Problem::Required)
}

/// The length of the headers that a status becomes, as HTTP/2 counts them: 32 bytes for each beside its name and value.
fn headers_length(status: &Status) -> usize {
    let mut headers = headers_of(status);
    complete(&mut headers, "0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506");
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
}

#[test]
fn an_error_lists_16_violations_and_counts_the_others() {
    for (total, left_out) in [(1, None), (16, None), (17, Some("1")), (100_000, Some("99984"))] {
        let status = invalid((0..total).map(|index| wrong_field(format!("field_{index}"))).collect());
        let details = status.get_error_details();
        assert_eq!(details.bad_request().unwrap().field_violations.len(), total.min(16));
        let info = details.error_info().unwrap();
        assert_eq!(info.metadata.get("violations_left_out").map(String::as_str), left_out, "{total}");
        assert_eq!(info.metadata["dynamics_codes"], ",".repeat(total.min(16) - 1));
        let more = if total > 1 { format!(", and {} more", total - 1) } else { String::new() };
        assert_eq!(status.message(), format!("field_0: must have a value{more}"));
    }
}

#[test]
fn largest_error_fits_the_limit_of_clients() {
    let long = |character: char| character.to_string().repeat(100_000);
    let everything = (0..100).map(|_| {
        let description = long('é');
        Violation::new(
            long('e'),
            Problem::Rule { reason: "REASON".to_owned(), description, dynamics_code: Some("8005E201".to_owned()) },
        )
    });
    for status in [
        invalid(everything.collect()),
        import_organization(ImportError::Invalid(long('\u{1f511}')), Some(&default())),
        StatusBuilder::new(Code::Internal, ErrorReason::Internal, long('%'))
            .with("one", long('é'))
            .with("two", long('é'))
            .build(),
    ] {
        assert!(headers_length(&status) <= 8_192, "{}", headers_length(&status));
        assert!(!status.get_error_details().error_info().unwrap().reason.is_empty());
    }
}

#[test]
fn violation_that_decides_the_reason_is_always_shown() {
    let mut violations: Vec<_> = (0..40).map(|_| wrong_field("mailbox.display_name")).collect();
    let (entity, attribute) = ("Mailbox".to_owned(), "password".to_owned());
    violations.push(Violation::new("filter", Problem::Encrypted { entity, attribute }));
    let status = invalid(violations);
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "ENCRYPTED_ATTRIBUTE");
    assert_eq!(details.bad_request().unwrap().field_violations[0].reason, "ENCRYPTED");
    assert!(status.message().starts_with("filter: contains `password`"), "{}", status.message());
}

#[test]
fn each_violation_has_its_own_number_of_dynamics_365() {
    let status = invalid(vec![
        wrong_field("mailbox.display_name"),
        Violation::new("mailbox.username", Problem::TooLong { given: 201, limit: 200 }),
        Violation::new("profile.port", Problem::OutOfRange { minimum: 0, maximum: 65_535 }),
    ]);
    let details = status.get_error_details();
    let metadata = &details.error_info().unwrap().metadata;
    assert_eq!(metadata["dynamics_codes"], ",80044331,80061004");
    assert_eq!(metadata["dynamics_code"], "80044331");
}

#[test]
fn every_violation_has_a_reason() {
    let rule = KeyError::TextRule {
        violations: vec![KeyTextViolation::NoLetter, KeyTextViolation::InvisibleCharacter],
        given_length: 12,
    };
    for (status, reasons) in [
        (key(rule, &default(), None), &["NO_LETTER", "HAS_INVISIBLE"][..]),
        (page_token_invalid(), &["NOT_A_PAGE_TOKEN"]),
    ] {
        let details = status.get_error_details();
        let violations = &details.bad_request().unwrap().field_violations;
        let given: Vec<_> = violations.iter().map(|violation| violation.reason.as_str()).collect();
        assert_eq!(given, reasons);
    }
}

#[test]
fn a_key_mismatch_hints_at_the_given_text_without_repeating_it() {
    let wanted = Fingerprint::from_bytes([7; 8]);
    let mismatch = |hints| key(KeyError::Mismatch { wanted, given_length: 12, hints }, &default(), None);
    let plain = mismatch(Vec::new());
    assert_eq!(plain.get_error_details().error_info().unwrap().metadata.get("given_text"), None);
    let hinted = mismatch(vec![GivenTextHint::BeginsWithByteOrderMark, GivenTextHint::EndsWithBlank]);
    let details = hinted.get_error_details();
    assert_eq!(details.error_info().unwrap().metadata["given_text"], "BEGINS_WITH_BYTE_ORDER_MARK,ENDS_WITH_BLANK");
    assert!(hinted.message().contains("begins with a byte order mark, ends with whitespace"));
}

#[test]
fn errors_contain_no_control_or_invisible_characters() {
    let text = "a\u{1b}[31m\r\n\u{202e}\u{200b}b";
    let status = import_organization(ImportError::Invalid(text.to_owned()), Some(&default()));
    let details = status.get_error_details();
    for shown in [status.message(), &*details.error_info().unwrap().metadata["problem"]] {
        assert!(!shown.chars().any(|character| character.is_control() || is_invisible(character)), "{shown:?}");
    }
}

#[test]
fn answer_without_an_error_is_unchanged() {
    let mut headers = HeaderMap::new();
    complete(&mut headers, "the-call");
    assert!(headers.is_empty());
    headers.insert(Status::GRPC_STATUS, i32::from(Code::Ok).into());
    complete(&mut headers, "the-call");
    assert_eq!(headers.len(), 1);
}
