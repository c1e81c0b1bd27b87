//! `access`: lists bindings, and explains whether an identity may call a method, and why.

use clap::Subcommand;
use sealward_client::{built_in_pool, v1::ExplainAccessResponse};

use crate::{
    connection::Connection,
    failure::Failure,
    output::{self, Column, Output, pages::PageOptions, stderr},
};

/// The commands under `access`.
#[derive(Subcommand)]
pub(super) enum AccessCommand {
    /// List the bindings of identities to roles.
    #[command(after_help = "\
The list is that of the configuration that the server uses now.

Examples:
  sealward access list
  sealward access list cn:reader
  sealward access list --all --output json")]
    List {
        /// Identity: cn:…, dns:…, spiffe:… or jwt:<issuer>#<subject> [default: all].
        #[arg(value_name = "IDENTITY")]
        identity: Option<String>,
        #[command(flatten)]
        page: PageOptions,
    },
    /// Show whether an identity may call a method, and which bindings allow it.
    #[command(after_help = "\
The answer is for the configuration that the server uses now. The method isn't
called. Exit code 1 means that the server would refuse the call. To show your
own roles and privileges: sealward whoami

Examples:
  sealward access explain --method GetMailbox
  sealward access explain cn:reader --method RevealAttributes -o contoso
  sealward access explain spiffe:example.org/mail --method sealward.mail.v1.MailboxService/UpdateMailbox
  sealward access explain cn:admin --method CreateOrganization --deployment")]
    Explain {
        /// Identity: cn:…, dns:…, spiffe:… or jwt:<issuer>#<subject> [default: your own].
        #[arg(value_name = "IDENTITY")]
        identity: Option<String>,
        /// Method, with or without its service.
        #[arg(long, short, value_name = "METHOD")]
        method: String,
        /// Explain for the deployment instead of an organization, as for CreateOrganization.
        #[arg(long)]
        deployment: bool,
    },
}

pub(super) async fn run(command: AccessCommand, connection: &Connection, output: &Output) -> Result<(), Failure> {
    match command {
        AccessCommand::List { identity, page } => list(&identity.unwrap_or_default(), page, connection, output).await,
        AccessCommand::Explain { identity, method, deployment } => {
            explain(identity, &method, deployment, connection, output).await
        }
    }
}

async fn list(identity: &str, page: PageOptions, connection: &Connection, output: &Output) -> Result<(), Failure> {
    let client = connection.connect().await?;
    let mut pages = page.start();
    while let Some(next) = pages.next() {
        let page = client.list_bindings(identity, next.size, next.token).await?;
        pages.add(page.records.iter().map(output::message).collect(), page.next_page_token, None);
    }
    let columns = vec![
        Column::of("identity"),
        Column::of("role"),
        Column::joined("organizations", ", "),
        Column::joined("privileges", " "),
    ];
    pages.show("bindings", columns, output)
}

async fn explain(
    identity: Option<String>,
    method: &str,
    deployment: bool,
    connection: &Connection,
    output: &Output,
) -> Result<(), Failure> {
    let method = full_method_name(method)?;
    let organization = if deployment { String::new() } else { connection.organization() };
    let client = connection.connect().await?;
    let explained = client.explain_access(identity.unwrap_or_default(), method.as_str(), organization.as_str()).await?;
    output.answer(&output::message(&explained))?;
    let explanation = explanation(&explained, &method, &organization);
    if !explained.allowed {
        return Err(Failure::Failed(explanation));
    }
    stderr::notice(&explanation);
    Ok(())
}

/// The method with its service, which is looked up if it is missing.
fn full_method_name(method: &str) -> Result<String, Failure> {
    if method.contains('/') {
        return Ok(method.trim_start_matches('/').to_owned());
    }
    let services: Vec<_> = built_in_pool().services().collect();
    let found = services.iter().flat_map(|service| {
        service
            .methods()
            .map(move |known| (known.name().to_owned(), format!("{}/{}", service.full_name(), known.name())))
    });
    let full = found.filter(|(name, _)| name == method).map(|(_, full)| full).next();
    full.ok_or_else(|| Failure::usage(format!("unknown method {method}: docs/reference/api.md lists all methods")))
}

fn explanation(explained: &ExplainAccessResponse, method: &str, organization: &str) -> String {
    let scope = if organization.is_empty() { "the deployment" } else { organization };
    let needed = explained.privileges.join(" or ");
    let identity = &explained.identity;
    if explained.privileges.is_empty() {
        return format!("{identity} may call {method}: it needs no privilege.");
    }
    let grants = |binding: &&sealward_client::v1::ExplainedBinding| !binding.privileges.is_empty();
    if let Some(binding) = explained.bindings.iter().filter(grants).find(|binding| binding.in_scope) {
        return format!(
            "{identity} may call {method} in {scope}: {} grants {}.",
            binding.role,
            binding.privileges.join(" and ")
        );
    }
    let reason = if explained.bindings.is_empty() {
        "no role is bound to this identity".to_owned()
    } else if let Some(elsewhere) = explained.bindings.iter().find(grants) {
        format!("{} grants it only in {}", elsewhere.role, elsewhere.organizations.join(", "))
    } else {
        let roles: Vec<_> = explained.bindings.iter().map(|binding| binding.role.as_str()).collect();
        format!("no bound role grants it: {}", roles.join(", "))
    };
    format!("{identity} may not call {method} in {scope}: it needs {needed}, and {reason}.")
}

#[cfg(test)]
mod tests {
    use sealward_client::v1::ExplainedBinding;

    use super::*;

    fn explained(bindings: Vec<ExplainedBinding>) -> ExplainAccessResponse {
        ExplainAccessResponse {
            allowed: false,
            identity: "cn:ada".to_owned(),
            privileges: vec!["prvReadRecords".to_owned()],
            bindings,
        }
    }

    fn binding(role: &str, privileges: &[&str], in_scope: bool) -> ExplainedBinding {
        ExplainedBinding {
            role: role.to_owned(),
            organizations: vec!["contoso".to_owned()],
            privileges: privileges.iter().map(|&name| name.to_owned()).collect(),
            in_scope,
        }
    }

    #[test]
    fn method_without_privilege_needs_no_role() {
        let open = ExplainAccessResponse { allowed: true, privileges: Vec::new(), ..explained(vec![]) };
        assert_eq!(
            explanation(&open, "WhoAmI", "organizations/contoso"),
            "cn:ada may call WhoAmI: it needs no privilege."
        );
    }

    #[test]
    fn reason_of_a_decision_is_printed_in_words() {
        let explanation = |bindings| explanation(&explained(bindings), "M", "organizations/contoso");
        assert_eq!(
            explanation(vec![binding("record-reader", &["prvReadRecords"], true)]),
            "cn:ada may call M in organizations/contoso: record-reader grants prvReadRecords."
        );
        let refused = "cn:ada may not call M in organizations/contoso: it needs prvReadRecords, and ";
        assert_eq!(explanation(vec![]), format!("{refused}no role is bound to this identity."));
        assert_eq!(
            explanation(vec![binding("auditor", &[], true)]),
            format!("{refused}no bound role grants it: auditor.")
        );
        assert_eq!(
            explanation(vec![binding("auditor", &[], true), binding("record-reader", &["prvReadRecords"], false)]),
            format!("{refused}record-reader grants it only in contoso.")
        );
    }

    #[test]
    fn method_name_needs_no_service() {
        assert_eq!(full_method_name("GetMailbox").ok().unwrap(), "sealward.mail.v1.MailboxService/GetMailbox");
        assert_eq!(full_method_name("/a.B/C").ok().unwrap(), "a.B/C");
        assert!(full_method_name("GetNothing").is_err());
    }
}
