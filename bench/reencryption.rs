//! The effect of a re-encryption on concurrent calls: latency of Get and Update with and without one, and the rate of the re-encryption.
//!
//! `SEALWARD_BENCH_RECORDS` is the number of records (default 20,000). `SEALWARD_BENCH_BATCH_CELLS` is the number of cells in a batch (default:
//! the server's). Compare the ratios: client and server share the processors.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use sealward_client::{
    Client, RetryPolicy, mail_v1,
    v1::{self, reencryption::State},
};
use sealward_server::{
    app::App,
    development::{Development, Person},
};
use tokio::task::JoinSet;

const ORGANIZATION: &str = "organizations/default";
/// Concurrent callers that create the records.
const FILLERS: usize = 64;
/// Concurrent callers that are measured. Each makes one call at a time.
const CALLERS: usize = 4;
/// Duration of the measurement without a re-encryption.
const BASELINE_TIME: Duration = Duration::from_secs(5);

/// The times of calls.
#[derive(Default)]
struct Times {
    get: Vec<Duration>,
    update: Vec<Duration>,
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times.get(times.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default()
}

fn mailbox(number: usize) -> mail_v1::Mailbox {
    mail_v1::Mailbox {
        display_name: Some(format!("Mailbox {number}")),
        password: Some(format!("password of mailbox {number}")),
        ..mail_v1::Mailbox::default()
    }
}

async fn fill(client: &Client, records: usize) -> Vec<String> {
    let mut filling = JoinSet::new();
    for filler in 0..FILLERS {
        let client = client.clone();
        filling.spawn(async move {
            let mut names = Vec::new();
            for number in (filler..records).step_by(FILLERS) {
                let created = client.mailboxes().create(ORGANIZATION, mailbox(number), None).await;
                names.push(created.expect("the record can be created").name);
            }
            names
        });
    }
    filling.join_all().await.concat()
}

/// Makes calls until `stop` is set, and returns their times.
async fn call(client: &Client, names: &Arc<Vec<String>>, stop: &Arc<AtomicBool>) -> Times {
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (client, names, stop) = (client.clone(), Arc::clone(names), Arc::clone(stop));
        callers.spawn(async move {
            let mut times = Times::default();
            // Spread over all records.
            let mut turn = caller * 7_919;
            while !stop.load(Ordering::Relaxed) {
                turn += 104_729;
                let Some(name) = names.get(turn % names.len()) else { break };
                let started = Instant::now();
                client.mailboxes().get(name.as_str()).await.expect("the record exists");
                times.get.push(started.elapsed());
                let update = mail_v1::Mailbox { name: name.clone(), ..mailbox(turn) };
                let started = Instant::now();
                client.mailboxes().update(update, ["password"]).await.expect("the record can be updated");
                times.update.push(started.elapsed());
            }
            times
        });
    }
    let mut all = Times::default();
    for times in callers.join_all().await {
        all.get.extend(times.get);
        all.update.extend(times.update);
    }
    all
}

async fn call_without_reencryption(client: &Client, names: &Arc<Vec<String>>) -> Times {
    let stop = Arc::new(AtomicBool::new(false));
    let ending = Arc::clone(&stop);
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(BASELINE_TIME);
        tick.tick().await;
        tick.tick().await;
        ending.store(true, Ordering::Relaxed);
    });
    call(client, names, &stop).await
}

/// Changes the key, waits for the end of the re-encryption, and returns its last state.
async fn change(client: &Client, text: &str) -> v1::Reencryption {
    client.change_key(ORGANIZATION, &text.to_owned().into()).await.expect("the key can be changed");
    let mut watch = client.watch_reencryption(ORGANIZATION).await.expect("it can be followed");
    let mut last = None;
    while let Some(state) = watch.next().await.expect("it can be followed to its end") {
        last = Some(state);
    }
    let last = last.expect("there is a re-encryption");
    assert_eq!(last.state(), State::Done);
    last
}

fn show(what: &str, without: &mut [Duration], with: &mut [Duration]) {
    for percent in [50, 99] {
        let (one, other) = (percentile(without, percent), percentile(with, percent));
        let ratio = other.as_secs_f64() / one.as_secs_f64();
        println!("{what:<7} p{percent}  without {one:>10.1?}  with {other:>10.1?}  ratio {ratio:.2}");
    }
}

#[tokio::main]
async fn main() {
    let number = |variable| std::env::var(variable).ok().and_then(|text| text.parse::<usize>().ok());
    let records = number("SEALWARD_BENCH_RECORDS").unwrap_or(20_000);
    let folder = tempfile::tempdir().expect("the temporary folder can be created");
    let development = Development::prepare(&folder.path().join("dev")).expect("the deployment can be prepared");
    let mut config = development.config().expect("the configuration is valid");
    config.listen.address = "127.0.0.1:0".parse().expect("an address");
    config.limits.key_changes_per_hour = 0;
    if let Some(cells) = number("SEALWARD_BENCH_BATCH_CELLS").and_then(|cells| u32::try_from(cells).ok()) {
        config.limits.reencryption_batch_cells = cells;
    }
    let running = App::start(config).await.expect("the server starts");
    running
        .ensure_organization(&"default".parse().expect("it is a name"))
        .await
        .expect("the organization can be created");
    let client = Client::builder(format!("https://{}", running.address()))
        .ca_file(development.ca())
        .identity_files(development.certificate(Person::Admin), development.key(Person::Admin))
        .retry(RetryPolicy::never())
        .connect_lazy()
        .expect("the client can be created");

    let started = Instant::now();
    let names = Arc::new(fill(&client, records).await);
    println!("{records} records, created in {:.0?}", started.elapsed());

    let alone = change(&client, "the key, number 2!").await;
    println!("alone: {} cells, {:.0}/s", alone.cells_done, alone.cells_per_second);

    let mut without = call_without_reencryption(&client, &names).await;
    let stop = Arc::new(AtomicBool::new(false));
    let changing = {
        let (client, stop) = (client.clone(), Arc::clone(&stop));
        tokio::spawn(async move {
            let last = change(&client, "the key, number 3!").await;
            stop.store(true, Ordering::Relaxed);
            last
        })
    };
    let mut with = call(&client, &names, &stop).await;
    let beside = changing.await.expect("the change ends");
    println!("with {CALLERS} callers: {} cells, {:.0}/s", beside.cells_done, beside.cells_per_second);
    println!("calls: {} without, {} with", without.get.len() * 2, with.get.len() * 2);
    show("Get", &mut without.get, &mut with.get);
    show("Update", &mut without.update, &mut with.update);
}
