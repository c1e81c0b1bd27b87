//! Derives identities from bearer tokens: JSON Web Tokens (RFC 7519) of configured issuers.
//!
//! Audience and algorithms are pinned per issuer, and a token can only select among them. Times are compared with this server's clock, with
//! a stated tolerance. A token with a very long lifetime is refused. The result of a verification is remembered by the bytes of the token, as
//! long as the issuer's keys are the same, so that a token costs a signature and parsing once, and a look-up afterwards. Its times are
//! checked in each call. The policy decides on the permissions of an identity.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jsonwebtoken::{
    Validation,
    dangerous::insecure_decode_claims,
    decode, decode_header,
    errors::{Error, ErrorKind},
};
use sealward_core::{id::Timestamp, identity::Identity};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::{
    certificates::{Certificate, Usage},
    config::{TokenIssuer, TokenKeys, limits::Limits},
    files::{cas::Cas, trusted_file},
    finding::Finding,
    identity::jwks::{Fetched, Fetching, KeySet, KeySetError, Wait},
    telemetry::shed::Shed,
};

/// The memory for remembered tokens, in bytes: 8,000 tokens of the usual 1,500 bytes. If it is full, all are forgotten.
const REMEMBERED_MAX_BYTES: usize = 16 * 1_024 * 1_024;

/// The memory for the content of a remembered token, beside its text.
const REMEMBERED_CONTENT_BYTES: usize = 512;

/// The part of a token that is hashed to find it, from its end.
const HASHED_BYTES: usize = 32;

/// A longer token is refused unread. Headers are bounded too; this bounds the data that is decoded before it is verified.
const TOKEN_MAX_BYTES: usize = 16 * 1_024;

/// Names are compared as text and printed, so a subject is bounded and contains no control characters.
const SUBJECT_MAX_BYTES: usize = 1_024;

/// The verified content of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proven {
    /// Its identity.
    pub(crate) identity: Arc<Identity>,
    /// Its subject, unchanged.
    pub(crate) subject: String,
    /// The SHA-256 hash of the certificate that it is bound to, if any (RFC 8705, section 3.1).
    pub(crate) certificate_sha256: Option<[u8; 32]>,
    not_before: Option<Timestamp>,
    /// When it expires, from its `exp`.
    pub(crate) not_after: Timestamp,
    issued_at: Option<Timestamp>,
}

/// Why a token isn't accepted. The text is for its bearer, and doesn't repeat the token's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenProblem {
    /// It can't be parsed.
    #[error("it isn't a JSON Web Token")]
    Malformed,
    /// Its issuer isn't configured.
    #[error("its issuer isn't configured on this server")]
    UnknownIssuer,
    /// Its algorithm isn't the one configured for its issuer.
    #[error("its algorithm isn't accepted for its issuer")]
    Algorithm,
    /// It has critical extensions, which aren't supported.
    #[error("it has critical extensions")]
    Critical,
    /// Its issuer doesn't have the key.
    #[error("its issuer doesn't have the key that signed it")]
    UnknownKey,
    /// It was changed, or another party signed it.
    #[error("its signature is invalid")]
    Signature,
    /// It is for another audience.
    #[error("it is for another audience")]
    Audience,
    /// It lacks a claim.
    #[error("it has no claim {0}")]
    MissingClaim(&'static str),
    /// A claim is of another type, empty, too long or out of range.
    #[error("its claim {0} can't be used")]
    Claim(&'static str),
    /// Its `typ` is for another purpose.
    #[error("its typ isn't JWT or at+jwt")]
    Type,
    /// Its lifetime exceeds the limit, which bounds the use of a stolen token.
    #[error("it is valid for longer than {max_seconds} seconds: configure its issuer to issue shorter ones")]
    Lifetime {
        /// The maximum lifetime.
        max_seconds: u32,
    },
    /// The current keys of its issuer are unknown.
    #[error("the keys of its issuer can't be fetched now")]
    KeysUnavailable,
    /// It has expired.
    #[error("it has expired")]
    Expired,
    /// It isn't valid yet.
    #[error("it isn't valid yet")]
    NotYet,
}

impl TokenProblem {
    /// The name of the limit in `[limits]` that refuses the token, if any.
    pub(crate) fn bound(&self) -> Option<&'static str> {
        matches!(self, Self::Lifetime { .. }).then_some("token_lifetime_max_seconds")
    }
}

/// Why the keys of an issuer can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenKeysError {
    /// The file can't be read.
    #[error("the keys of the token issuer {issuer} can't be read from {path}")]
    File {
        /// The issuer.
        issuer: String,
        /// The file.
        path: std::path::PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The content isn't a key set.
    #[error("the keys of the token issuer {issuer} can't be used")]
    Keys {
        /// The issuer.
        issuer: String,
        /// The cause.
        source: KeySetError,
    },
    /// Fetching can't be set up.
    #[error("the keys of the token issuer {issuer} can't be fetched")]
    Fetching {
        /// The issuer.
        issuer: String,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The bounds of tokens.
#[derive(Clone, Default)]
pub(crate) struct Bounds {
    skew: Duration,
    lifetime_max_seconds: u32,
    keys_tried_max: usize,
    shed: Shed,
}

impl Bounds {
    pub(crate) fn new(limits: &Limits, shed: Shed) -> Self {
        Self {
            skew: limits.token_clock_skew(),
            lifetime_max_seconds: limits.token_lifetime_max_seconds,
            keys_tried_max: usize::try_from(limits.token_keys_tried_max).unwrap_or(usize::MAX),
            shed,
        }
    }

    fn skew_micros(&self) -> i64 {
        i64::try_from(self.skew.as_micros()).unwrap_or(i64::MAX)
    }

    /// Checks the validity period of a token, and its length.
    fn check(&self, proven: &Proven, now: Timestamp) -> Result<(), TokenProblem> {
        let (now, end, skew) = (now.unix_micros(), proven.not_after.unix_micros(), self.skew_micros());
        if now >= end.saturating_add(skew) {
            return Err(TokenProblem::Expired);
        }
        let begins = proven.not_before.map_or(i64::MIN, Timestamp::unix_micros);
        if now < begins.saturating_sub(skew) {
            return Err(TokenProblem::NotYet);
        }
        let lifetime_max = i64::from(self.lifetime_max_seconds).saturating_mul(1_000_000);
        let is_too_long = end.saturating_sub(now) > lifetime_max.saturating_add(skew)
            || proven.issued_at.is_some_and(|begin| end.saturating_sub(begin.unix_micros()) > lifetime_max);
        if is_too_long {
            let problem = TokenProblem::Lifetime { max_seconds: self.lifetime_max_seconds };
            problem.bound().into_iter().for_each(|bound| self.shed.count(bound));
            return Err(problem);
        }
        Ok(())
    }
}

/// The trusted token issuers. They are replaced as a whole.
#[derive(Default)]
pub(crate) struct Issuers {
    issuers: HashMap<String, Arc<Issuer>>,
    bounds: Bounds,
    remembered: RwLock<Remembered>,
}

struct Issuer {
    settings: TokenIssuer,
    keys: Keys,
}

/// Verified tokens. New issuers and changed settings begin with none, because [`Issuers`] are replaced as a whole.
#[derive(Default)]
struct Remembered {
    /// By their hashes.
    tokens: HashMap<u64, Verified>,
    hashes: RandomState,
    bytes: usize,
}

/// A verified token: its text, its content, its issuer, and the keys that verified it.
struct Verified {
    /// A secret: wiped on drop.
    text: Zeroizing<String>,
    proven: Arc<Proven>,
    issuer: Arc<Issuer>,
    keys: Arc<KeySet>,
}

impl Remembered {
    /// The hash of a token, with a key that is drawn for each map. The last characters are a part of its signature, so they differ in all
    /// verified tokens, and a hash of all characters took several times as long.
    fn hash(&self, token: &str) -> u64 {
        let begin = token.len().saturating_sub(HASHED_BYTES);
        self.hashes.hash_one(token.as_bytes().get(begin..))
    }

    /// Compares all bytes.
    fn get(&self, token: &str) -> Option<&Verified> {
        self.tokens.get(&self.hash(token)).filter(|verified| *verified.text == token)
    }

    fn insert(&mut self, verified: Verified) {
        let bytes = verified.bytes();
        if self.bytes.saturating_add(bytes) > REMEMBERED_MAX_BYTES {
            *self = Remembered::default();
        }
        let replaced = self.tokens.insert(self.hash(&verified.text), verified);
        self.bytes = self.bytes.saturating_add(bytes).saturating_sub(replaced.map_or(0, |before| before.bytes()));
    }
}

impl Verified {
    fn bytes(&self) -> usize {
        self.text.len().saturating_add(REMEMBERED_CONTENT_BYTES)
    }
}

enum Keys {
    OfFile(Arc<KeySet>),
    Fetched(Arc<Fetched>),
}

/// Equal if the settings are, and the keys in files or the CAs of URLs.
impl PartialEq for Issuers {
    fn eq(&self, other: &Self) -> bool {
        let same = |issuer: &Arc<Issuer>| {
            other.issuers.get(&issuer.settings.issuer).is_some_and(|other| issuer.is_like(other))
        };
        self.issuers.len() == other.issuers.len() && self.issuers.values().all(same)
    }
}

impl Issuers {
    /// Reads the keys in files, and the CAs of URLs. Keys at a URL are reused from `before` if the CAs are the same, and fetched once
    /// [`begin`](Self::begin) is called. Blocks.
    ///
    /// # Errors
    /// [`TokenKeysError`]
    pub(crate) fn load(
        settings: &[TokenIssuer],
        bounds: Bounds,
        fetching: &Fetching,
        before: Option<&Self>,
    ) -> Result<Self, TokenKeysError> {
        let issuer = |settings: &TokenIssuer| {
            let name = || settings.issuer.clone();
            let keys = match &settings.keys {
                TokenKeys::File(path) => Keys::OfFile(Arc::new(read_keys(&name(), path)?)),
                TokenKeys::Url { url, ca } => {
                    let failed = |source| TokenKeysError::Fetching { issuer: name(), source };
                    let cas = Cas::read(ca.as_deref()).map_err(failed)?;
                    let known = before.and_then(|before| match &before.issuers.get(&settings.issuer)?.keys {
                        Keys::Fetched(fetched) if fetched.is_of(url, &cas) => Some(Arc::clone(fetched)),
                        Keys::Fetched(_) | Keys::OfFile(_) => None,
                    });
                    let fetched = known.map_or_else(|| Fetched::new(url, cas, fetching.clone()), Ok);
                    Keys::Fetched(fetched.map_err(failed)?)
                }
            };
            Ok((name(), Arc::new(Issuer { settings: settings.clone(), keys })))
        };
        let issuers = settings.iter().map(issuer).collect::<Result<_, _>>()?;
        Ok(Self { issuers, bounds, remembered: RwLock::default() })
    }

    /// A single issuer with these keys.
    #[cfg(fuzzing)]
    pub(crate) fn of_one(issuer: &str, keys: Arc<KeySet>) -> Self {
        use jsonwebtoken::Algorithm;
        let settings = TokenIssuer {
            issuer: issuer.to_owned(),
            audience: "sealward".to_owned(),
            algorithms: vec![Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256],
            keys: TokenKeys::File("jwks.json".into()),
        };
        let only = Arc::new(Issuer { settings, keys: Keys::OfFile(keys) });
        let issuers = HashMap::from([(issuer.to_owned(), only)]);
        Self { issuers, bounds: Bounds::default(), remembered: RwLock::default() }
    }

    /// Starts fetching keys at URLs, as long as this is in use.
    pub(crate) fn begin(&self) {
        for issuer in self.issuers.values() {
            if let Keys::Fetched(fetched) = &issuer.keys {
                fetched.begin();
            }
        }
    }

    /// Verifies a token.
    ///
    /// # Errors
    /// [`TokenProblem`]
    pub(crate) fn verify(&self, token: &str, now: Timestamp) -> Result<Arc<Proven>, TokenProblem> {
        let proven = match self.remembered(token, now) {
            Some(proven) => proven,
            None => self.prove(token, now)?,
        };
        self.bounds.check(&proven, now)?;
        Ok(proven)
    }

    /// The content of a token that the current keys of its issuer have verified before.
    fn remembered(&self, token: &str, now: Timestamp) -> Option<Arc<Proven>> {
        let remembered = self.remembered.read().unwrap_or_else(PoisonError::into_inner);
        let Verified { proven, issuer, keys, .. } = remembered.get(token)?;
        let is_current = issuer.keys.current(now).is_some_and(|current| Arc::ptr_eq(&current, keys));
        is_current.then(|| Arc::clone(proven))
    }

    /// Verifies a token with the current keys, without its validity period, and remembers it.
    fn prove(&self, token: &str, now: Timestamp) -> Result<Arc<Proven>, TokenProblem> {
        let issuer = self.issuer_of(token)?;
        let keys = issuer.keys.current(now).ok_or(TokenProblem::KeysUnavailable)?;
        let proven = Arc::new(issuer.verify(token, &keys, &self.bounds)?);
        let text = Zeroizing::new(token.to_owned());
        let verified = Verified { text, proven: Arc::clone(&proven), issuer: Arc::clone(issuer), keys };
        self.remembered.write().unwrap_or_else(PoisonError::into_inner).insert(verified);
        Ok(proven)
    }

    /// A fetch of the issuer's keys that may solve a problem with a token. The call may wait for it.
    pub(crate) fn wait(&self, token: &str, problem: TokenProblem, has_certificate: bool) -> Option<Wait> {
        if !matches!(problem, TokenProblem::UnknownKey | TokenProblem::KeysUnavailable) {
            return None;
        }
        match &self.issuer_of(token).ok()?.keys {
            Keys::Fetched(fetched) => fetched.wait(has_certificate),
            Keys::OfFile(_) => None,
        }
    }

    fn issuer_of(&self, token: &str) -> Result<&Arc<Issuer>, TokenProblem> {
        if token.len() > TOKEN_MAX_BYTES {
            return Err(TokenProblem::Malformed);
        }
        let claims: Claims = insecure_decode_claims(token).map_err(|_| TokenProblem::Malformed)?;
        self.issuers.get(text(&claims, "iss")?).ok_or(TokenProblem::UnknownIssuer)
    }

    /// The reasons why tokens are refused now.
    pub(crate) fn findings(&self, now: Timestamp) -> Vec<Finding> {
        let of_issuer = |(name, issuer): (&String, &Arc<Issuer>)| {
            let (problem, remedy) = match (&issuer.keys, issuer.keys.current(now)) {
                (_, Some(keys)) if keys.len() == 0 => (
                    format!("the token issuer {name} has no key that verifies tokens: every token of it is refused"),
                    "check the issuer's key set if that isn't intended",
                ),
                (Keys::Fetched(fetched), None) if fetched.fetched_at().is_some() => (
                    format!(
                        "the keys of the token issuer {name} are older than limits.jwks_age_max_seconds: every token of it is refused"
                    ),
                    "make jwks_url reachable from this server",
                ),
                (Keys::Fetched(fetched), None) if fetched.has_failed() => (
                    format!("the keys of the token issuer {name} were never fetched: every token of it is refused"),
                    "make jwks_url reachable from this server",
                ),
                (Keys::OfFile(_) | Keys::Fetched(_), _) => return None,
            };
            Some(Finding::error("token_issuers", problem, remedy))
        };
        let mut findings: Vec<_> = self.issuers.iter().filter_map(of_issuer).collect();
        findings.sort_by(|one, other| one.problem.cmp(&other.problem));
        findings
    }

    /// The CAs that verify the URLs, for reports.
    pub(crate) fn certificates(&self) -> Vec<Certificate> {
        let of_issuer = |(name, issuer): (&String, &Arc<Issuer>)| match &issuer.keys {
            Keys::Fetched(fetched) => certificates_of(name, fetched.cas()),
            Keys::OfFile(_) => Vec::new(),
        };
        let mut certificates: Vec<_> = self.issuers.iter().flat_map(of_issuer).collect();
        // Those of an issuer stay in the order of the file.
        certificates.sort_by(|one, other| one.setting.cmp(&other.setting));
        certificates
    }

    /// For each issuer: the number of keys that verify its tokens, and the time of their fetch, if they are fetched.
    pub(crate) fn keys(&self, now: Timestamp) -> impl Iterator<Item = (&str, usize, Option<Timestamp>)> {
        self.issuers.iter().map(move |(name, issuer)| {
            let fetched_at = match &issuer.keys {
                Keys::Fetched(fetched) => fetched.fetched_at(),
                Keys::OfFile(_) => None,
            };
            (name.as_str(), issuer.keys.current(now).map_or(0, |keys| keys.len()), fetched_at)
        })
    }
}

/// The CAs that verify the URL of an issuer's keys, for reports.
pub(crate) fn certificates_of(issuer: &str, cas: &Cas) -> Vec<Certificate> {
    cas.certificates(&format!("token_issuers of {issuer}"), &Usage::CaOf("the server of jwks_url".to_owned()))
}

impl Keys {
    /// The current keys.
    fn current(&self, now: Timestamp) -> Option<Arc<KeySet>> {
        match self {
            Keys::OfFile(keys) => Some(Arc::clone(keys)),
            Keys::Fetched(fetched) => fetched.current(now),
        }
    }
}

impl Issuer {
    fn is_like(&self, other: &Self) -> bool {
        let same_keys = match (&self.keys, &other.keys) {
            (Keys::OfFile(ours), Keys::OfFile(theirs)) => ours == theirs,
            // The current keys aren't compared.
            (Keys::Fetched(ours), Keys::Fetched(theirs)) => ours.is_like(theirs),
            (Keys::OfFile(_), Keys::Fetched(_)) | (Keys::Fetched(_), Keys::OfFile(_)) => false,
        };
        self.settings == other.settings && same_keys
    }

    fn verify(&self, token: &str, keys: &KeySet, bounds: &Bounds) -> Result<Proven, TokenProblem> {
        let header = decode_header(token).map_err(|_| TokenProblem::Malformed)?;
        if header.crit.is_some() {
            return Err(TokenProblem::Critical);
        }
        if !self.settings.algorithms.contains(&header.alg) {
            return Err(TokenProblem::Algorithm);
        }
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_audience(&[&self.settings.audience]);
        // Checked below on each call, with this server's clock and the name of the claim.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        let claims = self.verify_signature(token, header.kid.as_deref(), keys, &validation, bounds)?;
        let proven = proven(&claims, &self.settings)?;
        check_type(header.typ.as_deref(), &proven.subject)?;
        Ok(proven)
    }

    /// A token without a key id is verified with each suitable key.
    fn verify_signature(
        &self,
        token: &str,
        key_id: Option<&str>,
        keys: &KeySet,
        validation: &Validation,
        bounds: &Bounds,
    ) -> Result<Claims, TokenProblem> {
        let algorithm = *validation.algorithms.first().ok_or(TokenProblem::Algorithm)?;
        let mut is_known = false;
        for (tried, key) in keys.find(key_id, algorithm).enumerate() {
            if tried >= bounds.keys_tried_max {
                bounds.shed.count("token_keys_tried_max");
                break;
            }
            is_known = key_id.is_some();
            match decode::<Claims>(token, key, validation) {
                Ok(token) => return Ok(token.claims),
                Err(error) => {
                    let problem = problem(&error);
                    if problem == TokenProblem::Malformed {
                        // A claim has the wrong type; jsonwebtoken doesn't report its name.
                        return Err(self.problem_of_claims(token));
                    }
                    if problem != TokenProblem::Signature {
                        return Err(problem);
                    }
                }
            }
        }
        if is_known {
            return Err(TokenProblem::Signature);
        }
        // Without a key id, it may have been signed with a key that isn't known yet.
        match &self.keys {
            Keys::Fetched(fetched) if fetched.has_failed() => Err(TokenProblem::KeysUnavailable),
            Keys::Fetched(_) | Keys::OfFile(_) => Err(TokenProblem::UnknownKey),
        }
    }
}

impl Issuer {
    /// Why the claims of a token can't be used. The unverified claims only determine the name of the claim.
    fn problem_of_claims(&self, token: &str) -> TokenProblem {
        let claims = insecure_decode_claims::<Claims>(token).ok();
        claims.and_then(|claims| proven(&claims, &self.settings).err()).unwrap_or(TokenProblem::Malformed)
    }
}

/// The claims of a token, as in its JSON.
type Claims = serde_json::Map<String, Value>;

/// `JWT` (RFC 7519, section 5.1) or `at+jwt` (RFC 9068), with or without `application/`. A JWT-SVID may also have `JOSE` (JWT-SVID, section
/// 2.3). Other tokens of an issuer, such as logout tokens, have other types.
fn check_type(of_token: Option<&str>, subject: &str) -> Result<(), TokenProblem> {
    let Some(of_token) = of_token else { return Ok(()) };
    let mut name = of_token.to_ascii_lowercase();
    if let Some(short) = name.strip_prefix("application/") {
        name = short.to_owned();
    }
    let is_svid = subject.starts_with("spiffe://");
    if matches!(&*name, "jwt" | "at+jwt") || is_svid && name == "jose" { Ok(()) } else { Err(TokenProblem::Type) }
}

fn proven(claims: &Claims, settings: &TokenIssuer) -> Result<Proven, TokenProblem> {
    if text(claims, "iss")? != settings.issuer {
        return Err(TokenProblem::UnknownIssuer);
    }
    check_audience(claims, &settings.audience)?;
    let subject = text(claims, "sub")?;
    if subject.is_empty() || subject.len() > SUBJECT_MAX_BYTES || subject.chars().any(char::is_control) {
        return Err(TokenProblem::Claim("sub"));
    }
    Ok(Proven {
        identity: Identity::Jwt { issuer: settings.issuer.clone(), subject: subject.to_owned() }.into(),
        subject: subject.to_owned(),
        certificate_sha256: certificate_sha256(claims)?,
        not_before: date(claims, "nbf")?,
        not_after: date(claims, "exp")?.ok_or(TokenProblem::MissingClaim("exp"))?,
        issued_at: date(claims, "iat")?,
    })
}

fn text<'a>(claims: &'a Claims, name: &'static str) -> Result<&'a str, TokenProblem> {
    claims.get(name).ok_or(TokenProblem::MissingClaim(name))?.as_str().ok_or(TokenProblem::Claim(name))
}

/// One audience or several (RFC 7519, section 4.1.3).
fn check_audience(claims: &Claims, audience: &str) -> Result<(), TokenProblem> {
    let is_ours = match claims.get("aud").ok_or(TokenProblem::MissingClaim("aud"))? {
        Value::String(one) => one == audience,
        Value::Array(several) if several.iter().all(Value::is_string) => {
            several.iter().any(|one| one.as_str() == Some(audience))
        }
        Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            return Err(TokenProblem::Claim("aud"));
        }
    };
    if is_ours { Ok(()) } else { Err(TokenProblem::Audience) }
}

/// SHA-256 of the certificate that a token is bound to (RFC 8705, section 3.1). A token that is bound to another kind of key (RFC 7800) is
/// refused, since its possession isn't verified here.
fn certificate_sha256(claims: &Claims) -> Result<Option<[u8; 32]>, TokenProblem> {
    const CLAIM: &str = "cnf";
    let unusable = TokenProblem::Claim(CLAIM);
    let Some(confirmation) = claims.get(CLAIM) else { return Ok(None) };
    let members = confirmation.as_object().filter(|members| members.len() == 1).ok_or(unusable)?;
    let thumbprint = members.get("x5t#S256").and_then(Value::as_str).ok_or(unusable)?;
    let bytes = data_encoding::BASE64URL_NOPAD.decode(thumbprint.as_bytes()).map_err(|_| unusable)?;
    bytes.try_into().map(Some).map_err(|_| unusable)
}

/// A NumericDate (RFC 7519, section 2): seconds since 1970, possibly with a fraction.
fn date(claims: &Claims, name: &'static str) -> Result<Option<Timestamp>, TokenProblem> {
    const MICROS_A_SECOND: f64 = 1e6;
    const SECONDS_MAX: f64 = 1e12;
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| (0.0..=SECONDS_MAX).contains(seconds));
    let seconds = seconds.ok_or(TokenProblem::Claim(name))?;
    #[expect(clippy::cast_possible_truncation, reason = "it is within 0 to 1e18")]
    Ok(Some(Timestamp::from_unix_micros((seconds * MICROS_A_SECOND) as i64)))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the kinds aren't all named: more may come")]
fn problem(error: &Error) -> TokenProblem {
    match error.kind() {
        ErrorKind::InvalidAudience => TokenProblem::Audience,
        ErrorKind::InvalidIssuer => TokenProblem::UnknownIssuer,
        ErrorKind::InvalidToken | ErrorKind::Json(_) | ErrorKind::Base64(_) | ErrorKind::Utf8(_) => {
            TokenProblem::Malformed
        }
        ErrorKind::InvalidAlgorithm => TokenProblem::Algorithm,
        _ => TokenProblem::Signature,
    }
}

/// Reads the keys of an issuer from a file. Blocks.
///
/// # Errors
/// [`TokenKeysError`]
pub(crate) fn read_keys(issuer: &str, path: &Path) -> Result<KeySet, TokenKeysError> {
    let text = trusted_file::read_text(path, trusted_file::Kind::KeySet).map_err(|error| TokenKeysError::File {
        issuer: issuer.to_owned(),
        path: path.to_owned(),
        source: std::io::Error::other(error),
    })?;
    KeySet::parse(text).map_err(|source| TokenKeysError::Keys { issuer: issuer.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData as _};
    use serde_json::{Value, json};

    use super::*;

    const ISSUER: &str = "https://idp.example.org/";
    const NOW: i64 = 1_900_000_000;
    const LIFETIME_MAX: u32 = 3_600;
    const KEYS_TRIED_MAX: usize = 3;

    struct Signer {
        kid: &'static str,
        algorithm: Algorithm,
        key: EncodingKey,
        jwk: Value,
    }

    fn signer(kid: &'static str, algorithm: Algorithm) -> Signer {
        let encoded = |bytes: &[u8]| data_encoding::BASE64URL_NOPAD.encode(bytes);
        let (key, jwk) = if algorithm == Algorithm::EdDSA {
            let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
            let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(pair.der_bytes()), "kid": kid});
            (EncodingKey::from_ed_der(pair.serialized_der()), jwk)
        } else {
            let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
            let (x, y) = pair.der_bytes()[1..].split_at(32);
            let jwk = json!({"kty": "EC", "crv": "P-256", "x": encoded(x), "y": encoded(y), "kid": kid});
            (EncodingKey::from_ec_der(pair.serialized_der()), jwk)
        };
        Signer { kid, algorithm, key, jwk }
    }

    impl Signer {
        fn token(&self, change: impl FnOnce(&mut Value)) -> String {
            self.token_with(change, |_| {})
        }

        fn token_with(&self, change: impl FnOnce(&mut Value), change_header: impl FnOnce(&mut Header)) -> String {
            let mut claims = json!({"iss": ISSUER, "sub": "ada", "aud": "sealward", "exp": NOW + 60});
            change(&mut claims);
            let mut header = Header::new(self.algorithm);
            header.kid = Some(self.kid.to_owned());
            change_header(&mut header);
            encode(&header, &claims, &self.key).unwrap()
        }
    }

    fn issuers(keys: &[&Signer], algorithms: &[Algorithm]) -> Issuers {
        let text = json!({"keys": keys.iter().map(|signer| &signer.jwk).collect::<Vec<_>>()}).to_string();
        let settings = TokenIssuer {
            issuer: ISSUER.to_owned(),
            audience: "sealward".to_owned(),
            algorithms: algorithms.to_vec(),
            keys: TokenKeys::File("keys.json".into()),
        };
        let keys = Keys::OfFile(Arc::new(KeySet::parse(text).unwrap()));
        let issuer = Arc::new(Issuer { settings, keys });
        let bounds = Bounds {
            skew: Duration::from_secs(30),
            lifetime_max_seconds: LIFETIME_MAX,
            keys_tried_max: KEYS_TRIED_MAX,
            shed: Shed::default(),
        };
        Issuers { issuers: [(ISSUER.to_owned(), issuer)].into(), bounds, remembered: RwLock::default() }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_token_names_issuer_and_subject() {
        for algorithm in [Algorithm::ES256, Algorithm::EdDSA] {
            let signer = signer("a", algorithm);
            let issuers = issuers(&[&signer], &[algorithm]);
            let token = signer.token(|claims| claims["aud"] = json!(["other", "sealward"]));
            // The second time it comes from the cache.
            for _ in 0..2 {
                let proven = issuers.verify(&token, at(NOW)).unwrap();
                assert_eq!(proven.identity.to_string(), "jwt:https://idp.example.org/#ada");
            }
        }
    }

    #[test]
    fn remembered_token_is_found_by_all_its_bytes_and_its_times_are_checked() {
        let signer = signer("a", Algorithm::ES256);
        let issuers = issuers(&[&signer], &[Algorithm::ES256]);
        let token = signer.token(|_| {});
        assert!(issuers.remembered(&token, at(NOW)).is_none());
        let proven = issuers.verify(&token, at(NOW)).unwrap();
        assert!(Arc::ptr_eq(&issuers.remembered(&token, at(NOW)).unwrap(), &proven));
        let mut changed = token.clone();
        changed.pop();
        assert!(issuers.remembered(&changed, at(NOW)).is_none());
        assert!(issuers.verify(&changed, at(NOW)).is_err());
        assert_eq!(issuers.verify(&token, at(NOW + 90)), Err(TokenProblem::Expired));
        // A reload begins with none.
        assert!(self::issuers(&[&signer], &[Algorithm::ES256]).remembered(&token, at(NOW)).is_none());
    }

    #[test]
    fn refused_token_is_not_remembered_and_memory_is_bounded() {
        let (ours, theirs) = (signer("a", Algorithm::ES256), signer("a", Algorithm::ES256));
        let issuers = issuers(&[&ours], &[Algorithm::ES256]);
        assert!(issuers.verify(&theirs.token(|_| {}), at(NOW)).is_err());
        assert!(issuers.remembered.read().unwrap().tokens.is_empty());
        issuers.verify(&ours.token(|_| {}), at(NOW)).unwrap();
        let verified = |text| {
            let remembered = issuers.remembered.read().unwrap();
            let Verified { proven, issuer, keys, .. } = remembered.tokens.values().next().unwrap();
            let (proven, issuer, keys) = (Arc::clone(proven), Arc::clone(issuer), Arc::clone(keys));
            Verified { text: Zeroizing::new(text), proven, issuer, keys }
        };
        let mut remembered = Remembered::default();
        let tokens = REMEMBERED_MAX_BYTES / (TOKEN_MAX_BYTES + REMEMBERED_CONTENT_BYTES);
        for number in 0..=tokens {
            remembered.insert(verified(format!("{number:0>TOKEN_MAX_BYTES$}")));
        }
        assert_eq!(remembered.tokens.len(), 1);
        assert_eq!(remembered.bytes, TOKEN_MAX_BYTES + REMEMBERED_CONTENT_BYTES);
        // A token with the same end replaces it.
        let shorter = format!("{tokens:0>HASHED_BYTES$}");
        remembered.insert(verified(shorter.clone()));
        assert!(remembered.get(&shorter).is_some() && remembered.get(&format!("0{shorter}")).is_none());
        assert_eq!((remembered.tokens.len(), remembered.bytes), (1, HASHED_BYTES + REMEMBERED_CONTENT_BYTES));
    }

    #[test]
    fn token_is_accepted_within_its_time_and_the_clock_skew() {
        let signer = signer("a", Algorithm::ES256);
        let issuers = issuers(&[&signer], &[Algorithm::ES256]);
        let token = signer.token(|claims| claims["nbf"] = json!(NOW - 60));
        let at = |seconds| issuers.verify(&token, at(seconds)).map(drop);
        assert_eq!(at(NOW - 91), Err(TokenProblem::NotYet));
        assert_eq!(at(NOW - 90), Ok(()));
        assert_eq!(at(NOW + 89), Ok(()));
        assert_eq!(at(NOW + 90), Err(TokenProblem::Expired));
    }

    #[test]
    fn token_that_differs_from_the_configuration_is_refused() {
        let (ours, theirs) = (signer("a", Algorithm::ES256), signer("b", Algorithm::ES256));
        let issuers = issuers(&[&ours], &[Algorithm::ES256]);
        let refused = |token: &str| issuers.verify(token, at(NOW)).unwrap_err();
        let changed = |change: fn(&mut Value)| refused(&ours.token(change));
        assert_eq!(refused("no token"), TokenProblem::Malformed);
        assert_eq!(refused(&"a".repeat(TOKEN_MAX_BYTES + 1)), TokenProblem::Malformed);
        assert_eq!(changed(|claims| claims["iss"] = json!("https://idp.example.org")), TokenProblem::UnknownIssuer);
        assert_eq!(changed(|claims| claims["aud"] = json!("other")), TokenProblem::Audience);
        for claim in ["iss", "sub", "aud", "exp"] {
            let token = ours.token(|claims| drop(claims.as_object_mut().unwrap().remove(claim)));
            assert_eq!(refused(&token), TokenProblem::MissingClaim(claim));
            let token = ours.token(|claims| claims[claim] = json!({}));
            assert_eq!(refused(&token), TokenProblem::Claim(claim));
        }
        assert_eq!(changed(|claims| claims["sub"] = json!("")), TokenProblem::Claim("sub"));
        assert_eq!(changed(|claims| claims["sub"] = json!("a\nb")), TokenProblem::Claim("sub"));
        assert_eq!(changed(|claims| claims["aud"] = json!(["sealward", 7])), TokenProblem::Claim("aud"));
        assert_eq!(changed(|claims| claims["exp"] = json!("soon")), TokenProblem::Claim("exp"));
        assert_eq!(changed(|claims| claims["exp"] = json!(-1)), TokenProblem::Claim("exp"));
        assert_eq!(changed(|claims| claims["nbf"] = json!("now")), TokenProblem::Claim("nbf"));
        assert_eq!(changed(|claims| claims["iat"] = json!(null)), TokenProblem::Claim("iat"));
        assert_eq!(changed(|claims| claims["cnf"] = json!({"jkt": "x"})), TokenProblem::Claim("cnf"));
        assert_eq!(refused(&theirs.token(|_| {})), TokenProblem::UnknownKey);
        assert_eq!(
            refused(&theirs.token_with(|_| {}, |header| header.kid = Some("a".to_owned()))),
            TokenProblem::Signature
        );
        assert_eq!(
            refused(&ours.token_with(|_| {}, |header| header.crit = Some(vec!["x".to_owned()]))),
            TokenProblem::Critical
        );
        // Another algorithm than the pinned one, with a key of the issuer.
        let other = signer("e", Algorithm::EdDSA);
        let both = self::issuers(&[&ours, &other], &[Algorithm::ES256]);
        assert_eq!(both.verify(&other.token(|_| {}), at(NOW)).unwrap_err(), TokenProblem::Algorithm);
        // An HMAC under the public key, and no signature at all.
        let hmac = encode(
            &Header::new(Algorithm::HS256),
            &json!({"iss": ISSUER, "sub": "ada", "aud": "sealward", "exp": NOW + 60}),
            &EncodingKey::from_secret(ours.jwk.to_string().as_bytes()),
        );
        assert_eq!(refused(&hmac.unwrap()), TokenProblem::Algorithm);
        let claims = ours.token(|_| {}).split('.').nth(1).unwrap().to_owned();
        let none = data_encoding::BASE64URL_NOPAD.encode(br#"{"alg":"none"}"#);
        assert_eq!(refused(&format!("{none}.{claims}.")), TokenProblem::Malformed);
    }

    #[test]
    fn a_token_may_be_bound_to_a_certificate() {
        let signer = signer("a", Algorithm::ES256);
        let issuers = issuers(&[&signer], &[Algorithm::ES256]);
        let thumbprint = data_encoding::BASE64URL_NOPAD.encode(&[7; 32]);
        let token = signer.token(|claims| claims["cnf"] = json!({"x5t#S256": thumbprint}));
        assert_eq!(issuers.verify(&token, at(NOW)).unwrap().certificate_sha256, Some([7; 32]));
    }

    #[test]
    fn a_token_without_a_key_id_is_verified_with_each_key_that_fits() {
        let signers = ["a", "b", "c", "d"].map(|kid| signer(kid, Algorithm::ES256));
        let other = signer("e", Algorithm::EdDSA);
        let without_id = |signer: &Signer| signer.token_with(|_| {}, |header| header.kid = None);
        let all: Vec<&Signer> = std::iter::once(&other).chain(&signers).collect();
        let issuers = issuers(&all, &[Algorithm::ES256, Algorithm::EdDSA]);
        for signer in all.iter().take(1 + KEYS_TRIED_MAX) {
            assert!(issuers.verify(&without_id(signer), at(NOW)).is_ok(), "{}", signer.kid);
        }
        // One key more than the maximum that is tried.
        assert_eq!(issuers.verify(&without_id(&signers[3]), at(NOW)), Err(TokenProblem::UnknownKey));
        assert_eq!(issuers.bounds.shed.refused_by("token_keys_tried_max"), 1);
        assert!(issuers.verify(&signers[3].token(|_| {}), at(NOW)).is_ok());
        let stranger = signer("a", Algorithm::ES256);
        assert_eq!(issuers.verify(&without_id(&stranger), at(NOW)), Err(TokenProblem::UnknownKey));
        assert_eq!(issuers.verify(&stranger.token(|_| {}), at(NOW)), Err(TokenProblem::Signature));
    }

    #[test]
    fn the_lifetime_of_a_token_has_a_maximum() {
        let signer = signer("a", Algorithm::ES256);
        let issuers = issuers(&[&signer], &[Algorithm::ES256]);
        let max = i64::from(LIFETIME_MAX);
        let verified = |exp: i64, iat: Option<i64>| {
            let token = signer.token(|claims| {
                claims["exp"] = json!(exp);
                iat.into_iter().for_each(|iat| claims["iat"] = json!(iat));
            });
            issuers.verify(&token, at(NOW)).map(drop)
        };
        let too_long = Err(TokenProblem::Lifetime { max_seconds: LIFETIME_MAX });
        assert_eq!(verified(NOW + max + 30, None), Ok(()));
        assert_eq!(verified(NOW + max + 31, None), too_long);
        assert_eq!(verified(NOW + 60, Some(NOW + 60 - max)), Ok(()));
        assert_eq!(verified(NOW + 60, Some(NOW + 59 - max)), too_long);
        assert_eq!(issuers.bounds.shed.refused_by("token_lifetime_max_seconds"), 2);
    }

    #[test]
    fn token_type_is_jwt_or_missing() {
        let signer = signer("a", Algorithm::ES256);
        let issuers = issuers(&[&signer], &[Algorithm::ES256]);
        let verified = |typ: Option<&str>, subject: &str| {
            let change = |header: &mut Header| header.typ = typ.map(str::to_owned);
            issuers.verify(&signer.token_with(|claims| claims["sub"] = json!(subject), change), at(NOW)).map(drop)
        };
        for typ in [None, Some("JWT"), Some("jwt"), Some("at+JWT"), Some("application/at+jwt"), Some("Application/jwt")]
        {
            assert_eq!(verified(typ, "ada"), Ok(()), "{typ:?}");
        }
        for typ in ["", "logout+jwt", "dpop+jwt", "JOSE", "application/", "secevent+jwt", "at+jwt "] {
            assert_eq!(verified(Some(typ), "ada"), Err(TokenProblem::Type), "{typ:?}");
        }
        assert_eq!(verified(Some("JOSE"), "spiffe://example.org/a"), Ok(()));
    }

    #[test]
    fn a_key_that_is_not_for_signatures_verifies_no_token() {
        let signer = signer("a", Algorithm::ES256);
        let verified = |change: fn(&mut Value)| {
            let mut jwk = signer.jwk.clone();
            change(&mut jwk);
            let changed = Signer { jwk, kid: signer.kid, algorithm: signer.algorithm, key: signer.key.clone() };
            issuers(&[&changed], &[Algorithm::ES256]).verify(&signer.token(|_| {}), at(NOW)).map(drop)
        };
        for change in [
            (|jwk| jwk["use"] = json!("enc")) as fn(&mut Value),
            |jwk| jwk["use"] = json!("other"),
            |jwk| jwk["key_ops"] = json!(["encrypt"]),
            |jwk| jwk["key_ops"] = json!([]),
            |jwk| jwk["alg"] = json!("ES384"),
        ] {
            assert_eq!(verified(change), Err(TokenProblem::UnknownKey));
        }
        assert_eq!(verified(|jwk| jwk["use"] = json!("sig")), Ok(()));
        assert_eq!(verified(|jwk| jwk["key_ops"] = json!(["verify"])), Ok(()));
    }

    #[test]
    fn an_empty_key_set_refuses_every_token() {
        let signer = signer("a", Algorithm::ES256);
        let none = issuers(&[], &[Algorithm::ES256]);
        assert_eq!(none.verify(&signer.token(|_| {}), at(NOW)), Err(TokenProblem::UnknownKey));
        let said = none.findings(at(NOW));
        assert!(said[0].problem.contains("has no key that verifies tokens"), "{said:?}");
    }
}
