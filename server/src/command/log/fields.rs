//! The fields of a line of the log as text: `name=value`, as tracing-subscriber writes them without colours.
//!
//! Each call has a line. tracing-subscriber writes each field through several layers of formatting for styles, which without colours add
//! nothing, and took a twentieth of a short call.

use std::fmt::{self, Debug};

use tracing::field::{Field, Visit};
use tracing_subscriber::{
    field::{RecordFields, VisitOutput as _},
    fmt::{
        FormatFields,
        format::{DefaultVisitor, Writer},
    },
};

/// Formats fields without colours.
pub(super) struct PlainFields;

impl<'writer> FormatFields<'writer> for PlainFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut visitor = PlainVisitor { writer, is_first: true, result: Ok(()) };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct PlainVisitor<'a> {
    writer: Writer<'a>,
    is_first: bool,
    result: fmt::Result,
}

impl PlainVisitor<'_> {
    /// Writes a field with this value.
    fn field(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        if self.result.is_ok() {
            self.result = self.name(field).and_then(|()| value(&mut self.writer));
        }
    }

    fn name(&mut self, field: &Field) -> fmt::Result {
        if !std::mem::take(&mut self.is_first) {
            self.writer.write_char(' ')?;
        }
        let name = field.name();
        self.writer.write_str(name.strip_prefix("r#").unwrap_or(name))?;
        self.writer.write_char('=')
    }

    /// Messages and errors are written by tracing-subscriber, which escapes characters that control a terminal.
    fn by_default(&mut self, record: impl FnOnce(&mut DefaultVisitor<'_>)) {
        if self.result.is_ok() {
            let mut visitor = DefaultVisitor::new(self.writer.by_ref(), std::mem::take(&mut self.is_first));
            record(&mut visitor);
            self.result = visitor.finish();
        }
    }
}

impl Visit for PlainVisitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == MESSAGE {
            return self.by_default(|visitor| visitor.record_str(field, value));
        }
        self.field(field, |writer| {
            // Text that `Debug` would not change.
            if value.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')) {
                writer.write_char('"')?;
                writer.write_str(value)?;
                writer.write_char('"')
            } else {
                write!(writer, "{value:?}")
            }
        });
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.by_default(|visitor| visitor.record_error(field, value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == MESSAGE {
            return self.by_default(|visitor| visitor.record_debug(field, value));
        }
        self.field(field, |writer| write!(writer, "{value:?}"));
    }
}

/// The name of the field with the text of an event.
const MESSAGE: &str = "message";

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use tracing_subscriber::{fmt, layer::SubscriberExt as _, registry::Registry};

    use super::*;
    use crate::command::log::lines::PlainLines;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_those_of_tracing_subscriber() {
        let lines = |subscriber: tracing::Dispatch, written: Written| {
            tracing::dispatcher::with_default(&subscriber, || {
                let cause = io::Error::other(std::fmt::Error);
                let span =
                    tracing::info_span!("call", id = "a-1", empty = tracing::field::Empty, path = "a\"\\\n\u{1b}é");
                let _entered = span.enter();
                span.record("empty", tracing::field::display("dns:\"a\""));
                tracing::info!(code = ?tonic::Code::Ok, reason = None::<&str>, r#type = Some("x"), duration_us = 17_u64, "answered");
                tracing::warn!(
                    number = -1,
                    yes = true,
                    half = 0.5,
                    error = &cause as &dyn std::error::Error,
                    "\u{1b}[31m {}",
                    "of \u{7} values"
                );
            });
            String::from_utf8(written.0.lock().unwrap().clone()).unwrap()
        };
        let (ours, theirs) = (Written::default(), Written::default());
        let layer = |written: &Written| {
            let written = written.clone();
            fmt::layer().without_time().with_ansi(false).with_writer(move || written.clone())
        };
        let plain = layer(&ours).fmt_fields(PlainFields).event_format(PlainLines::new(false));
        let plain = Registry::default().with(plain);
        let default = Registry::default().with(layer(&theirs));
        let ours = lines(plain.into(), ours);
        assert_eq!(ours, lines(default.into(), theirs));
        assert_eq!(ours.lines().count(), 2, "{ours}");
    }
}
