//! The facts of a call, and the call that the current thread works for, as the lines of the log show it.
//!
//! The facts are kept as they are, and become text when a line is written: most calls write one line. A span of the log would make the text
//! early, and again for each fact that is found later, which is a tenth of a short call.
//!
//! A task enters its call each time it is polled, and leaves it afterwards, since the next task of the thread belongs to another call. This
//! file doesn't know the format of a line.

use std::{
    cell::RefCell,
    fmt::{self, Display},
    future::Future,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, uri::PathAndQuery};
use pin_project_lite::pin_project;
use sealward_connect::Protocol;
use sealward_core::{
    identity::Identity,
    name::OrganizationName,
    port::Clock,
    random::{self, Random},
};
use tokio::time::Instant;
use tracing::Level;
use uuid::Uuid;

use crate::{
    config::Hop,
    telemetry::traces::{
        self, Traces,
        context::{Parent, TraceId},
        current,
        span::Recording,
    },
    transport::{connection::Connection, peer::Peer},
};

/// The maximum length of a logged path. Paths of the contract are shorter; others can be as long as a header.
const PATH_LENGTH_MAX: usize = 128;

/// A call: its id, and the facts that are found out while it is served. It is in every request's extensions, and clones share it.
#[derive(Clone)]
pub(crate) struct CallFacts(Arc<Facts>);

struct Facts {
    id: Arc<str>,
    /// The id as a number.
    uuid: Uuid,
    begun: Instant,
    origin: Origin,
    identity: OnceLock<Arc<Identity>>,
    organization: OnceLock<OrganizationName>,
    request_cut: AtomicBool,
    /// The id of the trace that the call belongs to, if there is one.
    trace: OnceLock<TraceId>,
    /// The recording of the call, if it is traced.
    recording: OnceLock<Arc<Recording>>,
    /// Whether lines of the log show the call: the level was at least `info` when it began.
    is_shown: bool,
}

/// What a request says before it is judged.
#[derive(Default)]
pub(crate) struct Origin {
    path: Option<PathAndQuery>,
    peer: Option<Peer>,
    peer_text: Option<Arc<str>>,
    protocol: Option<Protocol>,
    client: Option<Box<str>>,
    hop: Option<Arc<Hop>>,
}

impl Origin {
    /// The origin of this request of a client with this version.
    pub(crate) fn of<B>(request: &Request<B>, client: Option<&str>) -> Self {
        let connection = request.extensions().get::<Connection>();
        Self {
            path: request.uri().path_and_query().cloned(),
            peer: connection.map(|connection| connection.peer.clone()),
            peer_text: connection.map(|connection| Arc::clone(&connection.peer_text)),
            protocol: request.extensions().get::<Protocol>().copied(),
            client: client.map(Into::into),
            hop: connection.and_then(|connection| connection.hop.clone()),
        }
    }
}

impl Default for CallFacts {
    fn default() -> Self {
        Self::new(Uuid::nil(), Arc::default(), Origin::default())
    }
}

impl fmt::Debug for CallFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CallFacts").field(&self.0.id).finish()
    }
}

impl CallFacts {
    fn new(uuid: Uuid, id: Arc<str>, origin: Origin) -> Self {
        let (identity, organization, request_cut, trace, recording) = Default::default();
        let (begun, is_shown) = (Instant::now(), tracing::enabled!(Level::INFO));
        let facts = Facts { id, uuid, begun, origin, identity, organization, request_cut, trace, recording, is_shown };
        Self(Arc::new(facts))
    }

    /// A call that begins now, with a new id.
    pub(crate) fn draw(clock: &dyn Clock, random: &dyn Random, origin: Origin) -> Self {
        let uuid = new_id(clock, random);
        Self::new(uuid, (&*uuid.as_hyphenated().encode_lower(&mut Uuid::encode_buffer())).into(), origin)
    }

    /// The id of the call, in its log lines, errors and audit records. It is a UUIDv7, so that ids sort by time.
    pub(crate) fn id(&self) -> &Arc<str> {
        &self.0.id
    }

    /// The time since it began.
    pub(crate) fn duration(&self) -> Duration {
        self.0.begun.elapsed()
    }

    /// The other end of its connection.
    pub(crate) fn peer(&self) -> Option<&Peer> {
        self.0.origin.peer.as_ref()
    }

    /// Records the caller's identity.
    pub(crate) fn identified(&self, identity: &Arc<Identity>) {
        let _set_once = self.0.identity.set(Arc::clone(identity));
    }

    /// The caller's identity, once it is known.
    pub(crate) fn identity(&self) -> Option<&Arc<Identity>> {
        self.0.identity.get()
    }

    /// Begins to record the call of this caller, if it is sampled.
    pub(crate) fn trace(&self, traces: &Traces, caller: &Arc<Identity>, parent: Option<Parent>) {
        let Facts { id, uuid, begun, trace, recording, .. } = &*self.0;
        let of_caller = parent.as_ref().map(|parent| parent.trace);
        let begins = traces.begin(traces::Call { caller, id, uuid: *uuid, begun: begun.into_std(), parent });
        if let Some(id) = begins.as_ref().map_or(of_caller, |begins| Some(begins.trace())) {
            let _set_once = trace.set(id);
        }
        if let Some(begins) = begins {
            let _set_once = recording.set(begins);
        }
    }

    /// The recording of the call, if it is traced.
    pub(crate) fn recording(&self) -> Option<&Arc<Recording>> {
        self.0.recording.get()
    }

    /// Records that the request was interrupted: the caller cancelled the call, or its connection failed.
    pub(crate) fn request_cut(&self) {
        self.0.request_cut.store(true, Ordering::Relaxed);
    }

    /// Whether the request was interrupted.
    pub(crate) fn was_cut(&self) -> bool {
        self.0.request_cut.load(Ordering::Relaxed)
    }

    /// Works for the call, and for its span if it is recorded.
    pub(crate) fn enter(&self) -> Entered {
        Entered { before: CURRENT.replace(Some(self.clone())), _span: self.recording().map(current::Entered::call) }
    }
}

fn new_id(clock: &dyn Clock, random: &dyn Random) -> Uuid {
    let unix_millis = clock.now().unix_millis().max(0).unsigned_abs();
    uuid::Builder::from_unix_timestamp_millis(unix_millis, &random::bytes(random)).into_uuid()
}

/// The part of a path that is logged.
pub(crate) fn logged_path(path: &str) -> &str {
    let end = (0..=PATH_LENGTH_MAX.min(path.len())).rev().find(|end| path.is_char_boundary(*end));
    path.get(..end.unwrap_or(0)).unwrap_or_default()
}

thread_local! {
    static CURRENT: RefCell<Option<CallFacts>> = const { RefCell::new(None) };
}

/// While it exists, the thread works for a call. Then it works for the one before again.
pub(crate) struct Entered {
    before: Option<CallFacts>,
    _span: Option<current::Entered>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.before.take());
    }
}

/// The current call entered this organization.
pub(crate) fn enter_organization(name: &OrganizationName) {
    CURRENT.with_borrow(|current| {
        if let Some(CallFacts(facts)) = current {
            let _set_once = facts.organization.set(name.clone());
        }
    });
}

/// A future that works for the current call, in whatever task it is polled.
pub(crate) fn in_current<F: Future>(future: F) -> InCall<F> {
    InCall { future, call: CURRENT.with_borrow(Clone::clone) }
}

pin_project! {
    /// A future that works for a call.
    pub(crate) struct InCall<F> {
        #[pin]
        future: F,
        call: Option<CallFacts>,
    }
}

impl<F: Future> Future for InCall<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        // Its span is that of the task: it may be one below that of the call.
        let _entered = this.call.clone().map(|call| Entered { before: CURRENT.replace(Some(call)), _span: None });
        this.future.poll(context)
    }
}

/// The current call in the lines of the log.
pub struct LoggedCall<'a>(&'a Facts);

/// The value of a field.
pub enum FieldValue<'a> {
    /// Text, which a text log quotes.
    Text(&'a str),
    /// A value with a form of its own, which a text log prints as it is.
    Plain(&'a dyn Display),
}

/// Shows the current call with `show`. Returns `None` if the thread works for no call, or if the level of the log leaves it out.
pub fn show_current<R>(show: impl FnOnce(LoggedCall<'_>) -> R) -> Option<R> {
    // A thread that ends may log after its variables are gone.
    let shown = CURRENT.try_with(|current| {
        let current = current.try_borrow().ok()?;
        let CallFacts(facts) = current.as_ref().filter(|CallFacts(facts)| facts.is_shown)?;
        Some(show(LoggedCall(facts)))
    });
    shown.ok().flatten()
}

impl LoggedCall<'_> {
    /// Passes each field that is known to `field`, until that fails.
    ///
    /// # Errors
    /// `field` failed.
    pub fn fields<E>(&self, mut field: impl FnMut(&'static str, FieldValue<'_>) -> Result<(), E>) -> Result<(), E> {
        use FieldValue::{Plain, Text};
        let Facts { id, origin, identity, trace, organization, .. } = self.0;
        field("call_id", Text(id))?;
        field("rpc", Text(logged_path(origin.path.as_ref().map_or("", PathAndQuery::path))))?;
        if let Some(peer) = &origin.peer_text {
            field("peer", Plain(peer))?;
        }
        field("protocol", Text(origin.protocol.unwrap_or(Protocol::Grpc).name()))?;
        if let Some(client) = &origin.client {
            field("client", Text(client))?;
        }
        if let Some(hop) = &origin.hop {
            field("hop", Text(&hop.name))?;
        }
        if let Some(identity) = identity.get() {
            field("identity", Plain(identity))?;
        }
        if let Some(trace) = trace.get() {
            field("trace_id", Plain(trace))?;
        }
        if let Some(organization) = organization.get() {
            field("organization", Text(organization.as_str()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::{clock::SystemClock, random::SystemRandom};

    fn draw() -> CallFacts {
        CallFacts::draw(&SystemClock, &SystemRandom, Origin::default())
    }

    fn shown() -> Option<Vec<(&'static str, String)>> {
        show_current(|call| {
            let mut fields = Vec::new();
            let all = call.fields(|name, value| {
                let text = match value {
                    FieldValue::Text(text) => format!("{text:?}"),
                    FieldValue::Plain(value) => value.to_string(),
                };
                fields.push((name, text));
                Ok::<_, fmt::Error>(())
            });
            all.unwrap();
            fields
        })
    }

    #[test]
    fn call_ids_are_uuids_of_version_7_and_differ() {
        let facts = draw();
        let id: Uuid = facts.id().parse().unwrap();
        assert_eq!((id.get_version_num(), id), (7, facts.0.uuid));
        assert_ne!(draw().id(), draw().id());
    }

    #[test]
    fn calls_are_shown_in_their_own_threads_and_tasks_only() {
        let _log = tracing::subscriber::set_default(tracing_subscriber::registry());
        let (outer, inner) = (draw(), draw());
        let id = || shown().and_then(|fields| fields.into_iter().find(|(name, _)| *name == "call_id"));
        let of = |call: &CallFacts| Some(("call_id", format!("{:?}", call.id())));
        assert_eq!(id(), None);
        let task = {
            let _outer = outer.enter();
            {
                let _inner = inner.enter();
                assert_eq!(id(), of(&inner));
            }
            assert_eq!(id(), of(&outer));
            assert_eq!(std::thread::scope(|scope| scope.spawn(shown).join().unwrap()), None);
            in_current(std::future::poll_fn(|_| Poll::Ready(id())))
        };
        assert_eq!(id(), None);
        let _inner = inner.enter();
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert_eq!(std::pin::pin!(task).poll(&mut context), Poll::Ready(of(&outer)));
        assert_eq!(id(), of(&inner));
    }

    #[test]
    fn facts_that_are_found_out_later_are_shown() {
        let _log = tracing::subscriber::set_default(tracing_subscriber::registry());
        let mut request = Request::post("/a.B/C?x=y").body(()).unwrap();
        request.extensions_mut().insert(Protocol::GrpcWeb);
        let call = CallFacts::draw(&SystemClock, &SystemRandom, Origin::of(&request, Some("python/0.1.0")));
        let _entered = call.enter();
        let id = format!("{:?}", call.id());
        let mut expected = vec![
            ("call_id", id.as_str()),
            ("rpc", "\"/a.B/C\""),
            ("protocol", "\"grpc-web\""),
            ("client", "\"python/0.1.0\""),
        ];
        let check = |expected: &[(&str, &str)]| {
            let shown = shown().unwrap();
            assert_eq!(shown.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>(), expected);
        };
        check(&expected);
        call.identified(&Arc::new("cn:reader".parse().unwrap()));
        enter_organization(&"contoso".parse().unwrap());
        expected.extend([("identity", "cn:reader"), ("organization", "\"contoso\"")]);
        check(&expected);
    }

    #[test]
    fn call_is_left_out_of_a_log_without_its_level() {
        let warnings = tracing_subscriber::filter::LevelFilter::WARN;
        let log = tracing_subscriber::layer::SubscriberExt::with(tracing_subscriber::registry(), warnings);
        let _log = tracing::subscriber::set_default(log);
        let _entered = draw().enter();
        assert_eq!(shown(), None);
    }

    #[test]
    fn only_the_beginning_of_a_long_path_is_logged() {
        let long = format!("/{}", "ü".repeat(100));
        assert_eq!(logged_path(&long).len(), 127);
        assert_eq!(logged_path("/a.B/C"), "/a.B/C");
    }
}
