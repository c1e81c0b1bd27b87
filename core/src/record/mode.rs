//! How a write is carried out: each time, once per request, or not at all.

use crate::id::RequestId;

/// How a write is carried out.
#[derive(Clone, Copy, Debug)]
pub enum Mode {
    /// It is made each time that it is asked for.
    Make,
    /// It is made once for this request of its caller, however often it is asked for. No other caller's request has the same id.
    MakeOnce(RequestId),
    /// It is checked as if it were to be made, and leaves no trace.
    ValidateOnly,
}
