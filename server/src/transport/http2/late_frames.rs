//! Received frames of HTTP/2, without a kind that h2 mistakes for an error after the last GOAWAY.
//!
//! A client may begin a stream before it has received a GOAWAY that excludes it. The frames of such a stream are ignored (RFC 9113, section
//! 6.8). h2 0.4.20 ignores all of them except WINDOW_UPDATE: it ends the whole connection with PROTOCOL_ERROR, and all calls on it fail.
//! Clients with gRPC's C core, such as Python's, send that frame. So it gets a type that the protocol doesn't have, which h2 ignores. The
//! other frames and their lengths are unchanged.
//!
//! h2 sends its last GOAWAY when it receives the answer to a PING of its own. The streams that begin after that answer are excluded.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The length of the preface of a client (RFC 9113, section 3.4).
const PREFACE_BYTES: usize = 24;

/// The length of a frame's header: length (3), type (1), flags (1), stream (4).
const HEADER_BYTES: usize = 9;

const HEADERS: u8 = 1;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;

/// A type that no frame has. A receiver ignores it (RFC 9113, section 5.5).
const UNKNOWN: u8 = 0xff;

/// The flag of an answer to a PING.
const ACK: u8 = 1;

/// The content of h2's PING before its last GOAWAY. If h2 changes it, the test of `http2` for late streams fails.
const SHUTDOWN: [u8; 8] = [0x0b, 0x7b, 0xa2, 0xf0, 0x8b, 0x9b, 0xfe, 0x54];

/// A client's stream of which h2 ignores late WINDOW_UPDATE frames.
pub(super) struct LateFrames<S> {
    stream: S,
    has_written: bool,
    position: Position,
    /// The highest stream that has begun.
    last_stream: u32,
    /// The highest stream that isn't excluded, once the client has answered h2's PING.
    last_included: Option<u32>,
}

/// The position in the received bytes.
#[derive(Clone, Copy)]
enum Position {
    /// In a header, of which this number of bytes has been received. None of them has been passed on.
    Header { bytes: [u8; HEADER_BYTES], received: usize },
    /// Behind a header, of which this number of bytes has been passed on.
    Judged { bytes: [u8; HEADER_BYTES], passed: usize, content: Content },
    /// In the content of a frame, or in the preface.
    Content(Content),
}

/// The missing part of a frame's content.
#[derive(Clone, Copy)]
struct Content {
    missing: usize,
    /// Whether it answers h2's PING, as far as it has been received.
    is_shutdown: bool,
}

impl<S> LateFrames<S> {
    /// Nothing of the stream may have been read.
    pub(super) fn new(stream: S) -> Self {
        let preface = Content { missing: PREFACE_BYTES, is_shutdown: false };
        Self { stream, has_written: false, position: Position::Content(preface), last_stream: 0, last_included: None }
    }

    /// Judges a complete header, and changes its type if its frame is late. Returns the content that follows.
    fn judge(&mut self, header: &mut [u8; HEADER_BYTES]) -> Content {
        let [a, b, c, kind, flags, stream @ ..] = header;
        let missing = usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).unwrap_or(usize::MAX);
        let is_shutdown = *kind == PING && *flags & ACK != 0 && missing == SHUTDOWN.len();
        // The highest bit is reserved.
        let stream = u32::from_be_bytes(*stream) & (u32::MAX >> 1);
        match *kind {
            HEADERS => self.last_stream = self.last_stream.max(stream),
            WINDOW_UPDATE if self.last_included.is_some_and(|last| stream > last) => *kind = UNKNOWN,
            _ => {}
        }
        Content { missing, is_shutdown }
    }

    /// Judges the headers in these received bytes, in their place. Returns the number of bytes that can be passed on: those before an
    /// incomplete header at the end.
    fn pass(&mut self, bytes: &mut [u8]) -> usize {
        let mut passed = 0;
        while let Some(rest) = bytes.get_mut(passed..).filter(|rest| !rest.is_empty()) {
            if let Position::Content(content) = self.position {
                let (part, _) = rest.split_at(content.missing.min(rest.len()));
                self.position = self.after(content, part);
                passed += part.len();
            } else if let Some(header) = rest.first_chunk_mut() {
                let content = self.judge(header);
                self.position = self.after(content, &[]);
                passed += HEADER_BYTES;
            } else {
                let (mut bytes, received) = ([0; HEADER_BYTES], rest.len());
                bytes.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                self.position = Position::Header { bytes, received };
                break;
            }
        }
        passed
    }

    /// The position after these bytes of a frame's content.
    fn after(&mut self, Content { missing, is_shutdown }: Content, bytes: &[u8]) -> Position {
        let expected = SHUTDOWN.len().checked_sub(missing).and_then(|begin| SHUTDOWN.get(begin..));
        let is_shutdown = is_shutdown && expected.is_some_and(|expected| expected.starts_with(bytes));
        let missing = missing.saturating_sub(bytes.len());
        if missing > 0 {
            return Position::Content(Content { missing, is_shutdown });
        }
        if is_shutdown {
            self.last_included.get_or_insert(self.last_stream);
        }
        Position::Header { bytes: [0; HEADER_BYTES], received: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LateFrames<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            match this.position {
                // The bytes of many frames at once, because each read passes through TLS.
                Position::Header { received: 0, .. } | Position::Content(_) => {
                    let before = buffer.filled().len();
                    ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
                    let received = buffer.filled_mut().get_mut(before..).unwrap_or_default();
                    let (count, passed) = (received.len(), this.pass(received));
                    buffer.set_filled(before + passed);
                    if passed > 0 || count == 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
                Position::Header { mut bytes, received } => {
                    let mut rest = ReadBuf::new(bytes.get_mut(received..).unwrap_or_default());
                    ready!(Pin::new(&mut this.stream).poll_read(context, &mut rest))?;
                    let (count, is_complete) = (rest.filled().len(), rest.remaining() == 0);
                    if count == 0 {
                        return Poll::Ready(Ok(()));
                    }
                    let received = received + count;
                    this.position = if is_complete {
                        let content = this.judge(&mut bytes);
                        Position::Judged { bytes, passed: 0, content }
                    } else {
                        Position::Header { bytes, received }
                    };
                }
                Position::Judged { bytes, passed, content } => {
                    let rest = bytes.get(passed..).unwrap_or_default();
                    let count = rest.len().min(buffer.remaining());
                    buffer.put_slice(rest.get(..count).unwrap_or_default());
                    this.position = if count < rest.len() {
                        Position::Judged { bytes, passed: passed + count, content }
                    } else {
                        this.after(content, &[])
                    };
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for LateFrames<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        self.has_written = true;
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.has_written = true;
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    /// Not before the first write: h2 then copies data of up to 1,023 bytes beside the frames before and after it, instead of up
    /// to 255. Otherwise, each short answer would need a write, and a TLS record, of its own for its trailers.
    fn is_write_vectored(&self) -> bool {
        self.has_written && self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// The position of the type in a header.
    const TYPE_AT: usize = 3;

    fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), content].concat()
    }

    fn window_update(stream: u32) -> Vec<u8> {
        frame(WINDOW_UPDATE, 0, stream, &[0, 0, 1, 0])
    }

    /// What h2 reads of these frames if they arrive, and are read, in pieces of at most this size.
    async fn read(frames: &[Vec<u8>], piece: usize) -> Vec<u8> {
        let sent = [&[b'x'; PREFACE_BYTES][..], &frames.concat()].concat();
        let (mut client, server) = tokio::io::duplex(piece);
        let mut server = LateFrames::new(server);
        let mut received = Vec::new();
        let sending = async {
            client.write_all(&sent).await.unwrap();
            drop(client);
        };
        let reading = async {
            let mut part = vec![0; piece];
            loop {
                let count = server.read(&mut part).await.unwrap();
                if count == 0 {
                    break;
                }
                received.extend_from_slice(&part[..count]);
            }
        };
        tokio::join!(sending, reading);
        assert_eq!(&received[..PREFACE_BYTES], [b'x'; PREFACE_BYTES]);
        received.split_off(PREFACE_BYTES)
    }

    #[tokio::test]
    async fn window_updates_of_excluded_streams_get_an_unknown_type() {
        let pong = frame(PING, ACK, 0, &SHUTDOWN);
        let begins = |stream| frame(HEADERS, 4, stream, b"a header that says WINDOW_UPDATE: \0\0\x04\x08\0");
        let before = [begins(1), begins(5), begins(3), window_update(9), pong];
        let after = [window_update(0), window_update(1), window_update(5), begins(7), frame(0, 1, 7, &[]), begins(9)];
        let late = [window_update(7), window_update(9), window_update(5)];
        let sent = [&before[..], &after, &late].concat();
        let mut expected = sent.clone();
        for late in [before.len() + after.len(), before.len() + after.len() + 1] {
            expected[late][TYPE_AT] = UNKNOWN;
        }
        for piece in 1..150 {
            assert_eq!(read(&sent, piece).await, expected.concat(), "{piece}");
        }
    }

    #[tokio::test]
    async fn other_pings_exclude_no_stream() {
        for ping in [
            frame(PING, 0, 0, &SHUTDOWN),
            frame(PING, ACK, 0, &SHUTDOWN[..7]),
            frame(PING, ACK, 0, &[&SHUTDOWN[..], &[0]].concat()),
            frame(PING, ACK, 0, &[0; 8]),
            frame(0, ACK, 1, &SHUTDOWN),
        ] {
            let sent = [ping, window_update(1)];
            for piece in [1, 5, 100] {
                assert_eq!(read(&sent, piece).await, sent.concat());
            }
        }
    }
}
