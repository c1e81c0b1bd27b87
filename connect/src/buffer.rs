//! Memory for parts of a request: bounded before it grows, and wiped when it is released, because a request may contain a secret.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use tonic::Status;
use zeroize::Zeroizing;

use crate::request_error::RequestError;

/// Decides whether a request may use this memory: the bytes of its message, and all its bytes.
type Check = Box<dyn Fn(usize, usize) -> Result<(), Status> + Send + Sync>;

/// The bound of the memory of one request while its framing is changed. It is in the request's extensions, so that a service behind the
/// layer can decide by the caller. Without a decision, only the maximum size of a message applies.
#[derive(Clone, Default)]
pub struct BufferBound(Arc<OnceLock<Check>>);

impl BufferBound {
    /// Sets the decision, once: about the bytes of the message, and about all bytes that the request uses.
    pub fn set(&self, check: impl Fn(usize, usize) -> Result<(), Status> + Send + Sync + 'static) {
        let _once = self.0.set(Box::new(check));
    }
}

impl fmt::Debug for BufferBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BufferBound")
    }
}

/// The memory that a request may use.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    /// The maximum size of a message in each of its forms.
    message_size_max: usize,
    bound: BufferBound,
}

impl Room {
    pub(crate) fn new(message_size_max: usize, bound: BufferBound) -> Self {
        Self { message_size_max, bound }
    }

    /// Room without a bound, for what the services behind the layer have made.
    pub(crate) fn unbounded() -> Self {
        Self::new(usize::MAX, BufferBound::default())
    }

    /// Takes memory for a message of this size, beside other bytes of the request.
    pub(crate) fn take(&self, message: usize, beside: usize) -> Result<(), RequestError> {
        if let Some(check) = self.bound.0.get() {
            check(message, message.saturating_add(beside)).map_err(|status| RequestError::Refused(Box::new(status)))?;
        }
        if message > self.message_size_max {
            return Err(RequestError::TooLarge { limit: self.message_size_max });
        }
        Ok(())
    }
}

/// The smallest buffer, in bytes: most requests fit.
const BUFFER_BYTES_MIN: usize = 512;

/// Bytes that are wiped, also when they move to a larger buffer.
#[derive(Default)]
pub(crate) struct Buffer(Zeroizing<Vec<u8>>);

impl Buffer {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(bytes)))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn extend(&mut self, data: &[u8]) {
        let needed = self.0.len().saturating_add(data.len());
        if needed > self.0.capacity() {
            let capacity = needed.max(self.0.capacity().saturating_mul(2)).max(BUFFER_BYTES_MIN);
            let mut larger = Zeroizing::new(Vec::with_capacity(capacity));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(data);
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_has_a_limit_and_the_decision_of_the_service() {
        let bound = BufferBound::default();
        let room = Room::new(10, bound.clone());
        assert!(room.take(10, 1_000).is_ok());
        assert!(matches!(room.take(11, 0), Err(RequestError::TooLarge { limit: 10 })));
        bound.set(|message, all| if message + all > 30 { Err(tonic::Status::ok("")) } else { Ok(()) });
        assert!(room.take(10, 10).is_ok());
        assert!(matches!(room.take(10, 11), Err(RequestError::Refused(_))));
    }

    #[test]
    fn buffer_keeps_what_it_gets() {
        let mut buffer = Buffer::default();
        let data: Vec<u8> = (0..=255).collect();
        for _ in 0..20 {
            buffer.extend(&data);
        }
        assert_eq!(buffer.len(), 20 * 256);
        assert_eq!(buffer.into_bytes(), data.repeat(20));
    }
}
