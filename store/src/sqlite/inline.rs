//! Short reads on the caller's thread, which usually is a thread of the runtime: lookups of a row, and short pages.
//!
//! A lookup whose pages are in memory takes some 10 µs, less than handing it to another thread. But a runtime's thread
//! must not wait for a disk or a lock for long:
//!
//! * Each thread prefers one connection. If it is in use, the thread takes another one, and never waits for one.
//! * These connections are opened by blocking threads, and don't wait for locks in the database.
//! * After a slow read, the next ones go to blocking threads, until enough of them were fast. While the pages of a
//!   database aren't in memory, a thread of the runtime therefore waits for the disk at most once in
//!   [`FAST_REQUIRED`] reads.
//! * A page that takes as long as a slow read is stopped.
//!
//! A read that can't be done here is not an error: it is repeated on a blocking thread.

use std::{
    sync::{
        Mutex, TryLockError,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    connection::{Connection, SqliteError},
    stop::Stop,
};

/// The connections for short reads on the caller's thread.
#[derive(Debug)]
pub(super) struct Inline {
    /// Locked during a read. `None` until a connection is offered.
    connections: Box<[Mutex<Option<Connection>>]>,
    /// The number of reads that must be fast before the next one runs on the caller's thread.
    required: AtomicU32,
}

/// The duration above which a read has waited for a disk or a processor.
const SLOW: Duration = Duration::from_millis(1);

/// The number of reads on blocking threads that must be fast after a slow one. A larger number would cost more on a
/// machine whose processors are all busy, because a thread that waits for a processor looks slow too.
const FAST_REQUIRED: u32 = 16;

impl Inline {
    /// Creates places for this number of connections, without connections.
    pub(super) fn new(count: usize) -> Self {
        Inline { connections: (0..count).map(|_| Mutex::default()).collect(), required: AtomicU32::new(0) }
    }

    /// Reads what takes microseconds; `None` if it must be read on a blocking thread.
    pub(super) fn read<T>(&self, mut read: impl FnMut(&mut Connection) -> Result<T, SqliteError>) -> Option<T> {
        if self.required.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let (before, from) = self.connections.split_at(thread_number().checked_rem(self.connections.len())?);
        for place in from.iter().chain(before) {
            let mut place = match place.try_lock() {
                Ok(place) => place,
                // Reads can't leave the connection inconsistent.
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => continue,
            };
            let connection = place.as_mut()?;
            let outcome = self.timed(|| read(connection));
            // A stopped statement doesn't mean that the connection is faulty. After any other error, it is closed.
            if outcome.as_ref().is_err_and(|error| !error.is_interrupted()) {
                *place = None;
            }
            return outcome.ok();
        }
        None
    }

    /// Like [`read`](Self::read), for a read whose work isn't as certain. It is stopped when it is slow.
    pub(super) fn read_at_most<T>(&self, mut read: impl FnMut(&mut Connection) -> Result<T, SqliteError>) -> Option<T> {
        self.read(|connection| {
            connection.stop_when(Some(Stop::at(Instant::now().checked_add(SLOW))))?;
            let outcome = read(connection);
            connection.stop_when(None)?;
            outcome
        })
    }

    /// Reads, and decides by its duration where the next reads run.
    pub(super) fn timed<T>(&self, read: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let outcome = read();
        self.took(start.elapsed());
        outcome
    }

    fn took(&self, time: Duration) {
        if time > SLOW {
            self.required.store(FAST_REQUIRED, Ordering::Relaxed);
        } else if self.required.load(Ordering::Relaxed) > 0 {
            let fewer = |required: u32| required.checked_sub(1);
            let _none_left = self.required.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
        }
    }

    /// Keeps a connection in an empty place. Returns it if there is none.
    pub(super) fn offer(&self, connection: Connection) -> Option<Connection> {
        for place in &self.connections {
            let Ok(mut place) = place.try_lock() else { continue };
            if place.is_none() {
                // A connection that would wait for locks is not kept.
                *place = connection.wait_at_most(Duration::ZERO).is_ok().then_some(connection);
                return None;
            }
        }
        Some(connection)
    }
}

/// Returns a number of this thread. Threads count from 0.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.with(|number| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_lookup_is_followed_by_fast_ones_on_blocking_threads() {
        let inline = Inline::new(1);
        let required = || inline.required.load(Ordering::Relaxed);
        inline.took(SLOW);
        assert_eq!(required(), 0);
        inline.took(SLOW + Duration::from_nanos(1));
        for left in (1..=FAST_REQUIRED).rev() {
            assert_eq!(required(), left);
            inline.took(Duration::ZERO);
        }
        assert_eq!(required(), 0);
        inline.took(Duration::ZERO);
        assert_eq!(required(), 0);
        inline.took(Duration::MAX);
        inline.took(Duration::ZERO);
        inline.took(Duration::MAX);
        assert_eq!(required(), FAST_REQUIRED);
    }
}
