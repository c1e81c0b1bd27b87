//! Data of each released version, kept in `tests/golden/VERSION`: this version opens all of it.
//!
//! A folder has a backup of a deployment with its root key, the export of an organization with its key text, and the values in them. No
//! version changes the folder of another. `MAKE_GOLDEN=1` makes that of the current version again; after its release, never.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use sealward_client::{Client, ExposeSecret as _, mail_v1};
use sealward_server::development::Person;
use serde::{Deserialize, Serialize};

use crate::{
    backup::{back_up, restore, verified},
    export::{exported, import},
    harness::{DEFAULT, Folder, Server, mailbox, process::Process, settled},
    operate::set_mode,
};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a folder has, in `content.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Content {
    /// The text of the default organization's key, which opens the export.
    key: String,
    /// The version of this key.
    key_version: u32,
    /// The values of encrypted attributes, by the name of the record and of the attribute.
    values: BTreeMap<String, BTreeMap<String, String>>,
}

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Creates records with each encrypted attribute. Returns the values.
async fn store(writer: &Client) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut values = BTreeMap::new();
    let profile = mail_v1::EmailServerProfile {
        display_name: Some("Contoso mail".to_owned()),
        server_type: Some(mail_v1::email_server_profile::ServerType::ExchangeServer.into()),
        incoming_password: Some("incoming 1".to_owned()),
        outgoing_password: Some("outgoing ü 2".to_owned()),
        ..mail_v1::EmailServerProfile::default()
    };
    let profile = writer.email_server_profiles().create(DEFAULT, profile, None).await.unwrap();
    let expected = [("incoming_password", "incoming 1"), ("outgoing_password", "outgoing ü 2")];
    values.insert(profile.name.clone(), expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    for number in 0..3 {
        let password = format!("mailbox {number}");
        let linked = mail_v1::Mailbox { email_server_profile: Some(profile.name.clone()), ..mailbox(&password) };
        let created = writer.mailboxes().create(DEFAULT, linked, None).await.unwrap();
        values.insert(created.name, [("password".to_owned(), password)].into());
    }
    values
}

async fn assert_revealed(connector: &Client, organization: &str, content: &Content) {
    for (name, attributes) in &content.values {
        let name = name.replace(DEFAULT, organization);
        let revealed = connector.reveal_attributes(&name, attributes.keys(), "a test").await.unwrap();
        for (attribute, value) in attributes {
            assert_eq!(revealed.get(attribute).unwrap().expose_text().unwrap(), value, "{name} {attribute}");
        }
    }
}

/// Copies a folder for its owner only. Git keeps no such modes.
fn copy_private(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    set_mode(to, 0o700);
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let copy = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_private(&entry.path(), &copy);
        } else {
            fs::copy(entry.path(), &copy).unwrap();
            set_mode(&copy, 0o600);
        }
    }
}

/// Makes the folder of this version.
async fn make() {
    let to = golden().join(VERSION);
    let _removed = fs::remove_dir_all(&to);
    fs::create_dir_all(&to).unwrap();
    let folder = Folder::new();
    let server = Process::start(&folder.path());
    let client = |person| folder.client(&server.address, person);
    let (admin, writer) = (client(Person::Admin), client(Person::Writer));
    let mut values = store(&writer).await;
    admin.change_key(DEFAULT, &"a golden key, number 2".into()).await.unwrap();
    settled(&admin).await;
    // Under the second key from the start.
    values.extend(store(&writer).await);
    let key = admin.retrieve_data_encryption_key(DEFAULT).await.unwrap();
    fs::write(to.join("export"), exported(&admin, DEFAULT).await).unwrap();
    let (code, said, error) = back_up(&folder.path(), &to.join("backup"));
    assert_eq!(code, 0, "{said}{error}");
    fs::copy(folder.development().root_key(), to.join("root.key")).unwrap();
    let key_version = admin.is_data_encryption_active(DEFAULT).await.unwrap().key_version;
    let content = Content { key: key.encryption_key.expose_secret().to_owned(), key_version, values };
    fs::write(to.join("content.json"), serde_json::to_string_pretty(&content).unwrap() + "\n").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_every_version_is_opened() {
    sqlite_only!("the kept deployments of former versions are files");
    if env::var_os("MAKE_GOLDEN").is_some() {
        make().await;
    }
    let versions: Vec<_> = fs::read_dir(golden()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(versions.iter().any(|path| path.ends_with(VERSION)), "MAKE_GOLDEN=1 makes the data of {VERSION}");
    for version in versions {
        let content: Content =
            serde_json::from_str(&fs::read_to_string(version.join("content.json")).unwrap()).unwrap();
        let folder = Folder::new();
        fs::copy(version.join("root.key"), folder.development().root_key()).unwrap();
        set_mode(&folder.development().root_key(), 0o600);
        let backup = folder.path().parent().unwrap().join("backup");
        copy_private(&version.join("backup"), &backup);
        let (code, report) = verified(&folder.path(), &backup);
        assert_eq!(code, 0, "{report}");
        let (code, said, error) = restore(&folder.path(), &backup);
        assert_eq!(code, 0, "{said}{error}");

        let server = Process::start(&folder.path());
        let client = |person| folder.client(&server.address, person);
        let admin = client(Person::Admin);
        assert_revealed(&client(Person::Connector), DEFAULT, &content).await;
        let status = admin.is_data_encryption_active(DEFAULT).await.unwrap();
        assert_eq!((status.is_active, status.key_version), (true, content.key_version));
        assert!(admin.verify_audit_trail(DEFAULT).await.unwrap().intact);
        // This version writes to it.
        store(&client(Person::Writer)).await;
        admin.change_key(DEFAULT, &"a newer key, number 3".into()).await.unwrap();
        settled(&admin).await;
        assert_revealed(&client(Person::Connector), DEFAULT, &content).await;

        let other = Server::start().await;
        let admin = other.client(Person::Admin);
        import(&admin, "imported", &fs::read(version.join("export")).unwrap()).await.unwrap();
        admin.restore_key("organizations/imported", &content.key.as_str().into()).await.unwrap();
        assert_revealed(&other.client(Person::Connector), "organizations/imported", &content).await;
    }
}
