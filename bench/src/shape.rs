//! The shapes of a load: calls in flight, and connections.

/// How many calls are in flight, on how many connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) in_flight: usize,
    pub(crate) connections: usize,
}

/// The shape of the goals.
pub(crate) const SHAPE: Shape = Shape { in_flight: 64, connections: 4 };

/// The shapes of a full measurement. A server accepts at most 200 calls on a connection.
pub(crate) const SHAPES: [Shape; 6] = [
    SHAPE,
    Shape { in_flight: 1, connections: 1 },
    Shape { in_flight: 64, connections: 1 },
    Shape { in_flight: 256, connections: 4 },
    Shape { in_flight: 64, connections: 64 },
    Shape { in_flight: 256, connections: 64 },
];
