//! The folder of a server that is measured: what `sealward-server dev` writes, and an issuer of bearer tokens.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use clap::ValueEnum;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PublicKeyData as _};
use sealward_client::{Client, RetryPolicy};
use sealward_server::development::{Development, Person};
use serde_json::json;

use crate::outcome::Outcome;

const ISSUER: &str = "https://issuer.example.org/";
/// Limits that a measurement exceeds by its purpose, and that are switched off: reveals per minute, and key changes per hour.
const UNLIMITED: [&str; 2] = ["reveals_per_minute_per_identity", "key_changes_per_hour"];
/// The validity of the tokens: longer than any measurement.
const TOKEN_SECONDS: u64 = 8 * 3_600;

/// A caller: a user of a development server, by client certificate or by bearer token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Caller {
    Admin,
    Writer,
    Connector,
}

impl Caller {
    const ALL: [Caller; 3] = [Caller::Admin, Caller::Writer, Caller::Connector];

    fn person(self) -> Person {
        match self {
            Caller::Admin => Person::Admin,
            Caller::Writer => Person::Writer,
            Caller::Connector => Person::Connector,
        }
    }

    /// The common name of the certificate, and the subject of the token.
    pub(crate) fn name(self) -> &'static str {
        self.person().name()
    }
}

/// The folder of a server, and the key that signs its callers' tokens.
pub(crate) struct Deployment {
    development: Development,
    issuer: KeyPair,
    /// The configuration before settings are changed.
    base: String,
}

impl Deployment {
    /// Prepares a folder.
    ///
    /// The configuration is that of `sealward-server dev`, so every setting has its default, except `settings` and the [`UNLIMITED`].
    pub(crate) fn prepare(folder: &Path, settings: &[(&str, String)]) -> Outcome<Self> {
        let development = Development::prepare(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let issuer = KeyPair::generate().map_err(|error| format!("the issuer's key: {error}"))?;
        let file = development.config_file();
        let base = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        let mut deployment = Self { development, issuer, base };
        deployment.add_issuer()?;
        deployment.configure(settings)?;
        Ok(deployment)
    }

    /// Writes the configuration with these settings. Settings of an earlier call have their defaults again.
    pub(crate) fn configure(&self, settings: &[(&str, String)]) -> Outcome<()> {
        let unlimited = UNLIMITED.map(|setting| (setting, "0".to_owned()));
        let mut text = self.base.clone();
        for (setting, value) in unlimited.iter().chain(settings) {
            let commented_out = format!("\n# {setting} = ");
            let (before, rest) =
                text.split_once(&commented_out).ok_or(format!("the configuration has no {setting}"))?;
            let after = rest.split_once('\n').map_or("", |(_, after)| after);
            text = format!("{before}\n{setting} = {value}\n{after}");
        }
        let file = self.development.config_file();
        fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))
    }

    /// Adds an issuer of tokens to the configuration, and a binding for each caller's token.
    fn add_issuer(&mut self) -> Outcome<()> {
        let point = self.issuer.der_bytes();
        // An uncompressed point: a byte that says so, and two coordinates.
        let part =
            |range: std::ops::Range<usize>| data_encoding::BASE64URL_NOPAD.encode(point.get(range).unwrap_or_default());
        let key = json!({"kty": "EC", "crv": "P-256", "x": part(1..33), "y": part(33..65), "kid": "bench"});
        let keys = self.folder().join("jwks.json");
        fs::write(&keys, json!({"keys": [key]}).to_string()).map_err(|error| format!("{}: {error}", keys.display()))?;
        self.base.push_str(&format!(
            "\n[[token_issuers]]\nissuer = \"{ISSUER}\"\naudience = \"sealward\"\nalgorithms = [\"ES256\"]\njwks = \"jwks.json\"\n"
        ));
        for caller in Caller::ALL {
            self.base.push_str(&format!(
                "\n[[bindings]]\nidentity = \"jwt:{ISSUER}#{}\"\nrole = \"{}\"\norganizations = [\"*\"]\n",
                caller.name(),
                caller.person().role().name()
            ));
        }
        Ok(())
    }

    /// A token of a caller.
    pub(crate) fn token(&self, caller: Caller) -> Outcome<String> {
        #[expect(clippy::disallowed_methods, reason = "the server compares a token with its clock, which is this one")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let claims =
            json!({"iss": ISSUER, "sub": caller.name(), "aud": "sealward", "iat": now, "exp": now + TOKEN_SECONDS});
        let header = Header { kid: Some("bench".to_owned()), ..Header::new(Algorithm::ES256) };
        let key = EncodingKey::from_ec_der(self.issuer.serialized_der());
        encode(&header, &claims, &key).map_err(|error| format!("a token can't be signed: {error}"))
    }

    pub(crate) fn folder(&self) -> &Path {
        self.development.folder()
    }

    /// The folder of the certificates.
    pub(crate) fn tls(&self) -> PathBuf {
        self.folder().join("tls")
    }

    /// A client with the certificate of this caller, which retries nothing.
    pub(crate) fn client(&self, address: SocketAddr, caller: Caller) -> Outcome<Client> {
        self.retrying_client(address, caller, RetryPolicy::never())
    }

    /// A client with the certificate of this caller, which retries calls.
    pub(crate) fn retrying_client(&self, address: SocketAddr, caller: Caller, retry: RetryPolicy) -> Outcome<Client> {
        let person = caller.person();
        Client::builder(format!("https://{address}"))
            .ca_file(self.development.ca())
            .identity_files(self.development.certificate(person), self.development.key(person))
            .retry(retry)
            .timeout(None)
            .connect_lazy()
            .map_err(|error| format!("the client can't be created: {error}"))
    }
}
