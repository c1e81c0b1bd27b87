//! Tickets: the outcome of a commit that was handed over to a store, for commits and refusals that build on it.
//!
//! The store has the [`Promise`] and settles it. Everybody else has the [`Ticket`]. This file doesn't know what is
//! committed.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// Creates a promise and its ticket.
#[must_use]
pub fn promise() -> (Promise, Ticket) {
    let shared = Arc::new(Shared::default());
    (Promise(Arc::clone(&shared)), Ticket(shared))
}

/// The duty to settle the outcome of a commit. If it is dropped before, the commit has failed.
#[derive(Debug)]
pub struct Promise(Arc<Shared>);

/// The outcome of a commit, which may still be open.
#[derive(Clone, Debug)]
pub struct Ticket(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    progress: Progress,
    waiting: Vec<Waker>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Progress {
    #[default]
    Open,
    /// Applied in a transaction that isn't durable yet.
    Applied,
    Durable,
    Failed,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // No operation under this lock can leave the state inconsistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, progress: Progress) {
        let waiting = {
            let mut state = self.state();
            if matches!(state.progress, Progress::Durable | Progress::Failed) {
                return;
            }
            state.progress = progress;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Promise {
    /// Reports whether the commit is applied in the current transaction, which isn't durable yet.
    pub fn set_applied(&self, is_applied: bool) {
        let mut state = self.0.state();
        if matches!(state.progress, Progress::Open | Progress::Applied) {
            state.progress = if is_applied { Progress::Applied } else { Progress::Open };
        }
    }

    /// Settles the outcome: the commit is durable, or it failed or may have failed.
    pub fn settle(&self, is_durable: bool) {
        self.0.settle(if is_durable { Progress::Durable } else { Progress::Failed });
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.settle(false);
    }
}

impl Ticket {
    /// Returns whether the commit has been applied, in the current transaction of its store or durably.
    #[must_use]
    pub fn is_applied(&self) -> bool {
        matches!(self.0.state().progress, Progress::Applied | Progress::Durable)
    }

    /// Returns whether the commit has failed or may have failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.0.state().progress == Progress::Failed
    }

    /// Waits for the outcome. Returns whether the commit is durable.
    pub(crate) fn is_durable(&self) -> impl Future<Output = bool> + Send + use<> {
        Settled(Arc::clone(&self.0))
    }

    /// Returns whether both are tickets of the same commit.
    pub(crate) fn is(&self, other: &Ticket) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

struct Settled(Arc<Shared>);

impl Future for Settled {
    type Output = bool;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<bool> {
        let mut state = self.0.state();
        match state.progress {
            Progress::Durable => Poll::Ready(true),
            Progress::Failed => Poll::Ready(false),
            Progress::Open | Progress::Applied => {
                if !state.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                    state.waiting.push(context.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::atomic::{AtomicUsize, Ordering},
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn ticket_follows_the_commit_to_its_outcome() {
        for is_durable in [true, false] {
            let (promise, ticket) = promise();
            assert!(!ticket.is_applied() && !ticket.has_failed());
            promise.set_applied(true);
            assert!(ticket.is_applied());
            promise.set_applied(false);
            assert!(!ticket.is_applied() && !ticket.has_failed());
            promise.set_applied(true);
            promise.settle(is_durable);
            // The first outcome is final.
            promise.settle(!is_durable);
            promise.set_applied(!is_durable);
            drop(promise);
            assert_eq!((ticket.is_applied(), ticket.has_failed()), (is_durable, !is_durable));
        }
    }

    #[test]
    fn dropped_promise_has_failed() {
        let (promise, ticket) = promise();
        promise.set_applied(true);
        drop(promise);
        assert!(ticket.has_failed() && !ticket.is_applied());
    }

    #[test]
    fn each_waiting_caller_is_woken_once_by_the_outcome() {
        let (promise, ticket) = promise();
        let woken: [Arc<Woken>; 2] = Default::default();
        let [first, second] = woken.clone().map(Waker::from);
        let mut futures = [pin!(ticket.is_durable()), pin!(ticket.is_durable())];
        for _ in 0..3 {
            for (future, waker) in futures.iter_mut().zip([&first, &second]) {
                assert!(future.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
            }
            promise.set_applied(true);
        }
        promise.settle(true);
        assert_eq!(woken.map(|woken| woken.0.load(Ordering::SeqCst)), [1, 1]);
        for future in &mut futures {
            assert_eq!(future.as_mut().poll(&mut Context::from_waker(&first)), Poll::Ready(true));
        }
    }

    #[test]
    fn ticket_is_only_that_of_its_commit() {
        let ((_a, first), (_b, second)) = (promise(), promise());
        assert!(first.is(&first.clone()) && !first.is(&second));
    }
}
