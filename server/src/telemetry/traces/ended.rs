//! A span that has ended, as it waits for the collector. Nothing here knows how it was measured.

use std::borrow::Cow;

use super::{
    context::{SpanId, TraceId},
    table::{Attribute, Kind},
};

/// A span that has ended.
#[derive(Debug)]
pub(super) struct EndedSpan {
    pub(super) kind: &'static Kind,
    pub(super) name: Cow<'static, str>,
    pub(super) trace: TraceId,
    pub(super) id: SpanId,
    pub(super) parent: Option<SpanId>,
    pub(super) begin_unix_nanos: u64,
    pub(super) end_unix_nanos: u64,
    pub(super) attributes: Vec<(&'static Attribute, Cow<'static, str>)>,
    pub(super) has_failed: bool,
}
