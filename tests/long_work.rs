//! Long work beside short work: lists, streams, exports and writes of one record, each at its limit, and how each ends.

use std::{collections::BTreeSet, path::Path, process::Command};

use data_encoding::HEXLOWER;
use prost::Message as _;
use sealward_client::{
    Client, Code, Error, ErrorReason, ListOptions, RetryPolicy, mail_v1,
    v1::{self, reencryption::State},
};
use sealward_server::{config::Config, development::Person};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    due::scraped,
    harness::{
        DEFAULT, Folder, PATIENCE, Server,
        inside::{Inside, record_id},
        mailbox,
        process::binary,
        reason,
    },
};

/// The smallest size of a message that a deployment may choose.
const MESSAGE_MAX: usize = 262_144;

fn small_messages(config: &mut Config) {
    config.limits.message_size_max_bytes = u32::try_from(MESSAGE_MAX).unwrap();
}

/// Re-encrypts a cell, then pauses for longer than any test takes.
fn slow(config: &mut Config) {
    config.limits.reencryption_batch_cells = 1;
    config.limits.reencryption_pause_ms = 60_000;
}

/// A profile whose texts are as long as they may be, in characters of four bytes.
pub(crate) fn large_profile() -> mail_v1::EmailServerProfile {
    let mut profile = mail_v1::EmailServerProfile {
        display_name: Some("\u{1d11e}".repeat(100)),
        description: Some("\u{1d11e}".repeat(2_000)),
        default_server_location: Some("\u{1d11e}".repeat(2_084)),
        ..Default::default()
    };
    profile.set_server_type(mail_v1::email_server_profile::ServerType::ImapSmtp);
    profile
}

/// Inserts rows into the database with SQL. No server may run meanwhile.
pub(crate) fn with_rows(folder: &Path, sql: &str) {
    let folder = Folder::at(folder);
    Inside::organization(&folder).execute(sql);
}

pub(crate) fn many_mailboxes(count: u32) -> String {
    format!(
        "INSERT INTO Mailbox (id, revision, create_time, update_time, display_name)
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
         SELECT randomblob(16), 1, 0, 0, 'row ' || i FROM n"
    )
}

/// The maximum number of comparisons of a filter, which no mailbox meets.
pub(crate) fn costly() -> ListOptions {
    let comparisons: Vec<_> = (0..64).map(|number| format!("display_name = \"none {number}*\"")).collect();
    ListOptions::default().filter(comparisons.join(" OR ")).with_total_size()
}

#[tokio::test]
async fn pages_are_cut_by_size_and_have_every_record_together() {
    const PROFILES: usize = 50;
    let server = Server::start_with(small_messages).await;
    let admin = server.client(Person::Admin);
    let mut wanted = BTreeSet::new();
    for _ in 0..PROFILES {
        wanted.insert(admin.email_server_profiles().create(DEFAULT, large_profile(), None).await.unwrap().name);
    }
    let (mut seen, mut pages, mut options) = (BTreeSet::new(), 0, ListOptions::default().page_size(1_000));
    loop {
        let page = admin.email_server_profiles().list(DEFAULT, options).await.unwrap();
        let bytes: usize = page.records.iter().map(|record| record.encoded_len() + 4).sum();
        assert!(!page.records.is_empty() && bytes < MESSAGE_MAX, "{bytes}");
        // A page is nearly full.
        assert!(page.next_page_token.is_empty() || bytes > MESSAGE_MAX / 2, "{bytes}");
        assert!(page.records.into_iter().all(|record| seen.insert(record.name)));
        pages += 1;
        if page.next_page_token.is_empty() {
            break;
        }
        options = ListOptions::default().page_size(1_000).page_token(page.next_page_token);
    }
    assert_eq!(seen, wanted);
    assert!(pages > 2, "{pages}");
}

#[tokio::test]
async fn pages_of_recorded_changes_are_cut_by_size_too() {
    const CHANGES: usize = 40;
    let server = Server::start_with(small_messages).await;
    let admin = server.client(Person::Admin);
    let attribute = v1::AttributeMetadata {
        name: format!("{DEFAULT}/entityMetadata/EmailServerProfile/attributes/description"),
        audited: Some(true),
        ..Default::default()
    };
    admin.update_attribute_metadata(attribute, ["audited"], false).await.unwrap();
    let mut profile = admin.email_server_profiles().create(DEFAULT, large_profile(), None).await.unwrap();
    for number in 0..CHANGES {
        profile.etag.clear();
        profile.description = Some(format!("{number:02}{}", "\u{1d11e}".repeat(1_998)));
        profile = admin.email_server_profiles().update(profile, ["description"]).await.unwrap();
    }
    let (mut revisions, mut pages, mut token) = (Vec::new(), 0, String::new());
    loop {
        let page = admin.list_attribute_changes(DEFAULT, "", 1_000, token).await.unwrap();
        revisions.extend(page.records.iter().map(|change| change.revision));
        pages += 1;
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let wanted: Vec<_> = (1..=i64::try_from(CHANGES).unwrap() + 1).rev().collect();
    assert_eq!(revisions, wanted);
    assert!(pages > 2, "{pages}");
}

#[tokio::test]
async fn the_smallest_messages_have_room_for_an_export_and_its_import() {
    let here = Server::start_with(small_messages).await;
    let admin = here.client(Person::Admin);
    for _ in 0..20 {
        admin.email_server_profiles().create(DEFAULT, large_profile(), None).await.unwrap();
    }
    let file = exported(&admin).await.unwrap();
    let there = Server::start_with(small_messages).await;
    let admin = there.client(Person::Admin);
    let chunks = |bytes| file.chunks(bytes).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let error = admin.import_organization("copy", tokio_stream::iter(chunks(MESSAGE_MAX + 1))).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::OutOfRange, ErrorReason::MessageTooLarge), "{error:?}");
    assert_eq!((error.metadata("bound"), error.metadata("limit")), (Some("message_size_max_bytes"), Some("262144")));
    admin.import_organization("copy", tokio_stream::iter(chunks(64 * 1024))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_updates_of_one_record_are_all_accepted() {
    const CALLERS: usize = 64;
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let created = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let mut calls = JoinSet::new();
    for caller in 0..CALLERS {
        let (writer, name) = (writer.clone(), created.name.clone());
        calls.spawn(async move {
            let change =
                mail_v1::Mailbox { name, display_name: Some(format!("caller {caller}")), ..Default::default() };
            writer.mailboxes().update(change, ["display_name"]).await.map(|updated| updated.etag)
        });
    }
    let etags: BTreeSet<_> = calls.join_all().await.into_iter().map(Result::unwrap).collect();
    assert_eq!(etags.len(), CALLERS);
    let last = writer.mailboxes().get(&created.name).await.unwrap();
    assert_eq!(last.etag.parse::<usize>().unwrap(), CALLERS + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_changes_of_metadata_are_all_accepted() {
    let server = Server::start().await;
    let mut calls = JoinSet::new();
    for caller in 0..40 {
        let admin = server.client(Person::Admin);
        let attribute = v1::AttributeMetadata {
            name: format!("{DEFAULT}/entityMetadata/Mailbox/attributes/email_address"),
            display_name: Some(format!("Address {caller}")),
            ..Default::default()
        };
        calls.spawn(async move { admin.update_attribute_metadata(attribute, ["display_name"], false).await });
    }
    assert!(calls.join_all().await.into_iter().all(|outcome| outcome.is_ok()));
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_list_is_ended_with_a_reason() {
    sqlite_only!("fills a database with SQL of SQLite");
    let server = Server::start().await;
    let change = |config: &mut Config| config.limits.list_time_max_ms = 10;
    let server = server.restart(|folder| with_rows(folder, &many_mailboxes(60_000)), change).await;
    let reader = server.client(Person::Reader);
    let error = reader.mailboxes().list(DEFAULT, costly()).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::ResourceExhausted, ErrorReason::ListTimeLimit), "{error:?}");
    assert_eq!((error.metadata("bound"), error.metadata("limit_ms")), (Some("list_time_max_ms"), Some("10")));
    assert_eq!(error.retry_delay(), None);
    // Lists that find their records immediately are answered.
    let page = reader.mailboxes().list(DEFAULT, ListOptions::default().page_size(10)).await.unwrap();
    assert_eq!(page.records.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_list_continues_with_the_next_page() {
    sqlite_only!("fills a database with SQL of SQLite");
    let server = Server::start().await;
    let change = |config: &mut Config| config.limits.list_page_time_ms = 10;
    let server = server.restart(|folder| with_rows(folder, &many_mailboxes(60_000)), change).await;
    let reader = server.client(Person::Reader);
    let mut comparisons: Vec<_> = (0..63).map(|number| format!("display_name = \"none {number}*\"")).collect();
    comparisons.push("display_name = \"row 777\"".to_owned());
    let options = || ListOptions::default().filter(comparisons.join(" OR "));
    let (mut found, mut shorter, mut pages) = (Vec::new(), 0, reader.mailboxes().pages(DEFAULT, options()));
    while let Some(page) = pages.next().await.unwrap() {
        found.extend(page.records.into_iter().filter_map(|mailbox| mailbox.display_name));
        shorter += usize::from(!page.next_page_token.is_empty());
    }
    assert_eq!(found, ["row 777"]);
    assert!(shorter > 0);
    // An order that isn't that of an index can't continue.
    let sorted = reader.mailboxes().pages(DEFAULT, options().order_by("display_name")).all().await.unwrap();
    assert_eq!(sorted.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn record_is_read_while_another_identity_uses_all_its_lists() {
    sqlite_only!("fills a database with SQL of SQLite");
    let server = Server::start().await;
    let stored = server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let change = |config: &mut Config| config.limits.lists_per_identity_max = 30;
    let server = server.restart(|folder| with_rows(folder, &many_mailboxes(60_000)), change).await;
    let reader = server.client(Person::Reader);
    let mut lists = JoinSet::new();
    for _ in 0..60 {
        let reader = reader.clone();
        lists.spawn(async move { reader.mailboxes().list(DEFAULT, costly()).await.map(drop) });
    }
    // Those past the limit are refused at once, which means that the others are under way.
    let mut refused = 0;
    while refused < 20 {
        let Err(error) = lists.join_next().await.unwrap().unwrap() else { continue };
        assert_eq!((error.code(), error.reason()), (Code::ResourceExhausted, ErrorReason::InFlightLimit), "{error:?}");
        assert_eq!((error.metadata("bound"), error.metadata("limit")), (Some("lists_per_identity_max"), Some("30")));
        assert!(error.retry_delay().is_some());
        refused += 1;
    }
    let writer = server.client(Person::Writer);
    for _ in 0..10 {
        writer.mailboxes().get(&stored.name).await.unwrap();
    }
    assert_eq!(writer.mailboxes().list(DEFAULT, ListOptions::default().page_size(1)).await.unwrap().records.len(), 1);
    while lists.try_join_next().is_some() {}
    assert!(!lists.is_empty(), "the lists ended before the reads that ran beside them");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_trail_verifications_all_get_a_result() {
    let server = Server::start().await;
    let mut calls = JoinSet::new();
    for _ in 0..50 {
        let auditor = server.client(Person::Auditor);
        calls.spawn(async move { auditor.verify_audit_trail(DEFAULT).await });
    }
    assert!(calls.join_all().await.into_iter().all(|verified| verified.unwrap().intact));
}

#[tokio::test]
async fn stream_past_the_limit_of_its_identity_is_refused() {
    let server = Server::start_with(|config| {
        slow(config);
        config.limits.streams_per_identity_max = 2;
    })
    .await;
    server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let admin = server.client(Person::Admin);
    admin.change_key(DEFAULT, &"a new key, number 2".into()).await.unwrap();
    let mut first = admin.watch_reencryption(DEFAULT).await.unwrap();
    let _second = admin.watch_reencryption(DEFAULT).await.unwrap();
    assert_eq!(opened(admin.watch_reencryption(DEFAULT).await).await, Some(ErrorReason::InFlightLimit));
    assert_eq!(opened(admin.export_organization(DEFAULT).await).await, Some(ErrorReason::InFlightLimit));
    first.next().await.unwrap();
    drop(first);
    // After the server has noticed it.
    let free = async { while opened(admin.watch_reencryption(DEFAULT).await).await.is_some() {} };
    timeout(PATIENCE, free).await.unwrap();
}

/// The reason why a stream doesn't begin, if there is one.
async fn opened<M: prost::Message + Default>(
    stream: Result<sealward_client::MessageStream<M>, Error>,
) -> Option<ErrorReason> {
    match stream {
        Ok(mut stream) => stream.next().await.err().map(|error| error.reason()),
        Err(error) => Some(error.reason()),
    }
}

fn short_lived(config: &mut Config) {
    slow(config);
    config.limits.connection_age_max_seconds = 1;
    config.limits.connection_grace_seconds = 1;
}

#[tokio::test]
async fn watch_on_an_ending_connection_is_reported_and_can_be_restarted() {
    let server = Server::start_with(short_lived).await;
    server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let admin = server.client(Person::Admin);
    admin.change_key(DEFAULT, &"a new key, number 2".into()).await.unwrap();
    for _ in 0..2 {
        let mut watch = admin.watch_reencryption(DEFAULT).await.unwrap();
        let watching = async {
            loop {
                match watch.next().await {
                    Ok(message) => assert_eq!(message.unwrap().state(), State::Running),
                    Err(error) => break error,
                }
            }
        };
        let error = timeout(PATIENCE, watching).await.unwrap();
        assert_eq!((error.code(), error.reason()), (Code::Unavailable, ErrorReason::ConnectionEnding), "{error:?}");
        assert!(error.retry_delay().is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn command_line_continues_a_watch_on_a_new_connection() {
    let server = Server::start_with(|config| {
        short_lived(config);
        config.limits.reencryption_pause_ms = 1_000;
    })
    .await;
    for password in ["one", "two", "three", "four"] {
        server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox(password), None).await.unwrap();
    }
    let folder = server.folder().path();
    let endpoint = format!("https://{}", server.address());
    let words = ["--endpoint", &endpoint, "--dev", folder.to_str().unwrap(), "--as", "admin", "--output", "json"];
    let changing = Command::new(binary("sealward"))
        .args(words)
        .args(["key", "change", "--wait", "--yes"])
        .env("XDG_CONFIG_HOME", "/nonexistent")
        .output();
    let run = changing.unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{stderr}");
    assert!(stdout.contains("\"STATE_DONE\""), "{stdout} {stderr}");
    assert!(!stderr.to_lowercase().contains("nothing was changed"), "{stderr}");
}

async fn exported(admin: &Client) -> Result<Vec<u8>, Error> {
    let mut stream = admin.export_organization(DEFAULT).await?;
    let mut file = Vec::new();
    while let Some(message) = stream.next().await? {
        file.extend(message.chunk);
    }
    Ok(file)
}

/// Profiles of some megabytes, more than the buffers between server and client hold.
pub(crate) const MUCH: &str =
    "INSERT INTO EmailServerProfile (id, revision, create_time, update_time, display_name, description, server_type)
     WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8000)
     SELECT randomblob(16), 1, 0, 0, 'row ' || i, hex(randomblob(1000)), 1 FROM n";

#[tokio::test(flavor = "multi_thread")]
async fn export_outlives_the_age_of_its_connection_while_it_is_read() {
    sqlite_only!("fills a database with SQL of SQLite");
    let server = Server::start().await;
    let server = server.restart(|folder| with_rows(folder, MUCH), short_lived).await;
    let admin = server.client(Person::Admin);
    let mut stream = admin.export_organization(DEFAULT).await.unwrap();
    let mut rows = stream.next().await.unwrap().unwrap().rows_done;
    // Other calls need a third connection: the first is older than its age and its grace. A call that meets the end of a connection is
    // repeated.
    let development = server.folder().development();
    let (certificate, key) = (development.certificate(Person::Reader), development.key(Person::Reader));
    let builder = server.folder().client_builder(server.address()).retry(RetryPolicy::default());
    let reader = builder.identity_files(certificate, key).connect_lazy().unwrap();
    let begun = std::time::Instant::now();
    while begun.elapsed() < std::time::Duration::from_secs(3) {
        reader.mailboxes().list(DEFAULT, ListOptions::default().page_size(1)).await.unwrap();
    }
    while let Some(message) = stream.next().await.unwrap() {
        assert!(message.rows_done >= rows);
        rows = message.rows_done;
    }
    assert!(rows > 8_000, "{rows}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_export_is_ended_at_its_maximum_time() {
    sqlite_only!("fills a database with SQL of SQLite");
    let server = Server::start().await;
    let change = |config: &mut Config| {
        config.limits.transfer_time_max_seconds = 1;
        config.listen.metrics_address = Some("127.0.0.1:0".parse().unwrap());
    };
    let server = server.restart(|folder| with_rows(folder, MUCH), change).await;
    let admin = server.client(Person::Admin);
    let mut stream = admin.export_organization(DEFAULT).await.unwrap();
    let counted = "sealward_refused_by_bound_total{bound=\"transfer_time_max_seconds\"} 1";
    let ended = async { while !scraped(server.metrics_address()).await.contains(counted) {} };
    timeout(PATIENCE, ended).await.unwrap();
    let error = loop {
        match stream.next().await {
            Ok(message) => assert!(message.is_some(), "the stream ended without an error"),
            Err(error) => break error,
        }
    };
    assert_eq!((error.code(), error.reason()), (Code::Aborted, ErrorReason::TransferLimit), "{error:?}");
    assert_eq!(error.metadata("bound"), Some("transfer_time_max_seconds"));
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_import_is_ended_at_its_maximum_time_and_leaves_no_files() {
    let server = Server::start_with(|config| config.limits.transfer_time_max_seconds = 1).await;
    let admin = server.client(Person::Admin);
    let file = exported(&admin).await.unwrap();
    let half = file[..file.len() / 2].to_vec();
    let (sender, receiver) = tokio::sync::mpsc::channel(2);
    sender.send(half).await.unwrap();
    let chunks = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let there = Server::start_with(|config| config.limits.transfer_time_max_seconds = 1).await;
    let admin = there.client(Person::Admin);
    let error = timeout(PATIENCE, admin.import_organization("copy", chunks)).await.unwrap().unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::Aborted, ErrorReason::TransferLimit), "{error:?}");
    let again = file.chunks(64 * 1024).map(<[u8]>::to_vec).collect::<Vec<_>>();
    admin.import_organization("copy", tokio_stream::iter(again)).await.unwrap();
    drop(sender);
}

#[tokio::test(flavor = "multi_thread")]
async fn import_checks_every_value_and_reports_only_its_place() {
    sqlite_only!("puts an older file of a database back");
    let mut here = Server::start().await;
    let admin = here.client(Person::Admin);
    let stored = here.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let profile = admin.email_server_profiles().create(DEFAULT, large_profile(), None).await.unwrap();
    let there = Server::start().await;
    let canary = "canary".repeat(50);
    let faults = [
        ("Mailbox", "email_address", format!("'{canary}'"), &stored.name),
        ("Mailbox", "display_name", "NULL".to_owned(), &stored.name),
        ("Mailbox", "email_server_profile", "randomblob(16)".to_owned(), &stored.name),
        ("Mailbox", "act_delivery_method", "4711".to_owned(), &stored.name),
        ("Mailbox", "revision", "0".to_owned(), &stored.name),
        ("Mailbox", "update_time", "9223372036854775807".to_owned(), &stored.name),
        ("Mailbox", "password", "zeroblob(100000)".to_owned(), &stored.name),
        ("EmailServerProfile", "incoming_port_number", "4711000".to_owned(), &profile.name),
        ("EmailServerProfile", "server_type", "4711".to_owned(), &profile.name),
    ];
    let folder = here.stop().await;
    let sound = std::fs::read(folder.organization_database()).unwrap();
    here = Server::start_in(folder, |_| {}).await;
    for (table, column, value, name) in faults {
        let id = HEXLOWER.encode(&record_id(name));
        let change = format!("UPDATE {table} SET {column} = {value} WHERE id = x'{id}'");
        let damage = |folder: &Path| {
            let folder = Folder::at(folder);
            std::fs::write(folder.organization_database(), &sound).unwrap();
            Inside::organization(&folder).change(1, &change);
        };
        here = here.restart(damage, |_| {}).await;
        let file = exported(&here.client(Person::Admin)).await.unwrap();
        let chunks = file.chunks(64 * 1024).map(<[u8]>::to_vec).collect::<Vec<_>>();
        let imported = there.client(Person::Admin).import_organization("copy", tokio_stream::iter(chunks)).await;
        let Err(error) = imported else { panic!("{change} was imported") };
        assert_eq!((error.code(), error.reason()), (Code::InvalidArgument, ErrorReason::ExportInvalid), "{change}");
        let problem = error.metadata("problem").unwrap();
        let record = name.rsplit('/').next().unwrap();
        assert!(problem.starts_with(&format!("{table}.{column} of the record {record} ")), "{problem}");
        assert!(!problem.contains("canary") && !problem.contains("4711"), "{problem}");
    }
    let here = here
        .restart(|folder| std::fs::write(Folder::at(folder).organization_database(), &sound).unwrap(), |_| {})
        .await;
    let file = exported(&here.client(Person::Admin)).await.unwrap();
    let chunks = file.chunks(64 * 1024).map(<[u8]>::to_vec).collect::<Vec<_>>();
    there.client(Person::Admin).import_organization("copy", tokio_stream::iter(chunks)).await.unwrap();
}

#[tokio::test]
async fn index_changes_are_accepted_up_to_the_limit() {
    let server = Server::start_with(|config| config.limits.index_switches_per_hour = 2).await;
    let admin = server.client(Person::Admin);
    let switch = async |indexed: bool, validate_only: bool| {
        let attribute = v1::AttributeMetadata {
            name: format!("{DEFAULT}/entityMetadata/Mailbox/attributes/email_address"),
            indexed: Some(indexed),
            ..Default::default()
        };
        admin.update_attribute_metadata(attribute, ["indexed"], validate_only).await
    };
    switch(true, false).await.unwrap();
    // A change that switches no index doesn't count.
    switch(true, false).await.unwrap();
    switch(false, true).await.unwrap();
    switch(false, false).await.unwrap();
    let error = switch(true, false).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::ResourceExhausted, ErrorReason::IndexQuota), "{error:?}");
    assert!(error.retry_delay().is_some());
    assert_eq!(reason(switch(true, false).await), ErrorReason::IndexQuota);
}
