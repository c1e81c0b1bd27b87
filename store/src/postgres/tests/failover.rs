//! A primary with a synchronous standby: what happens when the primary is killed, and when the standby doesn't answer.

use std::{
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{cluster::Cluster, *};
use crate::contract::chain_length;

/// Two PostgreSQL servers.
struct Group {
    primary: Cluster,
    standby: Cluster,
}

const DATABASE: &str = "group_of_two";

impl Group {
    fn start() -> Self {
        let primary = Cluster::start(None);
        primary.administer("postgres", &format!("CREATE DATABASE {DATABASE} OWNER sealward_owner TEMPLATE template0"));
        let standby = Cluster::start(Some(&primary));
        // The standby has a copy of the settings, and must not wait for another one when it is the primary.
        primary.administer("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'");
        primary.administer("postgres", "SELECT pg_reload_conf()");
        until(|| primary.administer("postgres", "SELECT sync_state FROM pg_stat_replication") == "sync");
        Group { primary, standby }
    }

    async fn server(&self, id: u8, limits: PostgresLimits) -> PostgresDatabases {
        let login = |role| self.primary.login_with(&self.standby, role, DATABASE);
        let postgres =
            Postgres::open(login("sealward"), Some(login("sealward_owner")), limits, Uuid::from_bytes([id; 16]));
        let databases = databases_of(postgres.await.unwrap()).await.unwrap();
        databases.started().await;
        databases
    }

    /// Starts a server with a database.
    async fn created(&self, limits: PostgresLimits) -> Arc<dyn Store> {
        let databases = self.server(9, limits).await;
        databases.create(ID, first()).await.unwrap();
        databases.open(ID).await.unwrap()
    }
}

/// The process of the standby that receives the changes. While it is stopped, the standby confirms nothing.
struct Receiver(String);

impl Receiver {
    fn stop(standby: &Cluster) -> Self {
        let receiver = Receiver(standby.administer("postgres", "SELECT pid FROM pg_stat_wal_receiver"));
        signal("STOP", &receiver.0);
        receiver
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        signal("CONT", &self.0);
    }
}

fn signal(name: &str, process: &str) {
    assert!(Command::new("kill").args(["-s", name, process]).status().unwrap().success());
}

/// Waits for a commit that waits for the standby, other than that of `other`. Returns its process.
fn waiting_commit(primary: &Cluster, other: &str) -> String {
    let text =
        format!("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND pid::text <> '{other}' LIMIT 1");
    let mut process = String::new();
    until(|| {
        process = primary.administer("postgres", &text);
        !process.is_empty()
    });
    process
}

/// Ends the wait of a commit for the standby, with a warning.
fn cancel_wait(primary: &Cluster) -> String {
    let process = waiting_commit(primary, "");
    primary.administer("postgres", &format!("SELECT pg_cancel_backend({process})"));
    process
}

/// Each attempt asks a server.
fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {}
}

async fn rows(store: &dyn Store, id: u128) -> u64 {
    store.count("Entry".into(), named(&id.to_string())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn acknowledged_commits_survive_a_failover() {
    const WRITERS: u8 = 4;
    const ACKNOWLEDGED: u32 = 60;
    for kill in ["QUIT", "KILL"] {
        let group = Group::start();
        let store = group.created(limits()).await;
        let (acknowledged, has) = watch::channel(0_u32);
        let is_over = Arc::new(AtomicBool::new(false));
        let mut writing = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let (store, acknowledged, is_over) = (store.clone(), acknowledged.clone(), Arc::clone(&is_over));
            writing.spawn(async move {
                let mut done = Vec::new();
                for id in (u128::from(writer)..).step_by(usize::from(WRITERS)) {
                    if is_over.load(Ordering::SeqCst) {
                        break;
                    }
                    let ended = commit(&*store, vec![insert(id, &id.to_string()), reveal()]).await;
                    if ended.is_ok() {
                        acknowledged.send_modify(|number| *number += 1);
                    }
                    done.push((id, ended));
                }
                done
            });
        }
        has.clone().wait_for(|number| *number >= ACKNOWLEDGED).await.unwrap();
        signal(kill, &group.primary.process());
        group.standby.administer("postgres", "SELECT pg_promote()");
        let before = *has.borrow();
        has.clone().wait_for(|number| *number >= before + ACKNOWLEDGED).await.unwrap();
        is_over.store(true, Ordering::SeqCst);
        let done: Vec<_> = writing.join_all().await.into_iter().flatten().collect();
        let mut total = 0;
        for (id, ended) in done {
            let found = rows(&*store, id).await;
            total += found;
            match ended {
                Ok(()) => assert_eq!(found, 1, "{kill}: {id} is lost"),
                Err(CommitError::Unavailable(cause)) => assert_eq!(found, 0, "{kill}: {id}: {cause}"),
                Err(CommitError::Unknown(_)) => assert!(found <= 1, "{kill}: {id}"),
                Err(other @ CommitError::Refused { .. }) => panic!("{kill}: {id}: {other}"),
            }
        }
        assert_eq!(count(&*store, "Entry").await, total, "{kill}");
        assert_eq!(u64::try_from(chain_length(&*store).await).unwrap(), total, "{kill}");
        // A server that starts now finds the same.
        let restarted = group.server(4, limits()).await.open(ID).await.unwrap();
        commit(&*restarted, vec![insert(u128::MAX, "last"), reveal()]).await.unwrap();
        assert_eq!(count(&*store, "Entry").await, total + 1, "{kill}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn commit_that_no_standby_confirms_is_unknown_and_never_done() {
    let second = Duration::from_secs(1);
    let limits = PostgresLimits { resolve_time_max: second, ..limits() };
    let group = Group::start();
    drop(group.created(limits).await);
    // The store stops waiting, or PostgreSQL does and sends a warning.
    for (commit_time_max, is_cancelled, id) in [(second, false, 1), (60 * second, true, 2)] {
        let limits = PostgresLimits { commit_time_max, ..limits };
        let store = group.server(id, limits).await.open(ID).await.unwrap();
        let id = u128::from(id);
        commit(&*store, vec![insert(10 * id, "before"), reveal()]).await.unwrap();
        let receiver = Receiver::stop(&group.standby);
        let begin = Instant::now();
        let waiting = Arc::clone(&store);
        let waiting = tokio::spawn(async move { commit(&*waiting, vec![insert(id, &id.to_string()), reveal()]).await });
        if is_cancelled {
            cancel_wait(&group.primary);
        }
        let unconfirmed = waiting.await.unwrap();
        assert!(matches!(&unconfirmed, Err(CommitError::Unknown(_))), "{id}: {unconfirmed:?}");
        assert!(begin.elapsed() < 15 * second, "{id}: {:?}", begin.elapsed());
        drop(receiver);
        // It took effect on the primary, and now on the standby too.
        commit(&*store, vec![insert(100 * id, "next"), reveal()]).await.unwrap();
        assert_eq!(rows(&*store, id).await, 1, "{id}");
        assert_eq!(u64::try_from(chain_length(&*store).await).unwrap(), count(&*store, "Entry").await, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn commit_with_a_warning_is_done_once_a_standby_confirms_it() {
    let group = Group::start();
    let limits = PostgresLimits { resolve_time_max: Duration::from_secs(60), ..limits() };
    let store = group.created(limits).await;
    let receiver = Receiver::stop(&group.standby);
    let waiting = Arc::clone(&store);
    let waiting = tokio::spawn(async move { commit(&*waiting, vec![insert(1, "a"), reveal()]).await });
    let process = cancel_wait(&group.primary);
    // What became of it is asked by a commit that waits too.
    waiting_commit(&group.primary, &process);
    assert!(!waiting.is_finished());
    drop(receiver);
    waiting.await.unwrap().unwrap();
    let on_standby = "SELECT count(*) FROM sealward.\"Entry\" WHERE name = 'a'";
    until(|| group.standby.administer(DATABASE, on_standby) == "1");
    assert_eq!(chain_length(&*store).await, 1);
}
