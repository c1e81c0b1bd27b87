//! A recorded call, and its spans. A span goes into the queue when it ends.
//!
//! Nothing here knows which calls are recorded, or where spans go.

use std::{
    borrow::Cow,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use tonic::Code;

use super::{
    context::{SpanId, TraceId},
    ended::EndedSpan,
    queue::Queue,
    table::{self, Attribute, Kind},
};
use crate::telemetry::calls::code_name;

/// A call that is recorded.
pub(crate) struct Recording {
    beginning: Beginning,
    queue: Queue,
    /// The number of its spans so far, without its own.
    spans: AtomicU32,
    spans_max: u32,
    organization: OnceLock<Box<str>>,
}

/// The facts at the beginning of a recording.
pub(super) struct Beginning {
    pub(super) trace: TraceId,
    /// The caller's span.
    pub(super) parent: Option<SpanId>,
    /// The number of the call's own span, drawn at random. Those of its spans follow it.
    pub(super) first_id: u64,
    pub(super) call_id: Arc<str>,
    pub(super) begun: Instant,
    pub(super) begun_unix_nanos: u64,
}

/// The end of a call.
pub(crate) struct CallEnd<'a> {
    /// The served method; `None` for any other.
    pub(crate) method: Option<&'a str>,
    /// Whether its protocol is Connect.
    pub(crate) is_connect: bool,
    pub(crate) code: Code,
    /// The reason of an error.
    pub(crate) reason: Option<&'a str>,
}

impl Recording {
    pub(super) fn begin(beginning: Beginning, queue: Queue, spans_max: u32) -> Arc<Self> {
        Arc::new(Self { beginning, queue, spans: AtomicU32::new(0), spans_max, organization: OnceLock::new() })
    }

    /// The trace of the call.
    pub(crate) fn trace(&self) -> TraceId {
        self.beginning.trace
    }

    /// The id of the call's own span.
    pub(super) fn id(&self) -> SpanId {
        SpanId::new(self.beginning.first_id)
    }

    /// The call entered this organization.
    pub(super) fn enter_organization(&self, name: &str) {
        let _set_once = self.organization.set(name.into());
    }

    /// Begins a span of the call, below another one; `None` if the call has too many.
    pub(super) fn span(self: &Arc<Self>, kind: &'static Kind, parent: SpanId) -> Option<RunningSpan> {
        let earlier = self.spans.fetch_add(1, Ordering::Relaxed);
        if earlier >= self.spans_max {
            // The counter must not start again from zero.
            self.spans.fetch_sub(1, Ordering::Relaxed);
            self.queue.drop_of_full_call();
            return None;
        }
        let number = self.beginning.first_id.wrapping_add(u64::from(earlier)).wrapping_add(1);
        let (id, begun) = (SpanId::new(number), Instant::now());
        Some(RunningSpan {
            recording: Arc::clone(self),
            kind,
            id,
            parent,
            begun,
            attributes: Vec::new(),
            has_failed: false,
        })
    }

    /// Ends the call's own span.
    pub(crate) fn end(&self, end: &CallEnd<'_>) {
        let method = end.method.map_or(Cow::Borrowed("_OTHER"), |method| method.to_owned().into());
        let name = if end.method.is_some() { method.clone() } else { system(end.is_connect).into() };
        let code = code_name(end.code);
        let shown = if end.is_connect { Cow::Owned(code.to_ascii_lowercase()) } else { code.into() };
        let has_failed = is_failure(end.code);
        let mut attributes = vec![
            (&table::RPC_SYSTEM, system(end.is_connect).into()),
            (&table::RPC_METHOD, method),
            (&table::RPC_STATUS, shown.clone()),
            (&table::CALL_ID, self.beginning.call_id.to_string().into()),
        ];
        attributes.extend(has_failed.then_some((&table::ERROR_TYPE, shown)));
        attributes.extend(end.reason.map(|reason| (&table::REASON, reason.to_owned().into())));
        attributes.extend(self.organization.get().map(|name| (&table::ORGANIZATION, name.to_string().into())));
        self.queue.add(EndedSpan {
            kind: &table::CALL,
            name,
            trace: self.beginning.trace,
            id: self.id(),
            parent: self.beginning.parent,
            begin_unix_nanos: self.beginning.begun_unix_nanos,
            end_unix_nanos: self.unix_nanos(Instant::now()),
            attributes,
            has_failed,
        });
    }

    fn unix_nanos(&self, time: Instant) -> u64 {
        let since = time.saturating_duration_since(self.beginning.begun).as_nanos();
        self.beginning.begun_unix_nanos.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }
}

fn system(is_connect: bool) -> &'static str {
    if is_connect { "connectrpc" } else { "grpc" }
}

/// Whether the conventions count a code as a failure of the server.
fn is_failure(code: Code) -> bool {
    match code {
        Code::Unknown
        | Code::DeadlineExceeded
        | Code::Unimplemented
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => true,
        Code::Ok
        | Code::Cancelled
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unauthenticated => false,
    }
}

/// A span that has begun. It ends when it is dropped.
pub(crate) struct RunningSpan {
    recording: Arc<Recording>,
    kind: &'static Kind,
    id: SpanId,
    parent: SpanId,
    begun: Instant,
    attributes: Vec<(&'static Attribute, Cow<'static, str>)>,
    has_failed: bool,
}

impl RunningSpan {
    pub(super) fn recording(&self) -> &Arc<Recording> {
        &self.recording
    }

    pub(super) fn id(&self) -> SpanId {
        self.id
    }

    /// Adds an attribute, which is one of its kind.
    pub(crate) fn set(&mut self, attribute: &'static Attribute, value: &'static str) {
        let is_known = self.kind.attributes.iter().any(|known| std::ptr::eq(*known, attribute));
        debug_assert!(is_known, "{} isn't an attribute of {}", attribute.name, self.kind.name);
        if is_known {
            self.attributes.push((attribute, value.into()));
        }
    }

    /// The work failed for this reason.
    pub(crate) fn fail(&mut self, error: &'static str) {
        self.has_failed = true;
        self.set(&table::ERROR_TYPE, error);
    }
}

impl Drop for RunningSpan {
    fn drop(&mut self) {
        let recording = &self.recording;
        recording.queue.add(EndedSpan {
            kind: self.kind,
            name: self.kind.name.into(),
            trace: recording.beginning.trace,
            id: self.id,
            parent: Some(self.parent),
            begin_unix_nanos: recording.unix_nanos(self.begun),
            end_unix_nanos: recording.unix_nanos(Instant::now()),
            attributes: std::mem::take(&mut self.attributes),
            has_failed: self.has_failed,
        });
    }
}
