//! WhoAmI: the caller's identity, its proof, and its roles and privileges by the current policy.

use sealward_client::{Client, ErrorReason, v1::HeldRole};
use sealward_core::policy::{Binding, Role, Scope};
use sealward_server::development::Person;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::harness::{
    Folder, Server, reason,
    tokens::{ISSUER, Signer, append, key_set, settings},
};

/// The names of roles, with the organizations that they are held in.
fn held(roles: &[HeldRole]) -> Vec<(&str, Vec<&str>)> {
    roles.iter().map(|role| (&role.role[..], role.organizations.iter().map(String::as_str).collect())).collect()
}

/// SHA-256 of a person's certificate in DER.
fn sha256(server: &Server, person: Person) -> [u8; 32] {
    let pem = std::fs::read_to_string(server.folder().development().certificate(person)).unwrap();
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    Sha256::digest(data_encoding::BASE64.decode(base64.as_bytes()).unwrap()).into()
}

fn hexadecimal(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

#[tokio::test]
async fn caller_with_a_certificate_gets_identity_and_roles() {
    let server = Server::start_with(|config| {
        config.bindings.push(Binding {
            identity: "cn:reader".parse().unwrap(),
            role: Role::RecordWriter.into(),
            scope: Scope::Organizations(["contoso", "fabrikam"].map(|name| name.parse().unwrap()).into()),
        });
    })
    .await;
    let answer = server.client(Person::Reader).who_am_i().await.unwrap();
    assert_eq!(answer.identity, "cn:reader");
    let certificate = answer.certificate.unwrap();
    assert_eq!(certificate.sha256, hexadecimal(&sha256(&server, Person::Reader)));
    assert!(certificate.expire_time.unwrap().seconds > 0);
    assert_eq!(answer.token, None);
    assert_eq!(held(&answer.roles), [("record-reader", vec!["*"]), ("record-writer", vec!["contoso", "fabrikam"])]);
    assert_eq!(answer.roles[0].privileges, ["prvReadRecords", "prvReadOrganizations", "prvReadContract"]);
}

#[tokio::test]
async fn who_am_i_needs_an_identity_but_no_binding() {
    let server = Server::start_with(|config| config.bindings.clear()).await;
    let answer = server.client(Person::Reader).who_am_i().await.unwrap();
    assert_eq!((&answer.identity[..], answer.roles), ("cn:reader", Vec::new()));
    let nobody = server.folder().client_builder(server.address()).connect_lazy().unwrap();
    assert_eq!(reason(nobody.who_am_i().await), ErrorReason::IdentityRequired);
}

#[tokio::test]
async fn who_am_i_is_limited_by_the_rate_of_calls() {
    let server = Server::start_with(|config| config.limits.calls_per_second_per_identity = 1).await;
    let reader = server.client(Person::Reader);
    let mut refused = 0;
    for _ in 0..20 {
        let outcome = reader.who_am_i().await;
        refused += usize::from(outcome.is_err_and(|error| error.reason() == ErrorReason::RateLimited));
    }
    assert!(refused > 0);
}

#[tokio::test]
async fn caller_with_a_token_gets_issuer_subject_and_expiry() {
    let signer = Signer::new("a");
    let folder = Folder::new();
    std::fs::write(folder.path().join("jwks.json"), key_set(&[&signer])).unwrap();
    append(&folder.path(), &settings("jwks = \"jwks.json\""));
    let server = Server::start_in(folder, |_| {}).await;
    let builder = || server.folder().client_builder(server.address());

    let bearer: Client = builder().bearer_token(signer.token("ada").into()).connect_lazy().unwrap();
    let answer = bearer.who_am_i().await.unwrap();
    assert_eq!(answer.identity, format!("jwt:{ISSUER}#ada"));
    assert_eq!((answer.certificate, answer.roles), (None, Vec::new()));
    let token = answer.token.unwrap();
    assert_eq!((&token.issuer[..], &token.subject[..]), (ISSUER, "ada"));
    assert!(token.expire_time.unwrap().seconds > 0);

    // Bound to a certificate: both are answered, and the token names the identity.
    let thumbprint = data_encoding::BASE64URL_NOPAD.encode(&sha256(&server, Person::Reader));
    let bound = signer.token_with("ada", json!({"cnf": {"x5t#S256": thumbprint}}));
    let development = server.folder().development();
    let both: Client = builder()
        .identity_files(development.certificate(Person::Reader), development.key(Person::Reader))
        .bearer_token(bound.into())
        .connect_lazy()
        .unwrap();
    let answer = both.who_am_i().await.unwrap();
    assert_eq!(answer.identity, format!("jwt:{ISSUER}#ada"));
    assert!(answer.certificate.is_some() && answer.token.is_some());
}
