//! Files that the server writes for itself, and files that it believes.
//!
//! Nothing here knows what a key or a certificate is for.

pub(crate) mod pem;
pub(crate) mod private_file;
pub(crate) mod trusted_file;
