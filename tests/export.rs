//! An organization as a file: exported during writes, imported elsewhere, and refused if incomplete.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use sealward_client::{
    Client, Code, Error, ErrorReason, ExposeSecret as _, mail_v1,
    v1::{self, reencryption::State},
};
use sealward_server::development::Person;

use crate::harness::{
    DEFAULT, Server,
    inside::{Inside, files_with},
    mailbox, postgresql, reason, reveal, settled,
};

const CONTOSO: &str = "organizations/contoso";

pub(crate) async fn exported(admin: &Client, name: &str) -> Vec<u8> {
    let mut stream = admin.export_organization(name).await.unwrap();
    let mut file = Vec::new();
    let mut done = (0, 0);
    while let Some(message) = stream.next().await.unwrap() {
        file.extend(message.chunk);
        done = (message.rows_done, message.rows_total);
    }
    assert_eq!(done.0, done.1);
    file
}

pub(crate) async fn import(admin: &Client, id: &str, file: &[u8]) -> Result<v1::Organization, Error> {
    let chunks: Vec<_> = file.chunks(1_000).map(<[u8]>::to_vec).collect();
    admin.import_organization(id, tokio_stream::iter(chunks)).await
}

/// A failed import leaves no row and no file.
pub(crate) async fn assert_nothing_left(server: &Server) {
    assert_eq!(server.client(Person::Admin).list_organizations(0, "").await.unwrap().records.len(), 1);
    let configuration = Inside::configuration(server.folder());
    assert_eq!(configuration.number("SELECT count(*) FROM sealward_organizations"), 1);
    if let Some(database) = postgresql::database_of(&server.folder().path()) {
        let unfinished = "SELECT count(*) FROM sealward._guard WHERE state NOT IN ('ready', 'deleted')";
        assert_eq!(postgresql::execute(&database, &[unfinished]), "0");
        return;
    }
    let files = std::fs::read_dir(server.folder().path().join("organizations")).unwrap();
    let names: Vec<_> = files.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(!names.iter().any(|name| name.starts_with('.')), "{names:?}");
}

#[tokio::test]
async fn an_organization_is_imported_elsewhere_and_opens_with_its_key() {
    let here = Server::start().await;
    let (admin, writer) = (here.client(Person::Admin), here.client(Person::Writer));
    admin.create_organization("contoso").await.unwrap();
    let mut stored = Vec::new();
    for number in 0..300 {
        let password = format!("canary password {number}");
        stored.push((writer.mailboxes().create(CONTOSO, mailbox(&password), None).await.unwrap(), password));
    }
    let key = admin.retrieve_data_encryption_key(CONTOSO).await.unwrap();
    let file = exported(&admin, CONTOSO).await;
    for secret in ["canary password", key.encryption_key.expose_secret()] {
        assert!(!file.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }
    let trail = Inside::configuration(here.folder()).trail();
    assert!(!trail.iter().any(|record| record.action == "export-organization"));

    let there = Server::start().await;
    let admin = there.client(Person::Admin);
    let imported = import(&admin, "copy", &file).await.unwrap();
    assert_eq!((imported.name.as_str(), imported.create_time), ("organizations/copy", imported.create_time));
    let status = admin.is_data_encryption_active("organizations/copy").await.unwrap();
    assert_eq!((status.is_active, &status.fingerprint), (false, &key.fingerprint));
    assert_eq!(status.cell_counts.len(), 1);
    assert_eq!(status.cell_counts[0].cells, 300);
    // The same organization can't exist twice, under any name.
    assert_eq!(reason(import(&admin, "", &file).await), ErrorReason::AlreadyExists);
    admin.restore_key("organizations/copy", &key.encryption_key).await.unwrap();
    let connector = there.client(Person::Connector);
    for (mailbox, password) in stored.iter().step_by(37) {
        let name = mailbox.name.replace(CONTOSO, "organizations/copy");
        assert_eq!(reveal(&connector, &name).await.unwrap().as_ref(), Some(password));
        let read = there.client(Person::Reader).mailboxes().get(&name).await.unwrap();
        assert_eq!(
            (&read.display_name, &read.etag, read.update_time),
            (&mailbox.display_name, &mailbox.etag, mailbox.update_time)
        );
    }
    let there = there.restart(|_| {}, |_| {}).await;
    assert!(there.client(Person::Admin).is_data_encryption_active("organizations/copy").await.unwrap().is_active);
    let folder = there.stop().await;
    let trail = Inside::configuration(&folder).trail();
    assert_eq!(trail.iter().filter(|record| record.action == "import-organization").count(), 1);
    assert_eq!(files_with(&folder.path(), b"canary password"), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn export_is_consistent_during_writes() {
    let server = Server::start().await;
    let (admin, writer) = (server.client(Person::Admin), server.client(Person::Writer));
    let mut created = writer.mailboxes().create(DEFAULT, mailbox("secret"), None).await.unwrap();
    for number in 0..600 {
        writer.mailboxes().create(DEFAULT, mailbox(&number.to_string()), None).await.unwrap();
    }
    // The last mailbox is never ahead of the first.
    let last = writer.mailboxes().create(DEFAULT, mailbox("secret"), None).await.unwrap().name;
    let first = created.name.clone();
    let stop = Arc::new(AtomicBool::new(false));
    let moving = {
        let (stop, writer, last) = (Arc::clone(&stop), server.client(Person::Writer), last.clone());
        tokio::spawn(async move {
            for number in 0_u32.. {
                if stop.load(Ordering::Relaxed) {
                    return number;
                }
                created.display_name = Some(format!("{number:06}"));
                writer.mailboxes().update(created.clone(), ["display_name"]).await.map(drop).unwrap();
                created.etag.clear();
                let follows = mail_v1::Mailbox { name: last.clone(), ..created.clone() };
                writer.mailboxes().update(follows, ["display_name"]).await.unwrap();
            }
            0
        })
    };
    let file = exported(&admin, DEFAULT).await;
    stop.store(true, Ordering::Relaxed);
    assert!(moving.await.unwrap() > 0);

    let there = Server::start().await;
    import(&there.client(Person::Admin), "copy", &file).await.unwrap();
    let reader = there.client(Person::Reader);
    let mut names = Vec::new();
    for name in [first, last] {
        let name = name.replace(DEFAULT, "organizations/copy");
        names.push(reader.mailboxes().get(&name).await.unwrap().display_name.unwrap().parse::<i64>().unwrap_or(-1));
    }
    assert!(names[0] == names[1] || names[0] == names[1] + 1, "{names:?}");
}

#[tokio::test]
async fn incomplete_export_is_refused_and_leaves_no_files() {
    let here = Server::start().await;
    here.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let file = exported(&here.client(Person::Admin), DEFAULT).await;
    let there = Server::start().await;
    let admin = there.client(Person::Admin);
    let mut wrong: Vec<Vec<u8>> =
        (0..file.len()).step_by(file.len() / 23).map(|length| file[..length].to_vec()).collect();
    for index in (0..file.len()).step_by(file.len() / 41) {
        let mut changed = file.clone();
        changed[index] ^= 0x10;
        wrong.push(changed);
    }
    wrong.push([&file[..], b"x"].concat());
    for file in &wrong {
        let error = import(&admin, "copy", file).await.unwrap_err();
        assert_eq!((error.code(), error.reason()), (Code::InvalidArgument, ErrorReason::ExportInvalid), "{error:?}");
    }
    assert_nothing_left(&there).await;
    assert_eq!(reason(import(&admin, "Not a name", &file).await), ErrorReason::FieldInvalid);
    assert_eq!(reason(import(&admin, "default", &file).await), ErrorReason::AlreadyExists);
    assert_eq!(reason(import(&admin, "", &file).await), ErrorReason::AlreadyExists);
    assert_eq!(reason(import(&there.client(Person::Writer), "copy", &file).await), ErrorReason::PrivilegeMissing);
    assert_nothing_left(&there).await;
    import(&admin, "copy", &file).await.unwrap();
}

#[tokio::test]
async fn interrupted_import_can_be_repeated() {
    let here = Server::start().await;
    here.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let file = exported(&here.client(Person::Admin), DEFAULT).await;
    let there = Server::start().await;
    let admin = there.client(Person::Admin);
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let call = {
        let admin = admin.clone();
        let chunks = tokio_stream::wrappers::ReceiverStream::new(receiver);
        tokio::spawn(async move { admin.import_organization("copy", chunks).await })
    };
    let half = file.len() / 2;
    for chunk in file[..half].chunks(1_000) {
        sender.send(chunk.to_vec()).await.unwrap();
    }
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    // Another import is refused while the failed one is undone.
    loop {
        match import(&admin, "copy", &file).await {
            Ok(imported) => break assert_eq!(imported.name, "organizations/copy"),
            Err(error) => assert_eq!(error.reason(), ErrorReason::AlreadyExists),
        }
    }
}

#[tokio::test]
async fn exported_unfinished_change_continues_after_import_and_restore() {
    let slowly = |config: &mut sealward_server::config::Config| {
        config.limits.reencryption_batch_cells = 1;
        config.limits.reencryption_pause_ms = 60_000;
    };
    let here = Server::start_with(slowly).await;
    let writer = here.client(Person::Writer);
    let mut names = Vec::new();
    for number in 0..5 {
        let created = writer.mailboxes().create(DEFAULT, mailbox(&number.to_string()), None).await.unwrap();
        names.push(created.name);
    }
    let admin = here.client(Person::Admin);
    admin.change_key(DEFAULT, &"a new key, number 2".into()).await.unwrap();
    let file = exported(&admin, DEFAULT).await;
    let there = Server::start().await;
    let admin = there.client(Person::Admin);
    import(&admin, "copy", &file).await.unwrap();
    let status = admin.is_data_encryption_active("organizations/copy").await.unwrap();
    assert_eq!(status.reencryption.unwrap().state(), State::Waiting);
    admin.restore_key("organizations/copy", &"a new key, number 2".into()).await.unwrap();
    let mut watch = admin.watch_reencryption("organizations/copy").await.unwrap();
    let mut last = State::None;
    while let Some(state) = watch.next().await.unwrap() {
        last = state.state();
    }
    assert_eq!(last, State::Done);
    for (number, name) in names.iter().enumerate() {
        let name = name.replace(DEFAULT, "organizations/copy");
        assert_eq!(reveal(&there.client(Person::Connector), &name).await.unwrap(), Some(number.to_string()));
    }
    let _settled = settled(&admin).await;
}

#[tokio::test]
async fn deleted_organization_can_be_imported_again() {
    let server = Server::start().await;
    let admin = server.client(Person::Admin);
    let uid = admin.create_organization("contoso").await.unwrap().uid;
    let stored = server.client(Person::Writer).mailboxes().create(CONTOSO, mailbox("hunter2"), None).await.unwrap();
    let key = admin.retrieve_data_encryption_key(CONTOSO).await.unwrap();
    let file = exported(&admin, CONTOSO).await;
    admin.delete_organization(CONTOSO).await.unwrap();
    assert_eq!(import(&admin, "", &file).await.unwrap().uid, uid);
    admin.restore_key(CONTOSO, &key.encryption_key).await.unwrap();
    let server = server.restart(|_| {}, |_| {}).await;
    assert_eq!(reveal(&server.client(Person::Connector), &stored.name).await.unwrap().as_deref(), Some("hunter2"));
}
