//! Connect and gRPC-Web as framings of gRPC: a tower layer before services that know only gRPC.
//!
//! The layer changes the framing of a request to that of gRPC, and the framing of the answer to that of the caller. It doesn't know what a
//! message means, who calls, or which calls are allowed: the layers behind it decide that, and make every error.
#![warn(missing_docs)]

pub mod json;
