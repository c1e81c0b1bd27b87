//! JSON Web Key Sets (RFC 7517): the public keys of token issuers, from a file or fetched from a URL.
//!
//! Keys at a URL are fetched at intervals, and when a token names an unknown key, but at most every few seconds. An empty set is valid.
//! While no set can be fetched, the last one is used, up to a maximum age. It is saved in the data folder with the time of its fetch, so
//! that a start neither needs the issuer nor resets the age.
//!
//! This module doesn't know tokens.

use std::{
    collections::BTreeSet,
    error::Error,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak},
    time::Duration,
};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::{Response, Uri, header::LOCATION};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::{
        legacy::{
            Client,
            connect::{HttpConnector, proxy::Tunnel},
        },
        proxy::matcher::Matcher,
    },
    rt::TokioExecutor,
};
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey,
    jwk::{AlgorithmParameters, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use rustls::{ClientConfig, crypto::aws_lc_rs};
use sealward_core::{id::Timestamp, port::Clock};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::{
    sync::{Notify, Semaphore, watch},
    task::spawn_blocking,
    time::{Instant, timeout},
};

use crate::{
    config::limits::Limits,
    drain::Drain,
    error_chain,
    files::{
        cas::Cas,
        private_file,
        trusted_file::{self, Kind},
    },
    telemetry::shed::Shed,
};

/// The time limit of a fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// The minimum time between two fetches, since tokens may name any key.
pub(crate) const FETCH_PAUSE: Duration = Duration::from_secs(5);

/// The clock may be set back by this much. Beyond it, the age of a saved set is unknown.
const CLOCK_SKEW_MICROS: i64 = 300 * 1_000_000;

type AnyError = Box<dyn Error + Send + Sync>;

/// Keys that verify tokens. Two sets are equal if their texts are.
pub(crate) struct KeySet {
    text: String,
    keys: Vec<Key>,
    /// The number of keys in the text, unusable ones included.
    written: usize,
}

struct Key {
    id: Option<String>,
    algorithm: Option<KeyAlgorithm>,
    key: DecodingKey,
}

impl PartialEq for KeySet {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// Why a text isn't a valid key set.
#[derive(Debug, thiserror::Error)]
#[error("it isn't a JSON Web Key Set")]
pub struct KeySetError(#[from] serde_json::Error);

impl KeySet {
    /// The set before the first fetch.
    fn empty() -> Self {
        Self { text: String::new(), keys: Vec::new(), written: 0 }
    }

    /// Parses a set. Keys that aren't public keys for signatures, or aren't supported, are left out (RFC 7517, section 5). A set without
    /// keys is valid: its issuer has withdrawn all of them.
    ///
    /// # Errors
    /// [`KeySetError`]
    pub(crate) fn parse(text: String) -> Result<Self, KeySetError> {
        #[derive(Deserialize)]
        struct Written {
            keys: Vec<serde_json::Value>,
        }
        let Written { keys } = serde_json::from_str(&text)?;
        let written = keys.len();
        let keys = keys.into_iter().filter_map(|key| Key::read(serde_json::from_value(key).ok()?)).collect();
        Ok(Self { text, keys, written })
    }

    /// The number of keys that verify tokens.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The number of keys that were left out.
    pub(crate) fn left_out(&self) -> usize {
        self.written - self.keys.len()
    }

    /// The keys with this id that support this algorithm. Without an id, all keys that support it.
    pub(crate) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &DecodingKey> {
        let fits = move |key: &&Key| {
            key.key.family() == algorithm.family() && key.algorithm.is_none_or(|of_key| of_key == algorithm.into())
        };
        self.keys.iter().filter(fits).filter(move |key| id.is_none() || key.id.as_deref() == id).map(|key| &key.key)
    }
}

impl Key {
    fn read(jwk: Jwk) -> Option<Self> {
        let is_for_signatures = jwk.common.public_key_use.as_ref().is_none_or(|of| *of == PublicKeyUse::Signature)
            && jwk.common.key_operations.as_ref().is_none_or(|of| of.contains(&KeyOperations::Verify));
        let is_public = !matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_) | AlgorithmParameters::Other(_));
        if !is_for_signatures || !is_public {
            return None;
        }
        let key = DecodingKey::from_jwk(&jwk).ok().filter(|key| key.family() != AlgorithmFamily::Hmac)?;
        Some(Self { id: jwk.common.key_id, algorithm: jwk.common.key_algorithm, key })
    }
}

/// The settings for fetching.
#[derive(Clone)]
pub(crate) struct Fetching {
    pub(crate) interval: Duration,
    /// The maximum age of the last set.
    pub(crate) age_max: Duration,
    /// The time that a call waits for the key of its token.
    pub(crate) wait_max: Duration,
    /// The number of calls that may wait for the keys of an issuer.
    pub(crate) waiting_calls_max: usize,
    /// The maximum size of a set.
    pub(crate) size_max_bytes: usize,
    /// The folder of the last valid set.
    pub(crate) folder: PathBuf,
    /// The proxies, by URL.
    pub(crate) proxies: Arc<Matcher>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) shed: Shed,
    /// The drain, which ends fetching.
    pub(crate) drain: Drain,
}

impl Fetching {
    /// Settings from the limits. The proxies come from the environment: `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`.
    pub(crate) fn new(limits: &Limits, folder: &Path, clock: Arc<dyn Clock>, shed: Shed, drain: Drain) -> Self {
        let count = |limit: u32| usize::try_from(limit).unwrap_or(usize::MAX);
        Self {
            interval: limits.jwks_fetch_interval(),
            age_max: limits.jwks_age_max(),
            wait_max: limits.jwks_wait(),
            waiting_calls_max: count(limits.jwks_waiting_calls_max),
            size_max_bytes: count(limits.jwks_size_max_bytes),
            folder: folder.to_owned(),
            proxies: Arc::new(Matcher::from_env()),
            clock,
            shed,
            drain,
        }
    }
}

/// The keys at a URL, as of the last fetch.
pub(crate) struct Fetched {
    url: Uri,
    cas: Cas,
    kept: PathBuf,
    fetching: Fetching,
    client: HttpClient,
    current: RwLock<Held>,
    fetches: watch::Sender<Fetches>,
    asked: Arc<Notify>,
    waiting: Arc<Semaphore>,
    /// When the file was last written.
    kept_at: Mutex<Option<Timestamp>>,
    /// The failure that is already logged.
    reported: Mutex<Option<String>>,
    begun: OnceLock<()>,
}

/// A set, and the time of its request. The initial set has no time.
#[derive(Clone)]
struct Held {
    set: Arc<KeySet>,
    at: Option<Timestamp>,
}

/// The numbers of started and ended fetches, and whether the last one failed.
#[derive(Clone, Copy, Default)]
struct Fetches {
    begun: u64,
    ended: u64,
    has_failed: bool,
}

/// A set as it is saved for the next start.
#[derive(Serialize, Deserialize)]
struct Kept {
    url: String,
    /// The fingerprints of the CAs that verified the URL. `None` for the system's CAs.
    #[serde(default)]
    cas: Option<BTreeSet<String>>,
    fetched_at_unix_micros: i64,
    key_set: String,
}

/// Resolves when a set that is fetched from now on has arrived, or at the time limit.
pub(crate) type Wait = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Fetched {
    /// Starts with the set that an earlier run saved, if there is one. Blocks.
    ///
    /// # Errors
    /// The CAs or the proxy can't be used.
    pub(crate) fn new(url: &Uri, cas: Cas, fetching: Fetching) -> Result<Arc<Self>, AnyError> {
        let mut name = HEXLOWER.encode(&Sha256::digest(url.to_string()));
        name.truncate(16);
        let kept = fetching.folder.join(format!("jwks-{name}.json"));
        let none = || Held { set: Arc::new(KeySet::empty()), at: None };
        let current = read_kept(&kept, url, &cas, fetching.size_max_bytes).unwrap_or_else(none);
        Ok(Arc::new(Self {
            url: url.clone(),
            kept,
            client: HttpClient::new(&cas, &fetching.proxies, url)?,
            cas,
            kept_at: Mutex::new(current.at),
            current: RwLock::new(current),
            fetches: watch::Sender::default(),
            asked: Arc::default(),
            waiting: Arc::new(Semaphore::new(fetching.waiting_calls_max)),
            fetching,
            reported: Mutex::default(),
            begun: OnceLock::new(),
        }))
    }

    /// The CAs that verify the URL.
    pub(crate) fn cas(&self) -> &Cas {
        &self.cas
    }

    /// Whether it is fetched from this URL, verified by these CAs.
    pub(crate) fn is_of(&self, url: &Uri, cas: &Cas) -> bool {
        self.url == *url && self.cas == *cas
    }

    /// Whether both are fetched from the same URL, verified by the same CAs.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.is_of(&other.url, &other.cas)
    }

    /// The last valid set. `None` if none was fetched, or if it is too old.
    pub(crate) fn current(&self, now: Timestamp) -> Option<Arc<KeySet>> {
        let held = self.held();
        let age_micros = now.unix_micros().saturating_sub(held.at?.unix_micros());
        let age_max_micros = i64::try_from(self.fetching.age_max.as_micros()).unwrap_or(i64::MAX);
        (-CLOCK_SKEW_MICROS..=age_max_micros).contains(&age_micros).then_some(held.set)
    }

    /// When the last valid set was fetched.
    pub(crate) fn fetched_at(&self) -> Option<Timestamp> {
        self.held().at
    }

    /// Whether the last fetch failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.fetches.borrow().has_failed
    }

    /// Requests an early fetch, and waits for it. `None` if too many calls already wait. The last quarter of the places is reserved for
    /// calls with a certificate.
    pub(crate) fn wait(self: &Arc<Self>, has_certificate: bool) -> Option<Wait> {
        let reserve = if has_certificate { 0 } else { self.fetching.waiting_calls_max / 4 };
        let place = (self.waiting.available_permits() > reserve)
            .then(|| Arc::clone(&self.waiting).try_acquire_owned().ok())
            .flatten();
        let Some(place) = place else {
            self.fetching.shed.count("jwks_waiting_calls_max");
            self.asked.notify_one();
            return None;
        };
        let (mut fetches, before) = (self.fetches.subscribe(), self.held().set);
        // A running fetch may already have its response.
        let wanted = fetches.borrow_and_update().begun + 1;
        self.asked.notify_one();
        let (this, wait_max) = (Arc::downgrade(self), self.fetching.wait_max);
        Some(Box::pin(async move {
            let fetched = async {
                while fetches.changed().await.is_ok() {
                    let has_changed = this.upgrade().is_none_or(|this| !Arc::ptr_eq(&this.held().set, &before));
                    if has_changed || fetches.borrow_and_update().ended >= wanted {
                        break;
                    }
                }
            };
            // The caller looks up the keys again, whether or not the set arrived in time.
            let _in_time = timeout(wait_max, fetched).await;
            drop(place);
        }))
    }

    /// Starts fetching, until this is dropped or the server drains.
    pub(crate) fn begin(self: &Arc<Self>) {
        if self.begun.set(()).is_ok() {
            let fetched = Arc::downgrade(self);
            self.fetching.drain.spawn(keep_fetching(fetched, self.fetching.drain.clone()));
        }
    }

    /// Fetches the keys once, without using or saving them. Returns the number of keys that can verify tokens.
    ///
    /// # Errors
    /// Why there is no valid key set.
    pub(crate) async fn try_once(&self) -> Result<usize, String> {
        match timeout(FETCH_TIMEOUT, self.get()).await {
            Ok(Ok(set)) => Ok(set.len()),
            Ok(Err(error)) => Err(error_chain::text(&*error)),
            Err(_) => Err(format!("no response within {} seconds", FETCH_TIMEOUT.as_secs())),
        }
    }

    fn held(&self) -> Held {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn fetch(&self) {
        self.fetches.send_modify(|fetches| fetches.begun += 1);
        // The age counts from the request, since a key may be withdrawn while the response is in transit.
        let at = self.fetching.clock.now();
        let failure = match timeout(FETCH_TIMEOUT, self.get()).await {
            Ok(Ok(set)) => {
                self.take(set, at).await;
                None
            }
            Ok(Err(error)) => Some(error_chain::text(&*error)),
            Err(_) => Some(format!("no response within {} seconds", FETCH_TIMEOUT.as_secs())),
        };
        let has_failed = failure.is_some();
        self.report(failure);
        self.fetches.send_modify(|fetches| {
            fetches.ended = fetches.begun;
            fetches.has_failed = has_failed;
        });
    }

    /// Logs a failure once, until it changes or ends.
    fn report(&self, failure: Option<String>) {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        match &failure {
            Some(error) if reported.as_ref() != failure.as_ref() => tracing::warn!(
                url = %self.url,
                error,
                "token issuer keys not fetched; the last ones are used up to limits.jwks_age_max_seconds"
            ),
            None if reported.is_some() => {
                tracing::info!(url = %self.url, "token issuer keys available again");
            }
            Some(_) | None => {}
        }
        *reported = failure;
    }

    async fn get(&self) -> Result<KeySet, AnyError> {
        let response = self.client.get(self.url.clone()).await?;
        let status = response.status();
        if status.is_redirection() {
            let to =
                response.headers().get(LOCATION).map(|to| to.to_str().unwrap_or_default().escape_debug().to_string());
            let to: String = to.unwrap_or_default().chars().take(REDIRECT_SHOWN_CHARS).collect();
            return Err(format!(
                "the response is {status}, to {to}: set jwks_url to the final URL, since redirects aren't followed"
            )
            .into());
        }
        if status != http::StatusCode::OK {
            return Err(format!("the response is {status}").into());
        }
        let size_max_bytes = self.fetching.size_max_bytes;
        let body = Limited::new(response.into_body(), size_max_bytes).collect().await.map_err(|error| {
            if !error.is::<LengthLimitError>() {
                return error;
            }
            self.fetching.shed.count("jwks_size_max_bytes");
            format!("the response is larger than {size_max_bytes} bytes (limits.jwks_size_max_bytes)").into()
        })?;
        Ok(KeySet::parse(String::from_utf8(body.to_bytes().to_vec())?)?)
    }

    async fn take(&self, set: KeySet, at: Timestamp) {
        let held = self.held();
        let has_changed = *held.set != set || held.at.is_none();
        let set = if *held.set == set { held.set } else { Arc::new(set) };
        if has_changed {
            let (url, keys, left_out) = (&self.url, set.len(), set.left_out());
            match keys {
                0 => tracing::warn!(%url, left_out, "token issuer without keys; all its tokens are refused"),
                _ => tracing::info!(%url, keys, left_out, "token issuer keys fetched"),
            }
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Held { set: Arc::clone(&set), at: Some(at) };
        self.keep(&set, at, has_changed).await;
    }

    /// Saves the set for the next start: at once if it has changed, and otherwise once per interval, to update its age.
    async fn keep(&self, set: &KeySet, at: Timestamp, has_changed: bool) {
        let interval_micros = i64::try_from(self.fetching.interval.as_micros()).unwrap_or(i64::MAX);
        let kept_at = *self.kept_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = kept_at.is_none_or(|kept| at.unix_micros().saturating_sub(kept.unix_micros()) >= interval_micros);
        if !has_changed && !is_old {
            return;
        }
        let kept = Kept {
            url: self.url.to_string(),
            cas: self.cas.fingerprints(),
            fetched_at_unix_micros: at.unix_micros(),
            key_set: set.text.clone(),
        };
        let (path, text) = (self.kept.clone(), serde_json::to_vec(&kept));
        let written = spawn_blocking(move || private_file::replace(&path, &text?, private_file::PRIVATE)).await;
        match written.map_err(std::io::Error::other).flatten() {
            Ok(()) => *self.kept_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(at),
            Err(error) => {
                tracing::warn!(path = %self.kept.display(), %error, "token issuer keys not saved for the next start");
            }
        }
    }
}

/// The URL of a redirect comes from the issuer's server, so the log truncates it.
const REDIRECT_SHOWN_CHARS: usize = 200;

/// Reads a set that an earlier run saved. It is ignored if its time is unknown, or if a CA that is no longer trusted verified its URL.
fn read_kept(path: &Path, url: &Uri, cas: &Cas, set_max_bytes: usize) -> Option<Held> {
    let read = trusted_file::read_text(path, Kind::KeptKeySet { set_max_bytes });
    let text = read.inspect_err(|error| {
        if !error.is_missing() {
            tracing::warn!(%url, error = error_chain::text(error), "saved token issuer keys not used");
        }
    });
    let kept: Kept = serde_json::from_str(&text.ok()?).ok()?;
    let is_believed = match (&kept.cas, &cas.fingerprints()) {
        (None, None) => true,
        (Some(then), Some(now)) => then.is_subset(now),
        (None, Some(_)) | (Some(_), None) => false,
    };
    if !is_believed {
        return None;
    }
    let set = KeySet::parse(kept.key_set).ok()?;
    let at = Timestamp::from_unix_micros(kept.fetched_at_unix_micros);
    (*url == *kept.url).then(|| Held { set: Arc::new(set), at: Some(at) })
}

async fn keep_fetching(fetched: Weak<Fetched>, drain: Drain) {
    // It isn't held while this waits, so that this task ends when the keys are replaced.
    while let Some(this) = fetched.upgrade() {
        let begun = Instant::now();
        tokio::select! {
            () = this.fetch() => {}
            () = drain.begun() => return,
        }
        let (next, asked) = (begun + this.fetching.interval, Arc::clone(&this.asked));
        drop(this);
        let asked = async {
            asked.notified().await;
            until(begun + FETCH_PAUSE).await;
        };
        tokio::select! {
            () = asked => {}
            () = until(next) => {}
            () = drain.begun() => return,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the interval itself is what is waited for, and the drain cuts it short")]
async fn until(time: Instant) {
    tokio::time::sleep_until(time).await;
}

/// HTTP over TLS, with or without a proxy.
enum HttpClient {
    Direct(Client<HttpsConnector<HttpConnector>, Empty<Bytes>>),
    Proxied(Client<HttpsConnector<Tunnel<HttpConnector>>, Empty<Bytes>>),
}

impl HttpClient {
    fn new(cas: &Cas, proxies: &Matcher, url: &Uri) -> Result<Self, AnyError> {
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls(cas)?).https_only().enable_http1();
        let Some(proxy) = proxies.intercept(url) else {
            return Ok(Self::Direct(Client::builder(TokioExecutor::new()).build(builder.build())));
        };
        // The proxy's user name and password must not be logged.
        let shown =
            format!("{}:{}", proxy.uri().host().unwrap_or_default(), proxy.uri().port_u16().unwrap_or_default());
        if proxy.uri().scheme_str() != Some("http") {
            return Err(format!("the proxy {shown} of HTTPS_PROXY doesn't begin with http://").into());
        }
        tracing::info!(%url, proxy = shown, "proxy used for token issuer keys");
        let mut tunnel = Tunnel::new(proxy.uri().clone(), HttpConnector::new());
        if let Some(credentials) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(credentials.clone());
        }
        Ok(Self::Proxied(Client::builder(TokioExecutor::new()).build(builder.wrap_connector(tunnel))))
    }

    async fn get(&self, url: Uri) -> Result<Response<Incoming>, hyper_util::client::legacy::Error> {
        match self {
            Self::Direct(client) => client.get(url).await,
            Self::Proxied(client) => client.get(url).await,
        }
    }
}

fn tls(cas: &Cas) -> Result<ClientConfig, AnyError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(cas.roots()?).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use rcgen::{CertificateParams, KeyPair};
    use rustls::{ServerConfig, pki_types::PrivateKeyDer};
    use tempfile::TempDir;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
        net::{TcpListener, TcpStream},
    };
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::{files::pem, ports::clock::SystemClock};

    const SIZE_MAX_BYTES: usize = 1_024;

    /// A URL that sends this response to each connection, and its CA in a file.
    struct Address {
        folder: TempDir,
        port: u16,
    }

    impl Address {
        async fn answering(answer: String) -> Self {
            let pair = KeyPair::generate().unwrap();
            let names = ["localhost".to_owned(), "idp.invalid".to_owned()];
            let certificate = CertificateParams::new(names).unwrap().self_signed(&pair).unwrap();
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
            let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(
                    vec![certificate.der().clone()],
                    PrivateKeyDer::try_from(pair.serialized_der().to_vec()).unwrap(),
                )
                .unwrap();
            let acceptor = TlsAcceptor::from(Arc::new(config));
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                    read_head(&mut stream).await;
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    stream.shutdown().await.unwrap();
                }
            });
            Self { folder, port }
        }

        fn fetched(&self, url: &str, proxies: Matcher) -> Arc<Fetched> {
            let fetching = Fetching {
                interval: Duration::from_secs(300),
                age_max: Duration::from_secs(3_600),
                wait_max: Duration::from_secs(60),
                waiting_calls_max: 4,
                size_max_bytes: SIZE_MAX_BYTES,
                folder: self.folder.path().to_owned(),
                proxies: Arc::new(proxies),
                clock: Arc::new(SystemClock),
                shed: Shed::default(),
                drain: Drain::new(),
            };
            Fetched::new(&url.parse().unwrap(), self.cas(), fetching).unwrap()
        }

        fn cas(&self) -> Cas {
            Cas::read(Some(&self.folder.path().join("ca.pem"))).unwrap()
        }

        fn directly(&self) -> Arc<Fetched> {
            self.fetched(&format!("https://localhost:{}/keys", self.port), Matcher::builder().build())
        }
    }

    async fn read_head(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    fn ok(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    fn set_of(bytes: usize) -> String {
        let text = r#"{"keys": []}"#;
        format!("{text}{}", " ".repeat(bytes - text.len()))
    }

    fn reported(fetched: &Fetched) -> String {
        fetched.reported.lock().unwrap().clone().unwrap_or_default()
    }

    #[tokio::test]
    async fn key_set_is_read_up_to_its_limit() {
        let address = Address::answering(ok(&set_of(SIZE_MAX_BYTES))).await;
        let fetched = address.directly();
        fetched.fetch().await;
        assert_eq!(reported(&fetched), "");
        assert!(fetched.current(SystemClock.now()).is_some());

        let fetched = Address::answering(ok(&set_of(SIZE_MAX_BYTES + 1))).await.directly();
        fetched.fetch().await;
        assert_eq!(reported(&fetched), "the response is larger than 1024 bytes (limits.jwks_size_max_bytes)");
        assert_eq!(fetched.fetching.shed.refused_by("jwks_size_max_bytes"), 1);
        assert!(fetched.has_failed() && fetched.current(SystemClock.now()).is_none());
    }

    #[tokio::test]
    async fn a_redirect_is_reported_and_not_followed() {
        let answer = "HTTP/1.1 302 Found\r\nlocation: https://elsewhere.invalid/\r\ncontent-length: 0\r\n\r\n";
        let fetched = Address::answering(answer.to_owned()).await.directly();
        fetched.fetch().await;
        let said = reported(&fetched);
        assert!(said.starts_with("the response is 302 Found, to https://elsewhere.invalid/: set jwks_url"), "{said}");
    }

    #[tokio::test]
    async fn a_proxy_is_used_unless_the_address_is_excepted() {
        let address = Address::answering(ok(&set_of(12))).await;
        let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy_url = format!("http://user:secret@{}", proxy.local_addr().unwrap());
        let port = address.port;
        let asked = tokio::spawn(async move {
            let (mut stream, _) = proxy.accept().await.unwrap();
            let head = read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            let mut to = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let _ended = copy_bidirectional(&mut stream, &mut to).await;
            head
        });
        // Only the proxy can resolve this name.
        let fetched = address.fetched("https://idp.invalid/keys", Matcher::builder().https(proxy_url.clone()).build());
        fetched.fetch().await;
        assert_eq!(reported(&fetched), "");
        drop(fetched);
        let head = asked.await.unwrap();
        assert!(head.starts_with("CONNECT idp.invalid:443 HTTP/1.1\r\n"), "{head}");
        assert!(head.to_lowercase().contains("proxy-authorization: basic dxnlcjpzzwnyzxq="), "{head}");

        let url = format!("https://localhost:{port}/keys");
        let excepted = Matcher::builder().https(proxy_url).no("localhost").build();
        let fetched = address.fetched(&url, excepted);
        fetched.fetch().await;
        assert_eq!(reported(&fetched), "");

        let refused = HttpClient::new(
            &address.cas(),
            &Matcher::builder().https("https://user:secret@proxy.invalid").build(),
            &url.parse().unwrap(),
        );
        let refused = refused.err().unwrap().to_string();
        assert!(refused.contains("proxy.invalid") && !refused.contains("secret"), "{refused}");
    }

    #[tokio::test]
    async fn calls_waiting_for_keys_are_limited_and_leave_room_for_certificates() {
        let fetched = Address::answering(ok(&set_of(12))).await.directly();
        let strangers: Vec<_> = (0..3).map(|_| fetched.wait(false).unwrap()).collect();
        assert!(fetched.wait(false).is_none());
        let known = fetched.wait(true).unwrap();
        assert!(fetched.wait(true).is_none());
        assert_eq!(fetched.fetching.shed.refused_by("jwks_waiting_calls_max"), 2);
        // All calls wait for a single fetch.
        fetched.begin();
        for wait in strangers.into_iter().chain([known]) {
            wait.await;
        }
        assert_eq!(fetched.fetches.borrow().begun, 1);
        assert!(fetched.wait(false).is_some());
    }

    #[tokio::test]
    async fn call_waits_for_keys_up_to_its_limit() {
        let mut fetched = Address::answering(ok(&set_of(12))).await.directly();
        Arc::get_mut(&mut fetched).unwrap().fetching.wait_max = Duration::from_millis(1);
        // Nothing fetches.
        let wait = fetched.wait(false).unwrap();
        timeout(Duration::from_secs(60), wait).await.unwrap();
        assert_eq!(fetched.waiting.available_permits(), 4);
    }

    #[tokio::test]
    async fn a_kept_set_keeps_its_age_and_one_without_a_time_is_not_used() {
        let address = Address::answering(ok(&set_of(12))).await;
        let fetched = address.directly();
        fetched.fetch().await;
        let at = fetched.fetched_at().unwrap();
        let again = address.directly();
        assert_eq!(again.fetched_at(), Some(at));
        let later = |seconds: i64| Timestamp::from_unix_micros(at.unix_micros() + seconds * 1_000_000);
        for (seconds, is_used) in [(0, true), (3_600, true), (3_601, false), (-300, true), (-301, false)] {
            assert_eq!(again.current(later(seconds)).is_some(), is_used, "{seconds}");
        }
        fs::write(&again.kept, set_of(12)).unwrap();
        assert_eq!(address.directly().fetched_at(), None);
    }

    #[tokio::test]
    async fn largest_set_is_kept_and_refused_if_others_can_change_it() {
        // Each of these characters takes two in the file.
        let text = set_of(SIZE_MAX_BYTES).replace(' ', "\n");
        let address = Address::answering(ok(&text)).await;
        let fetched = address.directly();
        fetched.fetch().await;
        assert_eq!((reported(&fetched), address.directly().fetched_at()), (String::new(), fetched.fetched_at()));
        let set_mode = |mode| fs::set_permissions(&fetched.kept, fs::Permissions::from_mode(mode)).unwrap();
        set_mode(0o666);
        assert_eq!(address.directly().fetched_at(), None);
        set_mode(0o600);
        assert_eq!(address.directly().fetched_at(), fetched.fetched_at());
        // More than a file of such a set can have.
        let limit = Kind::KeptKeySet { set_max_bytes: SIZE_MAX_BYTES }.size_max_bytes();
        let padding = usize::try_from(limit).unwrap() + 1 - fs::read(&fetched.kept).unwrap().len();
        let kept = fs::read_to_string(&fetched.kept).unwrap() + &" ".repeat(padding);
        fs::write(&fetched.kept, kept).unwrap();
        assert_eq!(address.directly().fetched_at(), None);
    }

    #[tokio::test]
    async fn kept_set_is_used_while_every_ca_of_its_address_is_trusted() {
        let (address, other) = (Address::answering(ok(&set_of(12))).await, Address::answering(ok(&set_of(12))).await);
        let fetched = address.directly();
        fetched.fetch().await;
        let [own, others] = [&address, &other].map(|address| address.folder.path().join("ca.pem"));
        let [own_pem, others_pem] = [&own, &others].map(|file| fs::read_to_string(file).unwrap());
        for (cas, is_used) in [
            (own_pem.clone(), true),
            (others_pem.clone(), false),
            (own_pem.clone() + &others_pem, true),
            (own_pem, true),
        ] {
            fs::write(&own, &cas).unwrap();
            assert_eq!(address.directly().fetched_at().is_some(), is_used, "{cas}");
        }
        // With the CAs of the system, a set that was fetched by one of a file isn't used, whichever those are.
        let of_system = Cas::OfSystem(pem::certificates(&own).unwrap());
        assert!(read_kept(&fetched.kept, &fetched.url, &of_system, SIZE_MAX_BYTES).is_none());
        assert!(!fetched.is_of(&fetched.url, &of_system) && fetched.is_of(&fetched.url, &address.cas()));
    }
}
