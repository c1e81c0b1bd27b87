//! The fields of a line of the log as text: `name=value`, as tracing-subscriber writes them without colours.
//!
//! Each call has a line. tracing-subscriber writes each field through several layers of formatting for styles, which without colours add
//! nothing, and took a twentieth of a short call.

use std::fmt::{self, Debug, Write as _};

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

    fn separate(&mut self) -> fmt::Result {
        if std::mem::take(&mut self.is_first) { Ok(()) } else { self.writer.write_char(' ') }
    }

    fn name(&mut self, field: &Field) -> fmt::Result {
        self.separate()?;
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
        self.field(field, |writer| write_text(writer, value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.by_default(|visitor| visitor.record_error(field, value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() != MESSAGE {
            return self.field(field, |writer| write!(writer, "{value:?}"));
        }
        // A message without values is formatted twice, which is faster than to look at each character for itself.
        if write!(OnlyPlain, "{value:?}").is_err() {
            return self.by_default(|visitor| visitor.record_debug(field, value));
        }
        if self.result.is_ok() {
            self.result = self.separate().and_then(|()| write!(self.writer, "{value:?}"));
        }
    }
}

/// Writes text in quotes, as `Debug` does.
pub(super) fn write_text(writer: &mut Writer<'_>, text: &str) -> fmt::Result {
    // Text that `Debug` would not change.
    if consists_of(text, |byte| is_plain(byte) & (byte != b'"') & (byte != b'\\')) {
        writer.write_char('"')?;
        writer.write_str(text)?;
        writer.write_char('"')
    } else {
        write!(writer, "{text:?}")
    }
}

/// Whether a byte is a printable character of ASCII.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

/// Whether all bytes are `expected`. Without an early end, the processor looks at several bytes at once.
fn consists_of(text: &str, expected: impl Fn(u8) -> bool) -> bool {
    text.bytes().fold(true, |are_expected, byte| are_expected & expected(byte))
}

/// Fails for text that isn't plain.
struct OnlyPlain;

impl fmt::Write for OnlyPlain {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if consists_of(text, is_plain) { Ok(()) } else { Err(fmt::Error) }
    }
}

/// The name of the field with the text of an event.
const MESSAGE: &str = "message";
