//! Metrics for scrapers of `listen.metrics_address`, in OpenMetrics or in the older text format of Prometheus. Probes are answered there too.
//!
//! Each scrape computes them from memory, without opening a database. They contain names of organizations, but nothing secret.

mod format;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    http::{
        HeaderMap, Method, Request, StatusCode, Uri,
        header::{CONTENT_TYPE, VARY},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};
use sealward_core::{deployment::Deployment, id::Timestamp};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};
use tower::ServiceExt as _;

use self::format::Format;
use crate::{
    audit::copy::{CopyFacts, CopyHandle},
    background::key_change_reminder::due_time,
    config::limits::Limits,
    drain::Drain,
    identity::token::Issuers,
    telemetry::shed::{OfBound, Shed},
    transport::{
        connection_limit::{Bounds, ConnectionSlots},
        handshake,
        keepalive::Keepalive,
        listener::{BindError, accept, bind},
        probe::Readiness,
        tls::TlsContext,
    },
};

/// The counters of a running server.
#[derive(Clone)]
pub(crate) struct Counted {
    /// Refusals by bounds.
    pub(crate) shed: Shed,
    /// Refused handshakes, by cause.
    pub(crate) refused_handshakes: handshake::Refused,
    /// Calls from which headers of proxies were removed.
    pub(crate) forged_headers: Counter,
}

/// The largest request head: a line and some headers.
const REQUEST_MAX_BYTES: usize = 16 * 1024;

/// The certificates and keys that are in use now.
#[derive(Clone)]
pub(crate) struct CurrentTrust {
    pub(crate) tls_context: watch::Receiver<Arc<TlsContext>>,
    pub(crate) issuers: watch::Receiver<Arc<Issuers>>,
}

/// The listener for scrapers.
pub(crate) struct Metrics {
    listener: TcpListener,
    address: SocketAddr,
}

impl Metrics {
    /// Binds the address. Port 0 selects a free port.
    pub(crate) async fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let (listener, address) = bind(address).await?;
        Ok(Metrics { listener, address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers scrapes until the server drains. The drain doesn't wait for scrapes.
    pub(crate) async fn serve(
        self,
        (deployment, audit_copy, counted, trust): (Arc<Deployment>, CopyHandle, Counted, CurrentTrust),
        readiness: Readiness,
        limits: Limits,
        drain: Drain,
    ) {
        let bounds = Bounds::unidentified(limits.metrics_connections_max, "metrics_connections_max");
        let slots = ConnectionSlots::new(bounds, counted.shed.clone());
        let scrape = move |headers: HeaderMap| {
            let answer = match Format::accepted(&headers) {
                Some(format) => answer(format, Scrape::new(&deployment, &audit_copy, &counted, &trust).text()),
                None => (StatusCode::NOT_ACCEPTABLE, NOT_ACCEPTABLE).into_response(),
            };
            async move { answer }
        };
        let probe = move |method: Method, uri: Uri| {
            let answer = readiness.answer(&method, uri.path());
            async move { answer.ok_or(StatusCode::NOT_FOUND) }
        };
        let routes = Router::new().route("/metrics", get(scrape)).fallback(probe);
        let accepting = accept(
            self.listener,
            Keepalive::of(&limits),
            || drain.has_begun(),
            |stream, peer| {
                let (routes, slot, drain) = (routes.clone(), slots.acquire(&peer.into()), drain.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = serve_one(stream, routes, &limits) => {}
                        () = slot.closing() => tracing::debug!(%peer, "metrics connection closed to admit another one"),
                        () = drain.begun() => {}
                    }
                });
            },
        );
        tokio::select! {
            () = accepting => {}
            () = drain.begun() => {}
        }
    }
}

/// Serves the connection of a scraper. It may be silent for the time limit of a handshake, before a request and between two.
async fn serve_one(stream: TcpStream, routes: Router, limits: &Limits) {
    let service = routes.map_request(|request: Request<Incoming>| request.map(axum::body::Body::new));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.handshake_timeout())
        .max_buf_size(REQUEST_MAX_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    match timeout(limits.connection_age_max(), connection).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => tracing::debug!(error = &error as &dyn std::error::Error, "metrics connection failed"),
    }
}

/// The response to a scraper that accepts neither format.
const NOT_ACCEPTABLE: &str = "metrics are available as application/openmetrics-text or text/plain; version=0.0.4\n";

fn answer(format: Format, text: Result<String, std::fmt::Error>) -> Response {
    match text {
        Ok(text) => ([(CONTENT_TYPE, format.content_type()), (VARY, "accept")], format.of(text)).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOrganization {
    organization: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCertificate {
    setting: String,
    subject: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfList {
    issuer: String,
    number: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfIssuer {
    issuer: String,
}

/// All metrics, with the values of one scrape. docs/operations.md lists them.
#[derive(Default)]
struct Scrape {
    organizations_not_served: Gauge,
    encryption_active: Family<OfOrganization, Gauge>,
    key_change_due: Family<OfOrganization, Gauge>,
    key_change_due_time: Family<OfOrganization, Gauge>,
    refused_by_bound: Family<OfBound, Counter>,
    handshakes_refused: handshake::Refused,
    forged_headers: Counter,
    certificate_not_after: Family<OfCertificate, Gauge>,
    revocation_list_next_update: Family<OfList, Gauge>,
    token_issuer_keys: Family<OfIssuer, Gauge>,
    token_issuer_keys_fetched: Family<OfIssuer, Gauge>,
    audit_copy: Option<CopyGauges>,
}

/// The metrics of a server that copies its audit trails.
#[derive(Default)]
struct CopyGauges {
    failing: Gauge,
    records_behind: Gauge,
}

impl Scrape {
    fn new(deployment: &Deployment, audit_copy: &CopyHandle, counted: &Counted, trust: &CurrentTrust) -> Self {
        let scrape = Self {
            refused_by_bound: counted.shed.refused(),
            handshakes_refused: counted.refused_handshakes.clone(),
            forged_headers: counted.forged_headers.clone(),
            audit_copy: audit_copy.facts().map(CopyGauges::new),
            ..Self::default()
        };
        scrape.organizations_not_served.set(deployment.not_served_count().try_into().unwrap_or(i64::MAX));
        scrape.set_organizations(deployment);
        scrape.set_trust(trust, deployment.now());
        scrape
    }

    fn set_organizations(&self, deployment: &Deployment) {
        let now = deployment.now();
        for organization in deployment.organizations() {
            let labels = OfOrganization { organization: organization.name.to_string() };
            let Some(facts) = organization.key_facts() else { continue };
            self.encryption_active.get_or_create(&labels).set(facts.is_active.into());
            if let Some((_, time)) = due_time(deployment, &organization) {
                self.key_change_due.get_or_create(&labels).set((time <= now).into());
                self.key_change_due_time.get_or_create(&labels).set(unix_seconds(time));
            }
        }
    }

    /// Sets the expiry of certificates, the next update of revocation lists, and the keys of token issuers.
    fn set_trust(&self, trust: &CurrentTrust, now: Timestamp) {
        let tls_context = Arc::clone(&trust.tls_context.borrow());
        if let Some(end) = tls_context.certificate.not_after() {
            let labels =
                OfCertificate { setting: "tls.certificate".to_owned(), subject: tls_context.certificate.subject() };
            self.certificate_not_after.get_or_create(&labels).set(end.timestamp());
        }
        for ca in tls_context.trust.client_cas() {
            let labels = OfCertificate { setting: ca.setting.clone(), subject: ca.subject.clone() };
            self.certificate_not_after.get_or_create(&labels).set(ca.not_after.timestamp());
        }
        for list in tls_context.trust.revocation_lists() {
            let labels = OfList { issuer: list.issuer.clone(), number: list.number.clone().unwrap_or_default() };
            let due = list.next_update.map_or(0, |due| due.timestamp());
            self.revocation_list_next_update.get_or_create(&labels).set(due);
        }
        for (issuer, usable, fetched_at) in trust.issuers.borrow().keys(now) {
            let labels = OfIssuer { issuer: issuer.to_owned() };
            self.token_issuer_keys.get_or_create(&labels).set(usable.try_into().unwrap_or(i64::MAX));
            if let Some(time) = fetched_at {
                self.token_issuer_keys_fetched.get_or_create(&labels).set(unix_seconds(time));
            }
        }
    }

    /// The text in OpenMetrics, without metrics that have no values.
    fn text(self) -> Result<String, std::fmt::Error> {
        let mut registry = Registry::with_prefix("sealward");
        registry.register(
            "organizations_not_served",
            "Organizations that are listed but not served",
            self.organizations_not_served,
        );
        registry.register(
            "encryption_active",
            "Whether the organization's encryption key is present",
            self.encryption_active,
        );
        registry.register(
            "key_change_due",
            "Whether the organization's encryption key is due for a change",
            self.key_change_due,
        );
        registry.register_with_unit(
            "key_change_due_time",
            "When the organization's encryption key is due for a change, in Unix time",
            Unit::Seconds,
            self.key_change_due_time,
        );
        registry.register(
            "refused_by_bound",
            "Connections, calls, messages and log lines refused, by the bound in [limits]",
            self.refused_by_bound,
        );
        registry.register(
            "handshakes_refused",
            "Refused handshakes of the TLS listener, by cause",
            self.handshakes_refused,
        );
        registry.register(
            "forged_headers",
            "Calls from which headers of proxies were removed, because their sender isn't a hop",
            self.forged_headers,
        );
        registry.register_with_unit(
            "certificate_not_after",
            "When a certificate of this server or a client CA expires, in Unix time",
            Unit::Seconds,
            self.certificate_not_after,
        );
        registry.register_with_unit(
            "revocation_list_next_update",
            "When the next revocation list of a CA is due, in Unix time; 0 if the list has no such time",
            Unit::Seconds,
            self.revocation_list_next_update,
        );
        registry.register(
            "token_issuer_keys",
            "Keys in use that verify the tokens of an issuer",
            self.token_issuer_keys,
        );
        registry.register_with_unit(
            "token_issuer_keys_fetched",
            "When the keys of a token issuer were last fetched, in Unix time",
            Unit::Seconds,
            self.token_issuer_keys_fetched,
        );
        if let Some(CopyGauges { failing, records_behind }) = self.audit_copy {
            registry.register("audit_copy_failing", "Whether the copy of the audit trails can't be written", failing);
            registry.register(
                "audit_copy_records_behind",
                "Audit records that are not in the copy yet",
                records_behind,
            );
        }
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl CopyGauges {
    fn new(facts: CopyFacts) -> Self {
        let gauges = Self::default();
        gauges.failing.set(facts.failure.is_some().into());
        gauges.records_behind.set(facts.records_behind.try_into().unwrap_or(i64::MAX));
        gauges
    }
}

fn unix_seconds(time: Timestamp) -> i64 {
    time.unix_micros().div_euclid(1_000_000)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::reference::rows_of_operations;

    fn one<L>(labels: L) -> Family<L, Gauge>
    where
        L: Clone + std::hash::Hash + Eq,
    {
        let family = Family::<L, Gauge>::default();
        family.get_or_create(&labels).set(1);
        family
    }

    /// A scrape in which every metric has a value.
    fn full() -> Scrape {
        let shed = Shed::default();
        shed.count("connections_max");
        let of_organization = || one(OfOrganization { organization: "default".to_owned() });
        let of_issuer = || one(OfIssuer { issuer: "https://id.example.com".to_owned() });
        Scrape {
            organizations_not_served: Gauge::default(),
            encryption_active: of_organization(),
            key_change_due: of_organization(),
            key_change_due_time: of_organization(),
            refused_by_bound: shed.refused(),
            handshakes_refused: handshake::refused_once(),
            forged_headers: Counter::default(),
            certificate_not_after: one(OfCertificate {
                setting: "tls.certificate".to_owned(),
                subject: "CN=localhost".to_owned(),
            }),
            revocation_list_next_update: one(OfList { issuer: "CN=ca".to_owned(), number: "7".to_owned() }),
            token_issuer_keys: of_issuer(),
            token_issuer_keys_fetched: of_issuer(),
            audit_copy: Some(CopyGauges::default()),
        }
    }

    /// The labels of a sample, as in the document.
    fn labels(sample: &str) -> String {
        let Some((_, labels)) = sample.split_once('{') else { return "none".to_owned() };
        let names = labels.split("\",").filter_map(|label| label.split_once("=\""));
        names.map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn operations_reference_lists_every_metric_as_it_is_scraped() {
        let text = full().text().unwrap();
        let described = |keyword: &str| -> BTreeMap<&str, &str> {
            text.lines().filter_map(|line| line.strip_prefix(keyword)?.split_once(' ')).collect()
        };
        let (kinds, units) = (described("# TYPE "), described("# UNIT "));
        let scraped: BTreeSet<String> = described("# HELP ")
            .into_iter()
            .map(|(name, help)| {
                let kind = kinds[name];
                let sample = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
                let is_sample =
                    |line: &&str| line.strip_prefix(&sample).is_some_and(|rest| rest.starts_with(['{', ' ']));
                let line = text.lines().find(is_sample).unwrap();
                let unit = units.get(name).copied().unwrap_or("none");
                format!("| `{sample}` | {kind} | {} | {unit} | {help} |", labels(line))
            })
            .collect();
        assert_eq!(rows_of_operations("Metrics"), scraped);
    }
}
