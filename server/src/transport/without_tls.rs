//! HTTPS_REQUIRED for a request of HTTP/1.1 that came without TLS: as an error of Connect for its content types, otherwise as plain text.
//!
//! Nothing here decides whether a call needs TLS: the error is an answer of gRPC that is translated.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, header::CONTENT_TYPE};
use http_body_util::Full;
use sealward_connect::{error_json, http_status};
use serde_json::json;
use tonic::{Status, body::Body};

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
        let error = error_json(status);
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

#[cfg(test)]
mod tests {
    use data_encoding::BASE64_NOPAD;
    use http_body_util::BodyExt as _;
    use prost::Message as _;
    use tonic_types::pb;

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
