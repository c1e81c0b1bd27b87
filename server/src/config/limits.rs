//! `[limits]`: every limit of a deployment, with its unit, default, range and reason.
//!
//! Each limit is declared once, in the list below. The list generates the typed [`Limits`], the section of the file, the check, and the
//! text of the commented configuration and of the reference. Nothing here knows where a limit is applied.

use std::time::Duration;

use serde::Deserialize;

use super::{
    faults::Faults,
    setting::{IfUnset, Kind, Setting, TakesEffect},
};

macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $name:ident: $default:literal within $minimum:literal to $maximum:literal, $unit:literal;)+) => {
        /// The limits of a deployment, each within its range.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Limits {
            $($(#[doc = $doc])+ pub $name: u32,)+
        }

        impl Limits {
            /// The names of the limits that differ.
            pub(super) fn differences(&self, other: &Self) -> impl Iterator<Item = &'static str> {
                [$((stringify!($name), self.$name != other.$name)),+]
                    .into_iter()
                    .filter(|(_, differs)| *differs)
                    .map(|(name, _)| name)
            }
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        /// `[limits]` as written: any TOML integers.
        #[derive(Debug, Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(super) struct LimitsSection {
            $($name: Option<i64>,)+
        }

        impl LimitsSection {
            pub(super) fn check(self, faults: &mut Faults) -> Limits {
                let limits = Limits {
                    $($name: in_range(
                        &Limit {
                            name: stringify!($name), unit: $unit, default: $default, minimum: $minimum, maximum: $maximum, doc: &[],
                        },
                        self.$name,
                        faults,
                    ),)+
                };
                check_pairs(&limits, faults);
                limits
            }
        }

        /// Every limit, in the order of the file.
        pub const LIMITS: &[Limit] = &[
            $(Limit {
                name: stringify!($name),
                unit: $unit,
                default: $default,
                minimum: $minimum,
                maximum: $maximum,
                doc: &[$($doc),+],
            },)+
        ];
    };
}

limits! {
    /// Maximum changes of an organization's encryption key per hour; 0 removes the limit.
    /// Each change re-encrypts every cell. Five allow a mistake and its correction.
    key_changes_per_hour: 5 within 0 to 1_000, "changes";

    /// Maximum attempts to restore an organization's key per 15 minutes; 0 removes the limit. A successful restore resets the count.
    /// Each attempt costs a key derivation, and may be a guess at the key. Imports of copies with wrong keys have the same limit, and are
    /// counted separately, by the UUID in the file.
    wrong_key_restores_per_15_minutes: 5 within 0 to 1_000, "restores";

    /// Maximum comparisons of one encrypted attribute of one record per 15 minutes, whatever their result; 0 removes the limit.
    /// Each one may be a guess. The count is read from the audit trail, so a restart doesn't reset it.
    comparisons_per_15_minutes: 20 within 0 to 10_000, "comparisons";

    /// The age at which a key is reported as due for a change.
    key_change_due_days: 365 within 1 to 3_650, "days";

    /// Maximum calls per second of one identity in one organization; 0 removes the limit. Each item of a batch or an import counts as a call. A
    /// batch with more items than this is refused, and an import is slowed down.
    /// This number of calls can arrive in a burst, followed by the same number per second. Each server counts separately.
    calls_per_second_per_identity: 0 within 0 to 1_000_000, "calls";

    /// Maximum reveals and comparisons per minute of one identity in one organization; 0 removes the limit.
    /// The default is enough for a connector, and too low to export an organization's secrets unnoticed.
    reveals_per_minute_per_identity: 1_000 within 0 to 1_000_000, "calls";

    /// Maximum size of a message, received or sent.
    /// A record with all attributes at their maximum length is far smaller. gRPC clients refuse more than 4 MiB by default.
    /// The minimum has room for the largest record, whose texts can have 4,000 characters each.
    message_size_max_bytes: 4_194_304 within 262_144 to 67_108_864, "bytes";

    /// Maximum size of a message of a health check or of server reflection. Valid messages have less than a hundred bytes.
    probe_message_size_max_bytes: 1_024 within 256 to 65_536, "bytes";

    /// Maximum time for a message to arrive, from the start of its call, or of the message in a stream, to its end.
    /// A message of 4 MiB needs 4 Mbit per second. Incomplete messages are held in memory.
    message_time_max_ms: 10_000 within 100 to 600_000, "milliseconds";

    /// Maximum memory for requests that are arriving or being handled: messages, headers, and 8 KiB for each call. A quarter is reserved for
    /// administrators of the deployment. Callers without an identity have a separate share of 1/32.
    /// The default is four times the maximum of one identity.
    requests_max_bytes: 268_435_456 within 16_777_216 to 4_294_967_295, "bytes";

    /// Maximum part of requests_max_bytes for one identity. The server uses at least twice the size of a maximum message.
    requests_per_identity_max_bytes: 67_108_864 within 1_048_576 to 4_294_967_295, "bytes";

    /// Maximum part of requests_max_bytes for one connection. The server uses at least twice the size of a maximum message.
    requests_per_connection_max_bytes: 33_554_432 within 1_048_576 to 4_294_967_295, "bytes";

    /// Maximum memory for answers that wait until their callers read them. It is divided in the same way as requests_max_bytes.
    /// A caller that reads at the speed of the network stays far below it.
    answers_max_bytes: 536_870_912 within 16_777_216 to 4_294_967_295, "bytes";

    /// Maximum part of answers_max_bytes for one identity. The server uses at least twice the size of a maximum message.
    answers_per_identity_max_bytes: 134_217_728 within 1_048_576 to 4_294_967_295, "bytes";

    /// Maximum open connections on each listener. Above it, the server closes an unidentified connection, or refuses an identified one.
    /// Each takes about 50 KB and a file descriptor. The server raises its soft limit of descriptors; check-config warns if the hard limit is
    /// too low.
    connections_max: 1_000 within 1 to 100_000, "connections";

    /// Maximum open connections of one identity; 0 removes the limit. A connection counts by its client certificate, or by the first bearer
    /// token that is accepted on it. Above the limit, a connection with a certificate gets CONNECTION_LIMIT for its first call and is closed.
    /// A connection with tokens is served, but stays unidentified: connections_unidentified_percent applies. A program needs one connection
    /// per process.
    connections_per_identity_max: 100 within 0 to 100_000, "connections";

    /// Maximum open connections of one hop. Each carries the calls of many callers, so connections_per_identity_max and
    /// requests_per_connection_max_bytes don't apply to it. Above the limit, a connection gets CONNECTION_LIMIT for its first call and is
    /// closed. Envoy opens one for each of its threads, and more when concurrent_streams_max is reached.
    connections_per_hop_max: 256 within 1 to 100_000, "connections";

    /// The share of connections_max for unidentified connections, at least one connection. A connection is unidentified until its handshake
    /// has proved a client certificate or a bearer token is accepted on it. When the share is full, a new connection closes the oldest one of
    /// the address that has the most. The rest of connections_max is for identified connections only.
    connections_unidentified_percent: 25 within 1 to 90, "percent";

    /// Maximum unidentified connections of one address, or of one IPv6 network of 64 bits. Above the limit, a new connection closes the oldest of
    /// them. Clients behind one address need one for each client that connects at the same moment.
    connections_unidentified_per_address_max: 100 within 1 to 100_000, "connections";

    /// Maximum time that an unidentified connection stays open without a call. Probes reconnect, and clients call immediately.
    connection_unidentified_idle_max_seconds: 15 within 1 to 3_600, "seconds";

    /// Maximum open connections to the listener for metrics. Above the limit, a new connection closes the oldest. A scraper needs one.
    metrics_connections_max: 16 within 1 to 1_000, "connections";

    /// Maximum organizations with a label of their own in metrics: the oldest ones. The values of all others are combined under
    /// the label `other_organizations`. Each organization has about 20 series.
    metrics_organizations_max: 100 within 0 to 10_000, "organizations";

    /// Maximum time from a connection's first packet to its first HTTP/2 frame, TLS included. In HTTP/1.1, also the maximum time for the
    /// headers of each request.
    /// A slow link needs a second. A connection that takes more than ten seconds only occupies a connection slot.
    handshake_timeout_ms: 10_000 within 100 to 60_000, "milliseconds";

    /// Maximum concurrent calls on one connection. A client that needs more opens more connections.
    concurrent_streams_max: 200 within 1 to 10_000, "calls";

    /// Maximum size of a call's headers. Sealward's own headers are small; bearer tokens can have several KB.
    header_list_size_max_bytes: 16_384 within 4_096 to 262_144, "bytes";

    /// The age at which a connection accepts no more calls and closes, so that clients reconnect through the load balancer and present their
    /// certificates again. In HTTP/1.1, the next answer has `connection: close`. Each connection closes up to 10 % earlier, so that clients don't all reconnect at once.
    connection_age_max_seconds: 3_600 within 1 to 86_400, "seconds";

    /// Maximum time that unary calls continue on a connection that accepts no more calls; then they are cancelled.
    /// The default is the maximum time of a unary call. Exports, imports and verifications continue under their own limits, but within
    /// transfer_time_max_seconds. A watch ends with CONNECTION_ENDING: call it again.
    connection_grace_seconds: 300 within 1 to 86_400, "seconds";

    /// The idle time after which a connection gets an HTTP/2 PING, and TCP probes its peer. A connection of HTTP/1.1 closes when it has been
    /// without a call for this time and keepalive_timeout_seconds.
    keepalive_interval_seconds: 60 within 1 to 3_600, "seconds";

    /// Maximum time for the answer to that PING, or to the probes; then the connection is closed.
    keepalive_timeout_seconds: 20 within 1 to 300, "seconds";

    /// The deadline of a unary call without `grpc-timeout`. Server-streaming calls without it have no deadline.
    /// The default is ten times the duration of the slowest unary call, a key change, on a slow machine.
    deadline_default_ms: 30_000 within 1 to 3_600_000, "milliseconds";

    /// Maximum deadline of a unary call. A longer `grpc-timeout` is shortened to it.
    deadline_max_ms: 300_000 within 1 to 3_600_000, "milliseconds";

    /// Maximum data of one connection's requests that the server buffers before it reads them; one call can use half of it.
    /// The default allows 5 MB per second at a latency of 50 milliseconds.
    connection_window_max_bytes: 262_144 within 65_536 to 16_777_216, "bytes";

    /// Maximum time that an answer, or a message of a stream, waits for a caller that doesn't read it. Then the call's stream is reset, which
    /// gRPC clients report as CANCELLED. If the client reads nothing from the connection, the connection is closed.
    /// Waiting answers are held in memory.
    answer_stall_max_ms: 20_000 within 100 to 600_000, "milliseconds";

    /// Maximum data that the server still reads and drops from a request that it answered early, for example because of its headers. Without
    /// this, proxies and clients can lose the answer. It counts in requests_max_bytes; if that is short, less is read. The default is the
    /// amount that a client sends before it receives anything.
    refused_request_read_max_bytes: 65_536 within 0 to 1_048_576, "bytes";

    /// Maximum time for which the server still reads such a request. Then the call's stream is reset, or the connection closes in HTTP/1.1.
    /// The default is more than a round trip within a continent: a client that has the answer stops sending.
    refused_request_read_time_max_ms: 100 within 0 to 10_000, "milliseconds";

    /// Maximum time that a stopping server waits for running calls and key work. Interrupted key work continues at the next start.
    /// Orchestrators kill the process after 30 seconds by default.
    drain_timeout_seconds: 25 within 1 to 600, "seconds";

    /// The time that a stopping server still serves all calls while health reports NOT_SERVING; then it accepts no more calls.
    /// Set it to the time that a load balancer needs to react: the interval of its health checks times its failure threshold. Set 0 without
    /// a load balancer. drain_timeout_seconds starts after this time: orchestrators have to wait for the sum of both.
    drain_delay_seconds: 0 within 0 to 300, "seconds";

    /// Maximum kinds of refusals logged per minute, separately for callers with and without an identity. A kind is a caller and a
    /// reason: the first refusal is logged at once, its repeats as a count. Refusals of further kinds are counted together.
    /// The default shows which callers are refused, and is too small to fill a disk.
    refusal_log_lines_per_minute: 60 within 1 to 10_000, "lines";

    /// Maximum log lines that wait when the reader of stderr is slow or has stopped. Further lines are dropped and counted.
    /// The server never waits for the log. A line has a few hundred bytes.
    log_queue_lines: 8_192 within 16 to 1_000_000, "lines";

    /// The share of calls that are traced although their callers requested nothing: of a million calls without trace context, this number.
    /// Only with a collector in `[traces]`. The default is 1 percent.
    trace_calls_per_million: 10_000 within 0 to 1_000_000, "calls";

    /// Maximum calls per second that are traced because their callers requested it, with the sampled flag of `traceparent`. Further ones are
    /// not traced. The default lets a platform trace its programs, and costs the server little if every caller sets the flag.
    trace_requests_per_second: 100 within 0 to 100_000, "calls";

    /// The same for the calls of one identity, so that no caller uses the rate of all.
    trace_requests_per_second_per_identity: 20 within 0 to 100_000, "calls";

    /// Maximum spans of a call. Further ones are dropped and counted. Most calls have fewer than ten; an import or a re-encryption could have
    /// millions.
    trace_spans_per_call_max: 100 within 1 to 10_000, "spans";

    /// Maximum spans that wait for the collector. Further ones are dropped and counted. A call never waits for the collector.
    /// A span has about 500 bytes.
    trace_queue_max_spans: 8_192 within 16 to 1_000_000, "spans";

    /// Maximum spans of one request to the collector. A request of the default size has about 200 KB.
    trace_batch_max_spans: 512 within 1 to 8_192, "spans";

    /// Maximum time that a span waits for others of its request.
    trace_batch_wait_max_ms: 5_000 within 10 to 60_000, "milliseconds";

    /// Maximum time of a request to the collector, with the connection. A request that the collector can't serve now is repeated twice.
    trace_export_time_max_ms: 5_000 within 100 to 60_000, "milliseconds";

    /// Maximum time that a stopping server sends the spans that wait, after everything else has ended. The rest is dropped.
    trace_flush_max_ms: 2_000 within 0 to 60_000, "milliseconds";

    /// The interval at which the server checks the files that it reloads while it runs. A change is applied when two checks in a row find the
    /// same content, so that an incomplete file isn't loaded; SIGHUP applies it at once.
    reload_check_interval_seconds: 10 within 1 to 3_600, "seconds";

    /// Maximum difference between the clocks of this server and of token issuers. A token is accepted for this time before and after its
    /// period of validity.
    token_clock_skew_seconds: 30 within 0 to 300, "seconds";

    /// Maximum validity of a token, both from its issue and from now.
    /// A token can't be revoked: a stolen token is valid until it expires. Issuers use minutes or hours.
    token_lifetime_max_seconds: 86_400 within 60 to 31_536_000, "seconds";

    /// Maximum keys tried for a token that doesn't name its key. Each one costs a signature verification.
    /// An issuer that changes its key publishes two or three.
    token_keys_tried_max: 8 within 1 to 100, "keys";

    /// Maximum time that a start waits for the first certificate of tls.spiffe_workload_api. A new registration entry of SPIRE reaches its
    /// agent within some seconds. The default is below the 90 seconds that systemd gives to a start.
    workload_api_wait_ms: 30_000 within 100 to 600_000, "milliseconds";

    /// Maximum size of a message of the Workload API: certificates, keys and the bundles of all trust domains that the agent knows.
    /// A CA takes about 1 KB, so the default is enough for some thousand.
    workload_api_message_max_bytes: 4_194_304 within 65_536 to 67_108_864, "bytes";

    /// Maximum pause before the server connects to the Workload API again. The pauses begin at a tenth of a second, double each time, and are
    /// shortened at random by up to a half, so that servers of a machine don't connect at the same time.
    workload_api_retry_pause_max_ms: 10_000 within 100 to 600_000, "milliseconds";

    /// The interval at which the keys of a jwks_url are fetched.
    /// While the address answers, a withdrawn key is accepted for at most this time. A new key is fetched when the first token names it.
    jwks_fetch_interval_seconds: 300 within 10 to 86_400, "seconds";

    /// Maximum age of a token issuer's keys while they can't be fetched, across restarts. Then the issuer's tokens are refused, because a key
    /// may have been withdrawn. A day bridges an outage of the issuer.
    jwks_age_max_seconds: 86_400 within 10 to 2_592_000, "seconds";

    /// Maximum time that a call waits for its issuer's keys if its token names an unknown key.
    /// There are at least five seconds between two fetches.
    jwks_wait_ms: 10_000 within 0 to 60_000, "milliseconds";

    /// Maximum calls that wait for the keys of one issuer. Further calls are refused. The last quarter is for callers with a certificate.
    /// Any token can name an unknown key, so unidentified callers could otherwise occupy calls and memory.
    jwks_waiting_calls_max: 100 within 0 to 10_000, "calls";

    /// Maximum size of a fetched key set. Key sets of large issuers have 20 KB.
    jwks_size_max_bytes: 262_144 within 1_024 to 16_777_216, "bytes";

    /// The interval at which the last record of each changed audit trail is signed. The signature is stored in the configuration database.
    /// Truncation after the last signature isn't detected. A signature costs two small commits.
    audit_signature_interval_seconds: 60 within 1 to 86_400, "seconds";

    /// The age at which audit records and recorded changes of audited attributes are deleted, oldest first and up to a signed record;
    /// 0 keeps them forever.
    audit_retention_days: 0 within 0 to 36_500, "days";

    /// Maximum audit records per minute for the refused calls of one identity. Further refusals are counted, and recorded once per minute as
    /// one record per action.
    /// The default records each mistake of a person or a program separately. A caller that is always refused adds about 20 KB per minute.
    refusals_recorded_per_minute_per_identity: 20 within 1 to 1_000, "records";

    /// Maximum time of a write to the audit copy; a longer one counts as a failure. See `[audit] on_failure`.
    /// A healthy disk takes milliseconds, a busy one a few hundred milliseconds.
    audit_copy_answer_max_ms: 2_000 within 100 to 60_000, "milliseconds";

    /// With `[audit] on_failure = "refuse"`: maximum audit records that are not yet in the copy. Above it, calls that need an audit record are
    /// refused, even if no write has failed. The default is the number that a fast server records per second.
    audit_copy_behind_max_records: 10_000 within 100 to 1_000_000, "records";

    /// Maximum records in a page of a list, even if the request's page size is larger. The contract allows at most 1000.
    /// A page is held in memory.
    page_size_max: 1_000 within 1 to 1_000, "records";

    /// Maximum items of a batch (BatchGet, BatchCreate, BatchUpdate, BatchDelete), and maximum requests in one message of an import. The contract
    /// allows at most 1000. Other writes of the organization wait while a batch is written, some ten milliseconds for a thousand records. One
    /// audit record lists the ids of a batch.
    batch_items_max: 1_000 within 1 to 1_000, "items";

    /// Maximum records that an import writes in one transaction. A larger group is hardly faster, and other writes wait for it.
    import_group_max_records: 1_000 within 1 to 1_000, "records";

    /// Maximum size of the requests that an import writes in one transaction. A single larger request is a group of its own. Each import holds
    /// three groups in memory.
    import_group_max_bytes: 1_048_576 within 65_536 to 16_777_216, "bytes";

    /// Maximum concurrent lists of one identity, including BatchGet and verifications of audit trails. Two of them run, the others wait.
    /// The default is more than a program needs that lists in parallel, and far too low to fill memory.
    lists_per_identity_max: 64 within 1 to 10_000, "calls";

    /// The time after which a page of a list has the records that the database has found until then, perhaps none, and the token of the next
    /// page. It applies to the order of the ids, and to other orders that have an index: their search continues with the next page.
    /// A caller gets the first records soon, and lists of other callers run between the pages. A million records are searched in a second.
    list_page_time_ms: 1_000 within 10 to 60_000, "milliseconds";

    /// Maximum time that the database searches for the records of a page in an order without an index, and maximum time that it counts
    /// records. A longer list ends with LIST_TIME_LIMIT. Four lists run at once in an organization, so other lists wait at most this time.
    list_time_max_ms: 10_000 within 10 to 300_000, "milliseconds";

    /// Maximum concurrent streams of one identity: WatchReencryption, VerifyCells, ExportOrganization, ImportOrganization, and imports of records.
    /// Each uses memory, and some hold a snapshot of a database.
    streams_per_identity_max: 32 within 1 to 10_000, "calls";

    /// Maximum concurrent updates and deletes of one record, and maximum concurrent updates of one organization's metadata. They run in the
    /// order of their arrival; further ones are refused with IN_FLIGHT_LIMIT.
    /// A record allows some thousand updates per second: more callers than this would exceed their deadlines.
    writes_per_record_max: 1_000 within 1 to 100_000, "calls";

    /// Maximum attribute indexes of an organization that are created or dropped per hour; 0 removes the limit.
    /// The organization's writes wait while an index is created: about a second for a million records.
    index_switches_per_hour: 20 within 0 to 10_000, "switches";

    /// Minimum rate at which the caller of an export reads the file, or the caller of an import sends it; 0 removes the limit. It is the
    /// average over the time that the server waited for the caller, without the first 10 seconds. A single message may take
    /// message_time_max_ms, and at least 10 seconds. A slower transfer ends with TRANSFER_LIMIT, because it holds a snapshot or reserves an
    /// organization's name. A link of a quarter megabit per second is faster than the default.
    transfer_rate_min_bytes_per_second: 16_384 within 0 to 1_000_000_000, "bytes per second";

    /// Maximum time of an export or import. A longer one ends with TRANSFER_LIMIT.
    /// Several gigabytes take minutes.
    transfer_time_max_seconds: 3_600 within 1 to 86_400, "seconds";

    /// The size of a database's write-ahead log at which the server ends exports and verifications that keep the log from shrinking.
    /// They end with TRANSFER_LIMIT, or start again. The log can exceed this size by the data that is written within a second.
    write_ahead_log_max_bytes: 268_435_456 within 1_048_576 to 4_294_967_295, "bytes";

    /// Maximum length of a filter, in UTF-8. The default is more than a person writes, and takes no noticeable time to parse.
    filter_length_max_bytes: 4_096 within 64 to 65_536, "bytes";

    /// Maximum nesting of parentheses in a filter. A program that combines filters needs a few levels.
    filter_depth_max: 16 within 1 to 64, "levels";

    /// Maximum comparisons in a filter. The database evaluates each comparison for each record.
    filter_comparisons_max: 64 within 1 to 500, "comparisons";

    /// Maximum paths in a field mask, of a read or of an update. The default is many times the number of fields of the largest entity.
    mask_paths_max: 256 within 1 to 10_000, "paths";

    /// Maximum attributes in one reveal. The default is many times the number of encrypted attributes of any entity.
    reveal_attributes_max: 64 within 1 to 1_000, "attributes";

    /// Maximum cells that a re-encryption rewrites in one transaction. Three batches are in memory at once, each with at most 4 MB of cells.
    reencryption_batch_cells: 10_000 within 1 to 100_000, "cells";

    /// The time that such a transaction should take. The re-encryption adapts the number of cells to it, because other writes wait for at
    /// most one transaction. On a disk that is slower, a transaction has 256 cells.
    reencryption_batch_ms: 10 within 1 to 10_000, "milliseconds";

    /// The share of time in which a re-encryption works. With 100, it never pauses for calls.
    /// With half of the time, calls take hardly longer, and the re-encryption takes twice its shortest time.
    reencryption_share_percent: 50 within 1 to 100, "percent";

    /// Minimum pause of a re-encryption after each transaction, independent of reencryption_share_percent.
    reencryption_pause_ms: 0 within 0 to 60_000, "milliseconds";

    /// Maximum connections to the PostgreSQL database of `[storage]`. Half of them, at most, read lists and exports. Add them up for all servers
    /// when you set PostgreSQL's max_connections.
    storage_connections_max: 16 within 4 to 1_000, "connections";

    /// Maximum organizations' databases open at once. Above it, the least recently used ones are closed until they are needed.
    /// Each uses a thread, a few MB of memory and up to 12 file descriptors: check `ulimit -n`.
    databases_open_max: 64 within 1 to 10_000, "databases";

    /// The idle time after which an organization's database is closed and its keys are removed from memory. The next call opens it again
    /// within milliseconds.
    database_idle_max_seconds: 300 within 1 to 86_400, "seconds";

    /// The interval at which the server retries to open an organization that it can't serve, because its database is missing, unreadable or
    /// belongs to another organization. A retry opens one file.
    organization_retry_interval_seconds: 10 within 1 to 3_600, "seconds";
}

/// Maximum violations that an error lists. If there are more, the error has their number. A person corrects a few at a time, and a program
/// reads the number. This isn't a setting: clients may rely on it.
pub(crate) const ERROR_VIOLATIONS_MAX: usize = 16;

/// Maximum length of an error's details, in bytes before base64, without the call id. With the call id, the message and the HTTP/2 overhead
/// of each header, they stay below 8,192 bytes, which gRPC clients accept by default.
pub(crate) const ERROR_DETAILS_MAX_BYTES: usize = 4_608;

/// The description of a limit.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Its name in `[limits]`.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// Its default.
    pub default: u32,
    /// The smallest valid value.
    pub minimum: u32,
    /// The largest valid value.
    pub maximum: u32,
    /// Its description, and the reason for its default, in lines of one or two sentences.
    pub doc: &'static [&'static str],
}

/// Whether a limit has this name.
pub(crate) fn is_limit(name: &str) -> bool {
    LIMITS.iter().any(|limit| limit.name == name)
}

impl Limits {
    /// The part of a message that is left for the records of a page.
    #[must_use]
    pub(crate) fn page_bytes_max(&self) -> usize {
        // The token of the next page has 4,500 characters at most, and the total size some bytes.
        const REST: u32 = 8_192;
        usize::try_from(self.message_size_max_bytes.saturating_sub(REST)).unwrap_or(usize::MAX)
    }

    /// See [`Limits::handshake_timeout_ms`].
    #[must_use]
    pub fn handshake_timeout(&self) -> Duration {
        Duration::from_millis(self.handshake_timeout_ms.into())
    }

    /// See [`Limits::connection_age_max_seconds`].
    #[must_use]
    pub fn connection_age_max(&self) -> Duration {
        Duration::from_secs(self.connection_age_max_seconds.into())
    }

    /// See [`Limits::connection_grace_seconds`].
    #[must_use]
    pub fn connection_grace(&self) -> Duration {
        Duration::from_secs(self.connection_grace_seconds.into())
    }

    /// See [`Limits::reload_check_interval_seconds`].
    #[must_use]
    pub fn reload_check_interval(&self) -> Duration {
        Duration::from_secs(self.reload_check_interval_seconds.into())
    }

    /// See [`Limits::keepalive_interval_seconds`].
    #[must_use]
    pub fn keepalive_interval(&self) -> Duration {
        Duration::from_secs(self.keepalive_interval_seconds.into())
    }

    /// See [`Limits::keepalive_timeout_seconds`].
    #[must_use]
    pub fn keepalive_timeout(&self) -> Duration {
        Duration::from_secs(self.keepalive_timeout_seconds.into())
    }

    /// See [`Limits::deadline_default_ms`].
    #[must_use]
    pub fn deadline_default(&self) -> Duration {
        Duration::from_millis(self.deadline_default_ms.into())
    }

    /// See [`Limits::deadline_max_ms`].
    #[must_use]
    pub fn deadline_max(&self) -> Duration {
        Duration::from_millis(self.deadline_max_ms.into())
    }

    /// See [`Limits::connection_unidentified_idle_max_seconds`].
    #[must_use]
    pub fn connection_unidentified_idle_max(&self) -> Duration {
        Duration::from_secs(self.connection_unidentified_idle_max_seconds.into())
    }

    /// See [`Limits::message_time_max_ms`].
    #[must_use]
    pub fn message_time_max(&self) -> Duration {
        Duration::from_millis(self.message_time_max_ms.into())
    }

    /// See [`Limits::answer_stall_max_ms`].
    #[must_use]
    pub fn answer_stall_max(&self) -> Duration {
        Duration::from_millis(self.answer_stall_max_ms.into())
    }

    /// See [`Limits::refused_request_read_time_max_ms`].
    #[must_use]
    pub fn refused_request_read_time_max(&self) -> Duration {
        Duration::from_millis(self.refused_request_read_time_max_ms.into())
    }

    /// See [`Limits::drain_timeout_seconds`].
    #[must_use]
    pub fn drain_timeout(&self) -> Duration {
        Duration::from_secs(self.drain_timeout_seconds.into())
    }

    /// See [`Limits::drain_delay_seconds`].
    #[must_use]
    pub fn drain_delay(&self) -> Duration {
        Duration::from_secs(self.drain_delay_seconds.into())
    }

    /// See [`Limits::trace_batch_wait_max_ms`].
    #[must_use]
    pub fn trace_batch_wait_max(&self) -> Duration {
        Duration::from_millis(self.trace_batch_wait_max_ms.into())
    }

    /// See [`Limits::trace_export_time_max_ms`].
    #[must_use]
    pub fn trace_export_time_max(&self) -> Duration {
        Duration::from_millis(self.trace_export_time_max_ms.into())
    }

    /// See [`Limits::trace_flush_max_ms`].
    #[must_use]
    pub fn trace_flush_max(&self) -> Duration {
        Duration::from_millis(self.trace_flush_max_ms.into())
    }

    /// See [`Limits::token_clock_skew_seconds`].
    #[must_use]
    pub fn token_clock_skew(&self) -> Duration {
        Duration::from_secs(self.token_clock_skew_seconds.into())
    }

    /// See [`Limits::workload_api_wait_ms`].
    #[must_use]
    pub fn workload_api_wait(&self) -> Duration {
        Duration::from_millis(self.workload_api_wait_ms.into())
    }

    /// See [`Limits::workload_api_retry_pause_max_ms`].
    #[must_use]
    pub fn workload_api_retry_pause_max(&self) -> Duration {
        Duration::from_millis(self.workload_api_retry_pause_max_ms.into())
    }

    /// See [`Limits::jwks_fetch_interval_seconds`].
    #[must_use]
    pub fn jwks_fetch_interval(&self) -> Duration {
        Duration::from_secs(self.jwks_fetch_interval_seconds.into())
    }

    /// See [`Limits::audit_copy_answer_max_ms`].
    #[must_use]
    pub fn audit_copy_answer_max(&self) -> Duration {
        Duration::from_millis(self.audit_copy_answer_max_ms.into())
    }

    /// See [`Limits::jwks_age_max_seconds`].
    #[must_use]
    pub fn jwks_age_max(&self) -> Duration {
        Duration::from_secs(self.jwks_age_max_seconds.into())
    }

    /// See [`Limits::jwks_wait_ms`].
    #[must_use]
    pub fn jwks_wait(&self) -> Duration {
        Duration::from_millis(self.jwks_wait_ms.into())
    }

    /// See [`Limits::reencryption_pause_ms`].
    #[must_use]
    pub fn reencryption_pause(&self) -> Duration {
        Duration::from_millis(self.reencryption_pause_ms.into())
    }

    /// The pause of a re-encryption after work of this duration; see [`Limits::reencryption_share_percent`].
    #[must_use]
    pub fn reencryption_rest(&self, worked: Duration) -> Duration {
        let share = f64::from(self.reencryption_share_percent.clamp(1, 100));
        worked.mul_f64((100.0 - share) / share).max(self.reencryption_pause())
    }

    /// See [`Limits::list_page_time_ms`].
    #[must_use]
    pub fn list_page_time(&self) -> Duration {
        Duration::from_millis(self.list_page_time_ms.into())
    }

    /// See [`Limits::list_time_max_ms`].
    #[must_use]
    pub fn list_time_max(&self) -> Duration {
        Duration::from_millis(self.list_time_max_ms.into())
    }

    /// See [`Limits::transfer_time_max_seconds`].
    #[must_use]
    pub fn transfer_time_max(&self) -> Duration {
        Duration::from_secs(self.transfer_time_max_seconds.into())
    }

    /// See [`Limits::database_idle_max_seconds`].
    #[must_use]
    pub fn database_idle_max(&self) -> Duration {
        Duration::from_secs(self.database_idle_max_seconds.into())
    }

    /// See [`Limits::organization_retry_interval_seconds`].
    #[must_use]
    pub fn organization_retry_interval(&self) -> Duration {
        Duration::from_secs(self.organization_retry_interval_seconds.into())
    }
}

/// The limits as settings.
pub(super) fn settings() -> Vec<Setting> {
    let setting = |limit: &Limit| Setting {
        name: limit.name,
        kind: Kind::Integer,
        range: format!("{} to {}", limit.minimum, limit.maximum).into(),
        unit: limit.unit,
        if_unset: IfUnset::Default(limit.default.to_string().into()),
        takes_effect: TakesEffect::AtStart,
        doc: limit.doc,
    };
    LIMITS.iter().map(setting).collect()
}

fn in_range(limit: &Limit, given: Option<i64>, faults: &mut Faults) -> u32 {
    let Some(given) = given else { return limit.default };
    match u32::try_from(given) {
        Ok(value) if (limit.minimum..=limit.maximum).contains(&value) => value,
        Ok(_) | Err(_) => {
            let Limit { name, unit, minimum, maximum, .. } = limit;
            faults.add(format!("limits.{name}"), format!("{given} is out of range: use {minimum} to {maximum} {unit}"));
            limit.default
        }
    }
}

/// Limits that contradict each other: a default above its maximum would never apply.
fn check_pairs(limits: &Limits, faults: &mut Faults) {
    if limits.deadline_default_ms > limits.deadline_max_ms {
        faults.add(
            "limits.deadline_default_ms",
            format!("is more than limits.deadline_max_ms ({}): lower it, or raise the maximum", limits.deadline_max_ms),
        );
    }
    if limits.jwks_age_max_seconds < limits.jwks_fetch_interval_seconds {
        faults.add(
            "limits.jwks_age_max_seconds",
            format!(
                "is less than limits.jwks_fetch_interval_seconds ({}): raise it, or lower the interval",
                limits.jwks_fetch_interval_seconds
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn re_encryption_pauses_according_to_its_share() {
        let worked = Duration::from_millis(12);
        let rest = |share, pause_ms| {
            let limits =
                Limits { reencryption_share_percent: share, reencryption_pause_ms: pause_ms, ..Limits::default() };
            limits.reencryption_rest(worked).as_millis()
        };
        assert_eq!((rest(50, 0), rest(25, 0), rest(100, 0), rest(50, 40)), (12, 36, 0, 40));
    }

    #[test]
    fn every_default_is_within_its_range() {
        let mut faults = Faults::default();
        assert_eq!(LimitsSection::default().check(&mut faults), Limits::default());
        assert_eq!(faults, Faults::default());
        for limit in LIMITS {
            assert!((limit.minimum..=limit.maximum).contains(&limit.default), "{}", limit.name);
        }
    }
}
