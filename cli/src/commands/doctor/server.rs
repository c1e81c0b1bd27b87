//! Checks what only the server knows: identity, clock, version and permissions.

use sealward_client::{Client, Error, ErrorReason, v1::WhoAmIResponse};

use super::report::Report;
use crate::{connection::Connection, failure::explain};

const IDENTITY: &str = "identity";
const CLOCK: &str = "clock";
const VERSIONS: &str = "versions";
const PERMISSIONS: &str = "permissions";
const KEY: &str = "data encryption";

/// A greater difference of the clocks causes a warning: tokens and certificates that have just been issued aren't valid yet.
const CLOCK_DIFFERENCE_MAX_SECONDS: i64 = 30;

pub(super) async fn check(connection: &Connection, is_reached: bool, now: i64, report: &mut Report) {
    if !is_reached {
        for check in [IDENTITY, CLOCK, VERSIONS, PERMISSIONS, KEY] {
            report.not_checked(check, "there is no connection");
        }
        return;
    }
    let client = match connection.connect().await {
        Ok(client) => client,
        Err(failure) => return unanswered(&failure.text(connection.hints()), report),
    };
    match client.who_am_i().await {
        Ok(answer) => {
            report.ok(IDENTITY, shown_identity(&answer));
            clock(&answer, now, report);
            versions(&client, report);
            permissions(&answer, connection, report);
            key(&client, connection, report).await;
        }
        Err(error) => unanswered(&explain(&error, connection.hints()), report),
    }
}

/// The first call failed. The text of the error has the remedy after the first line.
fn unanswered(text: &str, report: &mut Report) {
    let (finding, remedy) = text.split_once('\n').unwrap_or((text, ""));
    report.failed(IDENTITY, finding, remedy.split_whitespace().collect::<Vec<_>>().join(" "));
    for check in [CLOCK, VERSIONS, PERMISSIONS, KEY] {
        report.not_checked(check, "the first call failed");
    }
}

fn shown_identity(answer: &WhoAmIResponse) -> String {
    let roles: Vec<&str> = answer.roles.iter().map(|held| held.role.as_str()).collect();
    if roles.is_empty() {
        return answer.identity.clone();
    }
    format!("{} ({})", answer.identity, roles.join(", "))
}

fn clock(answer: &WhoAmIResponse, now: i64, report: &mut Report) {
    let Some(server) = &answer.server_time else {
        return report.not_checked(CLOCK, "the server doesn't report its time: it may be older than this client");
    };
    let ahead = now - server.seconds;
    let finding = match ahead {
        0 => "the same as the server's".to_owned(),
        1.. => format!("{ahead} s ahead of the server's"),
        _ => format!("{} s behind the server's", -ahead),
    };
    if ahead.abs() > CLOCK_DIFFERENCE_MAX_SECONDS {
        report.warning(CLOCK, finding, "synchronize the clocks of both machines, for example with chrony");
    } else {
        report.ok(CLOCK, finding);
    }
}

fn versions(client: &Client, report: &mut Report) {
    let own = env!("CARGO_PKG_VERSION");
    match client.server_version() {
        None => report.not_checked(VERSIONS, format!("client {own}; the server doesn't report its version")),
        Some(server) if server == own => report.ok(VERSIONS, format!("client and server {own}")),
        Some(server) if major(&server) == major(own) => {
            report.ok(VERSIONS, format!("client {own}, server {server}: the contract is the same or compatible"));
        }
        Some(server) => {
            let finding = format!("client {own}, server {server}: another major version");
            report.warning(VERSIONS, finding, "use a client of the server's major version");
        }
    }
}

/// The part of a version within which the contract doesn't break: the first number that isn't 0 (Semantic Versioning, item 4).
fn major(version: &str) -> Vec<&str> {
    let numbers: Vec<&str> = version.split('.').collect();
    let end = numbers.iter().position(|number| *number != "0").map_or(numbers.len(), |first| first + 1);
    numbers.into_iter().take(end).collect()
}

fn permissions(answer: &WhoAmIResponse, connection: &Connection, report: &mut Report) {
    let organization = connection.organization();
    let id = organization.trim_start_matches("organizations/");
    let here = answer.roles.iter().filter(|held| held.organizations.iter().any(|name| name == "*" || name == id));
    let mut privileges: Vec<&str> = here.flat_map(|held| held.privileges.iter().map(String::as_str)).collect();
    privileges.sort_unstable();
    privileges.dedup();
    if privileges.is_empty() {
        let remedy = format!("ask an administrator to bind {} to a role in this organization", answer.identity);
        return report.warning(PERMISSIONS, format!("none in {organization}"), remedy);
    }
    report.ok(PERMISSIONS, format!("in {organization}: {}", privileges.join(" ")));
}

async fn key(client: &Client, connection: &Connection, report: &mut Report) {
    let organization = connection.organization();
    match client.is_data_encryption_active(organization.clone()).await {
        Ok(state) if state.is_active => report.ok(KEY, format!("active in {organization}")),
        Ok(_) => report.warning(
            KEY,
            format!("inactive in {organization}: encrypted attributes can't be written or revealed"),
            format!("restore the key: {}", connection.hints().command("key restore")),
        ),
        Err(error) if is_not_permitted(&error) => {
            report.not_checked(KEY, "this identity may not read the state of the key (prvReadEncryptionState)");
        }
        Err(error) => {
            let text = explain(&error, connection.hints());
            let (finding, remedy) = text.split_once('\n').unwrap_or((&text, ""));
            report.failed(KEY, finding, remedy.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
}

fn is_not_permitted(error: &Error) -> bool {
    error.reason() == ErrorReason::PrivilegeMissing
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;

    use super::{super::report::Status, *};

    fn clock_at(ahead: i64) -> (Status, String) {
        let mut report = Report::default();
        let server_time = Some(Timestamp { seconds: 1_000, nanos: 0 });
        clock(&WhoAmIResponse { server_time, ..WhoAmIResponse::default() }, 1_000 + ahead, &mut report);
        let check = report.checks.pop().unwrap();
        (check.status, check.finding)
    }

    #[test]
    fn difference_of_the_clocks_is_reported() {
        assert_eq!(clock_at(0), (Status::Ok, "the same as the server's".to_owned()));
        assert_eq!(clock_at(30), (Status::Ok, "30 s ahead of the server's".to_owned()));
        assert_eq!(clock_at(-31), (Status::Warning, "31 s behind the server's".to_owned()));
        let mut report = Report::default();
        clock(&WhoAmIResponse::default(), 0, &mut report);
        assert_eq!(report.count(Status::NotChecked), 1);
    }

    #[test]
    fn versions_of_one_major_version_are_compatible() {
        assert_eq!(major("1.2.3"), major("1.9.0"));
        assert_ne!(major("1.2.3"), major("2.0.0"));
        assert_eq!(major("0.1.0"), major("0.1.7"));
        assert_ne!(major("0.1.0"), major("0.2.0"));
    }
}
