//! The span that the current thread works for. Work that isn't recorded finds none, at the cost of a look at a thread-local variable.
//!
//! A task enters its span each time it is polled, and leaves it afterwards, since the next task of the thread belongs to another call.

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{
    context::SpanId,
    span::{Recording, RunningSpan},
    table::Kind,
};

/// A span to work for, and its call.
#[derive(Clone)]
struct Current {
    recording: Arc<Recording>,
    span: SpanId,
}

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

/// While it exists, the thread works for a span. Then it works for the one before again.
pub(crate) struct Entered(Option<Current>);

impl Entered {
    /// Works for a call's own span.
    pub(crate) fn call(recording: &Arc<Recording>) -> Self {
        Self::new(Current { recording: Arc::clone(recording), span: recording.id() })
    }

    fn new(current: Current) -> Self {
        Self(CURRENT.replace(Some(current)))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

/// Begins a span below the current one; `None` if there is none.
pub(crate) fn begin(kind: &'static Kind) -> Option<RunningSpan> {
    CURRENT.with_borrow(|current| current.as_ref()?.recording.span(kind, current.as_ref()?.span))
}

/// The call of the current span entered this organization.
pub(crate) fn enter_organization(name: &str) {
    CURRENT.with_borrow(|current| {
        if let Some(current) = current {
            current.recording.enter_organization(name);
        }
    });
}

/// A future that works for the current span, in whatever task it is polled.
pub(crate) fn in_current<F: Future>(future: F) -> InSpan<F> {
    InSpan { future, current: CURRENT.with_borrow(Clone::clone), running: None }
}

/// A future that works for a new span below the current one, until it completes or is dropped. `failure` tells why its output is a failure,
/// if it is one.
pub(crate) fn in_new<F: Future>(
    kind: &'static Kind,
    failure: fn(&F::Output) -> Option<&'static str>,
    future: F,
) -> InSpan<F> {
    match begin(kind) {
        Some(span) => {
            let current = Current { recording: Arc::clone(span.recording()), span: span.id() };
            InSpan { future, current: Some(current), running: Some((span, failure)) }
        }
        // Without a place for the new span, the work belongs to the current one.
        None => in_current(future),
    }
}

/// A span that ends with a future, and why the future's output is a failure.
type Running<T> = (RunningSpan, fn(&T) -> Option<&'static str>);

pin_project! {
    /// A future that works for a span.
    pub(crate) struct InSpan<F: Future> {
        #[pin]
        future: F,
        current: Option<Current>,
        running: Option<Running<F::Output>>,
    }
}

impl<F: Future> Future for InSpan<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let entered = this.current.clone().map(Entered::new);
        let output = ready!(this.future.poll(context));
        drop(entered);
        if let Some((mut span, failure)) = this.running.take()
            && let Some(error) = failure(&output)
        {
            span.fail(error);
        }
        Poll::Ready(output)
    }
}
