//! Identities of callers. An identity consists of a kind, an issuer and a name. Each kind has its own namespace.
//!
//! This file doesn't know how an identity is verified. The server's transport verifies it and passes the result.

pub mod spiffe;

use std::{fmt, net::SocketAddr, str::FromStr, sync::Arc};

use self::spiffe::{SpiffeId, SpiffeIdError};
use crate::text::{HiddenProperty, hidden_properties};

/// A verified identity, as written in bindings: `spiffe:…`, `dns:…` or `cn:…` from a client certificate,
/// `jwt:<issuer>#<subject>` from a bearer token.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identity {
    /// The SPIFFE id of a certificate's URI name.
    Spiffe(SpiffeId),
    /// The first DNS name of a certificate.
    Dns(String),
    /// The common name of a certificate that has no URI or DNS name.
    CommonName(String),
    /// A bearer token's issuer and subject.
    Jwt {
        /// The token's `iss`. It contains no `#`, which separates the two parts.
        issuer: String,
        /// The token's `sub`.
        subject: String,
    },
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = match self {
            Identity::Spiffe(id) => ["spiffe:", id.without_scheme(), "", ""],
            Identity::Dns(name) => ["dns:", name, "", ""],
            Identity::CommonName(name) => ["cn:", name, "", ""],
            Identity::Jwt { issuer, subject } => ["jwt:", issuer, "#", subject],
        };
        // Each call writes it.
        parts.into_iter().try_for_each(|part| f.write_str(part))
    }
}

impl Identity {
    /// Returns the invisible properties of its names, each once. A binding with any of them is probably a mistake that
    /// matches no caller.
    #[must_use]
    pub fn hidden_properties(&self) -> Vec<HiddenProperty> {
        match self {
            Identity::Spiffe(id) => hidden_properties(id.without_scheme()),
            Identity::Dns(name) | Identity::CommonName(name) => hidden_properties(name),
            Identity::Jwt { issuer, subject } => {
                let mut found = hidden_properties(issuer);
                found.extend(
                    hidden_properties(subject).into_iter().filter(|one| !hidden_properties(issuer).contains(one)),
                );
                found
            }
        }
    }
}

/// The text isn't an identity.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityFormatError {
    /// The kind or the name is missing.
    #[error("`{0}` is not an identity: write spiffe:…, dns:…, cn:… or jwt:<issuer>#<subject>")]
    Kind(String),
    /// The SPIFFE id is invalid.
    #[error("`{0}` is not an identity: {1}")]
    Spiffe(String, SpiffeIdError),
}

impl FromStr for Identity {
    type Err = IdentityFormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || IdentityFormatError::Kind(text.to_owned());
        let (kind, name) = text.split_once(':').filter(|(_, name)| !name.is_empty()).ok_or_else(refused)?;
        match kind {
            "spiffe" => {
                // The id may be written in full or without the slashes.
                let id = format!("spiffe://{}", name.strip_prefix("//").unwrap_or(name));
                id.parse().map(Identity::Spiffe).map_err(|error| IdentityFormatError::Spiffe(text.to_owned(), error))
            }
            "dns" => Ok(Identity::Dns(name.to_owned())),
            "cn" => Ok(Identity::CommonName(name.to_owned())),
            "jwt" => match name.split_once('#') {
                Some((issuer, subject)) if !issuer.is_empty() && !subject.is_empty() => {
                    Ok(Identity::Jwt { issuer: issuer.to_owned(), subject: subject.to_owned() })
                }
                Some(_) | None => Err(refused()),
            },
            _ => Err(refused()),
        }
    }
}

/// The origin of a call, as the audit trail records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The caller's identity.
    pub identity: Arc<Identity>,
    /// The caller's address, if the transport knows it.
    pub peer: Option<SocketAddr>,
    /// The name of the hop that asserted the identity; `None` if the caller proved it to this server.
    pub hop: Option<Arc<str>>,
    /// The id of the call. The response and the log contain it too.
    pub call_id: Arc<str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_identity_parses_from_its_text() {
        for text in [
            "spiffe:example.org/ns/mail",
            "dns:reader.internal",
            "cn:sealward admin",
            "jwt:https://idp/#ada",
            "jwt:https://idp/#ada#2",
        ] {
            assert_eq!(text.parse::<Identity>().unwrap().to_string(), text);
        }
        let as_in_a_certificate: Identity = "spiffe://example.org/ns/mail".parse().unwrap();
        assert_eq!(as_in_a_certificate.to_string(), "spiffe:example.org/ns/mail");
    }

    #[test]
    fn invisible_characters_in_a_name_are_found() {
        let found = |text: &str| text.parse::<Identity>().unwrap().hidden_properties();
        assert_eq!(found("cn:J\u{f6}rg"), []);
        assert_eq!(found("cn: J\u{f6}rg "), [HiddenProperty::BlankAtStart, HiddenProperty::BlankAtEnd]);
        assert_eq!(found("cn:Jo\u{308}rg"), [HiddenProperty::NotNfc]);
        assert_eq!(found("dns:mail\u{200b}.internal"), [HiddenProperty::Invisible('\u{200b}')]);
        assert_eq!(found("jwt:https://idp/ #ada "), [HiddenProperty::BlankAtEnd]);
        assert_eq!(found("spiffe:example.org/ns/mail"), []);
    }

    #[test]
    fn identity_without_kind_or_name_is_refused() {
        for text in [
            "",
            "ada",
            "cn:",
            "mail:ada",
            "jwt:https://idp",
            "jwt:#ada",
            "jwt:idp#",
            "spiffe:example.org",
            "spiffe:A/b",
        ] {
            assert!(text.parse::<Identity>().is_err(), "{text}");
        }
    }
}
