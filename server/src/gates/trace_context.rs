//! Reads the trace context of a call and decides whether it is recorded, once its caller has an identity. The headers of the context are
//! removed, so that no layer below can use them or pass them on.
//!
//! Without a collector, nothing is read. The content of `tracestate` and `baggage` is never read.

use http::request::Parts;
use sealward_core::identity::Caller;

use super::gate::Gate;
use crate::{
    call::CallFacts,
    status::Refusal,
    telemetry::traces::{
        Traces,
        context::{HEADERS, Parent},
    },
};

/// The gate. It admits every call.
#[derive(Clone)]
pub(super) struct TraceContext {
    traces: Traces,
}

impl TraceContext {
    pub(super) fn new(traces: Traces) -> Self {
        Self { traces }
    }
}

impl Gate for TraceContext {
    fn admit(&self, head: &mut Parts) -> Result<(), Refusal> {
        if !self.traces.are_on() {
            return Ok(());
        }
        // Health checks have no caller.
        if let Some(caller) = head.extensions.get::<Caller>()
            && let Some(facts) = head.extensions.get::<CallFacts>()
        {
            facts.trace(&self.traces, &caller.identity, Parent::of(&head.headers));
        }
        for name in HEADERS {
            head.headers.remove(name);
        }
        Ok(())
    }
}
