//! `serve`: a server with a configuration of your own.

use std::path::PathBuf;

use clap::Args;
use fieldseal_server::config::Config;

use super::Failure;

/// What `serve` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fieldseal-server serve --config /etc/fieldseal/fieldseal.toml
  FIELDSEAL_CONFIG=/etc/fieldseal/fieldseal.toml fieldseal-server serve

SIGTERM or SIGINT ends the server: health says NOT_SERVING for limits.drain_delay_seconds, then the calls that run are answered. A second
one ends it at once. Where systemd runs it, it says when
it is ready and when it ends (Type=notify). SIGHUP makes it look at its configuration, certificates and revocation lists, which it also
does by itself every few seconds. A commented configuration to start from: fieldseal-server init.")]
pub(super) struct ServeArguments {
    /// The configuration, a TOML file.
    #[arg(long, value_name = "FILE", env = "FIELDSEAL_CONFIG")]
    config: PathBuf,
}

pub(super) async fn run(arguments: &ServeArguments) -> Result<(), Failure> {
    let config = Config::load(&arguments.config)?;
    let is_audit_on_stdout = config.is_audit_on_stdout();
    let (running, logging) = super::start(config).await?;
    let mut message = format!("fieldseal-server listens on {} (TLS)\n", running.address());
    if let Some(address) = running.plaintext_address() {
        message.push_str(&format!("and on {address} without TLS, for health checks\n"));
    }
    if let Some(address) = running.metrics_address() {
        message.push_str(&format!("metrics are at http://{address}/metrics\n"));
    }
    super::greet(is_audit_on_stdout, &message);
    super::wait((running, logging)).await
}
