//! A minimal mail connector, to copy from. It gets the credentials of a mailbox from Sealward, signs in to the IMAP server, prints the newest
//! subjects, and logs out.
//!
//! This file has the command line and the sequence of steps. [`account`] converts Sealward's answer to an account; [`imap`] implements the
//! session. The password is a secret type that moves from one to the other, and is wiped after the login.

mod account;
mod imap;

use std::{
    error::Error as _,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Arg, Args, CommandFactory as _, FromArgMatches as _, Parser};
use sealward_client::{Client, Error as SealwardError};

use account::{Account, NoAccount};
use imap::{Connection, ImapError, Inbox, TrustError};

/// Sign in to the IMAP server of a mailbox with credentials from Sealward, and list the newest messages.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Mailbox: organizations/ORGANIZATION/mailboxes/ID.
    mailbox: String,

    /// Reason for the access, recorded in the audit trail; must not contain secrets.
    #[arg(long, value_name = "TEXT", default_value = "fetch mail")]
    purpose: String,

    #[command(flatten)]
    sealward: SealwardOptions,

    /// CA certificates of the mail server, PEM [default: the system's].
    #[arg(long, value_name = "FILE")]
    mail_ca: Option<PathBuf>,

    /// Send the password in clear text if the profile disables TLS.
    #[arg(long)]
    allow_cleartext: bool,
}

/// The connection to Sealward.
#[derive(Args)]
struct SealwardOptions {
    /// URL of the Sealward server.
    #[arg(long, env = "SEALWARD_ENDPOINT", value_name = "URL", default_value = "https://127.0.0.1:7443")]
    endpoint: String,

    /// Directory of `sealward-server dev`; the default for --ca, --cert and --key.
    #[arg(long, env = "SEALWARD_DEV", value_name = "DIR")]
    dev: Option<PathBuf>,

    /// CA certificate of the Sealward server, PEM.
    #[arg(long, env = "SEALWARD_CA", value_name = "FILE", required_unless_present = "dev")]
    ca: Option<PathBuf>,

    /// Client certificate, PEM; its identity needs the role secret-reader.
    #[arg(long, env = "SEALWARD_CERT", value_name = "FILE", required_unless_present = "dev")]
    cert: Option<PathBuf>,

    /// Private key of the client certificate, PEM.
    #[arg(long, env = "SEALWARD_KEY", value_name = "FILE", required_unless_present = "dev")]
    key: Option<PathBuf>,
}

impl SealwardOptions {
    async fn connect(&self) -> Result<Client, SealwardError> {
        let file = |given: &Option<PathBuf>, name: &str| {
            let of_dev = || self.dev.as_ref().map(|folder| folder.join("tls").join(name));
            given.clone().or_else(of_dev).unwrap_or_default()
        };
        Client::builder(&self.endpoint)
            .ca_file(file(&self.ca, "ca.pem"))
            .identity_files(file(&self.cert, "connector.pem"), file(&self.key, "connector.key"))
            .connect()
            .await
    }
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The call of Sealward failed.
    #[error("can't resolve the mailbox")]
    Resolve(#[source] SealwardError),
    #[error("can't sign in")]
    NoAccount(#[from] NoAccount),
    #[error("can't verify mail servers")]
    Trust(#[from] TrustError),
    #[error("mail server")]
    Mail(#[from] ImapError),
    #[error("can't write to stdout")]
    Output(#[source] io::Error),
}

/// Exit codes: 0 for success, 1 for a failure, 2 for a wrong command line.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let matches = without_empty_variables(Arguments::command()).get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let Err(failure) = run(&arguments).await else { return ExitCode::SUCCESS };
    report(&failure);
    ExitCode::FAILURE
}

/// An environment variable that is set and empty counts as unset.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |argument: &Arg| argument.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    command.mut_args(|argument| if is_empty(&argument) { argument.env(None::<&'static str>) } else { argument })
}

/// Prints the failure with its causes, and Sealward's violations and call id. None of them has a secret.
fn report(failure: &Failure) {
    eprint!("mail-connector: {failure}");
    let mut cause = failure.source();
    while let Some(error) = cause {
        eprint!(": {error}");
        cause = error.source();
    }
    eprintln!();
    if let Failure::Resolve(error) = failure {
        error.field_violations().iter().for_each(|found| eprintln!("  {}: {}", found.field, found.description));
        error.call_id().into_iter().for_each(|id| eprintln!("  call id: {id}"));
    }
}

async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let client = arguments.sealward.connect().await.map_err(Failure::Resolve)?;
    // Each login gets its own audit record: the answer isn't stored for the next run.
    let resolved = client.resolve_mailbox_connection(&arguments.mailbox, &arguments.purpose).await;
    // The password for sending, if there is one, is wiped here.
    let incoming = resolved.map_err(Failure::Resolve)?.incoming;
    let account = Account::new(incoming, arguments.allow_cleartext)?;

    let login = format!("Logged in to {}", account.describe());
    let session = read_inbox(account, arguments.mail_ca.as_ref());
    let inbox = tokio::time::timeout(SESSION_TIME_MAX, session).await.map_err(|_elapsed| ImapError::TimedOut)??;
    write!(io::stdout().lock(), "{login}\n{}\nLogged out.\n", describe(&inbox)).map_err(Failure::Output)
}

/// Connects, logs in, reads INBOX, and logs out.
async fn read_inbox(account: Account, mail_ca: Option<&PathBuf>) -> Result<Inbox, Failure> {
    let Account { host, port, use_tls, username, password, .. } = account;
    let tls = use_tls.then(|| imap::tls(mail_ca)).transpose()?;
    let connection = Connection::open(&host, port, tls.as_ref()).await?;
    let mut session = connection.log_in(username, password).await?;
    let inbox = session.inbox().await?;
    session.log_out().await?;
    Ok(inbox)
}

fn describe(inbox: &Inbox) -> String {
    let heading = match inbox.messages {
        0 => "INBOX is empty.".to_owned(),
        1 => "INBOX has 1 message:".to_owned(),
        messages => format!("INBOX has {messages} messages, newest first:"),
    };
    let subjects = inbox.newest.iter().map(|subject| format!("\n  {subject}"));
    heading + &subjects.collect::<String>()
}

/// Maximum time of the IMAP session, with a large margin.
const SESSION_TIME_MAX: Duration = Duration::from_secs(30);
