//! Bearer tokens, which authenticate calls with or without a client certificate.

use std::{fs, path::PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use tonic::metadata::{Ascii, MetadataValue};
use zeroize::Zeroizing;

use crate::error::SetupError;

/// A token, or its file.
pub(crate) enum Bearer {
    /// The token.
    Token(SecretString),
    /// A file with the token. Read for each call, so that the token can be replaced before it expires.
    File(PathBuf),
}

impl Bearer {
    /// The value of the header `authorization`.
    pub(crate) fn header(&self) -> Result<MetadataValue<Ascii>, SetupError> {
        let (origin, token) = match self {
            Bearer::Token(token) => {
                ("bearer token".to_owned(), Zeroizing::new(token.expose_secret().as_bytes().to_vec()))
            }
            Bearer::File(path) => {
                let read = fs::read(path).map_err(|source| SetupError::FileUnreadable {
                    what: "token file",
                    path: path.clone(),
                    source,
                })?;
                (format!("token file {}", path.display()), Zeroizing::new(read))
            }
        };
        let token = parse_token(&token).map_err(|problem| SetupError::TokenUnusable { origin, problem })?;
        let header = Zeroizing::new(format!("Bearer {token}"));
        let mut header = MetadataValue::try_from(header.as_str()).expect("a token's characters are valid in a header");
        header.set_sensitive(true);
        Ok(header)
    }
}

/// Validates a token. The errors are more specific than the server's, which only reports an invalid token.
fn parse_token(bytes: &[u8]) -> Result<&str, &'static str> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err("begins with a byte order mark: save it as UTF-8 without one");
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err("is UTF-16: save it as UTF-8 without a byte order mark");
    }
    let token = std::str::from_utf8(bytes)
        .map_err(|_| "isn't valid UTF-8: a token has only letters, digits and -._~+/=")?
        .trim();
    let is_prefixed = token.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("bearer "));
    // The characters of RFC 6750, section 2.1.
    let is_of_token = |character: char| character.is_ascii_alphanumeric() || "-._~+/=".contains(character);
    match token {
        "" => Err("is empty"),
        _ if is_prefixed => Err("begins with \"Bearer \": use only the token"),
        _ if token.starts_with('{') => Err("is JSON: use only the token, such as the value of access_token"),
        _ if token.chars().any(char::is_whitespace) => Err("has more than one word: use only the token"),
        _ if !token.chars().all(is_of_token) => {
            Err("has an invalid character: a token has only letters, digits and -._~+/=")
        }
        token => Ok(token),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_read_without_surrounding_blanks() {
        assert_eq!(parse_token(b" a.b-c_d~e+f/g=\r\n"), Ok("a.b-c_d~e+f/g="));
    }

    #[test]
    fn fault_of_a_token_is_named_without_the_token() {
        for (given, problem) in [
            (&b""[..], "is empty"),
            (b" \n", "is empty"),
            (b"Bearer canary", "begins with \"Bearer \""),
            (b"bearer canary", "begins with \"Bearer \""),
            (b"\xef\xbb\xbfcanary", "byte order mark"),
            (b"\xff\xfec\0", "UTF-16"),
            (b"canary\xff", "isn't valid UTF-8"),
            (b"{\"access_token\": \"canary\"}", "JSON"),
            (b"canary canary", "more than one word"),
            ("can\u{e4}ry".as_bytes(), "invalid character"),
            (b"can\x1bary", "invalid character"),
        ] {
            let found = parse_token(given).unwrap_err();
            assert!(found.contains(problem) && !found.contains("canary"), "{given:?}: {found}");
        }
    }

    #[test]
    fn error_names_the_token_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "Bearer canary").unwrap();
        let error = Bearer::File(path.clone()).header().unwrap_err().to_string();
        assert_eq!(error, format!("the token file {} begins with \"Bearer \": use only the token", path.display()));
        let error = Bearer::Token("".into()).header().unwrap_err().to_string();
        assert_eq!(error, "the bearer token is empty");
    }
}
