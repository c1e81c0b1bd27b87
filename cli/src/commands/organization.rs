//! `org`: the organizations of a deployment.

use std::path::PathBuf;

use clap::Subcommand;
use sealward_client::ErrorReason;

use crate::{
    confirmation,
    connection::{Connection, organization_name},
    failure::Failure,
    output::{self, Column, Output},
    pages::PageOptions,
    stderr, transfer,
};

/// The commands under `org`.
#[derive(Subcommand)]
pub(super) enum OrganizationCommand {
    /// Create an organization, with data encryption active under a generated key.
    #[command(after_help = "\
Examples:
  sealward org create contoso
  sealward key show -o contoso | pass insert --multiline sealward/contoso")]
    Create {
        /// What it is called: lower-case letters, digits and hyphens.
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Show one organization.
    #[command(after_help = "Examples:\n  sealward org get\n  sealward org get contoso")]
    Get {
        /// Which one. Default: that of --organization.
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
    /// Export an organization to a file, as it is now, while writes go on.
    #[command(after_help = "\
Encrypted attributes are in the file sealed, and its key is not: keep the key apart (sealward key show). Everything else is in
it in the clear. The file is readable by you only, and appears when it is whole.

Examples:
  sealward org export contoso --file contoso.sealward
  sealward org export --file - | age -r age1example >default.sealward.age")]
    Export {
        /// Which one. Default: that of --organization.
        #[arg(value_name = "NAME")]
        name: Option<String>,
        /// Where to; `-` for stdout. A file that exists is left alone.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Import an organization from an exported file; it is inactive until its key is restored.
    #[command(after_help = "\
Everything is checked before any of it is visible, and an import that fails leaves nothing behind.

Examples:
  sealward org import contoso.sealward
  sealward org import contoso.sealward --id contoso-copy
  sealward key restore -o contoso")]
    Import {
        /// The file; `-` for stdin.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// What it is to be called. Default: as it was.
        #[arg(long, value_name = "ID")]
        id: Option<String>,
    },
    /// Delete an organization with everything in it: keys, records and audit trail.
    #[command(after_help = "\
There is no way back, but for an export or a copy of its database, and its key.

A terminal asks for the organization's name to be typed. Elsewhere, --confirm gives it.

Examples:
  sealward org delete contoso
  sealward org delete contoso --confirm contoso")]
    Delete {
        /// Which one.
        #[arg(value_name = "NAME")]
        name: String,
        /// The name once more, in place of typing it at a terminal.
        #[arg(long, value_name = "NAME")]
        confirm: Option<String>,
    },
    /// List the organizations that you may see.
    #[command(after_help = "\
Examples:
  sealward org list --all
  sealward org list --all --output name")]
    List {
        #[command(flatten)]
        page: PageOptions,
    },
}

/// An import is refused for a name that is taken, which `--id` changes, or for the UUID in the file, which nothing does.
const IMPORT_EXISTS: &str = "if another organization has this name, import under a new one: --id NAME\n\
     if this organization is here already, under any name, it can't be imported again unless it is deleted: sealward org delete NAME";

pub(super) async fn run(command: OrganizationCommand, connection: &Connection, output: &Output) -> Result<(), Failure> {
    let client = connection.connect().await?;
    match command {
        OrganizationCommand::Create { id } => {
            let created = client.create_organization(id).await?;
            let name = &created.name;
            output.named(&output::message(&created)).map_err(|failure| failure.done(format!("{name} is created")))?;
            stderr::notice(&format!(
                "The encryption key of {name} was generated. To get it and keep it safe: {}",
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
        OrganizationCommand::Import { file, id } => {
            let imported = transfer::import(&client, &file, id.as_deref().unwrap_or_default())
                .await
                .map_err(|failure| failure.advised_of(ErrorReason::AlreadyExists, IMPORT_EXISTS))?;
            let name = &imported.name;
            let restore = connection.hints().command_in("key restore", name);
            output
                .named(&output::message(&imported))
                .map_err(|failure| failure.done(format!("{name} is imported; to restore its key: {restore}")))?;
            stderr::notice(&format!("{name} is inactive until its key is restored: {restore}"));
            Ok(())
        }
        OrganizationCommand::Delete { name, confirm } => {
            let name = organization_name(&name);
            let id = name.strip_prefix("organizations/").unwrap_or(&name);
            let consequence = format!("This deletes {name} for good: its keys, its records and its audit trail.");
            confirmation::ask_name(&consequence, "organization", id, confirm.as_deref())?;
            client.delete_organization(name.as_str()).await?;
            stderr::notice(&format!("{name} is deleted."));
            Ok(())
        }
        OrganizationCommand::List { page } => {
            let mut pages = page.begin();
            while let Some(next) = pages.next() {
                let page = client.list_organizations(next.size, next.token).await?;
                let records = page.records.iter().map(output::message);
                pages.take(records.collect(), page.next_page_token, None);
            }
            pages.show("organizations", ["name", "create_time"].map(Column::of).into(), output)
        }
    }
}
