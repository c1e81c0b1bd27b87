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
        let refusal = match head.extensions.get::<Connection>() {
            Some(connection) if connection.hop.is_some() => {
                (!asserted::is_over_tls(&head.headers)).then_some(Refusal::HttpsRequiredAtHop)
            }
            Some(connection) if connection.tls.is_some() => None,
            Some(_) | None => Some(Refusal::HttpsRequired),
        };
        refusal.filter(|_| !is_health(head.uri.path())).map_or(Ok(()), Err)
    }
}
