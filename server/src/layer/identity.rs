//! Who calls: from the client certificate of the call's own connection, into a [`Caller`] that handlers and the audit trail use.
//!
//! What an identity may do is decided after this.

use std::sync::Arc;

use fieldseal_core::{identity::Caller, port::Clock};
use http::{HeaderMap, HeaderName, request::Parts};
use tokio::sync::watch;

use super::{gate::Gate, is_health, trace::CallId};
use crate::{
    listener::{Connection, TlsFacts},
    status::Refusal,
    tls::Terms,
};

/// Headers by which proxies tell what they know of a caller. No proxy is trusted, so nobody below may read one.
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
    terms: watch::Receiver<Arc<Terms>>,
}

impl IdentityRequired {
    /// The clock tells whether a certificate has expired since the handshake, the watch whether it is believed at all now.
    pub(crate) fn new(clock: Arc<dyn Clock>, terms: watch::Receiver<Arc<Terms>>) -> Self {
        Self { clock, terms }
    }

    fn caller(&self, head: &Parts) -> Result<Caller, Refusal> {
        let connection = head.extensions.get::<Connection>().ok_or(Refusal::IdentityRequired)?;
        let tls = connection.tls.as_ref().ok_or(Refusal::IdentityRequired)?;
        let certificate = tls.certificate.as_ref().ok_or(Refusal::IdentityRequired)?;
        if certificate.has_expired(self.clock.now()) {
            return Err(Refusal::CertificateExpired);
        }
        self.still_believed(tls)?;
        let call_id = head.extensions.get::<CallId>().map(|id| id.as_str().to_owned()).unwrap_or_default();
        Ok(Caller { identity: certificate.identity.clone(), peer: Some(connection.peer), call_id })
    }

    /// A connection older than the trust that counts now was told to leave, and may not have heard it yet. Whoever would be let in
    /// again is served meanwhile, all others are refused from the first call on.
    fn still_believed(&self, tls: &TlsFacts) -> Result<(), Refusal> {
        let trust = Arc::clone(&self.terms.borrow().trust);
        if Arc::ptr_eq(&trust, &tls.trust) {
            return Ok(());
        }
        trust.verify(&tls.chain, self.clock.now()).map_err(|error| {
            tracing::debug!(%error, "a certificate that was believed is refused");
            Refusal::CertificateNotBelieved
        })
    }
}

impl Gate for IdentityRequired {
    fn admit(&self, head: &mut Parts) -> Result<(), Refusal> {
        remove_forwarded_identity(&mut head.headers);
        if is_health(head.uri.path()) {
            return Ok(());
        }
        let caller = self.caller(head)?;
        tracing::Span::current().record("identity", tracing::field::display(&caller.identity));
        head.extensions.insert(caller);
        Ok(())
    }
}

fn remove_forwarded_identity(headers: &mut HeaderMap) {
    let forged: Vec<HeaderName> = headers
        .keys()
        .filter(|name| FORWARDED_IDENTITY.iter().any(|prefix| name.as_str().starts_with(prefix)))
        .cloned()
        .collect();
    for name in forged {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proxies_say_is_removed_and_the_rest_stays() {
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
