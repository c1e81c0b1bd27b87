//! `init`: the folder of a production server, and what to do next.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use sealward_core::identity::Identity;
use sealward_server::init::{Plan, Wishes};

use super::{failure::Failure, print, shell};

/// What `init` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealward-server init /etc/sealward --admin cn:ada
  sealward-server init /etc/sealward --data-dir /srv/sealward --listen 0.0.0.0:7443
  sealward-server init /etc/sealward --systemd --admin spiffe:example.org/ops --listen 0.0.0.0:7443
  sealward-server init /etc/sealward --print

Existing files are never overwritten. Paths given here are relative to the current folder; default paths are relative to DIR.
Without --listen the server is reachable from this machine only.")]
pub(super) struct InitArguments {
    /// The folder for the configuration and the root key.
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// The data folder. Default: DIR/data, or /var/lib/sealward with --systemd.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// The address to listen on. Default: 127.0.0.1:7443, which only this machine reaches.
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

    /// The identity of the first system administrator, as its client certificate names it: cn:NAME, dns:NAME or spiffe:ID.
    #[arg(long, value_name = "IDENTITY")]
    admin: Option<Identity>,

    /// Name certificates, keys and the root key as systemd credentials, which deploy/sealward.service loads from DIR.
    #[arg(long)]
    systemd: bool,

    /// Write only the configuration, and to stdout.
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
        print::to_stdout(&plan.configuration());
        return Ok(());
    }
    plan.carry_out()?;
    print::to_stdout(&message(&plan, &wishes));
    Ok(())
}

/// What was made, and what is to be done next, in order.
fn message(plan: &Plan, wishes: &Wishes) -> String {
    let config = plan.config_file();
    let mut text = format!(
        "\
Created:
  {config}    the configuration: every setting with what it means
  {root_key}    the root key. Copy it to a safe place, apart from backups of the data:
      without it every encryption key has to be restored by its text
",
        config = config.display(),
        root_key = plan.root_key().display(),
    );
    let data_dir = plan.data_dir();
    if wishes.systemd {
        text.push_str(&format!("systemd makes the data folder, {}.\n", data_dir.display()));
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
    let provided = plan.provided().map(|provided| format!("\n     {}    {}", provided.path.display(), provided.what));
    let mut steps = vec![format!("Put your certificates there, in PEM:{}", provided.concat())];
    match &wishes.admin {
        Some(identity) => {
            steps.push(format!("Give {identity} a certificate from one of these CAs: it is system administrator."))
        }
        None => steps.push(format!(
            "Bind your first administrator, at the end of {config}. What a certificate names:\n     \
             openssl x509 -in admin.pem -noout -subject -ext subjectAltName"
        )),
    }
    if wishes.systemd {
        let folder = plan.config_file().parent().map(shell::quoted_path).unwrap_or_default();
        steps.push(format!(
            "Check everything:\n     CREDENTIALS_DIRECTORY={folder} sealward-server check-config --config {config}"
        ));
        steps.push(format!(
            "Copy deploy/sealward.service to /etc/systemd/system; where DIR isn't /etc/sealward, change its paths to {folder}. Then:\n     \
             systemctl daemon-reload && systemctl enable --now sealward"
        ));
    } else {
        steps.push(format!("Check everything:\n     sealward-server check-config --config {config}"));
        steps.push(format!("Serve:\n     sealward-server serve --config {config}"));
    }
    steps.push("Create an organization, as the administrator:\n     sealward org create NAME".to_owned());
    steps
}
