//! Hops: proxies that end the TLS of callers and name the caller of each call, over their own certificate and over a Unix socket.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use prost::{Message, bytes::Bytes};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use sealward_client::{mail_v1, v1};
use sealward_core::policy::{Binding, Role, Scope};
use sealward_server::{
    config::{Assertable, Config, Hop, HopEntrance},
    development::Person,
};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{
    due::scraped,
    harness::{
        DEFAULT, Folder, Server,
        http::{Http, call, framed},
        http2::{self, Connection},
        mailbox,
        tokens::{ISSUER, Signer, append, key_set, settings},
    },
    http1::Http1,
};

const WHO_AM_I: &str = "/sealward.v1.AccessService/WhoAmI";
const IS_ACTIVE: &str = "/sealward.v1.DataEncryptionService/IsDataEncryptionActive";
const RETRIEVE: &str = "/sealward.v1.DataEncryptionService/RetrieveDataEncryptionKey";
const CREATE: &str = "/sealward.mail.v1.MailboxService/CreateMailbox";
const LIST: &str = "/sealward.mail.v1.MailboxService/ListMailboxes";
const HEALTH: &str = "/grpc.health.v1.Health/Check";

const XFCC: &str = "x-forwarded-client-cert";
const HTTPS: (&str, &str) = ("x-forwarded-proto", "https");

/// The identity of the hop with a certificate.
const HOP: &str = "cn:auditor";
/// By which the headers name the hop with a certificate, and the one with a socket.
const BY: &str = "spiffe://example.org/ingress";
const HASH: &str = "468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688";

/// The two ways in which a hop connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// With the certificate of the auditor, who has a role.
    Certificate,
    UnixSocket,
}

impl Way {
    const ALL: [Self; 2] = [Self::Certificate, Self::UnixSocket];

    fn name(self) -> &'static str {
        match self {
            Self::Certificate => "by-certificate",
            Self::UnixSocket => "by-socket",
        }
    }
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

fn hop(way: Way, folder: &Folder, asserts: Assertable) -> Arc<Hop> {
    let entrance = match way {
        Way::Certificate => HopEntrance::Certificate(HOP.parse().unwrap()),
        Way::UnixSocket => HopEntrance::UnixSocket { path: socket(folder), peer_uid: own_uid() },
    };
    let asserts = Assertable { hops: Arc::new([HOP.parse().unwrap()].into()), ..asserts };
    Arc::new(Hop { name: way.name().into(), entrance, by: set([BY]), must_be_named: true, asserts })
}

fn socket(folder: &Folder) -> PathBuf {
    folder.path().join("hop.sock")
}

fn own_uid() -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").unwrap().uid()
}

fn all() -> Assertable {
    Assertable {
        trust_domains: set(["example.org"]),
        dns_names: true,
        common_names: true,
        issuers: set([ISSUER]),
        ..Assertable::default()
    }
}

fn bind(config: &mut Config, identity: &str, role: Role) {
    config.bindings.push(Binding { identity: identity.parse().unwrap(), role: role.into(), scope: Scope::All });
}

/// A server with a hop of each way, which may assert all of these.
async fn server(folder: Folder, asserts: &Assertable, change: impl FnOnce(&mut Config)) -> Server {
    let hops = Way::ALL.map(|way| hop(way, &folder, asserts.clone()));
    Server::start_in(folder, |config| {
        config.hops = hops.into();
        config.listen.metrics_address = Some("127.0.0.1:0".parse().unwrap());
        bind(config, "spiffe:example.org/admin", Role::SystemAdministrator);
        bind(config, "spiffe:example.org/writer", Role::RecordWriter);
        bind(config, "spiffe:example.org/reader", Role::RecordReader);
        change(config);
    })
    .await
}

/// A connection of a hop.
struct Proxy {
    http: Http,
}

impl Proxy {
    async fn connect(way: Way, server: &Server) -> Self {
        let http = match way {
            Way::Certificate => Http::over_tls(server.folder(), server.address(), Some(Person::Auditor)).await,
            Way::UnixSocket => Http::over_unix_socket(&socket(server.folder())).await,
        };
        Self { http }
    }

    /// Calls a method with these headers.
    async fn call<M: Message + Default>(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        message: &impl Message,
    ) -> Result<M, Status> {
        let mut request = call(path, framed(message));
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        let answer = self.http.send(request).await.unwrap();
        let status = [&answer.headers, &answer.trailers].into_iter().find_map(Status::from_header_map).unwrap();
        match status.code() {
            Code::Ok => Ok(M::decode(&answer.body[5..]).unwrap()),
            _ => Err(status),
        }
    }

    /// The identity of a caller for whom the hop sends these headers, besides that of its scheme.
    async fn who(&mut self, headers: &[(&str, &str)]) -> Result<v1::WhoAmIResponse, Status> {
        let headers = [&[HTTPS], headers].concat();
        self.call(WHO_AM_I, &headers, &v1::WhoAmIRequest {}).await
    }

    async fn identity(&mut self, headers: &[(&str, &str)]) -> Result<String, Status> {
        self.who(headers).await.map(|answer| answer.identity)
    }
}

/// The header about a caller with this SPIFFE id.
fn xfcc(id: &str) -> String {
    format!("By={BY};Hash={HASH};Subject=\"\";URI=spiffe://{id}")
}

/// The error of a call for which the hop names no caller that it may name. It contains nothing of the header.
#[track_caller]
fn unauthenticated<T: std::fmt::Debug>(outcome: Result<T, Status>) -> String {
    let status = outcome.unwrap_err();
    let reason = status.get_details_error_info().unwrap().reason;
    assert_eq!((status.code(), &*reason), (Code::Unauthenticated, "IDENTITY_REQUIRED"), "{status:?}");
    assert!(!status.message().contains("example.org"), "{status:?}");
    status.message().to_owned()
}

#[tokio::test]
async fn caller_is_the_one_that_the_hop_names_and_the_trail_has_both() {
    let server = server(Folder::new(), &all(), |_| {}).await;
    let direct = server.client(Person::Admin);
    direct.retrieve_data_encryption_key(DEFAULT).await.unwrap();
    let header = xfcc("example.org/admin");
    let organization = DEFAULT.to_owned();
    for way in Way::ALL {
        let mut proxy = Proxy::connect(way, &server).await;
        let headers = [HTTPS, (XFCC, &*header)];
        let request = v1::RetrieveDataEncryptionKeyRequest { organization: organization.clone() };
        let key: v1::RetrieveDataEncryptionKeyResponse = proxy.call(RETRIEVE, &headers, &request).await.unwrap();
        assert_eq!(key.caller_tls(), v1::CallerTls::Hop);
        let request = v1::IsDataEncryptionActiveRequest { organization: organization.clone() };
        let state: v1::IsDataEncryptionActiveResponse = proxy.call(IS_ACTIVE, &headers, &request).await.unwrap();
        assert_eq!(state.caller_tls(), v1::CallerTls::Hop);
        // Earlier elements are those of proxies before the hop, and don't count.
        let behind = format!("By=spiffe://a/b;URI=spiffe://example.org/admin,{}", xfcc("example.org/reader"));
        assert_eq!(proxy.identity(&[(XFCC, &behind)]).await.unwrap(), "spiffe:example.org/reader");
        let who = proxy.who(&[(XFCC, &header)]).await.unwrap();
        let certificate = who.certificate.unwrap();
        assert_eq!((&*certificate.sha256, certificate.expire_time), (HASH, None));
    }
    let filter = "action = \"retrieve-key\"";
    let records = direct.list_audit_records(DEFAULT, filter, 0, "").await.unwrap().records;
    let told: Vec<_> = records.iter().map(|record| (&*record.identity, &*record.hop, record.peer.is_empty())).collect();
    let through = |hop| ("spiffe:example.org/admin", hop, hop == "by-socket");
    assert_eq!(told, [through("by-socket"), through("by-certificate"), ("cn:admin", "", false)]);
    let found = direct.list_audit_records(DEFAULT, "hop = \"by-socket\"", 0, "").await.unwrap().records;
    assert_eq!(found.len(), 1);
    assert!(direct.verify_audit_trail(DEFAULT).await.unwrap().intact);
    let state = direct.is_data_encryption_active(DEFAULT).await.unwrap();
    assert_eq!(state.caller_tls(), v1::CallerTls::Server);
}

#[tokio::test]
async fn hop_without_a_valid_header_is_unauthenticated_and_never_the_caller() {
    let server = server(Folder::new(), &all(), |_| {}).await;
    let good = xfcc("example.org/admin");
    let long = format!("{good};Subject=\"{}\"", "x".repeat(8_193));
    let other_by = good.replace(BY, "spiffe://example.org/sidecar");
    let no_by = format!("Hash={HASH};URI=spiffe://example.org/admin");
    let two_by = format!("By=spiffe://example.org/sidecar;{good}");
    let spoofed = format!("{good},{other_by}");
    let nothing = format!("By={BY};Subject=\"CN=admin\";URI=");
    let only_hash = format!("By={BY};Hash={HASH}");
    let two_ids = format!("{good};URI=spiffe://example.org/reader");
    for way in Way::ALL {
        let mut proxy = Proxy::connect(way, &server).await;
        for (headers, words) in [
            (vec![], "it names no caller"),
            (vec![good.as_str(), &good], "twice"),
            (vec![&long], "larger than 8192 bytes"),
            (vec![""], "is malformed"),
            (vec!["URI"], "is malformed"),
            (vec![&good[1..]], "is malformed"),
            (vec![&*format!("{good}\"")], "is malformed"),
            (vec![&*format!("x,{good}")], "is malformed"),
            (vec![&*good.replace("URI=spiffe:", "URI=SPIFFE:")], "is malformed"),
            (vec![&two_ids], "is malformed"),
            (vec![&nothing], "it names no caller"),
            (vec![&only_hash], "it names no caller"),
            (vec![&other_by], "isn't by this hop"),
            (vec![&no_by], "isn't by this hop"),
            (vec![&two_by], "isn't by this hop"),
            (vec![&spoofed], "isn't by this hop"),
        ] {
            let headers: Vec<_> = headers.into_iter().map(|value| (XFCC, value)).collect();
            let told = unauthenticated(proxy.identity(&headers).await);
            assert!(told.contains(words), "{way:?} {told}: {words}");
        }
        assert_eq!(proxy.identity(&[(XFCC, &good)]).await.unwrap(), "spiffe:example.org/admin");
        // A name of a certificate needs the certificate.
        for element in
            [format!("By={BY};Hash={HASH};DNS=localhost"), format!("By={BY};Hash={HASH};Subject=\"CN=admin\"")]
        {
            unauthenticated(proxy.identity(&[(XFCC, &element)]).await);
        }
        // Health is the only thing that a hop may ask for.
        for headers in [vec![], vec![(XFCC, "malformed")]] {
            let mut request = call(HEALTH, vec![0; 5]);
            request.headers_mut().extend(headers.iter().map(|(name, value): &(&str, &str)| {
                (name.parse::<http::HeaderName>().unwrap(), value.parse::<http::HeaderValue>().unwrap())
            }));
            let answer = proxy.http.send(request).await.unwrap();
            assert_eq!(Status::from_header_map(&answer.trailers).unwrap().code(), Code::Ok);
        }
    }
    // The certificate of the hop has a role, but not over the connection of a hop.
    let refused = server.client(Person::Auditor).who_am_i().await.unwrap_err();
    assert_eq!(refused.reason(), sealward_client::ErrorReason::HttpsRequired);
}

#[tokio::test]
async fn hop_asserts_only_what_it_lists() {
    let folder = Folder::new();
    let ca = Ca::new(&folder);
    let asserts = Assertable { trust_domains: set(["example.org"]), dns_names: true, ..Assertable::default() };
    let signer = Signer::new("a");
    std::fs::write(folder.path().join("jwks.json"), key_set(&[&signer])).unwrap();
    append(&folder.path(), &settings("jwks = \"jwks.json\""));
    let client_ca = ca.file.clone();
    let server = server(folder, &asserts, |config| config.tls.client_ca = Some(client_ca)).await;
    let mut proxy = Proxy::connect(Way::UnixSocket, &server).await;
    assert_eq!(proxy.identity(&[(XFCC, &xfcc("example.org/reader"))]).await.unwrap(), "spiffe:example.org/reader");
    let by_dns = forwarded(&ca.certificate(1, |params| params.subject_alt_names = vec![dns("Mail.example")]));
    assert_eq!(proxy.identity(&[(XFCC, &by_dns)]).await.unwrap(), "dns:mail.example");
    let by_name = forwarded(&ca.certificate(2, |_| {}));
    let bearer = format!("Bearer {}", signer.token("ada"));
    for headers in [
        vec![(XFCC, xfcc("example.com/reader"))],
        vec![(XFCC, by_name)],
        vec![("authorization", bearer.clone())],
        vec![("authorization", bearer), (XFCC, xfcc("example.com/reader"))],
    ] {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let told = unauthenticated(proxy.identity(&headers).await);
        assert!(told.contains("isn't allowed to assert"), "{told}");
    }
}

#[tokio::test]
async fn hop_may_assert_neither_itself_nor_another_hop() {
    let folder = Folder::new();
    let pem = std::fs::read_to_string(folder.development().certificate(Person::Auditor)).unwrap();
    let server = server(folder, &all(), |_| {}).await;
    for way in Way::ALL {
        let mut proxy = Proxy::connect(way, &server).await;
        let told = unauthenticated(proxy.identity(&[(XFCC, &forwarded(&pem))]).await);
        assert!(told.contains("isn't allowed to assert"), "{way:?} {told}");
    }
}

/// A CA of callers.
struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    file: PathBuf,
}

impl Ca {
    fn new(folder: &Folder) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "callers");
        Self::signed(params, folder, |params, key| params.self_signed(key).unwrap().pem())
    }

    /// A CA below this one.
    fn below(&self, folder: &Folder) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "team");
        params.serial_number = Some(SerialNumber::from(1_000));
        let ca = Self::signed(params, folder, |params, key| params.signed_by(key, &self.issuer).unwrap().pem());
        std::fs::write(&self.file, &self.pem).unwrap();
        ca
    }

    fn signed(
        mut params: CertificateParams,
        folder: &Folder,
        sign: impl FnOnce(&CertificateParams, &KeyPair) -> String,
    ) -> Self {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let (pem, file) = (sign(&params, &key), folder.path().join("callers.pem"));
        std::fs::write(&file, &pem).unwrap();
        Self { issuer: Issuer::new(params, key), pem, file }
    }

    /// The certificate of a caller with this number, in PEM.
    fn certificate(&self, serial: u64, change: impl FnOnce(&mut CertificateParams)) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "ada");
        params.serial_number = Some(SerialNumber::from(serial));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        params.signed_by(&KeyPair::generate().unwrap(), &self.issuer).unwrap().pem()
    }

    /// A list that revokes these.
    fn list(&self, serials: &[u64]) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2999, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn uri(id: &str) -> SanType {
    SanType::URI(id.try_into().unwrap())
}

/// A PEM as Envoy forwards it.
fn encoded(pem: &str) -> String {
    let escaped = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    pem.bytes().map(escaped).collect()
}

/// The header about a caller with this certificate.
fn forwarded(pem: &str) -> String {
    format!("By={BY};Cert=\"{}\"", encoded(pem))
}

fn sha256(pem: &str) -> [u8; 32] {
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    Sha256::digest(data_encoding::BASE64.decode(base64.as_bytes()).unwrap()).into()
}

#[tokio::test]
async fn forwarded_certificate_is_checked_like_that_of_a_direct_caller() {
    let folder = Folder::new();
    let ca = Ca::new(&folder);
    let team = ca.below(&folder);
    let other = Ca::new(&Folder::new());
    let id = |params: &mut CertificateParams| params.subject_alt_names = vec![uri("spiffe://example.org/reader")];
    let good = ca.certificate(1, id);
    let (of_team, revoked, of_other) = (team.certificate(2, id), ca.certificate(7, id), other.certificate(1, id));
    let expired = ca.certificate(3, |params| {
        id(params);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let early = ca.certificate(4, |params| {
        id(params);
        params.not_before = date_time_ymd(2990, 1, 1);
    });
    let server_only = ca.certificate(5, |params| {
        id(params);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let nameless = ca.certificate(6, |params| params.distinguished_name = rcgen::DistinguishedName::new());
    let lists = folder.path().join("callers.crl");
    std::fs::write(&lists, ca.list(&[7]) + &team.list(&[])).unwrap();
    let client_ca = ca.file.clone();
    let list_file = lists.clone();
    let server = server(folder, &all(), |config| {
        config.tls.client_ca = Some(client_ca);
        config.tls.client_crl = Some(list_file);
    })
    .await;
    let mut proxy = Proxy::connect(Way::UnixSocket, &server).await;

    let chain = |leaf: &str, others: &str| format!("By={BY};Chain=\"{}\"", encoded(&(leaf.to_owned() + others)));
    let both = format!("{};Cert=\"{}\"", chain(&of_team, &team.pem), encoded(&of_team));
    let hash = data_encoding::HEXLOWER.encode(&sha256(&good));
    let whole = format!("{};Hash={hash};URI=spiffe://example.org/reader", forwarded(&good));
    for header in [forwarded(&good), chain(&of_team, &team.pem), both, whole.clone()] {
        let who = proxy.who(&[(XFCC, &header)]).await.unwrap();
        assert_eq!(who.identity, "spiffe:example.org/reader");
        assert!(who.certificate.unwrap().expire_time.is_some());
    }
    for (header, words) in [
        (forwarded(&expired), "isn't accepted: certificate_expired"),
        (forwarded(&early), "isn't accepted: certificate_not_yet_valid"),
        (forwarded(&revoked), "isn't accepted: certificate_revoked"),
        (forwarded(&of_other), "isn't accepted: unknown_ca"),
        (forwarded(&of_team), "isn't accepted"),
        (forwarded(&server_only), "isn't accepted"),
        (forwarded(&nameless), "no valid identity"),
        (forwarded(&ca.pem), "isn't accepted"),
        (forwarded("nonsense"), "is malformed"),
        (forwarded(&(good.clone() + &of_team)), "is malformed"),
        (whole.replace(&hash, HASH), "don't belong to one certificate"),
        (whole.replace("/reader", "/admin"), "don't belong to one certificate"),
        (format!("{};Cert=\"{}\"", chain(&of_team, &team.pem), encoded(&good)), "don't belong to one certificate"),
    ] {
        let told = unauthenticated(proxy.identity(&[(XFCC, &header)]).await);
        assert!(told.contains(words), "{told}: {words}");
    }
    // A revocation ends the connections of a hop, because streams of the revoked caller may be open on them.
    std::fs::write(&lists, ca.list(&[1, 7]) + &team.list(&[])).unwrap();
    server.reload().await;
    let mut proxy = Proxy::connect(Way::UnixSocket, &server).await;
    let told = unauthenticated(proxy.identity(&[(XFCC, &whole)]).await);
    assert!(told.contains("isn't accepted"), "{told}");
}

#[tokio::test]
async fn identity_is_that_of_the_call_and_never_of_the_connection() {
    let server = server(Folder::new(), &all(), |config| {
        config.limits.connections_per_identity_max = 1;
        bind(config, "spiffe:example.org/second", Role::RecordWriter);
    })
    .await;
    for way in Way::ALL {
        let mut proxy = Proxy::connect(way, &server).await;
        let (writer, second) = (xfcc("example.org/writer"), xfcc("example.org/second"));
        let as_writer = [HTTPS, (XFCC, &*writer)];
        let as_second = [HTTPS, (XFCC, &*second)];
        let as_reader = xfcc("example.org/reader");
        let as_reader = [HTTPS, (XFCC, &*as_reader)];
        // The same idempotency key of two callers is two keys.
        let request_id = sealward_client::new_request_id();
        let create = |password: &str| mail_v1::CreateMailboxRequest {
            parent: DEFAULT.to_owned(),
            mailbox: Some(mailbox(password)),
            request_id: request_id.clone(),
            ..Default::default()
        };
        let first: mail_v1::Mailbox = proxy.call(CREATE, &as_writer, &create("hunter2")).await.unwrap();
        let repeated: mail_v1::Mailbox = proxy.call(CREATE, &as_writer, &create("hunter2")).await.unwrap();
        let of_second: mail_v1::Mailbox = proxy.call(CREATE, &as_second, &create("hunter3")).await.unwrap();
        assert_eq!(first.name, repeated.name);
        assert_ne!(first.name, of_second.name);
        assert_eq!(of_second.created_by.as_deref(), Some("spiffe:example.org/second"));
        let refused = proxy.call::<mail_v1::Mailbox>(CREATE, &as_reader, &create("hunter4")).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        // A page token belongs to its caller.
        let page = |page_token: &str| mail_v1::ListMailboxesRequest {
            parent: DEFAULT.to_owned(),
            page_size: 1,
            page_token: page_token.to_owned(),
            ..Default::default()
        };
        let listed: mail_v1::ListMailboxesResponse = proxy.call(LIST, &as_writer, &page("")).await.unwrap();
        let token = listed.next_page_token;
        proxy.call::<mail_v1::ListMailboxesResponse>(LIST, &as_writer, &page(&token)).await.unwrap();
        let refused = proxy.call::<mail_v1::ListMailboxesResponse>(LIST, &as_reader, &page(&token)).await.unwrap_err();
        assert_eq!(refused.get_details_error_info().unwrap().reason, "PAGE_TOKEN_INVALID");
        // More connections than an identity may have.
        let mut another = Proxy::connect(way, &server).await;
        assert_eq!(another.identity(&[(XFCC, &writer)]).await.unwrap(), "spiffe:example.org/writer");
        assert_eq!(proxy.identity(&[(XFCC, &writer)]).await.unwrap(), "spiffe:example.org/writer");
    }
}

#[tokio::test]
async fn limits_are_those_of_the_asserted_caller_and_of_the_hop() {
    let server = server(Folder::new(), &all(), |config| {
        config.limits.calls_per_second_per_identity = 2;
        config.limits.connections_per_hop_max = 2;
    })
    .await;
    for way in Way::ALL {
        let (reader, writer) = (xfcc("example.org/reader"), xfcc("example.org/writer"));
        let mut proxy = Proxy::connect(way, &server).await;
        let mut refused = 0;
        for _ in 0..20 {
            refused += usize::from(proxy.identity(&[(XFCC, &reader)]).await.is_err());
        }
        assert!(refused > 0);
        proxy.identity(&[(XFCC, &writer)]).await.unwrap();

        let mut second = Proxy::connect(way, &server).await;
        second.http.send(call(HEALTH, vec![0; 5])).await.unwrap();
        let mut third = Proxy::connect(way, &server).await;
        let status = third.identity(&[(XFCC, &writer)]).await.unwrap_err();
        assert_eq!(status.get_details_error_info().unwrap().metadata["bound"], "connections_per_hop_max", "{way:?}");
    }
}

#[tokio::test]
async fn token_through_a_hop_names_the_caller() {
    let signer = Signer::new("a");
    let folder = Folder::new();
    std::fs::write(folder.path().join("jwks.json"), key_set(&[&signer])).unwrap();
    append(&folder.path(), &settings("jwks = \"jwks.json\""));
    let certificate = std::fs::read_to_string(folder.development().certificate(Person::Reader)).unwrap();
    let server = server(folder, &all(), |config| bind(config, "jwt:https://idp.example.org/#ada", Role::Auditor)).await;
    let bearer = |token: String| format!("Bearer {token}");
    let bound_to = |hash: [u8; 32]| {
        let thumbprint = data_encoding::BASE64URL_NOPAD.encode(&hash);
        bearer(signer.token_with("ada", json!({"cnf": {"x5t#S256": thumbprint}})))
    };
    let named: [u8; 32] = data_encoding::HEXLOWER.decode(HASH.as_bytes()).unwrap().try_into().unwrap();
    let (unbound, bound) = (bearer(signer.token("ada")), bound_to(named));
    let of_workload = bearer(signer.token("spiffe://example.org/reader"));
    let only_hash = format!("By={BY};Hash={HASH}");
    let only_id = format!("By={BY};URI=spiffe://example.org/reader");
    for way in Way::ALL {
        let mut proxy = Proxy::connect(way, &server).await;
        let ada = "jwt:https://idp.example.org/#ada";
        let of_certificate = bound_to(sha256(&certificate));
        for (token, header, identity) in [
            (&unbound, None, ada),
            (&bound, Some(only_hash.clone()), ada),
            (&bound, Some(xfcc("example.org/reader")), ada),
            (&of_certificate, Some(forwarded(&certificate)), ada),
            (&of_workload, Some(only_id.clone()), "jwt:https://idp.example.org/#spiffe://example.org/reader"),
        ] {
            let header = header.as_deref().map(|header| (XFCC, header));
            let headers: Vec<_> = header.into_iter().chain([("authorization", &**token)]).collect();
            let who = proxy.who(&headers).await.unwrap();
            assert_eq!(who.identity, identity, "{way:?}");
            assert!(who.token.is_some());
        }
        for (token, header) in [
            (&bound, None),
            (&bound, Some(forwarded(&certificate))),
            (&bound, Some(only_id.clone())),
            (&unbound, Some(xfcc("example.org/reader"))),
            (&unbound, Some(only_hash.clone())),
            (&of_workload, Some(xfcc("example.org/writer"))),
        ] {
            let header = header.as_deref().map(|header| (XFCC, header));
            let headers: Vec<_> = header.into_iter().chain([("authorization", &**token)]).collect();
            let told = unauthenticated(proxy.identity(&headers).await);
            assert!(told.contains("does not match the client certificate"), "{told}");
        }
        // A token doesn't repair a header.
        let told = unauthenticated(proxy.identity(&[("authorization", &unbound), (XFCC, "x")]).await);
        assert!(told.contains("is malformed"), "{told}");
        let headers = [("authorization", &*unbound), (XFCC, &only_hash), (XFCC, &only_hash)];
        assert!(unauthenticated(proxy.identity(&headers).await).contains("twice"));
    }
}

#[tokio::test]
async fn call_of_a_hop_counts_as_tls_only_if_the_hop_says_so() {
    let server = server(Folder::new(), &all(), |_| {}).await;
    let header = xfcc("example.org/reader");
    for way in Way::ALL {
        let mut proxy = Proxy::connect(way, &server).await;
        for schemes in [&[][..], &["http"], &["HTTPS"], &["https,https"], &["https", "https"], &["https", "http"]] {
            let headers: Vec<_> = schemes.iter().map(|scheme| (HTTPS.0, *scheme)).chain([(XFCC, &*header)]).collect();
            let outcome = proxy.call::<v1::WhoAmIResponse>(WHO_AM_I, &headers, &v1::WhoAmIRequest {}).await;
            let status = outcome.unwrap_err();
            assert_eq!(status.get_details_error_info().unwrap().reason, "HTTPS_REQUIRED", "{way:?} {schemes:?}");
            assert!(status.message().contains("x-forwarded-proto: https"), "{}", status.message());
        }
    }
}

#[tokio::test]
async fn headers_of_other_connections_are_removed_and_counted() {
    let server = server(Folder::new(), &all(), |_| {}).await;
    let header = xfcc("example.org/admin");
    let mut reader = Http::over_tls(server.folder(), server.address(), Some(Person::Reader)).await;
    let mut direct = Proxy { http: Http::over_tls(server.folder(), server.address(), Some(Person::Reader)).await };
    for headers in [
        vec![(XFCC, &*header)],
        vec![(XFCC, &header), (XFCC, &header)],
        vec![("l5d-client-id", "admin.ns.serviceaccount.identity.linkerd.cluster.local")],
        vec![("x-forwarded-for", "192.0.2.1")],
    ] {
        assert_eq!(direct.identity(&headers).await.unwrap(), "cn:reader");
    }
    let mut nobody = Proxy { http: Http::over_tls(server.folder(), server.address(), None).await };
    unauthenticated(nobody.identity(&[(XFCC, &header)]).await);
    let metrics = scraped(server.metrics_address()).await;
    assert!(metrics.contains("sealward_forged_headers_total 5\n"), "{metrics}");

    // Spellings that some proxies take for the same header are refused with the whole request.
    let mut underscores = call(WHO_AM_I, vec![0; 5]);
    underscores.headers_mut().insert("x_forwarded_client_cert", header.parse().unwrap());
    assert_eq!(reader.send(underscores).await.unwrap().status, 400);
    let named = format!(
        "POST {WHO_AM_I} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\
         {XFCC}: {header}\r\nConnection: {XFCC}\r\n\r\n{{}}"
    );
    let mut http1 = Http1::over_tls(server.folder(), server.address(), Some(Person::Reader)).await;
    http1.send(named).await;
    assert_eq!(http1.answer().await.unwrap().status, 400);

    // On the listener without TLS, there are no hops.
    let mut plaintext = Proxy { http: Http::without_tls(server.plaintext_address.as_ref().unwrap()).await };
    let status = plaintext.identity(&[(XFCC, &header)]).await.unwrap_err();
    assert_eq!(status.get_details_error_info().unwrap().reason, "HTTPS_REQUIRED");
}

/// h2 ends a connection after 1,024 errors of streams, unless it carries the calls of many callers.
#[tokio::test]
async fn invalid_calls_of_one_caller_do_not_end_the_connection_of_a_hop() {
    let server = server(Folder::new(), &all(), |_| {}).await;
    let (folder, address) = (server.folder(), server.address());
    let mut connection = Connection::with_tls(folder, address, Some(Person::Auditor), 65_535).await;
    let caller = format!("By={BY};Hash={HASH};URI=spiffe://example.org/reader");
    for _ in 0..1_100 {
        let headers = [HTTPS, (XFCC, &caller), ("content-length", "7")];
        let mut call = connection.begin(WHO_AM_I, &headers, http2::framed(0, &[])).await.unwrap();
        // Other bytes than the header announces.
        call.message.send_data(Bytes::new(), true).unwrap();
        call.answer.await.unwrap_err();
    }
    let call = connection.call(WHO_AM_I, &[HTTPS, (XFCC, &caller)], &v1::WhoAmIRequest {}).await.unwrap();
    let answer = call.answer.await.unwrap();
    assert!(Status::from_header_map(answer.headers()).is_none_or(|status| status.code() == Code::Ok));
}
