//! The head of a request: the request line and the headers. The check is stricter than the parser of the protocol, so that both read every
//! accepted head in one way only.

use http::{HeaderName, Request, uri::PathAndQuery};

use crate::transport::request_rules::{Fault, check_name, check_path, is_host};

/// The overhead that HTTP/2 counts for each header beyond its name and value (RFC 9113, section 6.5.2).
const HEADER_OVERHEAD_BYTES: usize = 32;

/// How the end of a request's body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// After this number of bytes; 0 if there is no body.
    Length(u64),
    /// By chunks.
    Chunked,
}

/// The headers that decide about the connection and the body.
#[derive(Default)]
struct Found<'a> {
    host: Option<&'a str>,
    length: Option<u64>,
    is_chunked: bool,
    expects: bool,
}

/// Checks a complete head, with the empty line at its end. All its lines end with CR LF, and there are no control characters in them.
///
/// # Errors
/// The first fault.
pub(super) fn check(head: &[u8], size_max_bytes: usize) -> Result<Framing, Fault> {
    let Some(head) = head.strip_suffix(b"\r\n\r\n") else { return Err(Fault::LineEnd) };
    let mut lines = lines(head);
    let (target, mut size) = request_line(lines.next().unwrap_or_default())?;
    let mut found = Found::default();
    for line in lines {
        let (name, value) = header(line)?;
        size = size.saturating_add(name.len() + value.len() + HEADER_OVERHEAD_BYTES);
        found.take(name, value)?;
    }
    if size > size_max_bytes {
        return Err(Fault::HeadersTooLarge);
    }
    let host = found.host.ok_or(Fault::Host)?;
    if let Target::Absolute { authority } = target
        && !authority.eq_ignore_ascii_case(host)
    {
        return Err(Fault::OtherHost);
    }
    match (found.length, found.is_chunked) {
        (Some(_), true) => Err(Fault::LengthAndCoding),
        (None, true) => Ok(Framing::Chunked),
        (length, false) => Ok(Framing::Length(length.unwrap_or(0))),
    }
}

/// The request line and the headers of a checked head, without the body that may follow it.
pub(super) fn parse(bytes: &[u8]) -> Option<http::request::Parts> {
    let end = bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let mut lines = lines(bytes.get(..end)?);
    let request_line = std::str::from_utf8(lines.next()?).ok()?;
    let mut parts = request_line.split(' ');
    let mut request = Request::builder().method(parts.next()?).uri(parts.next()?);
    for line in lines {
        let (name, value) = header(line).ok()?;
        request = request.header(name, value);
    }
    Some(request.body(()).ok()?.into_parts().0)
}

fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// What a request asks for.
enum Target<'a> {
    /// A path.
    Origin,
    /// A URL.
    Absolute { authority: &'a str },
}

/// Checks the request line. Returns the target, and the size as HTTP/2 counts it.
fn request_line(line: &[u8]) -> Result<(Target<'_>, usize), Fault> {
    let line = std::str::from_utf8(line).map_err(|_| Fault::RequestLine)?;
    let mut parts = line.split(' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Fault::RequestLine);
    };
    if version != "HTTP/1.1" {
        return Err(if version.starts_with("HTTP/") { Fault::Version } else { Fault::RequestLine });
    }
    if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(Fault::RequestLine);
    }
    if method == "CONNECT" {
        return Err(Fault::Target);
    }
    let (path, target) = if target.starts_with('/') {
        (target, Target::Origin)
    } else {
        let Some(rest) = target.strip_prefix("https://") else { return Err(Fault::Target) };
        let Some(begin) = rest.find('/') else { return Err(Fault::Target) };
        let (authority, path) = rest.split_at(begin);
        (path, Target::Absolute { authority })
    };
    let (path_only, query) = path.split_once('?').unwrap_or((path, ""));
    check_path(path_only)?;
    // hyper would refuse it without closing the connection in an orderly way.
    let is_read_by_hyper = path.parse::<PathAndQuery>().is_ok();
    if !is_read_by_hyper || !query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(Fault::Target);
    }
    let pseudo = [(":method", method), (":scheme", "https"), (":path", path)];
    let size = pseudo.iter().map(|(name, value)| name.len() + value.len() + HEADER_OVERHEAD_BYTES).sum();
    Ok((target, size))
}

/// Splits a header into its name and its value.
fn header(line: &[u8]) -> Result<(&str, &[u8]), Fault> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Fault::Folded);
    }
    let colon = line.iter().position(|byte| *byte == b':').ok_or(Fault::Header)?;
    let (name, value) = line.split_at(colon);
    // No space before the colon, and no character that names can't have.
    HeaderName::from_bytes(name).map_err(|_| Fault::Header)?;
    let name = std::str::from_utf8(name).map_err(|_| Fault::Header)?;
    check_name(name)?;
    Ok((name, value.get(1..).unwrap_or_default().trim_ascii()))
}

impl<'a> Found<'a> {
    fn take(&mut self, name: &str, value: &'a [u8]) -> Result<(), Fault> {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if is("host") {
            let host = std::str::from_utf8(value).ok().filter(|host| is_host(host)).ok_or(Fault::Host)?;
            if self.host.replace(host).is_some() {
                return Err(Fault::Host);
            }
        } else if is("content-length") {
            let length = length(value).ok_or(Fault::ContentLength)?;
            if self.length.replace(length).is_some() {
                return Err(Fault::ContentLength);
            }
        } else if is("transfer-encoding") {
            if std::mem::replace(&mut self.is_chunked, true) || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Fault::TransferEncoding);
            }
        } else if is("upgrade") || is("http2-settings") {
            return Err(Fault::Upgrade);
        } else if is("connection") {
            for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                if option.eq_ignore_ascii_case(b"upgrade") {
                    return Err(Fault::Upgrade);
                }
                if ![&b"close"[..], b"keep-alive", b"te"].iter().any(|known| option.eq_ignore_ascii_case(known)) {
                    return Err(Fault::ConnectionOption);
                }
            }
        } else if is("expect")
            && (std::mem::replace(&mut self.expects, true) || !value.eq_ignore_ascii_case(b"100-continue"))
        {
            return Err(Fault::Expectation);
        }
        Ok(())
    }
}

/// The value of Content-Length: digits without a sign and without leading zeros.
fn length(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number || (text.len() > 1 && text.starts_with('0')) { None } else { text.parse().ok() }
}
