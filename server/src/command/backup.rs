//! `backup`: copies the databases of a deployment consistently, whether its server runs or not.

use std::path::PathBuf;

use clap::Args;
use sealward_server::{
    backup::{BackedUp, back_up},
    config::Config,
};

use super::{
    failure::Failure,
    print,
    shell::{absolute, quoted_path},
};

/// The arguments of `backup`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealward-server backup --config /etc/sealward/sealward.toml /srv/backup/2026-11-29
  runuser -u sealward -- sealward-server backup --config /etc/sealward/sealward.toml /srv/backup/2026-11-29

Run it as the server's user. The server may keep running: each copy is a consistent snapshot of its database. DIR must not exist. It is
created with mode 0700, its files with mode 0600, once all copies are complete, checked and on disk. The root key and the configuration
aren't included. Keep copies of them elsewhere: with the databases they open everything.

To restore: stop the server, replace the content of the data folder with that of DIR, make the server's user its owner, and start
the server.

Exit codes: 0 success, 1 failure (no files are left), 2 invalid command line.")]
pub(super) struct BackupArguments {
    /// The configuration of the server to back up, a TOML file.
    #[arg(long, value_name = "FILE", env = "SEALWARD_CONFIG")]
    config: PathBuf,

    /// The folder to create.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(super) async fn run(arguments: BackupArguments) -> Result<(), Failure> {
    let config = Config::load(&absolute(arguments.config))?;
    let folder = absolute(arguments.folder);
    let BackedUp { organizations, unfinished } = back_up(&config.data_dir, &folder).await?;
    let mut text = format!("backed up to {}: configuration.db", quoted_path(&folder));
    for name in organizations {
        text.push_str(&format!(", organizations/{name}"));
    }
    text.push('\n');
    for name in unfinished {
        text.push_str(&format!(
            "skipped, because its creation, import or deletion is unfinished: organizations/{name}\n"
        ));
    }
    print::to_stdout(&text);
    Ok(())
}
