//! `org`: the organizations of a deployment.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    connection::{Connection, organization_name},
    failure::Failure,
    output,
};

/// The commands under `org`.
#[derive(Subcommand)]
pub(super) enum OrganizationCommand {
    /// Create an organization, with data encryption active under a generated key.
    #[command(after_help = "\
Example:
  fieldseal org create contoso
  fieldseal key show -o contoso     then keep the key safe, or change it to one of your own")]
    Create {
        /// What it is called: lower-case letters, digits and hyphens.
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Show one organization.
    Get {
        /// Which one. Default: that of --organization.
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
    /// List the organizations that you may see.
    List {
        /// How many at most; the server decides if it isn't said.
        #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
        page_size: i32,
        /// The next_page_token of the page before.
        #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true, conflicts_with = "all")]
        page_token: String,
        /// All pages.
        #[arg(long)]
        all: bool,
    },
}

pub(super) async fn run(command: OrganizationCommand, connection: &Connection) -> Result<(), Failure> {
    let client = connection.connect().await?;
    match command {
        OrganizationCommand::Create { id } => {
            let created = client.create_organization(id).await?;
            output::print(&output::message("Organization", &created))?;
            output::notice("Its encryption key was generated: fetch it with `fieldseal key show` and keep it safe.");
            Ok(())
        }
        OrganizationCommand::Get { name } => {
            let name = name.map_or_else(|| connection.organization(), |name| organization_name(&name));
            output::print(&output::message("Organization", &client.get_organization(name).await?))
        }
        OrganizationCommand::List { page_size, mut page_token, all } => {
            let mut organizations = Vec::new();
            loop {
                let page = client.list_organizations(page_size, page_token).await?;
                organizations.extend(page.records.iter().map(|record| output::message("Organization", record)));
                page_token = page.next_page_token;
                if !all || page_token.is_empty() {
                    break;
                }
            }
            let mut shown = json!({ "organizations": organizations });
            if let (false, Some(shown)) = (page_token.is_empty(), shown.as_object_mut()) {
                shown.insert("next_page_token".to_owned(), Value::String(page_token));
            }
            output::print(&shown)
        }
    }
}
