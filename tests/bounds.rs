//! The limits of a deployment on lists and connections, each at its value and one past it.
//!
//! Sizes of messages and pages are tested in `transport` and `records`; headers, concurrent calls and connections are tested
//! in the server's modules `http2` and `listener`, deadlines in `gates`.

use sealward_client::{Action, Client, Code, Error, ErrorReason, ListOptions, mail_v1, v1};
use sealward_server::{config::Config, development::Person};

use crate::{
    due::scraped,
    harness::{DEFAULT, PATIENCE, Server, mailbox},
};

const CONNECTION_LIMIT: u32 = 2;

fn tight(config: &mut Config) {
    let limits = &mut config.limits;
    limits.filter_length_max_bytes = 64;
    limits.filter_depth_max = 1;
    limits.filter_comparisons_max = 2;
    limits.mask_paths_max = 2;
}

fn filtered(filter: &str) -> ListOptions {
    ListOptions::default().filter(filter)
}

/// The fields of a refusal, with the reason of each.
#[track_caller]
fn fields<T>(outcome: Result<T, Error>) -> Vec<(String, String)> {
    let Err(error) = outcome else { panic!("the call should have been refused") };
    assert_eq!(error.code(), Code::InvalidArgument);
    error.field_violations().iter().map(|violation| (violation.field.clone(), violation.reason.clone())).collect()
}

#[tokio::test]
async fn filter_is_accepted_up_to_its_limits() {
    let server = Server::start_with(tight).await;
    let reader = server.client(Person::Reader);
    let auditor = server.client(Person::Auditor);
    let (text, number) = ("display_name", "sequence");
    let longest = |name: &str, past: usize| {
        let filter = format!("{name} != 1");
        format!("{filter}{}", " ".repeat(64 - filter.len() + past))
    };
    let nested = |name: &str, depth| format!("{}{name} != 1{}", "(".repeat(depth), ")".repeat(depth));
    let many = |name: &str, count| vec![format!("{name} != 1"); count].join(" OR ");
    type Filter<'a> = &'a dyn Fn(&str, usize) -> String;
    let bounds: [(Filter<'_>, usize, &str); 3] = [
        (&longest, 0, "filter_length_max_bytes"),
        (&nested, 1, "filter_depth_max"),
        (&many, 2, "filter_comparisons_max"),
    ];
    for (filter, at, bound) in bounds {
        reader.mailboxes().list(DEFAULT, filtered(&filter(text, at))).await.unwrap();
        auditor.list_audit_records(DEFAULT, filter(number, at), 0, "").await.unwrap();
        let past = filter(text, at + 1);
        let refused = reader.mailboxes().list(DEFAULT, filtered(&past)).await.unwrap_err();
        assert_eq!((refused.reason(), refused.metadata("bound")), (ErrorReason::FilterInvalid, Some(bound)), "{past}");
        let past = filter(number, at + 1);
        let refused = auditor.list_audit_records(DEFAULT, past.as_str(), 0, "").await.unwrap_err();
        assert_eq!((refused.reason(), refused.metadata("bound")), (ErrorReason::FilterInvalid, Some(bound)), "{past}");
    }
}

#[tokio::test]
async fn largest_configurable_filter_is_answered() {
    let server = Server::start_with(|config| {
        config.limits.filter_length_max_bytes = 65_536;
        config.limits.filter_depth_max = 64;
        config.limits.filter_comparisons_max = 500;
    })
    .await;
    server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let reader = server.client(Person::Reader);
    let comparison = r#"display_name = "Sales""#;
    for filter in [
        vec![comparison; 500].join(" OR "),
        vec![comparison; 500].join(" AND "),
        format!("{}{comparison}{}", "NOT (".repeat(64), ")".repeat(64)),
        format!("{comparison}{}", " ".repeat(65_536 - comparison.len())),
    ] {
        assert_eq!(reader.mailboxes().list(DEFAULT, filtered(&filter)).await.unwrap().records.len(), 1);
    }
}

#[tokio::test]
async fn mask_is_accepted_up_to_its_limit() {
    let server = Server::start_with(tight).await;
    let writer = server.client(Person::Writer);
    let stored = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let changed = || mail_v1::Mailbox {
        name: stored.name.clone(),
        display_name: Some("Support".to_owned()),
        ..Default::default()
    };
    let at = ["display_name", "username"];
    let past = ["display_name", "username", "display_name"];
    writer.mailboxes().list(DEFAULT, ListOptions::default().read_mask(at)).await.unwrap();
    writer.mailboxes().update(changed(), at).await.unwrap();
    let too_many = |field: &str| [(field.to_owned(), "TOO_MANY".to_owned())];
    let listed = writer.mailboxes().list(DEFAULT, ListOptions::default().read_mask(past)).await;
    assert_eq!(fields(listed), too_many("read_mask"));
    assert_eq!(fields(writer.mailboxes().update(changed(), past).await), too_many("update_mask"));
    let refused = writer.mailboxes().update(changed(), past).await.unwrap_err();
    assert_eq!(refused.metadata("bound"), Some("mask_paths_max"));
    // All that a message holds are reported once.
    let flood = vec!["nothing"; 100_000];
    assert_eq!(fields(writer.mailboxes().update(changed(), flood).await), too_many("update_mask"));
    let attribute = v1::AttributeMetadata {
        name: format!("{DEFAULT}/entityMetadata/Mailbox/attributes/email_address"),
        ..v1::AttributeMetadata::default()
    };
    let admin = server.client(Person::Admin);
    assert_eq!(fields(admin.update_attribute_metadata(attribute, past, true).await), too_many("update_mask"));
}

#[tokio::test]
async fn connection_past_the_limit_of_its_identity_is_refused_with_the_reason() {
    let server = Server::start_with(|config| {
        config.limits.connections_per_identity_max = CONNECTION_LIMIT;
        config.listen.metrics_address = Some("127.0.0.1:0".parse().unwrap());
    })
    .await;
    let is_served = async |client: &Client| client.mailboxes().list(DEFAULT, ListOptions::default()).await.map(drop);
    let mut held = Vec::new();
    for _ in 0..CONNECTION_LIMIT {
        let client = server.client(Person::Reader);
        is_served(&client).await.unwrap();
        held.push(client);
    }
    let another = server.client(Person::Reader);
    let error = is_served(&another).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::ResourceExhausted, ErrorReason::ConnectionLimit));
    assert!(matches!(error.action(), Action::Wait { delay: Some(_) }), "{error:?}");
    assert_eq!((error.metadata("bound"), error.metadata("limit")), (Some("connections_per_identity_max"), Some("2")));
    // Other identities aren't affected, and existing connections continue.
    is_served(&server.client(Person::Writer)).await.unwrap();
    for client in &held {
        is_served(client).await.unwrap();
    }
    let metrics = scraped(server.metrics_address()).await;
    assert!(metrics.contains("sealward_refused_by_bound_total{bound=\"connections_per_identity_max\"} "), "{metrics}");
    // Once there is a place, the same client is admitted: its connection got GOAWAY, and it opens another one.
    held.pop();
    let served = async { while is_served(&another).await.is_err() {} };
    tokio::time::timeout(PATIENCE, served).await.unwrap();
}
