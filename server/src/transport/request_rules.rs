//! Rules for the paths and the header names of requests, the same in HTTP/1.1 and HTTP/2.
//!
//! Proxies read some requests in different ways: they decode `%2F`, merge `//`, remove `.` and `..`, cut a path at `;`, or treat `_` in a
//! header's name as `-`. No path of an rpc and no header of a client needs any of this. So such a request is refused, whatever it asks for:
//! then no proxy and no server can disagree about it. Nothing here knows rpcs.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode,
    header::{CONTENT_TYPE, HOST, X_CONTENT_TYPE_OPTIONS},
};
use http_body_util::Full;
use tonic::body::Body;

use crate::gates::version_header::{SEALWARD_SERVER, server_version};

/// Why a request is refused before it is a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A line doesn't end with CR LF, or a CR or LF is elsewhere.
    LineEnd,
    /// A control character.
    ControlCharacter,
    /// The request line isn't `METHOD TARGET HTTP/1.1`.
    RequestLine,
    /// A version other than HTTP/1.1.
    Version,
    /// CONNECT, or a target that isn't a path.
    Target,
    /// A target or a header names another host than `Host`.
    OtherHost,
    /// A path that proxies change or read differently.
    Path,
    /// No host, two of them, or one that isn't a host.
    Host,
    /// A header that isn't `name: value`.
    Header,
    /// A header's name contains `_`.
    Underscore,
    /// A header continues on the next line.
    Folded,
    /// Content-Length isn't one number.
    ContentLength,
    /// Content-Length together with Transfer-Encoding.
    LengthAndCoding,
    /// A transfer coding other than one `chunked`.
    TransferEncoding,
    /// A change of the protocol.
    Upgrade,
    /// An option of Connection other than close, keep-alive and te.
    ConnectionOption,
    /// An expectation other than 100-continue.
    Expectation,
    /// A chunk's size isn't a hexadecimal number of at most 8 digits.
    ChunkSize,
    /// Chunk extensions above the limit.
    ChunkExtension,
    /// Headers after the last chunk.
    Trailers,
    /// Headers larger than twice the limit.
    HeadersTooLarge,
    /// The headers took too long.
    HeadersTooSlow,
}

impl Fault {
    /// The status of the answer.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Fault::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Fault::HeadersTooSlow => StatusCode::REQUEST_TIMEOUT,
            Fault::LineEnd
            | Fault::ControlCharacter
            | Fault::RequestLine
            | Fault::Version
            | Fault::Target
            | Fault::OtherHost
            | Fault::Path
            | Fault::Host
            | Fault::Header
            | Fault::Underscore
            | Fault::Folded
            | Fault::ContentLength
            | Fault::LengthAndCoding
            | Fault::TransferEncoding
            | Fault::Upgrade
            | Fault::ConnectionOption
            | Fault::Expectation
            | Fault::ChunkSize
            | Fault::ChunkExtension
            | Fault::Trailers => StatusCode::BAD_REQUEST,
        }
    }

    /// What is wrong. It contains nothing of the request.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Fault::LineEnd => "lines of a request end with CR LF\n",
            Fault::ControlCharacter => "control characters aren't allowed in headers\n",
            Fault::RequestLine => "the request line must be METHOD, path and HTTP/1.1, with one space between them\n",
            Fault::Version => "use HTTP/1.1 or HTTP/2\n",
            Fault::Target => "use a path as the request target\n",
            Fault::OtherHost => "the request names two hosts: send one\n",
            Fault::Path => "the path contains %, \\, ;, //, or a dot segment: use the path of an rpc\n",
            Fault::Host => "send one Host header with the name of the server\n",
            Fault::Header => "a header must be a name, a colon without a space before it, and a value\n",
            Fault::Underscore => "a header name contains an underscore: use a hyphen\n",
            Fault::Folded => "a header continues on the next line: send it on one line\n",
            Fault::ContentLength => "send Content-Length once, as a decimal number\n",
            Fault::LengthAndCoding => "send Content-Length or Transfer-Encoding, not both\n",
            Fault::TransferEncoding => "the only transfer coding is chunked, once\n",
            Fault::Upgrade => "this server doesn't change the protocol of a connection\n",
            Fault::ConnectionOption => "the options of Connection are close, keep-alive and te\n",
            Fault::Expectation => "the only expectation is 100-continue\n",
            Fault::ChunkSize => "a chunk must have a hexadecimal size and end with CR LF\n",
            Fault::ChunkExtension => "the chunk extensions are too long\n",
            Fault::Trailers => "headers after the body aren't allowed\n",
            Fault::HeadersTooLarge => "the headers are too large\n",
            Fault::HeadersTooSlow => "the headers took too long\n",
        }
    }

    /// The answer on a connection that continues.
    pub(crate) fn answer(self) -> Response<Body> {
        text(self.status(), self.message())
    }

    /// The answer as bytes of HTTP/1.1, after which the connection closes.
    pub(crate) fn last_answer(self) -> Vec<u8> {
        let (status, message) = (self.status(), self.message());
        let mut answer = format!("HTTP/1.1 {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or_default());
        for (name, value) in self.answer().headers() {
            answer.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap_or_default()));
        }
        answer.push_str(&format!("content-length: {}\r\nconnection: close\r\n\r\n{message}", message.len()));
        answer.into_bytes()
    }
}

/// An answer in plain text.
pub(crate) fn text(status: StatusCode, message: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(Bytes::from_static(message.as_bytes()))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(SEALWARD_SERVER, server_version());
    response
}

/// Checks a request of HTTP/2.
///
/// # Errors
/// The fault.
pub(crate) fn check<B>(request: &Request<B>) -> Result<(), Fault> {
    check_path(request.uri().path())?;
    for name in request.headers().keys() {
        check_name(name.as_str())?;
    }
    check_host(request.headers(), request.uri().authority().map(http::uri::Authority::as_str))
}

/// Checks that a path isn't one that proxies change or read differently.
///
/// # Errors
/// [`Fault::Path`]
pub(crate) fn check_path(path: &str) -> Result<(), Fault> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'%' | b'\\' | b';' | b'#');
    let Some(rest) = path.strip_prefix('/') else { return Err(Fault::Path) };
    let (mut before, mut has_dots) = (b'/', false);
    for byte in rest.bytes() {
        if !is_plain(byte) || before == b'/' && byte == b'/' {
            return Err(Fault::Path);
        }
        has_dots |= before == b'/' && byte == b'.';
        before = byte;
    }
    // Segments with a dot at the beginning are rare.
    if has_dots && rest.split('/').any(|segment| matches!(segment, "." | "..")) { Err(Fault::Path) } else { Ok(()) }
}

/// Checks the name of a header.
///
/// # Errors
/// [`Fault::Underscore`]
pub(crate) fn check_name(name: &str) -> Result<(), Fault> {
    if name.contains('_') { Err(Fault::Underscore) } else { Ok(()) }
}

/// Whether a text is a name or an address, with or without a port.
pub(crate) fn is_host(text: &str) -> bool {
    is_authority_of_host(text) && text.parse::<http::uri::Authority>().is_ok()
}

/// Whether the text of an authority contains only a host, with or without a port.
fn is_authority_of_host(text: &str) -> bool {
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    !text.is_empty() && text.bytes().all(is_valid)
}

/// Checks that the authority is a host, that there is at most one `Host`, and that they agree.
fn check_host(headers: &HeaderMap, authority: Option<&str>) -> Result<(), Fault> {
    if !authority.is_none_or(is_authority_of_host) {
        return Err(Fault::Host);
    }
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next(), authority) {
        (None, _, _) => Ok(()),
        (Some(_), Some(_), _) => Err(Fault::Host),
        (Some(host), None, Some(authority)) if !host.as_bytes().eq_ignore_ascii_case(authority.as_bytes()) => {
            Err(Fault::OtherHost)
        }
        (Some(_), None, _) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_that_proxies_read_differently_is_refused() {
        for path in
            ["/", "/a.B/C", "/sealward.v1.DataEncryptionService/SetDataEncryptionKey", "/a/..b/c..", "/...", "/a/"]
        {
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
        for path in [
            "", "*", "a/b", "/a%2Fb", "/a%2fb", "/%61", "//a", "/a//b", "/a;b", "/a/./b", "/a/../b", "/..", "/.",
            "/a\\b", "/a#b", "/a b", "/ä",
        ] {
            assert_eq!(check_path(path), Err(Fault::Path), "{path}");
        }
    }

    #[test]
    fn request_of_http_2_has_one_host_and_no_underscore() {
        let checked = |headers: &[(&str, &str)]| {
            let request = Request::post("https://localhost:7443/a.B/C");
            let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
            check(&request.body(()).unwrap())
        };
        assert_eq!(checked(&[]), Ok(()));
        assert_eq!(checked(&[("host", "LOCALHOST:7443")]), Ok(()));
        assert_eq!(checked(&[("host", "other")]), Err(Fault::OtherHost));
        assert_eq!(checked(&[("host", "localhost:7443"), ("host", "localhost:7443")]), Err(Fault::Host));
        assert_eq!(checked(&[("x-a", "1"), ("x_a", "1")]), Err(Fault::Underscore));
        assert_eq!(check_host(&HeaderMap::new(), Some("localhost,other")), Err(Fault::Host));
    }

    #[test]
    fn last_answer_has_the_length_that_it_names() {
        for fault in [Fault::Path, Fault::HeadersTooLarge, Fault::HeadersTooSlow] {
            let answer = String::from_utf8(fault.last_answer()).unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {} ", fault.status().as_u16())), "{head}");
            assert!(head.contains(&format!("\r\ncontent-length: {}\r\nconnection: close", body.len())), "{head}");
        }
    }
}
