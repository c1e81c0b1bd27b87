//! Headers of each protocol: to those of gRPC, and back.

use crate::{gzip::GZIP, protocol::Protocol};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, TE},
};

pub(crate) const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
pub(crate) const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
pub(crate) const CONNECT_PROTOCOL_VERSION: HeaderName = HeaderName::from_static("connect-protocol-version");
const CONNECT_TIMEOUT_MS: HeaderName = HeaderName::from_static("connect-timeout-ms");
pub(crate) const CONNECT_CONTENT_ENCODING: HeaderName = HeaderName::from_static("connect-content-encoding");
const CONNECT_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("connect-accept-encoding");

/// The maximum number of digits of `connect-timeout-ms`.
const TIMEOUT_DIGITS_MAX: usize = 10;

/// The largest number that `grpc-timeout` can have.
const GRPC_TIMEOUT_MAX: u64 = 99_999_999;

/// The header with the coding of a protocol's messages.
pub(crate) fn coding_header(protocol: Protocol) -> HeaderName {
    match protocol {
        Protocol::Grpc | Protocol::GrpcWeb | Protocol::GrpcWebText => GRPC_ENCODING,
        Protocol::ConnectUnary(_) => CONTENT_ENCODING,
        Protocol::ConnectStreaming(_) => CONNECT_CONTENT_ENCODING,
    }
}

/// The header with the codings that the other side accepts.
pub(crate) fn accept_header(protocol: Protocol) -> HeaderName {
    match protocol {
        Protocol::Grpc | Protocol::GrpcWeb | Protocol::GrpcWebText => GRPC_ACCEPT_ENCODING,
        Protocol::ConnectUnary(_) => ACCEPT_ENCODING,
        Protocol::ConnectStreaming(_) => CONNECT_ACCEPT_ENCODING,
    }
}

/// Whether the messages of a request are compressed with gzip, and with nothing else.
pub(crate) fn is_gzip(headers: &HeaderMap, protocol: Protocol) -> bool {
    let mut values = headers.get_all(coding_header(protocol)).iter();
    values.next().is_some_and(|value| value == GZIP) && values.next().is_none()
}

/// Whether the caller accepts gzip (RFC 9110, section 12.5.3).
pub(crate) fn accepts_gzip(headers: &HeaderMap, protocol: Protocol) -> bool {
    let values = headers.get_all(accept_header(protocol)).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|element| {
        let mut parts = element.split(';').map(str::trim);
        let is_refused = |weight: &str| {
            let number = weight.strip_prefix("q=").or_else(|| weight.strip_prefix("Q="));
            number.is_some_and(|number| number.parse::<f32>().is_ok_and(|number| number <= 0.0))
        };
        parts.next().is_some_and(|coding| coding.eq_ignore_ascii_case(GZIP)) && !parts.any(is_refused)
    })
}

/// Changes the headers of a request to those of gRPC. The coding of messages is changed only if the layer doesn't decompress them: the
/// service then refuses it.
pub(crate) fn to_grpc(headers: &mut HeaderMap, protocol: Protocol, decompressed: bool) {
    let codings: Vec<_> = headers.get_all(coding_header(protocol)).iter().cloned().collect();
    if decompressed {
        headers.remove(coding_header(protocol));
    }
    headers.remove(accept_header(protocol));
    if protocol == Protocol::Grpc {
        return;
    }
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(Protocol::Grpc.content_type()));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    // The frames have another length.
    headers.remove(CONTENT_LENGTH);
    if !protocol.is_connect() {
        return;
    }
    headers.remove(GRPC_ENCODING);
    headers.remove(GRPC_ACCEPT_ENCODING);
    headers.remove(coding_header(protocol));
    if !decompressed {
        for coding in codings {
            headers.append(GRPC_ENCODING, coding);
        }
    }
    headers.remove(GRPC_TIMEOUT);
    headers.remove(CONNECT_PROTOCOL_VERSION);
    let timeouts: Vec<_> = headers.get_all(CONNECT_TIMEOUT_MS).iter().map(grpc_timeout).collect();
    headers.remove(CONNECT_TIMEOUT_MS);
    for timeout in timeouts {
        headers.append(GRPC_TIMEOUT, timeout);
    }
}

/// The timeout as in gRPC. A malformed one stays malformed.
fn grpc_timeout(connect_timeout_ms: &HeaderValue) -> HeaderValue {
    const MALFORMED: HeaderValue = HeaderValue::from_static("");
    let Ok(text) = connect_timeout_ms.to_str() else { return MALFORMED };
    let is_number = (1..=TIMEOUT_DIGITS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(time_ms) = text.parse::<u64>().ok().filter(|_| is_number) else { return MALFORMED };
    let text = if time_ms <= GRPC_TIMEOUT_MAX { format!("{time_ms}m") } else { format!("{}S", time_ms / 1_000) };
    HeaderValue::try_from(text).unwrap_or(MALFORMED)
}

/// Whether a header or trailer belongs to gRPC itself, and isn't metadata of the call.
pub(crate) fn is_grpc(name: &HeaderName) -> bool {
    ["grpc-status", "grpc-message", "grpc-status-details-bin", "grpc-encoding", "grpc-accept-encoding"]
        .contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Codec;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        let mut headers = HeaderMap::new();
        pairs.for_each(|(name, value): (_, HeaderValue)| {
            headers.append(name, value);
        });
        headers
    }

    const UNARY: Protocol = Protocol::ConnectUnary(Codec::Json);
    const STREAMING: Protocol = Protocol::ConnectStreaming(Codec::Proto);

    #[test]
    fn timeouts_are_in_milliseconds() {
        for (connect, grpc) in [
            ("1", "1m"),
            ("0", "0m"),
            ("99999999", "99999999m"),
            ("100000000", "100000S"),
            ("9999999999", "9999999S"),
            ("", ""),
            ("10000000000", ""),
            ("-1", ""),
            ("+1", ""),
            ("1.5", ""),
            ("1 ", ""),
            ("soon", ""),
        ] {
            let mut headers = headers(&[("connect-timeout-ms", connect), ("grpc-timeout", "7S")]);
            to_grpc(&mut headers, UNARY, false);
            assert_eq!(headers["grpc-timeout"], grpc, "{connect}");
            assert!(!headers.contains_key("connect-timeout-ms"));
        }
        let mut twice = headers(&[("connect-timeout-ms", "1"), ("connect-timeout-ms", "2")]);
        to_grpc(&mut twice, UNARY, false);
        assert_eq!(twice.get_all("grpc-timeout").iter().count(), 2);
    }

    #[test]
    fn other_codings_reach_the_service() {
        for (protocol, name) in [(UNARY, "content-encoding"), (STREAMING, "connect-content-encoding")] {
            let sent = |coding: &str| headers(&[(name, coding), ("grpc-encoding", "snappy"), ("content-length", "7")]);
            let mut other = sent("br");
            assert!(!is_gzip(&other, protocol));
            to_grpc(&mut other, protocol, false);
            assert_eq!(other["grpc-encoding"], "br");
            assert!(!other.contains_key(name) && !other.contains_key("content-length"));
            let mut gzip = sent("gzip");
            assert!(is_gzip(&gzip, protocol));
            to_grpc(&mut gzip, protocol, true);
            assert!(!gzip.contains_key("grpc-encoding") && !gzip.contains_key(name));
        }
        assert!(!is_gzip(&headers(&[("grpc-encoding", "gzip"), ("grpc-encoding", "gzip")]), Protocol::Grpc));
    }

    #[test]
    fn gzip_is_offered_unless_its_weight_is_zero() {
        for (value, accepted) in [
            ("gzip", true),
            ("br, gzip;q=0.5", true),
            ("identity,GZIP", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0, br", false),
            ("br", false),
            ("", false),
        ] {
            assert_eq!(accepts_gzip(&headers(&[("accept-encoding", value)]), UNARY), accepted, "{value}");
        }
        assert!(!accepts_gzip(&headers(&[("accept-encoding", "gzip")]), STREAMING));
        assert!(accepts_gzip(&headers(&[("connect-accept-encoding", "gzip")]), STREAMING));
    }
}
