//! Who calls: an identity is a kind, an issuer and a name, and identities of different kinds never meet in one namespace.
//!
//! Nothing here knows how an identity was proven; the server's transport does that and hands over the result.

use std::{fmt, net::SocketAddr, str::FromStr};

/// A proven caller, as bindings name it: `spiffe:…`, `dns:…` or `cn:…` from a client certificate, `jwt:<issuer>#<subject>` from a
/// bearer token.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identity {
    /// The SPIFFE id of a certificate's URI name, without its `spiffe://`.
    Spiffe(String),
    /// The first DNS name of a certificate.
    Dns(String),
    /// The common name of a certificate that has neither.
    CommonName(String),
    /// A bearer token's issuer and subject.
    Jwt {
        /// The token's `iss`.
        issuer: String,
        /// The token's `sub`.
        subject: String,
    },
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Identity::Spiffe(name) => write!(f, "spiffe:{name}"),
            Identity::Dns(name) => write!(f, "dns:{name}"),
            Identity::CommonName(name) => write!(f, "cn:{name}"),
            Identity::Jwt { issuer, subject } => write!(f, "jwt:{issuer}#{subject}"),
        }
    }
}

/// A text that is no identity.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no identity: write spiffe:…, dns:…, cn:… or jwt:<issuer>#<subject>")]
pub struct IdentityFormatError(String);

impl FromStr for Identity {
    type Err = IdentityFormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || IdentityFormatError(text.to_owned());
        let (kind, name) = text.split_once(':').filter(|(_, name)| !name.is_empty()).ok_or_else(refused)?;
        match kind {
            "spiffe" => Ok(Identity::Spiffe(name.to_owned())),
            "dns" => Ok(Identity::Dns(name.to_owned())),
            "cn" => Ok(Identity::CommonName(name.to_owned())),
            "jwt" => match name.rsplit_once('#') {
                Some((issuer, subject)) if !issuer.is_empty() && !subject.is_empty() => {
                    Ok(Identity::Jwt { issuer: issuer.to_owned(), subject: subject.to_owned() })
                }
                Some(_) | None => Err(refused()),
            },
            _ => Err(refused()),
        }
    }
}

/// One call's circumstances, as the audit trail records them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub identity: Identity,
    /// From where, where the transport knows it.
    pub peer: Option<SocketAddr>,
    /// The id of this call, which its answer and the log carry too.
    pub call_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_back_as_it_is_written() {
        for text in ["spiffe:example.org/ns/mail", "dns:reader.internal", "cn:fieldseal admin", "jwt:https://idp/#ada"]
        {
            assert_eq!(text.parse::<Identity>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_names_no_kind_or_nobody_is_refused() {
        for text in ["", "ada", "cn:", "mail:ada", "jwt:https://idp", "jwt:#ada", "jwt:idp#"] {
            assert!(text.parse::<Identity>().is_err(), "{text}");
        }
    }
}
