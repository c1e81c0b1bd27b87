//! Bearer tokens: what a call carries beside, or instead of, the certificate of its connection.

use std::{fs, path::PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use tonic::metadata::{Ascii, MetadataValue};
use zeroize::Zeroizing;

use crate::builder::SetupError;

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
        let token = match self {
            Bearer::Token(token) => Zeroizing::new(token.expose_secret().to_owned()),
            Bearer::File(path) => {
                Zeroizing::new(fs::read_to_string(path).map_err(|source| SetupError::FileUnreadable {
                    what: "token file",
                    path: path.clone(),
                    source,
                })?)
            }
        };
        let header = Zeroizing::new(format!("Bearer {}", token.trim()));
        let mut header = MetadataValue::try_from(header.as_str()).map_err(|_| SetupError::TokenMalformed)?;
        header.set_sensitive(true);
        Ok(header)
    }
}
