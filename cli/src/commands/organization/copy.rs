//! The options of `org import --as-copy`: where the key of the file and the key of the copy come from.

use std::path::{Path, PathBuf};

use clap::Args;
use sealward_client::SecretString;

use crate::{
    commands::key::strength::Strength,
    failure::Failure,
    input::{
        key_text::{read_existing_key, read_new_key},
        secret::{SecretReader, Source},
    },
    output::stderr,
};

/// The options of a copy.
#[derive(Args)]
pub(crate) struct CopyArguments {
    /// Import a copy with a new UUID and a new key, which can exist beside its source.
    #[arg(long)]
    as_copy: bool,
    /// File with the key of the imported file; without it, the command prompts for the key.
    #[arg(long, value_name = "FILE", requires = "as_copy", group = "source_key")]
    source_key_file: Option<PathBuf>,
    /// Read the key of the imported file from stdin.
    #[arg(long, requires = "as_copy", group = "source_key")]
    source_key_stdin: bool,
    /// Accept a byte order mark at the start as part of the key of the imported file.
    #[arg(long, requires = "as_copy")]
    keep_byte_order_mark: bool,
    /// File with the new key of the copy [default: the server generates a key].
    #[arg(long, value_name = "FILE", requires = "as_copy")]
    key_file: Option<PathBuf>,
}

/// The keys of a copy.
pub(crate) struct CopyKeys {
    /// The key of the imported file.
    pub(super) source: SecretString,
    /// The key of the copy; `None` for a generated one.
    pub(super) new: Option<SecretString>,
}

impl CopyArguments {
    /// Reads the keys; `None` without `--as-copy`. `file` is the imported file.
    pub(super) fn keys(&self, file: &Path, secrets: &mut dyn SecretReader) -> Result<Option<CopyKeys>, Failure> {
        if !self.as_copy {
            return Ok(None);
        }
        if self.source_key_stdin && file == Path::new("-") {
            return Err(Failure::usage("stdin can be used for one option only: use --source-key-file"));
        }
        let source = match &self.source_key_file {
            Some(file) => Source::File(file.clone()),
            None if self.source_key_stdin => Source::Stdin,
            None => Source::Prompt,
        };
        let label = "encryption key of the file";
        let source = read_existing_key(secrets, label, &source, self.keep_byte_order_mark, "--source-key-file")?;
        let read_new = |file: &PathBuf| read_new_key(secrets, &Source::File(file.clone()));
        let new = self.key_file.as_ref().map(read_new).transpose()?;
        if let Some(new) = &new {
            let strength = Strength::of(new);
            if strength.is_weak() {
                stderr::warning(&strength.describe())
            } else {
                stderr::notice(&strength.describe())
            }
        }
        Ok(Some(CopyKeys { source, new }))
    }
}
