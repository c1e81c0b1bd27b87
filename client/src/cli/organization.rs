//! `org`: the organizations of a deployment.

use clap::Subcommand;

use super::{
    confirmation::Confirmation,
    connection::{Connection, organization_name},
    failure::Failure,
    output::{self, Column, Output},
    pages::PageOptions,
};

/// The commands under `org`.
#[derive(Subcommand)]
pub(super) enum OrganizationCommand {
    /// Create an organization, with data encryption active under a generated key.
    #[command(after_help = "\
Examples:
  fieldseal org create contoso
  fieldseal key show -o contoso | pass insert --multiline fieldseal/contoso")]
    Create {
        /// What it is called: lower-case letters, digits and hyphens.
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Show one organization.
    #[command(after_help = "Examples:\n  fieldseal org get\n  fieldseal org get contoso")]
    Get {
        /// Which one. Default: that of --organization.
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
    /// Delete an organization with everything in it: keys, records and audit trail.
    #[command(after_help = "\
There is no way back, but for an export or a copy of its database, and its key.

Examples:
  fieldseal org delete contoso
  fieldseal org delete contoso --yes")]
    Delete {
        /// Which one.
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
    /// List the organizations that you may see.
    #[command(after_help = "\
Examples:
  fieldseal org list --all
  fieldseal org list --all --output name")]
    List {
        #[command(flatten)]
        page: PageOptions,
    },
}

pub(super) async fn run(command: OrganizationCommand, connection: &Connection, output: &Output) -> Result<(), Failure> {
    let client = connection.connect().await?;
    match command {
        OrganizationCommand::Create { id } => {
            let created = client.create_organization(id).await?;
            output.named(&output::message("Organization", &created))?;
            output::notice("Its encryption key was generated: fetch it with `fieldseal key show` and keep it safe.");
            Ok(())
        }
        OrganizationCommand::Get { name } => {
            let name = name.map_or_else(|| connection.organization(), |name| organization_name(&name));
            output.named(&output::message("Organization", &client.get_organization(name).await?))
        }
        OrganizationCommand::Delete { name, confirmation } => {
            let name = organization_name(&name);
            confirmation.ask(&format!("This deletes {name} for good: its keys, its records and its audit trail."))?;
            client.delete_organization(name.as_str()).await?;
            output::notice(&format!("{name} is deleted."));
            Ok(())
        }
        OrganizationCommand::List { page } => {
            let mut pages = page.begin();
            while let Some(next) = pages.next() {
                let page = client.list_organizations(next.size, next.token).await?;
                let records = page.records.iter().map(|record| output::message("Organization", record));
                pages.take(records.collect(), page.next_page_token, None);
            }
            pages.show("organizations", ["name", "create_time"].map(Column::of).into(), output)
        }
    }
}
