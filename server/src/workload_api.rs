//! The SPIFFE Workload API: the server's certificate, its key and the bundles of trust domains, from an agent on this machine.
//!
//! The standard is [SPIFFE_Workload_API]. The agent sends everything at once, and again after each change. The SVID and each
//! bundle of a message are checked separately, and one with a fault doesn't replace the former one. If the agent is lost, the last message stays in use, and the
//! server connects again. The client is written here and not taken from a library, because it wipes keys, bounds messages, and checks which
//! user listens on the socket.
//!
//! This module doesn't know connections of callers, or how certificates are applied: `reload` follows the states that it sends.
//!
//! [SPIFFE_Workload_API]: https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_API.md

mod error;
mod follower;
mod message;
mod stream;
mod update;

pub(crate) use self::{
    error::WorkloadApiError,
    follower::{APPLIED, Follower, REFUSED, Workload, once},
    update::{Bundles, Update},
};
