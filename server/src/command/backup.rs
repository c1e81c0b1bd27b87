//! `backup`: the databases of a deployment, as copies that belong together, while its server runs or not.

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

/// What `backup` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealward-server backup --config /etc/sealward/sealward.toml /srv/backup/2026-11-29
  runuser -u sealward -- sealward-server backup --config /etc/sealward/sealward.toml /srv/backup/2026-11-29

Run it as the user that the server runs as. The server may keep running: each copy is one moment of its database. DIR must not exist; it
appears when everything in it is complete, checked and on disk, with mode 0700, its files with mode 0600. The root key and the configuration
aren't in it: keep copies of them elsewhere, since with the databases they open everything.

To restore: stop the server, replace the content of the data folder with that of DIR, owned by the server's user, and start.

Exit codes: 0 backed up, 1 failed, and nothing was left, 2 the command line is wrong.")]
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
        text.push_str(&format!("not in it, since its creation, import or deletion isn't over: organizations/{name}\n"));
    }
    print::to_stdout(&text);
    Ok(())
}
