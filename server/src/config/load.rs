//! From the file to a [`Config`]: parses the TOML, removes unknown keys, and checks the rest.
//!
//! The parser refuses invalid TOML, with line and column. Unknown settings, values of the wrong type and invalid values are reported
//! together. Files that the configuration names are checked by the code that reads them, and by [`crate::check`].

use std::{
    env,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::de::DeTable;

use super::{
    check,
    faults::Faults,
    file::ConfigFile,
    model::{Config, Source},
    unknown_keys,
};
use crate::files::trusted_file::{self, TrustedFileError};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is missing or unreadable, or other users can change it.
    #[error("can't read the configuration {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: TrustedFileError,
    },
    /// The file isn't TOML.
    #[error("invalid TOML in the configuration {path}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The problem, and its line and column.
        source: Box<toml::de::Error>,
    },
    /// Settings are unknown, missing or invalid.
    #[error("{path} has {count}:{faults}", count = count(faults.0.len()))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// All faults.
        faults: Faults,
    },
}

impl Config {
    /// Reads and checks a configuration file. Relative paths in it are resolved against its folder, `"credential:NAME"` against
    /// `$CREDENTIALS_DIRECTORY`.
    ///
    /// # Errors
    /// [`ConfigError`]
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(&read(path)?, path)
    }

    /// Reads the data folder from a configuration file, for commands that use nothing else of it. Other settings may have faults, such as
    /// credentials that systemd gives only to the server.
    ///
    /// # Errors
    /// [`ConfigError`]
    pub fn load_data_dir(path: &Path) -> Result<PathBuf, ConfigError> {
        let (config, Faults(faults)) = Self::parse_beside(&read(path)?, path, credentials_folder().as_deref())?;
        let faults: Vec<_> = faults.into_iter().filter(|fault| fault.setting == "data_dir").collect();
        if faults.is_empty() {
            Ok(config.data_dir)
        } else {
            Err(ConfigError::Invalid { path: path.to_owned(), faults: Faults(faults) })
        }
    }

    /// Checks the text of a configuration file. Errors name `path`, and relative paths are resolved against its folder.
    ///
    /// # Errors
    /// [`ConfigError::Malformed`], [`ConfigError::Invalid`]
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        match Self::parse_beside(text, path, credentials_folder().as_deref())? {
            (config, Faults(faults)) if faults.is_empty() => Ok(config),
            (_, faults) => Err(ConfigError::Invalid { path: path.to_owned(), faults }),
        }
    }

    /// Reads a configuration file, and returns its faults together with the rest. A setting with a fault has its default, or an empty path.
    /// The caller has to check whether other users can change the file.
    ///
    /// # Errors
    /// [`ConfigError::Unreadable`], [`ConfigError::Malformed`]
    pub(crate) fn load_with_faults(path: &Path) -> Result<(Self, Faults), ConfigError> {
        let text = trusted_file::look_at_text(path, trusted_file::Kind::Configuration)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::parse_beside(&text, path, credentials_folder().as_deref())
    }

    pub(super) fn parse_beside(
        text: &str,
        path: &Path,
        credentials: Option<&Path>,
    ) -> Result<(Self, Faults), ConfigError> {
        let malformed = |source| ConfigError::Malformed { path: path.to_owned(), source: Box::new(source) };
        let mut faults = Faults::default();
        let mut table = DeTable::parse(text).map_err(malformed)?;
        unknown_keys::remove(text, table.get_mut(), &mut faults);
        let file = ConfigFile::deserialize(toml::de::Deserializer::from(table)).map_err(malformed)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let source = Source { path: path.to_owned(), text: text.to_owned() };
        Ok(check::check(file, source, folder, credentials, faults))
    }
}

/// The folder where systemd puts the credentials of a unit, if it runs this process.
fn credentials_folder() -> Option<PathBuf> {
    env::var_os("CREDENTIALS_DIRECTORY").filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

fn read(path: &Path) -> Result<String, ConfigError> {
    trusted_file::read_text(path, trusted_file::Kind::Configuration)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })
}

fn count(faults: usize) -> String {
    if faults == 1 { "one invalid setting".to_owned() } else { format!("{faults} invalid settings") }
}
