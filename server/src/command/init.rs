//! `init`: prepares the folder of a production server, and prints the next steps.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use sealward_core::identity::Identity;
use sealward_server::init::{Plan, Wishes};

use super::{failure::Failure, print, shell};

/// The arguments of `init`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealward-server init /etc/sealward --admin cn:ada
  sealward-server init /etc/sealward --data-dir /srv/sealward --listen 0.0.0.0:7443
  sealward-server init /etc/sealward --systemd --admin spiffe:example.org/ops --listen 0.0.0.0:7443
  sealward-server init /etc/sealward --print

Existing files are never overwritten. Paths given here are relative to the
current folder; default paths are relative to DIR. Without --listen, the
server is reachable from this machine only.")]
pub(super) struct InitArguments {
    /// The folder for the configuration and the root key.
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// The data folder. Default: DIR/data, or /var/lib/sealward with --systemd.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// The address to listen on. Default: 127.0.0.1:7443, reachable from this machine only.
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,

    /// The server's certificate, in PEM. Default: DIR/tls/server.pem, or DIR/server.pem with --systemd.
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,

    /// The certificate's private key, in PEM. Default: DIR/tls/server.key, or DIR/server.key with --systemd.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// The CAs whose client certificates are accepted, in PEM. Default: DIR/tls/client-ca.pem, or DIR/client-ca.pem with --systemd.
    #[arg(long, value_name = "FILE")]
    client_ca: Option<PathBuf>,

    /// The identity of the first system administrator, as in its client certificate: cn:NAME, dns:NAME or spiffe:ID.
    #[arg(long, value_name = "IDENTITY")]
    admin: Option<Identity>,

    /// Name certificates, keys and the root key as systemd credentials, which deploy/sealward.service loads from DIR.
    #[arg(long)]
    systemd: bool,

    /// Print the configuration to stdout, and create no files.
    #[arg(long)]
    print: bool,
}

pub(super) fn run(arguments: InitArguments) -> Result<(), Failure> {
    let InitArguments { folder, data_dir, listen, certificate, key, client_ca, admin, systemd, print } = arguments;
    let absolute = |path: Option<PathBuf>| path.map(shell::absolute);
    let wishes = Wishes {
        listen,
        data_dir: absolute(data_dir),
        certificate: absolute(certificate),
        key: absolute(key),
        client_ca: absolute(client_ca),
        admin,
        systemd,
    };
    let plan = Plan::new(&shell::absolute(folder), wishes.clone());
    if print {
        return Ok(print::to_stdout(plan.configuration())?);
    }
    plan.carry_out()?;
    let created = || format!("the files are created; see {}", plan.config_file().display());
    Ok(print::to_stdout(message(&plan, &wishes)).map_err(|error| error.completed(created()))?)
}

/// The list of created files, and the next steps.
fn message(plan: &Plan, wishes: &Wishes) -> String {
    let config = plan.config_file();
    let mut text = format!(
        "\
Created:
  {config}    the configuration, with an explanation of every setting
  {root_key}    the root key. Copy it to a safe place, apart from backups of the data:
      if it is lost, every encryption key has to be restored from its text
",
        config = config.display(),
        root_key = plan.root_key().display(),
    );
    let data_dir = plan.data_dir();
    if wishes.systemd {
        text.push_str(&format!("systemd creates the data folder, {}.\n", data_dir.display()));
    } else {
        text.push_str(&format!("  {}    the data folder\n", data_dir.display()));
    }
    text.push_str("\nNext:\n");
    for (number, step) in (1..).zip(steps(plan, wishes)) {
        text.push_str(&format!("{number}. {step}\n"));
    }
    text
}

fn steps(plan: &Plan, wishes: &Wishes) -> Vec<String> {
    let config = shell::quoted_path(&plan.config_file());
    let missing = plan.provided().into_iter().filter(|provided| !provided.path.exists());
    let missing: String =
        missing.map(|provided| format!("\n     {}    {}", provided.path.display(), provided.what)).collect();
    let mut steps = Vec::new();
    if !missing.is_empty() {
        steps.push(format!("Copy your certificates to these files, in PEM:{missing}"));
    }
    match &wishes.admin {
        Some(identity) => steps
            .push(format!("Issue a certificate from one of the client CAs to {identity}, the system administrator.")),
        None => steps.push(format!(
            "Bind your first administrator to a role, at the end of {config}. Show the names in a certificate:\n     \
             openssl x509 -in admin.pem -noout -subject -ext subjectAltName"
        )),
    }
    if wishes.systemd {
        let folder = plan.config_file().parent().map(shell::quoted_path).unwrap_or_default();
        steps.push(format!(
            "Check the configuration:\n     CREDENTIALS_DIRECTORY={folder} sealward-server check-config --config {config}"
        ));
        steps.push(format!(
            "Start the service. Without the Debian package, copy deploy/sealward.service to /etc/systemd/system first; if DIR isn't \
             /etc/sealward, change its paths to {folder}:\n     \
             systemctl daemon-reload && systemctl enable --now sealward"
        ));
    } else {
        steps.push(format!("Check the configuration:\n     sealward-server check-config --config {config}"));
        steps.push(format!("Start the server:\n     sealward-server serve --config {config}"));
    }
    steps.push("As the administrator, create an organization:\n     sealward org create NAME".to_owned());
    steps
}
