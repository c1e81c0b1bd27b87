//! Refuses calls without TLS, except health checks.
//!
//! It uses the facts of the call's connection, and no headers, which a client can forge. Only a hop's headers count: it says whether the
//! connection of the caller, which ends at the hop, uses TLS.

use http::request::Parts;

use super::{gate::Gate, probe::is_health};
use crate::{hop::asserted, status::Refusal, transport::connection::Connection};

/// The gate.
#[derive(Clone, Copy)]
pub(crate) struct TlsRequired;

impl Gate for TlsRequired {
    fn admit(&self, head: &mut Parts) -> Result<(), Refusal> {
        // A connection without facts counts as plaintext.
        let over_tls = head.extensions.get::<Connection>().is_some_and(|connection| match connection.hop {
            Some(_) => asserted::is_over_tls(&head.headers),
            None => connection.tls.is_some(),
        });
        if over_tls || is_health(head.uri.path()) { Ok(()) } else { Err(Refusal::HttpsRequired) }
    }
}
