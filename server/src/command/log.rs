//! The log on stderr: which events, and how they are written.

use std::{
    env,
    io::{self, IsTerminal},
};

use fieldseal_server::config::{Log, LogFormat};
use rustix::fs::fstat;
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer,
    filter::Targets,
    fmt::{self, time::SystemTime},
    layer::SubscriberExt,
    registry::LookupSpan,
    reload,
    util::SubscriberInitExt,
};

/// Begins to log. What it answers with exchanges the level.
pub(super) fn to_stderr(log: Log) -> impl Fn(LevelFilter) {
    let (targets, handle) = reload::Layer::new(targets(log.level));
    // Fails if there is one already, which then stays.
    let _there_is_one = tracing_subscriber::registry().with(written(log.format)).with(targets).try_init();
    move |level| {
        // Fails if there was a log already.
        let _another_logs = handle.reload(self::targets(level));
    }
}

/// Fieldseal's own events as configured; those of the libraries under it only from `warn` up, since in detail they may tell what a
/// caller sent.
fn targets(level: LevelFilter) -> Targets {
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("fieldseal", level)
}

fn written<S: Subscriber + for<'a> LookupSpan<'a>>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync> {
    let layer = fmt::layer().with_writer(io::stderr);
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
