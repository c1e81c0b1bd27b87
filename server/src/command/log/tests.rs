//! Each format writes what tracing-subscriber writes. Calls aren't known here: tests of whole servers read their lines.

use std::{
    io,
    sync::{Arc, Mutex},
};

use tracing_subscriber::{
    Layer, fmt,
    fmt::{MakeWriter, format::Format},
    layer::SubscriberExt as _,
    registry::Registry,
};

use super::{fields::PlainFields, lines::Lines, objects::Objects};

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

impl<'a> MakeWriter<'a> for Written {
    type Writer = Written;

    fn make_writer(&'a self) -> Written {
        self.clone()
    }
}

/// What a layer writes of these events.
fn lines<L: Layer<Registry> + Send + Sync>(layer: impl FnOnce(Written) -> L) -> String {
    let written = Written::default();
    let subscriber = Registry::default().with(layer(written.clone()));
    tracing::subscriber::with_default(subscriber, || {
        let cause = io::Error::other(std::fmt::Error);
        let span = tracing::info_span!("call", id = "a-1", empty = tracing::field::Empty, path = "a\"\\\n\u{1b}é");
        {
            let _entered = span.enter();
            span.record("empty", tracing::field::display("dns:\"a\""));
            tracing::info!(code = ?tonic::Code::Ok, reason = None::<&str>, r#type = Some("x"), duration_us = 17_u64, "answered");
            tracing::event!(tracing::Level::ERROR, "{}", "plain");
        }
        tracing::debug!(id = %7, "outside");
        tracing::trace!("outside");
        tracing::warn!(
            number = -1,
            yes = true,
            half = 0.5,
            error = &cause as &dyn std::error::Error,
            "\u{1b}[31m {}",
            "of \u{7} values"
        );
    });
    let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.lines().count(), 5, "{text}");
    text
}

fn layer(written: Written) -> fmt::Layer<Registry, fmt::format::DefaultFields, Format<fmt::format::Full, ()>, Written> {
    fmt::layer().without_time().with_writer(written)
}

#[test]
fn text_is_that_of_tracing_subscriber() {
    let ours = lines(|written| layer(written).event_format(Lines::new(false)).with_ansi(false).fmt_fields(PlainFields));
    assert_eq!(ours, lines(|written| layer(written).with_ansi(false)));
}

#[test]
fn coloured_text_is_that_of_tracing_subscriber() {
    let ours = lines(|written| layer(written).event_format(Lines::new(false)).with_ansi(true));
    assert_eq!(ours, lines(|written| layer(written).with_ansi(true)));
    assert!(ours.contains("\x1b[32m INFO\x1b[0m "), "{ours}");
}

#[test]
fn json_is_that_of_tracing_subscriber() {
    let layer = |written| layer(written).json().flatten_event(true).with_current_span(true).with_span_list(false);
    assert_eq!(lines(|written| layer(written).map_event_format(Objects)), lines(layer));
}
