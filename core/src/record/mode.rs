//! The mode of a write: execute each time, execute once per request id, or only validate.

use crate::id::RequestId;

/// The mode of a write.
#[derive(Clone, Copy, Debug)]
pub enum Mode {
    /// Executes the write for each request.
    Execute,
    /// Executes the write once for this request id of the caller. Request ids of different callers are independent.
    ExecuteOnce(RequestId),
    /// Checks the write without executing it. Nothing is stored.
    ValidateOnly,
}
