//! How a write is carried out: each time, once per request, or not at all.

use crate::{id::RequestId, identity::Identity};

/// How a write is carried out.
#[derive(Clone, Copy, Debug)]
pub enum Mode<'a> {
    /// It is made each time that it is asked for.
    Make,
    /// It is made once for this request, however often it is asked for.
    MakeOnce(Request<'a>),
    /// It is checked as if it were to be made, and leaves no trace.
    ValidateOnly,
}

/// A request that may be repeated.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who asks. Nobody else's request has the same id.
    pub caller: &'a Identity,
    /// Its id.
    pub id: RequestId,
}
