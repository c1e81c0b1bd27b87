//! From the file to a [`Config`]: parses the TOML, removes unknown keys, adds the environment, and checks the result.
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
    environment::Environment,
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
    #[error("the configuration can't be used")]
    Unreadable {
        /// The file, which the source names.
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
    /// The command works on the files of databases, and the configuration has none.
    #[error(
        "the data of {path} is in PostgreSQL (storage.url), so there are no files to copy: use pg_dump or pg_basebackup, see \
         docs/postgresql.md"
    )]
    InPostgres {
        /// The file.
        path: PathBuf,
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
    /// Reads and checks a configuration file, with the settings in the environment of this process. Relative paths are resolved against the
    /// folder of the file, `"credential:NAME"` against `$CREDENTIALS_DIRECTORY`.
    ///
    /// # Errors
    /// [`ConfigError`]
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::load_in(path, Environment::of_process())
    }

    /// Like [`load`](Self::load), without settings from the environment: for a server whose options say everything.
    ///
    /// # Errors
    /// [`ConfigError`]
    pub(crate) fn load_alone(path: &Path) -> Result<Self, ConfigError> {
        Self::load_in(path, Environment::default())
    }

    /// Reads and checks the file of a configuration again, with the same environment.
    ///
    /// # Errors
    /// [`ConfigError`]
    pub(crate) fn load_again(source: Source) -> Result<Self, ConfigError> {
        Self::load_in(&source.path, source.environment)
    }

    fn load_in(path: &Path, environment: Environment) -> Result<Self, ConfigError> {
        let path = &absolute(path);
        Self::parse_in(&read(path)?, path, environment)
    }

    /// Reads the data folder from a configuration file, for commands that only use the databases in it. Other settings may have faults, such as
    /// credentials that systemd gives only to the server.
    ///
    /// # Errors
    /// [`ConfigError`]
    pub fn load_data_dir(path: &Path) -> Result<PathBuf, ConfigError> {
        let path = &absolute(path);
        let (text, credentials) = (read(path)?, credentials_folder());
        let parsed = Self::parse_beside(&text, path, credentials.as_deref(), Environment::of_process());
        let (config, Faults(faults)) = parsed?;
        let is_relevant = |setting: &str| setting == "data_dir" || setting == "storage.url";
        let faults: Vec<_> = faults.into_iter().filter(|fault| is_relevant(&fault.setting)).collect();
        if !faults.is_empty() {
            return Err(ConfigError::Invalid { path: path.to_owned(), faults: Faults(faults) });
        }
        match config.storage {
            None => Ok(config.data_dir),
            Some(_) => Err(ConfigError::InPostgres { path: path.to_owned() }),
        }
    }

    /// Checks the text of a configuration file, without settings from the environment. Errors name `path`, and relative paths are resolved
    /// against its folder.
    ///
    /// # Errors
    /// [`ConfigError::Malformed`], [`ConfigError::Invalid`]
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        Self::parse_in(text, path, Environment::default())
    }

    /// The configuration as its source has it. A running one may differ: an option of `dev` sets its address.
    ///
    /// # Errors
    /// [`ConfigError::Malformed`], [`ConfigError::Invalid`]
    pub(crate) fn parse_again(source: &Source) -> Result<Self, ConfigError> {
        Self::parse_in(&source.text, &source.path, source.environment.clone())
    }

    fn parse_in(text: &str, path: &Path, environment: Environment) -> Result<Self, ConfigError> {
        match Self::parse_beside(text, path, credentials_folder().as_deref(), environment)? {
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
        let path = &absolute(path);
        let text = trusted_file::look_at_text(path, trusted_file::Kind::Configuration)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::parse_beside(&text, path, credentials_folder().as_deref(), Environment::of_process())
    }

    pub(super) fn parse_beside(
        text: &str,
        path: &Path,
        credentials: Option<&Path>,
        environment: Environment,
    ) -> Result<(Self, Faults), ConfigError> {
        let malformed = |source| ConfigError::Malformed { path: path.to_owned(), source: Box::new(source) };
        let mut faults = Faults::default();
        let mut table = DeTable::parse(text).map_err(malformed)?;
        unknown_keys::remove(text, table.get_mut(), &mut faults);
        environment.apply(table.get_mut(), &mut faults);
        let file = ConfigFile::deserialize(toml::de::Deserializer::from(table)).map_err(malformed)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let source = Source { path: path.to_owned(), text: text.to_owned(), environment };
        let of_names = faults.0.len();
        let (config, mut faults) = check::check(file, source, folder, credentials, faults);
        config.source.environment.explain(faults.0.get_mut(of_names..).unwrap_or_default());
        Ok((config, faults))
    }
}

/// The folder where systemd puts the credentials of a unit, if it runs this process.
fn credentials_folder() -> Option<PathBuf> {
    env::var_os("CREDENTIALS_DIRECTORY").filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

/// The path from the root. All paths in the configuration are below it, so none depends on where the server was started.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn read(path: &Path) -> Result<String, ConfigError> {
    trusted_file::read_text(path, trusted_file::Kind::Configuration)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })
}

fn count(faults: usize) -> String {
    if faults == 1 { "one invalid setting".to_owned() } else { format!("{faults} invalid settings") }
}
