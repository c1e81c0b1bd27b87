//! `resolve` and `compare`: how a mailbox signs in, and whether a value equals the stored one. The audit trail records both.

use std::path::PathBuf;

use clap::Args;
use sealward_client::MailConnection;
use serde_json::{Map, Value, json};

use crate::{
    connection::Connection,
    failure::Failure,
    input::secret::{SecretReader, Source, read_text},
    output::{Output, stderr},
};

/// Arguments of `resolve`.
#[derive(Args)]
pub(super) struct ResolveArguments {
    /// Mailbox, by id or full name.
    #[arg(value_name = "MAILBOX")]
    mailbox: String,
    /// Reason for the access, recorded in the audit trail; must not contain secrets.
    #[arg(long, value_name = "TEXT")]
    purpose: String,
    /// Show the passwords instead of whether they are set.
    #[arg(long)]
    show_passwords: bool,
}

/// Arguments of `compare`.
#[derive(Args)]
pub(super) struct CompareArguments {
    /// Record, by full name.
    #[arg(value_name = "NAME")]
    name: String,
    /// Encrypted attribute to compare.
    #[arg(long, value_name = "ATTRIBUTE")]
    attribute: String,
    /// Reason for the comparison, recorded in the audit trail; must not contain secrets.
    #[arg(long, value_name = "TEXT")]
    purpose: String,
    /// File with the value to compare [default: a prompt].
    #[arg(long, value_name = "FILE", conflicts_with = "stdin")]
    file: Option<PathBuf>,
    /// Read the value to compare from stdin.
    #[arg(long)]
    stdin: bool,
}

pub(super) const RESOLVE_EXAMPLES: &str = "\
The audit trail records your identity, the purpose, and the host and port that
each password is for. The response has only the directions, incoming and outgoing,
that the mailbox uses.

Examples:
  sealward resolve 0865… --purpose 'diagnose incoming mail'
  sealward resolve organizations/default/mailboxes/0865… --purpose 'incoming mail' --show-passwords --output json";

pub(super) const COMPARE_EXAMPLES: &str = "\
The audit trail records each comparison. The number of comparisons with a value
in 15 minutes is limited. Exit code 1 means that the values differ, or that the
attribute is null.

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
        answer.insert(direction.to_owned(), to_json(found, arguments.show_passwords));
    }
    if answer.is_empty() {
        stderr::notice("The mailbox's delivery methods neither fetch nor send mail.");
    }
    output.answer(&Value::Object(answer))
}

/// A connection as JSON, with the contract's field names.
fn to_json(connection: &MailConnection, with_password: bool) -> Value {
    use sealward_client::ExposeSecret as _;
    let mut value = json!({
        "protocol": connection.protocol.as_str_name().trim_start_matches("PROTOCOL_"),
        "server": connection.server,
        "port": connection.port,
        "use_tls": connection.use_tls,
        "username": connection.username,
        "credentials": connection.credentials.as_str_name().trim_start_matches("CREDENTIALS_"),
    });
    if let Some(fields) = value.as_object_mut() {
        match &connection.password {
            Some(password) if with_password => fields.insert("password".to_owned(), password.expose_secret().into()),
            password => fields.insert("is_password_set".to_owned(), password.is_some().into()),
        };
    }
    value
}

pub(super) async fn compare(
    arguments: CompareArguments,
    connection: &Connection,
    output: &Output,
    secrets: &mut dyn SecretReader,
) -> Result<(), Failure> {
    let source = match (arguments.file, arguments.stdin) {
        (Some(path), _) => Source::File(path),
        (None, true) => Source::Stdin,
        (None, false) => Source::Prompt,
    };
    const LABEL: &str = "value to compare";
    let value = read_text(secrets, LABEL, &source)?;
    let client = connection.connect().await?;
    let equal = client.compare_attribute(arguments.name, arguments.attribute, &value, arguments.purpose).await?;
    output.answer(&json!({ "equal": equal }))?;
    if equal { Ok(()) } else { Err(Failure::Failed("the values differ, or the attribute is null".to_owned())) }
}

#[cfg(test)]
mod tests {
    use sealward_client::mail_v1::mail_connection::{Credentials, Protocol};

    use super::*;

    #[test]
    fn password_is_shown_only_on_request() {
        let connection = MailConnection {
            protocol: Protocol::Imap,
            server: Some("imap.example.org".to_owned()),
            port: 993,
            use_tls: true,
            username: Some("sales".to_owned()),
            password: Some("hunter2".into()),
            credentials: Credentials::OfMailbox,
        };
        let hidden = to_json(&connection, false);
        assert_eq!((hidden["is_password_set"].as_bool(), hidden.get("password")), (Some(true), None));
        assert_eq!((&hidden["protocol"], &hidden["credentials"]), (&json!("IMAP"), &json!("OF_MAILBOX")));
        assert_eq!(to_json(&connection, true)["password"], json!("hunter2"));
    }
}
