//! `check-config`: reports all problems of a configuration, its files and its databases at once.

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use sealward_server::check::{self, OrganizationFacts, Report, Severity, counted};
use serde_json::json;

use super::{failure::Failure, print, shell};

/// The arguments of `check-config`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealward-server check-config --config /etc/sealward/sealward.toml
  sealward-server check-config --config /etc/sealward/sealward.toml --json

Run it as the server's user. It changes nothing, and a server may run on the
same data folder. If the configuration names systemd credentials, set
CREDENTIALS_DIRECTORY to the folder that contains files with those names.

Exit codes: 0 no errors (there may be warnings), 1 errors, 2 invalid command
line.")]
pub(super) struct CheckConfigArguments {
    /// The configuration, a TOML file.
    #[arg(long, value_name = "FILE", env = "SEALWARD_CONFIG")]
    config: PathBuf,

    /// Print the report as one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: CheckConfigArguments) -> Result<ExitCode, Failure> {
    let path = shell::absolute(arguments.config);
    let report = check::check(&path).await;
    Ok(print_report(&report, ("configuration", &path), arguments.json)?)
}

/// Prints a report as text or as JSON. The exit code says whether it has errors.
///
/// # Errors
/// If not all of it was written.
pub(super) fn print_report(
    report: &Report,
    (kind, path): (&str, &Path),
    json: bool,
) -> Result<ExitCode, print::OutputError> {
    let (errors, warnings) = (report.count(Severity::Error), report.count(Severity::Warning));
    if json {
        let Report { findings, facts, organizations } = report;
        let object = json!({
            kind: path,
            "errors": errors,
            "warnings": warnings,
            "findings": findings,
            "facts": facts,
            "organizations": organizations,
        });
        print::to_stdout(format!("{object:#}\n"))?;
    } else {
        let text = text(report, io::stdout().is_terminal());
        print::to_stdout(format!(
            "{text}{}, {}\n",
            counted(errors, "error", "errors"),
            counted(warnings, "warning", "warnings")
        ))?;
    }
    Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The report as text, in colour on a terminal.
fn text(report: &Report, in_colour: bool) -> String {
    let mut text = String::new();
    for fact in &report.facts {
        text.push_str(&format!("{}: {}\n", fact.subject, fact.text));
    }
    for organization in &report.organizations {
        text.push_str(&organization_line(organization));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    for finding in &report.findings {
        let (word, colour) = match finding.severity {
            Severity::Error => ("error", "\x1b[31m"),
            Severity::Warning => ("warning", "\x1b[33m"),
        };
        let (begin, end) = if in_colour { (colour, "\x1b[0m") } else { ("", "") };
        text.push_str(&format!("{begin}{word}{end}: {}: {}\n  {}\n", finding.subject, finding.problem, finding.remedy));
    }
    text
}

fn organization_line(organization: &OrganizationFacts) -> String {
    let OrganizationFacts { name, columns_to_add, fingerprint, is_key_present, .. } = organization;
    let schema = match columns_to_add {
        Some(0) => "schema up to date".to_owned(),
        Some(columns) => format!("the next start adds {}", counted(*columns, "column", "columns")),
        None => "schema unusable".to_owned(),
    };
    let key = match (fingerprint, is_key_present) {
        (Some(fingerprint), Some(true)) => format!("key {fingerprint} is present"),
        (Some(fingerprint), Some(false)) => format!("key {fingerprint} is missing"),
        (Some(fingerprint), None) => format!("needs the key {fingerprint}, not checked without a root key"),
        (None, _) => "no usable key ring".to_owned(),
    };
    format!("organizations/{name}: {schema}, {key}\n")
}
