//! Bearer tokens: JSON Web Tokens (RFC 7519) of the issuers that the configuration names, to identities.
//!
//! Issuer, audience and the ways of signing are pinned per issuer, and a token chooses among what is pinned only. Times are held against
//! this server's clock with a stated skew. What was verified is remembered until it ends or the issuer's keys change, so that a caller's
//! token costs a signature once and a hash from then on. What an identity may do is the policy's matter.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use fieldseal_core::{id::Timestamp, identity::Identity};
use jsonwebtoken::{
    Validation,
    dangerous::insecure_decode_claims,
    decode, decode_header,
    errors::{Error, ErrorKind},
};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::{
    config::{TokenIssuer, TokenKeys},
    jwks::{Fetched, Fetching, KeySet, KeySetError},
    trusted_file,
};

/// How many verified tokens are remembered for each issuer. When they are full, all are forgotten.
const REMEMBERED_MAX: usize = 4_096;

/// A longer token isn't looked at. Headers are bounded too; this bounds what is decoded before anything is verified.
const TOKEN_MAX_BYTES: usize = 16 * 1_024;

/// Names are compared by text and printed, so that a subject is bounded and has no control characters.
const SUBJECT_MAX_BYTES: usize = 1_024;

/// What a token proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proven {
    /// Whom it names.
    pub(crate) identity: Identity,
    /// Its subject, as it stands there.
    pub(crate) subject: String,
    /// SHA-256 of the certificate that it is bound to (RFC 8705, section 3.1), if it is.
    pub(crate) certificate_sha256: Option<[u8; 32]>,
    not_before: Option<Timestamp>,
    /// When it ends, by its own `exp`.
    pub(crate) not_after: Timestamp,
}

/// Why a token isn't believed. The text is for its bearer, and repeats nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenProblem {
    /// It can't be read.
    #[error("it isn't a JSON Web Token")]
    Malformed,
    /// Nobody configured its issuer.
    #[error("its issuer isn't known")]
    UnknownIssuer,
    /// It is signed in a way that its issuer doesn't sign.
    #[error("it is signed with an algorithm that isn't taken of its issuer")]
    Algorithm,
    /// It demands that its reader knows some extension.
    #[error("it has critical extensions")]
    Critical,
    /// Its issuer has no such key.
    #[error("its issuer has no such key")]
    UnknownKey,
    /// It was changed, or signed by somebody else.
    #[error("its signature is wrong")]
    Signature,
    /// It is for somebody else.
    #[error("it is for another audience")]
    Audience,
    /// It lacks a claim, or a claim is of another type.
    #[error("it needs the claims iss, sub, aud and exp, each of its type")]
    Claims,
    /// Its time has passed.
    #[error("it has expired")]
    Expired,
    /// Its time has yet to come.
    #[error("it isn't valid yet")]
    NotYet,
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
        /// What the system said.
        source: std::io::Error,
    },
    /// What is there are no keys.
    #[error("the keys of the token issuer {issuer} can't be used")]
    Keys {
        /// The issuer.
        issuer: String,
        /// Why.
        source: KeySetError,
    },
    /// What keys are fetched with can't be set up.
    #[error("the keys of the token issuer {issuer} can't be fetched")]
    Fetching {
        /// The issuer.
        issuer: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The issuers whose tokens are believed. Exchanged as a whole.
#[derive(Default)]
pub(crate) struct Issuers {
    issuers: HashMap<String, Issuer>,
    skew: Duration,
}

struct Issuer {
    settings: TokenIssuer,
    keys: Keys,
    remembered: Mutex<Remembered>,
}

/// What was verified, by SHA-256 of the token, with the keys that verified it.
type Remembered = HashMap<[u8; 32], (Proven, Arc<KeySet>)>;

enum Keys {
    OfFile(Arc<KeySet>),
    Fetched(Arc<Fetched>),
}

/// Of the same settings, and of the same keys where those are in files.
impl PartialEq for Issuers {
    fn eq(&self, other: &Self) -> bool {
        let same =
            |issuer: &Issuer| other.issuers.get(&issuer.settings.issuer).is_some_and(|other| issuer.is_like(other));
        self.issuers.len() == other.issuers.len() && self.issuers.values().all(same)
    }
}

impl Issuers {
    /// Reads the keys that are in files. Those at an address are taken over from `before` where it has them, and fetched from
    /// [`begin`](Self::begin) on. Blocks.
    ///
    /// # Errors
    /// [`TokenKeysError`]
    pub(crate) fn load(
        settings: &[TokenIssuer],
        skew: Duration,
        fetching: &Fetching,
        before: Option<&Self>,
    ) -> Result<Self, TokenKeysError> {
        let issuer = |settings: &TokenIssuer| {
            let name = || settings.issuer.clone();
            let keys = match &settings.keys {
                TokenKeys::File(path) => Keys::OfFile(Arc::new(read_keys(&name(), path)?)),
                TokenKeys::Url { url, ca } => {
                    let known = before.and_then(|before| match &before.issuers.get(&settings.issuer)?.keys {
                        Keys::Fetched(fetched) if fetched.is_of(url, ca.as_deref()) => Some(Arc::clone(fetched)),
                        Keys::Fetched(_) | Keys::OfFile(_) => None,
                    });
                    let fetched = known.map_or_else(|| Fetched::new(url, ca.as_deref(), fetching.clone()), Ok);
                    Keys::Fetched(fetched.map_err(|source| TokenKeysError::Fetching { issuer: name(), source })?)
                }
            };
            Ok((name(), Issuer { settings: settings.clone(), keys, remembered: Mutex::default() }))
        };
        Ok(Self { issuers: settings.iter().map(issuer).collect::<Result<_, _>>()?, skew })
    }

    /// Begins to fetch what is at an address, for as long as this is in force.
    pub(crate) fn begin(&self) {
        for issuer in self.issuers.values() {
            if let Keys::Fetched(fetched) = &issuer.keys {
                fetched.begin();
            }
        }
    }

    /// Whom the token names, now.
    ///
    /// # Errors
    /// [`TokenProblem`]
    pub(crate) fn verify(&self, token: &str, now: Timestamp) -> Result<Proven, TokenProblem> {
        if token.len() > TOKEN_MAX_BYTES {
            return Err(TokenProblem::Malformed);
        }
        #[derive(Deserialize)]
        struct Whose {
            iss: String,
        }
        let whose: Whose = insecure_decode_claims(token).map_err(|_| TokenProblem::Malformed)?;
        let issuer = self.issuers.get(&whose.iss).ok_or(TokenProblem::UnknownIssuer)?;
        let proven = issuer.prove(token)?;
        let skew = i64::try_from(self.skew.as_micros()).unwrap_or(i64::MAX);
        if now.unix_micros() >= proven.not_after.unix_micros().saturating_add(skew) {
            return Err(TokenProblem::Expired);
        }
        let begins = proven.not_before.map_or(i64::MIN, Timestamp::unix_micros);
        if now.unix_micros() < begins.saturating_sub(skew) { Err(TokenProblem::NotYet) } else { Ok(proven) }
    }
}

impl Issuer {
    fn is_like(&self, other: &Self) -> bool {
        let same_keys = match (&self.keys, &other.keys) {
            (Keys::OfFile(ours), Keys::OfFile(theirs)) => ours == theirs,
            // What it is fetched from stands in the settings.
            (Keys::Fetched(_), Keys::Fetched(_)) => true,
            (Keys::OfFile(_), Keys::Fetched(_)) | (Keys::Fetched(_), Keys::OfFile(_)) => false,
        };
        self.settings == other.settings && same_keys
    }

    /// What the token proves, whatever the time is.
    fn prove(&self, token: &str) -> Result<Proven, TokenProblem> {
        let keys = match &self.keys {
            Keys::OfFile(keys) => Arc::clone(keys),
            Keys::Fetched(fetched) => fetched.current(),
        };
        let sha256: [u8; 32] = Sha256::digest(token).into();
        if let Some((proven, by)) = self.remembered().get(&sha256)
            && Arc::ptr_eq(by, &keys)
        {
            return Ok(proven.clone());
        }
        let proven = self.verify(token, &keys).inspect_err(|problem| {
            if let (TokenProblem::UnknownKey, Keys::Fetched(fetched)) = (problem, &self.keys) {
                fetched.ask();
            }
        })?;
        let mut remembered = self.remembered();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(sha256, (proven.clone(), keys));
        Ok(proven)
    }

    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn verify(&self, token: &str, keys: &KeySet) -> Result<Proven, TokenProblem> {
        let header = decode_header(token).map_err(|_| TokenProblem::Malformed)?;
        if header.crit.is_some() {
            return Err(TokenProblem::Critical);
        }
        if !self.settings.algorithms.contains(&header.alg) {
            return Err(TokenProblem::Algorithm);
        }
        let key = keys.find(header.kid.as_deref(), header.alg).ok_or(TokenProblem::UnknownKey)?;
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_audience(&[&self.settings.audience]);
        validation.set_required_spec_claims(&["iss", "sub", "aud"]);
        // By this server's clock, and each time anew.
        validation.validate_exp = false;
        let claims = decode::<Claims>(token, key, &validation).map_err(|error| problem(&error))?.claims;
        claims.proven(&self.settings.issuer)
    }
}

/// What is read of a token.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    /// Seconds since 1970, in parts too.
    exp: f64,
    nbf: Option<f64>,
    cnf: Option<Confirmation>,
}

/// What binds a token to a key (RFC 7800).
#[derive(Deserialize)]
struct Confirmation {
    /// SHA-256 of a certificate, in base64 for addresses without padding.
    #[serde(rename = "x5t#S256")]
    certificate: Option<String>,
    /// Other bindings, which can't be looked at here.
    #[serde(flatten)]
    others: serde_json::Map<String, serde_json::Value>,
}

impl Claims {
    fn proven(self, issuer: &str) -> Result<Proven, TokenProblem> {
        let is_name =
            !self.sub.is_empty() && self.sub.len() <= SUBJECT_MAX_BYTES && !self.sub.chars().any(char::is_control);
        if !is_name {
            return Err(TokenProblem::Claims);
        }
        let certificate_sha256 = match self.cnf {
            None => None,
            Some(Confirmation { certificate: Some(text), others }) if others.is_empty() => {
                Some(thumbprint(&text).ok_or(TokenProblem::Claims)?)
            }
            // Bound to a key whose possession nobody shows here.
            Some(_) => return Err(TokenProblem::Claims),
        };
        Ok(Proven {
            identity: Identity::Jwt { issuer: issuer.to_owned(), subject: self.sub.clone() },
            subject: self.sub,
            certificate_sha256,
            not_before: self.nbf.map(numeric_date).transpose()?,
            not_after: numeric_date(self.exp)?,
        })
    }
}

/// A NumericDate (RFC 7519, section 2).
fn numeric_date(seconds: f64) -> Result<Timestamp, TokenProblem> {
    const MICROS_A_SECOND: f64 = 1e6;
    const SECONDS_MAX: f64 = 1e12;
    if !(0.0..=SECONDS_MAX).contains(&seconds) {
        return Err(TokenProblem::Claims);
    }
    #[expect(clippy::cast_possible_truncation, reason = "it is within 0 to 1e18")]
    Ok(Timestamp::from_unix_micros((seconds * MICROS_A_SECOND) as i64))
}

fn thumbprint(text: &str) -> Option<[u8; 32]> {
    data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).ok()?.try_into().ok()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the kinds aren't all named: more may come")]
fn problem(error: &Error) -> TokenProblem {
    match error.kind() {
        ErrorKind::InvalidAudience => TokenProblem::Audience,
        ErrorKind::MissingRequiredClaim(_)
        | ErrorKind::InvalidClaimFormat(_)
        | ErrorKind::Json(_)
        | ErrorKind::InvalidIssuer
        | ErrorKind::InvalidSubject => TokenProblem::Claims,
        ErrorKind::InvalidToken | ErrorKind::Base64(_) | ErrorKind::Utf8(_) => TokenProblem::Malformed,
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
            let mut claims = json!({"iss": ISSUER, "sub": "ada", "aud": "fieldseal", "exp": NOW + 60});
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
            audience: "fieldseal".to_owned(),
            algorithms: algorithms.to_vec(),
            keys: TokenKeys::File("keys.json".into()),
        };
        let keys = Keys::OfFile(Arc::new(KeySet::parse(text).unwrap()));
        let issuer = Issuer { settings, keys, remembered: Mutex::default() };
        Issuers { issuers: [(ISSUER.to_owned(), issuer)].into(), skew: Duration::from_secs(30) }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_token_names_issuer_and_subject() {
        for algorithm in [Algorithm::ES256, Algorithm::EdDSA] {
            let signer = signer("a", algorithm);
            let issuers = issuers(&[&signer], &[algorithm]);
            let token = signer.token(|claims| claims["aud"] = json!(["other", "fieldseal"]));
            // The second time it is remembered.
            for _ in 0..2 {
                let proven = issuers.verify(&token, at(NOW)).unwrap();
                assert_eq!(proven.identity.to_string(), "jwt:https://idp.example.org/#ada");
            }
        }
    }

    #[test]
    fn a_token_is_taken_within_its_time_and_the_skew_remembered_or_not() {
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
    fn what_is_not_as_pinned_is_refused() {
        let (ours, theirs) = (signer("a", Algorithm::ES256), signer("b", Algorithm::ES256));
        let issuers = issuers(&[&ours], &[Algorithm::ES256]);
        let refused = |token: &str| issuers.verify(token, at(NOW)).unwrap_err();
        let changed = |change: fn(&mut Value)| refused(&ours.token(change));
        assert_eq!(refused("no token"), TokenProblem::Malformed);
        assert_eq!(refused(&"a".repeat(TOKEN_MAX_BYTES + 1)), TokenProblem::Malformed);
        assert_eq!(changed(|claims| claims["iss"] = json!("https://idp.example.org")), TokenProblem::UnknownIssuer);
        assert_eq!(changed(|claims| claims["aud"] = json!("other")), TokenProblem::Audience);
        for claim in ["sub", "aud", "exp"] {
            let token = ours.token(|claims| drop(claims.as_object_mut().unwrap().remove(claim)));
            assert_eq!(refused(&token), TokenProblem::Claims, "{claim}");
        }
        assert_eq!(changed(|claims| claims["sub"] = json!("")), TokenProblem::Claims);
        assert_eq!(changed(|claims| claims["sub"] = json!("a\nb")), TokenProblem::Claims);
        assert_eq!(changed(|claims| claims["exp"] = json!("soon")), TokenProblem::Claims);
        assert_eq!(changed(|claims| claims["exp"] = json!(-1)), TokenProblem::Claims);
        assert_eq!(changed(|claims| claims["cnf"] = json!({"jkt": "x"})), TokenProblem::Claims);
        assert_eq!(refused(&theirs.token(|_| {})), TokenProblem::UnknownKey);
        assert_eq!(
            refused(&theirs.token_with(|_| {}, |header| header.kid = Some("a".to_owned()))),
            TokenProblem::Signature
        );
        assert_eq!(
            refused(&ours.token_with(|_| {}, |header| header.crit = Some(vec!["x".to_owned()]))),
            TokenProblem::Critical
        );
        // Another way to sign than the pinned one, also with a key of the issuer.
        let other = signer("e", Algorithm::EdDSA);
        let both = self::issuers(&[&ours, &other], &[Algorithm::ES256]);
        assert_eq!(both.verify(&other.token(|_| {}), at(NOW)).unwrap_err(), TokenProblem::Algorithm);
        // An HMAC under the public key, and no signature at all.
        let hmac = encode(
            &Header::new(Algorithm::HS256),
            &json!({"iss": ISSUER, "sub": "ada", "aud": "fieldseal", "exp": NOW + 60}),
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
}
