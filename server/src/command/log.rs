//! The log on stderr: its levels and format.
//!
//! A separate thread writes the lines from a queue. No other thread waits for it, so a stalled reader of stderr doesn't stall the server.

mod fields;
mod lines;
mod objects;
mod queue;
#[cfg(test)]
mod tests;

use std::{
    env,
    io::{self, IsTerminal},
    panic,
    time::Duration,
};

use rustix::fs::fstat;
use sealward_server::config::{Log, LogFormat, limits::Limits};
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, Registry, filter::Targets, fmt, layer::SubscriberExt, registry::LookupSpan, reload, util::SubscriberInitExt,
};

use self::{
    fields::PlainFields,
    lines::Lines,
    objects::Objects,
    queue::{Queue, Writer},
};
use super::print::within;

/// The maximum time that the exiting process waits for a reader of stderr.
const FLUSH_MAX: Duration = Duration::from_millis(1_500);

/// The log of this process.
pub(super) struct Logging {
    level: reload::Handle<Targets, Registry>,
    queue: Queue,
    writer: Writer,
}

/// Starts the log. Panics are logged as events too, so that they don't wait for a reader either.
pub(super) fn to_stderr(log: Log, limits: &Limits) -> Logging {
    let lines_max = usize::try_from(limits.log_queue_lines).unwrap_or(usize::MAX);
    let (queue, writer) = Queue::start(lines_max, io::stderr());
    let (targets, level) = reload::Layer::new(targets(log.level));
    // Fails if the process already has a log. That log remains.
    let format = format_layer(log.format, queue.clone());
    let _exists_already = tracing_subscriber::registry().with(targets).with(format).try_init();
    panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(tracing::field::display);
        tracing::error!(location, cause = panic.payload_as_str(), "task panicked");
    }));
    Logging { level, queue, writer }
}

impl Logging {
    /// A function that changes the level.
    pub(super) fn set_level(&self) -> impl Fn(LevelFilter) + use<> {
        let handle = self.level.clone();
        move |level| {
            // Fails if the process already had a log.
            let _has_another_log = handle.reload(targets(level));
        }
    }

    /// The number of lines dropped so far.
    pub(super) fn dropped(&self) -> impl Fn() -> u64 + Send + use<> {
        let queue = self.queue.clone();
        move || queue.dropped()
    }

    /// Writes the queued lines, for at most [`FLUSH_MAX`].
    pub(super) fn end(self) {
        within(FLUSH_MAX, move || drop(self.writer));
    }
}

/// Sealward's own events at the configured level. Events of libraries only at `warn` and above, because their details can contain a
/// caller's data.
fn targets(level: LevelFilter) -> Targets {
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("sealward", level)
}

fn format_layer<S: Subscriber + for<'a> LookupSpan<'a>>(
    format: LogFormat,
    queue: Queue,
) -> Box<dyn Layer<S> + Send + Sync> {
    let layer = fmt::layer().with_writer(queue);
    match format {
        // An event's fields are at the top level; those of its call, such as call_id, are under `span`.
        LogFormat::Json => {
            let layer = layer.json().flatten_event(true).with_current_span(true).with_span_list(false);
            layer.map_event_format(Objects).boxed()
        }
        LogFormat::Text => {
            // The journal records the time of each line itself.
            let has_time = !is_journal();
            let layer = layer.event_format(Lines::new(has_time));
            if io::stderr().is_terminal() {
                layer.with_ansi(true).boxed()
            } else {
                layer.with_ansi(false).fmt_fields(PlainFields).boxed()
            }
        }
    }
}

/// Whether stderr goes to systemd's journal: `$JOURNAL_STREAM` contains the device and inode of the socket.
fn is_journal() -> bool {
    let Ok(stream) = env::var("JOURNAL_STREAM") else { return false };
    fstat(io::stderr()).is_ok_and(|stderr| stream == format!("{}:{}", stderr.st_dev, stderr.st_ino))
}
