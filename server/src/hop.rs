//! Hops: what a proxy says about the caller of a call, and how much of it is believed.
//!
//! A hop is a proxy of `[[hops]]` that ends the TLS of callers. The transport proves that a connection is a hop's; this module reads what the
//! hop forwards with each call. It doesn't know bearer tokens, permissions or connections.

pub(crate) mod asserted;
pub(crate) mod xfcc;
