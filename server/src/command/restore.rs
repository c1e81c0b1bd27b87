//! `restore`: copies the databases of a backup into a data folder without databases.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use sealward_server::{
    backup::{Restored, is_restorable_into, restore},
    check::{self, Severity, counted},
    config::Config,
};

use super::{
    check_config::print_report,
    failure::Failure,
    print,
    shell::{absolute, quoted_path},
};

/// The arguments of `restore`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealward-server restore --config /etc/sealward/sealward.toml /srv/backup/2026-11-29

Run it as the server's user, while the server is stopped. First it checks the
backup as `sealward-server backup --verify` does, and copies nothing if there
are errors. The data folder must not have databases: move configuration.db*
and organizations out of it before, and keep them until the restored server
works. The backup itself isn't changed. The next start records the restore in
the audit trail.

An organization whose key isn't in the backup is inactive until you restore
its key: sealward key restore.

Exit codes: 0 success, 1 failure (the data folder is as before), 2 invalid
command line.")]
pub(super) struct RestoreArguments {
    /// The configuration of the server, a TOML file.
    #[arg(long, value_name = "FILE", env = "SEALWARD_CONFIG")]
    config: PathBuf,

    /// The folder of the backup.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(super) async fn run(arguments: RestoreArguments) -> Result<ExitCode, Failure> {
    let (config, folder) = (absolute(arguments.config), absolute(arguments.folder));
    let data_dir = Config::load_data_dir(&config)?;
    // Before the long check of the backup. The folder is locked only while it is written.
    is_restorable_into(&data_dir)?;
    let report = check::check_backup(&config, &folder).await;
    // If the report can't be written, nothing is restored.
    let code = print_report(&report, ("backup", &folder), false)?;
    if report.count(Severity::Error) > 0 {
        print::to_stdout("nothing restored, because the backup has errors\n")?;
        return Ok(code);
    }
    let Restored { organizations } = restore(&folder, &data_dir)?;
    let to = quoted_path(&data_dir);
    let organizations = counted(organizations, "organization", "organizations");
    let text = format!("restored to {to}: configuration.db and {organizations}; start the server\n");
    print::to_stdout(text).map_err(|error| error.completed("the backup is restored: start the server"))?;
    Ok(ExitCode::SUCCESS)
}
