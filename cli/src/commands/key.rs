//! `key`: an organization's encryption key, from a look at its state to changing, restoring and following.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use sealward_client::{
    Action, Client, Error, ErrorReason, ExposeSecret as _, KeyOperation, SecretString, generate_key_text,
    v1::{IsDataEncryptionActiveResponse, Reencryption},
};
use sealward_core::text::{code_point, is_invisible};
use serde_json::{Value, json};

use crate::{
    confirmation::{Confirmation, is_interactive},
    connection::Connection,
    delivery::{self, Delivery, KeyFile, OutputFile},
    failure::Failure,
    hints::Hints,
    output::{self, Column, Format, Output},
    pages::PageOptions,
    progress,
    secret_input::{Secrets, Source, read_text, read_text_or, read_text_with_mark},
    stderr,
    strength::Strength,
};

/// The commands under `key`.
#[derive(Subcommand)]
pub(super) enum KeyCommand {
    /// Show whether data encryption is active, with which key, and how far a re-encryption is.
    #[command(after_help = "\
Examples:
  sealward key status
  sealward key status -o contoso --output json")]
    Status,
    /// Show the encryption key, to keep it somewhere safe. The audit trail records it.
    #[command(after_help = "\
Examples:
  sealward key show
  sealward key show --output-file contoso.key -o contoso
  sealward key show --raw | pass insert --multiline sealward/default")]
    Show {
        /// Print the text of the key only, without a line break, for a program.
        #[arg(long, conflicts_with = "output_file")]
        raw: bool,
        #[command(flatten)]
        output_file: OutputFile,
    },
    /// Change the encryption key; stored values are encrypted again in the background.
    #[command(after_help = "\
Unless a key is given, one is generated and shown once. Keep it safe, apart from the database:
without it a copy of the database is of no use, and with both everything can be read.
With --output-file, a generated key is on disk before the change is made, and isn't on stdout.
If it isn't known whether the change was made, the exit code is 1 and the answer has the key and \"outcome\": \"unknown\".

Examples:
  sealward key change
  sealward key change --output-file contoso.key -o contoso
  sealward key change --prompt --no-wait
  sealward key change --output json >new-key.json
  pass show sealward/contoso | sealward key change --stdin -o contoso

At a terminal it asks before it changes anything, and follows the re-encryption; Ctrl-C ends the watching only.
Elsewhere it does neither, unless --wait is given.

Of a file and of stdin, exactly one line break at the end is left out; everything else is the key. A byte order mark and invisible
characters are refused.")]
    Change(ChangeArguments),
    /// Restore the key that the data is encrypted with, after a move or a loss; asks for it unless told otherwise.
    #[command(after_help = "\
`sealward key status` shows the fingerprint of the key that is wanted. Each wrong try counts towards a quota.

Examples:
  sealward key restore
  sealward key restore --file contoso.key

Of a file and of stdin, exactly one line break at the end is left out; everything else is the key. A byte order mark is refused unless
the key was set with it: see --keep-byte-order-mark.")]
    Restore(RestoreArguments),
    /// List the keys that the organization has had, the youngest first, to find the one that an older copy needs.
    #[command(after_help = "\
Of a key without a version, this database knows nothing: it was set in a later state of it, in place of which an older copy
was put back, or by a change that did not come through.

Examples:
  sealward key history
  sealward key history --all --output json")]
    History {
        #[command(flatten)]
        page: PageOptions,
    },
    /// Open every stored value, and tell of those that don't open. Nothing is shown or changed.
    #[command(after_help = "\
It is a look at one moment: writes go on. Ends with exit code 1 if a value doesn't open, or the census is wrong.

Examples:
  sealward key verify
  sealward key verify --output json >found.json")]
    Verify,
    /// List the stored values that no key opens, which the last re-encryption has left as they are.
    #[command(after_help = "\
Set such an attribute again, clear it or delete its record.

Examples:
  sealward key unreadable
  sealward key unreadable --all --output json")]
    Unreadable {
        #[command(flatten)]
        page: PageOptions,
    },
    /// Give up all encrypted attributes, because their key is lost for good, and start over with another key.
    #[command(after_help = "\
Only while data encryption is inactive, or the key ring is missing or damaged. All encrypted attributes are cleared; everything
else stays. There is no way back, but for a copy of the database and its key. Look everywhere first: `sealward key history`.

Unless a key is given, the new one is generated and shown once. Keep it safe, better than the last one.

Examples:
  sealward key abandon --confirm 7f3a-19c2-5d04-88be
  sealward key abandon --confirm 7f3a-19c2-5d04-88be --output-file contoso.key -o contoso
  sealward key abandon --confirm 7f3a-19c2-5d04-88be --check")]
    Abandon(AbandonArguments),
    /// Follow a re-encryption until it ends.
    ///
    /// Ctrl-C ends the watching, with exit code 130; the server goes on.
    #[command(after_help = "\
Examples:
  sealward key watch
  sealward key watch --output json >last.json")]
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
    #[command(flatten)]
    output_file: OutputFile,
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
    /// Take a byte order mark at the beginning of the file or of stdin as part of the key, because the key was set with it.
    #[arg(long)]
    keep_byte_order_mark: bool,
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
    /// The fingerprint of the key that is given up, as `sealward key status` shows it.
    #[arg(long, value_name = "FINGERPRINT")]
    confirm: String,
    /// Take the new key from a file.
    #[arg(long, value_name = "FILE", group = "abandon_source")]
    file: Option<PathBuf>,
    /// Take the new key from stdin.
    #[arg(long, group = "abandon_source")]
    stdin: bool,
    #[command(flatten)]
    output_file: OutputFile,
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
    output.answer(&output::of_organization(&organization, answer))?;
    if let Some(due) = due(&status, connection.hints()) {
        stderr::warning(&due);
    }
    if status.rolled_back_time.is_some() {
        stderr::warning(&format!(
            "The organization's database is an older copy: what was written after the copy was made is gone.\n\
             The key is that of the copy; `{}` lists all keys. A change of the key ends this report.",
            connection.hints().command("key history")
        ));
    }
    if !status.is_active {
        let hints = connection.hints();
        stderr::notice(&match status.fingerprint.as_str() {
            "" => format!(
                "Data encryption of {organization} is inactive: the key ring is missing or damaged.\n\
                 Restore the database from a backup, or give up the encrypted attributes: {}",
                hints.command("key abandon")
            ),
            wanted => format!(
                "Data encryption of {organization} is inactive. Restore the key {wanted}: {}",
                hints.command("key restore")
            ),
        });
    }
    Ok(())
}

/// Why the key should be changed, if it should be. An inactive key can only be restored.
fn due(status: &IsDataEncryptionActiveResponse, hints: &Hints) -> Option<String> {
    let why = match (status.is_active && status.is_key_change_due, status.key_version) {
        (false, _) => return None,
        (true, 1) => "The key is the one that was generated with the organization",
        (true, _) => "The key is older than it should be",
    };
    Some(format!("{why}: change it ({}).", hints.command("key change")))
}

async fn history(page: PageOptions, connection: &Connection, output: &Output) -> Result<(), Failure> {
    let client = connection.connect().await?;
    let mut pages = page.begin();
    while let Some(next) = pages.next() {
        let page = client.list_key_changes(connection.organization(), next.size, next.token).await?;
        let changes = page.records.iter().map(output::message);
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
        unreadable.extend(message.unreadable_cells.iter().map(output::message));
        miscounts.extend(message.census_miscounts.iter().map(output::message));
        if message.is_complete {
            break Some(message.cells_checked);
        }
    };
    display.end();
    let checked =
        last.ok_or_else(|| Failure::NoValue("the check was cut off: not every value was opened".to_owned()))?;
    let (unopened, wrong) = (unreadable.len(), miscounts.len());
    output.answer(&json!({
        "organization": connection.organization(),
        "cells_checked": checked,
        "unreadable_cells": unreadable,
        "census_miscounts": miscounts,
    }))?;
    match (unopened, wrong) {
        (0, 0) => {
            stderr::notice("Every value opens, and the census is right.");
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
        let cells = page.records.iter().map(output::message);
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
    let source = source(arguments.file.as_ref(), arguments.stdin, false);
    let new = NewKey::get(source, &arguments.output_file, arguments.check, secrets)?;
    let (organization, hints) = (connection.organization(), connection.hints());
    if !arguments.check {
        arguments.confirmation.ask(&format!(
            "This clears all encrypted attributes of {organization}, for good: without the lost key they can't be brought back.\n\
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
            let failure = new.failed(error, delivery, output, connection, &again);
            return Err(if is_active {
                let change = hints.command("key change");
                failure
                    .advised(format!("nothing is lost, so there is nothing to give up; to set another key: {change}"))
            } else {
                failure
            });
        }
    };
    let answer = output::of_organization(&organization, output::message(&abandoned));
    new.deliver(answer, delivery.as_ref(), output, &client, connection).await?;
    if arguments.check {
        stderr::notice("The request is valid. Nothing was changed.");
        return Ok(());
    }
    stderr::notice(&format!(
        "The encrypted attributes of {organization} are being cleared: {}\n\
         Keep the new key safe, apart from the database, and where it will be found.",
        hints.command("key watch")
    ));
    Ok(())
}

async fn show(connection: &Connection, output: &Output, is_raw: bool, output_file: &OutputFile) -> Result<(), Failure> {
    let organization = connection.organization();
    if output_file.path().is_none() {
        delivery::check_open()?;
    }
    let key = connection.connect().await?.retrieve_data_encryption_key(organization.as_str()).await?;
    if let Some(path) = output_file.path() {
        let file = KeyFile::create(path, &key.encryption_key)?;
        let path = file.path().to_string_lossy();
        let answer = json!({ "organization": organization, "fingerprint": key.fingerprint, "output_file": path });
        return output.answer(&answer).map_err(|failure| failure.done(format!("the key is in {path}")));
    }
    let text = key.encryption_key.expose_secret();
    if is_raw {
        return output::print_value(text.as_bytes());
    }
    let answer = json!({ "organization": organization, "encryption_key": text, "fingerprint": key.fingerprint });
    output.answer(&answer)
}

/// Where a key comes from that isn't generated.
fn source(file: Option<&PathBuf>, is_stdin: bool, is_prompt: bool) -> Option<Source> {
    match (file, is_stdin, is_prompt) {
        (Some(file), _, _) => Some(Source::File(file.clone())),
        (None, true, _) => Some(Source::Stdin),
        (None, false, true) => Some(Source::PromptTwice),
        (None, false, false) => None,
    }
}

/// A key to set: given, or generated and to be delivered.
struct NewKey<'a> {
    text: SecretString,
    is_generated: bool,
    output_file: &'a OutputFile,
    is_check: bool,
}

impl<'a> NewKey<'a> {
    /// Gets or generates the key. A generated one is only made if it can be delivered.
    fn get(
        source: Option<Source>,
        output_file: &'a OutputFile,
        is_check: bool,
        secrets: &mut dyn Secrets,
    ) -> Result<Self, Failure> {
        let is_generated = source.is_none();
        if output_file.path().is_some() && (!is_generated || is_check) {
            return Err(Failure::usage("--output-file is for a generated key, and for a change that is made"));
        }
        let text = match &source {
            Some(source) => {
                let text = read_text(secrets, NEW_KEY, source)?;
                check_visible(NEW_KEY, &text, "")?;
                text
            }
            None => {
                if !is_check {
                    output_file.check()?;
                }
                generate_key_text()
            }
        };
        Ok(Self { text, is_generated, output_file, is_check })
    }

    /// Writes a generated key to its file, if it has one. To be called right before the call: nothing can be lost after it.
    fn write(&self) -> Result<Option<Delivery>, Failure> {
        if !self.is_generated || self.is_check {
            return Ok(None);
        }
        self.output_file.write(&self.text).map(Some)
    }

    /// Shows the answer to the call that set the key, or only checked it; with a generated key in it that was set.
    ///
    /// # Errors
    /// The answer can't be written. Unless nothing was set, the failure reports that the key was.
    async fn deliver(
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
        shown.map_err(|failure| failure.done(format!("the given key is the key of {}", connection.organization())))
    }

    /// What becomes of a generated key when its call failed: one that isn't used goes, and one that may be is delivered.
    /// `again`: the command that would set it.
    fn failed(
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
        let look = hints.command("key status");
        let advice = match delivery {
            None => format!(
                "the key may have been set. To look: {look}\nto set it, if it wasn't: run the same command again"
            ),
            Some(Delivery::File(file)) => format!(
                "the key in {} may have been set: keep it. To look: {look}\nto set it, if it wasn't: {}",
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
                        "the key shown may have been set: keep it. To look: {look}\nto set it, if it wasn't: {}",
                        hints.command(&format!("{again} --stdin"))
                    ),
                    Err(_) => format!(
                        "the new key may have been set and can't be written to stdout. To look: {look}\n\
                         to get it: {}",
                        hints.command("key show --output-file FILE")
                    ),
                }
            }
        };
        Failure::Advised { error, advice }
    }
}

/// Refuses a text with invisible characters: typed again after a loss, they would be missing.
/// `otherwise`: a line on what to do if it is meant.
fn check_visible(what: &str, text: &SecretString, otherwise: &str) -> Result<(), Failure> {
    let mut characters = text.expose_secret().chars().enumerate();
    match characters.find(|(_, character)| is_invisible(*character)) {
        None => Ok(()),
        Some((index, character)) => Err(Failure::usage(format!(
            "{what} has an invisible character ({}, character {}): leave it out{otherwise}",
            code_point(character),
            index + 1
        ))),
    }
}

async fn change(
    arguments: &ChangeArguments,
    connection: &Connection,
    output: &Output,
    secrets: &mut dyn Secrets,
) -> Result<(), Failure> {
    let source = source(arguments.file.as_ref(), arguments.stdin, arguments.prompt);
    let new = NewKey::get(source, &arguments.output_file, arguments.check, secrets)?;
    if !new.is_generated {
        let strength = Strength::of(&new.text);
        if strength.is_weak() { stderr::warning(&strength.describe()) } else { stderr::notice(&strength.describe()) }
    }
    let (organization, hints) = (connection.organization(), connection.hints());
    if !arguments.check {
        // Where no person can be asked it goes on: nothing is lost, since a generated key is delivered and the former one is known.
        arguments.confirmation.ask_if_possible(&consequence(&organization, new.is_generated))?;
    }

    let client = connection.connect().await?;
    let delivery = new.write()?;
    let outcome =
        client.set_data_encryption_key(organization.as_str(), &new.text, KeyOperation::Change, arguments.check).await;
    let set = match outcome {
        Ok(set) => set,
        Err(error) => return Err(new.failed(error, delivery, output, connection, "key change")),
    };
    let answer = output::of_organization(&organization, output::message(&set));
    new.deliver(answer, delivery.as_ref(), output, &client, connection).await?;
    if arguments.check {
        stderr::notice("The change is valid. Nothing was changed.");
        return Ok(());
    }
    stderr::notice(&format!(
        "The key of {organization} is changed. Keep it safe, apart from the database: a copy of the database is of no use without it.\n\
         Keep the former key for as long as you keep older copies."
    ));
    if arguments.wait || (is_interactive() && !arguments.no_wait) {
        return watch(&client, connection, output).await.map_err(|failure| {
            failure.advised(format!(
                "the key is changed, and the re-encryption goes on; only following it failed: {}",
                hints.command("key watch")
            ))
        });
    }
    stderr::notice(&format!("Stored values are encrypted again in the background: {}", hints.command("key watch")));
    Ok(())
}

fn consequence(organization: &str, is_generated: bool) -> String {
    let key = if is_generated { "a new key, which is generated and shown once" } else { "the given key" };
    format!(
        "This changes the encryption key of {organization} to {key}.\n\
         All stored values are encrypted again in the background. From then on, the former key opens older copies only."
    )
}

async fn restore(
    arguments: &RestoreArguments,
    connection: &Connection,
    output: &Output,
    secrets: &mut dyn Secrets,
) -> Result<(), Failure> {
    let source = source(arguments.file.as_ref(), arguments.stdin, false).unwrap_or(Source::Prompt);
    let key = if arguments.keep_byte_order_mark {
        read_text_with_mark(secrets, KEY, &source)?
    } else {
        read_text_or(secrets, KEY, &source, "\n  if the key was set with it: --keep-byte-order-mark")?
    };
    if source == Source::Prompt {
        // From a file it is taken: the key may have been set so.
        check_visible(KEY, &key, "\n  if the key was set with it, give it in a file: --file")?;
    }
    let (organization, hints) = (connection.organization(), connection.hints());
    let client = connection.connect().await?;
    let set =
        client.set_data_encryption_key(organization.as_str(), &key, KeyOperation::Restore, arguments.check).await?;
    let answer = output::of_organization(&organization, output::message(&set));
    let shown = output.answer(&answer);
    if arguments.check {
        shown?;
        stderr::notice("The key is the right one. Nothing was changed.");
        return Ok(());
    }
    shown.map_err(|failure| failure.done(format!("the key of {organization} is restored")))?;
    stderr::notice(&format!("Data encryption of {organization} is active."));
    if !arguments.wait {
        return Ok(());
    }
    watch(&client, connection, output).await.map_err(|failure| {
        failure.advised(format!(
            "the key is restored; only following the re-encryption failed: {}",
            hints.command("key watch")
        ))
    })
}

/// Progress on stderr, and for programs the last message on stdout. People have read it already.
async fn watch(client: &Client, connection: &Connection, output: &Output) -> Result<(), Failure> {
    let last: Option<Reencryption> = progress::follow(client, &connection.organization()).await?;
    match (last, output.format()) {
        (Some(last), Format::Json | Format::Name) => output.answer(&output::message(&last)),
        (Some(_) | None, _) => Ok(()),
    }
}

/// What a key is called where it is asked for, and in what is said about it.
const KEY: &str = "encryption key";
const NEW_KEY: &str = "new encryption key";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_due_change_is_reported_with_its_reason_while_active() {
        let status = |is_active, is_key_change_due, key_version| IsDataEncryptionActiveResponse {
            is_active,
            is_key_change_due,
            key_version,
            ..Default::default()
        };
        let due = |status| due(&status, &Hints::new("contoso", "default"));
        assert_eq!(due(status(true, false, 1)), None);
        assert!(due(status(true, true, 1)).unwrap().contains("generated"));
        let older = due(status(true, true, 2)).unwrap();
        assert!(older.contains("older") && older.contains("sealward key change -o contoso"), "{older}");
        // A change would be refused.
        assert_eq!(due(status(false, true, 2)), None);
    }

    #[test]
    fn the_consequence_of_a_change_names_the_organization() {
        let generated = consequence("organizations/contoso", true);
        assert!(generated.contains("organizations/contoso") && generated.contains("generated"), "{generated}");
        assert!(consequence("organizations/contoso", false).contains("the given key"));
    }

    #[test]
    fn an_invisible_character_in_a_key_is_named_and_the_key_is_not_repeated() {
        assert!(check_visible(NEW_KEY, &"a new key, number 1".into(), "").is_ok());
        for (text, named) in [("canary\u{200b}1!", "U+200B, character 7"), ("\u{feff}canary", "U+FEFF, character 1")] {
            let Err(Failure::Usage(refused)) = check_visible(NEW_KEY, &text.into(), "") else { panic!("{named}") };
            assert!(refused.contains(named) && !refused.contains("canary"), "{refused}");
        }
    }
}
