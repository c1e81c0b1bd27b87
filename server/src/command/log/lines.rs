//! The lines of the log as text without colours, as tracing-subscriber writes them.
//!
//! Each call has a line. tracing-subscriber writes each part of it through several layers of formatting for styles, and renders the date
//! again for each line.

use std::{
    cell::RefCell,
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields,
        format::{Format, Writer},
    },
    registry::LookupSpan,
};

/// Formats events without colours.
pub(super) struct PlainLines {
    has_time: bool,
    /// For events of libraries that use another log.
    full: Format,
}

impl PlainLines {
    /// Lines that begin with their time, or without it.
    pub(super) fn new(has_time: bool) -> Self {
        PlainLines { has_time, full: Format::default() }
    }
}

impl<S, N> FormatEvent<S, N> for PlainLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut line: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        if metadata.target() == OTHER_LOG {
            return if self.has_time {
                self.full.format_event(context, line, event)
            } else {
                self.full.clone().without_time().format_event(context, line, event)
            };
        }
        if self.has_time {
            write_time(&mut line)?;
        }
        line.write_str(padded(metadata.level()))?;
        if let Some(spans) = context.event_scope() {
            for span in spans.from_root() {
                line.write_str(span.metadata().name())?;
                if let Some(fields) = span.extensions().get::<FormattedFields<N>>().filter(|fields| !fields.is_empty())
                {
                    line.write_char('{')?;
                    line.write_str(fields)?;
                    line.write_char('}')?;
                }
                line.write_char(':')?;
            }
            line.write_char(' ')?;
        }
        line.write_str(metadata.target())?;
        line.write_str(": ")?;
        context.format_fields(line.by_ref(), event)?;
        line.write_char('\n')
    }
}

/// The target of events of the crate `log`. Their fields contain the real one.
const OTHER_LOG: &str = "log";

fn padded(level: &Level) -> &'static str {
    match *level {
        Level::TRACE => "TRACE ",
        Level::DEBUG => "DEBUG ",
        Level::INFO => " INFO ",
        Level::WARN => " WARN ",
        Level::ERROR => "ERROR ",
    }
}

/// Writes the current time with microseconds. The text of its second is kept for the next lines of this thread.
#[expect(clippy::disallowed_methods, reason = "a log has the time of the system")]
fn write_time(line: &mut Writer<'_>) -> fmt::Result {
    thread_local! {
        static SECOND: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != now.as_secs() || text.is_empty() {
            let time = jiff::Timestamp::from_second(i64::try_from(now.as_secs()).unwrap_or_default());
            *text = time.map_err(|_| fmt::Error)?.to_string().trim_end_matches('Z').to_owned();
            *second = now.as_secs();
        }
        line.write_str(text)
    })?;
    let (mut digits, mut micros) = (*b".000000Z ", now.subsec_micros());
    for digit in digits.iter_mut().skip(1).take(6).rev() {
        *digit += u8::try_from(micros % 10).unwrap_or_default();
        micros /= 10;
    }
    line.write_str(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

    use super::*;

    #[test]
    fn time_is_that_of_tracing_subscriber() {
        let written = |write: fn(&mut Writer<'_>) -> fmt::Result| {
            let mut text = String::new();
            write(&mut Writer::new(&mut text)).unwrap();
            text
        };
        let ours = || written(write_time);
        let theirs = || written(|line| SystemTime.format_time(line).and_then(|()| line.write_char(' ')));
        let (before, theirs, after) = (ours(), theirs(), ours());
        assert!(before <= theirs && theirs <= after, "{before}{theirs}{after}");
        assert_eq!(before.len(), theirs.len());
    }
}
