//! The trace context of a request: `traceparent` as in W3C Trace Context, level 1.
//!
//! `version (2) | - | trace id (32) | - | parent span id (16) | - | flags (2)`, in lower-case hexadecimal
//!
//! `tracestate` and `baggage` are never read: they are free text of the caller's platform. Nothing here knows who the caller is.

use std::fmt;

use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderName};

/// The header that is read.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// All headers of a context.
pub(crate) const HEADERS: [HeaderName; 3] =
    [TRACEPARENT, HeaderName::from_static("tracestate"), HeaderName::from_static("baggage")];

/// The id of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceId([u8; 16]);

/// The id of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpanId([u8; 8]);

/// The caller's span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parent {
    pub(crate) trace: TraceId,
    pub(crate) span: SpanId,
    /// Whether the caller records it.
    pub(crate) is_sampled: bool,
}

impl TraceId {
    /// An id of these bytes, which are not all zero.
    pub(crate) const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(super) const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl SpanId {
    /// The id with this number. Zero isn't a valid id.
    pub(super) const fn new(number: u64) -> Self {
        Self(if number == 0 { u64::MAX } else { number }.to_be_bytes())
    }

    pub(super) const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Parent {
    /// The parent that the headers name. A malformed or repeated `traceparent` counts as none, as the standard requires.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut given = headers.get_all(TRACEPARENT).iter();
        let (first, second) = (given.next()?, given.next());
        if second.is_some() { None } else { Self::parse(first.as_bytes()) }
    }

    fn parse(text: &[u8]) -> Option<Self> {
        const LENGTH: usize = 55;
        let (known, more) = text.split_at_checked(LENGTH)?;
        let mut parts = known.split(|byte| *byte == b'-');
        let version: [u8; 1] = hex(parts.next()?)?;
        // Later versions may only add parts at the end.
        match (version, more) {
            ([0xff], _) | ([0], [_, ..]) => return None,
            (_, [] | [b'-', ..]) => {}
            (_, _) => return None,
        }
        let (trace, span) = (hex(parts.next()?)?, hex(parts.next()?)?);
        let [flags] = hex(parts.next()?)?;
        if parts.next().is_some() || trace == [0; 16] || span == [0; 8] {
            return None;
        }
        Some(Self { trace: TraceId(trace), span: SpanId(span), is_sampled: flags & 1 == 1 })
    }
}

fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    HEXLOWER.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn of(values: &[&str]) -> Option<Parent> {
        Parent::of(&values.iter().map(|value| (TRACEPARENT, value.parse().unwrap())).collect())
    }

    #[test]
    fn context_is_read_as_the_standard_defines_it() {
        let parent = of(&[VALID]).unwrap();
        assert_eq!(parent.trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(parent.span.as_bytes(), &0xb7ad_6b71_6920_3331_u64.to_be_bytes());
        assert!(parent.is_sampled);
        assert!(!of(&[&VALID.replace("-01", "-00")]).unwrap().is_sampled);
        // Only the lowest flag is known, and later versions may be longer.
        assert!(!of(&[&VALID.replace("-01", "-fe")]).unwrap().is_sampled);
        assert!(of(&[&format!("{}-more", VALID.replace("00-", "01-"))]).unwrap().is_sampled);
        assert!(of(&[&VALID.replace("00-", "cc-")]).is_some());
    }

    #[test]
    fn malformed_context_counts_as_none() {
        let zeros = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
        let no_span = "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01";
        for text in [
            "",
            "00",
            zeros,
            no_span,
            &VALID.to_uppercase(),
            &VALID.replace("00-", "ff-"),
            &VALID.replace("00-", "0-0"),
            &VALID.replace('-', "_"),
            &VALID.replace("b7ad", "b7a-"),
            &format!("{VALID}-more"),
            &format!("{}x", VALID.replace("00-", "01-")),
            &VALID[..54],
        ] {
            assert_eq!(of(&[text]), None, "{text}");
        }
        assert_eq!(of(&[VALID, VALID]), None);
        assert_eq!(of(&[]), None);
    }
}
