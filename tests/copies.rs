//! Imports as copies: an organization beside its source, with a new UUID, a new key and a new trail.

use sealward_client::{
    Client, Code, Error, ErrorReason, ExposeSecret as _, SecretString, generate_key_text,
    v1::{self, reencryption::State},
};
use sealward_server::development::Person;

use crate::{
    export::{assert_nothing_left, exported, import},
    harness::{
        DEFAULT, Folder, Server,
        inside::{Inside, Trail, files_with, flipped},
        mailbox, reason, reveal,
    },
};

const COPY: &str = "organizations/copy";
const LIMIT: &str = "wrong_key_restores_per_15_minutes";

async fn key_of(admin: &Client, organization: &str) -> SecretString {
    admin.retrieve_data_encryption_key(organization).await.unwrap().encryption_key
}

/// Imports as a copy, under a generated key.
async fn copy(admin: &Client, id: &str, source_key: &SecretString, file: &[u8]) -> Result<v1::Organization, Error> {
    copy_under(admin, id, source_key, None, file).await
}

async fn copy_under(
    admin: &Client,
    id: &str,
    source_key: &SecretString,
    new_key: Option<&SecretString>,
    file: &[u8],
) -> Result<v1::Organization, Error> {
    let chunks: Vec<_> = file.chunks(1_000).map(<[u8]>::to_vec).collect();
    admin.import_organization_as_copy(id, source_key, new_key, tokio_stream::iter(chunks)).await
}

/// Creates mailboxes with the passwords `canary 0`, `canary 1` and so on. Returns their names.
async fn stored(server: &Server, count: usize) -> Vec<String> {
    let writer = server.client(Person::Writer);
    let mut names = Vec::new();
    for number in 0..count {
        let created = writer.mailboxes().create(DEFAULT, mailbox(&format!("canary {number}")), None).await.unwrap();
        names.push(created.name);
    }
    names
}

/// Checks that the passwords of these mailboxes of the default organization can be revealed in an organization.
async fn assert_revealed(server: &Server, organization: &str, names: &[String]) {
    let connector = server.client(Person::Connector);
    for (number, name) in names.iter().enumerate() {
        let revealed = reveal(&connector, &name.replace(DEFAULT, organization)).await.unwrap();
        assert_eq!(revealed, Some(format!("canary {number}")), "{organization}");
    }
}

/// Opens all cells of an organization, and verifies its trail. Returns the number of cells.
async fn assert_verified(server: &Server, organization: &str) -> i64 {
    let mut stream = server.client(Person::Auditor).verify_cells(organization).await.unwrap();
    let mut last = None;
    while let Some(message) = stream.next().await.unwrap() {
        assert_eq!((message.unreadable_cells.len(), message.census_miscounts.len()), (0, 0));
        last = Some(message);
    }
    let last = last.filter(|last| last.is_complete).unwrap();
    assert!(server.client(Person::Auditor).verify_audit_trail(organization).await.unwrap().intact);
    last.cells_checked
}

/// The database of an organization, from the folder of a stopped server.
fn database(folder: &Folder, uid: &str) -> Inside {
    Inside::of(&folder.path(), uid)
}

fn imports(trail: &[Trail]) -> Vec<&Trail> {
    trail.iter().filter(|record| record.action == "import-organization").collect()
}

#[tokio::test]
async fn copy_exists_beside_its_source_and_reveals_the_same_values() {
    let server = Server::start().await;
    let names = stored(&server, 200).await;
    let admin = server.client(Person::Admin);
    let (source, key) = (admin.get_organization(DEFAULT).await.unwrap(), key_of(&admin, DEFAULT).await);
    let file = exported(&admin, DEFAULT).await;
    let before = admin.is_data_encryption_active(DEFAULT).await.unwrap();
    // Without another name, or not as a copy, it can't be imported beside its source.
    assert_eq!(reason(copy(&admin, "", &key, &file).await), ErrorReason::AlreadyExists);
    assert_eq!(reason(import(&admin, "copy", &file).await), ErrorReason::AlreadyExists);
    assert_nothing_left(&server).await;

    let made = copy(&admin, "copy", &key, &file).await.unwrap();
    assert_eq!(made.name, COPY);
    assert_ne!(made.uid, source.uid);
    let created = |of: &v1::Organization| of.create_time.as_ref().map(|time| (time.seconds, time.nanos));
    assert!(created(&made) > created(&source));
    let status = admin.is_data_encryption_active(COPY).await.unwrap();
    assert_eq!((status.is_active, status.key_version), (true, 1));
    assert_ne!(status.fingerprint, before.fingerprint);
    assert_eq!(status.reencryption.unwrap().state(), State::None);
    assert_ne!(key_of(&admin, COPY).await.expose_secret(), key.expose_secret());
    assert_eq!(assert_verified(&server, COPY).await, 200);
    assert_revealed(&server, COPY, &names).await;
    for name in [&names[0], &names[199]] {
        let reader = server.client(Person::Reader);
        let of_source = reader.mailboxes().get(name).await.unwrap();
        let of_copy = reader.mailboxes().get(name.replace(DEFAULT, COPY)).await.unwrap();
        assert_eq!(
            (&of_copy.display_name, &of_copy.etag, of_copy.update_time),
            (&of_source.display_name, &of_source.etag, of_source.update_time)
        );
    }
    // The source is unchanged, and the two live on separately.
    let after = admin.is_data_encryption_active(DEFAULT).await.unwrap();
    assert_eq!((after.is_active, after.fingerprint, after.cell_counts), (true, before.fingerprint, before.cell_counts));
    assert_eq!(key_of(&admin, DEFAULT).await.expose_secret(), key.expose_secret());
    admin.change_key(COPY, &generate_key_text()).await.unwrap();
    let mut watch = admin.watch_reencryption(COPY).await.unwrap();
    while watch.next().await.unwrap().is_some() {}
    let server = server.restart(|_| {}, |_| {}).await;
    for organization in [COPY, DEFAULT] {
        assert_eq!(assert_verified(&server, organization).await, 200);
        assert_revealed(&server, organization, &names).await;
    }
    server.client(Person::Admin).delete_organization(DEFAULT).await.unwrap();
    assert_revealed(&server, COPY, &names).await;
}

#[tokio::test]
async fn trail_of_a_copy_begins_with_its_source_and_the_head_of_the_file() {
    let server = Server::start().await;
    stored(&server, 3).await;
    let admin = server.client(Person::Admin);
    let (source, key) = (admin.get_organization(DEFAULT).await.unwrap(), key_of(&admin, DEFAULT).await);
    let file = exported(&admin, DEFAULT).await;
    let made = copy(&admin, "copy", &key, &file).await.unwrap();
    let fingerprint = admin.is_data_encryption_active(COPY).await.unwrap().fingerprint;
    let folder = server.stop().await;
    let exporting = database(&folder, &source.uid).trail();
    let head = exporting.iter().find(|record| record.action == "export-organization").unwrap();
    let writer = uuid::Uuid::from_slice(&head.writer).unwrap();
    let hash: String = head.hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let details =
        format!("copy of {DEFAULT} {}, head {writer}:{}:{hash}; cells Mailbox.password 3", source.uid, head.sequence);
    let trail = database(&folder, &made.uid).trail();
    for first in [&trail[0], imports(&Inside::configuration(&folder).trail())[0]] {
        assert_eq!((first.action.as_str(), first.outcome.as_str()), ("import-organization", "done"));
        assert_eq!((first.subject.as_str(), first.details.as_deref()), (COPY, Some(details.as_str())));
        assert_eq!((first.fingerprint.as_ref(), first.key_version), (Some(&fingerprint), Some(1)));
        assert!(first.identity.is_some());
    }
    assert_eq!(trail[0].sequence, 1);
    assert_eq!(imports(&trail).len(), 1);
}

#[tokio::test]
async fn copy_elsewhere_contains_nothing_of_the_key_ring_and_cells_of_its_source() {
    let here = Server::start().await;
    let names = stored(&here, 70).await;
    let admin = here.client(Person::Admin);
    let (source, key) = (admin.get_organization(DEFAULT).await.unwrap(), key_of(&admin, DEFAULT).await);
    let file = exported(&admin, DEFAULT).await;
    let there = Server::start().await;
    let made = copy(&there.client(Person::Admin), "copy", &key, &file).await.unwrap();
    assert_revealed(&there, COPY, &names).await;
    assert_eq!(assert_verified(&there, COPY).await, 70);

    let (here, there) = (here.stop().await, there.stop().await);
    let inside = database(&here, &source.uid);
    let column = |name: &str| -> Vec<u8> { inside.bytes(&format!("SELECT {name} FROM sealward_key_ring")).remove(0) };
    let mut secrets = inside.wrapped_keys();
    secrets.extend(["salt", "key_check_value", "revision", "mac"].map(column));
    secrets.extend(names.iter().map(|name| inside.password_cell(name)));
    secrets.push(key.expose_secret().as_bytes().to_vec());
    // The fingerprint.
    secrets.push(column("key_check_value")[..8].to_vec());
    for secret in &secrets {
        assert!(!files_with(&here.path(), secret).is_empty() || *secret == key.expose_secret().as_bytes());
        assert_eq!(files_with(&there.path(), secret), Vec::<std::path::PathBuf>::new());
    }
    assert_eq!(files_with(&there.path(), b"canary"), Vec::<std::path::PathBuf>::new());
    // Both the records and the trail of the source have left no more than its name and UUID.
    let trail = database(&there, &made.uid).trail();
    assert!(!trail.iter().any(|record| record.action == "export-organization"));
    let foreign = "SELECT count(*) FROM sealward_audit_head WHERE hash NOT IN (SELECT hash FROM sealward_audit)";
    assert_eq!(database(&there, &made.uid).number(foreign), 0);
}

#[tokio::test]
async fn cells_of_source_and_copy_do_not_open_in_each_other() {
    let server = Server::start().await;
    let name = stored(&server, 1).await.remove(0);
    let copied = name.replace(DEFAULT, COPY);
    let admin = server.client(Person::Admin);
    let (source, key) = (admin.get_organization(DEFAULT).await.unwrap(), key_of(&admin, DEFAULT).await);
    let file = exported(&admin, DEFAULT).await;
    let made = copy(&admin, "copy", &key, &file).await.unwrap();
    let exchange = |uids: [&str; 2]| {
        let uids = uids.map(str::to_owned);
        let name = name.clone();
        move |folder: &std::path::Path| {
            let [one, other] = uids.map(|uid| Inside::of(folder, &uid));
            let cells = [&one, &other].map(|inside| inside.password_cell(&name));
            one.set_password_cell(&name, &cells[1]);
            other.set_password_cell(&name, &cells[0]);
        }
    };
    let server = server.restart(exchange([&source.uid, &made.uid]), |_| {}).await;
    for name in [&name, &copied] {
        assert_eq!(reason(reveal(&server.client(Person::Connector), name).await), ErrorReason::CellUnreadable);
    }
    let server = server.restart(exchange([&source.uid, &made.uid]), |_| {}).await;
    for name in [&name, &copied] {
        assert_eq!(reveal(&server.client(Person::Connector), name).await.unwrap().as_deref(), Some("canary 0"));
    }
}

#[tokio::test]
async fn export_during_a_reencryption_is_copied_with_the_new_key() {
    let slowly = |config: &mut sealward_server::config::Config| {
        config.limits.reencryption_batch_cells = 1;
        config.limits.reencryption_pause_ms = 60_000;
    };
    let server = Server::start_with(slowly).await;
    let names = stored(&server, 5).await;
    let admin = server.client(Person::Admin);
    let (old, new) = (key_of(&admin, DEFAULT).await, SecretString::from("a new key, number 2"));
    admin.change_key(DEFAULT, &new).await.unwrap();
    let file = exported(&admin, DEFAULT).await;
    assert_eq!(reason(copy(&admin, "copy", &old, &file).await), ErrorReason::KeyMismatch);
    copy(&admin, "copy", &new, &file).await.unwrap();
    let status = admin.is_data_encryption_active(COPY).await.unwrap();
    assert_eq!((status.is_active, status.key_version), (true, 1));
    assert_eq!(status.reencryption.unwrap().state(), State::None);
    assert_revealed(&server, COPY, &names).await;
    assert_eq!(assert_verified(&server, COPY).await, 5);
}

#[tokio::test]
async fn copy_of_a_copy_opens_with_the_key_of_the_copy() {
    let server = Server::start().await;
    let names = stored(&server, 3).await;
    let admin = server.client(Person::Admin);
    let key = key_of(&admin, DEFAULT).await;
    let given = SecretString::from("the copy's key, number 1");
    copy_under(&admin, "copy", &key, Some(&given), &exported(&admin, DEFAULT).await).await.unwrap();
    assert_eq!(key_of(&admin, COPY).await.expose_secret(), given.expose_secret());
    let file = exported(&admin, COPY).await;
    assert_eq!(reason(copy(&admin, "second", &key, &file).await), ErrorReason::KeyMismatch);
    copy(&admin, "second", &given, &file).await.unwrap();
    assert_revealed(&server, "organizations/second", &names).await;
    assert_eq!(assert_verified(&server, "organizations/second").await, 3);
    // The export of a copy can also be imported elsewhere with its UUID.
    let there = Server::start().await;
    import(&there.client(Person::Admin), "moved", &file).await.unwrap();
    there.client(Person::Admin).restore_key("organizations/moved", &given).await.unwrap();
    assert_revealed(&there, "organizations/moved", &names).await;
}

#[tokio::test]
async fn wrong_key_leaves_the_attempt_and_its_record_only() {
    sqlite_only!("counts the files of locks");
    let here = Server::start().await;
    stored(&here, 2).await;
    let admin = here.client(Person::Admin);
    let key = admin.retrieve_data_encryption_key(DEFAULT).await.unwrap();
    let source = admin.get_organization(DEFAULT).await.unwrap();
    let file = exported(&admin, DEFAULT).await;

    let limit = |config: &mut sealward_server::config::Config| config.limits.wrong_key_restores_per_15_minutes = 2;
    let there = Server::start_with(limit).await;
    let admin = there.client(Person::Admin);
    // A right key isn't counted.
    for number in 0..3 {
        copy(&admin, &format!("right-{number}"), &key.encryption_key, &file).await.unwrap();
        admin.delete_organization(format!("organizations/right-{number}")).await.unwrap();
    }
    let locks = || {
        let found = std::fs::read_dir(there.folder().path().join("organizations")).unwrap();
        let names = found.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.ends_with("-wal") && !name.ends_with("-shm")).count()
    };
    let files = locks();
    for wrong in ["not the key", "canary key\n"] {
        let error = copy(&admin, "copy", &wrong.into(), &file).await.unwrap_err();
        assert_eq!((error.code(), error.reason()), (Code::FailedPrecondition, ErrorReason::KeyMismatch));
        assert_eq!(error.metadata("wanted_fingerprint"), Some(key.fingerprint.as_str()));
        assert_eq!(error.metadata("organization"), Some("copy"));
        assert_nothing_left(&there).await;
        assert_eq!(locks(), files);
    }
    // Several at the same time, with right keys among them.
    let other = Server::start_with(limit).await;
    let guesser = other.client(Person::Admin);
    let attempts = (0..8).map(|number| {
        let (guesser, file, right) = (guesser.clone(), file.clone(), key.encryption_key.clone());
        tokio::spawn(async move {
            let guess = if number % 4 == 0 { right } else { format!("guess {number}").into() };
            copy(&guesser, &format!("copy-{number}"), &guess, &file).await.map_err(|error| error.reason())
        })
    });
    let mut mismatches = 0;
    for attempt in attempts.collect::<Vec<_>>() {
        match attempt.await.unwrap() {
            Ok(_) | Err(ErrorReason::KeyRestoreQuota) => {}
            Err(ErrorReason::KeyMismatch) => mismatches += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(mismatches <= 2, "{mismatches}");

    // Also of the right key, across a restart.
    let there = there.restart(|_| {}, limit).await;
    let admin = there.client(Person::Admin);
    let error = copy(&admin, "copy", &key.encryption_key, &file).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::ResourceExhausted, ErrorReason::KeyRestoreQuota));
    assert_eq!([error.metadata("bound"), error.metadata("limit")], [Some(LIMIT), Some("2")]);
    assert!(error.retry_delay().is_some_and(|delay| delay.as_secs() > 600));
    assert_nothing_left(&there).await;
    // Another organization isn't affected.
    let mine = key_of(&admin, DEFAULT).await;
    copy(&admin, "mine", &mine, &exported(&admin, DEFAULT).await).await.unwrap();
    admin.delete_organization("organizations/mine").await.unwrap();

    let folder = there.stop().await;
    let configuration = Inside::configuration(&folder);
    assert_eq!(configuration.key_texts().len(), 1);
    let trail = configuration.trail();
    let refused: Vec<_> = imports(&trail).into_iter().filter(|record| record.outcome != "done").collect();
    let outcomes: Vec<_> = refused.iter().map(|record| record.outcome.as_str()).collect();
    assert_eq!(outcomes, ["KEY_MISMATCH", "KEY_MISMATCH", "KEY_RESTORE_QUOTA"]);
    for record in refused {
        assert_eq!(record.subject, COPY);
        assert_eq!(record.details.as_deref(), Some(format!("copy of {DEFAULT} {}", source.uid).as_str()));
    }
    assert_eq!(files_with(&folder.path(), b"canary key"), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn file_with_another_ring_does_not_reset_the_attempts() {
    let here = Server::start().await;
    stored(&here, 1).await;
    let admin = here.client(Person::Admin);
    let key = key_of(&admin, DEFAULT).await;
    let file = exported(&admin, DEFAULT).await;
    // A user who abandons the data elsewhere has a file with the same UUID, and its key.
    let elsewhere = Server::start().await;
    let other = elsewhere.client(Person::Admin);
    import(&other, "taken", &file).await.unwrap();
    let lost = other.is_data_encryption_active("organizations/taken").await.unwrap().fingerprint;
    let known = SecretString::from("a known key, number 1");
    other.abandon_encrypted_data("organizations/taken", lost, &known, false).await.unwrap();
    let mut watch = other.watch_reencryption("organizations/taken").await.unwrap();
    while watch.next().await.unwrap().is_some() {}
    let forged = exported(&other, "organizations/taken").await;

    let there = Server::start_with(|config| config.limits.wrong_key_restores_per_15_minutes = 2).await;
    let admin = there.client(Person::Admin);
    assert_eq!(reason(copy(&admin, "copy", &"not the key".into(), &file).await), ErrorReason::KeyMismatch);
    copy(&admin, "forged", &known, &forged).await.unwrap();
    assert_eq!(reason(copy(&admin, "copy", &"not it either".into(), &file).await), ErrorReason::KeyMismatch);
    assert_eq!(reason(copy(&admin, "copy", &key, &file).await), ErrorReason::KeyRestoreQuota);
}

#[tokio::test]
async fn keys_that_cannot_be_used_are_refused_before_an_attempt() {
    let server = Server::start_with(|config| config.limits.wrong_key_restores_per_15_minutes = 1).await;
    stored(&server, 1).await;
    let admin = server.client(Person::Admin);
    let key = key_of(&admin, DEFAULT).await;
    let file = exported(&admin, DEFAULT).await;
    let refused = async |source: &SecretString, new: Option<&str>| {
        let new = new.map(SecretString::from);
        let error = copy_under(&admin, "copy", source, new.as_ref(), &file).await.unwrap_err();
        assert_eq!((error.code(), error.reason()), (Code::InvalidArgument, ErrorReason::KeyValidation));
        let violations = error.field_violations().iter();
        violations.map(|violation| (violation.field.clone(), violation.reason.clone())).collect::<Vec<_>>()
    };
    let field = |name: &str, reason: &str| (name.to_owned(), reason.to_owned());
    assert_eq!(refused(&"".into(), None).await, [field("source_encryption_key", "REQUIRED")]);
    assert_eq!(refused(&"a".repeat(1_025).into(), None).await, [field("source_encryption_key", "TOO_LONG")]);
    let weak = ["TOO_SHORT", "NO_NUMERAL", "NO_SYMBOL"].map(|reason| field("encryption_key", reason));
    assert_eq!(refused(&key, Some("short")).await, weak);
    assert_eq!(refused(&key, Some(key.expose_secret())).await, [field("encryption_key", "SAME_AS_SOURCE")]);
    assert_nothing_left(&server).await;
    copy(&admin, "copy", &key, &file).await.unwrap();
}

#[tokio::test]
async fn cell_that_does_not_open_refuses_the_copy_and_is_named() {
    let server = Server::start().await;
    let names = stored(&server, 3).await;
    let folder = server.stop().await;
    let inside = Inside::organization(&folder);
    inside.set_password_cell(&names[1], &flipped(&inside.password_cell(&names[1])));
    drop(inside);
    let server = Server::start_in(folder, |_| {}).await;
    let admin = server.client(Person::Admin);
    let key = key_of(&admin, DEFAULT).await;
    let error = copy(&admin, "copy", &key, &exported(&admin, DEFAULT).await).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::InvalidArgument, ErrorReason::ExportInvalid));
    let record = names[1].rsplit('/').next().unwrap();
    let problem = error.metadata("problem").unwrap();
    assert!(problem.starts_with(&format!("Mailbox.password of the record {record} can't be decrypted")), "{problem}");
    assert_nothing_left(&server).await;
    // Set again, it can be copied.
    let healed = sealward_client::mail_v1::Mailbox { name: names[1].clone(), ..mailbox("canary 1") };
    server.client(Person::Writer).mailboxes().update(healed, ["password"]).await.unwrap();
    copy(&admin, "copy", &key, &exported(&admin, DEFAULT).await).await.unwrap();
    assert_revealed(&server, COPY, &names).await;
}

#[tokio::test]
async fn file_without_a_readable_ring_is_not_copied() {
    let server = Server::start().await;
    stored(&server, 1).await;
    let key = key_of(&server.client(Person::Admin), DEFAULT).await;
    let folder = server.stop().await;
    Inside::organization(&folder).change(1, "DELETE FROM sealward_key_ring");
    let server = Server::start_in(folder, |_| {}).await;
    let admin = server.client(Person::Admin);
    let error = copy(&admin, "copy", &key, &exported(&admin, DEFAULT).await).await.unwrap_err();
    assert_eq!(error.reason(), ErrorReason::ExportInvalid);
    assert!(error.metadata("problem").unwrap().contains("key ring is missing or damaged"), "{error:?}");
    assert_nothing_left(&server).await;
}

#[tokio::test]
async fn interrupted_copy_leaves_nothing() {
    let server = Server::start().await;
    stored(&server, 50).await;
    let admin = server.client(Person::Admin);
    let key = key_of(&admin, DEFAULT).await;
    let file = exported(&admin, DEFAULT).await;
    let cut = &file[..file.len() - 40];
    assert_eq!(reason(copy(&admin, "copy", &key, cut).await), ErrorReason::ExportInvalid);
    assert_nothing_left(&server).await;
    assert_eq!(Inside::configuration(&server.stop().await).key_texts().len(), 1);
}
