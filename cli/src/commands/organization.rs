//! `org`: creates, shows, exports, imports and deletes the organizations of a deployment.

mod copy;
mod transfer;

use std::path::PathBuf;

use clap::Subcommand;
use copy::{CopyArguments, CopyKeys};
use sealward_client::{ErrorReason, v1::Organization};

use crate::{
    connection::{Connection, organization_name},
    failure::Failure,
    input::{confirmation, secret::SecretReader},
    output::{self, Column, Output, pages::PageOptions, stderr},
};

/// The commands under `org`.
#[derive(Subcommand)]
pub(super) enum OrganizationCommand {
    /// Create an organization with a generated encryption key.
    #[command(after_help = "\
Examples:
  sealward org create contoso
  sealward key show -o contoso | pass insert --multiline sealward/contoso")]
    Create {
        /// Id of the organization: lower-case letters, digits and hyphens.
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Show an organization.
    #[command(after_help = "Examples:\n  sealward org get\n  sealward org get contoso")]
    Get {
        /// Organization [default: the one of --organization].
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
    /// Export a snapshot of an organization to a file, while writes continue.
    #[command(after_help = "\
Encrypted attributes stay encrypted in the file; everything else is in clear
text. The file doesn't contain the encryption key: store the key in another
place (sealward key show). Only you can read the file. It appears when the
export is complete.

Examples:
  sealward org export contoso --file contoso.sealward
  sealward org export --file - | age -r age1example >default.sealward.age")]
    Export {
        /// Organization [default: the one of --organization].
        #[arg(value_name = "NAME")]
        name: Option<String>,
        /// File to create, or `-` for stdout; an existing file isn't overwritten.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Import an organization from a file.
    #[command(after_help = "\
Data encryption is inactive until you restore the organization's key. The server
validates the complete file before the organization becomes visible. A failed
import leaves nothing behind.

With --as-copy, the server decrypts every value with the key of the file, and
encrypts it with a new key. The copy has a new UUID, so it can exist beside its
source, for example as a sandbox, and its encryption is active at once. Wrong
keys count against a limit. One trailing line break of a key's file or of stdin
is removed; everything else is the key.

Examples:
  sealward org import contoso.sealward
  sealward org import contoso.sealward --id contoso-2
  sealward key restore -o contoso
  sealward org import contoso.sealward --id sandbox --as-copy
  sealward org import contoso.sealward --id sandbox --as-copy --source-key-file contoso.key
  sealward key show -o sandbox")]
    Import {
        /// File of an export, or `-` for stdin.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Id of the imported organization [default: the id in the file].
        #[arg(long, value_name = "ID")]
        id: Option<String>,
        #[command(flatten)]
        copy: CopyArguments,
    },
    /// Delete an organization with its keys, records and audit trail.
    #[command(after_help = "\
This can't be undone. To recover the data, you need an export or a copy of the
database, and the key.

On a terminal, the command asks you to type the organization's name. Otherwise,
pass the name with --confirm.

Examples:
  sealward org delete contoso
  sealward org delete contoso --confirm contoso")]
    Delete {
        /// Organization to delete.
        #[arg(value_name = "NAME")]
        name: String,
        /// Name of the organization again, instead of typing it.
        #[arg(long, value_name = "NAME")]
        confirm: Option<String>,
    },
    /// List the organizations that you have access to.
    #[command(after_help = "\
Examples:
  sealward org list --all
  sealward org list --all --output name")]
    List {
        #[command(flatten)]
        page: PageOptions,
    },
}

/// An import is refused if the name is in use, which `--id` resolves, or if the UUID in the file is in use.
const IMPORT_EXISTS: &str = "if another organization has this name, choose another one: --id NAME\n\
     if this organization already exists under any name, import a copy of it: --id NAME --as-copy\n\
     or delete it first: sealward org delete NAME";

/// The name of a copy is in use. A copy gets a new UUID.
const COPY_EXISTS: &str = "choose another name: --id NAME\n\
     or delete the organization that has this name first: sealward org delete NAME";

/// Too many keys were tried for the organization in the file. The copy doesn't exist yet, so its status can't be requested.
const COPY_QUOTA: &str =
    "nothing was imported; try again in 15 minutes at the latest, with the key that the organization had at its export";

/// The new key of a copy is refused.
const COPY_KEY: &str = "choose another key, or leave out --key-file, so that the server generates one";

pub(super) async fn run(
    command: OrganizationCommand,
    connection: &Connection,
    output: &Output,
    secrets: &mut dyn SecretReader,
) -> Result<(), Failure> {
    let client = connection.connect().await?;
    match command {
        OrganizationCommand::Create { id } => {
            let created = client.create_organization(id).await?;
            let name = &created.name;
            output
                .named(&output::message(&created))
                .map_err(|failure| failure.completed(format!("{name} was created")))?;
            stderr::notice(&format!(
                "The encryption key of {name} was generated. Store it in a safe place: {}",
                connection.hints().command_in("key show", name)
            ));
            Ok(())
        }
        OrganizationCommand::Get { name } => {
            let name = name.map_or_else(|| connection.organization(), |name| organization_name(&name));
            output.named(&output::message(&client.get_organization(name).await?))
        }
        OrganizationCommand::Export { name, file } => {
            let name = name.map_or_else(|| connection.organization(), |name| organization_name(&name));
            transfer::export(&client, &name, &file, connection.hints()).await
        }
        OrganizationCommand::Import { file, id, copy } => {
            let keys = copy.keys(&file, secrets)?;
            let imported = transfer::import(&client, &file, id.as_deref().unwrap_or_default(), keys.as_ref())
                .await
                .map_err(|failure| {
                    let exists = if keys.is_some() { COPY_EXISTS } else { IMPORT_EXISTS };
                    failure.with_advice_for(ErrorReason::AlreadyExists, exists)
                })
                .map_err(|failure| failure.with_advice_for(ErrorReason::KeyRestoreQuota, COPY_QUOTA))
                .map_err(|failure| failure.with_advice_for(ErrorReason::KeyValidation, COPY_KEY))?;
            show_imported(&imported, keys.as_ref(), connection, output)
        }
        OrganizationCommand::Delete { name, confirm } => {
            let name = organization_name(&name);
            let id = name.strip_prefix("organizations/").unwrap_or(&name);
            let consequence = format!("This permanently deletes {name}: its keys, records and audit trail.");
            confirmation::confirm_by_name(&consequence, "organization", id, confirm.as_deref())?;
            client.delete_organization(name.as_str()).await?;
            stderr::notice(&format!("Deleted {name}."));
            Ok(())
        }
        OrganizationCommand::List { page } => {
            let mut pages = page.start();
            while let Some(next) = pages.next() {
                let page = client.list_organizations(next.size, next.token).await?;
                let records = page.records.iter().map(output::message);
                pages.add(records.collect(), page.next_page_token, None);
            }
            pages.show("organizations", ["name", "create_time"].map(Column::of).into(), output)
        }
    }
}

/// Shows an imported organization, and how to get its key to where it is needed.
fn show_imported(
    imported: &Organization,
    keys: Option<&CopyKeys>,
    connection: &Connection,
    output: &Output,
) -> Result<(), Failure> {
    let name = &imported.name;
    let command = |command| connection.hints().command_in(command, name);
    let (completed, notice) = match keys {
        None => {
            let restore = command("key restore");
            (
                format!("{name} was imported; restore its key: {restore}"),
                format!("Data encryption of {name} is inactive. Restore its key: {restore}"),
            )
        }
        Some(keys) => {
            let (key, show) = (if keys.new.is_some() { "given" } else { "generated" }, command("key show"));
            (
                format!("{name} was imported as a copy; to show its key: {show}"),
                format!("Data encryption of {name} is active, under the {key} key. Store it in a safe place: {show}"),
            )
        }
    };
    output.named(&output::message(imported)).map_err(|failure| failure.completed(completed))?;
    stderr::notice(&notice);
    Ok(())
}
