//! gzip of single messages (RFC 1952).

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::{Compression, bufread::GzDecoder, write::GzEncoder};
use zeroize::Zeroizing;

use crate::{
    buffer::{Buffer, Room},
    request_error::RequestError,
};

/// The name of the coding.
pub(crate) const GZIP: &str = "gzip";

/// The smallest message that is compressed, in bytes. A smaller one fits into one packet anyway.
pub(crate) const COMPRESSED_BYTES_MIN: usize = 1024;

/// The part of a message that is decompressed before the memory for the next part is taken.
const STEP_BYTES: usize = 16 * 1024;

/// Decompresses a message. An empty message may be without the gzip header.
pub(crate) fn decompress(compressed: &Bytes, room: &Room) -> Result<Bytes, RequestError> {
    if compressed.is_empty() {
        return Ok(Bytes::new());
    }
    let mut decoder = GzDecoder::new(&compressed[..]);
    let (mut message, mut step) = (Buffer::default(), Zeroizing::new([0; STEP_BYTES]));
    loop {
        let read = decoder.read(step.as_mut_slice()).map_err(|_| RequestError::Gzip)?;
        let data = step.get(..read).unwrap_or_default();
        if data.is_empty() {
            break;
        }
        room.take(message.len().saturating_add(read), compressed.len())?;
        message.extend(data);
    }
    // A second member or other bytes behind the first one would be read by some programs and not by others.
    if decoder.into_inner().is_empty() { Ok(message.into_bytes()) } else { Err(RequestError::Gzip) }
}

/// Compresses a message; `None` if that makes it no smaller.
pub(crate) fn compress(message: &[u8]) -> Option<Bytes> {
    if message.len() < COMPRESSED_BYTES_MIN {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(message).ok()?;
    let compressed = encoder.finish().ok()?;
    (compressed.len() < message.len()).then(|| compressed.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::BufferBound;

    fn room(bytes: usize) -> Room {
        Room::new(bytes, BufferBound::default())
    }

    #[test]
    fn message_is_the_same_after_compression() {
        let message: Vec<u8> = b"message ".repeat(1_000);
        let compressed = compress(&message).unwrap();
        assert!(compressed.len() < message.len() / 10);
        assert_eq!(decompress(&compressed, &room(message.len())).unwrap(), message);
        assert_eq!(decompress(&Bytes::new(), &room(0)).unwrap(), "");
        assert_eq!(compress(b"short"), None);
    }

    #[test]
    fn memory_is_bounded_before_it_is_used() {
        let bomb = compress(&vec![0; 10_000_000]).unwrap();
        assert!(bomb.len() < 100_000);
        assert!(matches!(decompress(&bomb, &room(1_000_000)), Err(RequestError::TooLarge { limit: 1_000_000 })));
        let (bound, largest) = (BufferBound::default(), std::sync::Arc::new(std::sync::Mutex::new(0)));
        let seen = std::sync::Arc::clone(&largest);
        bound.set(move |message, _| {
            *seen.lock().unwrap() = message;
            if message > 100_000 { Err(tonic::Status::ok("")) } else { Ok(()) }
        });
        assert!(matches!(decompress(&bomb, &Room::new(usize::MAX, bound)), Err(RequestError::Refused(_))));
        assert!(*largest.lock().unwrap() <= 100_000 + STEP_BYTES);
    }

    #[test]
    fn damaged_gzip_is_refused() {
        let compressed = compress(&b"message ".repeat(1_000)).unwrap();
        for broken in [
            compressed.slice(..compressed.len() - 1),
            compressed.slice(1..),
            [&compressed[..], b"x"].concat().into(),
            [&compressed[..], &compressed[..]].concat().into(),
            Bytes::from_static(b"not gzip"),
        ] {
            assert!(matches!(decompress(&broken, &room(usize::MAX)), Err(RequestError::Gzip)));
        }
    }
}
