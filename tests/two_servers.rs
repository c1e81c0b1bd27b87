//! Envoy before two servers over copies of one data folder, with `deploy/mesh/envoy-two-servers.yaml`: which calls go where, which are repeated,
//! and that no call fails while a server stops or its connections reach their maximum age.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use prost_reflect::MethodDescriptor;
use rcgen::ExtendedKeyUsagePurpose;
use rustls::pki_types::ServerName;
use sealward::options::{self, Idempotency};
use sealward_client::{Client, ErrorReason, ListOptions, WriteOptions, mail_v1, v1};
use sealward_core::policy::{Binding, Role, Scope};
use sealward_server::development::Person;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    sync::{Notify, mpsc, watch},
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{
    due::scraped,
    harness::{
        DEFAULT, Folder, PATIENCE, Server,
        http::{Http, call, framed, tls_trusting},
        http2::Connection,
        inside::{Inside, flipped},
        mailbox,
        mesh::{CALLERS, Mesh, hop, socket},
        process::Process,
        proxy::Proxy,
        raw, reason, reveal,
        reverse_proxy::{Form, ReverseProxy},
        tokens::append,
    },
    long_work::large_profile,
    mesh::import_of_one,
    transport::message_of,
};

const FORM: Form = Form::EnvoyTwoServers;
const IS_ACTIVE: &str = "/sealward.v1.DataEncryptionService/IsDataEncryptionActive";
const GET_MAILBOX: &str = "/sealward.mail.v1.MailboxService/GetMailbox";
const IMPORT: &str = "/sealward.mail.v1.MailboxService/ImportMailboxes";

/// Callers that write records, besides the usual ones.
const WRITERS: usize = 10;

/// Two servers over copies of one folder, with a mailbox, and another one whose password is unreadable.
struct Pair {
    mesh: Mesh,
    servers: [Server; 2],
    whole: String,
    broken: String,
    _copies: TempDir,
}

/// Waits until a server in this process that has stopped has closed its databases: then there are no logs beside them.
async fn closed(folder: &Path) {
    let is_open = || {
        let entries = [folder.to_owned(), folder.join("organizations")].map(|folder| fs::read_dir(folder).unwrap());
        let mut names = entries.into_iter().flatten().map(|entry| entry.unwrap().file_name());
        names.any(|name| name.to_string_lossy().ends_with("-wal"))
    };
    while is_open() {
        tokio::task::yield_now().await;
    }
}

/// A folder with two mailboxes, one of them with an unreadable password, and a copy of it: the folder, the folder of the copy, and the names
/// of the mailboxes.
async fn copied_folders() -> (Folder, TempDir, [String; 2]) {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let whole = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap().name;
    let broken = writer.mailboxes().create(DEFAULT, mailbox("broken"), None).await.unwrap().name;
    let folder = server.stop().await;
    closed(&folder.path()).await;
    let inside = Inside::organization(&folder);
    inside.set_password_cell(&broken, &flipped(&inside.password_cell(&broken)));
    drop(inside);
    let copies = TempDir::new().unwrap();
    let copied = Command::new("cp").arg("-a").arg(folder.path()).arg(copies.path().join("dev")).status().unwrap();
    assert!(copied.success());
    (folder, copies, [whole, broken])
}

impl Pair {
    async fn start() -> Self {
        let (folder, copies, [whole, broken]) = copied_folders().await;
        let mesh = Mesh::new(&folder);
        let hop = hop(FORM, &socket(&folder.path()));
        let start = async |folder| {
            Server::start_in(folder, |config| {
                mesh.admit(config, hop.clone());
                config.listen.metrics_address = Some("127.0.0.1:0".parse().unwrap());
                config.bindings.extend((0..WRITERS).map(|number| {
                    let identity = format!("spiffe:example.org/writer-{number}").parse().unwrap();
                    Binding { identity, role: Role::RecordWriter.into(), scope: Scope::All }
                }));
            })
            .await
        };
        let servers = [start(folder).await, start(Folder::at(&copies.path().join("dev"))).await];
        Self { mesh, servers, whole, broken, _copies: copies }
    }

    /// Envoy before these addresses.
    async fn envoy(&self, addresses: [&str; 2]) -> ReverseProxy {
        let addresses = addresses.map(|address| address.parse::<SocketAddr>().unwrap());
        let folder = self.servers[0].folder();
        ReverseProxy::in_mesh(FORM, self.mesh.files(folder), &addresses, &socket(&folder.path())).await
    }

    fn caller(&self, envoy: &ReverseProxy, name: &str) -> Client {
        self.mesh.caller(self.servers[0].folder(), &envoy.address(), name, self.mesh.ca())
    }

    /// How many calls of a method each server has ended.
    async fn ended(&self, method: &str) -> [u64; 2] {
        let mut counts = [0; 2];
        for (server, count) in self.servers.iter().zip(&mut counts) {
            let metrics = scraped(server.metrics_address()).await;
            let lines =
                metrics.lines().filter(|line| line.starts_with("sealward_calls_total{") && line.contains(method));
            *count = lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum();
        }
        counts
    }
}

/// The methods of the contract by what repeating them does.
fn methods(level: Idempotency) -> Vec<String> {
    let has_level = |rpc: &MethodDescriptor| options::idempotency(rpc) == level;
    let ours = |rpc: &MethodDescriptor| rpc.parent_service().full_name().starts_with("sealward.");
    raw::rpcs().iter().filter(|rpc| ours(rpc) && has_level(rpc)).map(raw::path).collect()
}

#[test]
fn routes_repeat_the_methods_that_the_contract_marks_and_no_others() {
    let settings: Value = serde_saphyr::from_str(include_str!("../deploy/mesh/envoy-two-servers.yaml")).unwrap();
    let connections = &settings["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    let host = &connections["route_config"]["virtual_hosts"][0];
    let repeats_begun_calls = |policy: &Value| {
        let conditions = policy["retry_on"].as_str().unwrap_or_default();
        conditions.split(',').any(|condition| matches!(condition, "reset" | "unavailable"))
    };
    let mut routes = BTreeMap::<(String, bool), BTreeSet<String>>::new();
    for entry in host["routes"].as_array().unwrap() {
        let (matched, route) = (&entry["match"], &entry["route"]);
        let path = matched["path"].as_str().or(matched["prefix"].as_str()).unwrap().to_owned();
        let kind = (route["cluster"].as_str().unwrap().to_owned(), repeats_begun_calls(&route["retry_policy"]));
        assert!(routes.entry(kind).or_default().insert(path));
    }
    let health = "/grpc.health.v1.Health/Check".to_owned();
    let reads = [vec![health], methods(Idempotency::NoSideEffects)].concat();
    let wanted = [
        (("reads".to_owned(), true), reads),
        (("writes".to_owned(), true), methods(Idempotency::Idempotent)),
        (("writes".to_owned(), false), vec!["/".to_owned()]),
    ];
    assert_eq!(routes, wanted.map(|(kind, paths)| (kind, paths.into_iter().collect())).into());
    // The policy of all routes without one.
    assert!(!repeats_begun_calls(&host["retry_policy"]) && host["retry_policy"]["retry_on"].is_string());
}

#[tokio::test]
async fn both_servers_answer_reads_and_only_the_first_one_all_other_calls() {
    sqlite_only!("each server has a copy of the files");
    let pair = Pair::start().await;
    let envoy = pair.envoy([pair.servers[0].address(), pair.servers[1].address()]).await;
    let [admin, writer, connector] = CALLERS.map(|(name, _)| pair.caller(&envoy, name));
    for _ in 0..20 {
        writer.mailboxes().get(&pair.whole).await.unwrap();
        assert_eq!(reveal(&connector, &pair.whole).await.unwrap().as_deref(), Some("hunter2"));
        admin.retrieve_data_encryption_key(DEFAULT).await.unwrap();
    }
    let created = writer.mailboxes().create(DEFAULT, mailbox("hunter3"), None).await.unwrap();
    assert_eq!(reveal(&connector, &created.name).await.unwrap().as_deref(), Some("hunter3"));
    let reads = pair.ended("GetMailbox").await;
    assert!(reads[0] > 0 && reads[1] > 0 && reads[0] + reads[1] == 20, "{reads:?}");
    for (method, count) in [("CreateMailbox", 1), ("RevealAttributes", 21), ("RetrieveDataEncryptionKey", 20)] {
        assert_eq!(pair.ended(method).await, [count, 0], "{method}");
    }
}

#[tokio::test]
async fn only_idempotent_calls_are_repeated_after_a_lost_answer() {
    sqlite_only!("each server has a copy of the files");
    let pair = Pair::start().await;
    let [first, second] = [&pair.servers[0], &pair.servers[1]].map(|server| server.address());
    let ways = [Proxy::start(first).await, Proxy::start(second).await];
    let envoy = pair.envoy([&ways[0].address, &ways[1].address]).await;
    let [admin, writer, connector] = CALLERS.map(|(name, _)| pair.caller(&envoy, name));
    // Connections for both kinds of calls to both servers, since none can be opened while answers are lost.
    let prepare = async || {
        for _ in 0..4 {
            writer.who_am_i().await.unwrap();
        }
        reveal(&connector, &pair.whole).await.unwrap();
        ways.iter().for_each(Proxy::keep_back);
    };
    // Loses the answer of a call that a server has ended.
    let lose = async |method: &str, before: u64| {
        let lost = async { while pair.ended(method).await.iter().sum::<u64>() == before {} };
        timeout(PATIENCE, lost).await.unwrap();
        ways.iter().for_each(Proxy::cut);
    };
    prepare().await;
    let (read, ()) = tokio::join!(async { writer.mailboxes().get(&pair.whole).await }, lose("GetMailbox", 0));
    assert_eq!(read.unwrap().name, pair.whole);
    assert_eq!(pair.ended("GetMailbox").await.iter().sum::<u64>(), 2);

    prepare().await;
    let key = async { admin.retrieve_data_encryption_key(DEFAULT).await };
    let (key, ()) = tokio::join!(key, lose("RetrieveDataEncryptionKey", 0));
    assert!(!key.unwrap().fingerprint.is_empty());
    assert_eq!(pair.ended("RetrieveDataEncryptionKey").await, [2, 0]);

    prepare().await;
    let created = async { writer.mailboxes().create(DEFAULT, mailbox("hunter3"), None).await };
    let (created, ()) = tokio::join!(created, lose("CreateMailbox", 0));
    assert_eq!(created.unwrap_err().code(), Code::Unavailable);
    assert_eq!(pair.ended("CreateMailbox").await, [1, 0]);
    let on_first = pair.servers[0].client(Person::Reader);
    let listed = on_first.mailboxes().list(DEFAULT, ListOptions::default()).await.unwrap();
    assert_eq!(listed.records.len(), 3);
}

#[tokio::test]
async fn errors_that_one_record_causes_take_no_server_out() {
    sqlite_only!("each server has a copy of the files");
    let pair = Pair::start().await;
    let envoy = pair.envoy([pair.servers[0].address(), pair.servers[1].address()]).await;
    let connector = pair.caller(&envoy, "connector");
    for _ in 0..20 {
        let error = reveal(&connector, &pair.broken).await.unwrap_err();
        assert_eq!(error.reason(), ErrorReason::CellUnreadable, "{error:?}");
    }
    // Envoy counts them as failures of the server, and would act on them by default.
    assert!(envoy.counted("outlier_detection.ejections_detected_consecutive_5xx").await > 0);
    assert_eq!(envoy.counted("outlier_detection.ejections_enforced_total").await, 0);
    assert_eq!(reveal(&connector, &pair.whole).await.unwrap().as_deref(), Some("hunter2"));
}

#[tokio::test]
async fn deadline_ends_a_call_at_envoy_and_at_the_server() {
    sqlite_only!("each server has a copy of the files");
    let pair = Pair::start().await;
    let envoy = pair.envoy([pair.servers[0].address(), pair.servers[1].address()]).await;
    let connect = async || {
        let identity = pair.mesh.svid("admin", ExtendedKeyUsagePurpose::ClientAuth);
        let connector = TlsConnector::from(Arc::new(tls_trusting(&pair.mesh.ca(), Some(identity))));
        let address: SocketAddr = envoy.address().parse().unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        connector.connect(ServerName::from(address.ip()), stream).await.unwrap()
    };
    // Only the server refuses it.
    let message = v1::IsDataEncryptionActiveRequest { organization: DEFAULT.to_owned() };
    let mut request = call(IS_ACTIVE, framed(&message));
    request.headers_mut().insert("grpc-timeout", "soon".parse().unwrap());
    let refused = Http::over(connect().await).await.send(request).await.unwrap().refusal();
    assert_eq!(refused, (Code::InvalidArgument, "TIMEOUT_INVALID".to_owned()));
    // A call whose message doesn't end.
    let mut connection = Connection::over(connect().await, 65_535).await;
    let begun = connection.begin(IS_ACTIVE, &[("grpc-timeout", "200m")], Vec::new().into()).await.unwrap();
    assert_eq!(begun.refusal().await.unwrap().code(), Code::DeadlineExceeded);
}

fn code_and_reason(outcome: Result<Option<Vec<u8>>, Status>) -> (Code, String) {
    let status = outcome.unwrap_err();
    (status.code(), status.get_details_error_info().unwrap().reason)
}

#[tokio::test]
async fn large_messages_pass_up_to_the_limit_of_the_server() {
    sqlite_only!("each server has a copy of the files");
    const PROFILES: usize = 200;
    const LIMIT_BYTES: usize = 4_194_304;
    let pair = Pair::start().await;
    let envoy = pair.envoy([pair.servers[0].address(), pair.servers[1].address()]).await;
    let admin = pair.caller(&envoy, "admin");
    // Over 3 MB in both directions.
    let requests = (0..PROFILES).map(|_| mail_v1::CreateEmailServerProfileRequest {
        email_server_profile: Some(large_profile()),
        ..Default::default()
    });
    let profiles = admin.email_server_profiles();
    let created = profiles.batch_create(DEFAULT, requests.clone().collect(), WriteOptions::default()).await.unwrap();
    let size: usize = created.iter().map(prost::Message::encoded_len).sum();
    assert!(size > 3_000_000 && size < LIMIT_BYTES, "{size}");
    // A small request, with an answer over the limit.
    let more = profiles.batch_create(DEFAULT, requests.collect(), WriteOptions::default()).await.unwrap();
    let rename = |profile: &mail_v1::EmailServerProfile| mail_v1::UpdateEmailServerProfileRequest {
        email_server_profile: Some(mail_v1::EmailServerProfile {
            name: profile.name.clone(),
            display_name: Some("renamed".to_owned()),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["display_name".to_owned()] }),
        ..Default::default()
    };
    let updates = created.iter().chain(&more).map(rename).collect();
    let refused = profiles.batch_update(DEFAULT, updates, WriteOptions::default()).await;
    assert_eq!(reason(refused), ErrorReason::MessageTooLarge);
    for (bytes, wanted) in [
        (LIMIT_BYTES, (Code::InvalidArgument, "FIELD_INVALID")),
        (LIMIT_BYTES + 1, (Code::OutOfRange, "MESSAGE_TOO_LARGE")),
    ] {
        let (code, reason) = code_and_reason(raw::call(&admin, GET_MAILBOX, &message_of(bytes)).await);
        assert_eq!((code, &*reason), wanted);
    }
}

#[tokio::test]
async fn hundreds_of_streams_share_few_connections() {
    sqlite_only!("each server has a copy of the files");
    /// The default of `limits.streams_per_identity_max`.
    const STREAMS_PER_IDENTITY: usize = 32;
    let pair = Pair::start().await;
    let envoy = pair.envoy([pair.servers[0].address(), pair.servers[1].address()]).await;
    let mut streams = Vec::new();
    for number in 0..WRITERS {
        let writer = pair.caller(&envoy, &format!("writer-{number}"));
        for _ in 0..STREAMS_PER_IDENTITY {
            let (messages, received) = mpsc::channel(1);
            messages.send(import_of_one(DEFAULT)).await.unwrap();
            let opened = raw::open(writer.channel(), IMPORT, &[], ReceiverStream::new(received));
            streams.push((messages, timeout(PATIENCE, opened).await.unwrap().unwrap()));
        }
        // One more than its share.
        let refused = raw::call(&writer, IMPORT, &import_of_one(DEFAULT)).await;
        assert_eq!(code_and_reason(refused).0, Code::ResourceExhausted);
    }
    for (_, results) in &mut streams {
        assert!(timeout(PATIENCE, results.message()).await.unwrap().unwrap().is_some());
    }
    assert_eq!(envoy.counted("cluster.writes.upstream_rq_active").await, (WRITERS * STREAMS_PER_IDENTITY) as u64);
    let connections = envoy.counted("cluster.writes.upstream_cx_active").await;
    assert!(connections <= 4, "{connections}");
    for (messages, mut results) in streams {
        messages.send(import_of_one("")).await.unwrap();
        drop(messages);
        assert!(timeout(PATIENCE, results.message()).await.unwrap().unwrap().is_some());
        assert!(timeout(PATIENCE, results.message()).await.unwrap().unwrap().is_none());
    }
}

/// What a development server needs to know of the mesh, and connections that end after a second.
fn configure(folder: &Path, mesh: &Mesh) {
    let mut text = format!(
        "\n[[trust_domains]]\nname = \"example.org\"\nca = \"{}\"\n\n[[hops]]\nname = \"ingress\"\ncertificate = \
         \"spiffe:example.org/ingress\"\nby = [\"spiffe://example.org/ingress\"]\nkinds = [\"spiffe\"]\ntrust_domains = \
         [\"example.org\"]\n",
        mesh.ca().display()
    );
    for (name, role) in CALLERS {
        let (identity, role) = (format!("spiffe:example.org/{name}"), role.name());
        text.push_str(&format!(
            "\n[[bindings]]\nidentity = \"{identity}\"\nrole = \"{role}\"\norganizations = [\"*\"]\n"
        ));
    }
    append(folder, &text);
    let file = folder.join("sealward.toml");
    let settings = fs::read_to_string(&file).unwrap();
    assert!(settings.contains("\n[limits]\n"));
    fs::write(file, settings.replace("\n[limits]\n", "\n[limits]\nconnection_age_max_seconds = 1\n")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_while_connections_age_and_a_server_process_is_terminated() {
    sqlite_only!("each server has a copy of the files");
    const TASKS: usize = 16;
    let (folder, copies, [whole, _]) = copied_folders().await;
    let mesh = Mesh::new(&folder);
    let copy = copies.path().join("dev");
    for folder in [&folder.path(), &copy] {
        configure(folder, &mesh);
    }
    let [first, second] = [folder.path(), copy].map(|folder| Process::start(&folder));
    let addresses = [&first, &second].map(|server| server.address.parse::<SocketAddr>().unwrap());
    let envoy = ReverseProxy::in_mesh(FORM, mesh.files(&folder), &addresses, &socket(&folder.path())).await;

    let (done, counted) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (enough, is_enough) = watch::channel(false);
    let calls: Vec<_> = (0..TASKS)
        .map(|_| {
            let writer = mesh.caller(&folder, &envoy.address(), "writer", mesh.ca());
            let (done, counted, is_enough) = (Arc::clone(&done), Arc::clone(&counted), is_enough.clone());
            let whole = whole.clone();
            tokio::spawn(async move {
                while !*is_enough.borrow() {
                    writer.mailboxes().get(&whole).await.expect("a read failed");
                    writer.mailboxes().create(DEFAULT, mailbox("hunter3"), None).await.expect("a write failed");
                    done.fetch_add(1, Ordering::SeqCst);
                    counted.notify_one();
                }
            })
        })
        .collect();
    let until = async |number| {
        while done.load(Ordering::SeqCst) < number {
            counted.notified().await;
        }
    };
    // Several generations of connections to each server.
    let aged = async { while envoy.counted("upstream_cx_total").await < 20 {} };
    timeout(PATIENCE, aged).await.unwrap();
    second.terminate();
    let ended = tokio::task::spawn_blocking(move || second.wait()).await.unwrap();
    assert!(ended.success(), "{ended}");
    let at_end = done.load(Ordering::SeqCst);
    timeout(PATIENCE, until(at_end + TASKS * 20)).await.unwrap();
    enough.send_replace(true);
    for call in calls {
        call.await.unwrap();
    }
}
