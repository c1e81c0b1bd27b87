//! Errors of Connect: their JSON, and the status of HTTP.

use data_encoding::BASE64_NOPAD;
use http::{HeaderMap, StatusCode};
use prost::Message as _;
use serde_json::{Map, Value, json};
use tonic::{Code, Status};

use crate::{headers::is_grpc, json, methods::Methods, text::encode_detail};

/// The prefix of the types of details.
const TYPE_PREFIX: &str = "type.googleapis.com/";

/// The name of a code in Connect.
fn name(code: Code) -> &'static str {
    match code {
        // An error has another code.
        Code::Ok | Code::Unknown => "unknown",
        Code::Cancelled => "canceled",
        Code::InvalidArgument => "invalid_argument",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::NotFound => "not_found",
        Code::AlreadyExists => "already_exists",
        Code::PermissionDenied => "permission_denied",
        Code::ResourceExhausted => "resource_exhausted",
        Code::FailedPrecondition => "failed_precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out_of_range",
        Code::Unimplemented => "unimplemented",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data_loss",
        Code::Unauthenticated => "unauthenticated",
    }
}

/// The HTTP status of an error in Connect, outside a stream.
#[must_use]
pub fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
        // The client has closed the request; the number has no name in HTTP.
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
    }
}

/// The JSON of an error in Connect: code, message and details as bytes, for a server that answers without the layer.
#[must_use]
pub fn error_json(status: &Status) -> Value {
    body(status, &Methods::default())
}

/// The JSON of an error: code, message and details. Each detail has its bytes and, for people, its JSON form.
pub(crate) fn body(status: &Status, methods: &Methods) -> Value {
    let mut error = Map::new();
    error.insert("code".to_owned(), name(status.code()).into());
    if !status.message().is_empty() {
        error.insert("message".to_owned(), status.message().into());
    }
    let details = tonic_types::pb::Status::decode(status.details()).map(|status| status.details).unwrap_or_default();
    if !details.is_empty() {
        let details = details.into_iter().map(|detail| {
            let name = detail.type_url.rsplit('/').next().unwrap_or_default();
            let mut shown = json!({ "type": name, "value": encode_detail(&detail.value) });
            if detail.type_url.starts_with(TYPE_PREFIX)
                && let Some(debug) = debug(name, &detail.value, methods)
                && let Some(shown) = shown.as_object_mut()
            {
                shown.insert("debug".to_owned(), debug);
            }
            shown
        });
        error.insert("details".to_owned(), details.collect());
    }
    Value::Object(error)
}

fn debug(name: &str, value: &[u8], methods: &Methods) -> Option<Value> {
    let text = json::encode(&methods.message(name)?, value).ok()?;
    serde_json::from_slice(&text).ok()
}

/// The message at the end of a stream: the error, if there is one, and the trailers.
pub(crate) fn end_of_stream(status: &Status, trailers: &HeaderMap, methods: &Methods) -> Vec<u8> {
    let mut end = Map::new();
    if status.code() != Code::Ok {
        end.insert("error".to_owned(), body(status, methods));
    }
    let metadata = metadata(trailers);
    if !metadata.is_empty() {
        end.insert("metadata".to_owned(), Value::Object(metadata));
    }
    Value::Object(end).to_string().into_bytes()
}

fn metadata(trailers: &HeaderMap) -> Map<String, Value> {
    let names = trailers.keys().filter(|name| !is_grpc(name));
    let values =
        |name| trailers.get_all(name).iter().map(|value| Value::from(text(value.as_bytes()))).collect::<Vec<_>>();
    names.map(|name| (name.as_str().to_owned(), Value::Array(values(name)))).collect()
}

/// The value of a header as text. One that isn't text can only be passed on in base64.
fn text(value: &[u8]) -> String {
    std::str::from_utf8(value).map_or_else(|_| BASE64_NOPAD.encode(value), str::to_owned)
}

#[cfg(test)]
mod tests {
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;

    fn status() -> Status {
        let mut details = ErrorDetails::new();
        details.set_error_info("ETAG_MISMATCH", "sealward", [("entity".to_owned(), "Mailbox".to_owned())]);
        details.set_request_info("the-call", "");
        Status::with_error_details(Code::Aborted, "the etag is stale", details)
    }

    #[test]
    fn error_has_details_as_bytes_and_for_people() {
        let methods = Methods::new([]).unwrap();
        let error = body(&status(), &methods);
        assert_eq!((error["code"].as_str(), error["message"].as_str()), (Some("aborted"), Some("the etag is stale")));
        let [info, request] = &error["details"].as_array().unwrap()[..] else { panic!("{error}") };
        assert_eq!(info["type"], "google.rpc.ErrorInfo");
        assert_eq!(info["debug"]["reason"], "ETAG_MISMATCH");
        assert_eq!(info["debug"]["metadata"]["entity"], "Mailbox");
        let value = BASE64_NOPAD.decode(info["value"].as_str().unwrap().as_bytes()).unwrap();
        let details = tonic_types::pb::Status::decode(status().details()).unwrap().details;
        assert_eq!(value, details[0].value);
        assert_eq!(request["debug"]["requestId"], "the-call");
    }

    #[test]
    fn end_of_a_stream_has_error_and_trailers() {
        let methods = Methods::new([]).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let ok = end_of_stream(&Status::ok(""), &HeaderMap::new(), &methods);
        assert_eq!(ok, b"{}");
        trailers.append("x-count", "1".parse().unwrap());
        trailers.append("x-count", "2".parse().unwrap());
        let end: Value = serde_json::from_slice(&end_of_stream(&status(), &trailers, &methods)).unwrap();
        assert_eq!(end["error"]["code"], "aborted");
        assert_eq!(end["metadata"], json!({ "x-count": ["1", "2"] }));
    }
}
