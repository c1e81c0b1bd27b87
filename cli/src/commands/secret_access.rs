//! `resolve` and `compare`: how a mailbox signs in, and whether a value is the stored one. Both are in the audit trail.

use std::path::PathBuf;

use clap::Args;
use sealward_client::MailConnection;
use serde_json::{Map, Value, json};

use crate::{
    connection::Connection,
    failure::Failure,
    output::Output,
    secret_input::{Secrets, Source, read_text},
    stderr,
};

/// What to resolve.
#[derive(Args)]
pub(super) struct ResolveArguments {
    /// The mailbox, by its id or its full name.
    #[arg(value_name = "MAILBOX")]
    mailbox: String,
    /// What the connection is needed for, in words that an auditor understands; put no secret in it.
    #[arg(long, value_name = "TEXT")]
    purpose: String,
    /// Show the passwords too, instead of whether there are any.
    #[arg(long)]
    show_passwords: bool,
}

/// What to compare with what.
#[derive(Args)]
pub(super) struct CompareArguments {
    /// The record, by its full name.
    #[arg(value_name = "NAME")]
    name: String,
    /// The encrypted attribute.
    #[arg(long, value_name = "ATTRIBUTE")]
    attribute: String,
    /// What the comparison is needed for, in words that an auditor understands; put no secret in it.
    #[arg(long, value_name = "TEXT")]
    purpose: String,
    /// Take the value to compare with from a file. Default: it is asked for.
    #[arg(long, value_name = "FILE", conflicts_with = "stdin")]
    file: Option<PathBuf>,
    /// Take the value to compare with from standard input.
    #[arg(long)]
    stdin: bool,
}

pub(super) const RESOLVE_EXAMPLES: &str = "\
The audit trail has who, why, and to which host and port each password goes. A direction that the mailbox doesn't use is left out.

Examples:
  sealward resolve 0865… --purpose 'why it fetches nothing'
  sealward resolve organizations/default/mailboxes/0865… --purpose 'incoming mail' --show-passwords --output json";

pub(super) const COMPARE_EXAMPLES: &str = "\
Each comparison is recorded, and there are so many for each value in 15 minutes. Exit code 1: it is another value, or there is none.

Examples:
  sealward compare organizations/default/mailboxes/0865… --attribute password --purpose 'a login'
  pass show sales | sealward compare organizations/default/mailboxes/0865… --attribute password --purpose 'a login' --stdin";

pub(super) async fn resolve(
    arguments: ResolveArguments,
    connection: &Connection,
    output: &Output,
) -> Result<(), Failure> {
    let name = connection.record_name("mailboxes", &arguments.mailbox);
    let client = connection.connect().await?;
    let resolved = client.resolve_mailbox_connection(name, arguments.purpose).await?;
    let mut answer = Map::new();
    for (direction, found) in [("incoming", &resolved.incoming), ("outgoing", &resolved.outgoing)] {
        let Some(found) = found else { continue };
        answer.insert(direction.to_owned(), shown(found, arguments.show_passwords));
    }
    if answer.is_empty() {
        stderr::notice("The mailbox neither fetches nor sends mail, by its delivery methods.");
    }
    output.answer(&Value::Object(answer))
}

/// How to sign in, in the words of the contract.
fn shown(connection: &MailConnection, with_password: bool) -> Value {
    use sealward_client::ExposeSecret as _;
    let mut shown = json!({
        "protocol": connection.protocol.as_str_name().trim_start_matches("PROTOCOL_"),
        "server": connection.server,
        "port": connection.port,
        "use_tls": connection.use_tls,
        "username": connection.username,
        "credentials": connection.credentials.as_str_name().trim_start_matches("CREDENTIALS_"),
    });
    if let Some(fields) = shown.as_object_mut() {
        match &connection.password {
            Some(password) if with_password => fields.insert("password".to_owned(), password.expose_secret().into()),
            password => fields.insert("is_password_set".to_owned(), password.is_some().into()),
        };
    }
    shown
}

pub(super) async fn compare(
    arguments: CompareArguments,
    connection: &Connection,
    output: &Output,
    secrets: &mut dyn Secrets,
) -> Result<(), Failure> {
    let source = match (arguments.file, arguments.stdin) {
        (Some(path), _) => Source::File(path),
        (None, true) => Source::Stdin,
        (None, false) => Source::Prompt,
    };
    const WHAT: &str = "The value to compare with";
    let value = read_text(secrets, WHAT, &source)?;
    let client = connection.connect().await?;
    let equal = client.compare_attribute(arguments.name, arguments.attribute, &value, arguments.purpose).await?;
    output.answer(&json!({ "equal": equal }))?;
    if equal { Ok(()) } else { Err(Failure::NoValue("it is another value, or there is none".to_owned())) }
}

#[cfg(test)]
mod tests {
    use sealward_client::mail_v1::mail_connection::{Credentials, Protocol};

    use super::*;

    #[test]
    fn a_password_is_shown_only_where_that_is_asked_for() {
        let connection = MailConnection {
            protocol: Protocol::Imap,
            server: Some("imap.example.org".to_owned()),
            port: 993,
            use_tls: true,
            username: Some("sales".to_owned()),
            password: Some("hunter2".into()),
            credentials: Credentials::OfMailbox,
        };
        let hidden = shown(&connection, false);
        assert_eq!((hidden["is_password_set"].as_bool(), hidden.get("password")), (Some(true), None));
        assert_eq!((&hidden["protocol"], &hidden["credentials"]), (&json!("IMAP"), &json!("OF_MAILBOX")));
        assert_eq!(shown(&connection, true)["password"], json!("hunter2"));
    }
}
