//! `doctor`: checks everything that a call depends on, and says what to do about each problem.
//!
//! The checks follow the way of a call: files, address, TLS, identity, clock, versions, permissions. A check whose precondition failed is
//! listed as not checked. Nothing is changed, and the audit trail doesn't record it.

mod certificate;
mod network;
mod report;
mod server;

use serde_json::json;

use self::report::{Report, Status};
use crate::{
    connection::Connection,
    failure::Failure,
    output::{Format, Output, stdout::print_lines, table},
};

pub(super) const EXAMPLES: &str = "\
The exit code is 1 if a check failed. Warnings don't change it.

Examples:
  sealward doctor
  sealward --as reader doctor --output json
  sealward doctor --endpoint https://sealward.example.org:7443 --ca ca.pem --cert me.pem --key me.key";

pub(super) async fn run(connection: &Connection, output: &Output) -> Result<(), Failure> {
    let mut report = Report::default();
    let now = network::now();
    let identity = certificate::identity(connection, now, &mut report);
    let is_reached = network::check(connection, identity, now, &mut report).await;
    server::check(connection, is_reached, now, &mut report).await;
    print(&report, output)?;
    match report.count(Status::Failed) {
        0 => Ok(()),
        failed => Err(Failure::Failed(format!("{failed} of {} checks failed", report.checks.len()))),
    }
}

fn print(report: &Report, output: &Output) -> Result<(), Failure> {
    if output.format() != Format::Table {
        return output.answer(&json!({ "checks": report.checks }));
    }
    let rows: Vec<Vec<String>> = report
        .checks
        .iter()
        .flat_map(|check| {
            let line = vec![check.status.name().to_owned(), check.check.to_owned(), check.finding.clone()];
            let remedy = check.remedy.as_ref().map(|remedy| vec![String::new(), String::new(), format!("→ {remedy}")]);
            [line].into_iter().chain(remedy)
        })
        .collect();
    print_lines(&table::rows(&["STATUS", "CHECK", "FINDING"], &rows, 3, None))
}
