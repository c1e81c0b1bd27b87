//! `serve`: runs a server with a configuration.

use std::path::PathBuf;

use clap::Args;
use sealward_server::config::{Config, LogFormat};

use super::{failure::Failure, foreground, print};

/// The arguments of `serve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealward-server serve --config /etc/sealward/sealward.toml
  SEALWARD_CONFIG=/etc/sealward/sealward.toml sealward-server serve

SIGTERM or SIGINT stops the server: health reports NOT_SERVING for
limits.drain_delay_seconds, then running calls finish, for at most
limits.drain_timeout_seconds. A second signal stops it at once. It notifies
systemd when it is ready and when it stops (Type=notify). SIGHUP reloads its
configuration, certificates and revocation lists, which it also checks for
changes every few seconds. To create a configuration, run sealward-server
init.

Exit codes: 0 stopped by a signal, 1 not started, or stopped because another
server has taken the database, 2 invalid command line.")]
pub(super) struct ServeArguments {
    /// The configuration, a TOML file.
    #[arg(long, value_name = "FILE", env = "SEALWARD_CONFIG")]
    config: PathBuf,
}

pub(super) async fn run(arguments: &ServeArguments) -> Result<(), Failure> {
    let config = Config::load(&arguments.config)?;
    let is_audit_on_stdout = config.is_audit_on_stdout();
    // If stdout and stderr are collected together, every line has to be JSON. The event `serving` contains the same addresses.
    let is_greeting = config.log.format != LogFormat::Json;
    let metrics_scheme = if config.metrics.tls { "https" } else { "http" };
    let (running, logging) = foreground::start(config).await?;
    let mut message = format!("sealward-server listens on {} (TLS)\n", running.address());
    if let Some(address) = running.plaintext_address() {
        message.push_str(&format!("health checks without TLS: {address}\n"));
    }
    if let Some(address) = running.metrics_address() {
        message.push_str(&format!("metrics: {metrics_scheme}://{address}/metrics\n"));
    }
    if is_greeting {
        print::greet(is_audit_on_stdout, &message);
    }
    foreground::wait((running, logging)).await
}
