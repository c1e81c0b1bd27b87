//! A mail connector, as small as one can be: asks Sealward how to sign in for a mailbox, signs in to the IMAP server with it, says what
//! is there, and leaves. Made to be copied from.
//!
//! This file has the command line, the order of things and the words for people. Whether there is anything to sign in with is decided in
//! [`account`]; what goes over the wire to the mail server is in [`imap`]. The password comes as a secret, moves from one to the other, and
//! is wiped once the server has answered to it.

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

/// Signs in to the IMAP server of a mailbox with what Sealward has for it, and shows what is in INBOX.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The mailbox: organizations/ORGANIZATION/mailboxes/ID.
    mailbox: String,

    /// What for, in words that an auditor understands: they stand in the audit trail.
    #[arg(long, value_name = "TEXT", default_value = "fetch mail")]
    purpose: String,

    #[command(flatten)]
    sealward: SealwardOptions,

    /// The CAs that the mail server's certificate may come from, in PEM. Default: those that the system trusts.
    #[arg(long, value_name = "FILE")]
    mail_ca: Option<PathBuf>,

    /// Send the password in the clear if the profile says that the mail server has no TLS.
    #[arg(long)]
    allow_cleartext: bool,
}

/// Which Sealward server, and who asks it.
#[derive(Args)]
struct SealwardOptions {
    /// The Sealward server.
    #[arg(long, env = "SEALWARD_ENDPOINT", value_name = "URL", default_value = "https://127.0.0.1:7443")]
    endpoint: String,

    /// The folder of `sealward-server dev`, to take CA, certificate and key of the connector from that aren't given.
    #[arg(long, env = "SEALWARD_DEV", value_name = "DIR")]
    dev: Option<PathBuf>,

    /// The CA that the Sealward server's certificate comes from, in PEM.
    #[arg(long, env = "SEALWARD_CA", value_name = "FILE", required_unless_present = "dev")]
    ca: Option<PathBuf>,

    /// This connector's certificate, in PEM. Its identity needs the role secret-reader.
    #[arg(long, env = "SEALWARD_CERT", value_name = "FILE", required_unless_present = "dev")]
    cert: Option<PathBuf>,

    /// The private key of the certificate, in PEM.
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

/// Why a run ended without mail.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// Sealward can't be asked, or doesn't answer with a connection.
    #[error("Sealward doesn't resolve the mailbox")]
    Resolve(#[source] SealwardError),
    #[error("there is nothing to sign in with")]
    NoAccount(#[from] NoAccount),
    #[error("no certificate of a mail server can be verified")]
    Trust(#[from] TrustError),
    #[error("the mail server gives no mail")]
    Mail(#[from] ImapError),
    #[error("what was found can't be shown")]
    Output(#[source] io::Error),
}

/// 0: signed in. 1: it came to nothing, and stderr says why. 2: the command line makes no sense.
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

/// What happened, from the outside in, and what Sealward says beside. None of it has a secret.
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
    // Each call leaves an audit record, so it is made when the password is needed, and what it gives isn't kept for the next time.
    let resolved = client.resolve_mailbox_connection(&arguments.mailbox, &arguments.purpose).await;
    // The password for sending, if there is one, is wiped here.
    let incoming = resolved.map_err(Failure::Resolve)?.incoming;
    let account = Account::new(incoming, arguments.allow_cleartext)?;

    let told = format!("Logged in to {}", account.told());
    let visit = visit(account, arguments.mail_ca.as_ref());
    let inbox = tokio::time::timeout(VISIT_TIME_MAX, visit).await.map_err(|_elapsed| ImapError::TimedOut)??;
    write!(io::stdout().lock(), "{told}\n{}\nLogged out.\n", shown(&inbox)).map_err(Failure::Output)
}

/// Connects, logs in, looks, and leaves.
async fn visit(account: Account, mail_ca: Option<&PathBuf>) -> Result<Inbox, Failure> {
    let Account { host, port, use_tls, username, password, .. } = account;
    let tls = use_tls.then(|| imap::tls(mail_ca)).transpose()?;
    let connection = Connection::open(&host, port, tls.as_ref()).await?;
    let mut session = connection.log_in(username, password).await?;
    let inbox = session.inbox().await?;
    session.log_out().await?;
    Ok(inbox)
}

fn shown(inbox: &Inbox) -> String {
    let heading = match inbox.messages {
        0 => "INBOX is empty.".to_owned(),
        1 => "INBOX has 1 message:".to_owned(),
        messages => format!("INBOX has {messages} messages, the newest first:"),
    };
    let subjects = inbox.newest.iter().map(|subject| format!("\n  {subject}"));
    heading + &subjects.collect::<String>()
}

/// From the first packet to the mail server to its last; far more than a visit takes.
const VISIT_TIME_MAX: Duration = Duration::from_secs(30);
