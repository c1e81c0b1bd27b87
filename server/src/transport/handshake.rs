//! The handshake of a connection to the TLS port. A refusal reports its cause to the client, the log and the metrics.
//!
//! A client that sends HTTP without TLS gets HTTPS_REQUIRED. Nothing here knows the use of a connection.

pub(crate) mod cause;
mod graceful_close;
mod plaintext;

use std::{io, net::SocketAddr, sync::Arc};

use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use self::{cause::Cause, graceful_close::close_gracefully, plaintext::WrongPort};
use crate::{
    gates::trace::TraceLayer,
    telemetry::{
        counters::Counters,
        samples::{Kind, Samples, Who},
    },
    transport::tls::{TlsContext, with_refused_subject},
};

/// Counters of refused handshakes, by cause.
pub(crate) fn refused() -> Counters {
    Counters::new(Cause::ALL.map(Cause::name))
}

/// Performs handshakes, and counts and logs refused ones. The listeners share it.
#[derive(Clone)]
pub(crate) struct Handshakes {
    refused: Counters,
    samples: Samples,
    wrong_port: Arc<WrongPort>,
}

/// A handshake that failed.
struct Failed {
    error: io::Error,
    /// The stream to which the alert was written.
    stream: TcpStream,
    /// The subject of the refused certificate.
    subject: Option<String>,
}

enum Opened {
    Tls(Box<TlsStream<TcpStream>>),
    /// The client sent HTTP.
    Plaintext(TcpStream),
}

impl Handshakes {
    /// Samples refusals for the log. Calls without TLS are traced like all calls.
    pub(crate) fn new(refused: Counters, samples: Samples, trace: TraceLayer) -> Self {
        Self { refused, samples, wrong_port: Arc::new(WrongPort::new(trace)) }
    }

    /// Handshakes without observers.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        let samples = Samples::new(10, crate::telemetry::shed::Shed::default());
        let trace = TraceLayer::new(
            Arc::new(crate::ports::clock::SystemClock),
            Arc::new(crate::ports::random::SystemRandom),
            samples.clone(),
            Arc::default(),
        );
        Self::new(refused(), samples, trace)
    }

    /// Performs a handshake before the deadline; `None` if it was refused.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        context: &TlsContext,
        deadline: Instant,
    ) -> Option<Box<TlsStream<TcpStream>>> {
        match timeout_at(deadline, open(stream, context)).await {
            Ok(Ok(Opened::Tls(stream))) => return Some(stream),
            Ok(Ok(Opened::Plaintext(stream))) => {
                self.report(Cause::Plaintext, peer, None, None);
                self.wrong_port.answer(stream, peer).await;
            }
            Ok(Err(Failed { error, stream, subject })) => {
                self.report(Cause::of(&error), peer, subject.as_deref(), Some(&error));
                close_gracefully(stream).await;
            }
            Err(_) => self.report(Cause::TimedOut, peer, None, None),
        }
        None
    }

    /// Reports that the connection of a load balancer failed, or didn't begin with a header of the PROXY protocol in time.
    pub(crate) fn refuse_load_balancer(&self, peer: SocketAddr, error: Option<&io::Error>) {
        let cause = match error {
            None => Cause::TimedOut,
            Some(error) if error.kind() == io::ErrorKind::InvalidData => Cause::ProxyProtocol,
            Some(error) => Cause::of(error),
        };
        self.report(cause, peer, None, error);
    }

    /// Reports that a process of this user, which isn't the hop's, connected to the hop's Unix socket.
    pub(crate) fn refuse_user(&self, hop: &str, uid: u32) {
        const EVENT: &str = "connection to the socket of a hop refused";
        let cause = Cause::WrongUser.name();
        self.refused.add(cause, 1);
        if self.samples.is_first(Kind { who: Who::Unknown, event: EVENT, reason: hop.to_owned().into() }) {
            tracing::warn!(hop, uid, cause, "{EVENT}");
        }
    }

    fn report(&self, cause: Cause, peer: SocketAddr, subject: Option<&str>, error: Option<&io::Error>) {
        const EVENT: &str = "handshake refused";
        let name = cause.name();
        self.refused.add(name, 1);
        let error = error.map(tracing::field::display);
        if cause == Cause::HungUp {
            // Load balancers check this way whether a port is open.
            return tracing::debug!(%peer, cause = name, error, "{EVENT}");
        }
        if !self.samples.is_first(Kind { who: Who::Address(peer.ip()), event: EVENT, reason: name.into() }) {
            return;
        }
        if cause.is_about_a_certificate() {
            tracing::warn!(%peer, cause = name, subject, error, "{EVENT}");
        } else {
            tracing::info!(%peer, cause = name, error, "{EVENT}");
        }
    }
}

async fn open(stream: TcpStream, context: &TlsContext) -> Result<Opened, Failed> {
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(0) => Err(Failed { error: io::ErrorKind::UnexpectedEof.into(), stream, subject: None }),
        // A TLS record begins with a type number below the letters; HTTP begins with a method, or with `PRI`.
        Ok(_) if first.iter().all(u8::is_ascii_uppercase) => Ok(Opened::Plaintext(stream)),
        Ok(_) => {
            let accepting = TlsAcceptor::from(Arc::clone(&context.server_config)).accept(stream).into_fallible();
            match with_refused_subject(accepting).await {
                Ok(stream) => Ok(Opened::Tls(Box::new(stream))),
                Err(((error, stream), subject)) => Err(Failed { error, stream, subject }),
            }
        }
        Err(error) => Err(Failed { error, stream, subject: None }),
    }
}
