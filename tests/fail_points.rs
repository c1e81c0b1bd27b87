//! A kill at every step of restore, abandonment, creation, deletion, import, migration and rotation of the root key.
//! Disks that fail or are full.

use std::{fs, io::Write as _, path::Path, process::Command};

use sealward_client::{Client, Error, ErrorReason, SecretString, mail_v1, v1::reencryption::State};
use sealward_core::fail_point::FailPoint::{self, *};
use sealward_server::development::Person;

use crate::{
    crash::{current_text, is_gone, set_limits},
    harness::{
        DEFAULT, Folder,
        inside::{Inside, flipped, lose_configuration, organizations},
        mailbox,
        process::Process,
        reason, reveal, settled,
    },
    kills::OF_A_CHANGE,
    root_key::renew,
};

const OF_AN_ABANDONMENT: [FailPoint; 9] = [
    KeyWorkStarted,
    KeyTextStored,
    RingReplaced,
    CellsCounted,
    BatchDone,
    ScanDone,
    TextsForgotten,
    FilesScrubbed,
    ReencryptionSettled,
];
const OF_A_RESTORE: [FailPoint; 3] = [RestoreCounted, RestoreRecorded, RestoredTextStored];
const OF_A_CREATION: [FailPoint; 3] = [CreateStarted, DatabaseCreated, CreateReady];
const OF_A_DELETION: [FailPoint; 5] =
    [DeleteStarted, RingDestroyed, DeletedTextsForgotten, DatabaseRemoved, DeleteDone];
const OF_AN_IMPORT: [FailPoint; 5] = [ImportStarted, ImportPartStored, ImportVerified, ImportPublished, ImportReady];
const OF_A_COPY: [FailPoint; 9] = [
    ImportStarted,
    CopyCounted,
    CopyOpened,
    CopyRingStored,
    ImportPartStored,
    ImportVerified,
    CopyTextStored,
    ImportPublished,
    ImportReady,
];
const OF_A_MIGRATION: [FailPoint; 2] = [MigrationDue, Migrated];
const OF_ANOTHER_ROOT_KEY: [FailPoint; 2] = [TextsResealed, RootKeysRetired];
const OF_HEALING: [FailPoint; 1] = [KeptKeysDestroyed];

#[test]
fn every_fail_point_kills_the_server() {
    let tested: Vec<FailPoint> = [
        &OF_A_CHANGE[..],
        &OF_AN_ABANDONMENT,
        &OF_A_RESTORE,
        &OF_A_CREATION,
        &OF_A_DELETION,
        &OF_AN_IMPORT,
        &OF_A_COPY,
        &OF_A_MIGRATION,
        &OF_ANOTHER_ROOT_KEY,
        &OF_HEALING,
    ]
    .concat();
    let forgotten: Vec<_> = FailPoint::ALL.iter().filter(|point| !tested.contains(point)).collect();
    assert!(forgotten.is_empty(), "{forgotten:?}");
}

/// A folder without quotas, with one mailbox whose password is `hunter2`, and the text of its key.
async fn prepared() -> (Folder, String, SecretString) {
    let folder = Folder::new();
    set_limits(&folder.path(), &[("key_changes_per_hour", 0), ("wrong_key_restores_per_15_minutes", 0)]);
    let server = Process::start(&folder.path());
    let writer = folder.client(&server.address, Person::Writer);
    let name = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap().name;
    let text = current_text(&folder.client(&server.address, Person::Admin)).await;
    server.kill();
    (folder, name, text.into())
}

/// Starts a server that kills itself at this point, and makes a call that it can't answer.
async fn killed_at<T>(folder: &Folder, point: FailPoint, call: impl AsyncFnOnce(Client) -> Result<T, Error>) {
    let server = Process::start_failing(&folder.path(), point.name()).unwrap();
    match call(folder.client(&server.address, Person::Admin)).await {
        // Work after the answer may end the server before or after the answer arrives.
        Ok(_) => {}
        Err(error) => assert!(is_gone(&error), "{point:?}: {error:?}"),
    }
    server.killed().await;
}

async fn password(folder: &Folder, server: &Process, name: &str) -> Option<String> {
    reveal(&folder.client(&server.address, Person::Connector), name).await.unwrap()
}

#[tokio::test]
async fn interrupted_restore_can_be_repeated_and_each_attempt_counts() {
    let (folder, name, text) = prepared().await;
    for point in OF_A_RESTORE {
        lose_configuration(&folder.path());
        Inside::organization(&folder).execute("DELETE FROM sealward_restore_attempt");
        killed_at(&folder, point, async |admin| admin.restore_key(DEFAULT, &text).await).await;
        if point == RestoreCounted {
            let counted = Inside::organization(&folder).number("SELECT count(*) FROM sealward_restore_attempt");
            assert_eq!(counted, 1);
        }
        let server = Process::start(&folder.path());
        let admin = folder.client(&server.address, Person::Admin);
        if point == RestoredTextStored {
            assert_eq!(reason(admin.restore_key(DEFAULT, &text).await), ErrorReason::KeyAlreadyActive);
        } else {
            admin.restore_key(DEFAULT, &text).await.unwrap();
        }
        assert_eq!(password(&folder, &server, &name).await.as_deref(), Some("hunter2"));
        server.kill();
    }
}

#[tokio::test]
async fn interrupted_abandonment_completes_or_can_be_repeated() {
    for point in OF_AN_ABANDONMENT {
        let (folder, name, _) = prepared().await;
        lose_configuration(&folder.path());
        let new = SecretString::from("begun anew, number 2");
        let abandon = async |admin: Client| {
            let lost = admin.is_data_encryption_active(DEFAULT).await?.fingerprint;
            admin.abandon_encrypted_data(DEFAULT, lost, &new, false).await
        };
        killed_at(&folder, point, abandon).await;
        let server = Process::start(&folder.path());
        let admin = folder.client(&server.address, Person::Admin);
        if matches!(point, KeyWorkStarted | KeyTextStored) {
            assert!(!admin.is_data_encryption_active(DEFAULT).await.unwrap().is_active);
            abandon(admin.clone()).await.unwrap();
        }
        assert_eq!(settled(&admin).await.state(), State::Done);
        let status = admin.is_data_encryption_active(DEFAULT).await.unwrap();
        assert_eq!((status.is_active, status.key_version, status.cell_counts), (true, 2, Vec::new()), "{point:?}");
        assert_eq!(password(&folder, &server, &name).await, None);
        let ended = Inside::organization(&folder).trail();
        assert_eq!(ended.iter().filter(|record| record.action == "complete-reencryption").count(), 1);
    }
}

#[tokio::test]
async fn interrupted_creation_of_an_organization_is_atomic() {
    let (folder, _, _) = prepared().await;
    for point in OF_A_CREATION {
        let id = format!("of-{}", point.name());
        killed_at(&folder, point, async |admin| admin.create_organization(id.as_str()).await).await;
        let server = Process::start(&folder.path());
        let admin = folder.client(&server.address, Person::Admin);
        let name = format!("organizations/{id}");
        if point == CreateStarted {
            assert_eq!(reason(admin.get_organization(name.as_str()).await), ErrorReason::NotFound);
            admin.create_organization(id).await.unwrap();
        }
        assert!(admin.is_data_encryption_active(name.as_str()).await.unwrap().is_active, "{point:?}");
        server.kill();
    }
}

#[tokio::test]
async fn interrupted_deletion_of_an_organization_completes() {
    let (folder, _, _) = prepared().await;
    for point in OF_A_DELETION {
        let server = Process::start(&folder.path());
        let uid = folder.client(&server.address, Person::Admin).create_organization("contoso").await.unwrap().uid;
        server.kill();
        killed_at(&folder, point, async |admin| admin.delete_organization("organizations/contoso").await).await;
        let server = Process::start(&folder.path());
        let admin = folder.client(&server.address, Person::Admin);
        let organizations = admin.list_organizations(0, "").await.unwrap().records;
        assert_eq!(organizations.len(), 1, "{point:?}");
        assert!(!folder.path().join(format!("organizations/{uid}.db")).exists());
        assert_eq!(Inside::configuration(&folder).key_texts().len(), 1);
        server.kill();
    }
}

/// Exports the organization of a folder. Returns the chunks of the file.
async fn exported(folder: &Folder) -> Vec<Vec<u8>> {
    let server = Process::start(&folder.path());
    let mut file = Vec::new();
    let mut exporting = folder.client(&server.address, Person::Admin).export_organization(DEFAULT).await.unwrap();
    while let Some(message) = exporting.next().await.unwrap() {
        file.push(message.chunk);
    }
    server.kill();
    file
}

/// The number of databases in a folder.
fn databases(folder: &Folder) -> usize {
    organizations(&folder.path()).len()
}

#[tokio::test]
async fn interrupted_copy_of_an_organization_is_undone_or_complete_with_its_key() {
    let (folder, name, text) = prepared().await;
    let file = exported(&folder).await;
    let copied = name.replace(DEFAULT, "organizations/copy");
    for point in OF_A_COPY {
        let copy = async |admin: Client| {
            admin.import_organization_as_copy("copy", &text, None, tokio_stream::iter(file.clone())).await
        };
        killed_at(&folder, point, copy).await;
        let server = Process::start(&folder.path());
        let admin = folder.client(&server.address, Person::Admin);
        if !matches!(point, ImportPublished | ImportReady) {
            assert_eq!(reason(admin.get_organization("organizations/copy").await), ErrorReason::NotFound, "{point:?}");
            assert_eq!(databases(&folder), 1);
            let configuration = Inside::configuration(&folder);
            let count = |table: &str| configuration.number(&format!("SELECT count(*) FROM {table}"));
            let counted = ["sealward_organizations", "sealward_key_text", "sealward_fingerprint"].map(count);
            assert_eq!(counted, [1, 1, 1], "{point:?}");
            // The attempt that the server couldn't finish still counts.
            assert_eq!(count("sealward_copy_attempt"), i64::from(point == CopyCounted), "{point:?}");
            drop(configuration);
            copy(admin.clone()).await.unwrap();
        }
        for organization in ["organizations/copy", DEFAULT] {
            assert!(admin.is_data_encryption_active(organization).await.unwrap().is_active, "{point:?}");
        }
        for name in [&name, &copied] {
            assert_eq!(password(&folder, &server, name).await.as_deref(), Some("hunter2"));
        }
        assert!(admin.verify_audit_trail("organizations/copy").await.unwrap().intact);
        admin.delete_organization("organizations/copy").await.unwrap();
        server.kill();
        Inside::configuration(&folder).execute("DELETE FROM sealward_copy_attempt");
    }
}

#[tokio::test]
async fn interrupted_import_of_an_organization_is_atomic() {
    let (from, _, text) = prepared().await;
    let file = exported(&from).await;
    let organization = "organizations/copy";
    for point in OF_AN_IMPORT {
        let (folder, _, _) = prepared().await;
        let import = async |admin: Client| admin.import_organization("copy", tokio_stream::iter(file.clone())).await;
        killed_at(&folder, point, import).await;
        let server = Process::start(&folder.path());
        let admin = folder.client(&server.address, Person::Admin);
        if matches!(point, ImportStarted | ImportPartStored | ImportVerified) {
            assert_eq!(reason(admin.get_organization(organization).await), ErrorReason::NotFound, "{point:?}");
            assert_eq!(databases(&folder), 1);
            import(admin.clone()).await.unwrap();
        }
        assert!(!admin.is_data_encryption_active(organization).await.unwrap().is_active, "{point:?}");
        admin.restore_key(organization, &text).await.unwrap();
        assert!(admin.is_data_encryption_active(organization).await.unwrap().is_active);
    }
}

#[tokio::test]
async fn interrupted_migration_completes_at_the_next_start() {
    sqlite_only!("makes a database of an older version");
    for point in OF_A_MIGRATION {
        let (folder, name, _) = prepared().await;
        let inside = Inside::organization(&folder);
        inside.sqlite().execute_batch("DROP TABLE sealward_census").unwrap();
        for table in ["sealward_catalog", "sealward_column_type"] {
            inside.change(4, &format!("DELETE FROM {table} WHERE table_name = 'sealward_census'"));
        }
        drop(inside);
        assert!(Process::start_failing(&folder.path(), point.name()).is_none(), "{point:?}");
        let server = Process::start(&folder.path());
        assert_eq!(password(&folder, &server, &name).await.as_deref(), Some("hunter2"));
        let status = folder.client(&server.address, Person::Admin).is_data_encryption_active(DEFAULT).await.unwrap();
        assert_eq!(status.cell_counts.iter().map(|count| count.cells).collect::<Vec<_>>(), [1]);
    }
}

#[tokio::test]
async fn interrupted_root_key_change_completes_at_the_next_start() {
    for point in OF_ANOTHER_ROOT_KEY {
        let (folder, name, _) = prepared().await;
        renew(&folder.path());
        assert!(Process::start_failing(&folder.path(), point.name()).is_none(), "{point:?}");
        let server = Process::start(&folder.path());
        assert_eq!(password(&folder, &server, &name).await.as_deref(), Some("hunter2"));
        let trail = Inside::configuration(&folder).trail();
        assert_eq!(trail.iter().filter(|record| record.action == "reseal-key-texts").count(), 1);
    }
}

#[tokio::test]
async fn key_kept_for_a_repaired_cell_is_removed_by_the_next_start() {
    let (folder, name, _) = prepared().await;
    let inside = Inside::organization(&folder);
    inside.set_password_cell(&name, &flipped(&inside.password_cell(&name)));
    drop(inside);
    let server = Process::start(&folder.path());
    let admin = folder.client(&server.address, Person::Admin);
    admin.change_key(DEFAULT, &"a new key, number 2".into()).await.unwrap();
    assert_eq!(settled(&admin).await.state(), State::DoneWithUnreadableCells);
    server.kill();
    let heal = async |admin: Client| {
        let healed = mail_v1::Mailbox { name: name.clone(), ..mailbox("healed") };
        admin.mailboxes().update(healed, ["password"]).await
    };
    killed_at(&folder, KeptKeysDestroyed, heal).await;
    let server = Process::start(&folder.path());
    assert_eq!(password(&folder, &server, &name).await.as_deref(), Some("healed"));
    assert_eq!(Inside::organization(&folder).data_key_versions(), [2]);
}

#[tokio::test]
async fn commit_with_a_failed_sync_is_unknown_and_the_server_continues() {
    sqlite_only!("lets the sync of a file fail");
    for (failure, kept) in [("sync-failed-kept", true), ("sync-failed-lost", false)] {
        let (folder, _, _) = prepared().await;
        // Some commits after the start: the number is found by trying.
        let server = Process::start_failing(&folder.path(), &format!("{failure}:8")).unwrap();
        let writer = folder.client(&server.address, Person::Writer);
        let mut acknowledged = Vec::new();
        let mut unknown = None;
        for number in 0..12 {
            let id = format!("00000000-0000-4000-8000-{number:012}");
            let password = format!("password {number}");
            match writer.mailboxes().create(DEFAULT, mailbox(&password), Some(id.clone())).await {
                Ok(created) => acknowledged.push((created.name, password)),
                Err(error) => {
                    assert_eq!(error.reason(), ErrorReason::OutcomeUnknown, "{error:?}");
                    assert!(unknown.replace(format!("{DEFAULT}/mailboxes/{id}")).is_none());
                }
            }
        }
        let unknown = unknown.expect("a commit should have failed");
        for (name, written) in &acknowledged {
            assert_eq!(password(&folder, &server, name).await.as_ref(), Some(written));
        }
        let found = writer.mailboxes().get(unknown).await;
        assert_eq!(found.is_ok(), kept, "{found:?}");
        let admin = folder.client(&server.address, Person::Admin);
        admin.change_key(DEFAULT, &"a new key, number 2".into()).await.unwrap();
        assert_eq!(settled(&admin).await.state(), State::Done);
    }
}

/// A file system of this size, for as long as the value lives.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// `None` if this process may not mount.
    fn mount(at: &'a Path, size: &str) -> Option<Self> {
        fs::create_dir(at).unwrap();
        let options = format!("size={size},mode=700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "none"]).arg(at).output().unwrap();
        mounted.status.success().then_some(SmallDisk(at))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

#[tokio::test]
async fn full_disk_is_reported_and_writes_resume_once_there_is_space() {
    sqlite_only!("fills the disk with the files");
    let root = tempfile::tempdir().unwrap();
    let at = root.path().join("disk");
    let Some(disk) = SmallDisk::mount(&at, "6m") else {
        // Written directly: the harness would capture it.
        let why = "NOT TESTED: a full disk, since this process may not mount a file system of its own";
        writeln!(std::io::stderr(), "{why}").unwrap();
        return;
    };
    let folder = Folder::at(&at.join("dev"));
    let server = Process::start(&folder.path());
    let writer = folder.client(&server.address, Person::Writer);
    let admin = folder.client(&server.address, Person::Admin);
    let mut acknowledged = Vec::new();
    let filler = at.join("filler");
    fs::write(&filler, vec![0; 3 << 20]).unwrap();
    let full = loop {
        let password = format!("password {}", acknowledged.len());
        let large = mail_v1::Mailbox {
            display_name: Some("x".repeat(200)),
            username: Some("y".repeat(200)),
            ..mailbox(&password)
        };
        match writer.mailboxes().create(DEFAULT, large, None).await {
            Ok(created) => acknowledged.push((created.name, password)),
            Err(error) => break error,
        }
        assert!(acknowledged.len() < 20_000, "the disk never became full");
    };
    assert!(matches!(full.reason(), ErrorReason::StoreUnavailable | ErrorReason::OutcomeUnknown), "{full:?}");
    // Reads continue, and a change is refused or resumed later.
    for (name, _) in acknowledged.iter().take(20) {
        writer.mailboxes().get(name).await.unwrap();
    }
    let changed = admin.change_key(DEFAULT, &"a new key, number 2".into()).await;
    if let Err(error) = &changed {
        let reason = error.reason();
        let is_told = [ErrorReason::StoreUnavailable, ErrorReason::AuditUnavailable, ErrorReason::OutcomeUnknown];
        assert!(is_told.contains(&reason), "{error:?}");
    }

    fs::remove_file(&filler).unwrap();
    if changed.is_err() {
        // A change with an unknown outcome may have been made, and continues.
        settled(&admin).await;
        admin.change_key(DEFAULT, &"a new key, number 2".into()).await.unwrap();
    }
    assert_eq!(settled(&admin).await.state(), State::Done);
    for (name, written) in &acknowledged {
        assert_eq!(password(&folder, &server, name).await.as_ref(), Some(written), "{name}");
    }
    server.kill();
    let server = Process::start(&folder.path());
    assert_eq!(current_text(&folder.client(&server.address, Person::Admin)).await, "a new key, number 2");
    server.kill();
    drop(disk);
}
