//! All metrics: each declared once, with name, type, unit, labels and help.
//!
//! The scrape, docs/metrics.md and the checks of alerts and dashboard are made from this table. A label's values come from a list that
//! callers can't extend: nothing here is an identity, a purpose or an address.

/// A metric.
#[derive(Debug)]
pub(super) struct Metric {
    /// The name. Samples of a counter add `_total`, those of a histogram `_bucket`, `_sum` and `_count`.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// The unit, which is also the end of the name.
    pub(super) unit: Option<&'static str>,
    pub(super) labels: &'static [&'static Label],
    /// How values with the same labels are combined: those of the organizations without a label of their own.
    pub(super) combined: Combined,
    /// Its description, in one line.
    pub(super) help: &'static str,
}

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A label.
#[derive(Debug)]
pub(super) struct Label {
    pub(super) name: &'static str,
    /// Its values, and what bounds their number.
    pub(super) values: &'static str,
}

/// How values with the same labels are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Combined {
    Sum,
    Least,
    Most,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

impl Combined {
    pub(super) fn name(self) -> &'static str {
        match self {
            Combined::Sum => "sum",
            Combined::Least => "least",
            Combined::Most => "most",
        }
    }
}

impl Metric {
    /// The names of its samples.
    pub(super) fn samples(&self) -> Vec<String> {
        let suffixes: &[&str] = match self.kind {
            Kind::Counter => &["_total"],
            Kind::Gauge => &[""],
            Kind::Histogram => &["_bucket", "_sum", "_count"],
        };
        suffixes.iter().map(|suffix| format!("{}{suffix}", self.name)).collect()
    }

    /// The name in queries and in the reference.
    pub(super) fn shown(&self) -> String {
        match self.kind {
            Kind::Counter => format!("{}_total", self.name),
            Kind::Gauge | Kind::Histogram => self.name.to_owned(),
        }
    }
}

/// The value of the label `organization` for all organizations beyond the limit. Organizations can't have this name.
pub(super) const OTHER_ORGANIZATIONS: &str = "other_organizations";

/// The value of the label `key_version` for all versions beyond the newest ones, and for bytes that aren't a cell.
pub(super) const OLDER_VERSIONS: &str = "older";
pub(super) const MALFORMED: &str = "malformed";

/// The number of key versions with a label of their own.
pub(super) const KEY_VERSIONS_MAX: usize = 4;

macro_rules! labels {
    ($($(#[doc = $values:literal])+ $id:ident = $name:literal;)+) => {
        $(static $id: Label = Label { name: $name, values: concat!($($values),+) };)+

        /// All labels.
        pub(super) static LABELS: &[&Label] = &[$(&$id),+];
    };
}

labels! {
    /// The name of an organization: the oldest `limits.metrics_organizations_max` ones, and `other_organizations` for all others.
    ORGANIZATION = "organization";
    /// A served method, such as `sealward.v1.AccessService/WhoAmI`; `grpc.health.v1.Health` for health checks, and `other` for all other methods.
    RPC = "rpc";
    /// One of the 17 codes of gRPC, such as `OK`.
    CODE = "code";
    /// `tls`, `plaintext`, `hop`, `load_balancer` or `metrics`.
    LISTENER = "listener";
    /// `identified`, `unidentified` or `refused`: the caller has no place, and its first call is refused.
    STATE = "state";
    /// One of the causes in [Refused handshakes](operations.md#refused-handshakes).
    HANDSHAKE_CAUSE = "cause";
    /// `no_credentials`, `wrong_token`, `wrong_certificate` or `token_unreadable`.
    SCRAPE_CAUSE = "cause";
    /// The name of a setting in [`[limits]`](reference/configuration.md#limits).
    BOUND = "bound";
    /// A setting that names certificates: `tls.certificate`, `tls.spiffe_workload_api`, `tls.client_ca`, `traces.ca`,
    /// `traces.client_certificate`, or `trust_domains`, `tls.spiffe_workload_api` and `token_issuers` with ` of ` and the name of an entry.
    SETTING = "setting";
    /// The subject of a certificate of the configuration.
    SUBJECT = "subject";
    /// The subject of a CA with a revocation list.
    LIST_ISSUER = "issuer";
    /// The number of a revocation list.
    NUMBER = "number";
    /// The issuer of bearer tokens in the configuration.
    TOKEN_ISSUER = "issuer";
    /// The version of the data key: the four newest of an organization that have cells, `older`, and `malformed` for bytes that aren't a cell.
    KEY_VERSION = "key_version";
    /// `configuration` or `organizations`.
    STORE = "store";
    /// `database` or `log`.
    FILE = "file";
    /// `exported`, or why they were lost: `queue_full` and `call_full` by a limit, `refused` by the collector, `unreachable` because it
    /// didn't answer, couldn't serve them now, or the files of `[traces]` couldn't be used, `shutdown` because the server stopped.
    SPAN_OUTCOME = "outcome";
    /// `applied` or `refused`.
    RESULT = "result";
    /// `not_written` or `unknown`.
    OUTCOME = "outcome";
    /// The version of the server.
    VERSION = "version";
    /// The commit that the server was built from.
    COMMIT = "commit";
}

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $id:ident: $kind:ident $name:literal $(in $unit:literal)? [$($label:ident),*] $combined:ident;)+) => {
        $(
            $(#[doc = $help])+
            pub(super) static $id: Metric = Metric {
                name: $name,
                kind: Kind::$kind,
                unit: unit!($($unit)?),
                labels: &[$(&$label),*],
                combined: Combined::$combined,
                help: concat!($($help),+),
            };
        )+

        /// All metrics, in the order of a scrape.
        pub(super) static METRICS: &[&Metric] = &[$(&$id),+];
    };
}

macro_rules! unit {
    () => {
        None
    };
    ($unit:literal) => {
        Some($unit)
    };
}

metrics! {
    /// Always 1, with the version of the server.
    BUILD: Gauge "sealward_build_info" [VERSION, COMMIT] Most;

    /// Ended calls.
    CALLS: Counter "sealward_calls" [RPC, CODE] Sum;
    /// Durations of ended calls, from their headers to the end of their answers; a stream may last for hours.
    CALL_DURATION: Histogram "sealward_call_duration_seconds" in "seconds" [RPC] Sum;
    /// Calls that have begun and not ended.
    CALLS_IN_FLIGHT: Gauge "sealward_calls_in_flight" [RPC] Sum;

    /// Open connections.
    CONNECTIONS: Gauge "sealward_connections" [LISTENER, STATE] Sum;
    /// Accepted connections.
    CONNECTIONS_ACCEPTED: Counter "sealward_connections_accepted" [LISTENER] Sum;
    /// Refused handshakes of the listeners with TLS.
    HANDSHAKES_REFUSED: Counter "sealward_handshakes_refused" [HANDSHAKE_CAUSE] Sum;
    /// Calls from which headers of proxies were removed, because their sender isn't a hop.
    FORGED_HEADERS: Counter "sealward_forged_headers" [] Sum;
    /// Scrapes refused because of their credentials.
    SCRAPES_REFUSED: Counter "sealward_scrapes_refused" [SCRAPE_CAUSE] Sum;
    /// Spans for the collector of traces.
    SPANS: Counter "sealward_trace_spans" [SPAN_OUTCOME] Sum;
    /// Connections, calls, messages and log lines refused by a limit.
    REFUSED_BY_BOUND: Counter "sealward_refused_by_bound" [BOUND] Sum;
    /// The current use of a limit of the process, in the unit of the limit.
    BOUND_USED: Gauge "sealward_bound_used" [BOUND] Sum;
    /// The value of such a limit.
    BOUND_MAX: Gauge "sealward_bound_max" [BOUND] Sum;
    /// Events that count for a quota of an organization now.
    QUOTA_USED: Gauge "sealward_quota_used" [ORGANIZATION, BOUND] Most;
    /// The value of such a quota; 0 is unlimited.
    QUOTA_MAX: Gauge "sealward_quota_max" [BOUND] Most;

    /// When a certificate that a setting names expires, in Unix time. The CAs of the system have none.
    CERTIFICATE_NOT_AFTER: Gauge "sealward_certificate_not_after_seconds" in "seconds" [SETTING, SUBJECT] Least;
    /// Whether the agent of the SPIFFE Workload API is reached. Only if `tls.spiffe_workload_api` is set.
    WORKLOAD_API_CONNECTED: Gauge "sealward_workload_api_connected" [] Least;
    /// Updates of the Workload API after the start. A refused one leaves the former certificate or bundles in use.
    WORKLOAD_API_UPDATES: Counter "sealward_workload_api_updates" [RESULT] Sum;
    /// When the next revocation list of a CA is due, in Unix time; 0 if the list has no such time.
    LIST_NEXT_UPDATE: Gauge "sealward_revocation_list_next_update_seconds" in "seconds" [LIST_ISSUER, NUMBER] Least;
    /// Keys in use that verify the tokens of an issuer.
    TOKEN_ISSUER_KEYS: Gauge "sealward_token_issuer_keys" [TOKEN_ISSUER] Sum;
    /// When the keys of a token issuer were last fetched, in Unix time.
    TOKEN_ISSUER_FETCHED: Gauge "sealward_token_issuer_keys_fetched_seconds" in "seconds" [TOKEN_ISSUER] Least;

    /// Organizations that are served.
    ORGANIZATIONS: Gauge "sealward_organizations" [] Sum;
    /// Organizations that are listed but not served.
    ORGANIZATIONS_NOT_SERVED: Gauge "sealward_organizations_not_served" [] Sum;
    /// Whether the organization's encryption key is present.
    ENCRYPTION_ACTIVE: Gauge "sealward_encryption_active" [ORGANIZATION] Least;
    /// When the organization's encryption key was set, in Unix time.
    KEY_SET_TIME: Gauge "sealward_key_set_time_seconds" in "seconds" [ORGANIZATION] Least;
    /// Whether the organization's encryption key is due for a change.
    KEY_CHANGE_DUE: Gauge "sealward_key_change_due" [ORGANIZATION] Most;
    /// When the organization's encryption key is due for a change, in Unix time.
    KEY_CHANGE_DUE_TIME: Gauge "sealward_key_change_due_time_seconds" in "seconds" [ORGANIZATION] Least;
    /// Cells by the version of their data key.
    CELLS: Gauge "sealward_cells" [ORGANIZATION, KEY_VERSION] Sum;
    /// Cells that the last re-encryption couldn't open, and that weren't replaced since.
    CELLS_UNREADABLE: Gauge "sealward_cells_unreadable" [ORGANIZATION] Sum;
    /// Whether a re-encryption is unfinished.
    REENCRYPTION_UNFINISHED: Gauge "sealward_reencryption_unfinished" [ORGANIZATION] Most;
    /// Cells that the last re-encryption seals again; 0 until they are counted.
    REENCRYPTION_CELLS: Gauge "sealward_reencryption_cells" [ORGANIZATION] Sum;
    /// Cells that the last re-encryption has sealed again.
    REENCRYPTION_CELLS_DONE: Gauge "sealward_reencryption_cells_done" [ORGANIZATION] Sum;
    /// Cells that a re-encryption seals again per second, over the last ten seconds.
    REENCRYPTION_RATE: Gauge "sealward_reencryption_cells_per_second" [ORGANIZATION] Sum;

    /// Organizations' databases that are open.
    DATABASES_OPEN: Gauge "sealward_databases_open" [] Sum;
    /// Sizes of the files of organizations' databases.
    DATABASE_BYTES: Gauge "sealward_database_file_bytes" in "bytes" [ORGANIZATION, FILE] Sum;
    /// Sizes of the files of the configuration database.
    CONFIGURATION_BYTES: Gauge "sealward_configuration_file_bytes" in "bytes" [FILE] Sum;
    /// Space that is left in the data folder.
    AVAILABLE_BYTES: Gauge "sealward_data_dir_available_bytes" in "bytes" [] Least;
    /// Commits that wait for a transaction or are in one.
    COMMITS_WAITING: Gauge "sealward_store_commits_waiting" [STORE] Sum;
    /// The longest wait of a commit in each transaction, until the transaction began.
    STORE_WAIT: Histogram "sealward_store_wait_seconds" in "seconds" [STORE] Sum;
    /// Durations of transactions, with the wait for the disk.
    STORE_TRANSACTION: Histogram "sealward_store_transaction_seconds" in "seconds" [STORE] Sum;
    /// Commits in a transaction.
    STORE_COMMITS: Histogram "sealward_store_transaction_commits" [STORE] Sum;
    /// Rows that a transaction writes.
    STORE_ROWS: Histogram "sealward_store_transaction_rows" [STORE] Sum;
    /// Failed transactions.
    STORE_FAILED: Counter "sealward_store_transactions_failed" [STORE, OUTCOME] Sum;

    /// Whether the copy of the audit trails can't be written.
    AUDIT_COPY_FAILING: Gauge "sealward_audit_copy_failing" [] Most;
    /// Audit records that are not in the copy yet.
    AUDIT_COPY_BEHIND: Gauge "sealward_audit_copy_records_behind" [] Sum;

    /// Processor time of the process, in user and system mode.
    PROCESS_CPU: Counter "process_cpu_seconds" in "seconds" [] Sum;
    /// When the process started, in Unix time.
    PROCESS_START: Gauge "process_start_time_seconds" in "seconds" [] Sum;
    /// Resident memory.
    PROCESS_RESIDENT: Gauge "process_resident_memory_bytes" in "bytes" [] Sum;
    /// Virtual memory.
    PROCESS_VIRTUAL: Gauge "process_virtual_memory_bytes" in "bytes" [] Sum;
    /// Threads.
    PROCESS_THREADS: Gauge "process_threads" [] Sum;
    /// Open file descriptors.
    PROCESS_FDS: Gauge "process_open_fds" [] Sum;
    /// The maximum number of open file descriptors.
    PROCESS_FDS_MAX: Gauge "process_max_fds" [] Sum;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_follow_the_rules_of_prometheus() {
        let mut names = BTreeSet::new();
        for metric in METRICS {
            let Metric { name, kind, unit, labels, help, .. } = metric;
            assert!(name.starts_with("sealward_") || name.starts_with("process_"), "{name}");
            assert!(!name.ends_with("_total") && *kind != Kind::Counter || !name.ends_with("_total"), "{name}");
            let ends_with_unit = ["_seconds", "_bytes"].iter().any(|unit| name.ends_with(unit));
            assert_eq!(unit.is_some(), ends_with_unit && !name.ends_with("_per_second"), "{name}");
            assert!(unit.is_none_or(|unit| name.ends_with(&format!("_{unit}"))), "{name}");
            assert!(help.starts_with(' ') && help.ends_with('.'), "{name}: {help}");
            assert!(names.insert(*name), "{name} appears twice");
            let distinct: BTreeSet<_> = labels.iter().map(|label| label.name).collect();
            assert_eq!(distinct.len(), labels.len(), "{name}");
        }
    }

    #[test]
    fn no_label_is_about_a_caller() {
        for label in LABELS {
            let about_callers = ["identity", "caller", "peer", "address", "purpose", "record", "user", "client"];
            assert!(!about_callers.contains(&label.name), "{}", label.name);
            assert!(METRICS.iter().any(|metric| metric.labels.iter().any(|other| std::ptr::eq(*other, *label))));
        }
    }

    #[test]
    fn label_for_all_other_organizations_is_not_the_name_of_one() {
        assert!(OTHER_ORGANIZATIONS.parse::<sealward_core::name::OrganizationName>().is_err());
    }
}
