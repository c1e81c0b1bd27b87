//! Bearer tokens, with and without a certificate, and changes of their keys.

use sealward_client::{Client, Code, Error, ErrorReason, ExposeSecret as _};
use sealward_server::{development::Person, reload::Outcome};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::harness::{
    DEFAULT, Folder, PATIENCE, Server,
    tokens::{ISSUER, KeyServer, Signer, append, key_set, settings},
};

const READER: &str = "\n[[bindings]]\nidentity = \"jwt:https://idp.example.org/#ada\"\nrole = \"record-reader\"\norganizations = [\"*\"]\n";

/// A folder whose configuration trusts tokens of these keys, and permits ada to read.
fn folder_with(signers: &[&Signer]) -> Folder {
    let folder = Folder::new();
    std::fs::write(folder.path().join("jwks.json"), key_set(signers)).unwrap();
    append(&folder.path(), &(settings("jwks = \"jwks.json\"") + READER));
    folder
}

fn bearer(server: &Server, token: &str) -> Client {
    server.folder().client_builder(server.address()).bearer_token(token.into()).connect_lazy().unwrap()
}

fn bearer_with_certificate(server: &Server, person: Person, token: &str) -> Client {
    let development = server.folder().development();
    server
        .folder()
        .client_builder(server.address())
        .identity_files(development.certificate(person), development.key(person))
        .bearer_token(token.into())
        .connect_lazy()
        .unwrap()
}

async fn may_read(client: &Client) -> Result<(), Error> {
    client.mailboxes().list(DEFAULT, sealward_client::ListOptions::default()).await.map(drop)
}

#[track_caller]
fn unauthenticated(outcome: Result<(), Error>) -> String {
    let error = outcome.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::Unauthenticated, ErrorReason::IdentityRequired), "{error}");
    error.to_string()
}

#[tokio::test]
async fn token_identifies_only_its_subject() {
    let signer = Signer::new("a");
    let server = Server::start_in(folder_with(&[&signer]), |_| {}).await;
    let token = signer.token("ada");
    let ada = bearer(&server, &token);
    may_read(&ada).await.unwrap();
    may_read(&ada).await.unwrap();
    // A missing role, another subject, and a subject with the name of a certificate.
    let refused = ada.create_organization("contoso").await.unwrap_err();
    assert_eq!(refused.reason(), ErrorReason::PrivilegeMissing);
    for subject in ["bob", "admin", "cn:admin", "jwt:https://idp.example.org/#ada"] {
        let error = may_read(&bearer(&server, &signer.token(subject))).await.unwrap_err();
        assert_eq!(error.reason(), ErrorReason::PrivilegeMissing, "{subject}");
    }
    for (token, words) in [
        (signer.token_with("ada", json!({"exp": 1_000_000_000})), "it has expired"),
        (signer.token_with("ada", json!({"nbf": 9_000_000_000_u64})), "it isn't valid yet"),
        (signer.token_with("ada", json!({"aud": "another"})), "it is for another audience"),
        (signer.token_with("ada", json!({"iss": "https://other/"})), "its issuer isn't configured on this server"),
        (Signer::new("a").token("ada"), "its signature is invalid"),
        (Signer::new("b").token("ada"), "its issuer doesn't have the key that signed it"),
        (signer.token_with("ada", json!({"exp": 9_000_000_000_u64})), "it is valid for longer than 86400 seconds"),
        (signer.token_with("ada", json!({"sub": 7})), "its claim sub can't be used"),
        ("nonsense".to_owned(), "it isn't a JSON Web Token"),
    ] {
        let text = unauthenticated(may_read(&bearer(&server, &token)).await);
        assert!(text.contains(words), "{text}");
        assert!(!text.contains(&token), "{text}");
    }
    // The trail names kind, issuer and subject.
    let admin = server.client(Person::Admin);
    let key = admin.retrieve_data_encryption_key(DEFAULT).await.unwrap();
    assert!(!key.encryption_key.expose_secret().is_empty());
}

#[tokio::test]
async fn certificate_and_token_that_disagree_are_refused() {
    let signer = Signer::new("a");
    let server = Server::start_in(folder_with(&[&signer]), |_| {}).await;
    let development = server.folder().development();
    let thumbprint = |person| {
        let pem = std::fs::read_to_string(development.certificate(person)).unwrap();
        let der = data_encoding::BASE64
            .decode(pem.lines().filter(|line| !line.starts_with("-----")).collect::<String>().as_bytes());
        data_encoding::BASE64URL_NOPAD.encode(&Sha256::digest(der.unwrap()))
    };
    let bound = |person| signer.token_with("ada", json!({"cnf": {"x5t#S256": thumbprint(person)}}));

    let of_writer = bound(Person::Writer);
    let ada = bearer_with_certificate(&server, Person::Writer, &of_writer);
    may_read(&ada).await.unwrap();
    // The identity of the token counts, which may not write.
    let mailbox = crate::harness::mailbox("hunter2");
    let refused = ada.mailboxes().create(DEFAULT, mailbox, None).await.unwrap_err();
    assert_eq!(refused.reason(), ErrorReason::PrivilegeMissing);

    for client in [
        bearer_with_certificate(&server, Person::Admin, &of_writer),
        bearer_with_certificate(&server, Person::Writer, &signer.token("ada")),
        bearer(&server, &of_writer),
    ] {
        let text = unauthenticated(may_read(&client).await);
        assert!(text.contains("does not match the client certificate"), "{text}");
    }
}

#[tokio::test]
async fn keys_in_a_file_are_exchanged_while_the_server_runs() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let server = Server::start_in(folder_with(&[&old]), |_| {}).await;
    let (with_old, with_new) = (bearer(&server, &old.token("ada")), bearer(&server, &new.token("ada")));
    may_read(&with_old).await.unwrap();
    unauthenticated(may_read(&with_new).await);

    let file = server.folder().path().join("jwks.json");
    std::fs::write(&file, key_set(&[&new])).unwrap();
    assert_eq!(server.reload().await.token_issuers, Outcome::Taken);
    unauthenticated(may_read(&with_old).await);
    may_read(&with_new).await.unwrap();

    // An unusable set keeps the current one.
    std::fs::write(&file, r#"{"keys": "#).unwrap();
    assert!(matches!(server.reload().await.token_issuers, Outcome::Refused(text) if text.contains(ISSUER)));
    may_read(&with_new).await.unwrap();

    // A set without keys is an answer, and so is one whose keys aren't for signatures.
    for withdrawn in [r#"{"keys": []}"#, r#"{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}"#] {
        std::fs::write(&file, key_set(&[&new])).unwrap();
        server.reload().await;
        may_read(&with_new).await.unwrap();
        std::fs::write(&file, withdrawn).unwrap();
        assert_eq!(server.reload().await.token_issuers, Outcome::Taken);
        unauthenticated(may_read(&with_new).await);
    }
}

/// A folder whose configuration trusts tokens of the keys at this address, and permits ada to read.
fn folder_for(keys: &KeyServer) -> Folder {
    let folder = Folder::new();
    std::fs::write(folder.path().join("idp-ca.pem"), &keys.ca).unwrap();
    let places = format!("jwks_url = \"{}\"\njwks_ca = \"idp-ca.pem\"", keys.url);
    append(&folder.path(), &(settings(&places) + READER));
    folder
}

/// Calls until one is refused, which must be soon.
async fn until_refused(client: &Client) -> Error {
    let refused = async {
        loop {
            if let Err(error) = may_read(client).await {
                break error;
            }
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.unwrap()
}

#[tokio::test]
async fn token_of_an_unknown_key_waits_for_the_fetch() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let keys = KeyServer::start(key_set(&[&old])).await;
    let server = Server::start_in(folder_for(&keys), |_| {}).await;
    // The first call of all, before any set was fetched, and the first one of a new key.
    may_read(&bearer(&server, &old.token("ada"))).await.unwrap();
    keys.exchange(key_set(&[&old, &new]));
    may_read(&bearer(&server, &new.token("ada"))).await.unwrap();

    keys.stop().await;
    let server = server.restart(|_| {}, |_| {}).await;
    may_read(&bearer(&server, &new.token("ada"))).await.unwrap();
}

#[tokio::test]
async fn keys_that_are_withdrawn_at_their_address_verify_no_token() {
    let signer = Signer::new("a");
    let keys = KeyServer::start(key_set(&[&signer])).await;
    let server = Server::start_in(folder_for(&keys), |config| {
        config.limits.jwks_fetch_interval_seconds = 1;
        config.limits.jwks_wait_ms = 0;
    })
    .await;
    let ada = bearer(&server, &signer.token("ada"));
    tokio::time::timeout(PATIENCE, async { while may_read(&ada).await.is_err() {} }).await.unwrap();
    keys.exchange(r#"{"keys": []}"#.to_owned());
    let error = until_refused(&ada).await;
    assert_eq!((error.code(), error.reason()), (Code::Unauthenticated, ErrorReason::IdentityRequired), "{error}");
}

#[tokio::test]
async fn kept_keys_are_used_up_to_their_maximum_age_across_restarts() {
    // Removed, never present, and no server at the address.
    for status in [Some(410), Some(404), None] {
        let signer = Signer::new("a");
        let keys = KeyServer::start(key_set(&[&signer])).await;
        let limits = |config: &mut sealward_server::config::Config| {
            config.limits.jwks_fetch_interval_seconds = 1;
            config.limits.jwks_age_max_seconds = 3;
            config.limits.jwks_wait_ms = 0;
        };
        let server = Server::start_in(folder_for(&keys), limits).await;
        let token = signer.token("ada");
        let ada = bearer(&server, &token);
        tokio::time::timeout(PATIENCE, async { while may_read(&ada).await.is_err() {} }).await.unwrap();
        match status {
            Some(status) => keys.refuse(status),
            None => keys.stop().await,
        }
        let error = until_refused(&ada).await;
        assert_eq!((error.code(), error.reason()), (Code::Unavailable, ErrorReason::TokenKeysUnavailable), "{error}");
        let server = server.restart(|_| {}, limits).await;
        let error = may_read(&bearer(&server, &token)).await.unwrap_err();
        assert_eq!(error.reason(), ErrorReason::TokenKeysUnavailable, "{error}");
    }
}

#[tokio::test]
async fn reload_applies_new_cas_for_fetching_keys() {
    let signer = Signer::new("a");
    let (keys, other) = (KeyServer::start(key_set(&[&signer])).await, KeyServer::start(key_set(&[])).await);
    let folder = folder_for(&keys);
    let file = folder.path().join("idp-ca.pem");
    std::fs::write(&file, &other.ca).unwrap();
    let no_wait = |config: &mut sealward_server::config::Config| config.limits.jwks_wait_ms = 0;
    let server = Server::start_in(folder, no_wait).await;
    let token = signer.token("ada");
    let ada = bearer(&server, &token);
    assert_eq!(may_read(&ada).await.unwrap_err().reason(), ErrorReason::TokenKeysUnavailable);
    assert_eq!(server.reload().await.token_issuers, Outcome::Unchanged);

    std::fs::write(&file, &keys.ca).unwrap();
    assert_eq!(server.reload().await.token_issuers, Outcome::Taken);
    tokio::time::timeout(PATIENCE, async { while may_read(&ada).await.is_err() {} }).await.unwrap();
    // An additional CA changes nothing.
    std::fs::write(&file, keys.ca.clone() + &other.ca).unwrap();
    assert_eq!(server.reload().await.token_issuers, Outcome::Taken);
    may_read(&ada).await.unwrap();
    std::fs::write(&file, "nonsense").unwrap();
    assert!(matches!(server.reload().await.token_issuers, Outcome::Refused(text) if text.contains(ISSUER)));
    may_read(&ada).await.unwrap();

    // Keys that were fetched through a removed CA aren't trusted, also after a start.
    std::fs::write(&file, &other.ca).unwrap();
    assert_eq!(server.reload().await.token_issuers, Outcome::Taken);
    assert_eq!(may_read(&ada).await.unwrap_err().reason(), ErrorReason::TokenKeysUnavailable);
    let server = server.restart(|_| {}, no_wait).await;
    let error = may_read(&bearer(&server, &token)).await.unwrap_err();
    assert_eq!(error.reason(), ErrorReason::TokenKeysUnavailable, "{error}");
}

#[tokio::test]
async fn token_identity_has_limited_connections_and_can_use_existing_ones() {
    let signer = Signer::new("a");
    // Six places for identified connections, two for others.
    let server = Server::start_in(folder_with(&[&signer]), |config| {
        config.limits.connections_max = 8;
        config.limits.connections_per_identity_max = 2;
    })
    .await;
    let token = signer.token("ada");
    let mut held = Vec::new();
    for _ in 0..8 {
        let ada = bearer(&server, &token);
        may_read(&ada).await.unwrap();
        held.push(ada);
    }
    for person in [Person::Admin, Person::Reader, Person::Writer] {
        may_read(&server.client(person)).await.unwrap();
    }
}

#[tokio::test]
async fn access_is_explained_by_the_bindings_that_count() {
    let signer = Signer::new("a");
    let server = Server::start_in(folder_with(&[&signer]), |_| {}).await;
    let auditor = server.client(Person::Auditor);
    let ada = "jwt:https://idp.example.org/#ada";
    let get = "sealward.mail.v1.MailboxService/GetMailbox";
    let explained = auditor.explain_access(ada, get, "organizations/nowhere").await.unwrap();
    assert!(explained.allowed);
    assert_eq!((&explained.identity[..], &explained.privileges[..]), (ada, &["prvReadRecords".to_owned()][..]));
    let [binding] = &explained.bindings[..] else { panic!("{explained:?}") };
    assert_eq!((&binding.role[..], &binding.privileges[..]), ("record-reader", &["prvReadRecords".to_owned()][..]));

    let explained = auditor.explain_access("", get, DEFAULT).await.unwrap();
    assert_eq!((explained.allowed, &explained.identity[..]), (false, "cn:auditor"));
    let nobody = auditor.explain_access("cn:nobody", get, DEFAULT).await.unwrap();
    assert!(!nobody.allowed && nobody.bindings.is_empty());
    let set_key = "/sealward.v1.DataEncryptionService/SetDataEncryptionKey";
    let explained = auditor.explain_access("cn:admin", set_key, "").await.unwrap();
    assert!(explained.allowed);
    assert_eq!(explained.privileges, ["prvChangeSqlEncryptionKey", "prvRestoreSqlEncryptionKey"]);

    let wrong = auditor.explain_access("ada", "GetMailbox", "contoso").await.unwrap_err();
    let fields: Vec<_> =
        wrong.call().unwrap().field_violations().iter().map(|violation| violation.field.clone()).collect();
    assert_eq!(fields, ["identity", "method", "organization"]);
    let refused = server.client(Person::Reader).explain_access("", get, DEFAULT).await.unwrap_err();
    assert_eq!(refused.reason(), ErrorReason::PrivilegeMissing);
}

#[tokio::test]
async fn writer_can_be_excluded_from_server_profiles() {
    let folder = Folder::new();
    append(
        &folder.path(),
        "\n[[roles]]\nname = \"mailbox-writer\"\nprivileges = [\"prvReadRecords\", \"prvWriteRecords\"]\n\
         \n[[bindings]]\nidentity = \"cn:guest\"\nrole = \"mailbox-writer\"\norganizations = [\"*\"]\n",
    );
    let text = std::fs::read_to_string(folder.path().join("sealward.toml")).unwrap();
    std::fs::write(
        folder.path().join("sealward.toml"),
        text.replace("cn:writer", "cn:none").replace("cn:guest", "cn:writer"),
    )
    .unwrap();
    let server = Server::start_in(folder, |_| {}).await;
    let writer = server.client(Person::Writer);
    writer.mailboxes().create(DEFAULT, crate::harness::mailbox("hunter2"), None).await.unwrap();
    let profile = sealward_client::mail_v1::EmailServerProfile {
        display_name: Some("P".to_owned()),
        server_type: Some(1),
        ..Default::default()
    };
    let refused = writer.email_server_profiles().create(DEFAULT, profile.clone(), None).await.unwrap_err();
    assert_eq!(refused.metadata("privilege"), Some("prvWriteDestinations"));
    server.client(Person::Admin).email_server_profiles().create(DEFAULT, profile, None).await.unwrap();
    assert!(writer.email_server_profiles().list(DEFAULT, Default::default()).await.is_ok());
}
