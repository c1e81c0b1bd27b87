//! `access`: who may do what, and why.

use clap::Subcommand;
use sealward_client::{built_in_pool, v1::ExplainAccessResponse};

use crate::{
    connection::Connection,
    failure::Failure,
    output::{self, Output},
    stderr,
};

/// The commands under `access`.
#[derive(Subcommand)]
pub(super) enum AccessCommand {
    /// Show whether an identity may call a method in an organization, and which bindings allow it.
    #[command(after_help = "\
The answer follows the server's configuration in force; nothing is called. Exit code 1: the call would be refused.
Your own roles and privileges: sealward whoami

Examples:
  sealward access explain --method GetMailbox
  sealward access explain cn:reader --method RevealAttributes -o contoso
  sealward access explain spiffe:example.org/mail --method sealward.mail.v1.MailboxService/UpdateMailbox
  sealward access explain cn:admin --method CreateOrganization --deployment")]
    Explain {
        /// Who: cn:…, dns:…, spiffe:… or jwt:<issuer>#<subject>. Default: you.
        #[arg(value_name = "IDENTITY")]
        identity: Option<String>,
        /// What: a method by its name, or with its service.
        #[arg(long, short, value_name = "METHOD")]
        method: String,
        /// For what belongs to no organization, such as creating one, instead of for --organization.
        #[arg(long)]
        deployment: bool,
    },
}

pub(super) async fn run(command: AccessCommand, connection: &Connection, output: &Output) -> Result<(), Failure> {
    let AccessCommand::Explain { identity, method, deployment } = command;
    let method = full_name(&method)?;
    let organization = if deployment { String::new() } else { connection.organization() };
    let client = connection.connect().await?;
    let explained = client.explain_access(identity.unwrap_or_default(), method.as_str(), organization.as_str()).await?;
    output.answer(&output::message(&explained))?;
    let words = words(&explained, &method, &organization);
    if !explained.allowed {
        return Err(Failure::NoValue(words));
    }
    stderr::notice(&words);
    Ok(())
}

/// The method with its service: the one of that name.
fn full_name(method: &str) -> Result<String, Failure> {
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

fn words(explained: &ExplainAccessResponse, method: &str, organization: &str) -> String {
    let place = if organization.is_empty() { "the deployment" } else { organization };
    let needed = explained.privileges.join(" or ");
    let who = &explained.identity;
    if explained.privileges.is_empty() {
        return format!("{who} may call {method}: it takes only an identity.");
    }
    let holds = |binding: &&sealward_client::v1::ExplainedBinding| !binding.privileges.is_empty();
    if let Some(binding) = explained.bindings.iter().filter(holds).find(|binding| binding.in_scope) {
        return format!(
            "{who} may call {method} in {place}: {} holds {}.",
            binding.role,
            binding.privileges.join(" and ")
        );
    }
    let why = if explained.bindings.is_empty() {
        "it is bound to nothing".to_owned()
    } else if let Some(elsewhere) = explained.bindings.iter().find(holds) {
        format!("{} holds it only in {}", elsewhere.role, elsewhere.organizations.join(", "))
    } else {
        let roles: Vec<_> = explained.bindings.iter().map(|binding| binding.role.as_str()).collect();
        format!("none of its roles holds it: {}", roles.join(", "))
    };
    format!("{who} may not call {method} in {place}: it needs {needed}, and {why}.")
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
    fn a_method_that_takes_only_an_identity_needs_no_role() {
        let open = ExplainAccessResponse { allowed: true, privileges: Vec::new(), ..explained(vec![]) };
        assert_eq!(
            words(&open, "WhoAmI", "organizations/contoso"),
            "cn:ada may call WhoAmI: it takes only an identity."
        );
    }

    #[test]
    fn the_reason_is_told_in_words() {
        let words = |bindings| words(&explained(bindings), "M", "organizations/contoso");
        assert_eq!(
            words(vec![binding("record-reader", &["prvReadRecords"], true)]),
            "cn:ada may call M in organizations/contoso: record-reader holds prvReadRecords."
        );
        let refused = "cn:ada may not call M in organizations/contoso: it needs prvReadRecords, and ";
        assert_eq!(words(vec![]), format!("{refused}it is bound to nothing."));
        assert_eq!(
            words(vec![binding("auditor", &[], true)]),
            format!("{refused}none of its roles holds it: auditor.")
        );
        assert_eq!(
            words(vec![binding("auditor", &[], true), binding("record-reader", &["prvReadRecords"], false)]),
            format!("{refused}record-reader holds it only in contoso.")
        );
    }

    #[test]
    fn a_method_is_named_with_or_without_its_service() {
        assert_eq!(full_name("GetMailbox").ok().unwrap(), "sealward.mail.v1.MailboxService/GetMailbox");
        assert_eq!(full_name("/a.B/C").ok().unwrap(), "a.B/C");
        assert!(full_name("GetNothing").is_err());
    }
}
