//! A server that takes its certificate, key and bundles from the SPIFFE Workload API.

mod agent;
mod spire;

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use rcgen::{BasicConstraints, IsCa, KeyUsagePurpose, SanType, date_time_ymd};
use sealward_client::{Client, v1};
use sealward_core::policy::{Binding, Role, Scope};
use sealward_server::{
    app::{App, StartError},
    check::{Severity, check},
    config::{Bundle, CertificateSource, Config, WorkloadApi},
};
use tokio::{task::JoinHandle, time::timeout};

use self::agent::{Agent, Issued, Svids, TrustDomain, message, socket};
use crate::{
    due::scraped,
    harness::{Folder, PATIENCE, Server},
    reload::wire::{Caller, call},
};

const DOMAIN: &str = "example.org";

/// Lets a server take its certificate, and the bundle of the trust domain, from this socket.
fn with_workload_api(config: &mut Config, socket: PathBuf) {
    let api = WorkloadApi { socket, spiffe_id: None, agent_uid: None };
    config.tls.certificate = CertificateSource::WorkloadApi(api);
    config.tls.client_ca = None;
    config.tls.trust_domains = BTreeMap::from([(DOMAIN.to_owned(), Bundle::WorkloadApi)]);
    config.listen.metrics_address = Some("127.0.0.1:0".parse().unwrap());
    for name in [DOMAIN, "partner.example", "stranger.example"] {
        let identity = format!("spiffe:{name}/admin").parse().unwrap();
        config.bindings.push(Binding { identity, role: Role::SystemAdministrator.into(), scope: Scope::All });
    }
}

fn api(config: &mut Config) -> &mut WorkloadApi {
    match &mut config.tls.certificate {
        CertificateSource::WorkloadApi(api) => api,
        CertificateSource::Files { .. } => panic!("no Workload API"),
    }
}

/// A server, its agent, and its trust domain.
struct Fixture {
    server: Server,
    agent: Agent,
    domain: TrustDomain,
}

impl Fixture {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let (folder, domain) = (Folder::new(), TrustDomain::new(DOMAIN));
        let path = socket(&folder.path());
        let agent = Agent::start(&path, domain.svids());
        let server = Server::start_in(folder, |config| {
            with_workload_api(config, path);
            change(config);
        })
        .await;
        Self { server, agent, domain }
    }

    fn socket(&self) -> PathBuf {
        socket(&self.server.folder().path())
    }

    /// A caller with this certificate. It trusts the trust domain's CA as the server's.
    fn caller(&self, issued: &Issued) -> Caller {
        Caller::new(self.server.address(), &self.domain.pem, &issued.pem, &issued.key_pem)
    }

    fn admin(&self) -> Caller {
        self.caller(&self.domain.issue("admin"))
    }

    /// Sends an update, and waits until the server has judged it.
    async fn send(&self, svids: Svids, result: &str) {
        let before = updates(&self.server, result).await;
        self.agent.send(svids);
        until(&self.server, |metrics| updates_in(metrics, result) > before).await;
    }

    /// The certificate that a new connection gets.
    async fn certificate(&self) -> Vec<u8> {
        let caller = self.admin();
        call(&caller.channel()).await.unwrap();
        caller.connections()[0].server_certificate.to_vec()
    }

    async fn status(&self) -> v1::ServerStatus {
        let (folder, issued) = (self.server.folder(), self.domain.issue("admin"));
        let client: Client = folder
            .client_builder(self.server.address())
            .ca_pem(self.domain.pem.clone())
            .identity_pem(issued.pem, issued.key_pem)
            .connect_lazy()
            .unwrap();
        client.server_status().await.unwrap()
    }
}

/// Waits until the metrics of a server are so.
async fn until(server: &Server, are_so: impl Fn(&str) -> bool) {
    let waiting = async { while !are_so(&scraped(server.metrics_address()).await) {} };
    timeout(PATIENCE, waiting).await.unwrap();
}

async fn updates(server: &Server, result: &str) -> u64 {
    updates_in(&scraped(server.metrics_address()).await, result)
}

fn updates_in(metrics: &str, result: &str) -> u64 {
    let name = format!("sealward_workload_api_updates_total{{result=\"{result}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

/// Callers that call as fast as they can until they are stopped, some on one connection, some on a new one for each call.
struct Load {
    is_stopped: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
    callers: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(callers: &[Caller]) -> Self {
        let (is_stopped, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let task = |caller: &Caller, is_kept: bool| {
            let (caller, is_stopped, calls) = (caller.clone(), Arc::clone(&is_stopped), Arc::clone(&calls));
            tokio::spawn(async move {
                let mut channel = caller.channel();
                while !is_stopped.load(Ordering::Relaxed) {
                    call(&channel).await.unwrap();
                    calls.fetch_add(1, Ordering::Relaxed);
                    if !is_kept {
                        channel = caller.channel();
                    }
                }
            })
        };
        let callers = callers.iter().flat_map(|caller| [task(caller, true), task(caller, false)]).collect();
        Self { is_stopped, calls, callers }
    }

    /// Waits until more calls were answered.
    async fn advance(&self) {
        let enough = self.calls.load(Ordering::Relaxed) + 20;
        let advancing = async {
            while self.calls.load(Ordering::Relaxed) < enough {
                assert!(self.callers.iter().all(|caller| !caller.is_finished()), "a call failed");
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, advancing).await.unwrap();
    }

    /// The number of calls. All were answered.
    async fn stop(self) -> usize {
        self.is_stopped.store(true, Ordering::Relaxed);
        for caller in self.callers {
            caller.await.expect("a call failed");
        }
        self.calls.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn certificate_rotates_under_load_without_a_failed_call() {
    let fixture = Fixture::start().await;
    let callers = [fixture.admin(), fixture.admin()];
    let load = Load::start(&callers);
    for _ in 0..10 {
        load.advance().await;
        let svid = fixture.domain.issue("sealward").svid(&[&fixture.domain]);
        let certificate = svid.x509_svid.clone();
        fixture.send(message([svid]), "applied").await;
        assert_eq!(fixture.certificate().await, certificate);
    }
    load.advance().await;
    assert!(load.stop().await >= 220);
    // A new certificate doesn't end a connection.
    let kept = callers[0].connections()[0].server_certificate.to_vec();
    assert_eq!(kept, callers[1].connections()[0].server_certificate.to_vec());
    assert_ne!(kept, fixture.certificate().await);
}

#[tokio::test]
async fn new_ca_is_accepted_and_a_removed_one_refused_at_the_next_call() {
    let fixture = Fixture::start().await;
    let next = TrustDomain::new(DOMAIN);
    let (old, new) = (fixture.admin(), fixture.caller(&next.issue("admin")));
    let old_channel = old.channel();
    call(&old_channel).await.unwrap();
    call(&new.channel()).await.unwrap_err();

    let issued = fixture.domain.issue("sealward");
    let load = Load::start(&[fixture.admin()]);
    load.advance().await;
    fixture.send(message([issued.svid(&[&fixture.domain, &next])]), "applied").await;
    call(&new.channel()).await.unwrap();
    call(&old_channel).await.unwrap();
    load.advance().await;
    load.stop().await;

    // The former CA leaves: the server's certificate is from the next one.
    fixture.send(message([next.issue("sealward").svid(&[&next])]), "applied").await;
    let trusts_next = |issued: &Issued| Caller::new(fixture.server.address(), &next.pem, &issued.pem, &issued.key_pem);
    call(&trusts_next(&next.issue("admin")).channel()).await.unwrap();
    call(&old_channel).await.unwrap_err();
    call(&trusts_next(&fixture.domain.issue("admin")).channel()).await.unwrap_err();
}

#[tokio::test]
async fn federated_bundle_admits_callers_only_of_a_named_trust_domain() {
    let fixture = Fixture::start_with(|config| {
        config.tls.trust_domains.insert("partner.example".to_owned(), Bundle::WorkloadApi);
    })
    .await;
    let (partner, stranger) = (TrustDomain::new("partner.example"), TrustDomain::new("stranger.example"));
    let missing = |status: &v1::ServerStatus| {
        let of_partner = "tls.spiffe_workload_api of partner.example";
        status.findings.iter().any(|finding| finding.subject == of_partner)
    };
    let admins = [&partner, &stranger].map(|domain| fixture.caller(&domain.issue("admin")));
    for admin in &admins {
        call(&admin.channel()).await.unwrap_err();
    }
    assert!(missing(&fixture.status().await));

    let federated = |domains: &[&TrustDomain]| {
        let bundles = domains.iter().map(|domain| (format!("spiffe://{}", domain.name), domain.der.clone()));
        // Nothing that isn't named matters, not even if it is malformed.
        let garbage = ("spiffe://garbage.example".to_owned(), b"garbage".to_vec());
        let federated_bundles = bundles.chain([garbage, ("garbage".to_owned(), Vec::new())]).collect();
        Svids { federated_bundles, ..fixture.domain.svids() }
    };
    fixture.send(federated(&[&partner, &stranger]), "applied").await;
    let [of_partner, of_stranger] = &admins;
    let channel = of_partner.channel();
    call(&channel).await.unwrap();
    call(&of_stranger.channel()).await.unwrap_err();
    assert!(!missing(&fixture.status().await));

    // The CA of a partner can't issue for another trust domain.
    let mut forged = partner.issue_with("x", |params| {
        let id = format!("spiffe://{DOMAIN}/admin");
        params.subject_alt_names = vec![SanType::URI(id.as_str().try_into().unwrap())];
    });
    call(&fixture.caller(&forged).channel()).await.unwrap_err();
    forged = fixture.domain.issue_with("x", |params| {
        params.subject_alt_names = vec![SanType::URI("spiffe://partner.example/admin".try_into().unwrap())];
    });
    call(&fixture.caller(&forged).channel()).await.unwrap_err();

    // The federation ends.
    fixture.send(federated(&[]), "applied").await;
    call(&channel).await.unwrap_err();
    call(&of_partner.channel()).await.unwrap_err();
    assert!(missing(&fixture.status().await));
}

#[tokio::test]
async fn invalid_update_leaves_the_former_one_in_use() {
    let fixture = Fixture::start().await;
    let domain = &fixture.domain;
    let good = || domain.issue("sealward").svid(&[domain]);
    let before = fixture.certificate().await;
    let issued_with =
        |change: fn(&mut rcgen::CertificateParams)| message([domain.issue_with("sealward", change).svid(&[domain])]);
    let changed = |change: &dyn Fn(&mut agent::Svid)| {
        let mut svid = good();
        change(&mut svid);
        message([svid])
    };
    let another = domain.issue("sealward");
    let cases = [
        (message([]), "contains no SVID"),
        (changed(&|svid| svid.x509_svid_key.clone_from(&another.key_der)), "belongs to another certificate"),
        (changed(&|svid| svid.x509_svid_key.clear()), "can't be used"),
        (changed(&|svid| svid.x509_svid.clear()), "malformed certificate chain"),
        (changed(&|svid| svid.x509_svid.push(0)), "malformed certificate chain"),
        (changed(&|svid| svid.bundle.clear()), "the bundle of example.org is empty or malformed"),
        (changed(&|svid| svid.bundle = b"garbage".to_vec()), "the bundle of example.org is empty or malformed"),
        (
            changed(&|svid| svid.spiffe_id = "spiffe://example.org/other".to_owned()),
            "is for spiffe:example.org/sealward",
        ),
        (issued_with(|params| params.not_after = date_time_ymd(2020, 1, 1)), "doesn't verify"),
        (issued_with(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)), "it is a CA certificate"),
        (issued_with(|params| params.key_usages.push(KeyUsagePurpose::KeyCertSign)), "may sign certificates"),
        (
            issued_with(|params| {
                params.extended_key_usages.retain(|usage| *usage == rcgen::ExtendedKeyUsagePurpose::ClientAuth)
            }),
            "doesn't verify",
        ),
        (issued_with(|params| params.subject_alt_names.clear()), "is for cn:"),
    ];
    for (svids, words) in cases {
        fixture.send(svids, "refused").await;
        assert_eq!(fixture.certificate().await, before, "{words}");
        let findings = fixture.status().await.findings;
        let found = findings.iter().find(|finding| finding.subject == "server certificate").unwrap();
        assert!(found.problem.contains(words), "{words}: {}", found.problem);
    }

    // A certificate is no replacement without a name that ordinary clients connect to, although its SPIFFE id is the same.
    let only_id = domain.issue_with("sealward", |params| params.subject_alt_names.truncate(1));
    let other_host = domain.issue_with("sealward", |params| {
        params.subject_alt_names.truncate(1);
        params.subject_alt_names.push(SanType::DnsName("evil.example".try_into().unwrap()));
    });
    for wrong in [only_id, other_host] {
        fixture.send(message([wrong.svid(&[domain])]), "refused").await;
        assert_eq!(fixture.certificate().await, before);
        let findings = fixture.status().await.findings;
        let found = findings.iter().find(|finding| finding.subject == "server certificate").unwrap();
        assert!(found.problem.contains("no name that clients connect to is in both"), "{}", found.problem);
    }

    let next = good();
    let certificate = next.x509_svid.clone();
    fixture.send(message([next]), "applied").await;
    assert_eq!(fixture.certificate().await, certificate);
    assert!(fixture.status().await.findings.iter().all(|finding| finding.subject != "server certificate"));
}

/// A server whose trust domain has two CAs, one of which an update removes, and a caller of each.
struct Removal {
    fixture: Fixture,
    removed: TrustDomain,
}

impl Removal {
    async fn start(change: impl FnOnce(&mut Config)) -> Self {
        let fixture = Fixture::start_with(change).await;
        let removed = TrustDomain::new(DOMAIN);
        fixture.send(message([fixture.domain.issue("sealward").svid(&[&fixture.domain, &removed])]), "applied").await;
        Self { fixture, removed }
    }

    /// Sends an update without the CA, with other faults, and checks that its callers are refused at the next call.
    async fn check(&self, svids: Svids, result: &str) -> v1::ServerStatus {
        let caller = self.fixture.caller(&self.removed.issue("admin"));
        let channel = caller.channel();
        call(&channel).await.unwrap();
        self.fixture.send(svids, result).await;
        call(&channel).await.unwrap_err();
        call(&caller.channel()).await.unwrap_err();
        self.fixture.status().await
    }
}

#[tokio::test]
async fn malformed_bundle_of_a_partner_does_not_hold_back_a_removal() {
    let removal = Removal::start(|config| {
        config.tls.trust_domains.insert("partner.example".to_owned(), Bundle::WorkloadApi);
    })
    .await;
    let junk = [TrustDomain::new("partner.example").der, b"junk".to_vec()].concat();
    let federated_bundles = BTreeMap::from([("spiffe://partner.example".to_owned(), junk)]);
    let status = removal.check(Svids { federated_bundles, ..removal.fixture.domain.svids() }, "refused").await;
    let found =
        status.findings.iter().find(|found| found.subject == "CAs of the trust domain partner.example").unwrap();
    assert!(found.problem.contains("the bundle of partner.example is empty or malformed"), "{}", found.problem);
    assert!(!found.remedy.contains("file"), "{}", found.remedy);
}

#[tokio::test]
async fn invalid_svid_does_not_hold_back_a_removal() {
    let removal = Removal::start(|_| {}).await;
    let domain = &removal.fixture.domain;
    let expired = domain.issue_with("sealward", |params| params.not_after = date_time_ymd(2020, 1, 1));
    let status = removal.check(message([expired.svid(&[domain])]), "refused").await;
    let found = status.findings.iter().find(|found| found.subject == "server certificate").unwrap();
    assert!(found.problem.contains("it expired at 2020-01-01T00:00:00Z"), "{}", found.problem);
    assert!(found.remedy.contains("agent's log"), "{}", found.remedy);

    // The CA of the server's own certificate is removed before the agent has renewed that.
    let (next, svid) = (TrustDomain::new(DOMAIN), domain.issue("sealward"));
    let old = removal.fixture.admin();
    call(&old.channel()).await.unwrap();
    removal.fixture.send(message([svid.svid(&[&next])]), "refused").await;
    call(&old.channel()).await.unwrap_err();
    call(&removal.fixture.caller(&next.issue("admin")).channel()).await.unwrap();
}

#[tokio::test]
async fn unreadable_file_does_not_hold_back_a_removal() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    fs::write(&file, TrustDomain::new("elsewhere.example").pem).unwrap();
    let removal = Removal::start(|config| config.tls.client_ca = Some(file.clone())).await;
    fs::remove_file(&file).unwrap();
    removal.fixture.server.reload().await;
    let status = removal.check(removal.fixture.domain.svids(), "applied").await;
    assert!(status.findings.iter().any(|finding| finding.subject == "client CAs"), "{:?}", status.findings);
}

#[tokio::test]
async fn message_without_the_servers_trust_domain_removes_no_bundle() {
    let fixture = Fixture::start_with(|config| {
        config.tls.trust_domains.insert("partner.example".to_owned(), Bundle::WorkloadApi);
    })
    .await;
    let partner = TrustDomain::new("partner.example");
    let federated_bundles = BTreeMap::from([("spiffe://partner.example".to_owned(), partner.der.clone())]);
    fixture.send(Svids { federated_bundles, ..fixture.domain.svids() }, "applied").await;
    let admins = [fixture.admin(), fixture.caller(&partner.issue("admin"))];
    let mut nameless = fixture.domain.issue("sealward").svid(&[&fixture.domain]);
    nameless.spiffe_id = "spiffe://example.org/\u{202e}\u{200b}".to_owned();
    for svids in [message([]), message([nameless])] {
        fixture.send(svids, "refused").await;
        for admin in &admins {
            call(&admin.channel()).await.unwrap();
        }
        for finding in fixture.status().await.findings {
            assert!(!finding.problem.contains(['\u{202e}', '\u{200b}']), "{}", finding.problem);
        }
    }
    // But what it has takes effect.
    let federated_bundles = BTreeMap::from([("spiffe://partner.example".to_owned(), Vec::new())]);
    fixture.send(Svids { federated_bundles, ..message([]) }, "refused").await;
    let [own, of_partner] = &admins;
    call(&own.channel()).await.unwrap();
    call(&of_partner.channel()).await.unwrap_err();
}

#[tokio::test]
async fn named_svid_is_used_wherever_it_is_in_the_list() {
    let fixture = Fixture::start_with(|config| {
        api(config).spiffe_id = Some("spiffe://example.org/sealward".parse().unwrap());
    })
    .await;
    let (other, wanted) = (fixture.domain.issue("other"), fixture.domain.issue("sealward"));
    let svids = [&other, &wanted].map(|issued| issued.svid(&[&fixture.domain]));
    fixture.send(message(svids), "applied").await;
    assert_eq!(fixture.certificate().await, wanted.der);
    fixture.send(message([other.svid(&[&fixture.domain])]), "refused").await;
    assert_eq!(fixture.certificate().await, wanted.der);
}

#[tokio::test]
async fn lost_agent_is_reported_and_followed_again_when_it_is_back() {
    let fixture = Fixture::start().await;
    let (path, caller) = (fixture.socket(), fixture.admin());
    let status = fixture.status().await;
    assert_eq!(status.certificates[0].setting, "tls.spiffe_workload_api");
    assert_eq!(status.certificates[0].subject, "spiffe://example.org/sealward");
    assert_eq!(status.certificates[1].setting, "tls.spiffe_workload_api of example.org");
    assert!(status.findings.iter().all(|finding| !finding.subject.starts_with("tls")), "{:?}", status.findings);
    let metrics = scraped(fixture.server.metrics_address()).await;
    let labels = "setting=\"tls.spiffe_workload_api\",subject=\"spiffe://example.org/sealward\"";
    assert!(metrics.contains(&format!("sealward_certificate_not_after_seconds{{{labels}}} ")), "{metrics}");
    let Fixture { server, agent, domain } = fixture;
    agent.stop(&path).await;
    until(&server, |metrics| metrics.contains("sealward_workload_api_connected 0")).await;
    call(&caller.channel()).await.unwrap();

    // The next agent is another process, and its socket another file behind a link.
    let next = domain.issue("sealward");
    let elsewhere = server.folder().path().join("next.sock");
    let agent = Agent::start(&elsewhere, message([next.svid(&[&domain])]));
    let fixture = Fixture { server, agent, domain };
    let lost = fixture.status().await.findings;
    assert!(lost.iter().any(|finding| finding.problem.contains("the Workload API is lost since")), "{lost:?}");
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    until(&fixture.server, |metrics| {
        metrics.contains("sealward_workload_api_connected 1") && updates_in(metrics, "applied") == 1
    })
    .await;
    assert_eq!(fixture.certificate().await, next.der);
    assert!(fixture.status().await.findings.iter().all(|finding| !finding.problem.contains("is lost")));
}

#[tokio::test]
async fn message_above_the_limit_is_not_read() {
    const MAX_BYTES: u32 = 65_536;
    let fixture = Fixture::start_with(|config| config.limits.workload_api_message_max_bytes = MAX_BYTES).await;
    let with_bytes = |message_bytes: usize| {
        let mut svids = fixture.domain.svids();
        let padding = |svids: &Svids| message_bytes.saturating_sub(prost::Message::encoded_len(svids));
        svids.crl = vec![vec![0; 60_000]];
        let rest = padding(&svids);
        svids.crl[0].resize(60_000 + rest, 0);
        assert_eq!(prost::Message::encoded_len(&svids), message_bytes);
        svids
    };
    let max = usize::try_from(MAX_BYTES).unwrap();
    fixture.send(with_bytes(max), "applied").await;
    let findings = fixture.status().await.findings;
    assert!(findings.iter().any(|finding| finding.problem.contains("sends revocation lists")), "{findings:?}");
    fixture.send(with_bytes(max + 1), "refused").await;
    let metrics = scraped(fixture.server.metrics_address()).await;
    assert!(metrics.contains("sealward_workload_api_connected 1"), "{metrics}");
    let findings = fixture.status().await.findings;
    let found = findings.iter().find(|finding| finding.subject == "server certificate").unwrap();
    let limit = "a message of more than 65536 bytes, the limit of limits.workload_api_message_max_bytes";
    assert!(found.problem.contains(limit), "{}", found.problem);
    assert!(found.remedy.starts_with("raise limits.workload_api_message_max_bytes"), "{}", found.remedy);
    fixture.send(fixture.domain.svids(), "applied").await;
}

/// The error of a start, with its causes.
async fn not_started(folder: &Folder, change: impl FnOnce(&mut Config)) -> String {
    let mut config = folder.development().config().unwrap();
    config.listen.address = "127.0.0.1:0".parse().unwrap();
    with_workload_api(&mut config, socket(&folder.path()));
    config.limits.workload_api_wait_ms = 1_000;
    change(&mut config);
    let Err(error) = App::start(config).await else { panic!("it started") };
    assert!(matches!(error, StartError::WorkloadApi(_)), "{error:?}");
    let causes = std::iter::successors(std::error::Error::source(&error), |error| error.source());
    std::iter::once(error.to_string()).chain(causes.map(ToString::to_string)).collect::<Vec<_>>().join(": ")
}

#[tokio::test]
async fn start_without_a_certificate_says_why_and_what_to_do() {
    let folder = Folder::new();
    let path = socket(&folder.path());
    let error = not_started(&folder, |_| {}).await;
    assert!(error.contains("provided no certificate within 1000 ms") && error.contains("check that the agent runs"));
    let agent = Agent::without_entry(&path);
    let error = not_started(&folder, |_| {}).await;
    assert!(error.contains("spire-server entry create"), "{error}");
    assert!(error.contains("no registration entry matches this process (PERMISSION_DENIED"), "{error}");
    agent.stop(&path).await;

    let domain = TrustDomain::new(DOMAIN);
    let agent = Agent::start(&path, domain.svids());
    let error = not_started(&folder, |config| api(config).agent_uid = Some(4_242)).await;
    assert!(error.contains("not as user 4242"), "{error}");
    let other = |config: &mut Config| api(config).spiffe_id = Some("spiffe://example.org/b".parse().unwrap());
    let error = not_started(&folder, other).await;
    assert!(error.contains("spiffe://example.org/b: it has spiffe://example.org/sealward"), "{error}");
    agent.stop(&path).await;
}

#[tokio::test]
async fn start_waits_for_a_late_agent() {
    let (folder, domain) = (Folder::new(), TrustDomain::new(DOMAIN));
    let path = socket(&folder.path());
    let starting = tokio::spawn({
        let path = path.clone();
        async move { Server::start_in(folder, |config| with_workload_api(config, path)).await }
    });
    let agent = Agent::start(&path, domain.svids());
    let server = timeout(PATIENCE, starting).await.unwrap().unwrap();
    let fixture = Fixture { server, agent, domain };
    call(&fixture.admin().channel()).await.unwrap();
}

#[tokio::test]
async fn check_config_shows_the_certificate_its_end_and_its_source() {
    let (folder, domain) = (Folder::new(), TrustDomain::new(DOMAIN));
    let path = socket(&folder.path());
    let file = folder.development().config_file();
    let text = fs::read_to_string(&file).unwrap();
    let kept = text
        .lines()
        .filter(|line| !["certificate = ", "key = ", "client_ca = "].iter().any(|setting| line.starts_with(setting)));
    let tls = format!("\n[tls]\nspiffe_workload_api = \"unix://{}\"\n", path.display());
    let text = kept.collect::<Vec<_>>().join("\n").replace("\n[tls]\n", &tls);
    fs::write(&file, format!("{text}\n[[trust_domains]]\nname = \"{DOMAIN}\"\nworkload_api = true\n")).unwrap();
    let api_errors = |report: &sealward_server::check::Report| {
        let errors = report.findings.iter().filter(|finding| finding.severity == Severity::Error);
        errors.map(|finding| finding.subject.clone()).collect::<Vec<_>>()
    };

    let agent = Agent::start(&path, domain.svids());
    let report = check(&file).await;
    assert_eq!(api_errors(&report), Vec::<String>::new());
    let fact = |subject: &str| {
        let mut facts = report.facts.iter().filter(|fact| fact.subject == subject);
        facts.find(|fact| fact.text.contains("valid until")).unwrap().text.clone()
    };
    let certificate = fact("tls.spiffe_workload_api");
    assert!(certificate.starts_with("spiffe://example.org/sealward, for "), "{certificate}");
    assert!(
        certificate.starts_with("spiffe://example.org/sealward, for localhost, 127.0.0.1, valid until "),
        "{certificate}"
    );
    assert!(certificate.ends_with('Z'), "its end has a time: {certificate}");
    let agent_fact = format!("the agent at {} has a certificate for a process of user ", path.display());
    assert!(report.facts.iter().any(|fact| fact.text.starts_with(&agent_fact)), "{:?}", report.facts);
    assert!(fact("tls.spiffe_workload_api of example.org").contains("valid until"));
    // An ordinary client accepts only a certificate with a name that it connects to.
    let nameless = domain.issue_with("sealward", |params| params.subject_alt_names.truncate(1));
    agent.send(message([nameless.svid(&[&domain])]));
    let report = check(&file).await;
    let found = report.findings.iter().find(|finding| finding.subject == "tls.spiffe_workload_api").unwrap();
    assert!(found.problem.contains("has no DNS name") && found.remedy.contains("-dns NAME"), "{found:?}");
    let shown = "spiffe://example.org/sealward, for no DNS name or IP address, valid until ";
    assert!(report.facts.iter().any(|fact| fact.text.starts_with(shown)), "{:?}", report.facts);
    // Lists that the server doesn't use are reported as by a running server.
    agent.send(Svids { crl: vec![b"list".to_vec()], ..domain.svids() });
    let findings = check(&file).await.findings;
    assert!(findings.iter().any(|finding| finding.problem.contains("sends revocation lists")), "{findings:?}");
    agent.stop(&path).await;

    let agent = Agent::without_entry(&path);
    let text = fs::read_to_string(&file).unwrap();
    let limited = text.replace("\n[limits]\n", "\n[limits]\nworkload_api_wait_ms = 200\n");
    assert_ne!(limited, text);
    fs::write(&file, limited).unwrap();
    assert_eq!(api_errors(&check(&file).await), ["tls.spiffe_workload_api"]);
    agent.stop(&path).await;

    let expired = domain.issue_with("sealward", |params| params.not_after = date_time_ymd(2020, 1, 1));
    let agent = Agent::start(&path, message([expired.svid(&[&domain])]));
    let findings = check(&file).await.findings;
    let found = findings.iter().find(|finding| finding.subject == "tls.spiffe_workload_api").unwrap();
    assert!(found.problem.ends_with("doesn't verify the certificate of the SVID spiffe://example.org/sealward: it expired at 2020-01-01T00:00:00Z"), "{}", found.problem);
    assert!(!found.problem.contains("agent's log") && found.remedy.contains("agent's log"), "{}", found.remedy);
    agent.stop(&path).await;
}
