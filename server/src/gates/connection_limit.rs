//! Refuses every call over a connection beyond the limits on connections, health checks included.

use http::request::Parts;

use super::gate::Gate;
use crate::{status::Refusal, transport::connection::Connection};

/// The gate.
#[derive(Clone, Copy)]
pub(crate) struct WithinConnectionLimit;

impl Gate for WithinConnectionLimit {
    fn admit(&self, head: &mut Parts) -> Result<(), Refusal> {
        match head.extensions.get::<Connection>().and_then(|connection| connection.no_place) {
            Some(no_place) => Err(Refusal::NoPlace(no_place)),
            None => Ok(()),
        }
    }
}
