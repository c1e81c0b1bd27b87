//! SPIFFE ids: a workload in a trust domain.
//!
//! The format is that of the standard [SPIFFE-ID], section 2: `spiffe://<trust domain>/<path>`. The trust domain
//! consists of lower-case letters, digits, dots, hyphens and underscores. The segments of the path consist of letters,
//! digits, dots, hyphens and underscores; no segment is empty, `.` or `..`. Port, user, query, fragment and
//! percent-encoding are not allowed, so each workload has exactly one spelling.
//!
//! [SPIFFE-ID]: https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md

use std::{fmt, str::FromStr};

const SCHEME: &str = "spiffe://";

/// The maximum length of an id, including the scheme.
const LENGTH_MAX_BYTES: usize = 2_048;

/// The maximum length of a trust domain's name.
const TRUST_DOMAIN_MAX_BYTES: usize = 255;

/// The id of a workload, which has a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    /// The id without its scheme.
    text: String,
}

/// Why a text isn't the id of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpiffeIdError {
    /// The scheme is wrong.
    #[error("a SPIFFE id must begin with spiffe://")]
    Scheme,
    /// It is longer than 2048 bytes.
    #[error("a SPIFFE id must not be longer than 2048 bytes")]
    TooLong,
    /// The trust domain is invalid.
    #[error("a trust domain must be 1 to 255 lower-case letters, digits, dots, hyphens and underscores")]
    TrustDomain,
    /// The path is missing. The id is that of a trust domain, which makes no calls.
    #[error("a workload's SPIFFE id must have a path after the trust domain")]
    NoPath,
    /// The path is invalid.
    #[error(
        "each path segment of a SPIFFE id must be letters, digits, dots, hyphens and underscores, but not `.` or `..`"
    )]
    Path,
}

impl SpiffeId {
    /// Returns the name of its trust domain, whose keys can sign its certificates.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        self.text.split('/').next().unwrap_or_default()
    }

    /// Returns the id without `spiffe://`, as bindings write it after `spiffe:`.
    #[must_use]
    pub fn without_scheme(&self) -> &str {
        &self.text
    }
}

/// Returns whether a text is a valid name of a trust domain.
#[must_use]
pub fn is_trust_domain(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_');
    (1..=TRUST_DOMAIN_MAX_BYTES).contains(&name.len()) && name.bytes().all(allowed)
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > LENGTH_MAX_BYTES {
            return Err(SpiffeIdError::TooLong);
        }
        let rest = text.strip_prefix(SCHEME).ok_or(SpiffeIdError::Scheme)?;
        let (domain, path) = rest.split_once('/').map_or((rest, None), |(domain, path)| (domain, Some(path)));
        if !is_trust_domain(domain) {
            return Err(SpiffeIdError::TrustDomain);
        }
        let path = path.ok_or(SpiffeIdError::NoPath)?;
        if path.split('/').all(is_segment) { Ok(SpiffeId { text: rest.to_owned() }) } else { Err(SpiffeIdError::Path) }
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.text)
    }
}

fn is_segment(segment: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spiffe_id_has_a_trust_domain_and_parses_from_its_text() {
        for (text, domain) in [
            ("spiffe://example.org/ns/mail", "example.org"),
            ("spiffe://a-b_c.1/Sales.EU_1-x", "a-b_c.1"),
            ("spiffe://d/...", "d"),
        ] {
            let id: SpiffeId = text.parse().unwrap();
            assert_eq!((id.to_string().as_str(), id.trust_domain()), (text, domain));
        }
        assert!(format!("spiffe://{}/x", "d".repeat(255)).parse::<SpiffeId>().is_ok());
        let longest = format!("spiffe://d/{}", "x".repeat(2_048 - 11));
        assert!(longest.parse::<SpiffeId>().is_ok());
        assert_eq!((longest + "x").parse::<SpiffeId>(), Err(SpiffeIdError::TooLong));
    }

    #[test]
    fn spiffe_id_in_another_spelling_is_refused() {
        use SpiffeIdError::{NoPath, Path, Scheme, TrustDomain};
        let cases = [
            ("", Scheme),
            ("SPIFFE://example.org/a", Scheme),
            ("https://example.org/a", Scheme),
            ("spiffe:example.org/a", Scheme),
            ("spiffe:///a", TrustDomain),
            ("spiffe://Example.org/a", TrustDomain),
            ("spiffe://example.org:8443/a", TrustDomain),
            ("spiffe://user@example.org/a", TrustDomain),
            ("spiffe://ex%61mple.org/a", TrustDomain),
            ("spiffe://example.org?x/a", TrustDomain),
            ("spiffe://example.org", NoPath),
            ("spiffe://example.org/", Path),
            ("spiffe://example.org/a/", Path),
            ("spiffe://example.org//a", Path),
            ("spiffe://example.org/a/./b", Path),
            ("spiffe://example.org/a/../b", Path),
            ("spiffe://example.org/a%2fb", Path),
            ("spiffe://example.org/a#b", Path),
            ("spiffe://example.org/a?b", Path),
            ("spiffe://example.org/ä", Path),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<SpiffeId>(), Err(error), "{text}");
        }
        assert_eq!(format!("spiffe://{}/x", "d".repeat(256)).parse::<SpiffeId>(), Err(TrustDomain));
    }
}
