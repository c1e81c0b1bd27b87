//! Tools of others against the server: `ghz` and `buf curl`, with the descriptors of `sealward-server descriptors`.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use prost_reflect::DescriptorPool;
use sealward_server::development::Person;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    cli::Run,
    harness::{
        Server,
        process::{binary, tool},
        raw,
    },
};

/// The descriptors, as the command writes them.
fn descriptors(folder: &Path) -> PathBuf {
    let file = folder.join("sealward.binpb");
    let written =
        Command::new(binary("sealward-server")).args(["descriptors", "--output"]).arg(&file).output().unwrap();
    assert!(written.status.success() && written.stdout.is_empty(), "{written:?}");
    file
}

/// Adds the CA, and the certificate of a person.
fn identify<'a>(tool: &'a mut Command, server: &Server, person: Person) -> &'a mut Command {
    let development = server.folder().development();
    tool.arg("--cacert").arg(development.ca());
    tool.arg("--cert").arg(development.certificate(person));
    tool.arg("--key").arg(development.key(person))
}

fn buf_curl(
    server: &Server,
    person: Person,
    protocol: &str,
    schema: Option<&Path>,
    method: &str,
    request: &str,
) -> Run {
    let mut buf = Command::new(tool("buf"));
    buf.args(["curl", "--protocol", protocol, "--data", request]);
    if let Some(schema) = schema {
        buf.arg("--schema").arg(schema);
    }
    identify(&mut buf, server, person).arg(format!("https://{}/{method}", server.address()));
    Run::of(buf.stdin(Stdio::null()).output().unwrap())
}

#[test]
fn descriptors_go_to_stdout_or_to_a_file_that_is_replaced() {
    let folder = TempDir::new().unwrap();
    let printed = Command::new(binary("sealward-server")).arg("descriptors").output().unwrap();
    assert!(printed.status.success() && printed.stderr.is_empty(), "{}", String::from_utf8_lossy(&printed.stderr));
    std::fs::write(folder.path().join("sealward.binpb"), "an older one").unwrap();
    assert_eq!(std::fs::read(descriptors(folder.path())).unwrap(), printed.stdout);

    let pool = DescriptorPool::decode(&printed.stdout[..]).unwrap();
    for file in ["google/rpc/status.proto", "google/rpc/error_details.proto", "google/rpc/code.proto"] {
        assert!(pool.get_file_by_name(file).is_some(), "{file}");
    }
    for rpc in raw::rpcs() {
        assert!(pool.get_service_by_name(rpc.parent_service().full_name()).is_some(), "{}", rpc.full_name());
    }
    assert!(pool.get_service_by_name("grpc.health.v1.Health").is_some());
}

#[test]
fn descriptors_that_cannot_be_written_fail_with_the_cause() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("missing/sealward.binpb");
    let failed = Command::new(binary("sealward-server")).args(["descriptors", "--output"]).arg(&file).output().unwrap();
    let stderr = String::from_utf8(failed.stderr).unwrap();
    assert_eq!(failed.status.code(), Some(1));
    assert!(stderr.contains(&format!("error: {} can't be written\n  because: ", file.display())), "{stderr}");

    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let failed = Command::new(binary("sealward-server"))
        .arg("descriptors")
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(failed.status.code(), Some(1));
    assert!(String::from_utf8(failed.stderr).unwrap().starts_with("error: the result can't be written to stdout\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn ghz_calls_with_the_descriptors() {
    let server = Server::start().await;
    let folder = TempDir::new().unwrap();
    let mut ghz = Command::new(tool("ghz"));
    ghz.arg("--protoset").arg(descriptors(folder.path()));
    ghz.args(["--call", "sealward.v1.OrganizationService/GetOrganization"]);
    ghz.args(["--data", r#"{"name": "organizations/default"}"#]);
    ghz.args(["--total", "100", "--concurrency", "4", "--connections", "2", "--format", "json"]);
    identify(&mut ghz, &server, Person::Reader).arg(server.address());
    let report = Run::of(ghz.stdin(Stdio::null()).output().unwrap()).json();
    assert_eq!(report["statusCodeDistribution"], serde_json::json!({ "OK": 100 }), "{report}");
}

/// Checks a protocol of `buf curl`: an answer, a stream and an error with its details, with server reflection and with the descriptors.
async fn check_buf_curl(protocol: &str) {
    let server = Server::start().await;
    let folder = TempDir::new().unwrap();
    let file = descriptors(folder.path());
    let organization = r#"{"organization": "organizations/default"}"#;
    // Reflection is a bidirectional stream, which gRPC-Web can't carry.
    let schemas = if protocol == "grpcweb" { vec![Some(file.as_path())] } else { vec![None, Some(file.as_path())] };
    for schema in schemas {
        let call = |person, method, request| buf_curl(&server, person, protocol, schema, method, request);
        let answer = call(Person::Reader, "sealward.v1.AccessService/WhoAmI", "{}").json();
        assert_eq!(answer["identity"], "cn:reader");
        let state = call(Person::Admin, "sealward.v1.DataEncryptionService/WatchReencryption", organization).json();
        assert_eq!(state["state"], "STATE_NONE");

        let refused = call(
            Person::Writer,
            "sealward.mail.v1.MailboxService/CreateMailbox",
            r#"{"parent": "organizations/default"}"#,
        );
        assert_ne!(refused.code, 0, "{refused:?}");
        let error: Value = serde_json::from_str(&refused.stderr).unwrap_or_else(|_| panic!("{refused:?}"));
        assert_eq!(error["code"], "invalid_argument", "{error}");
        let details: Vec<_> = error["details"].as_array().unwrap().iter().map(|detail| &detail["type"]).collect();
        assert_eq!(details, ["google.rpc.ErrorInfo", "google.rpc.BadRequest", "google.rpc.RequestInfo"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn buf_curl_calls_over_grpc() {
    check_buf_curl("grpc").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn buf_curl_calls_over_grpc_web() {
    check_buf_curl("grpcweb").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn buf_curl_calls_over_connect() {
    check_buf_curl("connect").await;
}
