//! The lines of the log as JSON, as tracing-subscriber writes them, with the call that the thread works for as if it were a span.
//!
//! tracing-subscriber parses and writes the fields of a span again for each field that is added to it.

use std::{collections::BTreeMap, convert::Infallible, fmt};

use sealward_server::call::{self, FieldValue};
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// Formats events as objects, with a format that ends each object with its span.
pub(super) struct Objects<F>(pub(super) F);

impl<S, N, F> FormatEvent<S, N> for Objects<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut line: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        // An object shows the innermost span, which begins in a call.
        let call = if context.event_scope().is_none() { fields_of_call() } else { None };
        let Some(call) = call else { return self.0.format_event(context, line, event) };
        let mut object = String::new();
        self.0.format_event(context, Writer::new(&mut object), event)?;
        let call = serde_json::to_string(&call).map_err(|_| fmt::Error)?;
        let (object, call) = (object.strip_suffix("}\n"), call.strip_suffix('}'));
        let (object, call) = object.zip(call).ok_or(fmt::Error)?;
        for part in [object, ",\"span\":", call, ",\"name\":\"call\"}}\n"] {
            line.write_str(part)?;
        }
        Ok(())
    }
}

/// The fields of the current call, in the order of their names.
fn fields_of_call() -> Option<BTreeMap<&'static str, String>> {
    call::show_current(|call| {
        let mut fields = BTreeMap::new();
        let Ok(()) = call.fields(|name, value| {
            let text = match value {
                FieldValue::Text(text) => text.to_owned(),
                FieldValue::Plain(value) => value.to_string(),
            };
            fields.insert(name, text);
            Ok::<_, Infallible>(())
        });
        fields
    })
}
