//! Identifies the caller of each call, by its certificate or its bearer token. Handlers and the audit trail use the resulting [`Caller`].
//!
//! The certificate is that of the call's connection or, on a connection of a hop, the one that the hop names for this call: a hop is never a
//! caller itself. A call with a certificate and a token is accepted only if they match: the token is bound to that certificate (RFC 8705),
//! or its subject is the SPIFFE id in it. Then the token's identity is used. A bound token is refused without its certificate.
//!
//! Permissions are checked later.

use std::sync::Arc;

use http::{HeaderMap, header::AUTHORIZATION, request::Parts};
use sealward_core::{
    identity::{Caller, Identity},
    port::Clock,
};
use tokio::sync::watch;

use super::{
    forwarded::{self, ForgedHeaders},
    gate::{Gate, Wait},
    probe::is_health,
};
use crate::{
    call::CallFacts,
    config::Hop,
    hop::asserted::{self, Asserted, HopProblem, XFCC},
    identity::{
        ClientCertificate,
        token::{Issuers, Proven, TokenProblem},
    },
    status::Refusal,
    transport::{
        connection::{Connection, ConnectionFacts, TlsFacts},
        tls::TlsContext,
    },
};

/// The gate.
#[derive(Clone)]
pub(crate) struct IdentityRequired {
    clock: Arc<dyn Clock>,
    tls_context: watch::Receiver<Arc<TlsContext>>,
    issuers: watch::Receiver<Arc<Issuers>>,
    forged: ForgedHeaders,
}

/// The caller of a call, with its proofs.
struct Identified {
    caller: Caller,
    token: Option<Arc<Proven>>,
    /// The certificate that a hop named.
    asserted: Option<Asserted>,
}

/// The certificate that a caller presented, to this server or to a hop.
#[derive(Default)]
struct Presented<'a> {
    /// Its identity, if it is verified and has one.
    identity: Option<&'a Arc<Identity>>,
    /// Its SHA-256 hash, if it is verified.
    sha256: Option<&'a [u8; 32]>,
    /// Whether there is one, verified or not.
    exists: bool,
}

impl IdentityRequired {
    /// The clock detects certificates that have expired since the handshake. The watch channels have the current trust and the current
    /// issuers.
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        tls_context: watch::Receiver<Arc<TlsContext>>,
        issuers: watch::Receiver<Arc<Issuers>>,
        forged: ForgedHeaders,
    ) -> Self {
        Self { clock, tls_context, issuers, forged }
    }

    fn identify(&self, head: &Parts) -> Result<Identified, Refusal> {
        let connection = head.extensions.get::<Connection>().ok_or(Refusal::IdentityRequired)?;
        // A hop's own certificate must be valid, too.
        let own = connection.tls.as_ref().map(|tls| self.certificate(tls)).transpose()?.flatten();
        let asserted = match &connection.hop {
            Some(hop) => self.asserted(hop, &head.headers)?,
            None => None,
        };
        let presented = match (&connection.hop, &asserted) {
            (None, _) => Presented::on(connection, own),
            (Some(_), Some(asserted)) => Presented::to_hop(asserted),
            (Some(_), None) => Presented::default(),
        };
        let token = self.token(&head.headers)?;
        let identity = match (presented.identity, &token) {
            (Some(identity), None) => Arc::clone(identity),
            // A token doesn't match a certificate without an identity.
            (None, Some(token)) if token.certificate_sha256.is_none() && !presented.exists => {
                Arc::clone(&token.identity)
            }
            (_, Some(token)) if presented.matches(token) => Arc::clone(&token.identity),
            (_, Some(_)) => return Err(Refusal::IdentitiesDisagree),
            (None, None) if connection.hop.is_some() => return Err(Refusal::HopRefused(HopProblem::NoCaller)),
            (None, None) => return Err(without_identity(connection)),
        };
        if let Some(hop) = &connection.hop {
            asserted::permit(hop, &identity).map_err(Refusal::HopRefused)?;
        }
        let call_id = head.extensions.get::<CallFacts>().map(|facts| Arc::clone(facts.id())).unwrap_or_default();
        let hop = connection.hop.as_ref().map(|hop| Arc::clone(&hop.name));
        let caller = Caller { identity, peer: connection.peer.address(), hop, call_id };
        Ok(Identified { caller, token, asserted })
    }

    fn certificate<'a>(&self, tls: &'a TlsFacts) -> Result<Option<&'a ClientCertificate>, Refusal> {
        let Some(certificate) = tls.certificate.as_deref() else { return Ok(None) };
        if certificate.has_expired(self.clock.now()) {
            return Err(Refusal::CertificateExpired);
        }
        self.check_still_trusted(tls, &certificate.identity)?;
        Ok(Some(certificate))
    }

    /// The certificate that a hop names, verified with the current trust.
    fn asserted(&self, hop: &Hop, headers: &HeaderMap) -> Result<Option<Asserted>, Refusal> {
        let trust = Arc::clone(&self.tls_context.borrow().trust);
        Asserted::read(headers, hop, &trust, self.clock.now()).map_err(Refusal::HopRefused)
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
        let connection = head.extensions.get::<Connection>();
        let is_of_a_hop = connection.is_some_and(|connection| connection.hop.is_some());
        if !is_of_a_hop && let Some(beginning) = forwarded::remove(&mut head.headers) {
            self.forged.report(connection, beginning);
        }
        if is_health(head.uri.path()) {
            forwarded::remove(&mut head.headers);
            return Ok(());
        }
        if !self.clock.now().is_plausible_now() {
            return Err(Refusal::ClockOutOfRange);
        }
        let Identified { caller, token, asserted } = self.identify(head)?;
        // No layer below needs them, so no layer can disclose or believe them.
        head.headers.remove(AUTHORIZATION);
        if is_of_a_hop {
            forwarded::remove(&mut head.headers);
        }
        if let Some(facts) = head.extensions.get::<CallFacts>() {
            facts.identified(&caller.identity);
        }
        head.extensions.insert(caller);
        // WhoAmI returns the token and the certificate. The certificate of a direct caller is in the connection's facts.
        if let Some(token) = token {
            head.extensions.insert(token);
        }
        if let Some(asserted) = asserted {
            head.extensions.insert(asserted);
        }
        Ok(())
    }

    /// For a token with an unknown key, waits until the issuer's keys are fetched.
    fn wait(&self, head: &Parts, refusal: &Refusal) -> Option<Wait> {
        let Refusal::TokenRefused(problem) = refusal else { return None };
        let connection = head.extensions.get::<Connection>()?;
        let has_certificate = match &connection.hop {
            // The token is verified after the header.
            Some(_) => head.headers.contains_key(XFCC),
            None => connection.tls.as_ref()?.certificate.is_some(),
        };
        let issuers = Arc::clone(&self.issuers.borrow());
        issuers.wait(bearer(&head.headers).ok()??, *problem, has_certificate)
    }
}

/// Explains why a caller with or without a certificate has no identity.
fn without_identity(connection: &ConnectionFacts) -> Refusal {
    let Some(der) = connection.tls.as_ref().and_then(|tls| tls.chain.first()) else { return Refusal::IdentityRequired };
    let problem = match ClientCertificate::from_der(der) {
        Err(error) => error.to_string(),
        Ok(_) => "the CA of the client certificate has expired, or may not sign for its name".to_owned(),
    };
    Refusal::CertificateWithoutIdentity(problem)
}

impl<'a> Presented<'a> {
    /// The certificate of this connection, which is the caller's.
    fn on(connection: &ConnectionFacts, own: Option<&'a ClientCertificate>) -> Self {
        let exists = connection.tls.as_ref().is_some_and(|tls| !tls.chain.is_empty());
        Self { identity: own.map(|own| &own.identity), sha256: own.map(|own| &own.sha256), exists }
    }

    /// The certificate that a hop names.
    fn to_hop(asserted: &'a Asserted) -> Self {
        Self { identity: asserted.identity.as_ref(), sha256: asserted.sha256.as_ref(), exists: true }
    }

    /// Whether a token belongs to it.
    fn matches(&self, token: &Proven) -> bool {
        match (&token.certificate_sha256, self.identity.map(|identity| &**identity)) {
            (Some(bound_to), _) => self.sha256 == Some(bound_to),
            (None, Some(Identity::Spiffe(id))) => token.subject == id.to_string(),
            (None, Some(Identity::Dns(_) | Identity::CommonName(_) | Identity::Jwt { .. }) | None) => false,
        }
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
