//! `backup`: copies the databases of a deployment consistently, whether its server runs or not, or checks such a copy.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use sealward_server::{
    backup::{BackedUp, back_up},
    check,
    config::Config,
};

use super::{
    check_config::print_report,
    failure::Failure,
    print,
    shell::{absolute, quoted_path},
};

/// The arguments of `backup`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealward-server backup --config /etc/sealward/sealward.toml /srv/backup/2026-11-29

  sealward-server backup --verify --config /etc/sealward/sealward.toml /srv/backup/2026-11-29

Run it as the server's user. The server may keep running: each copy is a
consistent snapshot of its database. DIR must not exist. It is created with
mode 0700, its files with mode 0600, once all copies are complete, checked and
on disk. The root key and the configuration aren't included. Keep copies of
them elsewhere: with the databases they open everything. The server records
the backup in its audit trail.

--verify needs the root key. It checks owner, mode and versions, opens the key
rings and each cell, compares the census with the cells, and verifies the
audit trails. To restore a backup: sealward-server restore.

Exit codes: 0 success, 1 failure or errors found (no files of a failed backup
are left), 2 invalid command line.")]
pub(super) struct BackupArguments {
    /// The configuration of the server to back up, a TOML file.
    #[arg(long, value_name = "FILE", env = "SEALWARD_CONFIG")]
    config: PathBuf,

    /// Check the existing backup in DIR instead of taking one. Nothing in it is changed.
    #[arg(long)]
    verify: bool,

    /// Print the result of --verify as one JSON object.
    #[arg(long, requires = "verify")]
    json: bool,

    /// The folder to create, or to check.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(super) async fn run(arguments: BackupArguments) -> Result<ExitCode, Failure> {
    let (config, folder) = (absolute(arguments.config), absolute(arguments.folder));
    if arguments.verify {
        let report = check::check_backup(&config, &folder).await;
        return Ok(print_report(&report, ("backup", &folder), arguments.json)?);
    }
    let data_dir = Config::load_data_dir(&config)?;
    let BackedUp { organizations, unfinished, is_recorded } = back_up(&data_dir, &folder).await?;
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
    if !is_recorded {
        text.push_str("not recorded in the audit trail, because the data folder is read-only or full\n");
    }
    let completed = || format!("the backup is complete: {}", folder.display());
    print::to_stdout(text).map_err(|error| error.completed(completed()))?;
    Ok(ExitCode::SUCCESS)
}
