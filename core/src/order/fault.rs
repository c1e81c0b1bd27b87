//! Problems of a field in an order.

use std::fmt;

/// The problem of a field in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderFault {
    /// It isn't a field name with an optional direction.
    InvalidTerm,
    /// It contains bytes, which have no useful order.
    Bytes,
    /// It is derived at each read and not stored.
    Derived,
    /// The order already contains the field.
    Repeated,
}

impl fmt::Display for OrderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OrderFault::InvalidTerm => "must be a field name, optionally followed by `asc` or `desc`",
            OrderFault::Bytes => "is of type bytes and can't be used for ordering",
            OrderFault::Derived => "is derived from an encrypted attribute and can't be used for ordering",
            OrderFault::Repeated => "is listed more than once",
        })
    }
}
