//! The shutdown of the server. After the first signal it announces the shutdown, accepts no more calls after a delay, and finishes running
//! calls within a time limit. After the second signal it stops at once.
//!
//! This module doesn't know the work. Work that must end before the process does is started by [`Drain::spawn`]. Work that would never end
//! on its own, such as a stream, ends when [`Drain::begun`] resolves.

use std::{future::Future, io, time::Duration};

use tokio::{
    runtime::Handle,
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFutureOwned},
    task::TaskTracker,
};

use crate::telemetry::traces::current;

/// A handle to the shutdown, shared by all parts of the server.
#[derive(Clone, Debug)]
pub struct Drain {
    announced: CancellationToken,
    begun: CancellationToken,
    cut_short: CancellationToken,
    tasks: TaskTracker,
    runtime: Handle,
}

/// The result of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// All calls and tasks were finished.
    Whole,
    /// Calls or tasks were still running at the time limit, or at the second signal.
    CutShort,
}

impl Drain {
    /// A server that isn't shutting down, on the current runtime.
    ///
    /// # Panics
    /// Outside a runtime.
    #[expect(clippy::new_without_default, reason = "it needs a runtime")]
    #[must_use]
    pub fn new() -> Self {
        Self {
            announced: CancellationToken::new(),
            begun: CancellationToken::new(),
            cut_short: CancellationToken::new(),
            tasks: TaskTracker::new(),
            runtime: Handle::current(),
        }
    }

    /// Announces the shutdown: calls are served as before, but health reports NOT_SERVING, so that balancers select other servers.
    pub fn announce(&self) {
        self.announced.cancel();
    }

    /// Starts the shutdown. Repeating it has no effect.
    pub fn begin(&self) {
        self.announced.cancel();
        self.begun.cancel();
    }

    /// Stops the server at once: [`Drain::finish`] no longer waits.
    pub fn cut_short(&self) {
        self.begin();
        self.cut_short.cancel();
    }

    /// Whether the shutdown has started.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Whether the shutdown was announced, or has started.
    pub(crate) fn is_announced(&self) -> bool {
        self.announced.is_cancelled()
    }

    /// Resolves when the shutdown is announced or starts.
    pub fn announced(&self) -> WaitForCancellationFutureOwned {
        self.announced.clone().cancelled_owned()
    }

    /// Resolves when the shutdown starts.
    pub fn begun(&self) -> WaitForCancellationFutureOwned {
        self.begun.clone().cancelled_owned()
    }

    /// Starts a task that must end before the process does, above all a key operation. It runs on the server's own runtime: a call runs on
    /// the thread that serves its connection, and ends with it, so work that continues, or takes long, doesn't belong there. The work of a call
    /// that is traced remains a part of its trace.
    pub fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.tasks.spawn_on(current::in_current(task), &self.runtime)
    }

    /// Resolves when the server stops and all tasks have ended.
    pub(crate) async fn tasks_ended(&self) {
        self.tasks.wait().await;
    }

    /// Announces the shutdown at the first SIGTERM or SIGINT, starts it after `delay`, and stops at once at the second signal.
    ///
    /// # Errors
    /// The system doesn't allow a signal handler.
    pub fn on_signals(&self, delay: Duration) -> io::Result<()> {
        let mut signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let drain = self.clone();
        // Not tracked: it waits for a second signal, which may never come.
        self.runtime.spawn(async move {
            next(&mut signals).await;
            let delay_seconds = delay.as_secs();
            tracing::info!(delay_seconds, "shutdown requested; a second signal stops the server at once");
            drain.end(delay, next(&mut signals)).await;
        });
        Ok(())
    }

    /// Announces the shutdown, starts it after `delay`, and stops at once when `again` resolves.
    async fn end(&self, delay: Duration, again: impl Future<Output = ()>) {
        let mut again = std::pin::pin!(again);
        self.announce();
        if timeout(delay, &mut again).await.is_err() {
            self.begin();
            again.await;
        }
        self.cut_short();
    }

    /// Waits for the start of the shutdown, then for `serving` and the tasks, at most `bound`. `serving` stops accepting connections on its
    /// own, see [`Drain::begun`]. `not_serving` is called before, so that health reports NOT_SERVING before calls are refused.
    pub async fn finish(
        &self,
        not_serving: impl Future<Output = ()>,
        serving: impl Future<Output = ()>,
        bound: Duration,
    ) -> Drained {
        let begun = self.begun();
        let mut serving = std::pin::pin!(serving);
        // `serving` has to be polled all the time, and may end on its own.
        let served = tokio::select! {
            () = begun => false,
            () = &mut serving => true,
        };
        self.begin();
        not_serving.await;
        self.tasks.close();
        let rest = async {
            if !served {
                serving.await;
            }
            self.tasks.wait().await;
        };
        tokio::select! {
            finished = timeout(bound, rest) => if finished.is_ok() { Drained::Whole } else { Drained::CutShort },
            () = self.cut_short.cancelled() => Drained::CutShort,
        }
    }
}

async fn next((terminate, interrupt): &mut (Signal, Signal)) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, ready},
        sync::atomic::{AtomicBool, Ordering},
    };

    use tokio::sync::oneshot;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn a_drain_waits_for_its_tasks() {
        let drain = Drain::new();
        let (release, released) = oneshot::channel::<()>();
        let done = std::sync::Arc::new(AtomicBool::new(false));
        let seen = std::sync::Arc::clone(&done);
        drain.spawn(async move {
            released.await.unwrap();
            seen.store(true, Ordering::SeqCst);
        });
        drain.begin();
        // Health is updated after the start of the shutdown and before the wait, so the task can be released there.
        let not_serving = async move { release.send(()).unwrap() };
        assert_eq!(drain.finish(not_serving, drain.begun(), LONG).await, Drained::Whole);
        assert!(done.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn endless_task_is_cut_short_at_the_limit() {
        let drain = Drain::new();
        drain.spawn(pending::<()>());
        drain.begin();
        assert_eq!(drain.finish(ready(()), pending(), Duration::ZERO).await, Drained::CutShort);
    }

    #[tokio::test]
    async fn second_signal_ends_at_once() {
        let drain = Drain::new();
        drain.cut_short();
        assert!(drain.has_begun());
        assert_eq!(drain.finish(ready(()), pending(), LONG).await, Drained::CutShort);
    }

    #[tokio::test]
    async fn second_signal_skips_the_announced_delay() {
        let drain = Drain::new();
        let (again, second) = oneshot::channel::<()>();
        let ending = tokio::spawn({
            let drain = drain.clone();
            async move { drain.end(LONG, async move { second.await.unwrap() }).await }
        });
        drain.announced().await;
        assert!(!drain.has_begun());
        again.send(()).unwrap();
        ending.await.unwrap();
        assert_eq!(drain.finish(ready(()), pending(), LONG).await, Drained::CutShort);
    }

    #[tokio::test]
    async fn end_begins_after_the_delay() {
        let drain = Drain::new();
        let ending = tokio::spawn({
            let drain = drain.clone();
            async move { drain.end(Duration::ZERO, pending()).await }
        });
        drain.begun().await;
        assert_eq!(drain.finish(ready(()), ready(()), LONG).await, Drained::Whole);
        ending.abort();
    }

    #[tokio::test]
    async fn server_that_fails_starts_the_drain() {
        let drain = Drain::new();
        assert_eq!(drain.finish(ready(()), ready(()), LONG).await, Drained::Whole);
        assert!(drain.has_begun());
    }
}
