//! A connection without a place gets nothing but the answer that says so, health included.

use http::request::Parts;

use super::gate::Gate;
use crate::{status::Refusal, transport::listener::Connection};

/// The gate.
#[derive(Clone, Copy)]
pub(crate) struct PlaceRequired;

impl Gate for PlaceRequired {
    fn admit(&self, head: &mut Parts) -> Result<(), Refusal> {
        match head.extensions.get::<Connection>().and_then(|connection| connection.no_place) {
            Some(no_place) => Err(Refusal::NoPlace(no_place)),
            None => Ok(()),
        }
    }
}
