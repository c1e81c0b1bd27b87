//! An origin: scheme, host and port of a page, as browsers write it in the header `Origin` (RFC 6454, section 6.2).

use std::{fmt, str::FromStr};

use http::Uri;

/// An origin of pages. It is compared byte by byte with the origin that a browser sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

/// Why a text is not an origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an origin as browsers send it: {expected}")]
pub struct NotAnOrigin {
    text: String,
    expected: String,
}

impl FromStr for Origin {
    type Err = NotAnOrigin;

    fn from_str(text: &str) -> Result<Self, NotAnOrigin> {
        match canonical(text) {
            Some(origin) if origin == text => Ok(Self(origin)),
            Some(origin) => Err(NotAnOrigin { text: text.to_owned(), expected: format!("write {origin}") }),
            None => {
                let expected = "write https://HOST or https://HOST:PORT".to_owned();
                Err(NotAnOrigin { text: text.to_owned(), expected })
            }
        }
    }
}

/// The origin of an address: in lower case, without path and default port.
fn canonical(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let scheme = uri.scheme_str().map(str::to_ascii_lowercase)?;
    let default_port = match scheme.as_str() {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    let authority = uri.authority()?;
    let host = authority.host().to_ascii_lowercase();
    if host.is_empty() || host.contains('*') || authority.as_str().contains('@') {
        return None;
    }
    let has_port = authority.as_str().len() > authority.host().len();
    match authority.port_u16() {
        Some(port) if port != default_port => Some(format!("{scheme}://{host}:{port}")),
        None if has_port => None,
        Some(_) | None => Some(format!("{scheme}://{host}")),
    }
}

impl PartialEq<str> for Origin {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_is_written_as_browsers_write_it() {
        for text in
            ["https://keys.example.org", "https://keys.example.org:8443", "http://localhost:3000", "https://[::1]:7443"]
        {
            assert_eq!(text.parse::<Origin>().unwrap(), *text);
        }
        for (text, expected) in [
            ("https://keys.example.org/", "write https://keys.example.org"),
            ("https://keys.example.org/console", "write https://keys.example.org"),
            ("https://keys.example.org:443", "write https://keys.example.org"),
            ("HTTPS://Keys.Example.org", "write https://keys.example.org"),
            ("keys.example.org", "write https://HOST"),
            ("null", "write https://HOST"),
            ("*", "write https://HOST"),
            ("", "write https://HOST"),
            ("https://*.example.org", "write https://HOST"),
            ("https://ada@keys.example.org", "write https://HOST"),
            ("https://keys.example.org:99999", "write https://HOST"),
            ("file:///srv/console.html", "write https://HOST"),
        ] {
            let error = text.parse::<Origin>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
