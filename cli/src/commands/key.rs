//! `key`: shows, changes, restores, verifies and abandons an organization's encryption key, and follows re-encryptions.

mod delivery;
mod new_key;
pub(super) mod strength;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use sealward_client::{
    Client, ErrorReason, ExposeSecret as _, KeyOperation,
    v1::{IsDataEncryptionActiveResponse, Reencryption},
};
use serde_json::json;

use crate::{
    connection::{Connection, hints::Hints},
    failure::Failure,
    input::{
        confirmation::{Confirmation, is_interactive},
        key_text::read_existing_key,
        secret::{SecretReader, Source},
    },
    output::{self, Column, Format, Output, pages::PageOptions, progress, stderr, stdout},
};
use delivery::{KeyFile, OutputFile};
use new_key::{NewKey, source};
use strength::Strength;

/// The commands under `key`.
#[derive(Subcommand)]
pub(super) enum KeyCommand {
    /// Show the state of data encryption, the key's fingerprint and the re-encryption.
    #[command(after_help = "\
Examples:
  sealward key status
  sealward key status -o contoso --output json")]
    Status,
    /// Show the encryption key; this is recorded in the audit trail.
    #[command(after_help = "\
Examples:
  sealward key show
  sealward key show --output-file contoso.key -o contoso
  sealward key show --raw | pass insert --multiline sealward/default")]
    Show {
        /// Print only the key, without a line break.
        #[arg(long, conflicts_with = "output_file")]
        raw: bool,
        #[command(flatten)]
        output_file: OutputFile,
    },
    /// Change the encryption key and re-encrypt stored values in the background.
    #[command(after_help = "\
Without --file, --stdin or --prompt, the command generates a key and shows it
once. Store the key in a safe place, apart from the database: a copy of the
database is useless without the key, and readable with it. With --output-file,
the generated key is written to the file before the change, and not to stdout.
If the outcome of the change is unknown, the exit code is 1, and the response has
the key and \"outcome\": \"unknown\".

Examples:
  sealward key change
  sealward key change --output-file contoso.key -o contoso
  sealward key change --prompt --no-wait
  sealward key change --output json >new-key.json
  pass show sealward/contoso | sealward key change --stdin -o contoso

On a terminal, the command asks for confirmation and follows the re-encryption.
Ctrl-C stops following; the server continues. Otherwise, the command does
neither; to follow, use --wait.

One trailing line break of a file or of stdin is removed; everything else is the
key. A byte order mark and invisible characters are refused.")]
    Change(ChangeArguments),
    /// Restore the key that the data is encrypted with, after a move or a data loss.
    #[command(after_help = "\
`sealward key status` shows the fingerprint of the required key. Attempts
count against a limit. Without --file or --stdin, the command prompts for the
key.

Examples:
  sealward key restore
  sealward key restore --file contoso.key

One trailing line break of a file or of stdin is removed; everything else is the
key. A byte order mark is refused. If the key was set with one, use
--keep-byte-order-mark.")]
    Restore(RestoreArguments),
    /// List the organization's keys by fingerprint, newest first.
    #[command(after_help = "\
Use it to find the key that an older copy of the database needs. A key without a
version isn't in this database: it was set after this copy of the database was
made, or by a change that failed.

Examples:
  sealward key history
  sealward key history --all --output json")]
    History {
        #[command(flatten)]
        page: PageOptions,
    },
    /// Verify that every stored value can be decrypted.
    #[command(after_help = "\
This reads a snapshot; writes continue. No value is shown or changed. Exit code
1 means that a value can't be decrypted, or that the census (`cell_counts`) is
wrong.

Examples:
  sealward key verify
  sealward key verify --output json >found.json")]
    Verify,
    /// List the stored values that the last re-encryption couldn't decrypt.
    #[command(after_help = "\
To fix an unreadable value, set the attribute again, clear it or delete the
record.

Examples:
  sealward key unreadable
  sealward key unreadable --all --output json")]
    Unreadable {
        #[command(flatten)]
        page: PageOptions,
    },
    /// Discard all encrypted attributes after the loss of their key, and set a new key.
    #[command(after_help = "\
This can't be undone. It clears all encrypted attributes; everything else stays.
Search for the key first: `sealward key history` lists the fingerprints. The
command works only while data encryption is inactive, or if the key ring is
missing or damaged.

Without --file or --stdin, the command generates a key and shows it once. Store
the key in a safe place.

Examples:
  sealward key abandon --confirm 7f3a-19c2-5d04-88be
  sealward key abandon --confirm 7f3a-19c2-5d04-88be --output-file contoso.key -o contoso
  sealward key abandon --confirm 7f3a-19c2-5d04-88be --check")]
    Abandon(AbandonArguments),
    /// Follow a re-encryption until it ends.
    ///
    /// Ctrl-C stops following, with exit code 130; the server continues.
    #[command(after_help = "\
Examples:
  sealward key watch
  sealward key watch --output json >last.json")]
    Watch,
}

/// Arguments of `key change`.
#[derive(Args)]
pub(super) struct ChangeArguments {
    /// File with the new key.
    #[arg(long, value_name = "FILE", group = "source")]
    file: Option<PathBuf>,
    /// Read the new key from stdin.
    #[arg(long, group = "source")]
    stdin: bool,
    /// Prompt for the new key, twice.
    #[arg(long, group = "source")]
    prompt: bool,
    #[command(flatten)]
    output_file: OutputFile,
    /// Validate the request without changing anything.
    #[arg(long)]
    check: bool,
    /// Follow the re-encryption until it ends; the default on a terminal.
    #[arg(long, conflicts_with = "check")]
    wait: bool,
    /// Don't follow the re-encryption.
    #[arg(long, conflicts_with = "wait")]
    no_wait: bool,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// Arguments of `key restore`.
#[derive(Args)]
pub(super) struct RestoreArguments {
    /// File with the key.
    #[arg(long, value_name = "FILE", group = "restore_source")]
    file: Option<PathBuf>,
    /// Read the key from stdin.
    #[arg(long, group = "restore_source")]
    stdin: bool,
    /// Accept a byte order mark at the start as part of the key.
    #[arg(long)]
    keep_byte_order_mark: bool,
    /// Validate the key without changing anything; every dry run counts as an attempt.
    #[arg(long)]
    check: bool,
    /// Follow the re-encryption that waited for the key until it ends.
    #[arg(long, conflicts_with = "check")]
    wait: bool,
}

/// Arguments of `key abandon`.
#[derive(Args)]
pub(super) struct AbandonArguments {
    /// Fingerprint of the lost key, as shown by `sealward key status`.
    #[arg(long, value_name = "FINGERPRINT")]
    confirm: String,
    /// File with the new key.
    #[arg(long, value_name = "FILE", group = "abandon_source")]
    file: Option<PathBuf>,
    /// Read the new key from stdin.
    #[arg(long, group = "abandon_source")]
    stdin: bool,
    #[command(flatten)]
    output_file: OutputFile,
    /// Validate the request without changing anything.
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    confirmation: Confirmation,
}

pub(super) async fn run(
    command: KeyCommand,
    connection: &Connection,
    output: &Output,
    secrets: &mut dyn SecretReader,
) -> Result<(), Failure> {
    match command {
        KeyCommand::Status => status(connection, output).await,
        KeyCommand::Show { raw, output_file } => show(connection, output, raw, &output_file).await,
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
    let organization = connection.organization();
    let status = connection.connect().await?.is_data_encryption_active(organization.as_str()).await?;
    let answer = output::message(&status);
    output.answer(&output::with_organization(&organization, answer))?;
    if let Some(warning) = change_due_warning(&status, connection.hints()) {
        stderr::warning(&warning);
    }
    if status.rolled_back_time.is_some() {
        stderr::warning(&format!(
            "an older copy of the organization's database was restored; later writes are lost\n\
             The organization uses the key of the restored copy; `{}` lists all keys. To clear this warning, change the key.",
            connection.hints().command("key history")
        ));
    }
    if !status.is_active {
        let hints = connection.hints();
        stderr::notice(&match status.fingerprint.as_str() {
            "" => format!(
                "Data encryption of {organization} is inactive: the key ring is missing or damaged.\n\
                Restore the database from a backup, or discard the encrypted attributes: {}",
                hints.command("key abandon")
            ),
            fingerprint => format!(
                "Data encryption of {organization} is inactive. Restore the key {fingerprint}: {}",
                hints.command("key restore")
            ),
        });
    }
    Ok(())
}

/// The reason to change the key, if a change is due. An inactive key can only be restored.
fn change_due_warning(status: &IsDataEncryptionActiveResponse, hints: &Hints) -> Option<String> {
    let reason = match (status.is_active && status.is_key_change_due, status.key_version) {
        (false, _) => return None,
        (true, 1) => "the key was generated with the organization",
        (true, _) => "the key is older than the configured maximum age",
    };
    Some(format!("{reason}: change it with `{}`", hints.command("key change")))
}

async fn history(page: PageOptions, connection: &Connection, output: &Output) -> Result<(), Failure> {
    let client = connection.connect().await?;
    let mut pages = page.start();
    while let Some(next) = pages.next() {
        let page = client.list_key_changes(connection.organization(), next.size, next.token).await?;
        let changes = page.records.iter().map(output::message);
        pages.add(changes.collect(), page.next_page_token, None);
    }
    pages.show("key_changes", ["fingerprint", "change_time", "key_version"].map(Column::of).into(), output)
}

async fn verify(connection: &Connection, output: &Output) -> Result<(), Failure> {
    let client = connection.connect().await?;
    let mut stream = client.verify_cells(connection.organization()).await?;
    let mut display = progress::Display::for_counts();
    let (mut unreadable, mut miscounts) = (Vec::new(), Vec::new());
    let last = loop {
        let next = stream.next().await.inspect_err(|_| display.end())?;
        let Some(message) = next else { break None };
        display.count("Checking values", message.cells_checked, message.cells_total);
        unreadable.extend(message.unreadable_cells.iter().map(output::message));
        miscounts.extend(message.census_miscounts.iter().map(output::message));
        if message.is_complete {
            break Some(message.cells_checked);
        }
    };
    display.end();
    let checked =
        last.ok_or_else(|| Failure::Failed("the verification ended early: not all values were checked".to_owned()))?;
    let (unreadable_count, miscount_count) = (unreadable.len(), miscounts.len());
    output.answer(&json!({
        "organization": connection.organization(),
        "cells_checked": checked,
        "unreadable_cells": unreadable,
        "census_miscounts": miscounts,
    }))?;
    match (unreadable_count, miscount_count) {
        (0, 0) => {
            stderr::notice("All values can be decrypted, and the census (`cell_counts`) is correct.");
            Ok(())
        }
        (0, wrong) => Err(Failure::Failed(format!(
            "all values can be decrypted; wrong counts in the census (`cell_counts`): {wrong}"
        ))),
        (unreadable, _) => Err(Failure::Failed(format!("can't decrypt {unreadable} of {checked} values"))),
    }
}

async fn unreadable(page: PageOptions, connection: &Connection, output: &Output) -> Result<(), Failure> {
    let client = connection.connect().await?;
    let mut pages = page.start();
    while let Some(next) = pages.next() {
        let page = client.list_unreadable_cells(connection.organization(), next.size, next.token).await?;
        let cells = page.records.iter().map(output::message);
        pages.add(cells.collect(), page.next_page_token, None);
    }
    let columns = ["name", "attribute", "reason", "key_version"].map(Column::of).into();
    pages.show("unreadable_cells", columns, output)
}

async fn abandon(
    arguments: &AbandonArguments,
    connection: &Connection,
    output: &Output,
    secrets: &mut dyn SecretReader,
) -> Result<(), Failure> {
    let source = source(arguments.file.as_ref(), arguments.stdin, false);
    let new = NewKey::get(source, &arguments.output_file, arguments.check, secrets)?;
    let (organization, hints) = (connection.organization(), connection.hints());
    if !arguments.check {
        arguments.confirmation.confirm(&format!(
            "This permanently clears all encrypted attributes of {organization}.\n\
             Everything else stays. The organization gets a new key."
        ))?;
    }
    let client = connection.connect().await?;
    let delivery = new.write()?;
    let outcome = client
        .abandon_encrypted_data(organization.as_str(), arguments.confirm.as_str(), &new.text, arguments.check)
        .await;
    let abandoned = match outcome {
        Ok(abandoned) => abandoned,
        Err(error) => {
            let is_active = error.reason() == ErrorReason::KeyAlreadyActive;
            let again = format!("key abandon --confirm {}", arguments.confirm);
            let failure = new.call_failed(error, delivery, output, connection, &again);
            return Err(if is_active {
                let change = hints.command("key change");
                failure.with_advice(format!("no data is lost; to set another key, use: {change}"))
            } else {
                failure
            });
        }
    };
    let answer = output::with_organization(&organization, output::message(&abandoned));
    new.deliver(answer, delivery.as_ref(), output, &client, connection).await?;
    if arguments.check {
        stderr::notice("The request is valid. Nothing was changed (dry run).");
        return Ok(());
    }
    stderr::notice(&format!(
        "The server is clearing the encrypted attributes of {organization}. To follow: {}\n\
         Store the new key in a safe place, apart from the database.",
        hints.command("key watch")
    ));
    Ok(())
}

async fn show(connection: &Connection, output: &Output, is_raw: bool, output_file: &OutputFile) -> Result<(), Failure> {
    let organization = connection.organization();
    if output_file.path().is_none() {
        stdout::check_open()?;
    }
    let key = connection.connect().await?.retrieve_data_encryption_key(organization.as_str()).await?;
    if let Some(path) = output_file.path() {
        let file = KeyFile::create(path, &key.encryption_key)?;
        let path = file.path().to_string_lossy();
        let answer = json!({ "organization": organization, "fingerprint": key.fingerprint, "output_file": path });
        return output.answer(&answer).map_err(|failure| failure.completed(format!("the key is in {path}")));
    }
    let text = key.encryption_key.expose_secret();
    if is_raw {
        return stdout::print_value(text.as_bytes());
    }
    let answer = json!({ "organization": organization, "encryption_key": text, "fingerprint": key.fingerprint });
    output.answer(&answer)
}

async fn change(
    arguments: &ChangeArguments,
    connection: &Connection,
    output: &Output,
    secrets: &mut dyn SecretReader,
) -> Result<(), Failure> {
    let source = source(arguments.file.as_ref(), arguments.stdin, arguments.prompt);
    let new = NewKey::get(source, &arguments.output_file, arguments.check, secrets)?;
    if !new.is_generated {
        let strength = Strength::of(&new.text);
        if strength.is_weak() { stderr::warning(&strength.describe()) } else { stderr::notice(&strength.describe()) }
    }
    let (organization, hints) = (connection.organization(), connection.hints());
    if !arguments.check {
        // Continues without a terminal, because nothing can be lost: a generated key is delivered, and the user has the previous key.
        arguments.confirmation.confirm_if_interactive(&consequence(
            &organization,
            new.is_generated,
            arguments.output_file.path().is_some(),
        ))?;
    }

    let client = connection.connect().await?;
    let delivery = new.write()?;
    let outcome =
        client.set_data_encryption_key(organization.as_str(), &new.text, KeyOperation::Change, arguments.check).await;
    let set = match outcome {
        Ok(set) => set,
        Err(error) => return Err(new.call_failed(error, delivery, output, connection, "key change")),
    };
    let answer = output::with_organization(&organization, output::message(&set));
    new.deliver(answer, delivery.as_ref(), output, &client, connection).await?;
    if arguments.check {
        stderr::notice("The change is valid. Nothing was changed (dry run).");
        return Ok(());
    }
    stderr::notice(&format!(
        "Changed the key of {organization}. Store the key in a safe place, apart from the database: a copy of the database is useless \
         without it.\nKeep the previous key as long as you keep older copies of the database."
    ));
    if arguments.wait || (is_interactive() && !arguments.no_wait) {
        return watch(&client, connection, output).await.map_err(|failure| {
            failure.with_advice(format!(
                "the key was changed, and the re-encryption continues on the server; to follow it again: {}",
                hints.command("key watch")
            ))
        });
    }
    stderr::notice(&format!(
        "The server re-encrypts stored values in the background. To follow: {}",
        hints.command("key watch")
    ));
    Ok(())
}

fn consequence(organization: &str, is_generated: bool, to_file: bool) -> String {
    let key = match (is_generated, to_file) {
        (true, true) => "a generated key, which is written to the file",
        (true, false) => "a generated key, which is shown once",
        (false, _) => "the given key",
    };
    format!(
        "This changes the encryption key of {organization} to {key}.\n\
         The server re-encrypts all stored values in the background. After that, the previous key opens only older copies."
    )
}

async fn restore(
    arguments: &RestoreArguments,
    connection: &Connection,
    output: &Output,
    secrets: &mut dyn SecretReader,
) -> Result<(), Failure> {
    let source = source(arguments.file.as_ref(), arguments.stdin, false).unwrap_or(Source::Prompt);
    let key = read_existing_key(secrets, KEY, &source, arguments.keep_byte_order_mark, "--file")?;
    let (organization, hints) = (connection.organization(), connection.hints());
    let client = connection.connect().await?;
    let set =
        client.set_data_encryption_key(organization.as_str(), &key, KeyOperation::Restore, arguments.check).await?;
    let answer = output::with_organization(&organization, output::message(&set));
    let shown = output.answer(&answer);
    if arguments.check {
        shown?;
        stderr::notice("The key is correct. Nothing was changed (dry run).");
        return Ok(());
    }
    shown.map_err(|failure| failure.completed(format!("the key of {organization} was restored")))?;
    stderr::notice(&format!("Data encryption of {organization} is active."));
    if !arguments.wait {
        return Ok(());
    }
    watch(&client, connection, output).await.map_err(|failure| {
        failure.with_advice(format!(
            "the key was restored; to follow the re-encryption again: {}",
            hints.command("key watch")
        ))
    })
}

/// Shows the progress on stderr. In the formats for programs, prints the last message to stdout.
async fn watch(client: &Client, connection: &Connection, output: &Output) -> Result<(), Failure> {
    let last: Option<Reencryption> = progress::follow(client, &connection.organization()).await?;
    match (last, output.format()) {
        (Some(last), Format::Json | Format::Name) => output.answer(&output::message(&last)),
        (Some(_) | None, _) => Ok(()),
    }
}

/// The label of the key in prompts and errors.
const KEY: &str = "encryption key";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_key_change_is_reported_only_while_active() {
        let status = |is_active, is_key_change_due, key_version| IsDataEncryptionActiveResponse {
            is_active,
            is_key_change_due,
            key_version,
            ..Default::default()
        };
        let warning = |status| change_due_warning(&status, &Hints::new("contoso", "default"));
        assert_eq!(warning(status(true, false, 1)), None);
        assert!(warning(status(true, true, 1)).unwrap().contains("generated"));
        let older = warning(status(true, true, 2)).unwrap();
        assert!(older.contains("older") && older.contains("sealward key change -o contoso"), "{older}");
        // The server would refuse a change.
        assert_eq!(warning(status(false, true, 2)), None);
    }

    #[test]
    fn confirmation_of_a_change_names_the_organization() {
        let generated = consequence("organizations/contoso", true, false);
        assert!(generated.contains("organizations/contoso") && generated.contains("generated"), "{generated}");
        assert!(consequence("organizations/contoso", true, true).contains("written to the file"));
        assert!(consequence("organizations/contoso", false, false).contains("the given key"));
    }
}
