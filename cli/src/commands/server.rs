//! `server`: shows the version and the state of the server.

use clap::Subcommand;
use sealward_client::v1::{ServerFinding, server_finding::Severity};
use serde_json::Value;

use crate::{
    connection::Connection,
    failure::Failure,
    output::{self, Format, Output, stdout::print_lines, table},
};

/// The commands under `server`.
#[derive(Subcommand)]
pub(super) enum ServerCommand {
    /// Show the version of the server, its schema, formats and cryptographic modules.
    #[command(after_help = "\
This needs an identity, but no role.

Examples:
  sealward server info
  sealward --as reader server info --output json")]
    Info,
    /// Show certificates, stores, root keys, the audit copy, and problems with their remedies.
    #[command(after_help = "\
This needs the privilege prvReadServerStatus in all organizations. The exit
code is 1 if there are errors. Warnings don't change it.

Examples:
  sealward server status
  sealward server status --output json")]
    Status,
}

pub(super) async fn run(command: &ServerCommand, connection: &Connection, output: &Output) -> Result<(), Failure> {
    let client = connection.connect().await?;
    match command {
        ServerCommand::Info => output.answer(&output::message(&client.server_info().await?)),
        ServerCommand::Status => {
            let status = client.server_status().await?;
            show(&output::message(&status), &status.findings, output)?;
            match status.findings.iter().filter(|finding| finding.severity() == Severity::Error).count() {
                0 => Ok(()),
                1 => Err(Failure::Failed("the server has 1 error".to_owned())),
                errors => Err(Failure::Failed(format!("the server has {errors} errors"))),
            }
        }
    }
}

fn show(status: &Value, findings: &[ServerFinding], output: &Output) -> Result<(), Failure> {
    if output.format() != Format::Table {
        return output.answer(status);
    }
    let mut fields = status.clone();
    if let Some(fields) = fields.as_object_mut() {
        fields.shift_remove("findings");
    }
    output.answer(&fields)?;
    if findings.is_empty() {
        return Ok(());
    }
    print_lines(&format!("\n{}", table::rows(&["SEVERITY", "SUBJECT", "PROBLEM"], &rows(findings), 3, None)))
}

/// The lines of the findings: each problem, and its remedy below.
fn rows(findings: &[ServerFinding]) -> Vec<Vec<String>> {
    let lines = findings.iter().flat_map(|finding| {
        let severity = match finding.severity() {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Unspecified => "unknown",
        };
        [
            vec![severity.to_owned(), finding.subject.clone(), finding.problem.clone()],
            vec![String::new(), String::new(), format!("→ {}", finding.remedy)],
        ]
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_has_its_remedy_below() {
        let finding = ServerFinding {
            severity: Severity::Warning.into(),
            subject: "limits".to_owned(),
            problem: "too few file descriptors".to_owned(),
            remedy: "raise the hard limit".to_owned(),
        };
        let expected = [["warning", "limits", "too few file descriptors"], ["", "", "→ raise the hard limit"]];
        assert_eq!(rows(&[finding]), expected);
    }
}
