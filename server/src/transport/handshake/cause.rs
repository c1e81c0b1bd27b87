//! The causes of refused handshakes, with their names in the log and the metrics.

use std::io;

use rustls::CertificateError;

/// Why a handshake was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    CertificateExpired,
    CertificateNotYetValid,
    CertificateRevoked,
    RevocationUnknown,
    UnknownCa,
    CertificateInvalid,
    /// The client sent an alert, for example because it doesn't accept the server's certificate.
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
    /// A load balancer sent no header of the PROXY protocol.
    ProxyProtocol,
    /// Another user than the hop's connected to its Unix socket.
    WrongUser,
    Other,
}

impl Cause {
    pub(super) const ALL: [Self; 15] = [
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
        Self::ProxyProtocol,
        Self::WrongUser,
        Self::Other,
    ];

    pub(super) fn of(error: &io::Error) -> Self {
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
        Self::of_tls(error)
    }

    fn of_tls(error: &rustls::Error) -> Self {
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
                // A bad signature comes from a CA with the name of a known CA and another key.
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
    pub(super) fn name(self) -> &'static str {
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
            Self::ProxyProtocol => "proxy_protocol",
            Self::WrongUser => "wrong_user",
            Self::Other => "other",
        }
    }

    /// Whether the client needs another certificate, or the server another CA or list.
    pub(super) fn is_about_a_certificate(self) -> bool {
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
            | Self::ProxyProtocol
            | Self::WrongUser
            | Self::Other => false,
        }
    }
}

/// Why a client certificate isn't accepted, by the same names as for a handshake.
pub(crate) fn of_certificate(error: &rustls::Error) -> &'static str {
    Cause::of_tls(error).name()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use rustls::pki_types::UnixTime;

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
}
