//! `key`: an organization's encryption key, from a look at its state to changing, restoring and following.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use fieldseal_client::{
    Action, Client, ExposeSecret as _, KeyOperation, generate_key_text,
    v1::{IsDataEncryptionActiveResponse, Reencryption},
};
use serde_json::{Value, json};

use super::{
    confirmation::{Confirmation, is_interactive},
    connection::Connection,
    failure::Failure,
    output::{self, Column, Format, Output},
    pages::PageOptions,
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
    /// List the keys that the organization has had, the youngest first, to find the one that an older copy needs.
    #[command(after_help = "\
Of a key without a version, this database knows nothing: it was set in a later state of it, in place of which an older copy
was put back, or by a change that did not come through.

Examples:
  fieldseal key history
  fieldseal key history --all --output json")]
    History {
        #[command(flatten)]
        page: PageOptions,
    },
    /// Open every stored value, and tell of those that don't open. Nothing is shown or changed.
    #[command(after_help = "\
It is a look at one moment: writes go on. Ends with exit code 1 if a value doesn't open, or the census is wrong.

Examples:
  fieldseal key verify
  fieldseal key verify --output json >found.json")]
    Verify,
    /// List the stored values that no key opens, which the last re-encryption has left as they are.
    #[command(after_help = "\
Set such an attribute anew, clear it or delete its record to be rid of it.

Examples:
  fieldseal key unreadable
  fieldseal key unreadable --all --output json")]
    Unreadable {
        #[command(flatten)]
        page: PageOptions,
    },
    /// Give up all encrypted attributes, because their key is lost for good, and begin anew under another key.
    #[command(after_help = "\
Only while data encryption is inactive, or the key ring is missing or damaged. All encrypted attributes are cleared; everything
else stays. There is no way back, but for a copy of the database and its key. Look everywhere first: `fieldseal key history`.

Unless told otherwise, the new key is generated and shown once. It must then be kept safe, better than the last one.

Examples:
  fieldseal key abandon --confirm 7f3a-19c2-5d04-88be
  fieldseal key abandon --confirm 7f3a-19c2-5d04-88be --check")]
    Abandon(AbandonArguments),
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

/// What `key abandon` takes.
#[derive(Args)]
pub(super) struct AbandonArguments {
    /// The fingerprint of the key that is given up, as `fieldseal key status` shows it.
    #[arg(long, value_name = "FINGERPRINT")]
    confirm: String,
    /// Take the new key from a file.
    #[arg(long, value_name = "FILE", group = "abandon_source")]
    file: Option<PathBuf>,
    /// Take the new key from stdin.
    #[arg(long, group = "abandon_source")]
    stdin: bool,
    /// Only find out whether it would be possible.
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    confirmation: Confirmation,
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
        KeyCommand::History { page } => history(page, connection, output).await,
        KeyCommand::Verify => verify(connection, output).await,
        KeyCommand::Unreadable { page } => unreadable(page, connection, output).await,
        KeyCommand::Abandon(arguments) => abandon(&arguments, connection, output, secrets).await,
        KeyCommand::Watch => watch(&connection.connect().await?, connection, output).await,
    }
}

async fn status(connection: &Connection, output: &Output) -> Result<(), Failure> {
    let status = connection.connect().await?.is_data_encryption_active(connection.organization()).await?;
    output.answer(&output::message("IsDataEncryptionActiveResponse", &status))?;
    if let Some(due) = due(&status) {
        output::warning(due);
    }
    if status.rolled_back_time.is_some() {
        output::warning(
            "The organization's database is older than it was: somebody put back a copy. What was written between is gone.\n\
             The key is that of the copy; `fieldseal key history` has them all. A change of the key ends this report.",
        );
    }
    if !status.is_active {
        output::notice(&match status.fingerprint.as_str() {
            "" => "Data encryption is inactive: the key ring is missing or damaged.".to_owned(),
            wanted => format!("Data encryption is inactive. Restore the key {wanted}: fieldseal key restore"),
        });
    }
    Ok(())
}

/// Why the key should be changed, if it should be.
fn due(status: &IsDataEncryptionActiveResponse) -> Option<&'static str> {
    match (status.is_key_change_due, status.key_version) {
        (false, _) => None,
        (true, 1) => {
            Some("The key is the one that was generated with the organization: change it (fieldseal key change).")
        }
        (true, _) => Some("The key is older than it should be: change it (fieldseal key change)."),
    }
}

async fn history(page: PageOptions, connection: &Connection, output: &Output) -> Result<(), Failure> {
    let client = connection.connect().await?;
    let mut pages = page.begin();
    while let Some(next) = pages.next() {
        let page = client.list_key_changes(connection.organization(), next.size, next.token).await?;
        let changes = page.records.iter().map(|change| output::message("KeyChange", change));
        pages.take(changes.collect(), page.next_page_token, None);
    }
    pages.show("key_changes", ["fingerprint", "change_time", "key_version"].map(Column::of).into(), output)
}

async fn verify(connection: &Connection, output: &Output) -> Result<(), Failure> {
    let client = connection.connect().await?;
    let mut stream = client.verify_cells(connection.organization()).await?;
    let mut display = progress::Display::counting();
    let (mut unreadable, mut miscounts) = (Vec::new(), Vec::new());
    let last = loop {
        let next = stream.next().await.inspect_err(|_| display.end())?;
        let Some(message) = next else { break None };
        display.count("Checking values", message.cells_checked, message.cells_total);
        unreadable.extend(message.unreadable_cells.iter().map(|cell| output::message("UnreadableCell", cell)));
        miscounts.extend(message.census_miscounts.iter().map(|kind| output::message("CensusMiscount", kind)));
        if message.is_complete {
            break Some(message.cells_checked);
        }
    };
    display.end();
    let checked =
        last.ok_or_else(|| Failure::NoValue("the check was cut off: not every value was opened".to_owned()))?;
    let (unopened, wrong) = (unreadable.len(), miscounts.len());
    output.answer(&json!({
        "cells_checked": checked,
        "unreadable_cells": unreadable,
        "census_miscounts": miscounts,
    }))?;
    match (unopened, wrong) {
        (0, 0) => {
            output::notice("Every value opens, and the census is right.");
            Ok(())
        }
        (0, _) => Err(Failure::NoValue(format!("every value opens; the census miscounts {wrong} kinds of them"))),
        (_, _) => Err(Failure::NoValue(format!("{unopened} of {checked} values don't open"))),
    }
}

async fn unreadable(page: PageOptions, connection: &Connection, output: &Output) -> Result<(), Failure> {
    let client = connection.connect().await?;
    let mut pages = page.begin();
    while let Some(next) = pages.next() {
        let page = client.list_unreadable_cells(connection.organization(), next.size, next.token).await?;
        let cells = page.records.iter().map(|cell| output::message("UnreadableCell", cell));
        pages.take(cells.collect(), page.next_page_token, None);
    }
    let columns = ["name", "attribute", "reason", "key_version"].map(Column::of).into();
    pages.show("unreadable_cells", columns, output)
}

async fn abandon(
    arguments: &AbandonArguments,
    connection: &Connection,
    output: &Output,
    secrets: &mut dyn Secrets,
) -> Result<(), Failure> {
    let source = match (&arguments.file, arguments.stdin) {
        (Some(file), _) => Some(Source::File(file.clone())),
        (None, true) => Some(Source::Stdin),
        (None, false) => None,
    };
    let key = match &source {
        Some(source) => into_text("new encryption key", secrets.read("new encryption key", source)?)?,
        None => generate_key_text(),
    };
    let organization = connection.organization();
    if !arguments.check {
        arguments.confirmation.ask(&format!(
            "This clears all encrypted attributes of {organization}, for good: nobody can bring them back without the lost key.\n\
             Everything else stays. The organization gets a new key."
        ))?;
    }
    let client = connection.connect().await?;
    let abandoned =
        client.abandon_encrypted_data(organization, arguments.confirm.as_str(), &key, arguments.check).await?;
    let mut answer = output::message("AbandonEncryptedDataResponse", &abandoned);
    if arguments.check {
        output.answer(&answer)?;
        output::notice("It is possible. Nothing was changed.");
        return Ok(());
    }
    if let (None, Some(answer)) = (&source, answer.as_object_mut()) {
        answer.insert("encryption_key".to_owned(), Value::String(key.expose_secret().to_owned()));
    }
    output.answer(&answer)?;
    output::notice(
        "What the lost key had sealed is being cleared: fieldseal key watch\n\
         Keep the new key safe, apart from the database, and where it will be found.",
    );
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
    fn a_due_change_is_told_with_its_reason() {
        let status = |is_key_change_due, key_version| IsDataEncryptionActiveResponse {
            is_key_change_due,
            key_version,
            ..Default::default()
        };
        assert_eq!(due(&status(false, 1)), None);
        assert!(due(&status(true, 1)).unwrap().contains("generated"));
        assert!(due(&status(true, 2)).unwrap().contains("older"));
    }

    #[test]
    fn a_person_is_told_what_a_change_does() {
        let generated = consequence("organizations/contoso", true);
        assert!(generated.contains("organizations/contoso") && generated.contains("generated"), "{generated}");
        assert!(consequence("organizations/contoso", false).contains("the key given"));
    }
}
