//! Refuses every call over a connection that exceeds a connection limit, including health checks.

use http::request::Parts;

use super::gate::Gate;
use crate::{status::Refusal, transport::connection::Connection};

/// The gate.
#[derive(Clone, Copy)]
pub(crate) struct WithinConnectionLimit;

impl Gate for WithinConnectionLimit {
    fn admit(&self, head: &mut Parts) -> Result<(), Refusal> {
        match head.extensions.get::<Connection>().and_then(|connection| connection.limit_reached) {
            Some(limit_reached) => Err(Refusal::ConnectionLimit(limit_reached)),
            None => Ok(()),
        }
    }
}
