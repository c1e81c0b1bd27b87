//! Counts the calls of one connection: the open calls, and those that a stopping server has to wait for.
//!
//! A call is *working* from the complete arrival of its first message until its answer is sent. Before that, closing the connection loses
//! nothing. Health checks never count as working. Nothing here knows messages or connections.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

/// The end of a call, even if its answer wasn't read by then. It is in the response's extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndsAt(pub(crate) Instant);

/// The calls of a connection.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    open: Count,
    working: Count,
    /// Notified when one of them becomes zero, or is no longer zero: each notification wakes the task of the connection.
    changed: Notify,
}

/// The current number, and the total so far. The total shows a call that began and ended between two checks.
#[derive(Debug, Default)]
struct Count {
    now: AtomicUsize,
    ever: AtomicUsize,
}

impl Count {
    /// Counts a call. Returns whether it is the first.
    fn begin(&self) -> bool {
        let before = self.now.fetch_add(1, Ordering::SeqCst);
        self.ever.fetch_add(1, Ordering::SeqCst);
        before == 0
    }

    /// Returns whether it was the last.
    fn end(&self) -> bool {
        self.now.fetch_sub(1, Ordering::SeqCst) == 1
    }

    fn now(&self) -> usize {
        self.now.load(Ordering::SeqCst)
    }

    fn ever(&self) -> usize {
        self.ever.load(Ordering::SeqCst)
    }
}

/// A call that is open until this is dropped.
#[derive(Debug)]
pub(crate) struct OpenCall {
    calls: Arc<Calls>,
    stage: Arc<AtomicU8>,
}

/// Marks a call as working. It is in every request's extensions.
#[derive(Clone, Debug)]
pub(crate) struct CallStage {
    calls: Arc<Calls>,
    stage: Arc<AtomicU8>,
}

const ARRIVING: u8 = 0;
const WORKING: u8 = 1;
const OVER: u8 = 2;

impl Calls {
    /// Counts a call.
    pub(crate) fn open(self: &Arc<Self>) -> OpenCall {
        if self.open.begin() {
            self.changed.notify_waiters();
        }
        OpenCall { calls: Arc::clone(self), stage: Arc::new(AtomicU8::new(ARRIVING)) }
    }

    /// Resolves after the first call began.
    pub(crate) async fn any(&self) {
        self.until(|| self.open.ever() > 0).await;
    }

    /// Resolves when no call was open for this duration.
    pub(crate) async fn none_open_for(&self, pause: Duration) {
        self.zero_for(&self.open, pause).await;
    }

    /// Resolves when no call was working for this duration.
    pub(crate) async fn none_working_for(&self, pause: Duration) {
        self.zero_for(&self.working, pause).await;
    }

    async fn zero_for(&self, count: &Count, pause: Duration) {
        loop {
            self.until(|| count.now() == 0).await;
            let before = count.ever();
            if timeout(pause, self.until(|| count.ever() > before)).await.is_err() && count.now() == 0 {
                return;
            }
        }
    }

    async fn until(&self, holds: impl Fn() -> bool) {
        loop {
            let mut changed = pin!(self.changed.notified());
            // Registered before the check, so that no change between the two is missed.
            changed.as_mut().enable();
            if holds() {
                return;
            }
            changed.await;
        }
    }
}

impl OpenCall {
    /// The handle that marks it as working.
    pub(crate) fn stage(&self) -> CallStage {
        CallStage { calls: Arc::clone(&self.calls), stage: Arc::clone(&self.stage) }
    }
}

impl CallStage {
    /// Marks the call as working: its first message has arrived completely.
    pub(crate) fn mark_working(&self) {
        let is_first_mark = self.stage.compare_exchange(ARRIVING, WORKING, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if is_first_mark && self.calls.working.begin() {
            self.calls.changed.notify_waiters();
        }
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        let was_last_working = self.stage.swap(OVER, Ordering::SeqCst) == WORKING && self.calls.working.end();
        if self.calls.open.end() || was_last_working {
            self.calls.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_working(calls: &Calls) -> bool {
        calls.working.now() > 0
    }

    #[test]
    fn call_counts_as_working_from_its_message_to_its_end() {
        let calls = Arc::new(Calls::default());
        let call = calls.open();
        assert!(!is_working(&calls));
        call.stage().mark_working();
        call.stage().mark_working();
        assert_eq!(calls.working.now(), 1);
        let late = call.stage();
        drop(call);
        late.mark_working();
        assert!(!is_working(&calls));
        assert_eq!(calls.open.now(), 0);
    }

    #[tokio::test]
    async fn pause_starts_at_the_end_of_the_last_call() {
        const PATIENCE: Duration = Duration::from_secs(60);
        let calls = Arc::new(Calls::default());
        let (first, second) = (calls.open(), calls.open());
        let mut rest = pin!(calls.none_open_for(Duration::from_millis(1)));
        for call in [first, second] {
            assert!(timeout(Duration::from_millis(20), rest.as_mut()).await.is_err());
            drop(call);
        }
        timeout(PATIENCE, rest).await.unwrap();
        // A call that waits for its message is open, but not working.
        let _call = calls.open();
        calls.any().await;
        timeout(PATIENCE, calls.none_working_for(Duration::from_millis(1))).await.unwrap();
    }
}
