//! HTTPS_REQUIRED for a request of HTTP/1.1 that came without TLS: as an error of Connect for its content types, otherwise as plain text.
//!
//! Nothing here decides whether a call needs TLS: the error is an answer of gRPC that is translated.

use bytes::Bytes;
use data_encoding::BASE64_NOPAD;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, header::CONTENT_TYPE};
use http_body_util::Full;
use prost::Message as _;
use serde_json::json;
use tonic::{Code, Status, body::Body};
use tonic_types::pb;

use super::request_rules::text;

/// The message for a client that speaks neither Connect nor gRPC.
pub(super) const HTTPS_REQUIRED: &str = "HTTPS_REQUIRED: this port speaks TLS: use https://.\n";

/// The form of an error in Connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// JSON, of a unary call.
    Unary,
    /// The end of a stream.
    Stream {
        /// The content type of the stream.
        content_type: &'static str,
    },
}

/// The flag of the message that ends a stream.
const END_STREAM: u8 = 0b10;

impl Form {
    /// The form for a request with this content type; `None` if it isn't one of Connect.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        let is = |other: &str| media_type.eq_ignore_ascii_case(other);
        if is("application/json") || is("application/proto") {
            return Some(Form::Unary);
        }
        ["application/connect+json", "application/connect+proto"]
            .into_iter()
            .find(|other| is(other))
            .map(|content_type| Form::Stream { content_type })
    }

    /// The answer with an error.
    pub(super) fn answer(self, status: &Status) -> Response<Body> {
        let error = error(status);
        let (status, content_type, content) = match self {
            Form::Unary => (http_status(status.code()), "application/json", error.to_string().into_bytes()),
            // A stream always begins with 200, and ends with its error.
            Form::Stream { content_type } => {
                let end = json!({ "error": error }).to_string();
                let length = u32::try_from(end.len()).unwrap_or(u32::MAX).to_be_bytes();
                (StatusCode::OK, content_type, [&[END_STREAM][..], &length, end.as_bytes()].concat())
            }
        };
        let mut response = text(status, "");
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        response.map(|_| Body::new(Full::new(Bytes::from(content))))
    }
}

/// A call of gRPC to the same path, without its message: its answer is the error of the request.
pub(super) fn as_grpc(head: &http::request::Parts) -> Request<Body> {
    let mut call = Request::new(Body::empty());
    *call.method_mut() = http::Method::POST;
    *call.uri_mut() = head.uri.clone();
    *call.version_mut() = Version::HTTP_2;
    *call.extensions_mut() = head.extensions.clone();
    call.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    call
}

/// The answer to a request whose content type isn't one of Connect.
pub(super) fn plain() -> Response<Body> {
    text(StatusCode::BAD_REQUEST, HTTPS_REQUIRED)
}

/// The error as in the Connect protocol.
fn error(status: &Status) -> serde_json::Value {
    let details = pb::Status::decode(status.details()).map(|status| status.details).unwrap_or_default();
    let details: Vec<_> = details
        .iter()
        .map(|detail| {
            let kind = detail.type_url.rsplit('/').next().unwrap_or_default();
            json!({ "type": kind, "value": BASE64_NOPAD.encode(&detail.value) })
        })
        .collect();
    json!({ "code": code_name(status.code()), "message": status.message(), "details": details })
}

/// The name of a code in Connect.
fn code_name(code: Code) -> &'static str {
    match code {
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
        Code::Unknown | Code::Ok => "unknown",
    }
}

/// The HTTP status of a code in Connect.
fn http_status(code: Code) -> StatusCode {
    match code {
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
        Code::Internal | Code::DataLoss | Code::Unknown | Code::Ok => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::status::Refusal;

    fn form(content_type: &str) -> Option<Form> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        Form::of(&headers)
    }

    #[test]
    fn content_types_of_connect_get_its_errors() {
        for unary in ["application/json", "Application/JSON; charset=utf-8", "application/proto"] {
            assert_eq!(form(unary), Some(Form::Unary), "{unary}");
        }
        let content_type = "application/connect+json";
        assert_eq!(form(content_type), Some(Form::Stream { content_type }));
        for other in ["application/grpc", "text/plain", "application/grpc-web+proto", ""] {
            assert_eq!(form(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn error_has_code_message_and_details_of_the_status() {
        let status = Status::from(Refusal::HttpsRequired);
        let answer = Form::Unary.answer(&status);
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()[CONTENT_TYPE]),
            (400, &HeaderValue::from_static("application/json"))
        );
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let error: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&error["code"], &error["message"]), (&"failed_precondition".into(), &status.message().into()));
        let detail = &error["details"][0];
        assert_eq!(detail["type"], "google.rpc.ErrorInfo");
        let value = BASE64_NOPAD.decode(detail["value"].as_str().unwrap().as_bytes()).unwrap();
        assert_eq!(pb::ErrorInfo::decode(&*value).unwrap().reason, "HTTPS_REQUIRED");

        let answer = Form::Stream { content_type: "application/connect+proto" }.answer(&status);
        assert_eq!(answer.status(), 200);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let (prefix, end) = body.split_at(5);
        assert_eq!(prefix, [&[2][..], &u32::try_from(end.len()).unwrap().to_be_bytes()].concat());
        assert_eq!(serde_json::from_slice::<serde_json::Value>(end).unwrap(), json!({ "error": error }));
    }
}
