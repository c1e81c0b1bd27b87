//! Files that the server writes, and files that it trusts.
//!
//! This module doesn't know the purpose of a key or a certificate.

pub(crate) mod cas;
pub(crate) mod disk;
pub(crate) mod local_socket;
pub(crate) mod pem;
pub(crate) mod private_file;
pub(crate) mod trusted_file;
