//! The key of `key change` and `key abandon`: read or generated, delivered after the call, and handled if the call fails.

use std::path::PathBuf;

use sealward_client::{Action, Client, Error, ExposeSecret as _, SecretString, generate_key_text};
use serde_json::{Value, json};

use super::delivery::{self, Delivery, OutputFile};
use crate::{
    connection::Connection,
    failure::Failure,
    input::{
        key_text::read_new_key,
        secret::{SecretReader, Source},
    },
    output::Output,
};

/// The source of a key; `None` generates one.
pub(super) fn source(file: Option<&PathBuf>, is_stdin: bool, is_prompt: bool) -> Option<Source> {
    match (file, is_stdin, is_prompt) {
        (Some(file), _, _) => Some(Source::File(file.clone())),
        (None, true, _) => Some(Source::Stdin),
        (None, false, true) => Some(Source::PromptTwice),
        (None, false, false) => None,
    }
}

/// A key to set, from the user or generated.
pub(super) struct NewKey<'a> {
    pub(super) text: SecretString,
    pub(super) is_generated: bool,
    output_file: &'a OutputFile,
    is_check: bool,
}

impl<'a> NewKey<'a> {
    /// Reads or generates the key. A key is generated only if it can be delivered.
    pub(super) fn get(
        source: Option<Source>,
        output_file: &'a OutputFile,
        is_check: bool,
        secrets: &mut dyn SecretReader,
    ) -> Result<Self, Failure> {
        let is_generated = source.is_none();
        if output_file.path().is_some() && (!is_generated || is_check) {
            return Err(Failure::usage("--output-file can't be combined with --file, --stdin, --prompt or --check"));
        }
        let text = match &source {
            Some(source) => read_new_key(secrets, source)?,
            None => {
                if !is_check {
                    output_file.check()?;
                }
                generate_key_text()
            }
        };
        Ok(Self { text, is_generated, output_file, is_check })
    }

    /// Writes a generated key to its file, if it has one. Called before the rpc, so that the key can't be lost.
    pub(super) fn write(&self) -> Result<Option<Delivery>, Failure> {
        if !self.is_generated || self.is_check {
            return Ok(None);
        }
        self.output_file.write(&self.text).map(Some)
    }

    /// Shows the answer of the call, with the generated key if it was set.
    ///
    /// # Errors
    /// The answer can't be written. Unless this is a dry run, the failure reports that the key was set.
    pub(super) async fn deliver(
        &self,
        answer: Value,
        delivery: Option<&Delivery>,
        output: &Output,
        client: &Client,
        connection: &Connection,
    ) -> Result<(), Failure> {
        if let Some(delivery) = delivery {
            return delivery::show(answer, &self.text, delivery, output, client, connection).await;
        }
        let shown = output.answer(&answer);
        if self.is_check {
            return shown;
        }
        shown.map_err(|failure| failure.completed(format!("the key of {} was set", connection.organization())))
    }

    /// Handles a failed call: removes the file of an unused generated key, and delivers a key that may be in use.
    /// `again` is the command to repeat.
    pub(super) fn call_failed(
        &self,
        error: Error,
        delivery: Option<Delivery>,
        output: &Output,
        connection: &Connection,
        again: &str,
    ) -> Failure {
        if self.is_check || error.action() != Action::CheckOutcome {
            if let Some(Delivery::File(file)) = delivery {
                file.discard();
            }
            return Failure::Call(error);
        }
        let hints = connection.hints();
        let status = hints.command("key status");
        let advice = match delivery {
            None => {
                format!("the key may have been set; to check: {status}\nif it wasn't set, run the same command again")
            }
            Some(Delivery::File(file)) => format!(
                "the key in {} may have been set: keep it; to check: {status}\nif it wasn't set: {}",
                file.path().display(),
                hints.command(&format!("{again} --file {}", file.path().display()))
            ),
            Some(Delivery::Stdout) => {
                let answer = json!({
                    "organization": connection.organization(),
                    "outcome": "unknown",
                    "encryption_key": self.text.expose_secret(),
                });
                match output.answer(&answer) {
                    Ok(()) => format!(
                        "the printed key may have been set: keep it; to check: {status}\nif it wasn't set: {}",
                        hints.command(&format!("{again} --stdin"))
                    ),
                    Err(_) => format!(
                        "the new key may have been set, and can't be written to stdout; to check: {status}\n\
                         to get the key: {}",
                        hints.command("key show --output-file FILE")
                    ),
                }
            }
        };
        Failure::Advised { error, advice }
    }
}
