//! Identifies the caller by the client certificate of the call's connection, or by the bearer token of the call. Handlers and the audit
//! trail use the resulting [`Caller`].
//!
//! A call with both is accepted only if they match: the token is bound to that certificate (RFC 8705), or its subject is the SPIFFE id in
//! it. Then the token's identity is used. A bound token is refused without its certificate.
//!
//! Permissions are checked later.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, header::AUTHORIZATION, request::Parts};
use sealward_core::{
    identity::{Caller, Identity},
    port::Clock,
};
use tokio::sync::watch;

use super::{
    gate::{Gate, Wait},
    probe::is_health,
    trace::CallFacts,
};
use crate::{
    identity::{
        ClientCertificate,
        token::{Issuers, Proven, TokenProblem},
    },
    status::Refusal,
    transport::{
        connection::{Connection, TlsFacts},
        tls::TlsContext,
    },
};

/// Headers in which proxies forward facts about a caller. No proxy is trusted, so these headers are removed.
const FORWARDED_IDENTITY: [&str; 9] = [
    "forwarded",
    "x-forwarded-",
    "x-client-cert",
    "x-real-ip",
    "x-remote-user",
    "x-spiffe-id",
    "x-ssl-",
    "ssl-client-",
    "client-cert",
];

/// The gate.
#[derive(Clone)]
pub(crate) struct IdentityRequired {
    clock: Arc<dyn Clock>,
    tls_context: watch::Receiver<Arc<TlsContext>>,
    issuers: watch::Receiver<Arc<Issuers>>,
}

impl IdentityRequired {
    /// The clock detects certificates that have expired since the handshake. The watch channels have the current trust and the current
    /// issuers.
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        tls_context: watch::Receiver<Arc<TlsContext>>,
        issuers: watch::Receiver<Arc<Issuers>>,
    ) -> Self {
        Self { clock, tls_context, issuers }
    }

    /// The caller, and its token, if it has one.
    fn caller(&self, head: &Parts) -> Result<(Caller, Option<Arc<Proven>>), Refusal> {
        let connection = head.extensions.get::<Connection>().ok_or(Refusal::IdentityRequired)?;
        let tls = connection.tls.as_ref().ok_or(Refusal::IdentityRequired)?;
        let (identity, token) = match (self.certificate(tls)?, self.token(&head.headers)?) {
            (Some(certificate), None) => (Arc::clone(&certificate.identity), None),
            // A token doesn't match a certificate without an identity.
            (None, Some(token)) if token.certificate_sha256.is_none() && tls.chain.is_empty() => {
                (Arc::clone(&token.identity), Some(token))
            }
            (Some(certificate), Some(token)) if match_each_other(certificate, &token) => {
                (Arc::clone(&token.identity), Some(token))
            }
            (_, Some(_)) => return Err(Refusal::IdentitiesDisagree),
            (None, None) => return Err(Refusal::IdentityRequired),
        };
        let call_id = head.extensions.get::<CallFacts>().map(|facts| Arc::clone(facts.id())).unwrap_or_default();
        Ok((Caller { identity, peer: Some(connection.peer), call_id }, token))
    }

    fn certificate<'a>(&self, tls: &'a TlsFacts) -> Result<Option<&'a ClientCertificate>, Refusal> {
        let Some(certificate) = tls.certificate.as_deref() else { return Ok(None) };
        if certificate.has_expired(self.clock.now()) {
            return Err(Refusal::CertificateExpired);
        }
        self.check_still_trusted(tls, &certificate.identity)?;
        Ok(Some(certificate))
    }

    fn token(&self, headers: &HeaderMap) -> Result<Option<Arc<Proven>>, Refusal> {
        let Some(token) = bearer(headers)? else { return Ok(None) };
        let issuers = Arc::clone(&self.issuers.borrow());
        issuers.verify(token, self.clock.now()).map(Some).map_err(Refusal::TokenRefused)
    }

    /// Verifies the certificate again if the trust has changed since the handshake. Such a connection was asked to close, but the client
    /// may not have reacted yet. Callers that are still trusted are served until then, all others are refused.
    fn check_still_trusted(&self, tls: &TlsFacts, identity: &Identity) -> Result<(), Refusal> {
        let trust = Arc::clone(&self.tls_context.borrow().trust);
        if Arc::ptr_eq(&trust, &tls.trust) {
            return Ok(());
        }
        trust.verify(&tls.chain, identity, self.clock.now()).map_err(|error| {
            tracing::debug!(%error, "client certificate refused: it is no longer trusted");
            Refusal::CertificateNotTrusted
        })
    }
}

impl Gate for IdentityRequired {
    fn admit(&self, head: &mut Parts) -> Result<(), Refusal> {
        remove_forwarded_identity(&mut head.headers);
        if is_health(head.uri.path()) {
            return Ok(());
        }
        if !self.clock.now().is_plausible_now() {
            return Err(Refusal::ClockOutOfRange);
        }
        let (caller, token) = self.caller(head)?;
        // No layer below needs it, so no layer can disclose it.
        head.headers.remove(AUTHORIZATION);
        if let Some(facts) = head.extensions.get::<CallFacts>() {
            facts.identified(&caller.identity);
        }
        head.extensions.insert(caller);
        if let Some(token) = token {
            // WhoAmI returns the token. The certificate is in the connection's facts.
            head.extensions.insert(token);
        }
        Ok(())
    }

    /// For a token with an unknown key, waits until the issuer's keys are fetched.
    fn wait(&self, head: &Parts, refusal: &Refusal) -> Option<Wait> {
        let Refusal::TokenRefused(problem) = refusal else { return None };
        let tls = head.extensions.get::<Connection>()?.tls.as_ref()?;
        let issuers = Arc::clone(&self.issuers.borrow());
        issuers.wait(bearer(&head.headers).ok()??, *problem, tls.certificate.is_some())
    }
}

/// The bearer token of a call, if it has one (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (first, second) = (given.next(), given.next());
    let Some(first) = first else { return Ok(None) };
    let token = first.to_str().ok().filter(|_| second.is_none()).and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    token.map(Some).ok_or(Refusal::TokenRefused(TokenProblem::Malformed))
}

fn match_each_other(certificate: &ClientCertificate, token: &Proven) -> bool {
    match (&token.certificate_sha256, &*certificate.identity) {
        (Some(bound_to), _) => *bound_to == certificate.sha256,
        (None, Identity::Spiffe(id)) => token.subject == id.to_string(),
        (None, Identity::Dns(_) | Identity::CommonName(_) | Identity::Jwt { .. }) => false,
    }
}

fn remove_forwarded_identity(headers: &mut HeaderMap) {
    // The first characters exclude most headers.
    let may_be_forged = |name: &HeaderName| matches!(name.as_str().as_bytes(), [b'c' | b'f' | b's' | b'x', ..]);
    let is_forged = |name: &&HeaderName| {
        may_be_forged(name) && FORWARDED_IDENTITY.iter().any(|prefix| name.as_str().starts_with(prefix))
    };
    let forged: Vec<HeaderName> = headers.keys().filter(is_forged).cloned().collect();
    for name in forged {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_headers_of_proxies_are_removed_and_others_kept() {
        let names =
            ["forwarded", "x-forwarded-client-cert", "x-forwarded-for", "ssl-client-verify", "client-cert-chain"];
        let kept = ["grpc-timeout", "authorization", "te", "x-request-id"];
        let mut headers: HeaderMap =
            names.iter().chain(&kept).map(|name| (HeaderName::from_static(name), "x".parse().unwrap())).collect();
        remove_forwarded_identity(&mut headers);
        assert_eq!(headers.len(), kept.len());
        assert!(kept.iter().all(|name| headers.contains_key(*name)));
    }
}
