//! What went wrong, and what to do about it.
//!
//! [`Error`] is either a client that was set up wrongly or a call that failed; everything a server tells about the latter is decoded
//! once, into [`CallError`]. What the advice means for a person at a terminal is for the command line to say.

mod action;
mod call;
mod details;
mod name;
mod setup;

use std::time::Duration;

use tonic::Code;

use crate::{mail_v1, schema::SchemaError, v1::ErrorReason};
pub use action::Action;
pub use call::{CallError, Origin};
pub use details::FieldViolation;
pub use name::{code_name, reason_name};
pub use setup::SetupError;

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The client can't be set up as it was told to; no call was made.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A message can't be made from the descriptors given; no call was made.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The server, or the way to it, failed the call.
    #[error(transparent)]
    Call(Box<CallError>),
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub fn action(&self) -> Action {
        match self {
            Self::Setup(_) => Action::FixCall,
            Self::Schema(_) => Action::GiveUp,
            Self::Call(call) => call.action(),
        }
    }

    /// The failed call, if there was one.
    #[must_use]
    pub fn call(&self) -> Option<&CallError> {
        match self {
            Self::Setup(_) | Self::Schema(_) => None,
            Self::Call(call) => Some(call),
        }
    }

    /// The code of the failed call. INVALID_ARGUMENT if there was none.
    #[must_use]
    pub fn code(&self) -> Code {
        self.call().map_or(Code::InvalidArgument, CallError::code)
    }

    /// See [`CallError::reason`].
    #[must_use]
    pub fn reason(&self) -> ErrorReason {
        self.call().map_or(ErrorReason::Unspecified, CallError::reason)
    }

    /// See [`CallError::mail_reason`].
    #[must_use]
    pub fn mail_reason(&self) -> mail_v1::ErrorReason {
        self.call().map_or(mail_v1::ErrorReason::Unspecified, CallError::mail_reason)
    }

    /// See [`CallError::metadata`].
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.call().and_then(|call| call.metadata().get(key)).map(String::as_str)
    }

    /// See [`CallError::field_violations`].
    #[must_use]
    pub fn field_violations(&self) -> &[FieldViolation] {
        self.call().map_or(&[], CallError::field_violations)
    }

    /// See [`CallError::retry_delay`].
    #[must_use]
    pub fn retry_delay(&self) -> Option<Duration> {
        self.call().and_then(CallError::retry_delay)
    }

    /// See [`CallError::call_id`].
    #[must_use]
    pub fn call_id(&self) -> Option<&str> {
        self.call().and_then(CallError::call_id)
    }
}

impl From<Box<CallError>> for Error {
    fn from(error: Box<CallError>) -> Self {
        Self::Call(error)
    }
}
