//! Messages within a body: before each there are flags (1 byte) and its length (4 bytes, big endian).

use bytes::{Buf as _, Bytes};

use crate::{
    buffer::{Buffer, Room},
    request_error::RequestError,
};

/// The number of bytes before each message.
pub(crate) const PREFIX_BYTES: usize = 5;

/// The flag of a compressed message.
pub(crate) const COMPRESSED: u8 = 1;

/// The prefix of a message; `None` if the message is longer than a prefix can say.
pub(crate) fn prefix(flags: u8, length: usize) -> Option<Bytes> {
    let [a, b, c, d] = u32::try_from(length).ok()?.to_be_bytes();
    Some(Bytes::copy_from_slice(&[flags, a, b, c, d]))
}

/// The next event of a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The first byte of a message has arrived.
    Begun,
    /// A complete message, with its flags.
    Message(u8, Bytes),
}

/// The position in a body.
#[derive(Default)]
pub(crate) struct Envelopes {
    prefix: Vec<u8>,
    /// The message, if it doesn't arrive at once.
    message: Option<Buffer>,
}

impl Envelopes {
    /// The next event in these bytes. Removes the bytes up to it.
    ///
    /// # Errors
    /// There is no room for the message.
    pub(crate) fn next(&mut self, bytes: &mut Bytes, room: &Room) -> Result<Option<Event>, RequestError> {
        while self.prefix.len() < PREFIX_BYTES {
            if bytes.is_empty() {
                return Ok(None);
            }
            self.prefix.push(bytes.get_u8());
            if self.prefix.len() == 1 {
                return Ok(Some(Event::Begun));
            }
            if self.prefix.len() == PREFIX_BYTES {
                // Before anything is buffered.
                room.take(self.length(), 0)?;
            }
        }
        let length = self.length();
        let here = self.message.as_ref().map_or(0, Buffer::len);
        let missing = length.saturating_sub(here);
        if self.message.is_none() && bytes.len() >= missing {
            return Ok(Some(self.end(bytes.split_to(missing))));
        }
        // Reserves no more than has arrived: the length is only a claim.
        let message = self.message.get_or_insert_default();
        message.extend(&bytes.split_to(missing.min(bytes.len())));
        if message.len() < length {
            return Ok(None);
        }
        let message = self.message.take().unwrap_or_default().into_bytes();
        Ok(Some(self.end(message)))
    }

    /// Whether a message has begun and isn't complete.
    pub(crate) fn is_within(&self) -> bool {
        !self.prefix.is_empty()
    }

    fn length(&self) -> usize {
        match *self.prefix {
            [_, a, b, c, d] => usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX),
            _ => 0,
        }
    }

    fn end(&mut self, message: Bytes) -> Event {
        let flags = self.prefix.first().copied().unwrap_or_default();
        self.prefix.clear();
        Event::Message(flags, message)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(pieces: &[&[u8]]) -> (Vec<Event>, bool) {
        let (mut envelopes, mut events) = (Envelopes::default(), Vec::new());
        for piece in pieces {
            let mut bytes = Bytes::copy_from_slice(piece);
            while let Some(event) = envelopes.next(&mut bytes, &Room::unbounded()).unwrap() {
                events.push(event);
            }
            assert!(bytes.is_empty());
        }
        (events, envelopes.is_within())
    }

    proptest! {
        #[test]
        fn cuts_make_no_difference(
            messages in prop::collection::vec((0_u8..4, prop::collection::vec(any::<u8>(), 0..20)), 0..5),
            cuts in prop::collection::vec(1_usize..8, 1..10),
        ) {
            let whole: Vec<u8> =
                messages.iter().flat_map(|(flags, data)| [&prefix(*flags, data.len()).unwrap(), &data[..]].concat()).collect();
            let expected: Vec<Event> = messages
                .iter()
                .flat_map(|(flags, data)| [Event::Begun, Event::Message(*flags, Bytes::copy_from_slice(data))])
                .collect();
            let (mut pieces, mut rest) = (Vec::new(), &whole[..]);
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, more) = rest.split_at(rest.len().min(*cut));
                pieces.push(piece);
                rest = more;
            }
            let (found, is_within) = events(&pieces);
            prop_assert_eq!(&found, &expected);
            prop_assert!(!is_within);
            if let Some((_, cut_off)) = whole.split_last() {
                prop_assert!(events(&[cut_off]).1);
            }
        }
    }

    #[test]
    fn length_is_judged_before_the_message_arrives() {
        let room = Room::new(3, crate::buffer::BufferBound::default());
        let mut claim = Bytes::from_static(&[0, 0, 0, 0, 4]);
        let mut envelopes = Envelopes::default();
        assert_eq!(envelopes.next(&mut claim, &room).unwrap(), Some(Event::Begun));
        assert!(matches!(envelopes.next(&mut claim, &room), Err(RequestError::TooLarge { limit: 3 })));
    }
}
