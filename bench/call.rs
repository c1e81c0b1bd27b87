//! Latency of single calls from the client, one at a time, over TLS on loopback.
//!
//! Get has the least work. The time of a list of 100 records is mostly encoding. Create waits for the disk, and Reveal for its audit record.
//! `rates.rs` measures throughput.
#![allow(clippy::unwrap_used, reason = "a measurement may stop at the first surprise")]

use criterion::{Criterion, criterion_group, criterion_main};
use sealward_client::{Client, ListOptions, RetryPolicy, mail_v1::Mailbox};
use sealward_server::{
    app::App,
    development::{Development, Person},
};
use tokio::runtime::Runtime;

const ORGANIZATION: &str = "organizations/default";
const PAGE_SIZE: i32 = 100;

fn mailbox() -> Mailbox {
    Mailbox {
        display_name: Some("Sales".to_owned()),
        email_address: Some("sales@example.com".to_owned()),
        username: Some("sales@example.com".to_owned()),
        password: Some("correct horse battery staple".to_owned()),
        ..Mailbox::default()
    }
}

fn calls(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let development = Development::prepare(&folder.path().join("dev")).unwrap();
    let running = runtime.block_on(async {
        let mut config = development.config().unwrap();
        config.listen.address = "127.0.0.1:0".parse().unwrap();
        let running = App::start(config).await.unwrap();
        running.ensure_organization(&"default".parse().unwrap()).await.unwrap();
        running
    });
    let connect = |person| {
        let _context = runtime.enter();
        Client::builder(format!("https://{}", running.address()))
            .ca_file(development.ca())
            .identity_files(development.certificate(person), development.key(person))
            .retry(RetryPolicy::never())
            .connect_lazy()
            .unwrap()
    };
    let (writer, connector) = (connect(Person::Writer), connect(Person::Connector));
    let name = runtime.block_on(async {
        for _ in 1..PAGE_SIZE {
            writer.mailboxes().create(ORGANIZATION, mailbox(), None).await.unwrap();
        }
        writer.mailboxes().create(ORGANIZATION, mailbox(), None).await.unwrap().name
    });

    let mut group = criterion.benchmark_group("call");
    group.bench_function("get", |bencher| {
        bencher.to_async(&runtime).iter(|| async { writer.mailboxes().get(&name).await.unwrap() });
    });
    group.bench_function(format!("list {PAGE_SIZE}"), |bencher| {
        bencher.to_async(&runtime).iter(|| async {
            let page =
                writer.mailboxes().list(ORGANIZATION, ListOptions::default().page_size(PAGE_SIZE)).await.unwrap();
            assert_eq!(page.records.len(), PAGE_SIZE.unsigned_abs() as usize);
        });
    });
    group.bench_function("create, one attribute sealed", |bencher| {
        bencher.to_async(&runtime).iter(|| async {
            writer.mailboxes().create(ORGANIZATION, mailbox(), None).await.unwrap();
        });
    });
    group.bench_function("reveal", |bencher| {
        bencher.to_async(&runtime).iter(|| async {
            connector.reveal_attributes(&name, ["password"], "a measurement").await.unwrap();
        });
    });
    group.finish();
}

criterion_group!(benches, calls);
criterion_main!(benches);
