//! What is wrong with a field of an order.

use std::fmt;

/// What is wrong with an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderFault {
    /// It isn't a field, alone or followed by a direction.
    NotATerm,
    /// Bytes have no order that would mean something.
    Bytes,
    /// It is derived at each read, and stored nowhere.
    Derived,
    /// The order has it already.
    Repeated,
}

impl fmt::Display for OrderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OrderFault::NotATerm => "must be a name, alone or followed by `asc` or `desc`",
            OrderFault::Bytes => "holds bytes, which can't be ordered by",
            OrderFault::Derived => "is derived from an encrypted attribute and can't be ordered by",
            OrderFault::Repeated => "is listed more than once",
        })
    }
}
