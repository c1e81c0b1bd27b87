//! Errors of the gRPC framework, and the details that every error gets before it is sent.

use std::collections::HashMap;

use http::HeaderMap;
use sealward::v1::ErrorReason;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{
    builder::StatusBuilder,
    failure::INTERNAL_WORDS,
    reason::{DOMAIN, reason_name},
    text::MESSAGE_MAX_BYTES,
};
use crate::foreign_text::presentable;

/// The message can't be decoded. The decoder's text isn't repeated: it may contain any data.
pub(crate) fn message_invalid() -> Status {
    StatusBuilder::new(Code::InvalidArgument, ErrorReason::MessageInvalid, "the message can't be decoded").build()
}

/// The answer is larger than the limit of messages.
pub(crate) fn answer_too_large(bytes: usize, limit: usize) -> Status {
    const BOUND: &str = "message_size_max_bytes";
    let words =
        format!("the answer has {bytes} bytes; the maximum is {limit} ({BOUND}): request fewer records or fields");
    StatusBuilder::new(Code::OutOfRange, ErrorReason::MessageTooLarge, words).bound(BOUND).with("limit", limit).build()
}

/// Whether an error has a reason. The framework's errors get theirs in [`complete`].
pub(crate) fn is_complete(status: &Status) -> bool {
    status.get_details_error_info().is_some()
}

/// Completes the status in `headers` (of a response without a body, or trailers): adds the id of the call, and an ErrorInfo if the
/// framework made the error. Headers with the status OK, or without a status, stay as they are.
pub(crate) fn complete(headers: &mut HeaderMap, call_id: &str) {
    // Before all of the headers are copied to a status.
    let code = headers.get(Status::GRPC_STATUS).map(|code| Code::from_bytes(code.as_bytes()));
    if code.is_none_or(|code| code == Code::Ok) {
        return;
    }
    // Status reads the details with an `expect`. Details in the framework's headers are always base64.
    let Some(status) = Status::from_header_map(headers) else { return };
    let mut details = status.get_error_details();
    let (mut code, mut message) = (status.code(), status.message());
    if details.error_info().is_none() {
        let (own_code, reason, words) = framework_error(code);
        details.set_error_info(reason_name(reason), DOMAIN, HashMap::new());
        code = own_code;
        message = words.unwrap_or(message);
    }
    let message = presentable(message, MESSAGE_MAX_BYTES);
    details.set_request_info(call_id, "");
    // This fails for a text that no header can contain. The incomplete status then remains.
    let _incomplete = Status::with_error_details(code, message, details).add_header(headers);
}

/// Code and reason for an error of the framework, and a message to replace its own if that may be internal.
fn framework_error(code: Code) -> (Code, ErrorReason, Option<&'static str>) {
    match code {
        Code::Unimplemented => (code, ErrorReason::MethodUnknown, None),
        // tonic returns INTERNAL for a message that can't be decoded, as if it were the server's fault.
        Code::InvalidArgument | Code::Internal => {
            (Code::InvalidArgument, ErrorReason::MessageInvalid, Some("the message can't be decoded"))
        }
        Code::OutOfRange | Code::ResourceExhausted => (code, ErrorReason::MessageTooLarge, None),
        Code::DeadlineExceeded => (code, ErrorReason::DeadlineExceeded, None),
        Code::Cancelled => (code, ErrorReason::Cancelled, None),
        Code::NotFound => (code, ErrorReason::NotFound, None),
        Code::PermissionDenied => (code, ErrorReason::PrivilegeMissing, None),
        Code::Unauthenticated => (code, ErrorReason::IdentityRequired, None),
        Code::Ok
        | Code::Unknown
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Unavailable
        | Code::DataLoss => (code, ErrorReason::Internal, Some(INTERNAL_WORDS)),
    }
}
