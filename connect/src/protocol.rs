//! The protocols, by content type, and what each can't carry.

use std::fmt;

/// The framing of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC.
    Grpc,
    /// gRPC-Web with binary frames.
    GrpcWeb,
    /// gRPC-Web with frames in base64.
    GrpcWebText,
    /// Connect for methods that take and return one message, without frames.
    ConnectUnary(Codec),
    /// Connect for methods with a stream.
    ConnectStreaming(Codec),
}

/// The form of messages in Connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// The binary form of protobuf.
    Proto,
    /// The JSON mapping of protobuf.
    Json,
}

/// The content types of requests with their protocols.
const CONTENT_TYPES: [(&str, Protocol); 10] = [
    ("application/grpc", Protocol::Grpc),
    ("application/grpc+proto", Protocol::Grpc),
    ("application/grpc-web", Protocol::GrpcWeb),
    ("application/grpc-web+proto", Protocol::GrpcWeb),
    ("application/grpc-web-text", Protocol::GrpcWebText),
    ("application/grpc-web-text+proto", Protocol::GrpcWebText),
    ("application/proto", Protocol::ConnectUnary(Codec::Proto)),
    ("application/json", Protocol::ConnectUnary(Codec::Json)),
    ("application/connect+proto", Protocol::ConnectStreaming(Codec::Proto)),
    ("application/connect+json", Protocol::ConnectStreaming(Codec::Json)),
];

impl Protocol {
    /// The protocol of a request with this content type. JSON may declare the charset UTF-8; other parameters of a content type don't
    /// change the framing, and are ignored.
    #[must_use]
    pub fn of_content_type(content_type: &str) -> Option<Self> {
        let mut parts = content_type.split(';');
        let media_type = parts.next().unwrap_or_default().trim_end_matches([' ', '\t']);
        let (_, protocol) = CONTENT_TYPES.into_iter().find(|(served, _)| media_type.eq_ignore_ascii_case(served))?;
        if protocol.is_json() && parts.any(is_other_charset) {
            return None;
        }
        Some(protocol)
    }

    /// The served content types.
    pub fn content_types() -> impl Iterator<Item = &'static str> {
        CONTENT_TYPES.into_iter().map(|(content_type, _)| content_type)
    }

    /// The content type of answers.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Grpc => "application/grpc",
            Self::GrpcWeb => "application/grpc-web+proto",
            Self::GrpcWebText => "application/grpc-web-text+proto",
            Self::ConnectUnary(Codec::Proto) => "application/proto",
            Self::ConnectUnary(Codec::Json) => "application/json",
            Self::ConnectStreaming(Codec::Proto) => "application/connect+proto",
            Self::ConnectStreaming(Codec::Json) => "application/connect+json",
        }
    }

    /// The name, for logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::GrpcWeb => "grpc-web",
            Self::GrpcWebText => "grpc-web-text",
            Self::ConnectUnary(Codec::Proto) | Self::ConnectStreaming(Codec::Proto) => "connect",
            Self::ConnectUnary(Codec::Json) | Self::ConnectStreaming(Codec::Json) => "connect-json",
        }
    }

    /// Whether messages are JSON.
    #[must_use]
    pub fn is_json(self) -> bool {
        matches!(self, Self::ConnectUnary(Codec::Json) | Self::ConnectStreaming(Codec::Json))
    }

    /// Whether it is one of the two forms of Connect.
    #[must_use]
    pub fn is_connect(self) -> bool {
        matches!(self, Self::ConnectUnary(_) | Self::ConnectStreaming(_))
    }
}

fn is_other_charset(parameter: &str) -> bool {
    match parameter.trim_matches([' ', '\t']).split_once('=') {
        Some((name, value)) if name.eq_ignore_ascii_case("charset") => {
            !value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        Some(_) | None => false,
    }
}

/// Why a protocol can't carry a call. The layer adds it to the request's extensions; the service behind it refuses the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// gRPC-Web has no stream of requests.
    ClientStreaming,
    /// Streams in both directions need HTTP/2.
    BidirectionalOverHttp1,
    /// gRPC needs HTTP/2.
    GrpcOverHttp1,
    /// The method has a stream, and the content type is that of methods without.
    NeedsStreaming,
    /// The method has no stream, and the content type is that of methods with one.
    NeedsUnary,
    /// The version of Connect isn't 1.
    ConnectVersion,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientStreaming => "gRPC-Web can't send a stream of messages: use gRPC or Connect",
            Self::BidirectionalOverHttp1 => "a bidirectional stream needs HTTP/2: use gRPC or Connect over HTTP/2",
            Self::GrpcOverHttp1 => "gRPC needs HTTP/2: use HTTP/2, or gRPC-Web or Connect",
            Self::NeedsStreaming => {
                "the method has a stream: use the content type application/connect+json or application/connect+proto"
            }
            Self::NeedsUnary => "the method has no stream: use the content type application/json or application/proto",
            Self::ConnectVersion => "this version of Connect isn't supported: send connect-protocol-version: 1",
        })
    }
}

impl Unsupported {
    /// The name, for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ClientStreaming => "client-streaming",
            Self::BidirectionalOverHttp1 => "bidirectional-over-http1",
            Self::GrpcOverHttp1 => "grpc-over-http1",
            Self::NeedsStreaming => "unary-content-type",
            Self::NeedsUnary => "streaming-content-type",
            Self::ConnectVersion => "connect-version",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_have_their_protocol() {
        for (content_type, protocol) in CONTENT_TYPES {
            assert_eq!(Protocol::of_content_type(content_type), Some(protocol));
            assert_eq!(Protocol::of_content_type(&content_type.to_uppercase()), Some(protocol));
            assert_eq!(Protocol::of_content_type(&format!("{content_type} ; x=y")), Some(protocol));
            assert_eq!(Protocol::of_content_type(&format!("{content_type}x")), None);
            assert_eq!(Protocol::of_content_type(&format!("text/plain; {content_type}")), None);
            assert_eq!(Protocol::of_content_type(protocol.content_type()), Some(protocol));
        }
        assert_eq!(Protocol::of_content_type(""), None);
        assert_eq!(Protocol::of_content_type("application/grpc+json"), None);
    }

    #[test]
    fn json_is_utf_8() {
        let json = Some(Protocol::ConnectUnary(Codec::Json));
        for served in ["application/json; charset=utf-8", "application/json;Charset=\"UTF-8\""] {
            assert_eq!(Protocol::of_content_type(served), json, "{served}");
        }
        for other in ["application/json; charset=utf-16", "application/json;charset=latin1"] {
            assert_eq!(Protocol::of_content_type(other), None, "{other}");
        }
    }
}
