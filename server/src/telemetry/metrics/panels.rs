//! The panels of the dashboard. Each is a chart of some expressions in PromQL.

/// A row of panels.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) title: &'static str,
    pub(super) panels: &'static [Panel],
}

/// A chart.
#[derive(Debug)]
pub(super) struct Panel {
    pub(super) title: &'static str,
    /// The unit, as Grafana names it.
    pub(super) unit: &'static str,
    /// Expressions, each with the legend of its series.
    pub(super) queries: &'static [(&'static str, &'static str)],
}

/// All rows of the dashboard.
pub(super) static ROWS: &[Row] = &[
    Row {
        title: "Calls",
        panels: &[
            Panel {
                title: "Calls by code",
                unit: "reqps",
                queries: &[("sum by (code) (rate(sealward_calls_total[5m]))", "{{code}}")],
            },
            Panel {
                title: "Calls by method",
                unit: "reqps",
                queries: &[("topk(10, sum by (rpc) (rate(sealward_calls_total[5m])))", "{{rpc}}")],
            },
            Panel {
                title: "Failed calls by method",
                unit: "reqps",
                queries: &[(
                    "sum by (rpc, code) (rate(sealward_calls_total{code=~\"UNKNOWN|INTERNAL|UNAVAILABLE|DATA_LOSS\"}[5m])) > 0",
                    "{{rpc}} {{code}}",
                )],
            },
            Panel {
                title: "Duration of calls",
                unit: "s",
                queries: &[
                    (
                        "histogram_quantile(0.5, sum by (le) (rate(sealward_call_duration_seconds_bucket[5m])))",
                        "median",
                    ),
                    ("histogram_quantile(0.99, sum by (le) (rate(sealward_call_duration_seconds_bucket[5m])))", "99 %"),
                ],
            },
            Panel {
                title: "Slowest methods, 99 %",
                unit: "s",
                queries: &[(
                    "topk(10, histogram_quantile(0.99, sum by (rpc, le) (rate(sealward_call_duration_seconds_bucket[5m]))))",
                    "{{rpc}}",
                )],
            },
            Panel {
                title: "Calls in flight",
                unit: "short",
                queries: &[("sum by (rpc) (sealward_calls_in_flight) > 0", "{{rpc}}")],
            },
        ],
    },
    Row {
        title: "Connections and limits",
        panels: &[
            Panel {
                title: "Open connections",
                unit: "short",
                queries: &[("sum by (listener, state) (sealward_connections)", "{{listener}} {{state}}")],
            },
            Panel {
                title: "Accepted connections",
                unit: "cps",
                queries: &[("sum by (listener) (rate(sealward_connections_accepted_total[5m]))", "{{listener}}")],
            },
            Panel {
                title: "Refused handshakes and scrapes",
                unit: "cps",
                queries: &[
                    ("sum by (cause) (rate(sealward_handshakes_refused_total[5m])) > 0", "{{cause}}"),
                    ("sum by (cause) (rate(sealward_scrapes_refused_total[5m])) > 0", "scrape: {{cause}}"),
                ],
            },
            Panel {
                title: "Calls with forged headers of proxies",
                unit: "cps",
                queries: &[("sum by (instance) (rate(sealward_forged_headers_total[5m]))", "{{instance}}")],
            },
            Panel {
                title: "Spans for the collector of traces",
                unit: "cps",
                queries: &[("sum by (outcome) (rate(sealward_trace_spans_total[5m])) > 0", "{{outcome}}")],
            },
            Panel {
                title: "Refused by limits",
                unit: "cps",
                queries: &[("sum by (bound) (rate(sealward_refused_by_bound_total[5m])) > 0", "{{bound}}")],
            },
            Panel {
                title: "Use of limits",
                unit: "percentunit",
                queries: &[("sealward_bound_used / sealward_bound_max", "{{instance}} {{bound}}")],
            },
            Panel {
                title: "Use of quotas",
                unit: "percentunit",
                queries: &[(
                    "sealward_quota_used / on (instance, bound) group_left () (sealward_quota_max > 0)",
                    "{{organization}} {{bound}}",
                )],
            },
        ],
    },
    Row {
        title: "Keys and cells",
        panels: &[
            Panel {
                title: "Organizations",
                unit: "short",
                queries: &[
                    ("sum by (instance) (sealward_organizations)", "{{instance}} served"),
                    ("sum by (instance) (sealward_organizations_not_served)", "{{instance}} not served"),
                    ("sum by (instance) (1 - sealward_encryption_active)", "{{instance}} key missing"),
                    ("sum by (instance) (sealward_key_change_due)", "{{instance}} change due"),
                ],
            },
            Panel {
                title: "Age of keys",
                unit: "s",
                queries: &[("time() - sealward_key_set_time_seconds", "{{organization}}")],
            },
            Panel {
                title: "Time until a change is due",
                unit: "s",
                queries: &[("sealward_key_change_due_time_seconds - time()", "{{organization}}")],
            },
            Panel {
                title: "Cells by key version",
                unit: "short",
                queries: &[("sealward_cells", "{{organization}} {{key_version}}")],
            },
            Panel {
                title: "Unreadable cells",
                unit: "short",
                queries: &[("sealward_cells_unreadable > 0", "{{organization}}")],
            },
            Panel {
                title: "Progress of re-encryptions",
                unit: "percentunit",
                queries: &[(
                    "(sealward_reencryption_cells_done / (sealward_reencryption_cells > 0)) and sealward_reencryption_unfinished == 1",
                    "{{organization}}",
                )],
            },
            Panel {
                title: "Rate of re-encryptions",
                unit: "short",
                queries: &[("sealward_reencryption_cells_per_second > 0", "{{organization}}")],
            },
        ],
    },
    Row {
        title: "Certificates and tokens",
        panels: &[
            Panel {
                title: "Time until certificates expire",
                unit: "s",
                queries: &[("sealward_certificate_not_after_seconds - time()", "{{setting}} {{subject}}")],
            },
            Panel {
                title: "Workload API",
                unit: "short",
                queries: &[
                    ("sealward_workload_api_connected", "{{instance}} connected"),
                    ("increase(sealward_workload_api_updates_total[5m])", "{{instance}} {{result}}"),
                ],
            },
            Panel {
                title: "Time until revocation lists are due",
                unit: "s",
                queries: &[("(sealward_revocation_list_next_update_seconds > 0) - time()", "{{issuer}} {{number}}")],
            },
            Panel {
                title: "Keys of token issuers",
                unit: "short",
                queries: &[("sealward_token_issuer_keys", "{{issuer}}")],
            },
            Panel {
                title: "Age of fetched keys",
                unit: "s",
                queries: &[("time() - sealward_token_issuer_keys_fetched_seconds", "{{issuer}}")],
            },
        ],
    },
    Row {
        title: "Store and audit",
        panels: &[
            Panel {
                title: "Duration of transactions",
                unit: "s",
                queries: &[
                    (
                        "histogram_quantile(0.5, sum by (store, le) (rate(sealward_store_transaction_seconds_bucket[5m])))",
                        "{{store}} median",
                    ),
                    (
                        "histogram_quantile(0.99, sum by (store, le) (rate(sealward_store_transaction_seconds_bucket[5m])))",
                        "{{store}} 99 %",
                    ),
                ],
            },
            Panel {
                title: "Wait for a transaction, 99 %",
                unit: "s",
                queries: &[(
                    "histogram_quantile(0.99, sum by (store, le) (rate(sealward_store_wait_seconds_bucket[5m])))",
                    "{{store}}",
                )],
            },
            Panel {
                title: "Waiting commits",
                unit: "short",
                queries: &[("sum by (instance, store) (sealward_store_commits_waiting)", "{{instance}} {{store}}")],
            },
            Panel {
                title: "Commits and rows in a transaction",
                unit: "short",
                queries: &[
                    (
                        "sum by (store) (rate(sealward_store_transaction_commits_sum[5m])) \
                         / sum by (store) (rate(sealward_store_transaction_commits_count[5m]))",
                        "{{store}} commits",
                    ),
                    (
                        "sum by (store) (rate(sealward_store_transaction_rows_sum[5m])) \
                         / sum by (store) (rate(sealward_store_transaction_rows_count[5m]))",
                        "{{store}} rows",
                    ),
                ],
            },
            Panel {
                title: "Failed transactions",
                unit: "ops",
                queries: &[(
                    "sum by (store, outcome) (rate(sealward_store_transactions_failed_total[5m]))",
                    "{{store}} {{outcome}}",
                )],
            },
            Panel { title: "Open databases", unit: "short", queries: &[("sealward_databases_open", "{{instance}}")] },
            Panel {
                title: "Sizes of files",
                unit: "bytes",
                queries: &[
                    ("sealward_database_file_bytes", "{{organization}} {{file}}"),
                    ("sealward_configuration_file_bytes", "configuration {{file}}"),
                ],
            },
            Panel {
                title: "Space left in the data folder",
                unit: "bytes",
                queries: &[("sealward_data_dir_available_bytes", "{{instance}}")],
            },
            Panel {
                title: "Audit copy",
                unit: "short",
                queries: &[
                    ("sealward_audit_copy_records_behind", "{{instance}} records behind"),
                    ("sealward_audit_copy_failing", "{{instance}} failing"),
                ],
            },
        ],
    },
    Row {
        title: "Process",
        panels: &[
            Panel {
                title: "Processors in use",
                unit: "short",
                queries: &[("rate(process_cpu_seconds_total{job=\"sealward\"}[5m])", "{{instance}}")],
            },
            Panel {
                title: "Memory",
                unit: "bytes",
                queries: &[
                    ("process_resident_memory_bytes{job=\"sealward\"}", "{{instance}} resident"),
                    ("process_virtual_memory_bytes{job=\"sealward\"}", "{{instance}} virtual"),
                ],
            },
            Panel {
                title: "File descriptors and threads",
                unit: "short",
                queries: &[
                    ("process_open_fds{job=\"sealward\"}", "{{instance}} descriptors"),
                    ("process_max_fds{job=\"sealward\"}", "{{instance}} maximum"),
                    ("process_threads{job=\"sealward\"}", "{{instance}} threads"),
                ],
            },
            Panel {
                title: "Time since the start",
                unit: "s",
                queries: &[("time() - process_start_time_seconds{job=\"sealward\"}", "{{instance}}")],
            },
            Panel {
                title: "Versions",
                unit: "short",
                queries: &[("count by (version, commit) (sealward_build_info)", "{{version}} {{commit}}")],
            },
        ],
    },
];
