//! The programs that can read metrics: those with the certificate of a configured identity, or with the configured token. Without either
//! setting, every program that reaches the listener.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use http::{HeaderMap, header::AUTHORIZATION};
use sealward_core::{id::Timestamp, identity::Identity};
use sha2::{Digest as _, Sha256};
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use crate::{
    config::{Config, MetricsAccess},
    files::trusted_file::{self, Kind, TrustedFileError},
    finding::Finding,
    identity::ClientCertificate,
};

/// The length of a token, as it can be guessed and as it fits into a header.
const TOKEN_LENGTH: std::ops::RangeInclusive<usize> = 32..=512;

/// Why the token of scrapers can't be used.
#[derive(Debug, thiserror::Error)]
pub enum MetricsTokenError {
    /// The file can't be read.
    #[error("the token of listen.metrics_token can't be read")]
    File(#[from] TrustedFileError),
    /// It isn't a token.
    #[error(
        "the token in {path} must have {} to {} characters: letters, digits and -._~+/=",
        TOKEN_LENGTH.start(),
        TOKEN_LENGTH.end()
    )]
    NotAToken {
        /// The file.
        path: PathBuf,
    },
}

/// Decides on scrapes.
#[derive(Clone, Debug)]
pub(super) struct Access {
    identities: Vec<Identity>,
    token: Option<PathBuf>,
    /// The last report that the token can't be read.
    reported: Arc<Mutex<Option<Instant>>>,
}

/// The time between two reports that the token can't be read, since every program can cause one.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// Why a scrape is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It has neither a certificate nor a token.
    NoCredentials,
    /// Its token is another one.
    WrongToken,
    /// Its certificate has another identity, or has expired.
    WrongCertificate,
    /// The file of the token can't be read now.
    TokenUnreadable,
}

impl Refused {
    const ALL: [Self; 4] = [Self::NoCredentials, Self::WrongToken, Self::WrongCertificate, Self::TokenUnreadable];

    /// The names of all causes.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().map(Self::name)
    }

    /// The name in the log and in the metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::NoCredentials => "no_credentials",
            Self::WrongToken => "wrong_token",
            Self::WrongCertificate => "wrong_certificate",
            Self::TokenUnreadable => "token_unreadable",
        }
    }
}

impl Access {
    pub(super) fn new(settings: &MetricsAccess) -> Self {
        Self { identities: settings.identities.clone(), token: settings.token.clone(), reported: Arc::default() }
    }

    /// Admits a scrape with these headers, over a connection with this certificate.
    ///
    /// # Errors
    /// [`Refused`]
    pub(super) async fn admit(
        &self,
        certificate: Option<&ClientCertificate>,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<(), Refused> {
        if self.identities.is_empty() && self.token.is_none() {
            return Ok(());
        }
        let is_named = |certificate: &ClientCertificate| {
            !certificate.has_expired(now) && self.identities.contains(&*certificate.identity)
        };
        if certificate.is_some_and(is_named) {
            return Ok(());
        }
        let Some(path) = &self.token else {
            return Err(if certificate.is_some() { Refused::WrongCertificate } else { Refused::NoCredentials });
        };
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(if certificate.is_some() { Refused::WrongCertificate } else { Refused::NoCredentials });
        };
        let presented = bearer(value.as_bytes()).ok_or(Refused::WrongToken)?;
        let path = path.clone();
        let expected = spawn_blocking(move || read_token(&path)).await.map_err(|_| Refused::TokenUnreadable)?;
        let expected = expected.map_err(|error| {
            self.report(&error);
            Refused::TokenUnreadable
        })?;
        // Hashes, so that the time of the comparison says nothing about the token.
        if Sha256::digest(presented) == Sha256::digest(&*expected) { Ok(()) } else { Err(Refused::WrongToken) }
    }
}

impl Access {
    fn report(&self, error: &MetricsTokenError) {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.is_none_or(|last| last.elapsed() >= REPORT_INTERVAL) {
            *reported = Some(Instant::now());
            tracing::warn!(error = error as &dyn std::error::Error, "token of scrapers not read");
        }
    }
}

/// The token of `Authorization: Bearer TOKEN` (RFC 6750, section 2.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// Reads the token of scrapers. Blocks.
///
/// # Errors
/// [`MetricsTokenError`]
pub(crate) fn read_token(path: &Path) -> Result<Zeroizing<Vec<u8>>, MetricsTokenError> {
    let content = trusted_file::read(path, Kind::Token)?;
    let token = content.trim_ascii();
    let is_of_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    if TOKEN_LENGTH.contains(&token.len()) && token.iter().all(is_of_token) {
        Ok(Zeroizing::new(token.to_vec()))
    } else {
        Err(MetricsTokenError::NotAToken { path: path.to_owned() })
    }
}

/// The finding that programs on other machines can read metrics, or the token on its way.
pub(crate) fn finding(config: &Config) -> Option<Finding> {
    let address = config.listen.metrics_address.filter(|address| !address.ip().is_loopback())?;
    let MetricsAccess { tls, identities, token } = &config.metrics;
    let problem = match (tls, identities.is_empty() && token.is_none()) {
        (_, true) => "every program that reaches it can read metrics",
        (false, false) => "metrics and their token are sent without TLS",
        (true, false) => return None,
    };
    let remedy = "use a loopback address, or set listen.metrics_tls = true with listen.metrics_identities or listen.metrics_token";
    Some(Finding::warning("listen.metrics_address", format!("{address} isn't a loopback address: {problem}"), remedy))
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use super::*;
    use crate::transport::test_deployment::TestDeployment;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";
    const NOW: Timestamp = Timestamp::from_unix_micros(1_000);

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, value.parse().unwrap())).collect()
    }

    fn certificate(name: &str, not_after: i64) -> ClientCertificate {
        let identity = Arc::new(Identity::CommonName(name.to_owned()));
        ClientCertificate { identity, sha256: [0; 32], not_after: Timestamp::from_unix_micros(not_after) }
    }

    #[tokio::test]
    async fn token_is_compared_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, format!("{TOKEN}\n")).unwrap();
        let access = Access { identities: Vec::new(), token: Some(path.clone()), reported: Arc::default() };
        let admit = async |values: &[&str]| access.admit(None, &headers(values), NOW).await;
        let valid = format!("Bearer {TOKEN}");
        assert_eq!(admit(&[&valid]).await, Ok(()));
        assert_eq!(admit(&[&format!("bearer  {TOKEN} ")]).await, Ok(()));
        for (values, refused) in [
            (&[][..], Refused::NoCredentials),
            (&[&*valid, &*valid], Refused::NoCredentials),
            (&["Bearer"], Refused::WrongToken),
            (&["Bearer "], Refused::WrongToken),
            (&[TOKEN], Refused::WrongToken),
            (&[&valid[..valid.len() - 1]], Refused::WrongToken),
            (&[&format!("{valid}0")], Refused::WrongToken),
            (&[&valid.to_uppercase()], Refused::WrongToken),
            (&["Basic YTpi"], Refused::WrongToken),
        ] {
            assert_eq!(admit(values).await, Err(refused), "{values:?}");
        }
        // A certificate alone doesn't help, since no identity is configured.
        let ada = certificate("ada", 2_000);
        assert_eq!(access.admit(Some(&ada), &headers(&[]), NOW).await, Err(Refused::WrongCertificate));
        // The file may be replaced at any time.
        fs::write(&path, "f".repeat(64)).unwrap();
        assert_eq!(admit(&[&valid]).await, Err(Refused::WrongToken));
        assert_eq!(admit(&[&format!("Bearer {}", "f".repeat(64))]).await, Ok(()));
        fs::write(&path, "").unwrap();
        assert_eq!(admit(&["Bearer "]).await, Err(Refused::TokenUnreadable));
        fs::remove_file(&path).unwrap();
        assert_eq!(admit(&[&valid]).await, Err(Refused::TokenUnreadable));
    }

    #[tokio::test]
    async fn certificate_needs_a_configured_identity_and_is_valid_until_its_end() {
        let access = Access {
            identities: vec![Identity::CommonName("prometheus".to_owned())],
            token: None,
            reported: Arc::default(),
        };
        let admit = async |certificate: Option<ClientCertificate>| {
            access.admit(certificate.as_ref(), &headers(&[&format!("Bearer {TOKEN}")]), NOW).await
        };
        assert_eq!(admit(Some(certificate("prometheus", 1_000))).await, Ok(()));
        assert_eq!(admit(Some(certificate("prometheus", 999))).await, Err(Refused::WrongCertificate));
        assert_eq!(admit(Some(certificate("ada", 2_000))).await, Err(Refused::WrongCertificate));
        assert_eq!(admit(None).await, Err(Refused::NoCredentials));
    }

    #[test]
    fn token_has_a_minimum_length_and_no_space() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let read = |content: &str| {
            fs::write(&path, content).unwrap();
            read_token(&path).is_ok()
        };
        assert!(read(&"a".repeat(32)) && read(&"a".repeat(512)));
        assert!(!read(&"a".repeat(31)) && !read(&"a".repeat(513)) && !read(&"a a".repeat(20)));
    }

    #[test]
    fn listener_beyond_this_machine_is_a_finding_unless_it_is_protected() {
        let mut config = TestDeployment::new().config;
        let mut found = |address: &str, tls, identities: &[&str]| {
            config.listen.metrics_address = Some(address.parse().unwrap());
            let identities = identities.iter().map(|name| Identity::CommonName((*name).to_owned())).collect();
            config.metrics = MetricsAccess { tls, identities, token: None };
            finding(&config).is_some()
        };
        assert!(!found("127.0.0.1:1", false, &[]) && !found("[::1]:1", false, &[]));
        assert!(found("0.0.0.0:1", false, &[]) && found("192.0.2.1:1", true, &[]));
        assert!(found("0.0.0.0:1", false, &["a"]) && !found("0.0.0.0:1", true, &["a"]));
    }
}
