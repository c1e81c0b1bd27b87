//! Bearer tokens: what a call carries beside, or instead of, the certificate of its connection.

use std::{fs, path::PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use tonic::metadata::{Ascii, MetadataValue};
use zeroize::Zeroizing;

use crate::error::SetupError;

/// A token, or where to find it.
pub(crate) enum Bearer {
    /// The token.
    Token(SecretString),
    /// A file with the token, read for each call: whoever put it there exchanges it before it ends.
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
        let token = token_of(&token).map_err(|problem| SetupError::TokenUnusable { origin, problem })?;
        let header = Zeroizing::new(format!("Bearer {token}"));
        let mut header = MetadataValue::try_from(header.as_str()).expect("a token's characters make a header");
        header.set_sensitive(true);
        Ok(header)
    }
}

/// The token alone, or what is wrong with what is there: a server would only say that it isn't a token.
fn token_of(bytes: &[u8]) -> Result<&str, &'static str> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err("begins with a byte order mark: save it as UTF-8 without one");
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err("is UTF-16: save it as UTF-8 without a byte order mark");
    }
    let token = std::str::from_utf8(bytes).map_err(|_| "isn't text: a token is letters, digits and -._~+/=")?.trim();
    let is_prefixed = token.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("bearer "));
    // The characters of RFC 6750, section 2.1.
    let is_of_token = |character: char| character.is_ascii_alphanumeric() || "-._~+/=".contains(character);
    match token {
        "" => Err("is empty: it has to be the token"),
        _ if is_prefixed => Err("begins with \"Bearer \": leave only the token in it"),
        _ if token.starts_with('{') => Err("is JSON: leave only the token in it, such as the value of access_token"),
        _ if token.chars().any(char::is_whitespace) => Err("has more than one word: leave only the token in it"),
        _ if !token.chars().all(is_of_token) => {
            Err("has a character that no token has: a token is letters, digits and -._~+/=")
        }
        token => Ok(token),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_without_blanks_around_it() {
        assert_eq!(token_of(b" a.b-c_d~e+f/g=\r\n"), Ok("a.b-c_d~e+f/g="));
    }

    #[test]
    fn what_is_wrong_with_a_token_is_named_and_the_token_is_not_repeated() {
        for (given, problem) in [
            (&b""[..], "is empty"),
            (b" \n", "is empty"),
            (b"Bearer canary", "begins with \"Bearer \""),
            (b"bearer canary", "begins with \"Bearer \""),
            (b"\xef\xbb\xbfcanary", "byte order mark"),
            (b"\xff\xfec\0", "UTF-16"),
            (b"canary\xff", "isn't text"),
            (b"{\"access_token\": \"canary\"}", "JSON"),
            (b"canary canary", "more than one word"),
            ("can\u{e4}ry".as_bytes(), "no token has"),
            (b"can\x1bary", "no token has"),
        ] {
            let found = token_of(given).unwrap_err();
            assert!(found.contains(problem) && !found.contains("canary"), "{given:?}: {found}");
        }
    }

    #[test]
    fn a_token_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "Bearer canary").unwrap();
        let error = Bearer::File(path.clone()).header().unwrap_err().to_string();
        assert_eq!(
            error,
            format!("the token file {} begins with \"Bearer \": leave only the token in it", path.display())
        );
        let error = Bearer::Token("".into()).header().unwrap_err().to_string();
        assert_eq!(error, "the bearer token is empty: it has to be the token");
    }
}
