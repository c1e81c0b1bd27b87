//! What can be wrong with the body of a request.

use std::{error::Error, sync::Arc};

use tonic::{Code, Status};

use crate::json::JsonError;

/// What is wrong with the body of a request. It is the source of the status with which the body ends.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// A message is larger than the limit, in bytes, before or after it was decompressed.
    #[error("a message is larger than {limit} bytes, the maximum")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The service doesn't allow the memory: this is its status.
    #[error("the memory for a message isn't allowed")]
    Refused(Box<Status>),
    /// A message is marked as compressed, but the request declares no coding.
    #[error("a message is marked as compressed, but the request declares no coding")]
    Compressed,
    /// The method takes one message, and a second one has begun.
    #[error("the request has a second message")]
    Second,
    /// A message has flags that the protocol doesn't have.
    #[error("a message has invalid flags")]
    Flags,
    /// A message isn't gzip, or has bytes behind it.
    #[error("a message is not valid gzip")]
    Gzip,
    /// The body isn't base64.
    #[error("the body is not valid base64")]
    Base64,
    /// The body ends inside a message.
    #[error("the body ends inside a message")]
    CutOff,
    /// A message isn't the JSON form of its type.
    #[error("a message is not valid JSON of its type: {0}")]
    Json(#[from] JsonError),
}

impl RequestError {
    /// The error that ended a body with this status, if the layer made it.
    #[must_use]
    pub fn of(status: &Status) -> Option<&Self> {
        let mut cause = status.source();
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref::<Self>() {
                return Some(found);
            }
            cause = error.source();
        }
        None
    }

    #[expect(clippy::disallowed_methods, reason = "for services that don't make their own status of the source")]
    pub(crate) fn into_status(self) -> Status {
        let code = match &self {
            Self::Refused(status) => status.code(),
            Self::TooLarge { .. } => Code::ResourceExhausted,
            Self::Second => Code::Unimplemented,
            Self::Compressed | Self::Flags | Self::Gzip | Self::Base64 | Self::CutOff | Self::Json(_) => {
                Code::InvalidArgument
            }
        };
        let mut status = Status::new(code, self.to_string());
        status.set_source(Arc::new(self));
        status
    }
}
