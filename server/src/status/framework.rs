//! Errors that the gRPC framework makes, and what every error gets on its way out.

use std::collections::HashMap;

use http::HeaderMap;
use sealward::v1::ErrorReason;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{
    builder::StatusBuilder,
    failure::INTERNAL_WORDS,
    reason::{DOMAIN, reason_name},
    text::{MESSAGE_MAX_BYTES, presentable},
};

/// The message can't be decoded. What is wrong with it isn't repeated: it may hold anything.
pub(crate) fn message_invalid() -> Status {
    StatusBuilder::new(Code::InvalidArgument, ErrorReason::MessageInvalid, "the message can't be decoded").build()
}

/// Whether an error has a reason: the framework's have none until they leave.
pub(crate) fn is_complete(status: &Status) -> bool {
    status.get_details_error_info().is_some()
}

/// Completes the status in `headers` (of a response without a body, or trailers): the id of the call, and an ErrorInfo where there is
/// none, which is where the framework made the error. Headers that say OK, or nothing, stay as they are.
pub(crate) fn complete(headers: &mut HeaderMap, call_id: &str) {
    // Status reads the details with an `expect`; what a header of the framework's holds is never anything but base64.
    let Some(status) = Status::from_header_map(headers).filter(|status| status.code() != Code::Ok) else { return };
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
    // Adding fails for a text that no header can hold; the incomplete status stands then.
    let _incomplete = Status::with_error_details(code, message, details).add_header(headers);
}

/// Code and reason for an error that the framework made, and words to put in place of its own where those may be internal.
fn framework_error(code: Code) -> (Code, ErrorReason, Option<&'static str>) {
    match code {
        Code::Unimplemented => (code, ErrorReason::MethodUnknown, None),
        // tonic answers a message that can't be decoded with INTERNAL, as if the server were to blame.
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
