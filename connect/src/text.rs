//! base64 of gRPC-Web's text form: a sequence of encoded parts, each with its own padding (RFC 4648, section 4).

use bytes::Bytes;
use data_encoding::{BASE64, BASE64_NOPAD};
use zeroize::Zeroizing;

use crate::{buffer::Buffer, request_error::RequestError};

/// The characters that encode up to three bytes.
const QUANTUM: usize = 4;

/// Decodes text as it arrives.
#[derive(Default)]
pub(crate) struct TextDecoder {
    /// The begun quantum.
    rest: Vec<u8>,
}

impl TextDecoder {
    /// The bytes of all complete quanta.
    ///
    /// # Errors
    /// The text isn't base64.
    pub(crate) fn decode(&mut self, mut text: &[u8]) -> Result<Bytes, RequestError> {
        let mut decoded = Buffer::with_capacity((self.rest.len() + text.len()) / QUANTUM * 3);
        if !self.rest.is_empty() {
            let missing = (QUANTUM - self.rest.len()).min(text.len());
            let (first, others) = text.split_at(missing);
            self.rest.extend_from_slice(first);
            text = others;
            if self.rest.len() < QUANTUM {
                return Ok(Bytes::new());
            }
            decode_quanta(&self.rest, &mut decoded)?;
            self.rest.clear();
        }
        let (quanta, rest) = text.split_at(text.len() - text.len() % QUANTUM);
        decode_quanta(quanta, &mut decoded)?;
        self.rest.extend_from_slice(rest);
        Ok(decoded.into_bytes())
    }

    /// Whether a quantum has begun and isn't complete.
    pub(crate) fn is_within(&self) -> bool {
        !self.rest.is_empty()
    }
}

fn decode_quanta(mut quanta: &[u8], decoded: &mut Buffer) -> Result<(), RequestError> {
    let mut part = zeroize::Zeroizing::new([0; 3 * 256]);
    while !quanta.is_empty() {
        // Up to a padded quantum, which may be followed by the next part.
        let end = quanta.iter().position(|character| *character == b'=');
        let end = end.map_or(quanta.len(), |position| position - position % QUANTUM + QUANTUM);
        let end = end.min(QUANTUM * 256);
        let (now, later) = quanta.split_at(end.min(quanta.len()));
        quanta = later;
        let length = BASE64.decode_mut(now, part.get_mut(..now.len() / QUANTUM * 3).unwrap_or_default());
        let length = length.map_err(|_| RequestError::Base64)?;
        decoded.extend(part.get(..length).unwrap_or_default());
    }
    Ok(())
}

/// Encodes bytes as one part.
pub(crate) fn encode(bytes: &[u8]) -> Bytes {
    Bytes::from_owner(Zeroizing::new(BASE64.encode(bytes).into_bytes()))
}

/// Encodes the value of an error's detail, without padding.
pub(crate) fn encode_detail(bytes: &[u8]) -> String {
    BASE64_NOPAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parts_and_cuts_make_no_difference(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2_000), 0..5),
            cuts in prop::collection::vec(1_usize..1_500, 1..10),
        ) {
            let text: Vec<u8> = parts.iter().flat_map(|part| encode(part).to_vec()).collect();
            let (mut decoder, mut decoded, mut rest) = (TextDecoder::default(), Vec::new(), &text[..]);
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, more) = rest.split_at(rest.len().min(*cut));
                decoded.extend_from_slice(&decoder.decode(piece).unwrap());
                rest = more;
            }
            prop_assert_eq!(decoded, parts.concat());
            prop_assert!(!decoder.is_within());
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["AAA*", "AA=A", "A===", "====", "AAB=", "AA\nA", "AA-_"] {
            assert!(TextDecoder::default().decode(text.as_bytes()).is_err(), "{text}");
        }
        let mut decoder = TextDecoder::default();
        assert_eq!(decoder.decode(b"AAA").unwrap(), "");
        assert!(decoder.is_within());
    }
}
