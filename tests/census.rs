//! The census of cells, and unreadable cells: counted, listed and repaired.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use sealward_client::{
    Client, ErrorReason, SecretString, mail_v1,
    v1::{self, reencryption::State, unreadable_cell::Reason},
};
use sealward_server::development::Person;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use crate::harness::{
    DEFAULT, Folder, PATIENCE, Server,
    inside::{Inside, files_with, flipped},
    mailbox, reason, settled,
};

/// Cells by entity, attribute and version, as the service counts them.
async fn counted(admin: &Client) -> BTreeMap<(String, String, u32), i64> {
    let counts = admin.is_data_encryption_active(DEFAULT).await.unwrap().cell_counts;
    counts.into_iter().map(|count| ((count.entity, count.attribute, count.key_version), count.cells)).collect()
}

/// The same, counted from every stored cell. In the built-in schema storage names are names.
fn found(folder: &Folder) -> BTreeMap<(String, String, u32), i64> {
    let inside = Inside::organization(folder);
    let mut found = BTreeMap::new();
    for (table, column) in inside.cell_columns() {
        let sql = format!("SELECT \"{column}\" FROM \"{table}\" WHERE \"{column}\" IS NOT NULL");
        for cell in inside.bytes(&sql) {
            let version = u32::from_be_bytes(cell[1..5].try_into().unwrap());
            *found.entry((table.clone(), column.clone(), version)).or_default() += 1;
        }
    }
    found
}

/// The service keeps the status until a commit. A caller that got an answer must see its effect.
#[tokio::test]
async fn status_contains_every_answered_write() {
    let server = Server::start().await;
    let (admin, writer) = (server.client(Person::Admin), server.client(Person::Writer));
    let cells = async || counted(&admin).await.into_values().sum::<i64>();
    for written in 1..=5 {
        let created = writer.mailboxes().create(DEFAULT, mailbox("one"), None).await.unwrap();
        assert_eq!([cells().await, cells().await], [written; 2]);
        let other = writer.mailboxes().create(DEFAULT, mailbox("other"), None).await.unwrap();
        assert_eq!(cells().await, written + 1);
        writer.mailboxes().delete(&other.name, "").await.unwrap();
        assert_eq!(cells().await, written);
        let cleared = mail_v1::Mailbox { password: None, ..created };
        let cleared = writer.mailboxes().update(cleared, ["password"]).await.unwrap();
        assert_eq!(cells().await, written - 1);
        let set = mail_v1::Mailbox { password: Some("again".to_owned()), ..cleared };
        writer.mailboxes().update(set, ["password"]).await.unwrap();
        assert_eq!(cells().await, written);
    }
}

/// Creates, overwrites, clears and deletes mailboxes, over and over.
async fn keep_writing(writer: Client, stop: Arc<AtomicBool>) {
    let mailboxes = writer.mailboxes();
    while !stop.load(Ordering::Relaxed) {
        let plain = mail_v1::Mailbox { password: None, ..mailbox("") };
        let mut one = mailboxes.create(DEFAULT, mailbox("first"), None).await.unwrap();
        let other = mailboxes.create(DEFAULT, plain, None).await.unwrap();
        one.password = Some("second".to_owned());
        let one = mailboxes.update(one, ["password"]).await.unwrap();
        let mut set = other.clone();
        set.password = Some("third".to_owned());
        mailboxes.update(set, ["password"]).await.unwrap();
        mailboxes.update(mail_v1::Mailbox { password: None, ..one.clone() }, ["password"]).await.unwrap();
        mailboxes.delete(&one.name, "").await.unwrap();
        let kept = mailboxes.create(DEFAULT, mailbox("kept"), None).await.unwrap();
        mailboxes.delete(&mailboxes.create(DEFAULT, mailbox("gone"), None).await.unwrap().name, "").await.unwrap();
        let renamed = mail_v1::Mailbox { display_name: Some("Renamed".to_owned()), ..kept };
        mailboxes.update(renamed, ["display_name"]).await.unwrap();
    }
}

#[tokio::test]
async fn every_cell_is_counted_despite_writes_during_a_change() {
    let server = Server::start_with(|config| config.limits.reencryption_batch_cells = 3).await;
    let admin = server.client(Person::Admin);
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> =
        (0..3).map(|_| tokio::spawn(keep_writing(server.client(Person::Writer), Arc::clone(&stop)))).collect();
    for version in 2..=4 {
        assert_eq!(verified(&admin).await.1, []);
        let key = SecretString::from(format!("the key of version {version}!"));
        admin.change_key(DEFAULT, &key).await.unwrap();
        // During the change, too, every cell opens and is counted.
        let (_, unreadable, miscounts) = verified(&admin).await;
        assert_eq!((unreadable, miscounts), (Vec::new(), Vec::new()));
        assert_eq!(settled(&admin).await.state(), State::Done);
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    let counts = counted(&admin).await;
    let folder = server.stop().await;
    assert_eq!(counts, found(&folder));
    assert!(counts.keys().all(|(_, _, version)| *version == 4), "{counts:?}");
    assert!(counts.values().sum::<i64>() > 3);
}

#[tokio::test]
async fn a_database_without_a_census_gets_one_at_the_start() {
    sqlite_only!("makes a database of an older version");
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    for number in 0..5 {
        writer.mailboxes().create(DEFAULT, mailbox(&number.to_string()), None).await.unwrap();
    }
    let folder = server.stop().await;
    let inside = Inside::organization(&folder);
    inside.sqlite().execute_batch("DROP TABLE sealward_census").unwrap();
    for table in ["sealward_catalog", "sealward_column_type"] {
        inside.change(4, &format!("DELETE FROM {table} WHERE table_name = 'sealward_census'"));
    }
    drop(inside);
    let server = Server::start_in(folder, |_| {}).await;
    let counts = counted(&server.client(Person::Admin)).await;
    assert_eq!(counts, BTreeMap::from([(("Mailbox".to_owned(), "password".to_owned(), 1), 5)]));
}

/// Interrupts a re-encryption after the first of three cells, changes the database, and starts the server again. All cells then end under
/// version 2, and open.
async fn interrupted_reencryption_continues(change: impl FnOnce(&Inside)) {
    let slow = |config: &mut sealward_server::config::Config| {
        config.limits.reencryption_batch_cells = 1;
        config.limits.reencryption_pause_ms = 60_000;
    };
    let server = Server::start_with(slow).await;
    let (admin, writer) = (server.client(Person::Admin), server.client(Person::Writer));
    for password in ["first", "second", "third"] {
        writer.mailboxes().create(DEFAULT, mailbox(password), None).await.unwrap();
    }
    admin.change_key(DEFAULT, &"a new key, number 2".into()).await.unwrap();
    // It pauses after it has counted the cells, and after each of them. A start doesn't pause.
    let mut watch = admin.watch_reencryption(DEFAULT).await.unwrap();
    while watch.next().await.unwrap().unwrap().cells_total == 0 {}
    drop(watch);
    let server = server.restart(|_| {}, slow).await;
    let mut watch = server.client(Person::Admin).watch_reencryption(DEFAULT).await.unwrap();
    while watch.next().await.unwrap().unwrap().cells_done == 0 {}
    drop(watch);
    let folder = server.stop().await;
    let inside = Inside::organization(&folder);
    assert_eq!(inside.cell_versions(), [2, 1, 1]);
    change(&inside);
    drop(inside);
    let server = Server::start_in(folder, |_| {}).await;
    let admin = server.client(Person::Admin);
    assert_eq!(settled(&admin).await.state(), State::Done);
    assert_eq!(verified(&admin).await, (3, Vec::new(), Vec::new()));
    let inside = Inside::organization(server.folder());
    assert_eq!((inside.cell_versions(), inside.data_key_versions()), (vec![2, 2, 2], vec![2]));
}

/// An import of an export has other row numbers too.
#[tokio::test]
async fn reencryption_continues_after_rows_were_renumbered() {
    sqlite_only!("renumbers the rows of a file");
    interrupted_reencryption_continues(|inside| inside.change(3, "UPDATE Mailbox SET _rowid_ = _rowid_ - 10")).await;
}

#[tokio::test]
async fn reencryption_of_an_earlier_version_continues() {
    sqlite_only!("makes a database of an older version");
    interrupted_reencryption_continues(|inside| {
        inside.change(1, "UPDATE sealward_reencryption SET after_id = zeroblob(16)");
        inside.sqlite().execute_batch("ALTER TABLE sealward_reencryption DROP COLUMN after_row").unwrap();
        for table in ["sealward_catalog", "sealward_column_type"] {
            inside.change(1, &format!("DELETE FROM {table} WHERE column_name = 'after_row'"));
        }
    })
    .await;
}

/// Verifies every cell: the number of cells, the unreadable ones, and wrong counts.
async fn verified(admin: &Client) -> (i64, Vec<v1::UnreadableCell>, Vec<v1::CensusMiscount>) {
    let mut stream = admin.verify_cells(DEFAULT).await.unwrap();
    let mut unreadable = Vec::new();
    while let Some(message) = stream.next().await.unwrap() {
        unreadable.extend(message.unreadable_cells);
        if message.is_complete {
            assert_eq!(message.cells_checked, message.cells_total);
            assert!(stream.next().await.unwrap().is_none());
            return (message.cells_checked, unreadable, message.census_miscounts);
        }
    }
    panic!("the check was cut off");
}

#[tokio::test]
async fn verification_finds_unreadable_cells_and_wrong_counts() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let broken = writer.mailboxes().create(DEFAULT, mailbox("broken"), None).await.unwrap().name;
    writer.mailboxes().create(DEFAULT, mailbox("whole"), None).await.unwrap();
    assert_eq!(verified(&server.client(Person::Admin)).await, (2, Vec::new(), Vec::new()));
    let folder = server.stop().await;
    let inside = Inside::organization(&folder);
    inside.set_password_cell(&broken, &flipped(&inside.password_cell(&broken)));
    inside.change(1, "UPDATE sealward_census SET cells = 7");
    drop(inside);
    let server = Server::start_in(folder, |_| {}).await;
    let (checked, unreadable, miscounts) = verified(&server.client(Person::Admin)).await;
    assert_eq!(checked, 2);
    let found: Vec<_> = unreadable.iter().map(|cell| (cell.name.as_str(), cell.reason())).collect();
    assert_eq!(found, [(broken.as_str(), Reason::DoesNotVerify)]);
    let miscount = v1::CensusMiscount {
        entity: "Mailbox".to_owned(),
        attribute: "password".to_owned(),
        key_version: 1,
        cells_counted: 7,
        cells_found: 2,
    };
    assert_eq!(miscounts, [miscount]);

    let server = server.restart(crate::harness::inside::lose_configuration, |_| {}).await;
    let refused = server.client(Person::Admin).verify_cells(DEFAULT).await.err().unwrap();
    assert_eq!(refused.reason(), ErrorReason::DataEncryptionInactive);
}

async fn unreadable(admin: &Client, size: i32) -> Vec<v1::UnreadableCell> {
    let mut cells = Vec::new();
    let mut token = String::new();
    loop {
        let page = admin.list_unreadable_cells(DEFAULT, size, token).await.unwrap();
        cells.extend(page.records);
        token = page.next_page_token;
        if token.is_empty() {
            return cells;
        }
    }
}

#[tokio::test]
async fn unreadable_cell_is_listed_and_its_key_kept_until_it_is_repaired() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let mut names = Vec::new();
    for password in ["changed", "cut off", "of no version", "whole"] {
        names.push(writer.mailboxes().create(DEFAULT, mailbox(password), None).await.unwrap().name);
    }
    let folder = server.stop().await;
    let inside = Inside::organization(&folder);
    let cell = |name: &String| inside.password_cell(name);
    let damaged = [
        flipped(&cell(&names[0])),
        cell(&names[1])[..20].to_vec(),
        [&[1, 0, 0, 0, 9][..], &cell(&names[2])[5..]].concat(),
    ];
    for (name, cell) in names.iter().zip(&damaged) {
        inside.set_password_cell(name, cell);
    }
    let former_key = inside.wrapped_keys().remove(0);
    drop(inside);

    let server = Server::start_in(folder, |_| {}).await;
    let (admin, writer) = (server.client(Person::Admin), server.client(Person::Writer));
    assert_eq!(unreadable(&admin, 0).await, []);
    admin.change_key(DEFAULT, &"a new key, number 2".into()).await.unwrap();
    assert_eq!(settled(&admin).await.state(), State::DoneWithUnreadableCells);
    let listed = unreadable(&admin, 1).await;
    assert_eq!(listed, unreadable(&admin, 0).await);
    let reasons = [(Reason::DoesNotVerify, 1), (Reason::Malformed, 1), (Reason::UnknownKeyVersion, 9)];
    for ((name, cell), (reason, version)) in names.iter().zip(&damaged).zip(reasons) {
        let listed = listed.iter().find(|cell| cell.name == *name).unwrap();
        assert_eq!((listed.attribute.as_str(), listed.reason(), listed.key_version), ("password", reason, version));
        assert_eq!(listed.sha256, Sha256::digest(cell).to_vec());
    }
    assert_eq!(listed.len(), 3);
    let token = admin.list_unreadable_cells(DEFAULT, 1, "").await.unwrap().next_page_token;
    assert_eq!(reason(writer.list_unreadable_cells(DEFAULT, 1, token.as_str()).await), ErrorReason::PrivilegeMissing);
    assert_eq!(reason(admin.list_unreadable_cells(DEFAULT, 1, "00").await), ErrorReason::PageTokenInvalid);

    // A cell that needs no kept key is repaired; the kept key stays until the last cell that needs it is overwritten.
    writer.mailboxes().delete(&names[1], "").await.unwrap();
    let cleared = mail_v1::Mailbox { name: names[2].clone(), password: None, ..mailbox("") };
    writer.mailboxes().update(cleared, ["password"]).await.unwrap();
    assert_eq!(unreadable(&admin, 0).await.len(), 1);
    assert_eq!(Inside::organization(server.folder()).data_key_versions(), [1, 2]);
    let overwritten = mail_v1::Mailbox { name: names[0].clone(), ..mailbox("healed") };
    writer.mailboxes().update(overwritten, ["password"]).await.unwrap();
    assert_eq!(unreadable(&admin, 0).await, []);
    assert_eq!(settled(&admin).await.state(), State::Done);
    let gone = async {
        while Inside::organization(server.folder()).data_key_versions() != [2] {
            admin.is_data_encryption_active(DEFAULT).await.unwrap();
        }
    };
    timeout(PATIENCE, gone).await.unwrap();
    let folder = server.stop().await;
    assert_eq!(files_with(&folder.path(), &former_key), Vec::<std::path::PathBuf>::new());
    let trail = Inside::organization(&folder).trail();
    assert_eq!(trail.iter().filter(|record| record.action == "destroy-data-keys").count(), 1);
}
