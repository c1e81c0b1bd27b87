//! Checks the bytes of a connection of HTTP/1.1 before the protocol's parser gets them: heads, and the framing of bodies.
//!
//! The filter passes on the bytes of one request, unchanged, and stops at its end. It knows neither connections nor time. The result is the
//! same however the bytes are split.

use bytes::{Buf as _, BytesMut};
use http::request::Parts;
use zeroize::Zeroize as _;

use super::head::{self, Framing};
use crate::transport::request_rules::Fault;

/// The maximum length of all chunk extensions of a body. Clients and proxies don't send any.
const CHUNK_EXTENSIONS_MAX_BYTES: usize = 256;

/// The maximum number of digits in the size of a chunk: chunks below 4 GiB.
const CHUNK_SIZE_DIGITS_MAX: u8 = 8;

/// The state of one connection.
#[derive(Debug)]
pub(super) struct Filter {
    head_max_bytes: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The received part of a head.
    Head(BytesMut),
    /// The number of missing bytes of a body with a length.
    Length(u64),
    Chunked {
        part: Part,
        extensions: usize,
    },
    /// The request is complete.
    Ended,
}

/// The position in a chunked body.
#[derive(Clone, Copy, Debug)]
enum Part {
    Size {
        digits: u8,
        size: u64,
    },
    /// In an extension of a chunk of this size.
    Extension {
        size: u64,
    },
    /// Before the LF after the size.
    SizeEnd {
        size: u64,
    },
    /// In the data, of which this number of bytes is missing, or before the CR after it.
    Data {
        missing: u64,
    },
    /// Before the LF after the data.
    DataLf,
    /// Before the CR after the last chunk.
    LastCr,
    /// Before the LF after the last chunk.
    LastLf,
}

impl Filter {
    /// Accepts heads of at most this size, counted as in HTTP/2, and as sent.
    pub(super) fn new(head_max_bytes: usize) -> Self {
        Self { head_max_bytes, state: State::Head(BytesMut::new()) }
    }

    /// Moves checked bytes from `input` to `output`, until the input is empty or the request is complete. A head is moved when it is complete.
    ///
    /// # Errors
    /// The fault of the request. Then nothing more may pass.
    pub(super) fn pass(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> Result<(), Fault> {
        // So that no body is left in a buffer that was too small.
        output.reserve(input.len());
        while !input.is_empty() {
            match &mut self.state {
                State::Ended => return Ok(()),
                State::Head(head) => {
                    if let Some(framing) = take_head(head, input, self.head_max_bytes)? {
                        output.unsplit(std::mem::take(head));
                        output.reserve(input.len());
                        self.state = match framing {
                            Framing::Length(0) => State::Ended,
                            Framing::Length(length) => State::Length(length),
                            Framing::Chunked => State::Chunked { part: Part::BEGIN, extensions: 0 },
                        };
                    }
                }
                State::Length(missing) => {
                    move_bytes(missing, input, output);
                    if *missing == 0 {
                        self.state = State::Ended;
                    }
                }
                State::Chunked { part: Part::Data { missing }, .. } if *missing > 0 => {
                    move_bytes(missing, input, output);
                }
                State::Chunked { part, extensions } => {
                    let byte = input.get_u8();
                    let next = part.after(byte, extensions)?;
                    output.extend_from_slice(&[byte]);
                    match next {
                        Some(next) => *part = next,
                        None => self.state = State::Ended,
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the request is complete.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Whether a part of a head has been received.
    pub(super) fn is_in_head(&self) -> bool {
        matches!(&self.state, State::Head(head) if !head.is_empty())
    }

    /// Begins the next request.
    pub(super) fn next(&mut self) {
        self.state = State::Head(BytesMut::new());
    }
}

/// The method, the path and the headers of a request that begins with these bytes: `None` while the head is incomplete, `Some(None)` if it is
/// refused.
pub(in crate::transport) fn call_head(bytes: &[u8], head_max_bytes: usize) -> Option<Option<Parts>> {
    let mut filter = Filter::new(head_max_bytes);
    let mut head = BytesMut::new();
    if filter.pass(&mut BytesMut::from(bytes), &mut head).is_err() {
        return Some(None);
    }
    (!head.is_empty()).then(|| head::parse(&head))
}

/// Takes the bytes of a head. Returns the framing of the body once the head is complete.
fn take_head(head: &mut BytesMut, input: &mut BytesMut, max_bytes: usize) -> Result<Option<Framing>, Fault> {
    while !input.is_empty() {
        let byte = input.get_u8();
        let after_cr = head.last() == Some(&b'\r');
        match byte {
            b'\n' if !after_cr => return Err(Fault::LineEnd),
            _ if after_cr && byte != b'\n' => return Err(Fault::LineEnd),
            b'\r' if head.is_empty() => return Err(Fault::LineEnd),
            b'\r' | b'\n' | b'\t' => {}
            0..b' ' | 0x7f => return Err(Fault::ControlCharacter),
            b' '.. => {}
        }
        head.extend_from_slice(&[byte]);
        if head.len() > max_bytes {
            return Err(Fault::HeadersTooLarge);
        }
        if byte == b'\n' && head.ends_with(b"\r\n\r\n") {
            return head::check(head, max_bytes).map(Some);
        }
    }
    Ok(None)
}

/// Moves bytes of a body, and wipes them in the input.
fn move_bytes(missing: &mut u64, input: &mut BytesMut, output: &mut BytesMut) {
    let count = usize::try_from(*missing).unwrap_or(usize::MAX).min(input.len());
    if let Some(bytes) = input.get_mut(..count) {
        output.extend_from_slice(bytes);
        bytes.zeroize();
    }
    input.advance(count);
    *missing -= u64::try_from(count).unwrap_or(u64::MAX);
}

impl Part {
    const BEGIN: Self = Self::Size { digits: 0, size: 0 };

    /// The position after this byte; `None` at the end of the body.
    fn after(self, byte: u8, extensions: &mut usize) -> Result<Option<Self>, Fault> {
        let next = match (self, byte) {
            (Self::Size { digits, size }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F')
                if digits < CHUNK_SIZE_DIGITS_MAX =>
            {
                let digit = char::from(byte).to_digit(16).unwrap_or(0);
                Self::Size { digits: digits + 1, size: size * 16 + u64::from(digit) }
            }
            (Self::Size { digits: 1.., size }, b'\r') => Self::SizeEnd { size },
            (Self::Size { digits: 1.., size }, b';') => Self::extension(size, extensions)?,
            (Self::Extension { size }, b'\r') => Self::SizeEnd { size },
            (Self::Extension { size }, b'\t' | b' '..=b'~') => Self::extension(size, extensions)?,
            (Self::SizeEnd { size: 0 }, b'\n') => Self::LastCr,
            (Self::SizeEnd { size }, b'\n') => Self::Data { missing: size },
            // All its data has passed.
            (Self::Data { .. }, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::BEGIN,
            (Self::LastCr, b'\r') => Self::LastLf,
            (Self::LastLf, b'\n') => return Ok(None),
            (Self::LastCr, _) => return Err(Fault::Trailers),
            (
                Self::Size { .. }
                | Self::Extension { .. }
                | Self::SizeEnd { .. }
                | Self::Data { .. }
                | Self::DataLf
                | Self::LastLf,
                _,
            ) => return Err(Fault::ChunkSize),
        };
        Ok(Some(next))
    }

    fn extension(size: u64, extensions: &mut usize) -> Result<Self, Fault> {
        *extensions += 1;
        if *extensions > CHUNK_EXTENSIONS_MAX_BYTES { Err(Fault::ChunkExtension) } else { Ok(Self::Extension { size }) }
    }
}

/// The passed bytes, and the fault, of a connection with these pieces, on which every request follows at once.
#[cfg(any(test, fuzzing))]
pub(super) fn outcome<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, Option<Fault>) {
    const HEAD_MAX_BYTES: usize = 1_024;
    let mut filter = Filter::new(HEAD_MAX_BYTES);
    let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        while !input.is_empty() {
            if filter.has_ended() {
                filter.next();
            }
            if let Err(fault) = filter.pass(&mut input, &mut output) {
                return (output.to_vec(), Some(fault));
            }
        }
    }
    (output.to_vec(), None)
}

/// Checks that the result of the filter doesn't depend on the sizes of the pieces.
#[cfg(fuzzing)]
pub(crate) fn unchanged_by_splitting(pieces: &[&[u8]]) {
    let whole = pieces.concat();
    assert_eq!(outcome(pieces.iter().copied()), outcome([&whole[..]]));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POST: &str = "POST /a.B/C HTTP/1.1\r\nHost: localhost\r\n";

    /// A request with these further headers and this body.
    fn post(rest: &str) -> String {
        format!("{POST}{rest}")
    }

    fn accepted() -> Vec<String> {
        [
            "\r\n",
            "Content-Length: 0\r\n\r\n",
            "Content-Length: 5\r\n\r\n12345",
            "content-length:\t5 \r\nx-empty:\r\n\r\n\r\n\r\n\0",
            "Transfer-Encoding: Chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n00a;x=\"y;z\"\r\n\r\n\r\n\r\n\r\n12\r\n1\r\n\0\r\n000\r\n\r\n",
            "Connection: Keep-Alive, TE\r\nTE: trailers\r\nExpect: 100-continue\r\nx: \u{e4}\r\n\r\n",
        ]
        .iter()
        .map(|rest| post(rest))
        .chain([
            "GET https://LOCALHOST/a?b=%2F//;../_ HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(),
            "OPTIONS / HTTP/1.1\r\nHOST: [::1]:7443\r\n\r\n".to_owned(),
        ])
        .collect()
    }

    fn refused() -> Vec<(String, Fault)> {
        let get = |line: &str| format!("{line}\r\nHost: localhost\r\n\r\n");
        let mut all: Vec<(String, Fault)> = [
            ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", Fault::LengthAndCoding),
            ("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", Fault::LengthAndCoding),
            ("Host: localhost\r\n\r\n", Fault::Host),
            ("Content-Length: 1\r\nContent-Length: 1\r\n\r\n", Fault::ContentLength),
            ("Content-Length: 1, 1\r\n\r\n", Fault::ContentLength),
            ("Content-Length: +1\r\n\r\n", Fault::ContentLength),
            ("Content-Length: 0x1\r\n\r\n", Fault::ContentLength),
            ("Content-Length: 01\r\n\r\n", Fault::ContentLength),
            ("Content-Length: -0\r\n\r\n", Fault::ContentLength),
            ("Content-Length: 1 1\r\n\r\n", Fault::ContentLength),
            ("Content-Length:\r\n\r\n", Fault::ContentLength),
            ("Content-Length: 18446744073709551616\r\n\r\n", Fault::ContentLength),
            ("x: 1\n\r\n", Fault::LineEnd),
            ("x: 1\r\n\n", Fault::LineEnd),
            ("x: 1\rContent-Length: 5\r\n\r\n", Fault::LineEnd),
            ("x: 1\r\r\n\r\n", Fault::LineEnd),
            ("x: 1\r\n folded\r\n\r\n", Fault::Folded),
            ("x: 1\r\n\tfolded\r\n\r\n", Fault::Folded),
            ("Content-Length : 5\r\n\r\n", Fault::Header),
            ("Transfer-Encoding\t: chunked\r\n\r\n", Fault::Header),
            ("no colon\r\n\r\n", Fault::Header),
            (": value\r\n\r\n", Fault::Header),
            ("x(y): 1\r\n\r\n", Fault::Header),
            ("content_length: 5\r\n\r\n", Fault::Underscore),
            ("x: \0\r\n\r\n", Fault::ControlCharacter),
            ("x: \u{1}\r\n\r\n", Fault::ControlCharacter),
            ("x: \u{7f}\r\n\r\n", Fault::ControlCharacter),
            ("x\u{b}: 1\r\n\r\n", Fault::ControlCharacter),
            ("Upgrade: h2c\r\n\r\n", Fault::Upgrade),
            ("Connection: upgrade\r\n\r\n", Fault::Upgrade),
            ("Connection: close, Upgrade\r\n\r\n", Fault::Upgrade),
            ("HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", Fault::Upgrade),
            ("Connection: authorization\r\n\r\n", Fault::ConnectionOption),
            ("Connection: close,\r\n\r\n", Fault::ConnectionOption),
            ("Expect: 200-ok\r\n\r\n", Fault::Expectation),
            ("Transfer-Encoding: identity\r\n\r\n", Fault::TransferEncoding),
            ("Transfer-Encoding: gzip, chunked\r\n\r\n", Fault::TransferEncoding),
            ("Transfer-Encoding: chunked, chunked\r\n\r\n", Fault::TransferEncoding),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", Fault::TransferEncoding),
            ("Transfer-Encoding: chunked;x\r\n\r\n", Fault::TransferEncoding),
            ("Transfer-Encoding: \u{a0}chunked\r\n\r\n", Fault::TransferEncoding),
            ("Transfer-Encoding:\r\n\r\n", Fault::TransferEncoding),
        ]
        .into_iter()
        .map(|(rest, fault)| (post(rest), fault))
        .collect();
        for (body, fault) in [
            ("\r\n", Fault::ChunkSize),
            ("x\r\n", Fault::ChunkSize),
            ("-1\r\n", Fault::ChunkSize),
            ("0x5\r\n12345\r\n", Fault::ChunkSize),
            (" 5\r\n12345\r\n", Fault::ChunkSize),
            ("5 \r\n12345\r\n", Fault::ChunkSize),
            ("5\n12345\r\n", Fault::ChunkSize),
            ("5\r12345\r\n", Fault::ChunkSize),
            ("5\r\n123456\r\n", Fault::ChunkSize),
            ("5\r\n12345\n0\r\n\r\n", Fault::ChunkSize),
            ("5\r\n12345\rx", Fault::ChunkSize),
            ("000000005\r\n12345\r\n", Fault::ChunkSize),
            ("100000000\r\n", Fault::ChunkSize),
            ("5;a\n\r\n", Fault::ChunkSize),
            ("5;a\0\r\n", Fault::ChunkSize),
            ("0\r\nContent-Length: 5\r\n\r\n", Fault::Trailers),
            ("0\r\nx: y\r\n\r\n", Fault::Trailers),
            ("0\r\n\n", Fault::Trailers),
        ] {
            all.push((post(&format!("Transfer-Encoding: chunked\r\n\r\n{body}")), fault));
        }
        let extension = ";".repeat(CHUNK_EXTENSIONS_MAX_BYTES + 1);
        all.push((post(&format!("Transfer-Encoding: chunked\r\n\r\n1{extension}\r\n")), Fault::ChunkExtension));
        for (line, fault) in [
            ("GET / HTTP/1.0", Fault::Version),
            ("GET / HTTP/2.0", Fault::Version),
            ("GET / HTTP/1.2", Fault::Version),
            ("PRI * HTTP/2.0", Fault::Version),
            ("GET / http/1.1", Fault::RequestLine),
            ("GET /", Fault::RequestLine),
            ("GET  / HTTP/1.1", Fault::RequestLine),
            ("GET / HTTP/1.1 ", Fault::RequestLine),
            (" GET / HTTP/1.1", Fault::RequestLine),
            ("GET\t/ HTTP/1.1", Fault::RequestLine),
            ("G(T / HTTP/1.1", Fault::RequestLine),
            ("get / HTTP/1.1", Fault::RequestLine),
            ("GET / /x HTTP/1.1", Fault::RequestLine),
            ("CONNECT localhost:443 HTTP/1.1", Fault::Target),
            ("GET localhost:443 HTTP/1.1", Fault::Target),
            ("OPTIONS * HTTP/1.1", Fault::Target),
            ("GET http://localhost/ HTTP/1.1", Fault::Target),
            ("GET https://localhost HTTP/1.1", Fault::Target),
            ("GET /a?b#c HTTP/1.1", Fault::Target),
            ("GET https://other/ HTTP/1.1", Fault::OtherHost),
            ("GET https://x@localhost/ HTTP/1.1", Fault::OtherHost),
            ("GET /a%2Fb HTTP/1.1", Fault::Path),
            ("GET //a HTTP/1.1", Fault::Path),
            ("GET /a;b HTTP/1.1", Fault::Path),
            ("GET /a/../b HTTP/1.1", Fault::Path),
            ("GET /./b HTTP/1.1", Fault::Path),
            ("GET https://localhost//a HTTP/1.1", Fault::Path),
        ] {
            all.push((get(line), fault));
        }
        for host in ["", "a b", "a,b", "a/b", "x@localhost", "\u{e4}"] {
            all.push((format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), Fault::Host));
        }
        all.push(("GET / HTTP/1.1\r\nx: y\r\n\r\n".to_owned(), Fault::Host));
        all.push(("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Fault::LineEnd));
        all.push((post(&format!("x: {}\r\n\r\n", "y".repeat(1_000))), Fault::HeadersTooLarge));
        // Many small headers count as much as in HTTP/2.
        all.push((post(&format!("{}\r\n", "x:y\r\n".repeat(30))), Fault::HeadersTooLarge));
        all
    }

    #[test]
    fn valid_requests_pass_unchanged_one_after_another() {
        let all = accepted().concat();
        let (passed, fault) = outcome([all.as_bytes()]);
        assert_eq!((String::from_utf8_lossy(&passed), fault), (all.as_str().into(), None));
    }

    #[test]
    fn doubtful_requests_are_refused_and_no_byte_after_the_fault_passes() {
        for (request, fault) in refused() {
            for before in [String::new(), accepted().concat()] {
                let sent = format!("{before}{request}GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
                let (passed, found) = outcome([sent.as_bytes()]);
                assert_eq!(found, Some(fault), "{request:?}");
                let rest = passed.strip_prefix(before.as_bytes()).unwrap();
                // Of a refused head nothing, of a refused body what came before the fault.
                let is_in_head = !matches!(fault, Fault::ChunkSize | Fault::ChunkExtension | Fault::Trailers);
                assert_eq!(rest.is_empty(), is_in_head, "{request:?}");
                assert!(request.as_bytes().starts_with(rest) && rest.len() < request.len(), "{request:?}");
            }
        }
    }

    #[test]
    fn result_is_the_same_however_the_bytes_are_split() {
        let requests = accepted().into_iter().chain(refused().into_iter().map(|(request, _)| request));
        for request in requests {
            let bytes = request.as_bytes();
            let whole = outcome([bytes]);
            assert_eq!(outcome(bytes.chunks(1)), whole, "{request:?}");
            for at in 0..bytes.len() {
                let (begin, end) = bytes.split_at(at);
                assert_eq!(outcome([begin, end]), whole, "{request:?} at {at}");
            }
        }
    }

    proptest! {
        /// Heads and bodies with changed, missing and additional bytes: the same result in any pieces.
        #[test]
        fn changed_requests_have_the_same_result_in_any_pieces(
            base in prop::sample::select(accepted()),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..4),
            piece in 1..9_usize,
        ) {
            let mut bytes = base.into_bytes();
            for (index, byte, kind) in changes {
                let at = index.index(bytes.len());
                match kind {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    _ => { bytes.remove(at); }
                }
            }
            prop_assert_eq!(outcome(bytes.chunks(piece)), outcome([&bytes[..]]));
        }
    }

    #[test]
    fn every_fault_is_refused_with_a_message() {
        for (_, fault) in refused() {
            assert!(fault.message().ends_with('\n') && fault.status().is_client_error());
        }
    }
}
