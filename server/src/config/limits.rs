//! `[limits]`: every bound of a deployment, with its unit, its default, its range and the reason for it.
//!
//! Each is declared once, in the list below; the typed [`Limits`], the section of the file, the check and the text of the commented
//! configuration all come from that list. Nothing here knows who applies a limit.

use std::time::Duration;

use serde::Deserialize;

use super::{
    Faults,
    setting::{Kind, Otherwise, Setting, TakenUp},
};

macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $name:ident: $default:literal within $minimum:literal to $maximum:literal, $unit:literal;)+) => {
        /// The limits of a deployment, each within its range.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Limits {
            $($(#[doc = $doc])+ pub $name: u32,)+
        }

        impl Limits {
            /// The names of those that differ.
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

        /// `[limits]` as written: whatever numbers TOML holds.
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
    /// Changes of an organization's encryption key within an hour; 0 lifts the quota.
    /// Each one re-encrypts every cell. Five leave room for a slip and its repair.
    key_changes_per_hour: 5 within 0 to 1_000, "changes";

    /// Restores of an organization's key with a wrong text within 15 minutes; 0 lifts the quota.
    /// Each one costs a key derivation, and is a guess at the key.
    wrong_key_restores_per_15_minutes: 5 within 0 to 1_000, "restores";

    /// Comparisons of one encrypted attribute of one record within 15 minutes, right or wrong; 0 lifts the quota.
    /// Each one is a guess. They are counted in the audit trail.
    comparisons_per_15_minutes: 20 within 0 to 10_000, "comparisons";

    /// After how many days a change of the key is reported as due.
    key_change_due_days: 365 within 1 to 3_650, "days";

    /// Calls of one identity in one organization within a second; 0 lifts the limit.
    /// So many may come at once, and then as many a second. Counted by each server by itself.
    calls_per_second_per_identity: 0 within 0 to 1_000_000, "calls";

    /// Calls of one identity in one organization within a minute that take secrets out: reveals and comparisons; 0 lifts the limit.
    /// Above what a connector needs, and below what empties an organization unnoticed.
    reveals_per_minute_per_identity: 1_000 within 0 to 1_000_000, "calls";

    /// The largest message taken or given.
    /// A record with every attribute at its longest is far below it; gRPC clients refuse more than 4 MiB unless told otherwise.
    /// The least has room for the largest record, whose texts may have 4,000 characters each.
    message_size_max_bytes: 4_194_304 within 262_144 to 67_108_864, "bytes";

    /// The largest message of a health check or of server reflection. Ours have less than a hundred bytes.
    probe_message_size_max_bytes: 1_024 within 256 to 65_536, "bytes";

    /// How long a message may take to arrive, from the beginning of its call, or of the message in a stream of them, to its end.
    /// A message of 4 MiB needs 4 Mbit a second. What hasn't arrived whole is held in memory.
    message_time_max_ms: 10_000 within 100 to 600_000, "milliseconds";

    /// What requests take that arrive or are being handled: messages, headers, and 8 KiB for each call. A quarter is left to
    /// administrators of the deployment, and callers without an identity have a thirty-second part by themselves.
    /// Four times what one identity may take.
    requests_max_bytes: 268_435_456 within 16_777_216 to 4_294_967_295, "bytes";

    /// What the requests of one identity take of that, but at least one message of the largest size.
    requests_per_identity_max_bytes: 67_108_864 within 1_048_576 to 4_294_967_295, "bytes";

    /// What the requests of one connection take of that, but at least one message of the largest size.
    requests_per_connection_max_bytes: 33_554_432 within 1_048_576 to 4_294_967_295, "bytes";

    /// What answers take that wait until their callers have room for them, shared out as requests_max_bytes is.
    /// A caller who reads as fast as the network carries never comes near it.
    answers_max_bytes: 536_870_912 within 16_777_216 to 4_294_967_295, "bytes";

    /// What the answers to one identity take of that, but at least one message of the largest size.
    answers_per_identity_max_bytes: 134_217_728 within 1_048_576 to 4_294_967_295, "bytes";

    /// Maximum open connections on each listener. Above it, the server closes an unidentified connection, or refuses an identified one.
    /// Each takes about 50 KB and a file descriptor. The server raises its soft limit of descriptors; check-config warns if the hard limit is
    /// too low.
    connections_max: 1_000 within 1 to 100_000, "connections";

    /// Maximum open connections of one identity; 0 lifts the limit. A connection counts by its client certificate, or by the first bearer token
    /// that is accepted on it. A further one with a certificate gets CONNECTION_LIMIT for its first call and is closed. A further one with
    /// tokens is served, but stays unidentified: connections_unidentified_percent applies. A program needs one for each of its processes.
    connections_per_identity_max: 100 within 0 to 100_000, "connections";

    /// The share of connections_max, at least one, for connections of which nobody is known: without a client certificate and without a
    /// bearer token that was accepted yet, and those whose handshake isn't done. Where all of them are open, the oldest one of the address that has
    /// the most closes for a new one. The rest is for identified connections alone.
    connections_unidentified_percent: 25 within 1 to 90, "percent";

    /// Unidentified connections of one address, or of one IPv6 network of 64 bits. For one more, the oldest of them closes.
    /// Clients behind one address need as many as connect at the same moment.
    connections_unidentified_per_address_max: 100 within 1 to 100_000, "connections";

    /// How long an unidentified connection may be open without a call. Probes connect anew, clients make their first call at once.
    connection_unidentified_idle_max_seconds: 15 within 1 to 3_600, "seconds";

    /// Connections open at once to the listener of metrics. For one more, the oldest closes. A scraper needs one.
    metrics_connections_max: 16 within 1 to 1_000, "connections";

    /// The longest time from a connection's first packet to its first HTTP/2 frame, TLS included.
    /// A slow link needs a second; who needs more than ten only holds a place.
    handshake_timeout_ms: 10_000 within 100 to 60_000, "milliseconds";

    /// Calls running at once on one connection. A client opens more connections if it needs more.
    concurrent_streams_max: 200 within 1 to 10_000, "calls";

    /// The largest set of headers taken with a call. Ours are small; bearer tokens may take some KB.
    header_list_size_max_bytes: 16_384 within 4_096 to 262_144, "bytes";

    /// The age at which a connection accepts no more calls and closes, so that clients reconnect through the load balancer and present their
    /// certificates again. Each connection has up to a tenth less, so that they don't all reconnect at once.
    connection_age_max_seconds: 3_600 within 1 to 86_400, "seconds";

    /// How long unary calls may continue on a connection that accepts no more calls; then they are cut off.
    /// As long as the longest unary call may take. Exports, imports and verifications may finish under their own limits, but within
    /// transfer_time_max_seconds. A watch ends with CONNECTION_ENDING: call it again.
    connection_grace_seconds: 300 within 1 to 86_400, "seconds";

    /// The pause after which a silent connection is asked for a sign of life (HTTP/2 PING).
    keepalive_interval_seconds: 60 within 1 to 3_600, "seconds";

    /// How long that sign may take before the connection is given up.
    keepalive_timeout_seconds: 20 within 1 to 300, "seconds";

    /// The time a call has if it doesn't say (`grpc-timeout`). Calls that answer with a stream have no time limit then.
    /// Ten times what the slowest unary call, a key change, takes on a slow machine.
    deadline_default_ms: 30_000 within 1 to 3_600_000, "milliseconds";

    /// The longest time a unary call gets, whatever it asks for.
    deadline_max_ms: 300_000 within 1 to 3_600_000, "milliseconds";

    /// How much of the requests of one connection is held before somebody reads it; one call may take half of it.
    /// Enough for 5 MB a second over 50 milliseconds of distance, and little beside all else that a connection costs.
    connection_window_max_bytes: 262_144 within 65_536 to 16_777_216, "bytes";

    /// How long an answer, or a message of a stream of them, may wait for a caller that takes nothing of it. Then the call's stream is reset, which
    /// gRPC clients report as CANCELLED; a connection that takes nothing at all is closed.
    /// What waits is held in memory. A network that is worse than that carries no calls.
    answer_stall_max_ms: 20_000 within 100 to 600_000, "milliseconds";

    /// How much of a request is read on that was refused by its headers, so that the answer isn't lost to proxies and clients.
    /// As much as a client sends before it hears anything.
    refused_request_read_max_bytes: 65_536 within 0 to 1_048_576, "bytes";

    /// How long a server that was told to end waits for calls and key work that still run. What is cut short is taken up at the next start.
    /// Orchestrators kill after 30 seconds unless told otherwise.
    drain_timeout_seconds: 25 within 1 to 600, "seconds";

    /// How long a server that was told to end goes on serving everything while health says NOT_SERVING; then it takes no more calls.
    /// As long as a balancer needs to notice, which is its interval of health checks times the failures that it waits for; 0 where none looks.
    /// It comes before drain_timeout_seconds: orchestrators have to wait for both together.
    drain_delay_seconds: 0 within 0 to 300, "seconds";

    /// Kinds of refusals that are logged in a minute, for callers with an identity and for callers without each. A kind is a caller and a
    /// reason: the first refusal is logged at once, its repeats as a count. Refusals of further kinds are counted together.
    /// Enough to see who is refused, and too few to fill a disk.
    refusal_log_lines_per_minute: 60 within 1 to 10_000, "lines";

    /// Lines of the log that wait for a reader of stderr that is slow or has stopped. Further lines are dropped and counted.
    /// Nothing waits for the log. A line has some hundred bytes.
    log_queue_lines: 8_192 within 16 to 1_000_000, "lines";

    /// How often the files that are exchanged while the server runs are looked at. What has changed counts once two looks found the same,
    /// so that a file that is being written isn't taken half; at SIGHUP it counts at once.
    reload_check_interval_seconds: 10 within 1 to 3_600, "seconds";

    /// How far the clocks of token issuers may be apart from this one: so long before its time and after it a token is taken.
    token_clock_skew_seconds: 30 within 0 to 300, "seconds";

    /// The longest time that a token may be valid for, from when it was issued and from now.
    /// A token can't be revoked; one that is stolen is good until its end. Issuers give minutes or hours.
    token_lifetime_max_seconds: 86_400 within 60 to 31_536_000, "seconds";

    /// Keys that are tried for a token that doesn't name its key. Each costs a signature.
    /// An issuer that changes its key publishes two or three.
    token_keys_tried_max: 8 within 1 to 100, "keys";

    /// How often the keys of token issuers at a jwks_url are fetched.
    /// A key that was withdrawn there is believed for no longer than this while the address answers; a new one is fetched when the first
    /// token names it.
    jwks_fetch_interval_seconds: 300 within 10 to 86_400, "seconds";

    /// Up to which age the keys of a token issuer are used while they can't be fetched, restarts included. Then its tokens are refused.
    /// A key may have been withdrawn meanwhile. A day bridges an outage of the issuer.
    jwks_age_max_seconds: 86_400 within 10 to 2_592_000, "seconds";

    /// How long a call waits for its issuer's keys if its token names one that isn't known.
    /// Two fetches are five seconds apart.
    jwks_wait_ms: 10_000 within 0 to 60_000, "milliseconds";

    /// Calls that wait for the keys of one issuer. One more is refused; the last quarter is for callers with a certificate.
    /// Any token can name an unknown key, so that strangers could hold calls and memory.
    jwks_waiting_calls_max: 100 within 0 to 10_000, "calls";

    /// The largest key set that is fetched. Those of large issuers have 20 KB.
    jwks_size_max_bytes: 262_144 within 1_024 to 16_777_216, "bytes";

    /// How often the last record of each audit trail that has grown is signed, and remembered in the configuration database.
    /// What was cut off behind the last signature goes unseen; a signature costs two small commits.
    audit_signature_interval_seconds: 60 within 1 to 86_400, "seconds";

    /// After how many days audit records are removed, from the old end and up to a signed record, and recorded changes of audited
    /// attributes too; 0 keeps them for ever.
    audit_retention_days: 0 within 0 to 36_500, "days";

    /// Audit records that the refused calls of one identity may make at once within a minute. Calls refused beyond that are counted, and
    /// each minute a record per action says how many there were.
    /// Enough for each mistake of a person or a program to be seen one by one; a caller who is refused without end makes some 20 KB a minute.
    refusals_recorded_per_minute_per_identity: 20 within 1 to 1_000, "records";

    /// How long a write of the audit copy may take before the copy counts as failing. See `[audit] on_failure`.
    /// A disk that works takes milliseconds, a busy one some hundreds of them.
    audit_copy_answer_max_ms: 2_000 within 100 to 60_000, "milliseconds";

    /// With `[audit] on_failure = "refuse"`: the audit records that may be missing from the copy before calls that have to be recorded are
    /// refused, though the copy doesn't count as failing yet. As many as a fast server records within a second.
    audit_copy_behind_max_records: 10_000 within 100 to 1_000_000, "records";

    /// The most records in a page of a list, whatever it asks for. The contract promises no more than 1000.
    /// A page is held in memory whole.
    page_size_max: 1_000 within 1 to 1_000, "records";

    /// Lists of one identity under way at once, verifications of audit trails included. Two of them run, the others wait for their turn.
    /// More than a program needs that lists in parallel, and far less than would fill memory.
    lists_per_identity_max: 64 within 1 to 10_000, "calls";

    /// How long the database may look for the records of a page, and how long it may count. A list that takes longer is ended with
    /// LIST_TIME_LIMIT. Four lists run at once in an organization: those of others wait for no longer than this.
    list_time_max_ms: 10_000 within 10 to 300_000, "milliseconds";

    /// Streams of one identity under way at once: WatchReencryption, VerifyCells, ExportOrganization, ImportOrganization.
    /// Each costs memory, and some hold a snapshot of a database.
    streams_per_identity_max: 32 within 1 to 10_000, "calls";

    /// Updates and deletes of one record under way at once, and updates of one organization's metadata. They wait for each other in
    /// the order in which they came; one more is refused with IN_FLIGHT_LIMIT.
    /// A record takes some hundred updates a second: more callers than this would wait past their deadlines.
    writes_per_record_max: 1_000 within 1 to 100_000, "calls";

    /// How often indexes of an organization's attributes may be switched on or off within an hour; 0 lifts the limit.
    /// The organization's writes wait while an index is made: about a second for a million records.
    index_switches_per_hour: 20 within 0 to 10_000, "switches";

    /// The least rate at which the caller of an export or import takes or sends the file, on average over the time for which the server
    /// waited for it; 0 lifts the limit. The first 10 seconds don't count, and a message has message_time_max_ms, but at least 10 seconds. A
    /// slower transfer is ended with TRANSFER_LIMIT: it holds a snapshot, or an organization's name.
    /// A link of a quarter megabit per second is faster.
    transfer_rate_min_bytes_per_second: 16_384 within 0 to 1_000_000_000, "bytes per second";

    /// The longest time of an export or import. One that takes longer is ended with TRANSFER_LIMIT.
    /// Several gigabytes take minutes.
    transfer_time_max_seconds: 3_600 within 1 to 86_400, "seconds";

    /// The size of a database's write-ahead log at which the exports and verifications are ended that keep it from being cut.
    /// They are ended with TRANSFER_LIMIT, or begin again. The log may exceed it by what is written within a second.
    write_ahead_log_max_bytes: 268_435_456 within 1_048_576 to 4_294_967_295, "bytes";

    /// The longest filter, in UTF-8. More than a person writes, and nothing that takes time to read.
    filter_length_max_bytes: 4_096 within 64 to 65_536, "bytes";

    /// How deep parentheses may nest in a filter. As deep as a program needs that combines filters.
    filter_depth_max: 16 within 1 to 64, "levels";

    /// Comparisons in a filter. The database looks at each of them for each record.
    filter_comparisons_max: 64 within 1 to 500, "comparisons";

    /// Paths in a field mask, whether of a read or of an update. Many times what the largest entity has fields.
    mask_paths_max: 256 within 1 to 10_000, "paths";

    /// Attributes named in one reveal. Many times what any entity has encrypted ones.
    reveal_attributes_max: 64 within 1 to 1_000, "attributes";

    /// Cells that a re-encryption rewrites in one transaction. Writes of others wait for no more than one.
    reencryption_batch_cells: 128 within 1 to 10_000, "cells";

    /// How much of the time a re-encryption works; the rest of it is left to others. At 100 it takes all that they leave.
    /// Half of it: calls beside it take hardly longer, and it is done in twice the time that it would take.
    reencryption_share_percent: 50 within 1 to 100, "percent";

    /// How long a re-encryption rests after each transaction at least, whatever its share.
    reencryption_pause_ms: 0 within 0 to 60_000, "milliseconds";

    /// Organizations' databases open at once. Of more, those that were not used for the longest time are closed until they are needed.
    /// Each takes a thread, some MB of memory and up to 12 file descriptors: mind `ulimit -n`.
    databases_open_max: 64 within 1 to 10_000, "databases";

    /// After how long without a call an organization's database is closed and its keys leave memory. The next call opens it within milliseconds.
    database_idle_max_seconds: 300 within 1 to 86_400, "seconds";

    /// How often an organization that can't be served is tried again: its database is missing, unreadable or another organization's.
    /// A try costs the opening of a file.
    organization_retry_interval_seconds: 10 within 1 to 3_600, "seconds";
}

/// The most violations that an error lists; of more, it says how many there are.
/// A person corrects a few at a time, and a program reads the count. Not a setting: clients may rely on it.
pub const ERROR_VIOLATIONS_MAX: usize = 16;

/// The longest details of an error, in bytes before base64, without the id of its call.
/// With it, the message and what HTTP/2 counts for each header, they stay below 8,192 bytes, which is what gRPC clients take by default.
pub const ERROR_DETAILS_MAX_BYTES: usize = 4_608;

/// One limit as it is described to people.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Its name in `[limits]`.
    pub name: &'static str,
    /// What it counts.
    pub unit: &'static str,
    /// What holds when nothing is said.
    pub default: u32,
    /// The smallest value taken.
    pub minimum: u32,
    /// The largest value taken.
    pub maximum: u32,
    /// What it is, and why it is what it is: a sentence or two a line.
    pub doc: &'static [&'static str],
}

/// Whether a limit has this name.
pub(crate) fn is_limit(name: &str) -> bool {
    LIMITS.iter().any(|limit| limit.name == name)
}

impl Limits {
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

    /// See [`Limits::token_clock_skew_seconds`].
    #[must_use]
    pub fn token_clock_skew(&self) -> Duration {
        Duration::from_secs(self.token_clock_skew_seconds.into())
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

    /// How long a re-encryption rests after work that took this long; see [`Limits::reencryption_share_percent`].
    #[must_use]
    pub fn reencryption_rest(&self, worked: Duration) -> Duration {
        let share = f64::from(self.reencryption_share_percent.clamp(1, 100));
        worked.mul_f64((100.0 - share) / share).max(self.reencryption_pause())
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
        otherwise: Otherwise::Is(limit.default.to_string().into()),
        taken_up: TakenUp::AtStart,
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
            faults.add(format!("limits.{name}"), format!("{given} is not within {minimum} to {maximum} {unit}"));
            limit.default
        }
    }
}

/// A default beyond its own maximum would promise what is never given.
fn check_pairs(limits: &Limits, faults: &mut Faults) {
    if limits.deadline_default_ms > limits.deadline_max_ms {
        faults.add(
            "limits.deadline_default_ms",
            format!("is more than limits.deadline_max_ms, {}", limits.deadline_max_ms),
        );
    }
    if limits.jwks_age_max_seconds < limits.jwks_fetch_interval_seconds {
        faults.add(
            "limits.jwks_age_max_seconds",
            format!("is less than limits.jwks_fetch_interval_seconds, {}", limits.jwks_fetch_interval_seconds),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_re_encryption_rests_as_its_share_says() {
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
