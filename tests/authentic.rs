//! Rows of the configuration database, and databases in the place of others: an organization whose files were exchanged isn't
//! served.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sealward_client::{Client, Code, ErrorReason};
use sealward_server::{config::Config, development::Person};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::{
    harness::{DEFAULT, Folder, Server, health_of, inside::Inside, mailbox, reason, refused, reveal},
    operate::{checked, findings, program},
};

const CONTOSO: &str = "organizations/contoso";

fn retry_soon(config: &mut Config) {
    config.limits.organization_retry_interval_seconds = 1;
}

/// A folder with the organizations *default* and *contoso*, a mailbox in each, and contoso's database.
struct Two {
    folder: Folder,
    default: String,
    contoso: String,
    contoso_database: PathBuf,
    default_database: PathBuf,
}

impl Two {
    async fn new() -> Self {
        let server = Server::start().await;
        let (admin, writer) = (server.client(Person::Admin), server.client(Person::Writer));
        let path = |uid: String| server.folder().path().join(format!("organizations/{uid}.db"));
        let contoso_database = path(admin.create_organization("contoso").await.unwrap().uid);
        let default_database = path(admin.get_organization(DEFAULT).await.unwrap().uid);
        let default = writer.mailboxes().create(DEFAULT, mailbox("default's"), None).await.unwrap().name;
        let contoso = writer.mailboxes().create(CONTOSO, mailbox("contoso's"), None).await.unwrap().name;
        let folder = server.stop().await;
        Two { folder, default, contoso, contoso_database, default_database }
    }

    fn configuration(&self, sql: &str) {
        Inside::configuration(&self.folder).execute(sql);
    }
}

async fn mismatch(client: &Client, organization: &str) {
    let outcome = client.get_organization(format!("organizations/{organization}")).await;
    let (code, reason) = (Code::FailedPrecondition, ErrorReason::OrganizationMismatch);
    refused(outcome, code, reason, &[("organization", organization)]);
}

/// The problems that `check-config` reports for an organization.
fn problems(folder: &Folder, organization: &str) -> Vec<String> {
    let (_, report) = checked(&mut program(), &folder.development().config_file());
    let subject = format!("organizations/{organization}");
    findings(&report).into_iter().filter(|finding| finding.1 == subject).map(|finding| finding.2).collect()
}

/// Waits until the server's health of `organizations` has this status.
async fn health_becomes(server: &Server, wanted: ServingStatus) {
    health_of(server, "organizations", wanted).await;
}

const SWAP_NAMES: &str = "UPDATE sealward_organizations SET name = 'other' WHERE name = 'default';
     UPDATE sealward_organizations SET name = 'default' WHERE name = 'contoso';
     UPDATE sealward_organizations SET name = 'contoso' WHERE name = 'other'";

#[tokio::test]
async fn organizations_with_exchanged_names_are_not_served() {
    sqlite_only!("check-config reads no rows of PostgreSQL");
    let two = Two::new().await;
    two.configuration(SWAP_NAMES);
    for organization in ["default", "contoso"] {
        let found = problems(&two.folder, organization);
        assert!(found.iter().any(|problem| problem.contains("is not authentic")), "{found:?}");
        assert!(found.iter().any(|problem| problem.contains("contains the database of")), "{found:?}");
    }
    let Two { folder, default, contoso, .. } = two;
    let server = Server::start_in(folder, retry_soon).await;
    let (admin, connector) = (server.client(Person::Admin), server.client(Person::Connector));
    mismatch(&admin, "default").await;
    mismatch(&admin, "contoso").await;
    for name in [&default, &contoso] {
        assert_eq!(reason(reveal(&connector, name).await), ErrorReason::OrganizationMismatch);
    }
    assert_eq!(reason(admin.create_organization("contoso").await), ErrorReason::OrganizationMismatch);
    assert_eq!(reason(admin.delete_organization(CONTOSO).await), ErrorReason::OrganizationMismatch);
    health_becomes(&server, ServingStatus::NotServing).await;

    Inside::configuration(server.folder()).execute(SWAP_NAMES);
    health_becomes(&server, ServingStatus::Serving).await;
    assert_eq!(reveal(&connector, &default).await.unwrap().as_deref(), Some("default's"));
    assert_eq!(reveal(&connector, &contoso).await.unwrap().as_deref(), Some("contoso's"));
}

#[tokio::test]
async fn organization_with_a_changed_row_is_not_served() {
    sqlite_only!("exchanges files of databases");
    for sql in [
        "UPDATE sealward_organizations SET state = 'deleting' WHERE name = 'contoso'",
        "UPDATE sealward_organizations SET mac = NULL WHERE name = 'contoso'",
        "UPDATE sealward_organizations SET create_time = create_time + 1 WHERE name = 'contoso'",
    ] {
        let two = Two::new().await;
        two.configuration(sql);
        let server = Server::start_in(two.folder, |_| {}).await;
        mismatch(&server.client(Person::Admin), "contoso").await;
        assert_eq!(
            reveal(&server.client(Person::Connector), &two.default).await.unwrap().as_deref(),
            Some("default's")
        );
        let folder = server.stop().await;
        assert!(two.contoso_database.exists());
        assert_eq!(Inside::configuration(&folder).key_texts().len(), 2);
    }
}

#[tokio::test]
async fn row_with_an_invalid_name_leaves_the_others_served() {
    sqlite_only!("exchanges files of databases");
    let two = Two::new().await;
    two.configuration("UPDATE sealward_organizations SET name = 'No Name' WHERE name = 'contoso'");
    let found = problems(&two.folder, "No Name");
    assert!(found.iter().any(|problem| problem.contains("is not authentic")), "{found:?}");
    let server = Server::start_in(two.folder, |_| {}).await;
    assert_eq!(reveal(&server.client(Person::Connector), &two.default).await.unwrap().as_deref(), Some("default's"));
    health_becomes(&server, ServingStatus::NotServing).await;
    let _folder = server.stop().await;
    assert!(two.contoso_database.exists());
}

/// Exchanges two databases that aren't open.
fn exchange(one: &Path, other: &Path) {
    let aside = one.with_extension("aside");
    for (from, to) in [(one, aside.as_path()), (other, one), (&aside, other)] {
        fs::rename(from, to).unwrap();
    }
}

#[tokio::test]
async fn database_in_the_place_of_another_is_not_served() {
    sqlite_only!("exchanges files of databases");
    let two = Two::new().await;
    exchange(&two.default_database, &two.contoso_database);
    let found = problems(&two.folder, "default");
    assert!(
        found.iter().any(|problem| problem.contains("contains the database of organizations/contoso")),
        "{found:?}"
    );
    let server = Server::start_in(two.folder, |_| {}).await;
    let admin = server.client(Person::Admin);
    mismatch(&admin, "default").await;
    mismatch(&admin, "contoso").await;
    let server = server.restart(|_| exchange(&two.default_database, &two.contoso_database), |_| {}).await;
    assert_eq!(reveal(&server.client(Person::Connector), &two.contoso).await.unwrap().as_deref(), Some("contoso's"));
}

#[tokio::test]
async fn database_with_a_changed_name_is_not_served() {
    sqlite_only!("exchanges files of databases");
    let two = Two::new().await;
    Inside::open(&two.contoso_database).change(1, "UPDATE sealward_organization SET name = 'default'");
    let server = Server::start_in(two.folder, |_| {}).await;
    mismatch(&server.client(Person::Admin), "contoso").await;
    assert_eq!(reveal(&server.client(Person::Connector), &two.default).await.unwrap().as_deref(), Some("default's"));
}

/// Without its row, a database would be registered under the name inside it, which isn't authentic.
#[tokio::test]
async fn database_without_its_row_is_not_registered_with_existing_keys() {
    sqlite_only!("exchanges files of databases");
    let two = Two::new().await;
    two.configuration("DELETE FROM sealward_organizations WHERE name IN ('default', 'contoso')");
    Inside::open(&two.contoso_database).change(1, "UPDATE sealward_organization SET name = 'default'");
    let server = Server::start_in(two.folder, |_| {}).await;
    let admin = server.client(Person::Admin);
    assert_eq!(reason(admin.get_organization(DEFAULT).await), ErrorReason::NotFound);
    assert_eq!(admin.list_organizations(0, "").await.unwrap().records.len(), 0);
}

#[tokio::test]
async fn repaired_database_is_served_without_a_restart() {
    sqlite_only!("exchanges files of databases");
    let two = Two::new().await;
    let content = fs::read(&two.contoso_database).unwrap();
    fs::write(&two.contoso_database, b"nothing that SQLite has written, and long enough for a header").unwrap();
    let found = problems(&two.folder, "contoso");
    assert_eq!(found.len(), 1, "{found:?}");
    let server = Server::start_in(two.folder, retry_soon).await;
    let (admin, connector) = (server.client(Person::Admin), server.client(Person::Connector));
    let (code, unavailable) = (Code::Unavailable, ErrorReason::OrganizationUnavailable);
    let metadata = [("organization", "contoso")];
    refused(admin.get_organization(CONTOSO).await, code, unavailable, &metadata);
    refused(reveal(&connector, &two.contoso).await, code, unavailable, &metadata);
    refused(admin.create_organization("contoso").await, code, unavailable, &metadata);
    assert_eq!(reveal(&connector, &two.default).await.unwrap().as_deref(), Some("default's"));
    health_becomes(&server, ServingStatus::NotServing).await;
    let mut health = HealthClient::new(connector.channel());
    let whole = health.check(HealthCheckRequest { service: String::new() }).await.unwrap().into_inner();
    assert_eq!(whole.status(), ServingStatus::Serving);

    // Restored completely, under its name.
    let put_back = two.contoso_database.with_extension("back");
    fs::write(&put_back, content).unwrap();
    fs::rename(put_back, &two.contoso_database).unwrap();
    health_becomes(&server, ServingStatus::Serving).await;
    assert_eq!(reveal(&connector, &two.contoso).await.unwrap().as_deref(), Some("contoso's"));
}

#[tokio::test]
async fn rows_get_the_mac_of_a_new_root_key_before_the_old_one_is_removed() {
    let two = Two::new().await;
    let macs =
        |folder: &Folder| Inside::configuration(folder).bytes("SELECT mac FROM sealward_organizations ORDER BY name");
    let before = macs(&two.folder);
    crate::root_key::renew(&two.folder.path());
    let folder = Server::start_in(two.folder, |_| {}).await.stop().await;
    let after = macs(&folder);
    assert!(before.iter().zip(&after).all(|(one, other)| one != other));
    crate::root_key::list(&folder.path(), &["root.key"]);
    let server = Server::start_in(folder, |_| {}).await;
    assert_eq!(reveal(&server.client(Person::Connector), &two.contoso).await.unwrap().as_deref(), Some("contoso's"));
}
