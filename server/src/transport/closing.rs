//! When a connection has to close, in any protocol: at its maximum age, when the client CAs or revocation lists have changed, when it exceeds
//! a connection limit, and when the server stops.
//!
//! A connection is asked to close first, finishes its calls, and is closed by force after a grace period. Nothing here knows how a protocol
//! asks a client.

use std::{future::pending, sync::Arc, time::Duration};

use sealward_core::random::Random;
use tokio::{sync::watch, time::timeout};

use crate::{
    config::limits::Limits,
    drain::Drain,
    spread::shortened,
    telemetry::shed::Shed,
    transport::{calls::Calls, connection::Connection, connection_limit::ConnectionSlot, tls::TlsContext},
};

/// The time without working calls after which a stopping server closes a connection.
const IDLE_AT_STOP: Duration = Duration::from_secs(1);

/// The maximum time for sending the last answers of streams after the grace period.
const LAST_ANSWERS_MAX: Duration = Duration::from_secs(30);

/// The time that a refused connection stays open after the refusal.
pub(super) const REFUSED_LINGER: Duration = Duration::from_millis(500);

/// The reasons to close connections.
#[derive(Clone)]
pub(super) struct Closing {
    pub(super) limits: Limits,
    /// The current trust.
    pub(super) tls_context: watch::Receiver<Arc<TlsContext>>,
    /// Spreads the ends of connections.
    pub(super) random: Arc<dyn Random>,
    pub(super) drain: Drain,
    pub(super) shed: Shed,
}

impl Closing {
    /// Resolves with the reason when this connection has to close.
    pub(super) async fn reason_to_close(
        &self,
        connection: &Connection,
        slot: &ConnectionSlot,
        calls: &Calls,
    ) -> &'static str {
        if connection.limit_reached.is_some() {
            // The answer to its first call has the reason. A connection without a call has the time of a handshake.
            tokio::select! {
                _in_time = timeout(self.limits.handshake_timeout(), calls.any()) => {}
                () = self.drain.begun() => {}
            }
            return "over the connection limit";
        }
        let earlier = async {
            tokio::select! {
                () = self.drain.begun() => "the server stops",
                () = self.trust_changed(connection) => "client CAs or revocation lists changed",
                () = self.is_idle_and_unidentified(slot, calls) => "unidentified and without calls",
            }
        };
        let age_max = shortened(self.limits.connection_age_max(), AGE_SHARE, &*self.random);
        timeout(age_max, earlier).await.unwrap_or("maximum age reached")
    }

    /// Resolves with the reason when a connection that was asked to close has to be closed by force.
    pub(super) async fn reason_to_force(
        &self,
        connection: &Connection,
        slot: &ConnectionSlot,
        calls: &Calls,
    ) -> &'static str {
        let is_refused = connection.limit_reached.is_some();
        // A client that ignores a GOAWAY would otherwise stay for the whole grace period.
        let idle = if is_refused {
            REFUSED_LINGER
        } else if slot.is_unidentified() {
            IDLE_AT_STOP
        } else {
            self.limits.keepalive_timeout()
        };
        let stopping = async {
            self.drain.begun().await;
            calls.none_working_for(IDLE_AT_STOP).await;
        };
        let earlier = async {
            tokio::select! {
                () = calls.none_open_for(idle) => "no calls, but not closed by the client",
                () = stopping => "the server stops, and no call is working",
            }
        };
        let grace = if is_refused { IDLE_AT_STOP } else { self.limits.connection_grace() };
        match timeout(grace, earlier).await {
            Ok(reason) => reason,
            Err(_) => self.wait_for_streams(connection, calls).await,
        }
    }

    /// Waits for the streams of a connection after its grace period. Streams with their own time limit may finish, unless the server's
    /// trust changes; the others end immediately. No stream takes longer than the maximum time of a transfer, so a caller can't keep the
    /// connection with new streams.
    async fn wait_for_streams(&self, connection: &Connection, calls: &Calls) -> &'static str {
        let ending = &connection.ending;
        if ending.has_streams() {
            ending.begin();
            let ended = async {
                tokio::select! {
                    () = ending.streams_ended() => {}
                    () = self.trust_changed(connection) => ending.cut(),
                }
            };
            if timeout(self.limits.transfer_time_max(), ended).await.is_err() {
                self.shed.count("transfer_time_max_seconds");
                ending.cut();
            }
            // Their final status is still to be sent.
            let _sent = timeout(LAST_ANSWERS_MAX, calls.none_open_for(Duration::ZERO)).await;
        }
        "calls took longer than the grace period"
    }

    /// Resolves when the connection is unidentified and has been without a call for the maximum idle time.
    async fn is_idle_and_unidentified(&self, slot: &ConnectionSlot, calls: &Calls) {
        calls.none_open_for(self.limits.connection_unidentified_idle_max()).await;
        if !slot.is_unidentified() {
            pending::<()>().await;
        }
        self.shed.count("connection_unidentified_idle_max_seconds");
    }

    /// Resolves when the server's trust has changed since the handshake.
    async fn trust_changed(&self, connection: &Connection) {
        let first = match (&connection.tls, &connection.hop) {
            (Some(tls), _) => Some(&tls.trust),
            (None, Some(_)) => {
                Some(connection.first_trust.get_or_init(|| Arc::clone(&self.tls_context.borrow().trust)))
            }
            (None, None) => None,
        };
        let changed = match first {
            Some(first) => {
                let mut tls_context = self.tls_context.clone();
                tls_context.wait_for(|now| !Arc::ptr_eq(&now.trust, first)).await.is_ok()
            }
            None => false,
        };
        if !changed {
            pending::<()>().await;
        }
    }
}

/// The share by which the age of a connection is shortened at most, so that connections that began together don't end together.
const AGE_SHARE: f64 = 0.1;
