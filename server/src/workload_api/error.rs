//! Why the Workload API doesn't provide a certificate.

use std::{io, path::PathBuf};

use crate::identity::CertificateError;

/// A start got no certificate.
#[derive(Debug, thiserror::Error)]
#[error("the Workload API at {socket} provided no certificate within {waited_ms} ms: {remedy}")]
pub struct WorkloadApiError {
    /// The socket.
    pub socket: PathBuf,
    /// How long the start waited.
    pub waited_ms: u64,
    /// The fix.
    pub remedy: String,
    /// The last failure.
    pub(super) source: Box<Failure>,
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
}

impl Failure {
    pub(super) fn remedy(&self) -> String {
        match self {
            Self::Lost(lost) => lost.remedy(),
            Self::Invalid(_) => "correct the registration entry, or the setting that it contradicts".to_owned(),
        }
    }
}

/// There is no stream of updates.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Lost {
    #[error("can't connect to the socket")]
    Connect(#[source] io::Error),
    #[error("the process on the socket runs as user {found}, and keys are taken only from {expected}")]
    WrongUser { found: u32, expected: String },
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

impl Lost {
    pub(super) fn remedy(&self) -> String {
        match self {
            Self::Connect(_) | Self::Transport(_) | Self::Ended | Self::Silent(_) => {
                "check that the agent runs, and that its socket is at the path of tls.spiffe_workload_api".to_owned()
            }
            Self::WrongUser { found, .. } => {
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
        // The message of another process, for the log.
        let message = status.message().chars().filter(|character| !character.is_control()).take(STATUS_LENGTH_MAX);
        let (code, message) = (status.code(), message.collect());
        if code == tonic::Code::PermissionDenied { Self::NoEntry(message) } else { Self::Status { code, message } }
    }
}

/// The maximum length of an agent's status message in the log, in characters.
const STATUS_LENGTH_MAX: usize = 200;

/// Why an update can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidUpdate {
    #[error("it contains no SVID")]
    Empty,
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
    Unverified { id: String, trust_domain: String, source: webpki::Error },
}
