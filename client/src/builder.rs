//! How a client finds, trusts and convinces its server.
//!
//! Everything is checked before a connection is tried: a wrong file or a forgotten CA is a [`SetupError`] that names it. TLS itself is
//! tonic's, with aws-lc-rs underneath.

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
    method::Repetition,
    retry::RetryPolicy,
};

/// Sets a [`Client`] up; made by [`Client::builder`].
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

    /// The CAs that the server's certificate may come from, in PEM. The system's are not used.
    #[must_use]
    pub fn ca_pem(mut self, ca: impl Into<Vec<u8>>) -> Self {
        self.ca = Some(Pem::text("CA", ca.into()));
        self
    }

    /// As [`ca_pem`](Self::ca_pem), from a file.
    #[must_use]
    pub fn ca_file(mut self, ca: impl AsRef<Path>) -> Self {
        self.ca = Some(Pem::file("CA file", ca.as_ref()));
        self
    }

    /// The caller's certificate, with those between it and its CA, and its private key, in PEM.
    #[must_use]
    pub fn identity_pem(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.identity =
            Some((Pem::text("client certificate", certificate.into()), Pem::text("client key", key.into())));
        self
    }

    /// As [`identity_pem`](Self::identity_pem), from files.
    #[must_use]
    pub fn identity_files(mut self, certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        self.identity = Some((
            Pem::file("client certificate file", certificate.as_ref()),
            Pem::file("client key file", key.as_ref()),
        ));
        self
    }

    /// A bearer token (JWT) to be sent with each call, without a certificate or with the one that it is bound to. Over TLS only.
    #[must_use]
    pub fn bearer_token(mut self, token: SecretString) -> Self {
        self.bearer = Some(Bearer::Token(token));
        self
    }

    /// As [`bearer_token`](Self::bearer_token), from a file that is read for each call: whoever keeps it exchanges the token in time.
    #[must_use]
    pub fn bearer_token_file(mut self, token: impl AsRef<Path>) -> Self {
        self.bearer = Some(Bearer::File(token.as_ref().to_owned()));
        self
    }

    /// The name that the server's certificate has to carry. Default: the endpoint's host.
    #[must_use]
    pub fn domain_name(mut self, name: impl Into<String>) -> Self {
        self.domain_name = Some(name.into());
        self
    }

    /// Connects without TLS, to an endpoint `http://…`. For tests and for finding out what is wrong: the server answers every data
    /// call with HTTPS_REQUIRED, and whatever is sent can be read on its way.
    #[must_use]
    pub fn plaintext(mut self) -> Self {
        self.is_plaintext = true;
        self
    }

    /// The longest time to connect, TLS included. Default: 10 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// The longest time of a call, its repetitions included; the server is told. `None` leaves it to the server. It isn't applied to
    /// a stream that has begun. Default: 30 s.
    #[must_use]
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = timeout.into();
        self
    }

    /// Which failed calls are repeated. Default: see [`RetryPolicy`].
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// The largest message sent or taken, in bytes. Default: 4 MiB, as the server's.
    #[must_use]
    pub fn message_size_max(mut self, bytes: usize) -> Self {
        self.message_size_max_bytes = bytes;
        self
    }

    /// Connects, and fails if that isn't possible. A connection that breaks later is made anew by the next call.
    ///
    /// # Errors
    /// [`SetupError`], or a call error if the server can't be reached. A server that refuses the client's certificate says so at the
    /// first call only: that is how TLS 1.3 is.
    pub async fn connect(self) -> Result<Client, Error> {
        let endpoint = self.endpoint()?;
        let channel = endpoint.connect().await.map_err(|error| CallError::not_connected(Repetition::Read, error))?;
        Ok(self.client(channel))
    }

    /// Makes a client that connects with its first call. To be called within a tokio runtime.
    ///
    /// # Errors
    /// If something is wrong on this side. Whether there is a server isn't looked at.
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
        let endpoint = endpoint.user_agent(USER_AGENT).expect("the name and version of this package make a header");

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
        let ca = self.ca.as_ref().ok_or(SetupError::CaMissing)?.read(Wanted::Certificates)?;
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&*ca)).timeout(self.connect_timeout);
        if let Some((certificate, key)) = &self.identity {
            tls = tls.identity(Identity::from_pem(
                &*certificate.read(Wanted::Certificates)?,
                &*key.read(Wanted::PrivateKey)?,
            ));
        }
        if let Some(name) = &self.domain_name {
            tls = tls.domain_name(name);
        }
        Ok(tls)
    }
}

/// PEM that was given, or where to find it.
struct Pem {
    what: &'static str,
    place: Place,
}

enum Place {
    Text(Zeroizing<Vec<u8>>),
    File(PathBuf),
}

impl Pem {
    fn text(what: &'static str, text: Vec<u8>) -> Self {
        Self { what, place: Place::Text(Zeroizing::new(text)) }
    }

    fn file(what: &'static str, path: &Path) -> Self {
        Self { what, place: Place::File(path.to_owned()) }
    }

    /// TLS skips what it doesn't recognize, and then trusts fewer CAs than the file names: so all of it is checked here.
    fn read(&self, wanted: Wanted) -> Result<Zeroizing<Vec<u8>>, SetupError> {
        let text = match &self.place {
            Place::Text(text) => text.clone(),
            Place::File(path) => Zeroizing::new(fs::read(path).map_err(|source| SetupError::FileUnreadable {
                what: self.what,
                path: path.clone(),
                source,
            })?),
        };
        let checked = match wanted {
            Wanted::Certificates => sealward_pem::certificates(&text).map(drop),
            Wanted::PrivateKey => sealward_pem::private_key(&text).map(drop),
        };
        checked.map(|()| text).map_err(|problem| self.unusable(&problem))
    }

    /// Commands in the message name the file.
    fn unusable(&self, problem: &sealward_pem::PemError) -> SetupError {
        let problem = problem.to_string();
        match &self.place {
            Place::Text(_) => SetupError::PemUnusable { what: self.what.to_owned(), problem },
            Place::File(path) => {
                let path = path.display().to_string();
                SetupError::PemUnusable {
                    what: format!("{} {path}", self.what),
                    problem: problem.replace("FILE", &path),
                }
            }
        }
    }
}

/// What is read of PEM.
#[derive(Clone, Copy)]
enum Wanted {
    Certificates,
    PrivateKey,
}

const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// What the server gives a call that doesn't say.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// What the server takes and gives unless configured otherwise.
const MESSAGE_SIZE_MAX_DEFAULT_BYTES: usize = 4 * 1024 * 1024;

/// A silent stream is asked for a sign of life this often, so that one that has died is noticed.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
impl Client {
    /// Begins to set up a client for a server: `https://127.0.0.1:7443`.
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
    fn plaintext_is_never_an_accident() {
        let refused = setup("http://127.0.0.1:7080", |builder| builder);
        assert!(matches!(refused, Err(SetupError::PlaintextNotAllowed { .. })));
        assert!(setup("http://127.0.0.1:7080", ClientBuilder::plaintext).is_ok());
        let refused = setup("http://127.0.0.1:7080", |builder| builder.plaintext().bearer_token("token".into()));
        assert!(matches!(refused, Err(SetupError::TokenOverPlaintext)));
        let refused = setup("https://127.0.0.1:7443", ClientBuilder::plaintext);
        assert!(matches!(refused, Err(SetupError::PlaintextOverTls { .. })));
    }

    #[test]
    fn an_endpoint_needs_a_scheme_and_a_host() {
        for endpoint in ["", "127.0.0.1:7443", "localhost", "ftp://127.0.0.1", "https://"] {
            let refused = setup(endpoint, |builder| builder.ca_pem("CERTIFICATE"));
            assert!(matches!(refused, Err(SetupError::EndpointInvalid { .. })), "{endpoint}");
        }
    }

    #[test]
    fn a_missing_ca_file_or_label_is_named() {
        let https = |change: fn(ClientBuilder) -> ClientBuilder| setup("https://127.0.0.1:7443", change).err().unwrap();
        assert!(matches!(https(|builder| builder), SetupError::CaMissing));
        let unreadable = https(|builder| builder.ca_file("/nowhere/ca.pem"));
        assert_eq!(unreadable.to_string(), "the CA file /nowhere/ca.pem can't be read");
        let empty = https(|builder| builder.ca_pem("text"));
        assert_eq!(empty.to_string(), "the CA can't be used: the file has no certificate in PEM");
    }

    #[test]
    fn pem_that_others_skip_is_refused_with_the_line() {
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
            let expected = format!("the CA file {} can't be used: line {line}: ", ca.display());
            assert!(refused.starts_with(&expected), "{refused}");
        }
    }

    #[test]
    fn an_encrypted_key_is_said_to_be_one() {
        let block = |label| format!("-----BEGIN {label}-----\nMAMCAQE=\n-----END {label}-----\n");
        let refused = setup("https://127.0.0.1:7443", |builder| {
            builder.ca_pem(block("CERTIFICATE")).identity_pem(block("CERTIFICATE"), block("ENCRYPTED PRIVATE KEY"))
        });
        let refused = refused.unwrap_err().to_string();
        assert!(refused.starts_with("the client key can't be used: line 1: the private key is encrypted"), "{refused}");
    }
}
