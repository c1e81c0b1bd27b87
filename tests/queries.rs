//! Filters, orders, pages, masks and counts on the wire. Their results for records of every kind are compared with a plain
//! evaluation beside the store.

use std::collections::BTreeSet;

use prost_reflect::{DynamicMessage, Kind, ReflectMessage, Value};
use sealward_client::{Client, Code, EntityType, Error, ErrorReason, ListOptions, Page, built_in_pool, mail_v1};
use sealward_server::development::Person;

use crate::harness::{DEFAULT, Server, refused};

fn entities() -> Vec<EntityType> {
    EntityType::all(&built_in_pool()).unwrap()
}

fn options() -> ListOptions {
    ListOptions::default()
}

async fn create(writer: &Client, mailbox: mail_v1::Mailbox) -> mail_v1::Mailbox {
    writer.mailboxes().create(DEFAULT, mailbox, None).await.unwrap()
}

fn mailbox(display_name: &str, username: Option<&str>, password: Option<&str>) -> mail_v1::Mailbox {
    mail_v1::Mailbox {
        display_name: Some(display_name.to_owned()),
        username: username.map(str::to_owned),
        password: password.map(str::to_owned),
        ..mail_v1::Mailbox::default()
    }
}

fn titles(mailboxes: &[mail_v1::Mailbox]) -> Vec<&str> {
    mailboxes.iter().map(mail_v1::Mailbox::display_name).collect()
}

/// A record of any entity, with everything that is required and every encrypted attribute.
async fn create_any(writer: &Client, entity: &EntityType) -> String {
    let mut record = DynamicMessage::new(entity.message.clone());
    for attribute in &entity.attributes {
        let given = &attribute.options;
        if given.encrypted || given.required && given.default.is_none() && !given.output_only {
            let value = match attribute.field.kind() {
                Kind::String if given.uuid => Value::String(uuid::Uuid::from_u128(7).to_string()),
                Kind::String => Value::String("x".to_owned()),
                Kind::Enum(_) => Value::EnumNumber(1),
                Kind::Int32 => Value::I32(1),
                kind => panic!("no example of {kind:?}"),
            };
            record.set_field(&attribute.field, value);
        }
    }
    let id = entity.options.id_required.then(|| uuid::Uuid::from_u128(7).to_string());
    let created = writer.records(entity).create(DEFAULT, record, id.as_deref()).await.unwrap();
    created.get_field_by_name("name").unwrap().as_str().unwrap().to_owned()
}

/// The fields that a message has, by name.
fn fields(message: &DynamicMessage) -> BTreeSet<String> {
    message.fields().map(|(field, _)| field.name().to_owned()).collect()
}

/// The fields of a refusal, with the reasons of each.
fn violations(error: &Error) -> BTreeSet<(String, String)> {
    let violations = error.field_violations();
    let set: BTreeSet<_> =
        violations.iter().map(|violation| (violation.field.clone(), violation.reason.clone())).collect();
    assert_eq!(set.len(), violations.len(), "{violations:?}");
    set
}

fn set_of<const N: usize>(pairs: [(&str, &str); N]) -> BTreeSet<(String, String)> {
    pairs.map(|(field, reason)| (field.to_owned(), reason.to_owned())).into()
}

#[tokio::test]
async fn a_list_is_filtered_ordered_masked_and_counted() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    for (display_name, username, password) in [
        ("Sales, north", Some("b"), Some("hunter2")),
        ("Sales, south", None, Some("hunter2")),
        ("Sales, west", Some("a"), None),
        ("Sales, east", Some("b"), Some("hunter2")),
        ("Support", Some("a"), Some("hunter2")),
    ] {
        create(&writer, mailbox(display_name, username, password)).await;
    }
    let reader = server.client(Person::Reader);
    let list = async |options| reader.mailboxes().list(DEFAULT, options).await.unwrap();

    let sales = r#"display_name = "Sales*" AND is_password_set = true"#;
    let ordered = options().filter(sales).order_by("username desc, display_name");
    let page = list(ordered.clone().with_total_size()).await;
    assert_eq!(titles(&page.records), ["Sales, east", "Sales, north", "Sales, south"]);
    assert_eq!((page.total_size, page.next_page_token.as_str()), (Some(3), ""));
    let ascending = list(options().filter(sales).order_by("username asc, display_name desc")).await;
    assert_eq!(titles(&ascending.records), ["Sales, south", "Sales, north", "Sales, east"]);
    assert_eq!(ascending.total_size, None);

    let masked = list(ordered.read_mask(["username", "is_password_set"]).page_size(1).with_total_size()).await;
    let [first] = &masked.records[..] else { panic!("{masked:?}") };
    let expected = mail_v1::Mailbox {
        name: page.records[0].name.clone(),
        username: Some("b".to_owned()),
        is_password_set: Some(true),
        ..mail_v1::Mailbox::default()
    };
    assert_eq!((first, masked.total_size), (&expected, Some(3)));

    let none = list(options().filter("display_name = nobody").with_total_size()).await;
    assert_eq!(none, Page { records: Vec::new(), next_page_token: String::new(), total_size: Some(0) });
    // NOT is true of null.
    let others = list(options().filter("NOT username = b").order_by("display_name")).await;
    assert_eq!(titles(&others.records), ["Sales, south", "Sales, west", "Support"]);
}

#[tokio::test]
async fn pages_of_any_size_have_every_record_once_in_order() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let mut names = Vec::new();
    for number in 0..11 {
        let username = ["b", "a"].get(number % 3).copied();
        let mailbox = mailbox(&format!("{number:02}"), username, None);
        let id = format!("00000000-0000-7000-8000-{number:012}");
        names.push(writer.mailboxes().create(DEFAULT, mailbox, Some(id)).await.unwrap().name);
    }
    for (order, expected) in [
        ("", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        ("name desc", [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
        ("username", [2, 5, 8, 1, 4, 7, 10, 0, 3, 6, 9]),
        ("username desc", [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8]),
        ("username desc, name desc", [9, 6, 3, 0, 10, 7, 4, 1, 8, 5, 2]),
        ("username, display_name desc", [8, 5, 2, 10, 7, 4, 1, 9, 6, 3, 0]),
        ("create_time desc", [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
        ("state_code, email_server_profile, username", [2, 5, 8, 1, 4, 7, 10, 0, 3, 6, 9]),
    ] {
        for size in [1, 3, 4, 11] {
            let mailboxes = writer.mailboxes();
            let pages = mailboxes.pages(DEFAULT, options().order_by(order).page_size(size));
            let found: Vec<String> = pages.all().await.unwrap().into_iter().map(|mailbox| mailbox.name).collect();
            let expected = expected.map(|number: usize| names[number].clone());
            assert_eq!(found, expected, "{order} by {size}");
        }
    }

    // Page by page, and as records that are known by their descriptors only.
    let entities = entities();
    let entity = entities.iter().find(|entity| entity.options.singular == "mailbox").unwrap();
    let wanted = options().filter("username = a").order_by("display_name desc").page_size(3).with_total_size();
    let mut pages = writer.records(entity).pages(DEFAULT, wanted);
    let (mut sizes, mut found) = (Vec::new(), Vec::new());
    while let Some(page) = pages.next().await.unwrap() {
        assert_eq!(page.total_size, Some(4));
        sizes.push(page.records.len());
        found.extend(page.records);
    }
    assert_eq!(sizes, [3, 1]);
    let title =
        |record: &DynamicMessage| record.get_field_by_name("display_name").unwrap().as_str().unwrap().to_owned();
    assert_eq!(found.iter().map(title).collect::<Vec<_>>(), ["10", "07", "04", "01"]);
    assert!(pages.next().await.unwrap().is_none());
}

#[tokio::test]
async fn changes_between_pages_do_not_move_other_records() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let mut stored = Vec::new();
    // Ids are given, so that the order of equal values is known.
    for (number, username) in [None, Some("a"), Some("b"), Some("b"), Some("c")].into_iter().enumerate() {
        let id = format!("00000000-0000-7000-8000-{number:012}");
        stored.push(writer.mailboxes().create(DEFAULT, mailbox("x", username, None), Some(id)).await.unwrap());
    }
    let wanted = options().order_by("username").page_size(3);
    let first = writer.mailboxes().list(DEFAULT, wanted.clone()).await.unwrap();
    assert_eq!(first.records, stored[..3]);
    // The last record of the page is deleted; one is added before it, one after.
    writer.mailboxes().delete(&stored[2].name, "").await.unwrap();
    create(&writer, mailbox("x", Some("aa"), None)).await;
    let after = create(&writer, mailbox("x", Some("bb"), None)).await;
    let second = writer.mailboxes().list(DEFAULT, wanted.page_token(first.next_page_token)).await.unwrap();
    assert_eq!(second.records, [stored[3].clone(), after, stored[4].clone()]);
    assert_eq!(second.next_page_token, "");
}

#[tokio::test]
async fn page_token_is_for_one_filter_order_list_and_caller() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    server.client(Person::Admin).create_organization("contoso").await.unwrap();
    for number in 0..4 {
        create(&writer, mailbox(&number.to_string(), Some("a"), None)).await;
    }
    let (filter, order) = ("username = a", "display_name desc");
    let wanted = options().filter(filter).order_by(order).page_size(1);
    let token = writer.mailboxes().list(DEFAULT, wanted.clone()).await.unwrap().next_page_token;
    let next = wanted.page_token(&token);

    let mailboxes = writer.mailboxes();
    let mut outcomes = Vec::new();
    for other in ["", "username = b", "username  = a", r#"username = "a""#] {
        outcomes.push(mailboxes.list(DEFAULT, next.clone().filter(other)).await.map(drop));
    }
    for other in ["", "display_name", "display_name  desc", "display_name desc, name", "username desc"] {
        outcomes.push(mailboxes.list(DEFAULT, next.clone().order_by(other)).await.map(drop));
    }
    for other in [&token[1..], &token.to_uppercase(), &format!("{token} "), "00"] {
        outcomes.push(mailboxes.list(DEFAULT, next.clone().page_token(other)).await.map(drop));
    }
    outcomes.push(mailboxes.list("organizations/contoso", next.clone()).await.map(drop));
    outcomes.push(server.client(Person::Reader).mailboxes().list(DEFAULT, next.clone()).await.map(drop));
    let profiles = writer.email_server_profiles();
    outcomes.push(profiles.list(DEFAULT, next.clone().filter("").order_by("")).await.map(drop));
    outcomes.push(writer.list_organizations(1, &token).await.map(drop));
    for outcome in outcomes {
        let error = refused(outcome, Code::InvalidArgument, ErrorReason::PageTokenInvalid, &[]);
        assert_eq!(error.field_violations()[0].field, "page_token");
    }
    // A token of a plain list isn't valid for another list.
    let plain = mailboxes.list(DEFAULT, options().page_size(1)).await.unwrap().next_page_token;
    let outcome = mailboxes.list(DEFAULT, next.clone().page_token(plain)).await;
    refused(outcome, Code::InvalidArgument, ErrorReason::PageTokenInvalid, &[]);

    let shown = next.page_size(2).read_mask(["display_name"]).with_total_size();
    let page = mailboxes.list(DEFAULT, shown).await.unwrap();
    assert_eq!((titles(&page.records), page.total_size), (vec!["2", "1"], Some(4)));
    assert_eq!(page.records[0].username, None);
}

#[tokio::test]
async fn encrypted_attributes_are_refused_in_filters_and_orders_of_every_entity() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    for entity in &entities() {
        let records = writer.records(entity);
        for secret in entity.encrypted() {
            let metadata = [("entity", entity.message.name()), ("attribute", secret)];
            let refused = |outcome: Result<(), Error>, field| {
                let error = refused(outcome, Code::InvalidArgument, ErrorReason::EncryptedAttribute, &metadata);
                assert_eq!(violations(&error), set_of([(field, "ENCRYPTED")]));
                assert!(error.field_violations()[0].description.contains(secret), "{error:?}");
            };
            for filter in [format!("{secret} = x"), format!("{secret}:*"), format!("NOT ({secret} < \"canary\")")] {
                let outcome = records.list(DEFAULT, options().filter(filter)).await;
                assert!(!format!("{outcome:?}").contains("canary"));
                refused(outcome.map(drop), "filter");
            }
            for order in [secret.to_owned(), format!("name, {secret} desc")] {
                refused(records.list(DEFAULT, options().order_by(order)).await.map(drop), "order_by");
            }
        }
    }
}

#[tokio::test]
async fn filter_error_has_its_position() {
    let server = Server::start().await;
    let reader = server.client(Person::Reader);
    for (filter, position, words) in [
        ("nothing = 1", "0", "Mailbox has no field `nothing`"),
        ("username = ", "11", "expected a value"),
        ("ä = 1 OR username ~ 1", "0", ""),
        ("username = \"ä\" AND state_code = ACTIVE", "32", "STATE_CODE_ACTIVE"),
        ("username = a AND (is_password_set = true", "17", "closing"),
        ("update_time > 2026", "14", "time"),
        (&format!("username = \"{}\"", "a".repeat(4_096)), "4096", "4096"),
    ] {
        let outcome = reader.mailboxes().list(DEFAULT, options().filter(filter)).await;
        // The refusal names the limit.
        let bound = (position == "4096").then_some(("bound", "filter_length_max_bytes"));
        let metadata: Vec<_> = bound.into_iter().chain([("position", position)]).collect();
        let error = refused(outcome, Code::InvalidArgument, ErrorReason::FilterInvalid, &metadata);
        assert_eq!(violations(&error), set_of([("filter", "NOT_A_FILTER")]));
        let said = &error.field_violations()[0].description;
        assert!(said.contains(words) && said.contains(&format!("at position {position}")), "{filter}: {said}");
    }
}

#[tokio::test]
async fn all_faults_of_a_list_are_reported_together() {
    let server = Server::start().await;
    let reader = server.client(Person::Reader);
    let parent = format!("{DEFAULT}/");
    let list = async |options| reader.mailboxes().list(parent.as_str(), options).await;
    let wrong = options()
        .order_by("nothing, display_name up, is_password_set, username, username desc")
        .read_mask(["sesame", "etag"])
        .page_size(-1)
        .page_token("not looked at yet");
    let fields = [
        ("parent", "NOT_A_NAME"),
        ("order_by", "NO_SUCH_FIELD"),
        ("read_mask", "NO_SUCH_FIELD"),
        ("page_size", "OUT_OF_RANGE"),
        ("order_by", "REPEATED"),
    ];
    let fields = |more: &[(&str, &str)]| -> Vec<(String, String)> {
        // Two of the order's fields can't be ordered by.
        let all = fields.iter().chain(&[("order_by", "NOT_ORDERABLE"); 2]).chain(more);
        let mut all: Vec<_> = all.map(|(field, reason)| (field.to_string(), reason.to_string())).collect();
        all.sort();
        all
    };
    let told = |error: &Error| {
        let violations = error.field_violations().iter();
        let mut all: Vec<_> = violations.map(|violation| (violation.field.clone(), violation.reason.clone())).collect();
        all.sort();
        all
    };

    let error = list(wrong.clone()).await.unwrap_err();
    assert_eq!((error.reason(), told(&error)), (ErrorReason::FieldInvalid, fields(&[])));
    let error = list(wrong.clone().filter("x")).await.unwrap_err();
    assert_eq!((error.reason(), error.metadata("position")), (ErrorReason::FilterInvalid, Some("1")));
    assert_eq!(told(&error), fields(&[("filter", "NOT_A_FILTER")]));
    let error = list(wrong.filter("password = x").read_mask(["sesame", "password", "*"])).await.unwrap_err();
    assert_eq!((error.reason(), error.metadata("attribute")), (ErrorReason::EncryptedAttribute, Some("password")));
    assert_eq!(told(&error), fields(&[("filter", "ENCRYPTED")]));

    let outcome = reader.mailboxes().get_fields(parent, ["sesame", "password"]).await;
    let error = refused(outcome, Code::InvalidArgument, ErrorReason::FieldInvalid, &[("dynamics_code", "80040203")]);
    let expected = [("name", "NOT_A_NAME"), ("read_mask", "NO_SUCH_FIELD")];
    assert_eq!(violations(&error), set_of(expected));
}

#[tokio::test]
async fn mask_returns_only_its_fields_and_the_name_of_every_entity() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    for entity in &entities() {
        let name = create_any(&writer, entity).await;
        let records = writer.records(entity);
        let whole = records.get(&name).await.unwrap();
        let readable: Vec<_> = entity
            .message
            .fields()
            .filter(|field| {
                let attribute = entity.attribute(field.name());
                attribute.is_none_or(|attribute| !attribute.options.encrypted)
            })
            .collect();
        for field in &readable {
            let path = field.name().to_owned();
            let read = records.get_fields(&name, std::slice::from_ref(&path)).await.unwrap();
            let mut expected = BTreeSet::from(["name".to_owned()]);
            expected.extend(whole.has_field(field).then(|| path.clone()));
            assert_eq!(fields(&read), expected, "{path}");
            assert_eq!(read.get_field(field), whole.get_field(field));
            let listed = records.list(DEFAULT, options().read_mask([path])).await.unwrap();
            assert_eq!(listed.records, [read]);
        }
        let all: Vec<String> = readable.iter().map(|field| field.name().to_owned()).collect();
        for mask in [all, vec!["*".to_owned()], vec!["*".to_owned(), "name".to_owned()]] {
            assert_eq!(records.get_fields(&name, &mask).await.unwrap(), whole);
            // What is read in pages by an order has no more fields by that.
            let wanted = options().read_mask(mask).order_by("update_time desc, create_time");
            assert_eq!(records.list(DEFAULT, wanted).await.unwrap().records, std::slice::from_ref(&whole));
        }
        assert!(whole.descriptor().fields().len() > fields(&whole).len());
    }
}

#[tokio::test]
async fn masks_and_orders_have_limits() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let stored = create(&writer, mailbox("x", None, None)).await;
    let mailboxes = writer.mailboxes();
    assert_eq!(mailboxes.get_fields(&stored.name, vec!["*"; 256]).await.unwrap(), stored);
    let too_many = mailboxes.get_fields(&stored.name, vec!["*"; 257]).await.unwrap_err();
    assert_eq!(violations(&too_many), set_of([("read_mask", "TOO_MANY")]));

    // 200, 200 and 100 characters.
    let texts = "display_name, username, email_address";
    assert_eq!(mailboxes.list(DEFAULT, options().order_by(texts)).await.unwrap().records, [stored]);
    for (order, reason) in [
        (format!("{texts}, owner_id"), "NOT_ORDERABLE"),
        (["create_time"; 9].join(","), "TOO_MANY"),
        (" ".repeat(1_025), "TOO_LONG"),
    ] {
        let error = mailboxes.list(DEFAULT, options().order_by(order)).await.unwrap_err();
        assert_eq!((error.reason(), violations(&error)), (ErrorReason::FieldInvalid, set_of([("order_by", reason)])));
    }
}

#[tokio::test]
async fn longest_page_token_has_at_most_4500_characters() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let longest = |number: usize| mail_v1::Mailbox {
        display_name: Some("\u{10FFFF}".repeat(200)),
        username: Some("\u{10FFFF}".repeat(200)),
        email_address: Some("\u{10FFFF}".repeat(100)),
        owner_id: Some(format!("0191e2a4-5b6c-4d8e-9fa0-{number:012x}")),
        ..mail_v1::Mailbox::default()
    };
    let first = create(&writer, longest(1)).await;
    let second = create(&writer, longest(2)).await;
    let order = "display_name, username, email_address, update_time, create_time, state_code, status_code, act_status";
    let wanted = options().order_by(order).page_size(1);
    let page = writer.mailboxes().list(DEFAULT, wanted.clone()).await.unwrap();
    assert!((4_000..=4_500).contains(&page.next_page_token.len()), "{}", page.next_page_token.len());
    assert_eq!(page.records, [first]);
    let page = writer.mailboxes().list(DEFAULT, wanted.page_token(page.next_page_token)).await.unwrap();
    assert_eq!((page.records, page.next_page_token.as_str()), (vec![second], ""));
}

#[tokio::test]
async fn a_filter_by_reference_names_a_record_of_this_organization() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let profile = mail_v1::EmailServerProfile {
        display_name: Some("Exchange".to_owned()),
        server_type: Some(1),
        ..mail_v1::EmailServerProfile::default()
    };
    let profile = writer.email_server_profiles().create(DEFAULT, profile, None).await.unwrap().name;
    create(&writer, mailbox("without", None, None)).await;
    let linked = mail_v1::Mailbox { email_server_profile: Some(profile.clone()), ..mailbox("with", None, None) };
    let linked = create(&writer, linked).await;
    let list = async |filter: String| writer.mailboxes().list(DEFAULT, options().filter(filter)).await;
    let found = list(format!("email_server_profile = \"{profile}\"")).await.unwrap();
    assert_eq!(titles(&found.records), ["with"]);
    assert_eq!(list(format!("name = \"{}\"", linked.name)).await.unwrap().records, [linked]);
    let elsewhere = profile.replace(DEFAULT, "organizations/contoso");
    let outcome = list(format!("email_server_profile = \"{elsewhere}\"")).await;
    refused(outcome, Code::InvalidArgument, ErrorReason::FilterInvalid, &[("position", "23")]);
}
