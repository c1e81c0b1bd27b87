//! The headers with the versions of client and server, for people who compare them. Neither decides anything.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::version::VERSION;

/// The version of this server, in every answer.
pub(crate) const SEALWARD_SERVER: HeaderName = HeaderName::from_static("sealward-server");

/// The language and version of a client: `python/0.1.0`.
const SEALWARD_CLIENT: HeaderName = HeaderName::from_static("sealward-client");

/// The maximum length of a client's version, in bytes. Versions of Sealward's clients are shorter.
const CLIENT_VERSION_MAX_BYTES: usize = 64;

/// The value of [`SEALWARD_SERVER`].
pub(crate) fn server_version() -> HeaderValue {
    HeaderValue::from_static(VERSION)
}

/// The version that a client sent, for the log. `None` if it is missing, repeated, too long, or has a character that no version has: the
/// text comes from outside.
pub(super) fn client_version(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(SEALWARD_CLIENT).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let text = value.to_str().ok()?;
    let is_version = |byte: u8| byte.is_ascii_alphanumeric() || b"/.-+_".contains(&byte);
    ((1..=CLIENT_VERSION_MAX_BYTES).contains(&text.len()) && text.bytes().all(is_version)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(SEALWARD_CLIENT, value.parse().unwrap());
        }
        client_version(&headers).map(str::to_owned)
    }

    #[test]
    fn only_well_formed_versions_are_logged() {
        for version in ["python/0.1.0", "rust/1.0.0-rc.1+build_7", &"x".repeat(64)] {
            assert_eq!(sent(&[version]).as_deref(), Some(version));
        }
        for other in ["", "a b", "a\"b", "a=b", "a%0ab", "a{b}", &"x".repeat(65)] {
            assert_eq!(sent(&[other]), None, "{other}");
        }
        assert_eq!(sent(&[]), None);
        assert_eq!(sent(&["a/1", "a/1"]), None);
    }
}
