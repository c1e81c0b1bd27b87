//! The log on stderr: which events, and how they are written.
//!
//! A thread of its own writes the lines, from a queue. Nothing waits for it: a reader of stderr that has stopped stops nobody, and a full
//! queue drops lines and counts them.

use std::{
    env,
    io::{self, IsTerminal},
    panic,
    time::Duration,
};

use rustix::fs::fstat;
use sealward_server::config::{Log, LogFormat, limits::Limits};
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    Layer, Registry,
    filter::Targets,
    fmt::{self, time::SystemTime},
    layer::SubscriberExt,
    registry::LookupSpan,
    reload,
    util::SubscriberInitExt,
};

use super::print::within;

/// How long the end of the process waits for a reader of stderr.
const FLUSH_MAX: Duration = Duration::from_millis(1_500);

/// The log of this process.
pub(super) struct Logging {
    level: reload::Handle<Targets, Registry>,
    dropped: ErrorCounter,
    writer: WorkerGuard,
}

/// Begins to log. A panic is an event too, so that it doesn't wait for a reader either.
pub(super) fn to_stderr(log: Log, limits: &Limits) -> Logging {
    let lines_max = usize::try_from(limits.log_queue_lines).unwrap_or(usize::MAX);
    let (queue, writer) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(lines_max)
        .thread_name("log")
        .finish(io::stderr());
    let dropped = queue.error_counter();
    let (targets, level) = reload::Layer::new(targets(log.level));
    // Fails if there is one already, which then stays.
    let _there_is_one = tracing_subscriber::registry().with(targets).with(written(log.format, queue)).try_init();
    panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(tracing::field::display);
        tracing::error!(location, cause = panic.payload_as_str(), "a task panicked");
    }));
    Logging { level, dropped, writer }
}

impl Logging {
    /// Exchanges the level whenever it has changed.
    pub(super) fn exchange_level(&self) -> impl Fn(LevelFilter) + use<> {
        let handle = self.level.clone();
        move |level| {
            // Fails if there was a log already.
            let _another_logs = handle.reload(targets(level));
        }
    }

    /// How many lines were dropped so far.
    pub(super) fn dropped(&self) -> impl Fn() -> u64 + Send + use<> {
        let dropped = self.dropped.clone();
        move || u64::try_from(dropped.dropped_lines()).unwrap_or(u64::MAX)
    }

    /// Writes what is queued, as far as somebody reads it soon.
    pub(super) fn end(self) {
        // The guard has a bound of its own, but prints to stdout where it is reached, and that may not be read either.
        within(FLUSH_MAX, move || drop(self.writer));
    }
}

/// Sealward's own events as configured; those of the libraries under it only from `warn` up, since in detail they may tell what a
/// caller sent.
fn targets(level: LevelFilter) -> Targets {
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("sealward", level)
}

fn written<S: Subscriber + for<'a> LookupSpan<'a>>(
    format: LogFormat,
    queue: NonBlocking,
) -> Box<dyn Layer<S> + Send + Sync> {
    let layer = fmt::layer().with_writer(queue);
    match format {
        // An event's fields stand at the top; those of its call, call_id above all, under `span`.
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
        LogFormat::Text => {
            // The journal notes the time of each line itself.
            let timer = (!is_journal()).then_some(SystemTime);
            let layer = layer.with_ansi(io::stderr().is_terminal());
            match timer {
                Some(timer) => layer.with_timer(timer).boxed(),
                None => layer.without_time().boxed(),
            }
        }
    }
}

/// Whether stderr goes to systemd's journal: `$JOURNAL_STREAM` has device and inode of the socket.
fn is_journal() -> bool {
    let Ok(stream) = env::var("JOURNAL_STREAM") else { return false };
    fstat(io::stderr()).is_ok_and(|stderr| stream == format!("{}:{}", stderr.st_dev, stderr.st_ino))
}
