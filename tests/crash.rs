//! A server that is killed, or loses its configuration database, in the middle of a change, and writes that race with changes.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use sealward_client::{Client, Error, ErrorReason, ExposeSecret, SecretString, mail_v1, v1::reencryption::State};
use sealward_server::development::Person;
use tokio::{task::JoinHandle, time::timeout};

use crate::harness::{
    DEFAULT, Folder, PATIENCE, Server,
    inside::{Inside, lose_configuration},
    mailbox, postgresql,
    process::Process,
    reason, reveal, settled,
};

/// Sets limits in the configuration of a folder.
pub(crate) fn set_limits(folder: &Path, limits: &[(&str, u32)]) {
    let path = folder.join("sealward.toml");
    let mut lines: Vec<String> = fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
    for (name, value) in limits {
        let is_it = |line: &&mut String| line.trim_start_matches("# ").starts_with(&format!("{name} = "));
        *lines.iter_mut().find(is_it).unwrap() = format!("{name} = {value}");
    }
    fs::write(&path, lines.join("\n")).unwrap();
}

/// One cell at a time, with a rest after each.
fn slow(folder: &Folder, pause_ms: u32) {
    set_limits(
        &folder.path(),
        &[
            ("key_changes_per_hour", 0),
            ("wrong_key_restores_per_15_minutes", 0),
            ("reencryption_batch_cells", 1),
            ("reencryption_pause_ms", pause_ms),
        ],
    );
}

/// A writer's state of a mailbox: the last acknowledged password, and one that may have been stored.
#[derive(Clone, Debug)]
struct Written {
    acknowledged: String,
    unknown: Option<String>,
}

/// Sets new passwords of each mailbox until `stop` or the end of the server. A refusal is a failure: a change of the key must not affect
/// writes.
fn keep_writing(
    writer: Client,
    mut mailboxes: BTreeMap<String, Written>,
    stop: Arc<AtomicBool>,
) -> JoinHandle<BTreeMap<String, Written>> {
    tokio::spawn(async move {
        for count in 0_u64.. {
            for (name, written) in &mut mailboxes {
                if stop.load(Ordering::Relaxed) {
                    return mailboxes;
                }
                let password = format!("{} {count}", &name[name.len() - 4..]);
                let update = mail_v1::Mailbox { name: name.clone(), ..mailbox(&password) };
                match writer.mailboxes().update(update, ["password"]).await {
                    Ok(_) => *written = Written { acknowledged: password, unknown: None },
                    Err(error) => {
                        assert!(is_gone(&error), "{error:?}");
                        written.unknown = Some(password);
                        return mailboxes;
                    }
                }
            }
        }
        unreachable!()
    })
}

/// Whether the server didn't answer, like a killed one.
pub(crate) fn is_gone(error: &Error) -> bool {
    error.call().unwrap().origin() != sealward_client::Origin::Server
}

async fn create_mailboxes(writer: &Client, count: usize) -> BTreeMap<String, Written> {
    let mut mailboxes = BTreeMap::new();
    for number in 0..count {
        let acknowledged = format!("first {number}");
        let created = writer.mailboxes().create(DEFAULT, mailbox(&acknowledged), None).await.unwrap();
        mailboxes.insert(created.name, Written { acknowledged, unknown: None });
    }
    mailboxes
}

/// Every mailbox reveals the password that was acknowledged last, or one in flight when the server was killed.
async fn check_written(connector: &Client, mailboxes: &mut BTreeMap<String, Written>) {
    for (name, written) in mailboxes {
        let found = reveal(connector, name).await.unwrap().unwrap();
        let possible = [Some(&written.acknowledged), written.unknown.as_ref()];
        assert!(possible.contains(&Some(&found)), "{name}: {found:?}, and {written:?} was written");
        *written = Written { acknowledged: found, unknown: None };
    }
}

/// A few numbers that look random and are the same each time (splitmix64).
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

pub(crate) async fn current_text(admin: &Client) -> String {
    admin.retrieve_data_encryption_key(DEFAULT).await.unwrap().encryption_key.expose_secret().to_owned()
}

/// Waits until the re-encryption has sealed this number of cells, or is over.
async fn cells_done(admin: &Client, count: i64) {
    let asking = async {
        loop {
            let status = admin.is_data_encryption_active(DEFAULT).await.unwrap().reencryption.unwrap();
            if status.cells_done >= count || status.state() == State::Done {
                return;
            }
        }
    };
    timeout(PATIENCE, asking).await.unwrap();
}

/// Waits until a change has stored its text, its first commit.
async fn both_texts(admin: &Client, folder: &Folder) {
    let configuration = Inside::configuration(folder);
    let asking = async {
        while configuration.key_texts().len() < 2 {
            admin.is_data_encryption_active(DEFAULT).await.unwrap();
        }
    };
    timeout(PATIENCE, asking).await.unwrap();
}

#[tokio::test]
async fn server_killed_during_a_change_loses_no_acknowledged_write() {
    const MAILBOXES: usize = 24;
    const WRITERS: usize = 3;
    let folder = Folder::new();
    slow(&folder, 10);
    let mut server = Process::start(&folder.path());
    let mut mailboxes = create_mailboxes(&folder.client(&server.address, Person::Writer), MAILBOXES).await;
    for seed in 1..=6 {
        println!("seed {seed}");
        let mut draw = Draw(seed);
        let admin = folder.client(&server.address, Person::Admin);
        let old = current_text(&admin).await;
        let new = format!("the key of round {seed}!");
        let never = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let own = mailboxes.iter().skip(writer).step_by(WRITERS);
                let own = own.map(|(name, written)| (name.clone(), written.clone())).collect();
                keep_writing(folder.client(&server.address, Person::Writer), own, Arc::clone(&never))
            })
            .collect();

        // The first kill is anywhere in the call, the second between its two commits (the organization's database is
        // locked until the server has ended), the others during the re-encryption.
        // PostgreSQL has no file to lock.
        let is_locked = seed == 2 && !postgresql::is_selected();
        let lock = is_locked.then(|| Inside::organization(&folder));
        if let Some(lock) = &lock {
            lock.sqlite().execute_batch("BEGIN IMMEDIATE").unwrap();
        }
        let call = {
            let (admin, new) = (admin.clone(), SecretString::from(new.clone()));
            tokio::spawn(async move { admin.change_key(DEFAULT, &new).await })
        };
        let acknowledged = if seed == 1 {
            for _ in 0..draw.below(40) {
                admin.is_data_encryption_active(DEFAULT).await.unwrap();
            }
            server.kill();
            call.await.unwrap().is_ok()
        } else if is_locked {
            both_texts(&admin, &folder).await;
            server.kill();
            assert!(is_gone(&call.await.unwrap().unwrap_err()));
            false
        } else {
            call.await.unwrap().unwrap();
            cells_done(&admin, i64::try_from(draw.below(MAILBOXES as u64)).unwrap()).await;
            server.kill();
            true
        };
        for writer in writers {
            mailboxes.extend(writer.await.unwrap());
        }

        drop(lock);

        server = Process::start(&folder.path());
        let admin = folder.client(&server.address, Person::Admin);
        check_written(&folder.client(&server.address, Person::Connector), &mut mailboxes).await;
        let last = settled(&admin).await;
        let current = current_text(&admin).await;
        assert!(current == new || !acknowledged && current == old, "{current}");
        assert!(!is_locked || current == old, "{current}");
        if current == new {
            assert_eq!(last.state(), State::Done);
        }
        check_written(&folder.client(&server.address, Person::Connector), &mut mailboxes).await;

        // The ring, not the configuration database, decides which text opens the database.
        server.kill();
        let version = last.key_version.max(1);
        let inside = Inside::organization(&folder);
        assert_eq!((inside.data_key_versions(), inside.cell_versions()), (vec![version], vec![version; MAILBOXES]));
        drop(inside);
        // A text that was stored before the ring changed stays until the next change; a start deletes nothing.
        let texts = Inside::configuration(&folder).key_texts().len();
        assert!(texts == 1 || current == old && texts == 2, "{texts}");
        assert!(!is_locked || texts == 2, "{texts}");
        lose_configuration(&folder.path());
        server = Process::start(&folder.path());
        let admin = folder.client(&server.address, Person::Admin);
        let other = if current == new { old } else { new };
        assert_eq!(reason(admin.restore_key(DEFAULT, &other.into()).await), ErrorReason::KeyMismatch);
        admin.restore_key(DEFAULT, &current.into()).await.unwrap();
        check_written(&folder.client(&server.address, Person::Connector), &mut mailboxes).await;
    }
}

#[tokio::test]
async fn change_continues_after_a_lost_configuration_is_restored() {
    let folder = Folder::new();
    slow(&folder, 0);
    let server = Process::start(&folder.path());
    let mut mailboxes = create_mailboxes(&folder.client(&server.address, Person::Writer), 8).await;
    let old = current_text(&folder.client(&server.address, Person::Admin)).await;
    server.kill();

    // As far as some cells done and others not: half a second each.
    slow(&folder, 500);
    let server = Process::start(&folder.path());
    let admin = folder.client(&server.address, Person::Admin);
    let new = SecretString::from("a new key, number 1");
    let changed = admin.change_key(DEFAULT, &new).await.unwrap();
    cells_done(&admin, 1).await;
    server.kill();
    let versions = Inside::organization(&folder).cell_versions();
    assert!(versions.contains(&1) && versions.contains(&2), "{versions:?}");

    lose_configuration(&folder.path());
    let server = Process::start(&folder.path());
    let admin = folder.client(&server.address, Person::Admin);
    let status = admin.is_data_encryption_active(DEFAULT).await.unwrap();
    assert!(!status.is_active);
    assert_eq!((status.fingerprint, status.key_version), (changed.fingerprint.clone(), 2));
    assert_eq!(status.reencryption.unwrap().state(), State::Waiting);
    let mut watch = admin.watch_reencryption(DEFAULT).await.unwrap();
    assert_eq!(watch.next().await.unwrap().unwrap().state(), State::Waiting);
    assert_eq!(watch.next().await.unwrap(), None);
    let connector = folder.client(&server.address, Person::Connector);
    for name in mailboxes.keys() {
        assert_eq!(reason(reveal(&connector, name).await), ErrorReason::DataEncryptionInactive);
    }
    assert_eq!(reason(admin.restore_key(DEFAULT, &old.into()).await), ErrorReason::KeyMismatch);
    server.kill();

    slow(&folder, 0);
    let server = Process::start(&folder.path());
    let admin = folder.client(&server.address, Person::Admin);
    assert_eq!(admin.restore_key(DEFAULT, &new).await.unwrap(), changed);
    let done = settled(&admin).await;
    assert_eq!((done.state(), done.cells_total, done.cells_done), (State::Done, 8, 8));
    check_written(&folder.client(&server.address, Person::Connector), &mut mailboxes).await;
    server.kill();
    let inside = Inside::organization(&folder);
    assert_eq!((inside.data_key_versions(), inside.cell_versions()), (vec![2], vec![2; 8]));
    assert_eq!(Inside::configuration(&folder).key_texts().len(), 1);
}

#[tokio::test]
async fn writes_sealed_before_a_change_end_under_the_last_version() {
    const CHANGES: u32 = 5;
    let server = Server::start_with(|config| config.limits.reencryption_batch_cells = 1).await;
    let mailboxes = create_mailboxes(&server.client(Person::Writer), 16).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let own = mailboxes.iter().skip(writer).step_by(4);
            let own = own.map(|(name, written)| (name.clone(), written.clone())).collect();
            keep_writing(server.client(Person::Writer), own, Arc::clone(&stop))
        })
        .collect();
    let admin = server.client(Person::Admin);
    for version in 2..2 + CHANGES {
        let changed = admin.change_key(DEFAULT, &format!("key, number {version}").into()).await.unwrap();
        assert_eq!(changed.key_version, version);
        assert_eq!(settled(&admin).await.state(), State::Done);
    }
    stop.store(true, Ordering::Relaxed);
    let mut written = BTreeMap::new();
    for writer in writers {
        written.extend(writer.await.unwrap());
    }
    assert!(written.values().all(|written| written.unknown.is_none()), "{written:?}");
    assert!(written.values().all(|written| !written.acknowledged.starts_with("first")), "{written:?}");
    check_written(&server.client(Person::Connector), &mut written).await;
    let folder = server.stop().await;
    let inside = Inside::organization(&folder);
    assert_eq!(inside.cell_versions(), vec![1 + CHANGES; 16]);
    assert_eq!(inside.data_key_versions(), [1 + CHANGES]);
}

#[tokio::test]
async fn acknowledged_write_survives_a_kill() {
    let folder = Folder::new();
    slow(&folder, 0);
    let mut acknowledged = Vec::new();
    for round in 0..4 {
        let server = Process::start(&folder.path());
        // One create alone, and several that are committed together.
        let creating: Vec<_> = (0..1 + round * 3)
            .map(|number| {
                let writer = folder.client(&server.address, Person::Writer);
                tokio::spawn(async move {
                    let password = format!("{round} {number}");
                    let created = writer.mailboxes().create(DEFAULT, mailbox(&password), None).await.unwrap();
                    (created.name, password)
                })
            })
            .collect();
        for created in creating {
            acknowledged.push(created.await.unwrap());
        }
        server.kill();
    }
    let server = Process::start(&folder.path());
    let connector = folder.client(&server.address, Person::Connector);
    for (name, password) in acknowledged {
        assert_eq!(reveal(&connector, &name).await.unwrap(), Some(password));
    }
}
