//! `key`: an organization's encryption key, from a look at its state to changing, restoring and following.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use fieldseal_client::{
    Action, Client, ExposeSecret as _, GENERATED_KEY_BITS, KeyOperation, SecretString, generate_key_text,
    v1::Reencryption, v1::reencryption::State,
};
use serde_json::{Value, json};

use super::{
    connection::Connection,
    failure::Failure,
    output,
    secret_input::{Secrets, Source, into_text},
};

/// The commands under `key`.
#[derive(Subcommand)]
pub(super) enum KeyCommand {
    /// Show whether data encryption is active, with which key, and how far a re-encryption is.
    Status,
    /// Show the encryption key, to keep it somewhere safe. The audit trail records it.
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
  fieldseal key change --wait
  fieldseal key change --prompt
  pass show fieldseal/contoso | fieldseal key change --stdin -o contoso

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
    /// Follow the re-encryption until it ends.
    #[arg(long, conflicts_with = "check")]
    wait: bool,
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
    secrets: &mut dyn Secrets,
) -> Result<(), Failure> {
    match command {
        KeyCommand::Status => status(connection).await,
        KeyCommand::Show { raw } => show(connection, raw).await,
        KeyCommand::Change(arguments) => change(&arguments, connection, secrets).await,
        KeyCommand::Restore(arguments) => restore(&arguments, connection, secrets).await,
        KeyCommand::Watch => watch(&connection.connect().await?, connection).await,
    }
}

async fn status(connection: &Connection) -> Result<(), Failure> {
    let status = connection.connect().await?.is_data_encryption_active(connection.organization()).await?;
    output::print(&output::message("IsDataEncryptionActiveResponse", &status))?;
    if !status.is_active {
        output::notice(&match status.fingerprint.as_str() {
            "" => "Data encryption is inactive: the key ring is missing or damaged.".to_owned(),
            wanted => format!("Data encryption is inactive. Restore the key {wanted}: fieldseal key restore"),
        });
    }
    Ok(())
}

async fn show(connection: &Connection, is_raw: bool) -> Result<(), Failure> {
    let key = connection.connect().await?.retrieve_data_encryption_key(connection.organization()).await?;
    let text = key.encryption_key.expose_secret();
    if is_raw {
        return output::print_bytes(text.as_bytes());
    }
    output::print(&json!({ "encryption_key": text, "fingerprint": key.fingerprint }))
}

async fn change(
    arguments: &ChangeArguments,
    connection: &Connection,
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
        output::notice(&strength(&key));
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
        output::print(&answer)?;
        output::notice("The change is possible. Nothing was changed.");
        return Ok(());
    }
    if let (None, Some(answer)) = (&source, answer.as_object_mut()) {
        answer.insert("encryption_key".to_owned(), Value::String(key.expose_secret().to_owned()));
    }
    output::print(&answer)?;
    output::notice(
        "The key is changed. Keep it safe, apart from the database: a copy of the database is of no use without it.\n\
         Keep the former key for as long as you keep older copies.",
    );
    if arguments.wait {
        return watch(&client, connection).await;
    }
    output::notice("Stored values are encrypted anew in the background: fieldseal key watch");
    Ok(())
}

async fn restore(
    arguments: &RestoreArguments,
    connection: &Connection,
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
    output::print(&output::message("SetDataEncryptionKeyResponse", &set))?;
    if arguments.check {
        output::notice("The key is the right one. Nothing was changed.");
        return Ok(());
    }
    output::notice("Data encryption is active.");
    if arguments.wait { watch(&client, connection).await } else { Ok(()) }
}

/// A line a message on stderr, and the last message on stdout.
async fn watch(client: &Client, connection: &Connection) -> Result<(), Failure> {
    let mut stream = client.watch_reencryption(connection.organization()).await?;
    let mut last = None;
    while let Some(progress) = stream.next().await? {
        output::notice(&describe(&progress));
        last = Some(progress);
    }
    last.map_or(Ok(()), |last| output::print(&output::message("Reencryption", &last)))
}

fn describe(progress: &Reencryption) -> String {
    let Reencryption { cells_total, cells_done, cells_unreadable, cells_per_second, .. } = progress;
    let cells = format!("{cells_done} of {cells_total} cells");
    match progress.state() {
        State::None => "There has been no re-encryption: the key was never changed.".to_owned(),
        State::Waiting => format!("Waiting for the key to be restored: {cells}"),
        State::Running => format!("Running: {cells}, {cells_per_second:.0} a second"),
        State::Finishing => format!("Finishing: {cells}"),
        State::Done => format!("Done: {cells}"),
        State::DoneWithUnreadableCells => format!("Done: {cells}, and {cells_unreadable} that no key here opens"),
        State::Unspecified => format!("In a state that this client doesn't know: {cells}"),
    }
}

/// What a typed key is worth at best: as if each of its characters had been drawn at random from the kinds it uses.
fn strength(key: &SecretString) -> String {
    let bits = strength_bits_max(key.expose_secret());
    format!(
        "This key is worth {bits} bits at the very most, and far fewer if it is words or a pattern; a generated one has \
         {GENERATED_KEY_BITS}."
    )
}

fn strength_bits_max(text: &str) -> u32 {
    type Kind = (fn(char) -> bool, f64);
    let kinds: [Kind; 5] = [
        (|character| character.is_ascii_lowercase(), 26.0),
        (|character| character.is_ascii_uppercase(), 26.0),
        (|character| character.is_ascii_digit(), 10.0),
        (|character| character == ' ' || character.is_ascii_punctuation(), 33.0),
        // Whoever types other letters mostly draws them from one script.
        (|character| !character.is_ascii(), 100.0),
    ];
    let alphabet: f64 = kinds.iter().filter(|(is_kind, _)| text.chars().any(is_kind)).map(|(_, size)| size).sum();
    text.chars().map(|_| alphabet.log2()).sum::<f64>().floor() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strength_of_a_typed_key_is_never_flattered() {
        assert_eq!(strength_bits_max(""), 0);
        assert_eq!(strength_bits_max("abcdefgh1!"), 61);
        assert_eq!(strength_bits_max("aaaaaaaaaa"), 47);
        assert!(!strength(&"canary-1234".into()).contains("canary"));
        let generated = generate_key_text();
        assert!(strength_bits_max(generated.expose_secret()) as usize > GENERATED_KEY_BITS);
    }

    #[test]
    fn progress_reads_as_a_line() {
        let mut progress =
            Reencryption { cells_total: 5_000, cells_done: 1_200, cells_per_second: 799.6, ..Default::default() };
        progress.set_state(State::Running);
        assert_eq!(describe(&progress), "Running: 1200 of 5000 cells, 800 a second");
    }
}
