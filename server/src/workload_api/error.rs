//! Why the Workload API doesn't provide a certificate.

use std::{error::Error, io, path::PathBuf};

use crate::{
    error_chain,
    files::local_socket::{NotConnected, WrongUser},
    foreign_text::{SHOWN_NAME_MAX_BYTES, presentable},
    identity::CertificateError,
    transport::tls::IsoTime,
};

/// A start got no certificate.
#[derive(Debug, thiserror::Error)]
#[error("the Workload API at {socket} provided no certificate within {waited_ms} ms")]
pub struct WorkloadApiError {
    /// The socket.
    pub socket: PathBuf,
    /// How long the start waited.
    pub waited_ms: u64,
    /// The fix.
    pub remedy: String,
    /// The last failure. At a start, its text ends with the remedy, which nothing else prints.
    pub(super) source: Box<dyn Error + Send + Sync>,
}

impl WorkloadApiError {
    /// The same error, whose text ends with the remedy.
    pub(super) fn with_remedy(self) -> Self {
        let text = format!("{}: {}", error_chain::text(&*self.source), self.remedy);
        Self { source: text.into(), ..self }
    }
}

/// An attempt to get a certificate failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The agent is lost.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// The agent sent something that can't be used. More may follow on the same stream.
    #[error("the agent sent an invalid update")]
    Invalid(#[from] InvalidUpdate),
    /// The agent is reached, but its message isn't read, and the stream ends.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

impl Failure {
    pub(super) fn remedy(&self) -> String {
        match self {
            Self::Lost(lost) => lost.remedy(),
            Self::Invalid(invalid) => invalid.remedy().to_owned(),
            Self::TooLarge(_) => TooLarge::REMEDY.to_owned(),
        }
    }
}

/// A message above the limit.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the agent sent a message of more than {max_bytes} bytes, the limit of limits.workload_api_message_max_bytes")]
pub(crate) struct TooLarge {
    pub(super) max_bytes: u32,
}

impl TooLarge {
    pub(super) const REMEDY: &str = "raise limits.workload_api_message_max_bytes and restart the server, or let its registration entry federate with fewer trust domains";

    /// Whether the transport refused a message because of its size. Its status has no other mark than the text.
    pub(super) fn is(status: &tonic::Status) -> bool {
        status.code() == tonic::Code::OutOfRange
            && status.message().starts_with("Error, decoded message length too large")
    }
}

/// There is no stream of updates.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Lost {
    #[error("can't connect to the socket")]
    Connect(#[source] io::Error),
    #[error(transparent)]
    WrongUser(WrongUser),
    #[error("the connection failed")]
    Transport(#[source] tonic::transport::Error),
    /// The agent knows no entry that matches this process.
    #[error("no registration entry matches this process (PERMISSION_DENIED: {0})")]
    NoEntry(String),
    #[error("the agent answered with {code}: {message}")]
    Status { code: tonic::Code, message: String },
    #[error("the agent ended the stream")]
    Ended,
    #[error("the agent sent nothing for {0} seconds")]
    Silent(u64),
}

impl From<NotConnected> for Lost {
    fn from(error: NotConnected) -> Self {
        match error {
            NotConnected::Io(error) => Self::Connect(error),
            NotConnected::WrongUser(error) => Self::WrongUser(error),
        }
    }
}

impl Lost {
    /// Its kind in a word, for samples of the log.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::WrongUser(_) => "user",
            Self::Transport(_) => "transport",
            Self::NoEntry(_) => "entry",
            Self::Status { .. } => "status",
            Self::Ended => "end",
            Self::Silent(_) => "silence",
        }
    }

    pub(super) fn remedy(&self) -> String {
        match self {
            Self::Connect(_) | Self::Transport(_) | Self::Ended | Self::Silent(_) => {
                "check that the agent runs, and that its socket is at the path of tls.spiffe_workload_api".to_owned()
            }
            Self::WrongUser(WrongUser { found, .. }) => {
                format!("if this process is the agent, set tls.spiffe_agent_uid = {found}")
            }
            Self::NoEntry(_) => {
                let uid = rustix::process::geteuid().as_raw();
                format!(
                    "create an entry whose selectors match this process: spire-server entry create -parentID AGENT-ID -spiffeID \
                     spiffe://TRUST-DOMAIN/sealward -dns HOST -selector unix:uid:{uid}"
                )
            }
            Self::Status { .. } => "find the call in the agent's log".to_owned(),
        }
    }
}

impl From<tonic::Status> for Lost {
    fn from(status: tonic::Status) -> Self {
        let (code, message) = (status.code(), presentable(status.message(), SHOWN_NAME_MAX_BYTES));
        if code == tonic::Code::PermissionDenied { Self::NoEntry(message) } else { Self::Status { code, message } }
    }
}

/// Why an update can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidUpdate {
    #[error("it contains no SVID")]
    Empty,
    /// No SVID shows the trust domain of the server, so the message doesn't show which bundles were removed.
    #[error("no SVID of the message is in the trust domain of the server")]
    NoOwnSvid,
    #[error("none of its SVIDs has the id of tls.spiffe_id, {wanted}: it has {found}")]
    OtherIds { wanted: String, found: String },
    #[error("the SVID {id} has a malformed certificate chain")]
    Chain { id: String },
    #[error("the certificate of the SVID {id} has no valid identity")]
    Identity { id: String, source: CertificateError },
    #[error("the certificate of the SVID {id} is for {found}")]
    OtherIdentity { id: String, found: String },
    #[error("the SVID {id} has a key that can't be used, or belongs to another certificate")]
    Key { id: String, source: rustls::Error },
    #[error("the bundle of {trust_domain} is empty or malformed")]
    Bundle { trust_domain: String },
    #[error("the bundle of {trust_domain} doesn't verify the certificate of the SVID {id}")]
    Unverified { id: String, trust_domain: String, source: Unverified },
}

impl InvalidUpdate {
    pub(super) fn remedy(&self) -> &'static str {
        match self {
            Self::OtherIds { .. } => "correct tls.spiffe_id, or the registration entry of the server",
            Self::Empty | Self::NoOwnSvid | Self::Identity { .. } | Self::OtherIdentity { .. } => {
                "correct the registration entry of the server"
            }
            Self::Chain { .. } | Self::Key { .. } | Self::Bundle { .. } => "check the agent: it sent damaged data",
            Self::Unverified { source, .. } => source.remedy(),
        }
    }
}

/// Why a bundle doesn't verify a certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unverified {
    #[error("it expired at {0}")]
    Expired(IsoTime),
    #[error("it isn't valid before {0}")]
    NotYetValid(IsoTime),
    #[error("no CA of the bundle issued it")]
    UnknownIssuer,
    #[error("it isn't for servers: its extended key usage lacks serverAuth")]
    NotForServers,
    #[error("it is the certificate of a CA")]
    Ca,
    #[error("it or one of its intermediate certificates violates X.509")]
    Other(#[source] webpki::Error),
}

impl Unverified {
    fn remedy(&self) -> &'static str {
        match self {
            Self::Expired(_) => {
                "find in the agent's log why it doesn't renew the SVID, and check the clocks of this machine and of the agent's server"
            }
            Self::NotYetValid(_) => "set the clocks of this machine and of the agent's server",
            Self::UnknownIssuer => "check the agent: the bundle must contain the CA that issued the SVID",
            Self::NotForServers | Self::Ca => "correct the registration entry of the server",
            Self::Other(_) => "check the certificates of the agent's CA",
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "webpki has many errors, and may have more")]
impl From<webpki::Error> for Unverified {
    fn from(error: webpki::Error) -> Self {
        match error {
            webpki::Error::CertExpired { not_after, .. } => Self::Expired(not_after.into()),
            webpki::Error::CertNotValidYet { not_before, .. } => Self::NotYetValid(not_before.into()),
            webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => Self::UnknownIssuer,
            webpki::Error::RequiredEkuNotFoundContext(_) => Self::NotForServers,
            webpki::Error::CaUsedAsEndEntity => Self::Ca,
            other => Self::Other(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::UnixTime;

    use super::*;

    #[test]
    fn problems_of_a_chain_are_in_words_with_dates() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let expired = webpki::Error::CertExpired { time: at(1_796_088_582), not_after: at(1_796_088_568) };
        assert_eq!(Unverified::from(expired).to_string(), "it expired at 2026-12-01T01:29:28Z");
        let early = webpki::Error::CertNotValidYet { time: at(0), not_before: at(1_796_088_568) };
        assert_eq!(Unverified::from(early).to_string(), "it isn't valid before 2026-12-01T01:29:28Z");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "what an agent answers")]
    fn status_of_an_agent_is_short_and_visible() {
        let text = format!("no \u{202e}\u{200b}\u{2028}\u{1b}[31m\nfake {}", "A".repeat(3_000));
        let Lost::NoEntry(shown) = Lost::from(tonic::Status::permission_denied(text)) else { panic!() };
        assert!(shown.starts_with("no \u{fffd}\u{fffd}\u{fffd}\u{fffd}[31m\u{fffd}fake AAA"), "{shown:?}");
        assert!(shown.len() <= SHOWN_NAME_MAX_BYTES + '…'.len_utf8());
    }
}
