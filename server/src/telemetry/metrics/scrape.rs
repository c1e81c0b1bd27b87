//! Collects the values of all metrics for one scrape.
//!
//! Values come from memory, and from databases that are open and have changed; see [`FigureReader`].

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    sync::Arc,
};

use sealward_core::{
    deployment::Deployment,
    id::{KeyVersion, OrganizationId, Timestamp},
    key::figures::reencryption_rate,
};
use sealward_store::OnDemand;

use super::{
    figures::{FigureReader, FileFigures},
    samples::{Samples, Value},
    table as metric,
};
use crate::{
    audit::copy::CopyHandle,
    config::limits::Limits,
    facts::{CurrentTrust, ServedOrganization},
    gates::forwarded::ForgedHeaders,
    telemetry::{calls::Calls, counters::Counters, shed::Shed, traces::SpanOutcomes, transactions::Transactions},
    transport::{
        budget::Budget,
        connection_limit::{ConnectionSlots, ListenerSlots},
    },
    version::{COMMIT, VERSION},
};

/// The parts of a running server that metrics are about.
pub(crate) struct Sources {
    pub(crate) deployment: Arc<Deployment>,
    pub(crate) databases: Arc<dyn OnDemand>,
    pub(crate) data_dir: PathBuf,
    pub(crate) audit_copy: CopyHandle,
    pub(crate) trust: CurrentTrust,
    pub(crate) calls: Calls,
    pub(crate) transactions: Transactions,
    pub(crate) slots: ListenerSlots,
    /// The memory for requests and answers.
    pub(crate) budgets: [Arc<Budget>; 2],
    pub(crate) shed: Shed,
    pub(crate) refused_handshakes: Counters,
    pub(crate) forged: ForgedHeaders,
    /// The spans for the collector of traces.
    pub(crate) span_outcomes: SpanOutcomes,
    pub(crate) limits: Limits,
}

/// Collects values.
pub(super) struct Scraper {
    sources: Sources,
    figures: FigureReader,
    /// The connections of scrapers.
    slots: Arc<ConnectionSlots>,
    refused_scrapes: Counters,
}

impl Scraper {
    pub(super) fn new(sources: Sources, slots: Arc<ConnectionSlots>, refused_scrapes: Counters) -> Self {
        let Sources { deployment, databases, data_dir, .. } = &sources;
        let figures = FigureReader::new(Arc::clone(deployment), Arc::clone(databases), data_dir.clone());
        Self { sources, figures, slots, refused_scrapes }
    }

    /// The time of the deployment's clock.
    pub(super) fn now(&self) -> Timestamp {
        self.sources.deployment.now()
    }

    /// The values now.
    pub(super) async fn samples(&self) -> Samples {
        self.figures.refresh().await;
        let mut samples = Samples::default();
        samples.count(&metric::BUILD, &[VERSION, COMMIT], 1);
        self.add_calls(&mut samples);
        self.add_connections(&mut samples);
        self.add_bounds(&mut samples);
        self.add_trust(&mut samples);
        self.add_organizations(&mut samples);
        self.add_stores(&mut samples);
        self.add_audit_copy(&mut samples);
        add_process(&mut samples, &self.figures.files());
        samples
    }

    fn add_calls(&self, samples: &mut Samples) {
        for row in self.sources.calls.rows() {
            let rpc = row.rpc();
            for (code, calls) in row.by_code() {
                samples.count(&metric::CALLS, &[rpc, code], calls);
            }
            if row.was_called() {
                samples.count(&metric::CALLS_IN_FLIGHT, &[rpc], row.in_flight());
                samples.add(&metric::CALL_DURATION, &[rpc], Value::Histogram(row.durations()));
            }
        }
    }

    fn add_connections(&self, samples: &mut Samples) {
        let ListenerSlots { tls, plaintext, load_balancers, hops } = &self.sources.slots;
        let one = |slots: &Arc<ConnectionSlots>| slots.counts();
        let by_listener = [
            ("tls", one(tls)),
            ("plaintext", one(plaintext)),
            ("load_balancer", one(load_balancers)),
            ("hop", hops.iter().map(one).sum()),
            ("metrics", one(&self.slots)),
        ];
        for (listener, counts) in by_listener {
            let by_state =
                [("identified", counts.identified), ("unidentified", counts.unidentified), ("refused", counts.refused)];
            for (state, connections) in by_state {
                samples.count(&metric::CONNECTIONS, &[listener, state], connections);
            }
            samples.count(&metric::CONNECTIONS_ACCEPTED, &[listener], counts.accepted);
        }
        for (cause, refused) in self.sources.refused_handshakes.all() {
            samples.count(&metric::HANDSHAKES_REFUSED, &[cause], refused);
        }
        samples.count(&metric::FORGED_HEADERS, &[], self.sources.forged.calls());
        for (cause, refused) in self.refused_scrapes.all() {
            samples.count(&metric::SCRAPES_REFUSED, &[cause], refused);
        }
        for (outcome, spans) in self.sources.span_outcomes.counts().all() {
            samples.count(&metric::SPANS, &[outcome], spans);
        }
    }

    fn add_bounds(&self, samples: &mut Samples) {
        let Sources { shed, budgets, limits, databases, .. } = &self.sources;
        for (bound, refused) in shed.refused() {
            samples.count(&metric::REFUSED_BY_BOUND, &[bound], refused);
        }
        let budgets = budgets.iter().map(|budget| {
            let (bound, used) = budget.use_of_process();
            (bound.name, used, bound.bytes)
        });
        let open = u64::try_from(databases.open_count()).unwrap_or(u64::MAX);
        let connections = self.sources.slots.tls.counts();
        let others = [
            ("databases_open_max", open, limits.databases_open_max.into()),
            ("connections_max", connections.identified + connections.unidentified, limits.connections_max.into()),
        ];
        for (bound, used, max) in budgets.chain(others) {
            samples.count(&metric::BOUND_USED, &[bound], used);
            samples.count(&metric::BOUND_MAX, &[bound], max);
        }
        for (bound, max) in
            [(KEY_CHANGES, limits.key_changes_per_hour), (KEY_RESTORES, limits.wrong_key_restores_per_15_minutes)]
        {
            samples.count(&metric::QUOTA_MAX, &[bound], max);
        }
    }

    fn add_trust(&self, samples: &mut Samples) {
        let trust = self.sources.trust.facts(self.sources.deployment.now());
        for certificate in trust.certificates.all() {
            let Some(not_after) = certificate.not_after() else { continue };
            let labels = [&*certificate.setting, &*certificate.subject];
            samples.count(&metric::CERTIFICATE_NOT_AFTER, &labels, not_after.timestamp());
        }
        if let Some(workload) = &self.sources.trust.workload {
            samples.count(&metric::WORKLOAD_API_CONNECTED, &[], i64::from(workload.is_connected()));
            for (result, updates) in workload.updates.all() {
                samples.count(&metric::WORKLOAD_API_UPDATES, &[result], updates);
            }
        }
        for list in trust.revocation_lists {
            let due = list.next_update.map_or(0, |due| due.timestamp());
            samples.count(&metric::LIST_NEXT_UPDATE, &[&list.issuer, &list.number], due);
        }
        for issuer in trust.token_issuers {
            samples.count(&metric::TOKEN_ISSUER_KEYS, &[&issuer.issuer], issuer.keys);
            if let Some(time) = issuer.fetch_time {
                samples.count(&metric::TOKEN_ISSUER_FETCHED, &[&issuer.issuer], unix_seconds(time));
            }
        }
    }

    fn add_organizations(&self, samples: &mut Samples) {
        let Sources { deployment, limits, .. } = &self.sources;
        let (now, served) = (deployment.now(), ServedOrganization::all(deployment));
        samples.count(&metric::ORGANIZATIONS, &[], served.len());
        samples.count(&metric::ORGANIZATIONS_NOT_SERVED, &[], deployment.not_served_count());
        let named = named(&served, limits.metrics_organizations_max);
        let files = self.figures.files();
        for served in &served {
            let (id, name) = (served.organization.id, served.organization.name.as_str());
            let label = if named.contains(&id) { name } else { metric::OTHER_ORGANIZATIONS };
            if let Some(is_active) = served.is_active {
                samples.count(&metric::ENCRYPTION_ACTIVE, &[label], i64::from(is_active));
            }
            if let Some((_, set_time)) = served.key {
                samples.count(&metric::KEY_SET_TIME, &[label], unix_seconds(set_time));
            }
            if let Some(due_time) = served.due_time {
                samples.count(&metric::KEY_CHANGE_DUE, &[label], i64::from(served.is_due(now)));
                samples.count(&metric::KEY_CHANGE_DUE_TIME, &[label], unix_seconds(due_time));
            }
            self.add_cells(samples, label, served, now);
            if let Some(bytes) = files.organizations.get(&id) {
                samples.count(&metric::DATABASE_BYTES, &[label, "database"], bytes.database);
                samples.count(&metric::DATABASE_BYTES, &[label, "log"], bytes.log);
            }
        }
    }

    fn add_cells(&self, samples: &mut Samples, label: &str, served: &ServedOrganization, now: Timestamp) {
        let Some(figures) = self.figures.of(served.organization.id) else { return };
        for (version, cells) in by_label(&figures.cells) {
            samples.count(&metric::CELLS, &[label, &version], cells);
        }
        samples.count(&metric::CELLS_UNREADABLE, &[label], figures.cells_unreadable);
        samples.count(&metric::QUOTA_USED, &[label, KEY_CHANGES], figures.changes_counted(now));
        samples.count(&metric::QUOTA_USED, &[label, KEY_RESTORES], figures.restores_counted(now));
        let Some(progress) = figures.reencryption else { return };
        samples.count(&metric::REENCRYPTION_UNFINISHED, &[label], i64::from(progress.is_unfinished));
        samples.count(&metric::REENCRYPTION_CELLS, &[label], progress.cells);
        samples.count(&metric::REENCRYPTION_CELLS_DONE, &[label], progress.cells_done);
        let rate = reencryption_rate(&self.sources.deployment, &served.organization, &progress);
        samples.add(&metric::REENCRYPTION_RATE, &[label], Value::Float(rate.unwrap_or(0.0)));
    }

    fn add_stores(&self, samples: &mut Samples) {
        let files = self.figures.files();
        samples.count(&metric::DATABASES_OPEN, &[], self.sources.databases.open_count());
        if let Some(bytes) = files.configuration {
            samples.count(&metric::CONFIGURATION_BYTES, &["database"], bytes.database);
            samples.count(&metric::CONFIGURATION_BYTES, &["log"], bytes.log);
        }
        if let Some(bytes) = files.available_bytes {
            samples.count(&metric::AVAILABLE_BYTES, &[], bytes);
        }
        for (store, transactions) in self.sources.transactions.by_store() {
            samples.count(&metric::COMMITS_WAITING, &[store], transactions.waiting());
            let histograms = [
                (&metric::STORE_WAIT, &transactions.waits),
                (&metric::STORE_TRANSACTION, &transactions.durations),
                (&metric::STORE_COMMITS, &transactions.commits),
                (&metric::STORE_ROWS, &transactions.rows),
            ];
            for (metric, histogram) in histograms {
                samples.add(metric, &[store], Value::Histogram(histogram.buckets()));
            }
            for (outcome, failed) in transactions.failed.all() {
                samples.count(&metric::STORE_FAILED, &[store, outcome], failed);
            }
        }
    }

    fn add_audit_copy(&self, samples: &mut Samples) {
        let Some(facts) = self.sources.audit_copy.facts() else { return };
        samples.count(&metric::AUDIT_COPY_FAILING, &[], i64::from(facts.failure.is_some()));
        samples.count(&metric::AUDIT_COPY_BEHIND, &[], facts.records_behind);
    }
}

/// The quotas of an organization.
const KEY_CHANGES: &str = "key_changes_per_hour";
const KEY_RESTORES: &str = "wrong_key_restores_per_15_minutes";

fn add_process(samples: &mut Samples, files: &FileFigures) {
    let process = files.process;
    if let Some(stat) = process.of_stat {
        samples.add(&metric::PROCESS_CPU, &[], Value::Float(stat.cpu.as_secs_f64()));
        samples.count(&metric::PROCESS_RESIDENT, &[], stat.resident_bytes);
        samples.count(&metric::PROCESS_VIRTUAL, &[], stat.virtual_bytes);
        samples.count(&metric::PROCESS_THREADS, &[], stat.threads);
    }
    if let Some(start_time) = process.start_time {
        samples.add(&metric::PROCESS_START, &[], Value::Float(start_time));
    }
    for (metric, number) in [(&metric::PROCESS_FDS, process.open_fds), (&metric::PROCESS_FDS_MAX, process.max_fds)] {
        if let Some(number) = number {
            samples.count(metric, &[], number);
        }
    }
}

/// The organizations with a label of their own: the oldest ones, so that a new organization takes no label from another.
fn named(served: &[ServedOrganization], max: u32) -> HashSet<OrganizationId> {
    let mut by_age: Vec<_> = served.iter().map(|served| &*served.organization).collect();
    by_age.sort_by_key(|organization| (organization.create_time, organization.id));
    by_age.iter().take(usize::try_from(max).unwrap_or(usize::MAX)).map(|organization| organization.id).collect()
}

/// The numbers of cells by the value of the label `key_version`.
fn by_label(cells: &BTreeMap<Option<KeyVersion>, u64>) -> Vec<(String, u64)> {
    let newest_first = cells.iter().rev().filter_map(|(version, cells)| Some(((*version)?, *cells)));
    let labelled = newest_first.enumerate().map(|(index, (version, cells))| {
        let is_new = index < metric::KEY_VERSIONS_MAX;
        (if is_new { version.get().to_string() } else { metric::OLDER_VERSIONS.to_owned() }, cells)
    });
    let malformed = cells.get(&None).map(|cells| (metric::MALFORMED.to_owned(), *cells));
    labelled.chain(malformed).collect()
}

fn unix_seconds(time: Timestamp) -> i64 {
    time.unix_micros().div_euclid(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_key_versions_have_labels() {
        let version = |number| KeyVersion::new(number);
        let cells: BTreeMap<_, _> = (1..=6).map(|number| (version(number), u64::from(number))).collect();
        let labels = |cells| by_label(cells).into_iter().map(|(label, _)| label).collect::<Vec<_>>();
        assert_eq!(labels(&cells), ["6", "5", "4", "3", "older", "older"]);
        let with_malformed = [(None, 9), (version(12), 1)].into();
        assert_eq!(by_label(&with_malformed), [("12".to_owned(), 1), ("malformed".to_owned(), 9)]);
    }
}
