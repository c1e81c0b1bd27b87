//! Time of a durable commit: one row to an organization's database through the committer, without network, TLS and codec.
//!
//! A single caller waits for the disk for each commit; concurrent callers share a wait. The database is in the system's folder for temporary
//! files. If that folder is in memory, set TMPDIR to a folder on the disk to measure.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a measurement may stop at the first surprise")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sealward_core::{
    id::Timestamp,
    organization::Organization,
    store::{Commit, Datum, Step},
};
use sealward_server::{app::App, development::Development};
use tokio::{runtime::Runtime, task::JoinSet};
use uuid::Uuid;

/// A single caller, and enough callers to fill a batch.
const CALLERS: [u64; 2] = [1, 64];

fn commits(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let running = runtime.block_on(async {
        let mut config = Development::prepare(&folder.path().join("dev")).unwrap().config().unwrap();
        config.listen.address = "127.0.0.1:0".parse().unwrap();
        let running = App::start(config).await.unwrap();
        running.ensure_organization(&"default".parse().unwrap()).await.unwrap();
        running
    });
    let organization = running.deployment().organization(&"default".parse().unwrap()).unwrap();

    let mut group = criterion.benchmark_group("commit");
    group.throughput(Throughput::Elements(1));
    for callers in CALLERS {
        group.bench_function(BenchmarkId::new("callers", callers), |bencher| {
            bencher.to_async(&runtime).iter_custom(|commits| insert(Arc::clone(&organization), callers, commits));
        });
    }
    group.finish();
}

/// The time of `commits` commits by `callers` concurrent callers.
async fn insert(organization: Arc<Organization>, callers: u64, commits: u64) -> Duration {
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let organization = Arc::clone(&organization);
        let share = commits / callers + u64::from(caller < commits % callers);
        tasks.spawn(async move {
            for _ in 0..share {
                organization.store.commit(Commit::of(vec![mailbox()])).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    start.elapsed()
}

/// A new row of a table that exists in every organization.
fn mailbox() -> Step {
    let mut id = [0; 16];
    getrandom::fill(&mut id).unwrap();
    let now = Timestamp::from_unix_micros(0);
    Step::Insert {
        table: "Mailbox".into(),
        row: vec![
            ("id".into(), Datum::Uuid(Uuid::from_bytes(id))),
            ("revision".into(), Datum::Integer(1)),
            ("create_time".into(), Datum::Time(now)),
            ("update_time".into(), Datum::Time(now)),
            ("display_name".into(), Datum::Text("Sales".to_owned())),
        ],
    }
}

criterion_group!(benches, commits);
criterion_main!(benches);
