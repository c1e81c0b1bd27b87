//! Checks the framing of a call's request: complete, uncompressed messages, and exactly one if the rpc takes one. Before this layer, the
//! framing of other protocols was changed to that of gRPC, and gzip was decompressed.
//!
//! tonic reads only what it needs, and reports broken requests as a failure of the server. The frames are checked as they pass, so that a
//! broken request is an error of the caller. Nothing here checks the content of messages.

use http::{HeaderName, request::Parts};
use sealward_connect::Unsupported;

use super::gate::Gate;
use crate::status::{BrokenMessage, Refusal};

/// The length of the header of each message: a compression flag (1 byte), and the message length (4 bytes, big endian).
const HEADER_LENGTH: usize = 5;

const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// Refuses what the framing can't carry: streams of another protocol, and messages that are compressed with another coding than gzip.
#[derive(Clone, Copy)]
pub(crate) struct ServedFraming;

impl Gate for ServedFraming {
    fn admit(&self, head: &mut Parts) -> Result<(), Refusal> {
        if let Some(unsupported) = head.extensions.get::<Unsupported>() {
            return Err(Refusal::ProtocolUnsupported(*unsupported));
        }
        let is_identity = |value: &http::HeaderValue| value == "identity";
        if head.headers.get_all(GRPC_ENCODING).iter().all(is_identity) {
            Ok(())
        } else {
            Err(Refusal::CompressionNotServed)
        }
    }
}

/// The position in the messages of a request.
#[derive(Debug)]
pub(crate) struct Frames {
    takes_stream: bool,
    messages: u64,
    header: [u8; HEADER_LENGTH],
    /// The number of received bytes of the next header.
    header_length: usize,
    /// The number of missing bytes of the message.
    missing: usize,
}

/// An event in the frames of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameEvent {
    /// The first byte of a message has arrived.
    Begun,
    /// Its length is known.
    Length(u32),
    /// It is complete.
    Whole,
}

impl Frames {
    pub(crate) fn new(takes_stream: bool) -> Self {
        Self { takes_stream, messages: 0, header: [0; HEADER_LENGTH], header_length: 0, missing: 0 }
    }

    /// Reads the next bytes, and passes on the events in them. The first error ends the request.
    pub(crate) fn take<E: From<BrokenMessage>>(
        &mut self,
        mut data: &[u8],
        mut event: impl FnMut(FrameEvent) -> Result<(), E>,
    ) -> Result<(), E> {
        while !data.is_empty() {
            if self.missing == 0 {
                if self.header_length == 0 {
                    event(FrameEvent::Begun)?;
                }
                let (part, rest) = data.split_at(data.len().min(HEADER_LENGTH - self.header_length));
                self.header.iter_mut().skip(self.header_length).zip(part).for_each(|(to, from)| *to = *from);
                self.header_length += part.len();
                data = rest;
                if self.header_length < HEADER_LENGTH {
                    break;
                }
                event(FrameEvent::Length(self.begin_message()?))?;
            }
            let (part, rest) = data.split_at(data.len().min(self.missing));
            self.missing -= part.len();
            data = rest;
            if self.missing == 0 {
                event(FrameEvent::Whole)?;
            }
        }
        Ok(())
    }

    /// The length of the message whose header is complete.
    fn begin_message(&mut self) -> Result<u32, BrokenMessage> {
        let [compressed, length @ ..] = self.header;
        match compressed {
            0 => {}
            1 => return Err(BrokenMessage::Compressed),
            _ => return Err(BrokenMessage::Flag),
        }
        self.messages += 1;
        if self.messages > 1 && !self.takes_stream {
            return Err(BrokenMessage::Second);
        }
        let length = u32::from_be_bytes(length);
        self.header_length = 0;
        self.missing = usize::try_from(length).unwrap_or(usize::MAX);
        Ok(length)
    }

    /// Checks that the request may end here.
    pub(crate) fn end(&self) -> Result<(), BrokenMessage> {
        if self.missing > 0 || self.header_length > 0 {
            return Err(BrokenMessage::CutOff);
        }
        if self.messages == 0 && !self.takes_stream {
            return Err(BrokenMessage::Missing);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;

    fn message(bytes: &[u8]) -> Vec<u8> {
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        [&[0][..], &length, bytes].concat()
    }

    fn checked_frames(takes_stream: bool, pieces: &[&[u8]]) -> Result<(), BrokenMessage> {
        let mut frames = Frames::new(takes_stream);
        pieces.iter().try_for_each(|piece| frames.take(piece, |_| Ok::<_, BrokenMessage>(())))?;
        frames.end()
    }

    #[test]
    fn second_message_of_a_unary_call_is_refused() {
        let one = message(b"one");
        let two = [message(b"one"), message(b"")].concat();
        assert_eq!(checked_frames(false, &[&one]), Ok(()));
        assert_eq!(checked_frames(false, &[&message(b"")]), Ok(()));
        assert_eq!(checked_frames(false, &[&two]), Err(BrokenMessage::Second));
        assert_eq!(checked_frames(true, &[&two]), Ok(()));
        assert_eq!(checked_frames(false, &[]), Err(BrokenMessage::Missing));
        assert_eq!(checked_frames(true, &[]), Ok(()));
    }

    #[test]
    fn message_that_is_cut_off_or_compressed_is_refused() {
        let whole = message(b"message");
        for length in 1..whole.len() {
            for takes_stream in [false, true] {
                assert_eq!(checked_frames(takes_stream, &[&whole[..length]]), Err(BrokenMessage::CutOff), "{length}");
            }
        }
        assert_eq!(checked_frames(false, &[&[1, 0, 0, 0, 0]]), Err(BrokenMessage::Compressed));
        assert_eq!(checked_frames(false, &[&[2, 0, 0, 0, 0]]), Err(BrokenMessage::Flag));
    }

    #[test]
    fn messages_are_followed_across_any_frame_boundary() {
        let bytes = [message(b"abc"), message(b""), message(&[7; 300])].concat();
        let expected = [3, 0, 300].map(|length| [FrameEvent::Begun, FrameEvent::Length(length), FrameEvent::Whole]);
        for cut in 1..bytes.len() {
            let (mut frames, mut events) = (Frames::new(true), Vec::new());
            for part in bytes.chunks(cut) {
                let event = |event| {
                    events.push(event);
                    Ok::<_, BrokenMessage>(())
                };
                frames.take(part, event).unwrap();
            }
            assert_eq!(events, expected.as_flattened(), "{cut}");
        }
    }

    proptest! {
        #[test]
        fn framing_of_a_request_makes_no_difference(
            lengths in prop::collection::vec(0_usize..20, 0..5),
            cuts in prop::collection::vec(1_usize..8, 1..10),
        ) {
            let whole: Vec<u8> = lengths.iter().flat_map(|length| message(&vec![7; *length])).collect();
            let mut pieces = Vec::new();
            let mut rest = &whole[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, more) = rest.split_at(rest.len().min(*cut));
                pieces.push(piece);
                rest = more;
            }
            prop_assert_eq!(checked_frames(true, &pieces), Ok(()));
            prop_assert_eq!(checked_frames(false, &pieces), checked_frames(false, &[&whole]));
        }
    }

    #[test]
    fn only_the_identity_encoding_is_admitted() {
        // gzip was decompressed before.
        let admitted = |encodings: &[&str]| {
            let request =
                encodings.iter().fold(Request::builder(), |request, value| request.header(GRPC_ENCODING, *value));
            ServedFraming.admit(&mut request.body(()).unwrap().into_parts().0)
        };
        assert_eq!(admitted(&[]), Ok(()));
        assert_eq!(admitted(&["identity"]), Ok(()));
        for encodings in [&["gzip"][..], &["deflate"], &["zstd"], &[""], &["identity", "gzip"]] {
            assert_eq!(admitted(encodings), Err(Refusal::CompressionNotServed), "{encodings:?}");
        }
    }
}
