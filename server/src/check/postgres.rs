//! Checks the PostgreSQL database: whether a server could open it. The content isn't read: a running server checks it with `sealward key verify`
//! and `sealward audit verify`.

use std::path::Path;

use sealward_store::postgres::Checked;

use super::{
    files::{self, is_set},
    report::{Report, counted},
};
use crate::{
    app::{data_folder, postgres},
    config::Storage,
    error_chain,
};

const SUBJECT: &str = "storage.url";
const REMEDY: &str = "see Set-up in docs/postgresql.md";

/// Checks that the data folder isn't that of a deployment in PostgreSQL, which this configuration doesn't name.
pub(super) fn is_of_files(data_dir: &Path, report: &mut Report) -> bool {
    match data_folder::is_of_files(data_dir) {
        Ok(()) => true,
        Err(error) => {
            report.error("data_dir", error_chain::text(&error), "set storage.url, or use another data_dir");
            false
        }
    }
}

/// Checks the files of the settings, the database and its roles.
pub(super) async fn check(storage: &Storage, data_dir: &Path, report: &mut Report) {
    if is_set(data_dir)
        && let Err(error) = data_folder::deployment_in_postgres(data_dir)
    {
        report.error("data_dir", error_chain::text(&error), "use a data_dir without databases");
    }
    if let Some((_, key)) = storage.identity.as_ref().filter(|(_, key)| is_set(key)) {
        files::private("storage.client_key", key, report);
    }
    match postgres::check(storage).await {
        Ok(Checked { version, organizations }) => {
            let content = match organizations {
                Some(count) => counted(count, "organization", "organizations"),
                None => "no tables yet; the first start creates them".to_owned(),
            };
            let text =
                format!("PostgreSQL {version} at {} has {content}; their content isn't checked", storage.address);
            report.fact(SUBJECT, text);
        }
        Err(error) => report.error(SUBJECT, error_chain::text(&error), REMEDY),
    }
}
