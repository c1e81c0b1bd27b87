//! The calls of one connection, counted: how many are open, and how many of those a stop has to wait for.
//!
//! A call is *at work* from the moment its first message has arrived whole until its answer is sent. Before that, nothing has been done
//! for it, so nothing is lost when the connection closes. Health checks are never at work. Nothing here knows messages or connections.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};

/// The calls of a connection.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    open: Count,
    at_work: Count,
    changed: Notify,
}

/// How many there are, and how many there have been: one that came and went between two looks is seen as well.
#[derive(Debug, Default)]
struct Count {
    now: AtomicUsize,
    ever: AtomicUsize,
}

impl Count {
    fn begin(&self) {
        self.now.fetch_add(1, Ordering::SeqCst);
        self.ever.fetch_add(1, Ordering::SeqCst);
    }

    fn end(&self) {
        self.now.fetch_sub(1, Ordering::SeqCst);
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

/// In every request's extensions: marks the call as being at work.
#[derive(Clone, Debug)]
pub(crate) struct CallStage {
    calls: Arc<Calls>,
    stage: Arc<AtomicU8>,
}

const ARRIVING: u8 = 0;
const AT_WORK: u8 = 1;
const OVER: u8 = 2;

impl Calls {
    /// Counts a call.
    pub(crate) fn open(self: &Arc<Self>) -> OpenCall {
        self.open.begin();
        self.changed.notify_waiters();
        OpenCall { calls: Arc::clone(self), stage: Arc::new(AtomicU8::new(ARRIVING)) }
    }

    /// Resolves once there has been a call.
    pub(crate) async fn any(&self) {
        self.until(|| self.open.ever() > 0).await;
    }

    /// Resolves once no call has been open for this long.
    pub(crate) async fn none_open_for(&self, pause: Duration) {
        self.zero_for(&self.open, pause).await;
    }

    /// Resolves once no call has been at work for this long.
    pub(crate) async fn none_at_work_for(&self, pause: Duration) {
        self.zero_for(&self.at_work, pause).await;
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
            // Registered before the look, so that no change between the two is missed.
            changed.as_mut().enable();
            if holds() {
                return;
            }
            changed.await;
        }
    }
}

impl OpenCall {
    /// The handle that marks it as being at work.
    pub(crate) fn stage(&self) -> CallStage {
        CallStage { calls: Arc::clone(&self.calls), stage: Arc::clone(&self.stage) }
    }
}

impl CallStage {
    /// The first message of the call has arrived whole.
    pub(crate) fn at_work(&self) {
        if self.stage.compare_exchange(ARRIVING, AT_WORK, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            self.calls.at_work.begin();
            self.calls.changed.notify_waiters();
        }
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        if self.stage.swap(OVER, Ordering::SeqCst) == AT_WORK {
            self.calls.at_work.end();
        }
        self.calls.open.end();
        self.calls.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_at_work(calls: &Calls) -> bool {
        calls.at_work.now() > 0
    }

    #[test]
    fn call_counts_as_working_from_its_message_to_its_end() {
        let calls = Arc::new(Calls::default());
        let call = calls.open();
        assert!(!is_at_work(&calls));
        call.stage().at_work();
        call.stage().at_work();
        assert_eq!(calls.at_work.now(), 1);
        let late = call.stage();
        drop(call);
        late.at_work();
        assert!(!is_at_work(&calls));
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
        // A call that waits for its message is open and not at work.
        let _call = calls.open();
        calls.any().await;
        timeout(PATIENCE, calls.none_at_work_for(Duration::from_millis(1))).await.unwrap();
    }
}
