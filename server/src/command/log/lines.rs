//! The lines of the log as text, as tracing-subscriber writes them, with the call that the thread works for as if it were a span.
//!
//! Each call has a line. tracing-subscriber writes each part of it through several layers of formatting for styles, and renders the date
//! again for each line.

use std::{
    cell::RefCell,
    fmt, mem,
    time::{SystemTime, UNIX_EPOCH},
};

use sealward_server::call::{self, FieldValue};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields,
        format::{Format, Full, Writer},
    },
    registry::LookupSpan,
};

use super::fields::write_text;

/// Formats events.
pub(super) struct Lines {
    has_time: bool,
    /// The spans, target and fields of lines with colours, and of events of libraries that use another log.
    rest: Format<Full, ()>,
}

impl Lines {
    /// Lines that begin with their time, or without it.
    pub(super) fn new(has_time: bool) -> Self {
        Lines { has_time, rest: Format::default().without_time().with_level(false) }
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut line: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        let styles = if line.has_ansi_escapes() { &COLOURED } else { &PLAIN };
        if self.has_time {
            line.write_str(styles.before_time)?;
            write_time(&mut line)?;
            line.write_str(styles.after_time)?;
        }
        line.write_str(styles.level(metadata.level()))?;
        let has_call = write_call(&mut line, styles)?;
        if line.has_ansi_escapes() || metadata.target() == OTHER_LOG {
            if has_call && context.event_scope().is_none() {
                line.write_char(' ')?;
            }
            return self.rest.format_event(context, line, event);
        }
        let spans = context.event_scope();
        let has_scope = has_call || spans.is_some();
        for span in spans.into_iter().flat_map(|spans| spans.from_root()) {
            line.write_str(span.metadata().name())?;
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>().filter(|fields| !fields.is_empty()) {
                line.write_char('{')?;
                line.write_str(fields)?;
                line.write_char('}')?;
            }
            line.write_char(':')?;
        }
        if has_scope {
            line.write_char(' ')?;
        }
        line.write_str(metadata.target())?;
        line.write_str(": ")?;
        context.format_fields(line.by_ref(), event)?;
        line.write_char('\n')
    }
}

/// Writes the current call, if there is one, and returns whether there is.
fn write_call(line: &mut Writer<'_>, styles: &Styles) -> Result<bool, fmt::Error> {
    let written = call::show_current(|call| {
        line.write_str(styles.call)?;
        let mut is_first = true;
        call.fields(|name, value| {
            if !mem::take(&mut is_first) {
                line.write_char(' ')?;
            }
            line.write_str(styles.before_name)?;
            line.write_str(name)?;
            line.write_str(styles.after_name)?;
            match value {
                FieldValue::Text(text) => write_text(line, text),
                FieldValue::Plain(value) => write!(line, "{value}"),
            }
        })?;
        line.write_str(styles.end)
    });
    written.map_or(Ok(false), |written| written.map(|()| true))
}

/// What stands around the parts of a line.
struct Styles {
    before_time: &'static str,
    after_time: &'static str,
    /// The levels, from the least severe.
    levels: [&'static str; 5],
    call: &'static str,
    before_name: &'static str,
    after_name: &'static str,
    /// The end of a call.
    end: &'static str,
}

const PLAIN: Styles = Styles {
    before_time: "",
    after_time: " ",
    levels: ["TRACE ", "DEBUG ", " INFO ", " WARN ", "ERROR "],
    call: "call{",
    before_name: "",
    after_name: "=",
    end: "}:",
};

const COLOURED: Styles = Styles {
    before_time: "\x1b[2m",
    after_time: "\x1b[0m ",
    levels: [
        "\x1b[35mTRACE\x1b[0m ",
        "\x1b[34mDEBUG\x1b[0m ",
        "\x1b[32m INFO\x1b[0m ",
        "\x1b[33m WARN\x1b[0m ",
        "\x1b[31mERROR\x1b[0m ",
    ],
    call: "\x1b[1mcall\x1b[0m\x1b[1m{\x1b[0m",
    before_name: "\x1b[3m",
    after_name: "\x1b[0m\x1b[2m=\x1b[0m",
    end: "\x1b[1m}\x1b[0m\x1b[2m:\x1b[0m",
};

impl Styles {
    fn level(&self, level: &Level) -> &'static str {
        let [trace, debug, info, warn, error] = self.levels;
        match *level {
            Level::TRACE => trace,
            Level::DEBUG => debug,
            Level::INFO => info,
            Level::WARN => warn,
            Level::ERROR => error,
        }
    }
}

/// The target of events of the crate `log`. Their fields contain the real one.
const OTHER_LOG: &str = "log";

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
    let (mut digits, mut micros) = (*b".000000Z", now.subsec_micros());
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
        let theirs = || written(|line| SystemTime.format_time(line));
        let (before, theirs, after) = (ours(), theirs(), ours());
        assert!(before <= theirs && theirs <= after, "{before}{theirs}{after}");
        assert_eq!(before.len(), theirs.len());
    }
}
