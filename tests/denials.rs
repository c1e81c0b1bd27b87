//! Refused calls in the audit trails: always counted, within a budget for each caller, and in the trail of the organization too.

use sealward_client::{Client, Code, Error, ErrorReason, SecretString};
use sealward_core::policy::{Binding, Role, Scope};
use sealward_server::{config::Config, development::Person};

use crate::harness::{
    DEFAULT, Server,
    inside::{Inside, Trail},
    mailbox, reason, reveal,
};

/// The reader and the auditor are connectors of another organization, which isn't there.
fn connectors_elsewhere(config: &mut Config) {
    for identity in ["cn:reader", "cn:auditor"] {
        config.bindings.push(Binding {
            identity: identity.parse().unwrap(),
            role: Role::SecretReader.into(),
            scope: Scope::Organizations(["elsewhere".parse().unwrap()].into()),
        });
    }
}

async fn refused(client: &Client, organization: &str) -> Error {
    let name = format!("{organization}/mailboxes/0190c0de-0000-7000-8000-000000000001");
    let error = reveal(client, &name).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::PermissionDenied, ErrorReason::PrivilegeMissing));
    error
}

fn reveals(trail: Vec<Trail>, identity: &str) -> Vec<Trail> {
    let of = |record: &Trail| record.action == "reveal-attributes" && record.identity.as_deref() == Some(identity);
    trail.into_iter().filter(of).collect()
}

#[tokio::test]
async fn refusal_is_in_the_trails_of_organization_and_deployment() {
    let server = Server::start_with(connectors_elsewhere).await;
    let reader = server.client(Person::Reader);
    let here = refused(&reader, DEFAULT).await;
    let nowhere = refused(&reader, "organizations/nowhere").await;
    // The answers differ in nothing but the name that the caller gave.
    let words = |error: &Error, name: &str| error.to_string().replace(error.call_id().unwrap(), "").replace(name, "");
    assert_eq!(words(&here, DEFAULT), words(&nowhere, "organizations/nowhere"));
    // A call that is recorded as nothing else is recorded as a call.
    let auditor = server.client(Person::Auditor);
    let record = format!("{DEFAULT}/mailboxes/0190c0de-0000-7000-8000-000000000001");
    assert_eq!(reason(auditor.mailboxes().get(&record).await), ErrorReason::PrivilegeMissing);
    let folder = server.stop().await;
    let own = Inside::organization(&folder).trail();
    let deployment = Inside::configuration(&folder).trail();
    let is = |record: &Trail| (record.subject.clone(), record.outcome.clone(), record.details.clone().unwrap());
    let wanted =
        |subject: &str| (subject.to_owned(), "PRIVILEGE_MISSING".to_owned(), "lacks prvRevealAttributes".to_owned());
    let in_own = reveals(own, "cn:reader");
    assert_eq!(in_own.iter().map(is).collect::<Vec<_>>(), [wanted(DEFAULT)]);
    assert_eq!(in_own[0].call_id.as_deref(), here.call_id());
    assert!(in_own[0].peer.as_ref().unwrap().starts_with("127.0.0.1:"));
    let in_deployment = reveals(deployment.clone(), "cn:reader");
    assert_eq!(in_deployment.iter().map(is).collect::<Vec<_>>(), [wanted(DEFAULT), wanted("organizations/nowhere")]);
    let call = deployment.iter().find(|record| record.action == "call").unwrap();
    assert_eq!(call.subject, "/sealward.mail.v1.MailboxService/GetMailbox");
    assert_eq!(call.details.as_deref(), Some("lacks prvReadRecords"));
}

#[tokio::test]
async fn invented_names_hide_no_refusal_and_stay_within_the_budget() {
    let budget = |config: &mut Config| {
        connectors_elsewhere(config);
        config.limits.refusals_recorded_per_minute_per_identity = 5;
    };
    let server = Server::start_with(budget).await;
    let (reader, auditor) = (server.client(Person::Reader), server.client(Person::Auditor));
    for number in 0..300 {
        refused(&reader, &format!("organizations/made-up-{number}")).await;
    }
    refused(&reader, DEFAULT).await;
    let other = refused(&auditor, DEFAULT).await;
    refused(&reader, &format!("organizations/{}", "x".repeat(63))).await;
    let folder = server.stop().await;
    let (own, deployment) = (Inside::organization(&folder).trail(), Inside::configuration(&folder).trail());
    // The other caller's refusal is recorded with its own call.
    assert_eq!(reveals(own.clone(), "cn:auditor")[0].call_id.as_deref(), other.call_id());
    // The same caller's in an organization that exists is in the trail of that, counted.
    let counted = reveals(own, "cn:reader");
    assert_eq!(counted.len(), 1);
    assert_eq!(
        (&*counted[0].subject, counted[0].details.as_deref()),
        (DEFAULT, Some("lacks prvRevealAttributes; repeated 1 times"))
    );
    let recorded = reveals(deployment, "cn:reader");
    let repeats: Vec<u64> = recorded
        .iter()
        .filter_map(|record| record.details.as_ref()?.split_once("repeated ")?.1.split(' ').next()?.parse().ok())
        .collect();
    // Each of them is recorded once, in any minute.
    let at_once = u64::try_from(recorded.len() - repeats.len()).unwrap();
    assert_eq!(at_once + repeats.iter().sum::<u64>(), 302);
    assert!(recorded.len() <= 12, "{}", recorded.len());
    let bytes: usize =
        recorded.iter().map(|record| record.subject.len() + record.details.as_ref().unwrap().len()).sum();
    assert!(bytes < 4_000, "{bytes}");
}

#[tokio::test]
async fn comparison_over_the_limit_is_counted_without_an_outcome() {
    let server = Server::start_with(|config| config.limits.comparisons_per_15_minutes = 3).await;
    let stored =
        server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap().name;
    let connector = server.client(Person::Connector);
    let compare = async |value: &str| {
        let value = SecretString::from(value);
        connector.compare_attribute(&stored, "password", &value, "a login").await
    };
    // One that fails uses up no place.
    let absent = stored.replace(&stored[stored.len() - 4..], "0000");
    for _ in 0..5 {
        let refused = connector.compare_attribute(&absent, "password", &"x".into(), "a login").await;
        assert_eq!(reason(refused), ErrorReason::NotFound);
    }
    for _ in 0..3 {
        assert!(!compare("wrong").await.unwrap());
    }
    for _ in 0..4 {
        let error = compare("hunter2").await.unwrap_err();
        assert_eq!(error.reason(), ErrorReason::ComparisonQuota);
        assert!(error.retry_delay().is_some_and(|delay| delay.as_secs() > 800 && delay.as_secs() <= 900));
    }
    let trail = Inside::organization(&server.stop().await).trail();
    let of = |outcome: &str| -> Vec<Option<&str>> {
        let records = trail.iter().filter(|record| record.action == "compare-attribute" && record.outcome == outcome);
        records.filter(|record| record.subject == stored).map(|record| record.details.as_deref()).collect()
    };
    assert_eq!(of("done"), [Some("different"); 3]);
    assert_eq!(of("COMPARISON_QUOTA"), [Some("over the quota"), Some("over the quota; repeated 3 times")]);
    assert!(!format!("{trail:?}").contains("\"equal\""));
}
