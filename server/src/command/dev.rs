//! `dev`: runs a development server, and prints commands to try it.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use clap::Args;
use sealward_server::development::{Development, ORGANIZATION, Person};

use super::{
    failure::Failure,
    foreground, print,
    shell::{absolute, quoted, quoted_path},
};

/// The arguments of `dev`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealward-server dev
  sealward-server dev --data-dir /tmp/sealward --listen 127.0.0.1:0

The first run writes a CA, a certificate for each role, a root key and a
commented configuration, DIR/sealward.toml. Later runs reuse these files. Edit
the configuration to try a setting; remove the folder to start over.")]
pub(super) struct DevArguments {
    /// The folder for data, keys and configuration.
    #[arg(long, value_name = "DIR", default_value = "./sealward-dev")]
    data_dir: PathBuf,

    /// The address to listen on, instead of the configured one. Port 0 selects a free port.
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
}

pub(super) async fn run(arguments: &DevArguments) -> Result<(), Failure> {
    let development = Development::prepare(&absolute(arguments.data_dir.clone()))?;
    let mut config = development.config()?;
    if let Some(address) = arguments.listen {
        config.listen.address = address;
    }
    let is_audit_on_stdout = config.is_audit_on_stdout();
    let (running, logging) = foreground::start(config).await?;
    running.ensure_organization(&ORGANIZATION.parse().expect("it is a name")).await?;
    let endpoint = format!("https://{}", reachable(running.address()));
    development.write_endpoint(&endpoint)?;
    let message = message(&development, running.address(), running.plaintext_address(), &running.new_record_id());
    print::greet(is_audit_on_stdout, &message);
    let ended = foreground::wait((running, logging)).await;
    development.remove_endpoint();
    ended
}

/// The greeting, printed when the server is ready. Each command can be pasted as it is, from any folder.
fn message(
    development: &Development,
    address: SocketAddr,
    plaintext_address: Option<SocketAddr>,
    mailbox_id: &str,
) -> String {
    let commands = Commands { development, address: reachable(address) };
    let organization = format!("organizations/{ORGANIZATION}");
    let mailbox = format!("{organization}/mailboxes/{mailbox_id}");
    let (folder, exported) = (development.folder().display(), quoted_path(development.folder()));

    let get = commands.grpcurl(
        Person::Writer,
        "sealward.mail.v1.MailboxService/GetMailbox",
        &format!(r#"{{"name": "{mailbox}"}}"#),
    );
    let reveal = commands.grpcurl(
        Person::Connector,
        "sealward.v1.SecretAccessService/RevealAttributes",
        &format!(r#"{{"name": "{mailbox}", "attributes": ["password"], "purpose": "a first look"}}"#),
    );
    let status = commands.grpcurl(
        Person::Admin,
        "sealward.v1.DataEncryptionService/IsDataEncryptionActive",
        &format!(r#"{{"organization": "{organization}"}}"#),
    );
    let create = format!("mailbox create --id {mailbox_id} --set display_name=Sales --secret password=-");
    let sealward_create =
        format!("printf 'correct horse battery staple' | {}", commands.sealward(Person::Writer, &create));
    let sealward_get = commands.sealward(Person::Writer, &format!("mailbox get {mailbox_id}"));
    let sealward_reveal = commands.sealward(
        Person::Connector,
        &format!("mailbox reveal {mailbox_id} --attribute password --purpose 'a first look'"),
    );
    let sealward_status = commands.sealward(Person::Admin, "key status");
    let plaintext =
        plaintext_address.map(|address| format!("  without TLS    {address}, for health checks\n")).unwrap_or_default();

    format!(
        "\
The Sealward development server is running.

  address        {address}
{plaintext}  organization   {organization}
  configuration  {folder}/sealward.toml
  certificates   {folder}/tls: admin, writer, reader, connector, auditor

In another terminal, create a mailbox with a password, read the mailbox, reveal its password as the connector, and show the state of
the key. If sealward isn't on the PATH, replace it with this command in a clone of the source:
cargo run --release -q -p sealward-cli --

{sealward_create}

{sealward_get}

{sealward_reveal}

{sealward_status}

Set this variable to leave out --endpoint and --dev:

export SEALWARD_DEV={exported}

With grpcurl, read the same mailbox, reveal its password, and show the state of the key:

{get}

{reveal}

{status}

Press Ctrl-C to stop the server. The folder keeps all data.
"
    )
}

/// Commands against this server.
struct Commands<'a> {
    development: &'a Development,
    address: String,
}

impl Commands<'_> {
    fn grpcurl(&self, person: Person, method: &str, body: &str) -> String {
        let Self { development, address } = self;
        format!(
            "grpcurl -cacert {} -cert {} -key {} \\\n  -d {} \\\n  {address} {method}",
            quoted_path(&development.ca()),
            quoted_path(&development.certificate(person)),
            quoted_path(&development.key(person)),
            quoted(body),
        )
    }

    fn sealward(&self, person: Person, arguments: &str) -> String {
        let Self { development, address } = self;
        let folder = quoted_path(development.folder());
        format!("sealward --endpoint https://{address} --dev {folder} --as {} \\\n  {arguments}", person.name())
    }
}

/// An address that a client on this machine can use, and that the server's certificate names.
fn reachable(address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(Ipv4Addr::LOCALHOST) => address.to_string(),
        IpAddr::V4(_) | IpAddr::V6(_) => format!("localhost:{}", address.port()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_address_is_in_the_certificate() {
        let reachable = |text: &str| reachable(text.parse().unwrap());
        assert_eq!(reachable("127.0.0.1:7443"), "127.0.0.1:7443");
        assert_eq!(reachable("0.0.0.0:7443"), "localhost:7443");
        assert_eq!(reachable("[::]:7443"), "localhost:7443");
        assert_eq!(reachable("192.0.2.7:7443"), "localhost:7443");
    }

    #[test]
    fn every_printed_command_can_be_pasted() {
        let folder = tempfile::tempdir().unwrap();
        let development = Development::prepare(folder.path()).unwrap();
        let text =
            message(&development, "127.0.0.1:7443".parse().unwrap(), None, "0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506");
        assert_eq!(text.matches("\ngrpcurl ").count(), 3);
        assert_eq!(text.matches("\nprintf 'correct horse battery staple' | sealward ").count(), 1);
        assert_eq!(text.matches("\nsealward ").count(), 3);
        assert!(text.contains("127.0.0.1:7443 sealward.mail.v1.MailboxService/GetMailbox\n"));
        assert!(!text.contains('{') || text.contains(r#""organization": "organizations/default""#));
    }
}
