//! An issuer of bearer tokens, with its keys in a file or at an address.

use std::{
    convert::Infallible,
    path::Path,
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{CertificateParams, KeyPair, PublicKeyData as _};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub(crate) const ISSUER: &str = "https://idp.example.org/";

/// A key that tokens are signed with.
pub(crate) struct Signer {
    id: String,
    key: EncodingKey,
    jwk: Value,
}

impl Signer {
    pub(crate) fn new(id: &str) -> Self {
        let pair = KeyPair::generate().unwrap();
        let point = pair.der_bytes();
        let part = |bytes: &[u8]| data_encoding::BASE64URL_NOPAD.encode(bytes);
        let jwk = json!({"kty": "EC", "crv": "P-256", "x": part(&point[1..33]), "y": part(&point[33..]), "kid": id});
        Signer { id: id.to_owned(), key: EncodingKey::from_ec_der(pair.serialized_der()), jwk }
    }

    /// A token for this subject, valid for a minute.
    pub(crate) fn token(&self, subject: &str) -> String {
        self.token_with(subject, json!({}))
    }

    /// The same, with other claims as well.
    pub(crate) fn token_with(&self, subject: &str, others: Value) -> String {
        let mut claims = json!({"iss": ISSUER, "sub": subject, "aud": "sealward", "exp": unix_seconds() + 60});
        claims.as_object_mut().unwrap().extend(others.as_object().unwrap().clone());
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.id.clone());
        encode(&header, &claims, &self.key).unwrap()
    }
}

/// The current time, in seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "the server compares tokens and certificates with its clock, which is this one"
)]
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The key set of these.
pub(crate) fn key_set(signers: &[&Signer]) -> String {
    json!({"keys": signers.iter().map(|signer| &signer.jwk).collect::<Vec<_>>()}).to_string()
}

/// The configuration of the issuer, with the location of its keys.
pub(crate) fn settings(keys: &str) -> String {
    format!("\n[[token_issuers]]\nissuer = \"{ISSUER}\"\naudience = \"sealward\"\nalgorithms = [\"ES256\"]\n{keys}\n")
}

/// An address with keys, over TLS with its own certificate.
pub(crate) struct KeyServer {
    pub url: String,
    pub ca: String,
    /// The status and the body of the next answers.
    answer: Arc<Mutex<(u16, String)>>,
    task: tokio::task::JoinHandle<()>,
}

impl KeyServer {
    pub(crate) async fn start(keys: String) -> Self {
        let pair = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&pair).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
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
        let answer = Arc::new(Mutex::new((200, keys)));
        let served = Arc::clone(&answer);
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let (acceptor, answers) = (acceptor.clone(), Arc::clone(&served));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let answer = service_fn(move |_: Request<Incoming>| {
                        let (status, text) = answers.lock().unwrap().clone();
                        let mut answer = Response::new(text);
                        *answer.status_mut() = status.try_into().unwrap();
                        async move { Ok::<_, Infallible>(answer) }
                    });
                    // One answer per connection, so that no connection outlives the address.
                    let mut server = http1::Builder::new();
                    let _ended = server.keep_alive(false).serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
        KeyServer { url: format!("https://localhost:{port}/keys"), ca: certificate.pem(), answer, task }
    }

    pub(crate) fn exchange(&self, keys: String) {
        *self.answer.lock().unwrap() = (200, keys);
    }

    /// Answers with this status instead of a key set from now on.
    pub(crate) fn refuse(&self, status: u16) {
        *self.answer.lock().unwrap() = (status, String::new());
    }

    /// Stops answering.
    pub(crate) async fn stop(self) {
        self.task.abort();
        let _aborted = self.task.await;
    }
}

/// Adds to a configuration file what the development server doesn't have.
pub(crate) fn append(folder: &Path, text: &str) {
    let file = folder.join("sealward.toml");
    let before = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, before + text).unwrap();
}
