//! `key`: an organization's encryption key, from a look at its state to changing, restoring and following.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use fieldseal_client::{Action, Client, ExposeSecret as _, KeyOperation, generate_key_text, v1::Reencryption};
use serde_json::{Value, json};

use super::{
    confirmation::{Confirmation, is_interactive},
    connection::Connection,
    failure::Failure,
    output::{self, Format, Output},
    progress,
    secret_input::{Secrets, Source, into_text},
    strength::Strength,
};

/// The commands under `key`.
#[derive(Subcommand)]
pub(super) enum KeyCommand {
    /// Show whether data encryption is active, with which key, and how far a re-encryption is.
    #[command(after_help = "\
Examples:
  fieldseal key status
  fieldseal key status -o contoso --output json")]
    Status,
    /// Show the encryption key, to keep it somewhere safe. The audit trail records it.
    #[command(after_help = "\
Examples:
  fieldseal key show
  fieldseal key show --raw | pass insert --multiline fieldseal/default")]
    Show {
        /// Print the text of the key only, without a line break, for a program.
        #[arg(long)]
        raw: bool,
    },
    /// Change the encryption key; stored values are encrypted anew in the background.
    #[command(after_help = "\
Unless told otherwise, a key is generated and shown once. Keep it safe, apart from the database:
without it a copy of the database is of no use, and whoever has both can read everything.

Examples:
  fieldseal key change
  fieldseal key change --prompt --no-wait
  fieldseal key change --output json >new-key.json
  pass show fieldseal/contoso | fieldseal key change --stdin -o contoso

At a terminal it asks before it changes anything, and follows the re-encryption; Ctrl-C ends the watching only.
Elsewhere it does neither, unless --wait says so.

Of a file and of stdin, exactly one line break at the end is left out; everything else is the key.")]
    Change(ChangeArguments),
    /// Restore the key that the data is encrypted with, after a move or a loss; asks for it unless told otherwise.
    #[command(after_help = "\
`fieldseal key status` shows the fingerprint of the key that is wanted. Each wrong try counts towards a quota.

Examples:
  fieldseal key restore
  fieldseal key restore --file contoso.key

Of a file and of stdin, exactly one line break at the end is left out; everything else is the key.")]
    Restore(RestoreArguments),
    /// Follow a re-encryption until it ends.
    ///
    /// Ctrl-C ends the watching, with exit code 130; the server goes on.
    #[command(after_help = "\
Examples:
  fieldseal key watch
  fieldseal key watch --output json >last.json")]
    Watch,
}

/// What `key change` takes.
#[derive(Args)]
pub(super) struct ChangeArguments {
    /// Take the new key from a file.
    #[arg(long, value_name = "FILE", group = "source")]
    file: Option<PathBuf>,
    /// Take the new key from stdin.
    #[arg(long, group = "source")]
    stdin: bool,
    /// Ask for the new key, twice.
    #[arg(long, group = "source")]
    prompt: bool,
    /// Only find out whether it would be possible.
    #[arg(long)]
    check: bool,
    /// Follow the re-encryption until it ends; a terminal has that anyway.
    #[arg(long, conflicts_with = "check")]
    wait: bool,
    /// Don't follow the re-encryption.
    #[arg(long, conflicts_with = "wait")]
    no_wait: bool,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// What `key restore` takes.
#[derive(Args)]
pub(super) struct RestoreArguments {
    /// Take the key from a file.
    #[arg(long, value_name = "FILE", group = "restore_source")]
    file: Option<PathBuf>,
    /// Take the key from stdin.
    #[arg(long, group = "restore_source")]
    stdin: bool,
    /// Only find out whether it would be possible. A wrong key counts all the same.
    #[arg(long)]
    check: bool,
    /// Follow a re-encryption that waited for the key until it ends.
    #[arg(long, conflicts_with = "check")]
    wait: bool,
}

pub(super) async fn run(
    command: KeyCommand,
    connection: &Connection,
    output: &Output,
    secrets: &mut dyn Secrets,
) -> Result<(), Failure> {
    match command {
        KeyCommand::Status => status(connection, output).await,
        KeyCommand::Show { raw } => show(connection, output, raw).await,
        KeyCommand::Change(arguments) => change(&arguments, connection, output, secrets).await,
        KeyCommand::Restore(arguments) => restore(&arguments, connection, output, secrets).await,
        KeyCommand::Watch => watch(&connection.connect().await?, connection, output).await,
    }
}

async fn status(connection: &Connection, output: &Output) -> Result<(), Failure> {
    let status = connection.connect().await?.is_data_encryption_active(connection.organization()).await?;
    output.answer(&output::message("IsDataEncryptionActiveResponse", &status))?;
    if !status.is_active {
        output::notice(&match status.fingerprint.as_str() {
            "" => "Data encryption is inactive: the key ring is missing or damaged.".to_owned(),
            wanted => format!("Data encryption is inactive. Restore the key {wanted}: fieldseal key restore"),
        });
    }
    Ok(())
}

async fn show(connection: &Connection, output: &Output, is_raw: bool) -> Result<(), Failure> {
    let key = connection.connect().await?.retrieve_data_encryption_key(connection.organization()).await?;
    let text = key.encryption_key.expose_secret();
    if is_raw {
        return output::print_bytes(text.as_bytes());
    }
    output.answer(&json!({ "encryption_key": text, "fingerprint": key.fingerprint }))
}

async fn change(
    arguments: &ChangeArguments,
    connection: &Connection,
    output: &Output,
    secrets: &mut dyn Secrets,
) -> Result<(), Failure> {
    let source = match (&arguments.file, arguments.stdin, arguments.prompt) {
        (Some(file), _, _) => Some(Source::File(file.clone())),
        (None, true, _) => Some(Source::Stdin),
        (None, false, true) => Some(Source::PromptTwice),
        (None, false, false) => None,
    };
    let key = match &source {
        Some(source) => into_text("new encryption key", secrets.read("new encryption key", source)?)?,
        None => generate_key_text(),
    };
    if source.is_some() {
        let strength = Strength::of(&key);
        if strength.is_weak() { output::warning(&strength.describe()) } else { output::notice(&strength.describe()) }
    }
    if !arguments.check {
        // Where nobody can be asked it goes on: nothing is lost, since a generated key is shown and the former one is known.
        arguments.confirmation.ask_if_possible(&consequence(&connection.organization(), source.is_none()))?;
    }

    let client = connection.connect().await?;
    let set = client
        .set_data_encryption_key(connection.organization(), &key, KeyOperation::Change, arguments.check)
        .await
        .inspect_err(|error| {
            if error.action() == Action::CheckOutcome {
                output::notice("The key may have been changed: `fieldseal key status` and `fieldseal key show` tell.");
            }
        })?;
    let mut answer = output::message("SetDataEncryptionKeyResponse", &set);
    if arguments.check {
        output.answer(&answer)?;
        output::notice("The change is possible. Nothing was changed.");
        return Ok(());
    }
    if let (None, Some(answer)) = (&source, answer.as_object_mut()) {
        answer.insert("encryption_key".to_owned(), Value::String(key.expose_secret().to_owned()));
    }
    output.answer(&answer)?;
    output::notice(
        "The key is changed. Keep it safe, apart from the database: a copy of the database is of no use without it.\n\
         Keep the former key for as long as you keep older copies.",
    );
    if arguments.wait || (is_interactive() && !arguments.no_wait) {
        return watch(&client, connection, output).await;
    }
    output::notice("Stored values are encrypted anew in the background: fieldseal key watch");
    Ok(())
}

fn consequence(organization: &str, is_generated: bool) -> String {
    let key = if is_generated { "a new key, which is generated and shown once" } else { "the key given" };
    format!(
        "This changes the encryption key of {organization} to {key}.\n\
         All stored values are encrypted anew in the background. From then on, the former key opens older copies only."
    )
}

async fn restore(
    arguments: &RestoreArguments,
    connection: &Connection,
    output: &Output,
    secrets: &mut dyn Secrets,
) -> Result<(), Failure> {
    let source = match (&arguments.file, arguments.stdin) {
        (Some(file), _) => Source::File(file.clone()),
        (None, true) => Source::Stdin,
        (None, false) => Source::Prompt,
    };
    let key = into_text("encryption key", secrets.read("encryption key", &source)?)?;
    let client = connection.connect().await?;
    let set =
        client.set_data_encryption_key(connection.organization(), &key, KeyOperation::Restore, arguments.check).await?;
    output.answer(&output::message("SetDataEncryptionKeyResponse", &set))?;
    if arguments.check {
        output::notice("The key is the right one. Nothing was changed.");
        return Ok(());
    }
    output::notice("Data encryption is active.");
    if arguments.wait { watch(&client, connection, output).await } else { Ok(()) }
}

/// Progress on stderr, and for programs the last message on stdout. People have read it already.
async fn watch(client: &Client, connection: &Connection, output: &Output) -> Result<(), Failure> {
    let last: Option<Reencryption> = progress::follow(client, &connection.organization()).await?;
    match (last, output.format()) {
        (Some(last), Format::Json | Format::Name) => output.answer(&output::message("Reencryption", &last)),
        (Some(_) | None, _) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_told_what_a_change_does() {
        let generated = consequence("organizations/contoso", true);
        assert!(generated.contains("organizations/contoso") && generated.contains("generated"), "{generated}");
        assert!(consequence("organizations/contoso", false).contains("the key given"));
    }
}
