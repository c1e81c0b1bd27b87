//! Errors of the client, and what to do about them.
//!
//! [`Error`] is a wrong configuration, an unsuitable schema or a failed call. [`CallError`] has the decoded details of the server.

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

/// An error of this library.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration of the client is invalid. No call was made.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The descriptors don't match the request. No call was made.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The call failed, at the server or in transport.
    #[error(transparent)]
    Call(Box<CallError>),
}

impl Error {
    /// Returns what to do about the error.
    #[must_use]
    pub fn action(&self) -> Action {
        match self {
            Self::Setup(_) => Action::FixCall,
            Self::Schema(_) => Action::GiveUp,
            Self::Call(call) => call.action(),
        }
    }

    /// Returns the failed call, if a call was made.
    #[must_use]
    pub fn call(&self) -> Option<&CallError> {
        match self {
            Self::Setup(_) | Self::Schema(_) => None,
            Self::Call(call) => Some(call),
        }
    }

    /// Returns the gRPC code of the failed call, or INVALID_ARGUMENT if no call was made.
    #[must_use]
    pub fn code(&self) -> Code {
        self.call().map_or(Code::InvalidArgument, CallError::code)
    }

    /// Returns [`CallError::reason`], or `Unspecified` if no call was made.
    #[must_use]
    pub fn reason(&self) -> ErrorReason {
        self.call().map_or(ErrorReason::Unspecified, CallError::reason)
    }

    /// Returns [`CallError::mail_reason`], or `Unspecified` if no call was made.
    #[must_use]
    pub fn mail_reason(&self) -> mail_v1::ErrorReason {
        self.call().map_or(mail_v1::ErrorReason::Unspecified, CallError::mail_reason)
    }

    /// Returns a value of [`CallError::metadata`].
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.call().and_then(|call| call.metadata().get(key)).map(String::as_str)
    }

    /// Returns [`CallError::field_violations`].
    #[must_use]
    pub fn field_violations(&self) -> &[FieldViolation] {
        self.call().map_or(&[], CallError::field_violations)
    }

    /// Returns [`CallError::retry_delay`].
    #[must_use]
    pub fn retry_delay(&self) -> Option<Duration> {
        self.call().and_then(CallError::retry_delay)
    }

    /// Returns [`CallError::call_id`].
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
