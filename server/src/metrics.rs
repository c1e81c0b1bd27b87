//! Metrics for scrapers of `listen.metrics_address`, in the text format of OpenMetrics or in the older one of Prometheus, as they accept.
//!
//! They are made at each scrape of what is known in memory; no database is opened for them. They name organizations and nothing secret.

mod format;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    http::{
        HeaderMap, Request, StatusCode,
        header::{CONTENT_TYPE, VARY},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use fieldseal_core::{deployment::Deployment, id::Timestamp};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};
use tower::ServiceExt as _;

use self::format::Format;
use crate::{
    audit_copy::Copying,
    config::limits::Limits,
    drain::Drain,
    due::due_time,
    handshake,
    listener::{BindError, accept, bind},
    places::{Bounds, Places},
    shed::Shed,
    tls::Terms,
    token::Issuers,
};

/// What is counted while the server runs.
#[derive(Clone)]
pub(crate) struct Counted {
    /// What bounds turned away.
    pub(crate) shed: Shed,
    /// Handshakes that were refused, by cause.
    pub(crate) refused_handshakes: handshake::Refused,
}

/// The largest request head: a line and some headers.
const REQUEST_MAX_BYTES: usize = 16 * 1024;

/// What certificates and keys are in use, as of now.
#[derive(Clone)]
pub(crate) struct Believed {
    pub(crate) terms: watch::Receiver<Arc<Terms>>,
    pub(crate) issuers: watch::Receiver<Arc<Issuers>>,
}

/// Where metrics are scraped.
pub(crate) struct Metrics {
    listener: TcpListener,
    address: SocketAddr,
}

impl Metrics {
    /// Takes the address; port 0 takes any that is free.
    pub(crate) async fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let (listener, address) = bind(address).await?;
        Ok(Metrics { listener, address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers scrapes until the server drains. Nobody waits for a scrape then.
    pub(crate) async fn serve(
        self,
        (deployment, copying, counted, believed): (Arc<Deployment>, Copying, Counted, Believed),
        limits: Limits,
        drain: Drain,
    ) {
        let bounds = Bounds::unidentified(limits.metrics_connections_max, "metrics_connections_max");
        let places = Places::new(bounds, counted.shed.clone());
        let scrape = move |headers: HeaderMap| {
            let answer = match Format::accepted(&headers) {
                Some(format) => answer(format, text(&deployment, &copying, &counted, &believed)),
                None => (StatusCode::NOT_ACCEPTABLE, NOT_ACCEPTABLE).into_response(),
            };
            async move { answer }
        };
        let routes = Router::new().route("/metrics", get(scrape));
        let accepting = accept(
            self.listener,
            || drain.has_begun(),
            |stream, peer| {
                let (routes, place, drain) = (routes.clone(), places.arrive(peer), drain.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = serve_one(stream, routes, &limits) => {}
                        () = place.closing() => tracing::debug!(%peer, "connection for metrics gave way to another one"),
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

/// A connection of a scraper. It may be silent for as long as a handshake may take, before a request and between two.
async fn serve_one(stream: TcpStream, routes: Router, limits: &Limits) {
    let service = routes.map_request(|request: Request<Incoming>| request.map(axum::body::Body::new));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.handshake_timeout())
        .max_buf_size(REQUEST_MAX_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    match timeout(limits.connection_age_max(), connection).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => tracing::debug!(error = &error as &dyn std::error::Error, "connection for metrics broke"),
    }
}

/// The answer to a scraper that accepts no format that there is.
const NOT_ACCEPTABLE: &str = "metrics are given as application/openmetrics-text or text/plain; version=0.0.4\n";

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

/// When certificates end, when revocation lists are due, and which keys token issuers have.
fn register_believed(believed: &Believed, now: Timestamp, registry: &mut Registry) {
    let terms = Arc::clone(&believed.terms.borrow());
    let certificates = Family::<OfCertificate, Gauge>::default();
    if let Some(end) = terms.certificate.not_after() {
        let labels = OfCertificate { setting: "tls.certificate".to_owned(), subject: terms.certificate.subject() };
        certificates.get_or_create(&labels).set(end.timestamp());
    }
    for ca in terms.trust.client_cas() {
        let labels = OfCertificate { setting: ca.setting.clone(), subject: ca.subject.clone() };
        certificates.get_or_create(&labels).set(ca.not_after.timestamp());
    }
    let help = "When a certificate of this server or a client CA expires, in Unix time";
    registry.register_with_unit("certificate_not_after", help, Unit::Seconds, certificates);

    let lists = Family::<OfList, Gauge>::default();
    for list in terms.trust.revocation_lists() {
        let labels = OfList { issuer: list.issuer.clone(), number: list.number.clone().unwrap_or_default() };
        lists.get_or_create(&labels).set(list.next_update.map_or(0, |due| due.timestamp()));
    }
    let help = "When the next revocation list of a CA is due, in Unix time";
    registry.register_with_unit("revocation_list_next_update", help, Unit::Seconds, lists);

    let (keys, fetched) = (Family::<OfIssuer, Gauge>::default(), Family::<OfIssuer, Gauge>::default());
    for (issuer, usable, fetched_at) in believed.issuers.borrow().keys(now) {
        let labels = OfIssuer { issuer: issuer.to_owned() };
        keys.get_or_create(&labels).set(usable.try_into().unwrap_or(i64::MAX));
        if let Some(time) = fetched_at {
            fetched.get_or_create(&labels).set(time.unix_micros().div_euclid(1_000_000));
        }
    }
    registry.register("token_issuer_keys", "Keys that verify the tokens of an issuer now", keys);
    let help = "When the keys of a token issuer were fetched last, in Unix time";
    registry.register_with_unit("token_issuer_keys_fetched", help, Unit::Seconds, fetched);
}

fn text(
    deployment: &Deployment,
    copying: &Copying,
    counted: &Counted,
    believed: &Believed,
) -> Result<String, std::fmt::Error> {
    let active = Family::<OfOrganization, Gauge>::default();
    let due = Family::<OfOrganization, Gauge>::default();
    let due_time_seconds = Family::<OfOrganization, Gauge>::default();
    let now = deployment.now();
    for organization in deployment.organizations() {
        let labels = OfOrganization { organization: organization.name.clone() };
        let Some(facts) = organization.key_facts() else { continue };
        active.get_or_create(&labels).set(facts.is_active.into());
        if let Some((_, time)) = due_time(deployment, &organization) {
            due.get_or_create(&labels).set((time <= now).into());
            due_time_seconds.get_or_create(&labels).set(time.unix_micros().div_euclid(1_000_000));
        }
    }
    let not_served = Gauge::<i64>::default();
    not_served.set(deployment.not_served_count().try_into().unwrap_or(i64::MAX));
    let mut registry = Registry::with_prefix("fieldseal");
    registry.register("organizations_not_served", "Organizations that are listed and can't be served now", not_served);
    registry.register("encryption_active", "Whether the organization's encryption key is present", active);
    registry.register("key_change_due", "Whether the organization's encryption key should have been changed", due);
    registry.register_with_unit(
        "key_change_due_time",
        "By when the organization's encryption key should be changed, in Unix time",
        Unit::Seconds,
        due_time_seconds,
    );
    let help = "Connections, calls and messages turned away, by the bound in [limits] that turned them away";
    registry.register("refused_by_bound", help, counted.shed.refused());
    let help = "Handshakes of the TLS listener that were refused, by cause";
    registry.register("handshakes_refused", help, counted.refused_handshakes.clone());
    register_believed(believed, now, &mut registry);
    if let Some(facts) = copying.facts() {
        let (failing, behind) = (Gauge::<i64>::default(), Gauge::<i64>::default());
        failing.set(facts.is_failing.into());
        behind.set(facts.records_behind.try_into().unwrap_or(i64::MAX));
        registry.register("audit_copy_failing", "Whether the copy of the audit trails can't be written", failing);
        registry.register("audit_copy_records_behind", "Audit records that are not in the copy yet", behind);
    }
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}
