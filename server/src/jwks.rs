//! JSON Web Key Sets (RFC 7517): the public keys of token issuers, from a file or fetched from an address.
//!
//! Keys that are fetched are fetched in an interval, and when a token names one that isn't among them, though not more often than every
//! few seconds. The last good set is used until another one comes, and kept in the data folder, so that a start needs no issuer to be
//! there. Nothing here knows tokens.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, PoisonError, RwLock, Weak},
    time::Duration,
};

use bytes::Bytes;
use fieldseal_core::hex::hex;
use http::Uri;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey,
    jwk::{AlgorithmParameters, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

use crate::{drain::Drain, error_chain, pem, private_file};

/// How long a fetch may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// The least time between two fetches: tokens may name any key.
const FETCH_PAUSE: Duration = Duration::from_secs(5);

/// No issuer has that many keys.
const KEY_SET_MAX_BYTES: usize = 256 * 1_024;

/// Keys that tokens can be verified with. Equal if made from the same text.
pub(crate) struct KeySet {
    text: String,
    keys: Vec<Key>,
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

/// Why a text is no key set.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// It isn't JSON, or not of that form.
    #[error("it is no JSON Web Key Set")]
    Malformed(#[from] serde_json::Error),
    /// It has no public key that verifies signatures.
    #[error("it has no public key for signatures")]
    Empty,
}

impl KeySet {
    /// The set before one was fetched.
    fn empty() -> Self {
        Self { text: String::new(), keys: Vec::new() }
    }

    /// Reads a set. What isn't a public key for signatures, or isn't understood, is left out (RFC 7517, section 5).
    ///
    /// # Errors
    /// [`KeySetError`]
    pub(crate) fn parse(text: String) -> Result<Self, KeySetError> {
        #[derive(Deserialize)]
        struct Written {
            keys: Vec<serde_json::Value>,
        }
        let written: Written = serde_json::from_str(&text)?;
        let keys: Vec<Key> =
            written.keys.into_iter().filter_map(|key| Key::read(serde_json::from_value(key).ok()?)).collect();
        if keys.is_empty() { Err(KeySetError::Empty) } else { Ok(Self { text, keys }) }
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The key of this id that can verify this algorithm; without an id, the only one that can.
    pub(crate) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&DecodingKey> {
        let fits = |key: &&Key| {
            key.key.family() == algorithm.family() && key.algorithm.is_none_or(|of_key| of_key == algorithm.into())
        };
        let mut found = self.keys.iter().filter(fits).filter(|key| id.is_none() || key.id.as_deref() == id);
        let first = found.next()?;
        (id.is_some() || found.next().is_none()).then_some(&first.key)
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

/// What fetching needs to know.
#[derive(Clone)]
pub(crate) struct Fetching {
    /// How often.
    pub(crate) interval: Duration,
    /// Where the last good set is kept.
    pub(crate) folder: PathBuf,
    /// Until when.
    pub(crate) drain: Drain,
}

/// The keys at an address, as they were fetched last.
pub(crate) struct Fetched {
    url: Uri,
    ca: Option<PathBuf>,
    kept: PathBuf,
    fetching: Fetching,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    current: RwLock<Arc<KeySet>>,
    asked: Arc<Notify>,
    begun: OnceLock<()>,
}

impl Fetched {
    /// Begins with the set that is kept from an earlier run, if there is one. Blocks.
    ///
    /// # Errors
    /// There are no CAs to know the server by.
    pub(crate) fn new(
        url: &Uri,
        ca: Option<&Path>,
        fetching: Fetching,
    ) -> Result<Arc<Self>, Box<dyn Error + Send + Sync>> {
        let mut name = hex(&Sha256::digest(url.to_string()));
        name.truncate(16);
        let kept = fetching.folder.join(format!("jwks-{name}.json"));
        let current = fs::read_to_string(&kept).ok().and_then(|text| KeySet::parse(text).ok());
        Ok(Arc::new(Self {
            url: url.clone(),
            ca: ca.map(Path::to_owned),
            kept,
            fetching,
            client: client(ca)?,
            current: RwLock::new(Arc::new(current.unwrap_or_else(KeySet::empty))),
            asked: Arc::default(),
            begun: OnceLock::new(),
        }))
    }

    /// Whether it is fetched from there.
    pub(crate) fn is_of(&self, url: &Uri, ca: Option<&Path>) -> bool {
        self.url == *url && self.ca.as_deref() == ca
    }

    /// The last good set.
    pub(crate) fn current(&self) -> Arc<KeySet> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks for a fetch before its time.
    pub(crate) fn ask(&self) {
        self.asked.notify_one();
    }

    /// Begins to fetch, until nobody holds it any more or the server drains.
    pub(crate) fn begin(self: &Arc<Self>) {
        if self.begun.set(()).is_ok() {
            let fetched = Arc::downgrade(self);
            self.fetching.drain.tasks().spawn(keep_fetching(fetched, self.fetching.drain.clone()));
        }
    }

    async fn fetch(&self) {
        match timeout(FETCH_TIMEOUT, self.get()).await {
            Ok(Ok(set)) => self.take(set),
            Ok(Err(error)) => {
                let error = error_chain::text(&*error);
                tracing::warn!(url = %self.url, error, "the keys of a token issuer can't be fetched; those fetched last are used");
            }
            Err(_) => {
                tracing::warn!(url = %self.url, "fetching the keys of a token issuer took too long; those fetched last are used");
            }
        }
    }

    async fn get(&self) -> Result<KeySet, Box<dyn Error + Send + Sync>> {
        let response = self.client.get(self.url.clone()).await?;
        if response.status() != http::StatusCode::OK {
            return Err(format!("the answer is {}", response.status()).into());
        }
        let body = Limited::new(response.into_body(), KEY_SET_MAX_BYTES).collect().await?.to_bytes();
        Ok(KeySet::parse(String::from_utf8(body.to_vec())?)?)
    }

    fn take(&self, set: KeySet) {
        if *self.current() == set {
            return;
        }
        if let Err(error) = private_file::replace(&self.kept, set.text.as_bytes(), private_file::PRIVATE) {
            tracing::warn!(path = %self.kept.display(), %error, "the keys of a token issuer can't be kept for the next start");
        }
        tracing::info!(url = %self.url, keys = set.len(), "a token issuer has other keys");
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
    }
}

async fn keep_fetching(fetched: Weak<Fetched>, drain: Drain) {
    // Not held while this waits: who puts another in its place ends it.
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

fn client(
    ca: Option<&Path>,
) -> Result<Client<HttpsConnector<HttpConnector>, Empty<Bytes>>, Box<dyn Error + Send + Sync>> {
    let provider = aws_lc_rs::default_provider();
    let builder = HttpsConnectorBuilder::new();
    let connector = match ca {
        None => builder.with_provider_and_native_roots(provider)?,
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in pem::certificates(path)? {
                roots.add(certificate)?;
            }
            let config =
                ClientConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions()?;
            builder.with_tls_config(config.with_root_certificates(roots).with_no_client_auth())
        }
    };
    Ok(Client::builder(TokioExecutor::new()).build(connector.https_only().enable_http1().build()))
}
