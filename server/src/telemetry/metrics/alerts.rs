//! The alerts: for each, its expression, its meaning, what to do, and series for which it fires and doesn't fire.
//!
//! `deploy/monitoring` has them as rules of Prometheus, with tests of these series. docs/operations.md explains them. A job named `sealward`
//! scrapes the servers; only metrics that other programs have too name it.

/// An alert.
#[derive(Debug)]
pub(super) struct Alert {
    pub(super) name: &'static str,
    /// In PromQL.
    pub(super) expression: &'static str,
    /// The number of minutes for which the expression must hold.
    pub(super) minutes: u32,
    pub(super) severity: Severity,
    pub(super) meaning: &'static str,
    pub(super) remedy: &'static str,
    /// Series for which it fires, with the labels of the alert.
    pub(super) fires: Example,
    /// Series of a healthy server.
    pub(super) healthy: &'static [Series],
}

/// How soon somebody has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// Now: calls fail, or data is in danger.
    Page,
    /// Within days.
    Ticket,
}

impl Severity {
    pub(super) fn name(self) -> &'static str {
        match self {
            Severity::Page => "page",
            Severity::Ticket => "ticket",
        }
    }
}

/// A series, and its values for each minute in the notation of promtool: `first+step x times`.
pub(super) type Series = (&'static str, &'static str);

/// Series for which an alert fires, and its labels then.
#[derive(Debug)]
pub(super) struct Example {
    pub(super) series: &'static [Series],
    pub(super) labels: &'static [(&'static str, &'static str)],
}

/// The minute of the examples at which alerts are expected. Their series have values until then.
pub(super) const EXAMPLE_MINUTES: u32 = 120;

const CONTOSO: &[(&str, &str)] = &[("organization", "contoso")];
const INSTANCE: &[(&str, &str)] = &[("instance", "a")];

/// All alerts, the most urgent first.
pub(super) static ALERTS: &[Alert] = &[
    Alert {
        name: "SealwardDown",
        expression: "up{job=\"sealward\"} == 0",
        minutes: 5,
        severity: Severity::Page,
        meaning: "A server can't be scraped.",
        remedy: "Start it, and see the last lines of its log. If it runs, check the address, the token and the certificate of the scraper.",
        fires: Example { series: &[("up{job=\"sealward\"}", "0+0x120")], labels: &[("job", "sealward")] },
        healthy: &[("up{job=\"sealward\"}", "1+0x120"), ("up{job=\"other\"}", "0+0x120")],
    },
    Alert {
        name: "SealwardOrganizationNotServed",
        expression: "sealward_organizations_not_served > 0",
        minutes: 5,
        severity: Severity::Page,
        meaning: "An organization can't be served: its database is missing, damaged or newer than the server.",
        remedy: "Find `organization not served` in the log, and see Backups in docs/getting-started.md.",
        fires: Example { series: &[("sealward_organizations_not_served", "1+0x120")], labels: &[] },
        healthy: &[("sealward_organizations_not_served", "0+0x120")],
    },
    Alert {
        name: "SealwardKeyMissing",
        expression: "sealward_encryption_active == 0",
        minutes: 5,
        severity: Severity::Page,
        meaning: "The encryption key of an organization is missing: no value can be written or revealed.",
        remedy: "Restore the key: `sealward -o NAME key restore`.",
        fires: Example {
            series: &[("sealward_encryption_active{organization=\"contoso\"}", "0+0x120")],
            labels: CONTOSO,
        },
        healthy: &[("sealward_encryption_active{organization=\"contoso\"}", "1+0x120")],
    },
    Alert {
        name: "SealwardCallsFailing",
        expression: "sum by (instance) (rate(sealward_calls_total{code=~\"UNKNOWN|INTERNAL|UNAVAILABLE|DATA_LOSS\"}[5m])) \
                     / sum by (instance) (rate(sealward_calls_total[5m])) > 0.01",
        minutes: 10,
        severity: Severity::Page,
        meaning: "More than one in a hundred calls fails because of the server.",
        remedy: "Find `answered` at level `warn` in the log: `cause` has details.",
        fires: Example {
            series: &[
                ("sealward_calls_total{instance=\"a\",code=\"OK\"}", "0+90x120"),
                ("sealward_calls_total{instance=\"a\",code=\"UNAVAILABLE\"}", "0+10x120"),
            ],
            labels: INSTANCE,
        },
        healthy: &[
            ("sealward_calls_total{instance=\"a\",code=\"OK\"}", "0+1000x120"),
            ("sealward_calls_total{instance=\"a\",code=\"UNAVAILABLE\"}", "0+1x120"),
            ("sealward_calls_total{instance=\"a\",code=\"NOT_FOUND\"}", "0+900x120"),
        ],
    },
    Alert {
        name: "SealwardStoreFailing",
        expression: "sum by (instance, store, outcome) (increase(sealward_store_transactions_failed_total[10m])) > 0",
        minutes: 0,
        severity: Severity::Page,
        meaning: "A transaction failed. With the outcome `unknown`, its callers don't know whether it was written.",
        remedy: "Check the disk and its space, and find `transaction failed` and `transaction outcome unknown` in the log.",
        fires: Example {
            series: &[(
                "sealward_store_transactions_failed_total{instance=\"a\",store=\"organizations\",outcome=\"unknown\"}",
                "0+0x115 1+0x5",
            )],
            labels: &[("instance", "a"), ("store", "organizations"), ("outcome", "unknown")],
        },
        healthy: &[(
            "sealward_store_transactions_failed_total{instance=\"a\",store=\"organizations\",outcome=\"unknown\"}",
            "3+0x120",
        )],
    },
    Alert {
        name: "SealwardDiskFull",
        expression: "sealward_data_dir_available_bytes < 1073741824",
        minutes: 5,
        severity: Severity::Page,
        meaning: "The data folder has less than 1 GiB of free space. Every write fails when the disk is full.",
        remedy: "Free space, or move the data folder to a larger disk.",
        fires: Example { series: &[("sealward_data_dir_available_bytes", "1000000000+0x120")], labels: &[] },
        healthy: &[("sealward_data_dir_available_bytes", "1073741824+0x120")],
    },
    Alert {
        name: "SealwardCertificateExpired",
        expression: "sealward_certificate_not_after_seconds\
                     {setting!~\"tls.spiffe_workload_api of .*|traces[.].*|token_issuers of .*\"} < time()",
        minutes: 0,
        severity: Severity::Page,
        meaning: "A certificate has expired: clients refuse the server, or the server refuses the clients of a CA.",
        remedy: "Renew the certificate. A running server loads the new files.",
        fires: Example {
            series: &[("sealward_certificate_not_after_seconds{setting=\"tls.certificate\"}", "3600+0x120")],
            labels: &[("setting", "tls.certificate")],
        },
        healthy: &[
            ("sealward_certificate_not_after_seconds{setting=\"tls.certificate\"}", "86400+0x120"),
            // A bundle contains former CAs for some time.
            ("sealward_certificate_not_after_seconds{setting=\"tls.spiffe_workload_api of a\"}", "3600+0x120"),
            // No call fails: the alert for certificates that expire has it.
            ("sealward_certificate_not_after_seconds{setting=\"traces.client_certificate\"}", "3600+0x120"),
        ],
    },
    Alert {
        name: "SealwardWorkloadApiLost",
        expression: "sealward_workload_api_connected == 0",
        minutes: 5,
        severity: Severity::Page,
        meaning: "The agent of the SPIFFE Workload API isn't reached. The server serves until its certificate expires, often within an hour.",
        remedy: "Check the SPIRE agent, its socket, and the registration entry. `workload API lost` in the log has the cause.",
        fires: Example { series: &[("sealward_workload_api_connected", "0+0x120")], labels: &[] },
        healthy: &[("sealward_workload_api_connected", "1+0x120")],
    },
    Alert {
        name: "SealwardWorkloadApiUpdateRefused",
        expression: "sum by (instance) (increase(sealward_workload_api_updates_total{result=\"refused\"}[15m])) > 0",
        minutes: 0,
        severity: Severity::Ticket,
        meaning: "An update of the SPIFFE Workload API can't be used. The former certificate and bundles stay in use until they expire.",
        remedy: "Find `reload failed` in the log, and correct the registration entry or the bundle.",
        fires: Example {
            series: &[("sealward_workload_api_updates_total{instance=\"a\",result=\"refused\"}", "0+0x115 1+0x5")],
            labels: INSTANCE,
        },
        healthy: &[
            ("sealward_workload_api_updates_total{instance=\"a\",result=\"refused\"}", "1+0x120"),
            ("sealward_workload_api_updates_total{instance=\"a\",result=\"applied\"}", "0+1x120"),
        ],
    },
    Alert {
        name: "SealwardTokenIssuerWithoutKeys",
        expression: "sealward_token_issuer_keys == 0",
        minutes: 5,
        severity: Severity::Page,
        meaning: "Every token of an issuer is refused.",
        remedy: "Check its `jwks_url` or `jwks`.",
        fires: Example {
            series: &[("sealward_token_issuer_keys{issuer=\"i\"}", "0+0x120")],
            labels: &[("issuer", "i")],
        },
        healthy: &[("sealward_token_issuer_keys{issuer=\"i\"}", "1+0x120")],
    },
    Alert {
        name: "SealwardAuditCopyFailing",
        expression: "sealward_audit_copy_failing == 1",
        minutes: 5,
        severity: Severity::Page,
        meaning: "The copy of the audit trails can't be written. With `on_failure = \"refuse\"`, calls are refused.",
        remedy: "Make the target of `[audit]` writable: disk space, rights, the reader of stdout.",
        fires: Example { series: &[("sealward_audit_copy_failing", "1+0x120")], labels: &[] },
        healthy: &[("sealward_audit_copy_failing", "0+0x120")],
    },
    Alert {
        name: "SealwardAuditCopyBehind",
        expression: "sealward_audit_copy_records_behind > 1000",
        minutes: 10,
        severity: Severity::Ticket,
        meaning: "The copy of the audit trails is slower than the calls.",
        remedy: "Use a faster target for `[audit]`.",
        fires: Example { series: &[("sealward_audit_copy_records_behind", "1001+0x120")], labels: &[] },
        healthy: &[("sealward_audit_copy_records_behind", "1000+0x120")],
    },
    Alert {
        name: "SealwardDefect",
        expression: "sum by (instance, rpc, code) (increase(sealward_calls_total{code=~\"INTERNAL|DATA_LOSS\"}[10m])) > 0",
        minutes: 0,
        severity: Severity::Ticket,
        meaning: "A call failed because of a defect or of damaged data.",
        remedy: "Find `answered` with this code in the log. Report a defect; verify damaged data: `sealward -o NAME key verify`.",
        fires: Example {
            series: &[("sealward_calls_total{instance=\"a\",rpc=\"r\",code=\"INTERNAL\"}", "0+0x115 1+0x5")],
            labels: &[("instance", "a"), ("rpc", "r"), ("code", "INTERNAL")],
        },
        healthy: &[
            ("sealward_calls_total{instance=\"a\",rpc=\"r\",code=\"INTERNAL\"}", "1+0x120"),
            ("sealward_calls_total{instance=\"a\",rpc=\"r\",code=\"NOT_FOUND\"}", "0+7x120"),
        ],
    },
    Alert {
        name: "SealwardCallsSlow",
        expression: "histogram_quantile(0.99, sum by (instance, le) (rate(sealward_call_duration_seconds_bucket\
                     {rpc!~\".*/(Watch|Verify|Export|Import|ServerReflection).*|other|grpc.health.*\"}[5m]))) > 1",
        minutes: 10,
        severity: Severity::Ticket,
        meaning: "One in a hundred calls takes longer than a second.",
        remedy: "Compare the panels of the store and of the process. Slow key changes and lists of many records are normal.",
        fires: Example {
            series: &[
                ("sealward_call_duration_seconds_bucket{instance=\"a\",rpc=\"a.B/Get\",le=\"1.048576\"}", "0+90x120"),
                ("sealward_call_duration_seconds_bucket{instance=\"a\",rpc=\"a.B/Get\",le=\"2.097152\"}", "0+100x120"),
                ("sealward_call_duration_seconds_bucket{instance=\"a\",rpc=\"a.B/Get\",le=\"+Inf\"}", "0+100x120"),
            ],
            labels: INSTANCE,
        },
        healthy: &[
            ("sealward_call_duration_seconds_bucket{instance=\"a\",rpc=\"a.B/Get\",le=\"0.524288\"}", "0+100x120"),
            ("sealward_call_duration_seconds_bucket{instance=\"a\",rpc=\"a.B/Get\",le=\"+Inf\"}", "0+100x120"),
            ("sealward_call_duration_seconds_bucket{instance=\"a\",rpc=\"a.B/WatchIt\",le=\"0.524288\"}", "0+0x120"),
            ("sealward_call_duration_seconds_bucket{instance=\"a\",rpc=\"a.B/WatchIt\",le=\"+Inf\"}", "0+100x120"),
        ],
    },
    Alert {
        name: "SealwardStoreSlow",
        expression: "histogram_quantile(0.99, sum by (instance, store, le) \
                     (rate(sealward_store_transaction_seconds_bucket[5m]))) > 0.5",
        minutes: 10,
        severity: Severity::Ticket,
        meaning: "One in a hundred transactions takes longer than half a second.",
        remedy: "Check the disk. Batches and imports of many records take longer: see the panel of rows.",
        fires: Example {
            series: &[
                (
                    "sealward_store_transaction_seconds_bucket{instance=\"a\",store=\"organizations\",le=\"0.524288\"}",
                    "0+0x120",
                ),
                (
                    "sealward_store_transaction_seconds_bucket{instance=\"a\",store=\"organizations\",le=\"1.048576\"}",
                    "0+9x120",
                ),
                (
                    "sealward_store_transaction_seconds_bucket{instance=\"a\",store=\"organizations\",le=\"+Inf\"}",
                    "0+9x120",
                ),
            ],
            labels: &[("instance", "a"), ("store", "organizations")],
        },
        healthy: &[
            (
                "sealward_store_transaction_seconds_bucket{instance=\"a\",store=\"organizations\",le=\"0.016384\"}",
                "0+9x120",
            ),
            (
                "sealward_store_transaction_seconds_bucket{instance=\"a\",store=\"organizations\",le=\"+Inf\"}",
                "0+9x120",
            ),
        ],
    },
    Alert {
        name: "SealwardStoreQueueLong",
        expression: "sealward_store_commits_waiting > 512",
        minutes: 5,
        severity: Severity::Ticket,
        meaning: "Commits wait for the disk. The queue of a database has room for 1,024.",
        remedy: "Check the disk, and the rate of writes.",
        fires: Example {
            series: &[("sealward_store_commits_waiting{store=\"organizations\"}", "600+0x120")],
            labels: &[("store", "organizations")],
        },
        healthy: &[("sealward_store_commits_waiting{store=\"organizations\"}", "512+0x120")],
    },
    Alert {
        name: "SealwardLimitNear",
        expression: "sealward_bound_used{bound!=\"databases_open_max\"} / sealward_bound_max > 0.8",
        minutes: 10,
        severity: Severity::Ticket,
        meaning: "More than four fifths of a limit of the process are in use.",
        remedy: "Find the callers with many connections or large messages. Raise the limit only if the load is legitimate.",
        fires: Example {
            series: &[
                ("sealward_bound_used{bound=\"connections_max\"}", "90+0x120"),
                ("sealward_bound_max{bound=\"connections_max\"}", "100+0x120"),
            ],
            labels: &[("bound", "connections_max")],
        },
        healthy: &[
            ("sealward_bound_used{bound=\"connections_max\"}", "80+0x120"),
            ("sealward_bound_max{bound=\"connections_max\"}", "100+0x120"),
            ("sealward_bound_used{bound=\"databases_open_max\"}", "64+0x120"),
            ("sealward_bound_max{bound=\"databases_open_max\"}", "64+0x120"),
        ],
    },
    Alert {
        name: "SealwardRefusedByLimit",
        expression: "sum by (instance, bound) (rate(sealward_refused_by_bound_total[5m])) > 0",
        minutes: 10,
        severity: Severity::Ticket,
        meaning: "A limit has refused callers for ten minutes.",
        remedy: "Find the caller in the log. Raise the limit only if the load is legitimate.",
        fires: Example {
            series: &[("sealward_refused_by_bound_total{instance=\"a\",bound=\"b\"}", "0+1x120")],
            labels: &[("instance", "a"), ("bound", "b")],
        },
        healthy: &[("sealward_refused_by_bound_total{instance=\"a\",bound=\"b\"}", "0+0x100 9+0x20")],
    },
    Alert {
        name: "SealwardHandshakesRefused",
        expression: "sum by (instance, cause) (rate(sealward_handshakes_refused_total\
                     {cause=~\"certificate_.*|proxy_protocol|revocation_unknown|unknown_ca|wrong_user\"}[15m])) > 0",
        minutes: 15,
        severity: Severity::Ticket,
        meaning: "Certificates of clients, or connections of proxies, are refused.",
        remedy: "Find `handshake refused` in the log, with the peer or the subject of the certificate, and compare its cause with docs/operations.md.",
        fires: Example {
            series: &[("sealward_handshakes_refused_total{instance=\"a\",cause=\"unknown_ca\"}", "0+1x120")],
            labels: &[("instance", "a"), ("cause", "unknown_ca")],
        },
        healthy: &[
            ("sealward_handshakes_refused_total{instance=\"a\",cause=\"unknown_ca\"}", "5+0x120"),
            ("sealward_handshakes_refused_total{instance=\"a\",cause=\"hung_up\"}", "0+6x120"),
        ],
    },
    Alert {
        name: "SealwardForgedHeaders",
        expression: "sum by (instance) (rate(sealward_forged_headers_total[15m])) > 0",
        minutes: 15,
        severity: Severity::Ticket,
        meaning: "Calls that don't come from a hop have headers of proxies. They are removed: somebody forges them, or a proxy isn't configured as a hop.",
        remedy: "Find `header of a proxy removed` in the log, with the sender. For a proxy that names callers, add `[[hops]]`: see docs/mesh.md.",
        fires: Example { series: &[("sealward_forged_headers_total{instance=\"a\"}", "0+1x120")], labels: INSTANCE },
        healthy: &[("sealward_forged_headers_total{instance=\"a\"}", "3+0x120")],
    },
    Alert {
        name: "SealwardScrapesRefused",
        expression: "sum by (instance, cause) (rate(sealward_scrapes_refused_total[15m])) > 0",
        minutes: 15,
        severity: Severity::Ticket,
        meaning: "A program asks for metrics without the certificate or the token that they need.",
        remedy: "Find `scrape refused` in the log. With the cause `token_unreadable`, check the file of `listen.metrics_token`.",
        fires: Example {
            series: &[("sealward_scrapes_refused_total{instance=\"a\",cause=\"wrong_token\"}", "0+1x120")],
            labels: &[("instance", "a"), ("cause", "wrong_token")],
        },
        healthy: &[("sealward_scrapes_refused_total{instance=\"a\",cause=\"wrong_token\"}", "2+0x120")],
    },
    Alert {
        name: "SealwardCertificateExpires",
        expression: "sealward_certificate_not_after_seconds{setting!~\"tls.spiffe_workload_api.*\"} - time() < 14 * 86400",
        minutes: 0,
        severity: Severity::Ticket,
        meaning: "A certificate expires within 14 days, or one of `[traces]` or `jwks_ca` has expired.",
        remedy: "Renew the certificate that the label `setting` names. A running server loads the new files.",
        fires: Example {
            series: &[("sealward_certificate_not_after_seconds{setting=\"tls.client_ca\"}", "86400+0x120")],
            labels: &[("setting", "tls.client_ca")],
        },
        healthy: &[
            ("sealward_certificate_not_after_seconds{setting=\"tls.client_ca\"}", "2592000+0x120"),
            ("sealward_certificate_not_after_seconds{setting=\"tls.spiffe_workload_api\"}", "86400+0x120"),
        ],
    },
    Alert {
        name: "SealwardRevocationListExpired",
        expression: "sealward_revocation_list_next_update_seconds > 0 and sealward_revocation_list_next_update_seconds < time()",
        minutes: 0,
        severity: Severity::Ticket,
        meaning: "A newer revocation list is due. Certificates that were revoked since are still accepted.",
        remedy: "Put the next list into the file of `tls.client_crl`.",
        fires: Example {
            series: &[("sealward_revocation_list_next_update_seconds{issuer=\"CN=ca\"}", "3600+0x120")],
            labels: &[("issuer", "CN=ca")],
        },
        healthy: &[
            ("sealward_revocation_list_next_update_seconds{issuer=\"CN=ca\"}", "86400+0x120"),
            ("sealward_revocation_list_next_update_seconds{issuer=\"CN=other\"}", "0+0x120"),
        ],
    },
    Alert {
        name: "SealwardTokenIssuerKeysOld",
        expression: "sealward_token_issuer_keys_fetched_seconds < time() - 3600",
        minutes: 0,
        severity: Severity::Ticket,
        meaning: "The keys of a token issuer haven't been fetched for an hour. They are used up to `limits.jwks_age_max_seconds`.",
        remedy: "Find `token issuer keys not fetched` in the log, and check network and proxy.",
        fires: Example {
            series: &[("sealward_token_issuer_keys_fetched_seconds{issuer=\"i\"}", "3000+0x120")],
            labels: &[("issuer", "i")],
        },
        healthy: &[("sealward_token_issuer_keys_fetched_seconds{issuer=\"i\"}", "0+60x120")],
    },
    Alert {
        name: "SealwardKeyChangeDue",
        expression: "sealward_key_change_due == 1",
        minutes: 60,
        severity: Severity::Ticket,
        meaning: "The encryption key of an organization is generated, or older than `limits.key_change_due_days`.",
        remedy: "Change the key: `sealward -o NAME key change`.",
        fires: Example { series: &[("sealward_key_change_due{organization=\"contoso\"}", "1+0x120")], labels: CONTOSO },
        healthy: &[("sealward_key_change_due{organization=\"contoso\"}", "0+0x120")],
    },
    Alert {
        name: "SealwardKeyRestoresFailing",
        expression: "sealward_quota_used{bound=\"wrong_key_restores_per_15_minutes\"} >= 3",
        minutes: 0,
        severity: Severity::Ticket,
        meaning: "Somebody has tried at least three times to restore a key. A successful restore resets the count.",
        remedy: "Find the caller in the audit trail: it may be guessing the key.",
        fires: Example {
            series: &[(
                "sealward_quota_used{organization=\"contoso\",bound=\"wrong_key_restores_per_15_minutes\"}",
                "3+0x120",
            )],
            labels: &[("organization", "contoso"), ("bound", "wrong_key_restores_per_15_minutes")],
        },
        healthy: &[
            ("sealward_quota_used{organization=\"contoso\",bound=\"wrong_key_restores_per_15_minutes\"}", "2+0x120"),
            ("sealward_quota_used{organization=\"contoso\",bound=\"key_changes_per_hour\"}", "5+0x120"),
        ],
    },
    Alert {
        name: "SealwardCellsUnreadable",
        expression: "sealward_cells_unreadable > 0",
        minutes: 5,
        severity: Severity::Ticket,
        meaning: "A re-encryption couldn't open cells, and has set them aside.",
        remedy: "List them with `sealward -o NAME key unreadable`, and restore or write these values again.",
        fires: Example {
            series: &[("sealward_cells_unreadable{organization=\"contoso\"}", "2+0x120")],
            labels: CONTOSO,
        },
        healthy: &[("sealward_cells_unreadable{organization=\"contoso\"}", "0+0x120")],
    },
    Alert {
        name: "SealwardReencryptionStalled",
        expression: "sealward_reencryption_unfinished == 1 and changes(sealward_reencryption_cells_done[30m]) == 0",
        minutes: 30,
        severity: Severity::Ticket,
        meaning: "A re-encryption is unfinished and makes no progress.",
        remedy: "If the key is missing, restore it. Otherwise find `re-encryption step failed` in the log.",
        fires: Example {
            series: &[
                ("sealward_reencryption_unfinished{organization=\"contoso\"}", "1+0x120"),
                ("sealward_reencryption_cells_done{organization=\"contoso\"}", "500+0x120"),
            ],
            labels: CONTOSO,
        },
        healthy: &[
            ("sealward_reencryption_unfinished{organization=\"contoso\"}", "1+0x120"),
            ("sealward_reencryption_cells_done{organization=\"contoso\"}", "0+500x120"),
            ("sealward_reencryption_unfinished{organization=\"fabrikam\"}", "0+0x120"),
            ("sealward_reencryption_cells_done{organization=\"fabrikam\"}", "500+0x120"),
        ],
    },
    Alert {
        name: "SealwardSpansLost",
        expression: "sum by (instance) (increase(sealward_trace_spans_total{outcome=~\"queue_full|refused|unreachable\"}[15m])) > 0",
        minutes: 15,
        severity: Severity::Ticket,
        meaning: "Spans of traced calls don't reach the collector. Calls aren't affected.",
        remedy: "See the finding `traces` of `sealward server status`, or `spans not exported` in the log, with the cause. If the queue is full, trace fewer calls, or raise `limits.trace_queue_max_spans`.",
        fires: Example {
            series: &[("sealward_trace_spans_total{instance=\"a\",outcome=\"unreachable\"}", "0+5x120")],
            labels: INSTANCE,
        },
        healthy: &[
            ("sealward_trace_spans_total{instance=\"a\",outcome=\"exported\"}", "0+500x120"),
            ("sealward_trace_spans_total{instance=\"a\",outcome=\"unreachable\"}", "7+0x120"),
            ("sealward_trace_spans_total{instance=\"a\",outcome=\"call_full\"}", "0+5x120"),
        ],
    },
    Alert {
        name: "SealwardFileDescriptorsLow",
        expression: "process_open_fds{job=\"sealward\"} / process_max_fds{job=\"sealward\"} > 0.8",
        minutes: 10,
        severity: Severity::Ticket,
        meaning: "The process may soon be unable to accept connections or to open databases.",
        remedy: "Raise `LimitNOFILE=`, or lower `limits.connections_max` or `limits.databases_open_max`.",
        fires: Example {
            series: &[
                ("process_open_fds{job=\"sealward\"}", "900+0x120"),
                ("process_max_fds{job=\"sealward\"}", "1000+0x120"),
            ],
            labels: &[("job", "sealward")],
        },
        healthy: &[
            ("process_open_fds{job=\"sealward\"}", "800+0x120"),
            ("process_max_fds{job=\"sealward\"}", "1000+0x120"),
            ("process_open_fds{job=\"other\"}", "1000+0x120"),
            ("process_max_fds{job=\"other\"}", "1000+0x120"),
        ],
    },
    Alert {
        name: "SealwardRestarting",
        expression: "changes(process_start_time_seconds{job=\"sealward\"}[1h]) > 2",
        minutes: 0,
        severity: Severity::Ticket,
        meaning: "A server has restarted more than twice within an hour.",
        remedy: "See the last lines of its log before each start.",
        fires: Example {
            series: &[("process_start_time_seconds{job=\"sealward\"}", "1+0x80 2+0x10 3+0x10 4+0x20")],
            labels: &[("job", "sealward")],
        },
        healthy: &[("process_start_time_seconds{job=\"sealward\"}", "1+0x80 2+0x40")],
    },
];
