//! Connect and gRPC-Web as framings of gRPC: a tower layer before services that know only gRPC.
//!
//! The layer changes the framing of a request to that of gRPC, and the framing of the answer to that of the caller. It also compresses and
//! decompresses messages. It doesn't know what a message means, who calls, or which calls are allowed: the services behind it decide that,
//! and make every error. A gRPC call without compression passes unchanged.
//!
//! | module | does |
//! |---|---|
//! | [`layer`](FramingLayer) | detects the protocol of a request, and changes both framings |
//! | `protocol`, `headers` | protocols by content type; headers of each protocol |
//! | `methods` | methods by path: their messages, and which of their answers may be compressed |
//! | `request`, `request_error`, `answer` | the bodies, and what can be wrong with a request |
//! | [`answer_json`](AnswerJsonLayer) | the messages of an answer as JSON |
//! | `error` | errors of Connect: JSON, HTTP status |
//! | `secret` | fields with `debug_redact` |
//! | `envelope`, `gzip`, `text`, `buffer` | messages within a body, compression, base64, memory that is wiped |
//! | [`json`] | the JSON mapping of protobuf |
#![warn(missing_docs)]

mod answer;
mod answer_json;
mod buffer;
mod envelope;
mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
mod gzip;
mod headers;
pub mod json;
mod layer;
mod methods;
mod protocol;
mod request;
mod request_error;
mod secret;
mod text;

pub use self::{
    answer_json::{AnswerJson, AnswerJsonFuture, AnswerJsonLayer, NoJsonForm},
    buffer::BufferBound,
    error::{error_json, http_status},
    layer::{Framing, FramingLayer},
    methods::{Methods, MethodsError},
    protocol::{Codec, Protocol, Unsupported},
    request_error::RequestError,
};
