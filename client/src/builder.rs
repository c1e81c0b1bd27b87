//! The configuration of a client: endpoint, TLS, credentials, timeouts and limits.
//!
//! Everything is validated before a connection is attempted: an unreadable file or a missing CA is a [`SetupError`]. TLS is tonic's, with
//! aws-lc-rs.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use http::uri::Scheme;
use secrecy::SecretString;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use zeroize::Zeroizing;

use crate::{
    bearer::Bearer,
    client::Client,
    error::{CallError, Error, SetupError},
    method::RetrySafety,
    retry::RetryPolicy,
};

/// Configures a [`Client`]. Created by [`Client::builder`].
pub struct ClientBuilder {
    endpoint: String,
    ca: Option<Pem>,
    identity: Option<(Pem, Pem)>,
    bearer: Option<Bearer>,
    domain_name: Option<String>,
    is_plaintext: bool,
    connect_timeout: Duration,
    timeout: Option<Duration>,
    retry: RetryPolicy,
    message_size_max_bytes: usize,
}

impl ClientBuilder {
    pub(crate) fn new(endpoint: String) -> Self {
        Self {
            endpoint,
            ca: None,
            identity: None,
            bearer: None,
            domain_name: None,
            is_plaintext: false,
            connect_timeout: CONNECT_TIMEOUT_DEFAULT,
            timeout: Some(TIMEOUT_DEFAULT),
            retry: RetryPolicy::default(),
            message_size_max_bytes: MESSAGE_SIZE_MAX_DEFAULT_BYTES,
        }
    }

    /// Sets the CA certificates that verify the server, in PEM. The system's CAs are not used.
    #[must_use]
    pub fn ca_pem(mut self, ca: impl Into<Vec<u8>>) -> Self {
        self.ca = Some(Pem::text("CA", ca.into()));
        self
    }

    /// Sets the CA certificates from a file; see [`ca_pem`](Self::ca_pem).
    #[must_use]
    pub fn ca_file(mut self, ca: impl AsRef<Path>) -> Self {
        self.ca = Some(Pem::file("CA file", ca.as_ref()));
        self
    }

    /// Sets the client certificate, with intermediate certificates, and its private key, in PEM.
    #[must_use]
    pub fn identity_pem(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.identity =
            Some((Pem::text("client certificate", certificate.into()), Pem::text("client key", key.into())));
        self
    }

    /// Sets the client certificate and its key from files; see [`identity_pem`](Self::identity_pem).
    #[must_use]
    pub fn identity_files(mut self, certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        self.identity = Some((
            Pem::file("client certificate file", certificate.as_ref()),
            Pem::file("client key file", key.as_ref()),
        ));
        self
    }

    /// Sets a bearer token (JWT) that is sent with each call, with or without a client certificate. Requires TLS.
    #[must_use]
    pub fn bearer_token(mut self, token: SecretString) -> Self {
        self.bearer = Some(Bearer::Token(token));
        self
    }

    /// Sets the file of a bearer token. The file is read for each call, so that the token can be replaced before it expires.
    #[must_use]
    pub fn bearer_token_file(mut self, token: impl AsRef<Path>) -> Self {
        self.bearer = Some(Bearer::File(token.as_ref().to_owned()));
        self
    }

    /// Sets the expected name in the server's certificate. Default: the endpoint's host.
    #[must_use]
    pub fn domain_name(mut self, name: impl Into<String>) -> Self {
        self.domain_name = Some(name.into());
        self
    }

    /// Connects without TLS, to an endpoint `http://…`. For tests and diagnostics: the server answers data calls with HTTPS_REQUIRED, and the
    /// network can read everything that is sent.
    #[must_use]
    pub fn plaintext(mut self) -> Self {
        self.is_plaintext = true;
        self
    }

    /// Sets the maximum time to connect, including the TLS handshake. Default: 10 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets the maximum time of a call with its retries, which is also sent to the server as the deadline. `None` leaves the limit to the
    /// server. Doesn't apply to an open stream. Default: 30 s.
    #[must_use]
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = timeout.into();
        self
    }

    /// Sets the retry policy. Default: [`RetryPolicy::default`].
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Sets the maximum size of a sent or received message, in bytes. Default: 4 MiB, the server's default.
    #[must_use]
    pub fn message_size_max(mut self, bytes: usize) -> Self {
        self.message_size_max_bytes = bytes;
        self
    }

    /// Connects to the server. A later call reconnects if the connection breaks.
    ///
    /// # Errors
    /// [`SetupError`], or [`CallError`] if the connection fails. With TLS 1.3, a server that refuses the client's certificate fails only the
    /// first call.
    pub async fn connect(self) -> Result<Client, Error> {
        let endpoint = self.endpoint()?;
        let channel =
            endpoint.connect().await.map_err(|error| CallError::not_connected(RetrySafety::ReadOnly, error))?;
        Ok(self.client(channel))
    }

    /// Creates a client that connects with its first call. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`SetupError`]. Doesn't check whether the server is reachable.
    pub fn connect_lazy(self) -> Result<Client, SetupError> {
        let channel = self.endpoint()?.connect_lazy();
        Ok(self.client(channel))
    }

    fn client(self, channel: Channel) -> Client {
        Client::new(channel, self.bearer, self.timeout, self.retry, self.message_size_max_bytes)
    }

    fn endpoint(&self) -> Result<Endpoint, SetupError> {
        let endpoint = Endpoint::from_shared(self.endpoint.clone())
            .ok()
            .filter(|endpoint| endpoint.uri().host().is_some())
            .ok_or_else(|| SetupError::EndpointInvalid { endpoint: self.endpoint.clone() })?
            .connect_timeout(self.connect_timeout)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT);
        let endpoint = endpoint.user_agent(USER_AGENT).expect("the package's name and version are a valid header");

        let is_https = match endpoint.uri().scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(SetupError::EndpointInvalid { endpoint: self.endpoint.clone() }),
        };
        match (is_https, self.is_plaintext) {
            (true, false) => endpoint.tls_config(self.tls()?).map_err(|source| SetupError::Tls { source }),
            (false, true) if self.bearer.is_some() => Err(SetupError::TokenOverPlaintext),
            (false, true) => Ok(endpoint),
            (false, false) => Err(SetupError::PlaintextNotAllowed { endpoint: self.endpoint.clone() }),
            (true, true) => Err(SetupError::PlaintextOverTls { endpoint: self.endpoint.clone() }),
        }
    }

    fn tls(&self) -> Result<ClientTlsConfig, SetupError> {
        let ca = self.ca.as_ref().ok_or(SetupError::CaMissing)?.read(PemKind::Certificates)?;
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&*ca)).timeout(self.connect_timeout);
        if let Some((certificate, key)) = &self.identity {
            tls = tls.identity(Identity::from_pem(
                &*certificate.read(PemKind::Certificates)?,
                &*key.read(PemKind::PrivateKey)?,
            ));
        }
        if let Some(name) = &self.domain_name {
            tls = tls.domain_name(name);
        }
        Ok(tls)
    }
}

/// PEM, or its file. `label` names it in errors.
struct Pem {
    label: &'static str,
    source: PemSource,
}

enum PemSource {
    Text(Zeroizing<Vec<u8>>),
    File(PathBuf),
}

impl Pem {
    fn text(label: &'static str, text: Vec<u8>) -> Self {
        Self { label, source: PemSource::Text(Zeroizing::new(text)) }
    }

    fn file(label: &'static str, path: &Path) -> Self {
        Self { label, source: PemSource::File(path.to_owned()) }
    }

    /// Reads and validates the PEM. TLS would skip unknown sections, and then trust fewer CAs than the file has.
    fn read(&self, kind: PemKind) -> Result<Zeroizing<Vec<u8>>, SetupError> {
        let text = match &self.source {
            PemSource::Text(text) => text.clone(),
            PemSource::File(path) => Zeroizing::new(fs::read(path).map_err(|source| SetupError::FileUnreadable {
                what: self.label,
                path: path.clone(),
                source,
            })?),
        };
        let validated = match kind {
            PemKind::Certificates => sealward_pem::certificates(&text).map(drop),
            PemKind::PrivateKey => sealward_pem::private_key(&text).map(drop),
        };
        validated.map(|()| text).map_err(|problem| self.unusable(&problem))
    }

    /// The error for invalid PEM. Replaces the placeholder FILE in suggested commands by the path.
    fn unusable(&self, problem: &sealward_pem::PemError) -> SetupError {
        let problem = problem.to_string();
        match &self.source {
            PemSource::Text(_) => SetupError::PemUnusable { what: self.label.to_owned(), problem },
            PemSource::File(path) => {
                let path = path.display().to_string();
                SetupError::PemUnusable {
                    what: format!("{} {path}", self.label),
                    problem: problem.replace("FILE", &path),
                }
            }
        }
    }
}

/// The expected content of PEM.
#[derive(Clone, Copy)]
enum PemKind {
    Certificates,
    PrivateKey,
}

const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// The server's default timeout for a call.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// The server's default limit.
const MESSAGE_SIZE_MAX_DEFAULT_BYTES: usize = 4 * 1024 * 1024;

/// Interval of HTTP/2 pings, which detect dead connections of idle streams.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

impl Client {
    /// Configures a client for the server at `endpoint`, such as `https://127.0.0.1:7443`.
    #[must_use]
    pub fn builder(endpoint: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(endpoint.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup(endpoint: &str, change: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Result<Endpoint, SetupError> {
        change(ClientBuilder::new(endpoint.to_owned())).endpoint()
    }

    #[test]
    fn plaintext_needs_an_explicit_choice() {
        let refused = setup("http://127.0.0.1:7080", |builder| builder);
        assert!(matches!(refused, Err(SetupError::PlaintextNotAllowed { .. })));
        assert!(setup("http://127.0.0.1:7080", ClientBuilder::plaintext).is_ok());
        let refused = setup("http://127.0.0.1:7080", |builder| builder.plaintext().bearer_token("token".into()));
        assert!(matches!(refused, Err(SetupError::TokenOverPlaintext)));
        let refused = setup("https://127.0.0.1:7443", ClientBuilder::plaintext);
        assert!(matches!(refused, Err(SetupError::PlaintextOverTls { .. })));
    }

    #[test]
    fn endpoint_without_scheme_or_host_is_refused() {
        for endpoint in ["", "127.0.0.1:7443", "localhost", "ftp://127.0.0.1", "https://"] {
            let refused = setup(endpoint, |builder| builder.ca_pem("CERTIFICATE"));
            assert!(matches!(refused, Err(SetupError::EndpointInvalid { .. })), "{endpoint}");
        }
    }

    #[test]
    fn missing_ca_and_unreadable_ca_are_refused() {
        let https = |change: fn(ClientBuilder) -> ClientBuilder| setup("https://127.0.0.1:7443", change).err().unwrap();
        assert!(matches!(https(|builder| builder), SetupError::CaMissing));
        let unreadable = https(|builder| builder.ca_file("/nowhere/ca.pem"));
        assert_eq!(unreadable.to_string(), "can't read the CA file /nowhere/ca.pem");
        let empty = https(|builder| builder.ca_pem("text"));
        assert_eq!(empty.to_string(), "can't use the CA: the file has no certificate in PEM");
    }

    #[test]
    fn unknown_pem_label_is_refused_with_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        let block = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----";
        for (text, line) in [
            (format!("\u{feff}{block}\n"), 1),
            (format!("{block}{block}\n"), 3),
            (format!("{block}\n  {block}\n"), 4),
            (format!("{block}\n{}\n", block.replace("CERTIFICATE", "TRUSTED CERTIFICATE")), 4),
        ] {
            fs::write(&ca, text).unwrap();
            let refused = setup("https://127.0.0.1:7443", |builder| builder.ca_file(&ca)).unwrap_err().to_string();
            let expected = format!("can't use the CA file {}: line {line}: ", ca.display());
            assert!(refused.starts_with(&expected), "{refused}");
        }
    }

    #[test]
    fn encrypted_key_is_reported_as_encrypted() {
        let block = |label| format!("-----BEGIN {label}-----\nMAMCAQE=\n-----END {label}-----\n");
        let refused = setup("https://127.0.0.1:7443", |builder| {
            builder.ca_pem(block("CERTIFICATE")).identity_pem(block("CERTIFICATE"), block("ENCRYPTED PRIVATE KEY"))
        });
        let refused = refused.unwrap_err().to_string();
        assert!(refused.starts_with("can't use the client key: line 1: the private key is encrypted"), "{refused}");
    }
}
