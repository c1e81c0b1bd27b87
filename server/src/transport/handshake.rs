//! The handshake of a connection to the TLS port, and how one is refused: with a reason that reaches the client, the log and the metrics.
//!
//! A client that speaks HTTP without TLS here is answered with HTTPS_REQUIRED. Nothing here knows what a connection is used for.

mod plaintext;

use std::{cell::RefCell, fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use self::plaintext::WrongPort;
use crate::{
    gates::trace::TraceLayer,
    identity::ClientCertificate,
    telemetry::samples::{Kind, Samples, Who},
    transport::tls::Terms,
};

/// How long, and for how many bytes, a refused connection is read on so that the alert arrives.
const FAREWELL_MAX: Duration = Duration::from_secs(1);
const FAREWELL_BYTES_MAX: u64 = 64 * 1024;

/// As much of a certificate's subject as is logged.
const SUBJECT_LENGTH_MAX: usize = 200;

/// Refused handshakes, by cause.
pub(crate) type Refused = Family<OfCause, Counter>;

/// Makes handshakes, and counts and logs those that it refuses. Shared by the listeners.
#[derive(Clone)]
pub(crate) struct Handshakes {
    refused: Refused,
    samples: Samples,
    wrong_port: Arc<WrongPort>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OfCause {
    cause: &'static str,
}

/// Why a handshake was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    CertificateExpired,
    CertificateNotYetValid,
    CertificateRevoked,
    RevocationUnknown,
    UnknownCa,
    CertificateInvalid,
    /// The client doesn't accept the server, or gives up for a reason that it names.
    RefusedByClient,
    /// No version, cipher suite or protocol in common.
    Incompatible,
    /// HTTP without TLS.
    Plaintext,
    /// Neither TLS nor HTTP.
    NotTls,
    /// The client closed the connection.
    HungUp,
    TimedOut,
    Other,
}

/// A handshake that failed.
struct Failed {
    error: io::Error,
    /// Where the alert was written to.
    stream: TcpStream,
    /// The subject of the certificate that was not accepted.
    subject: Option<String>,
}

enum Opened {
    Tls(Box<TlsStream<TcpStream>>),
    /// The client speaks HTTP.
    Plaintext(TcpStream),
}

/// Refusals, of which one was counted.
#[cfg(test)]
pub(crate) fn refused_once() -> Refused {
    let refused = Refused::default();
    refused.get_or_create(&OfCause { cause: Cause::Other.name() }).inc();
    refused
}

impl Handshakes {
    /// Handshakes whose refusals are sampled in the log; calls without TLS are traced as all calls are.
    pub(crate) fn new(refused: Refused, samples: Samples, trace: TraceLayer) -> Self {
        Self { refused, samples, wrong_port: Arc::new(WrongPort::new(trace)) }
    }

    /// Handshakes that nobody looks at.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        let samples = Samples::new(10, crate::telemetry::shed::Shed::default());
        let trace = TraceLayer::new(
            Arc::new(crate::ports::clock::SystemClock),
            Arc::new(crate::ports::random::SystemRandom),
            samples.clone(),
        );
        Self::new(Refused::default(), samples, trace)
    }

    /// Makes the handshake on these terms before the deadline; `None` if it was refused.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        terms: &Terms,
        deadline: Instant,
    ) -> Option<Box<TlsStream<TcpStream>>> {
        match timeout_at(deadline, open(stream, terms)).await {
            Ok(Ok(Opened::Tls(stream))) => return Some(stream),
            Ok(Ok(Opened::Plaintext(stream))) => {
                self.report(Cause::Plaintext, peer, None, None);
                self.wrong_port.answer(stream, peer).await;
            }
            Ok(Err(Failed { error, stream, subject })) => {
                self.report(Cause::of(&error), peer, subject.as_deref(), Some(&error));
                say_goodbye(stream).await;
            }
            Err(_) => self.report(Cause::TimedOut, peer, None, None),
        }
        None
    }

    fn report(&self, cause: Cause, peer: SocketAddr, subject: Option<&str>, error: Option<&io::Error>) {
        const EVENT: &str = "handshake refused";
        let name = cause.name();
        self.refused.get_or_create(&OfCause { cause: name }).inc();
        let error = error.map(tracing::field::display);
        if cause == Cause::HungUp {
            // Balancers look for an open port this way.
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

async fn open(stream: TcpStream, terms: &Terms) -> Result<Opened, Failed> {
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(0) => Err(Failed { error: io::ErrorKind::UnexpectedEof.into(), stream, subject: None }),
        // A record of TLS begins with the number of its type, far below letters; HTTP with a method, or with `PRI`.
        Ok(_) if first.iter().all(u8::is_ascii_uppercase) => Ok(Opened::Plaintext(stream)),
        Ok(_) => {
            SHOWN
                .scope(RefCell::default(), async {
                    let accepting = TlsAcceptor::from(Arc::clone(&terms.server_config)).accept(stream).into_fallible();
                    accepting.await.map(|stream| Opened::Tls(Box::new(stream))).map_err(|(error, stream)| {
                        let subject = SHOWN.with(RefCell::take);
                        Failed { error, stream, subject }
                    })
                })
                .await
        }
        Err(error) => Err(Failed { error, stream, subject: None }),
    }
}

/// Ends a connection so that what was written last arrives. If it were closed while bytes are unread, the system would reset it, and the
/// reset would overtake the alert.
async fn say_goodbye(mut stream: TcpStream) {
    let farewell = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(FAREWELL_BYTES_MAX), &mut tokio::io::sink()).await
    };
    let _either_way_it_closes = timeout(FAREWELL_MAX, farewell).await;
}

impl Cause {
    #[cfg(test)]
    const ALL: [Self; 13] = [
        Self::CertificateExpired,
        Self::CertificateNotYetValid,
        Self::CertificateRevoked,
        Self::RevocationUnknown,
        Self::UnknownCa,
        Self::CertificateInvalid,
        Self::RefusedByClient,
        Self::Incompatible,
        Self::Plaintext,
        Self::NotTls,
        Self::HungUp,
        Self::TimedOut,
        Self::Other,
    ];

    fn of(error: &io::Error) -> Self {
        let Some(error) = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) else {
            let hung_up = matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
            );
            return if hung_up { Self::HungUp } else { Self::Other };
        };
        #[expect(clippy::wildcard_enum_match_arm, reason = "the enums of rustls grow")]
        match error {
            rustls::Error::InvalidCertificate(error) => match error {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::CertificateExpired,
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    Self::CertificateNotYetValid
                }
                CertificateError::Revoked => Self::CertificateRevoked,
                CertificateError::UnknownRevocationStatus
                | CertificateError::ExpiredRevocationList
                | CertificateError::ExpiredRevocationListContext { .. } => Self::RevocationUnknown,
                // A bad signature is that of a CA with the name of a known one and another key.
                CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownCa,
                _ => Self::CertificateInvalid,
            },
            rustls::Error::AlertReceived(_) => Self::RefusedByClient,
            rustls::Error::PeerIncompatible(_) | rustls::Error::NoApplicationProtocol => Self::Incompatible,
            rustls::Error::InvalidMessage(_) | rustls::Error::InappropriateMessage { .. } => Self::NotTls,
            _ => Self::Other,
        }
    }

    /// The name in the metric and in the log.
    fn name(self) -> &'static str {
        match self {
            Self::CertificateExpired => "certificate_expired",
            Self::CertificateNotYetValid => "certificate_not_yet_valid",
            Self::CertificateRevoked => "certificate_revoked",
            Self::RevocationUnknown => "revocation_unknown",
            Self::UnknownCa => "unknown_ca",
            Self::CertificateInvalid => "certificate_invalid",
            Self::RefusedByClient => "refused_by_client",
            Self::Incompatible => "incompatible",
            Self::Plaintext => "plaintext",
            Self::NotTls => "not_tls",
            Self::HungUp => "hung_up",
            Self::TimedOut => "timed_out",
            Self::Other => "other",
        }
    }

    /// Whether somebody has to act for this client to be served again.
    fn is_about_a_certificate(self) -> bool {
        match self {
            Self::CertificateExpired
            | Self::CertificateNotYetValid
            | Self::CertificateRevoked
            | Self::RevocationUnknown
            | Self::UnknownCa
            | Self::CertificateInvalid => true,
            Self::RefusedByClient
            | Self::Incompatible
            | Self::Plaintext
            | Self::NotTls
            | Self::HungUp
            | Self::TimedOut
            | Self::Other => false,
        }
    }
}

tokio::task_local! {
    /// The subject of the certificate that the handshake of this task did not accept.
    static SHOWN: RefCell<Option<String>>;
}

/// A verifier that remembers, for the log, whose certificate it did not accept.
pub(crate) struct Remembering(pub(crate) Arc<dyn ClientCertVerifier>);

impl fmt::Debug for Remembering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ClientCertVerifier for Remembering {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.0.verify_client_cert(end_entity, intermediates, now).inspect_err(|_| {
            let _no_handshake_asks = SHOWN.try_with(|shown| shown.replace(Some(subject(end_entity))));
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.0.requires_raw_public_keys()
    }
}

/// What a certificate says of itself, which nobody vouches for: its subject or, without one, the name that would count.
fn subject(der: &CertificateDer<'_>) -> String {
    let subject = X509Certificate::from_der(der).map(|(_, certificate)| certificate.subject().to_string());
    let text = match subject {
        Ok(subject) if !subject.is_empty() => subject,
        Ok(_) => ClientCertificate::from_der(der)
            .map_or_else(|_| "without a name".to_owned(), |certificate| certificate.identity.to_string()),
        Err(_) => "unreadable".to_owned(),
    };
    text.chars().filter(|character| !character.is_control()).take(SUBJECT_LENGTH_MAX).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn invalid(error: CertificateError) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, rustls::Error::InvalidCertificate(error))
    }

    #[test]
    fn not_yet_valid_is_not_expired() {
        let time = UnixTime::since_unix_epoch(Duration::from_secs(1));
        let later = UnixTime::since_unix_epoch(Duration::from_secs(2));
        for (error, cause) in [
            (CertificateError::ExpiredContext { time: later, not_after: time }, "certificate_expired"),
            (CertificateError::NotValidYetContext { time, not_before: later }, "certificate_not_yet_valid"),
            (CertificateError::Revoked, "certificate_revoked"),
            (CertificateError::UnknownIssuer, "unknown_ca"),
            (CertificateError::BadSignature, "unknown_ca"),
            (CertificateError::BadEncoding, "certificate_invalid"),
        ] {
            let cause_of_error = Cause::of(&invalid(error));
            assert_eq!(cause_of_error.name(), cause);
            assert!(cause_of_error.is_about_a_certificate());
        }
        assert_eq!(Cause::of(&io::ErrorKind::UnexpectedEof.into()), Cause::HungUp);
    }

    #[test]
    fn operations_reference_lists_every_cause_of_a_refused_handshake() {
        let rows = crate::reference::rows_of_operations("Refused handshakes");
        let listed: BTreeSet<&str> = rows.iter().map(|row| row.split('`').nth(1).unwrap()).collect();
        let causes: BTreeSet<&str> = Cause::ALL.map(Cause::name).into();
        assert_eq!(listed, causes);
    }

    #[test]
    fn subject_is_short_and_without_control_characters() {
        let named = |name: &str| {
            let mut params = CertificateParams::default();
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, name);
            subject(params.self_signed(&KeyPair::generate().unwrap()).unwrap().der())
        };
        assert_eq!(named("ada"), "CN=ada");
        let forged = named("ada\nlevel=error \u{1b}[31m");
        assert!(forged.starts_with("CN=ada"), "{forged}");
        assert!(!forged.contains(char::is_control), "{forged}");
        assert_eq!(named(&"a".repeat(10_000)).len(), SUBJECT_LENGTH_MAX);
        assert_eq!(subject(&CertificateDer::from_slice(b"nothing")), "unreadable");
    }
}
