//! How the server ends: told once it announces that, takes no more calls after a delay, and finishes those it has, within a bound; told
//! twice it stops at once.
//!
//! Nothing here knows what runs. Whatever has to be over before the process ends is spawned on [`Drain::tasks`]; whatever would never
//! end by itself, a stream of ours for instance, ends when [`Drain::begun`] resolves.

use std::{future::Future, io, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};
use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFutureOwned},
    task::TaskTracker,
};

/// The end of the server, shared by all that have to do with it.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    announced: CancellationToken,
    begun: CancellationToken,
    cut_short: CancellationToken,
    tasks: TaskTracker,
}

/// How a drain came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Everything was finished.
    Whole,
    /// Calls or tasks were still running when the time was up, or when a second signal came.
    CutShort,
}

impl Drain {
    /// A server that isn't told to end yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Announces the end: everything is served as before, but health says NOT_SERVING, so that balancers send their calls elsewhere.
    pub fn announce(&self) {
        self.announced.cancel();
    }

    /// Tells the server to end. Repeating it changes nothing.
    pub fn begin(&self) {
        self.announced.cancel();
        self.begun.cancel();
    }

    /// Tells the server to stop at once: [`Drain::finish`] waits for nothing any more.
    pub fn cut_short(&self) {
        self.begin();
        self.cut_short.cancel();
    }

    /// Whether the server was told to end.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Whether the end is announced, or has begun.
    pub(crate) fn is_announced(&self) -> bool {
        self.announced.is_cancelled()
    }

    /// Resolves when the end is announced, or begins.
    pub fn announced(&self) -> WaitForCancellationFutureOwned {
        self.announced.clone().cancelled_owned()
    }

    /// Resolves when the server is told to end.
    pub fn begun(&self) -> WaitForCancellationFutureOwned {
        self.begun.clone().cancelled_owned()
    }

    /// Where to spawn what must be over before the process ends, key work above all.
    #[must_use]
    pub fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Announces the end at the first SIGTERM or SIGINT, begins it after `delay`, and cuts short at the second.
    ///
    /// # Errors
    /// The system lets no signal handler be set.
    pub fn on_signals(&self, delay: Duration) -> io::Result<()> {
        let mut signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let drain = self.clone();
        // Not on `tasks`: it waits for a second signal, which may never come.
        tokio::spawn(async move {
            next(&mut signals).await;
            let delay_seconds = delay.as_secs();
            tracing::info!(delay_seconds, "told to end; a second signal ends at once");
            drain.end(delay, next(&mut signals)).await;
        });
        Ok(())
    }

    /// Announces the end, begins it after `delay`, and cuts short when `again` resolves, before or after that.
    async fn end(&self, delay: Duration, again: impl Future<Output = ()>) {
        let mut again = std::pin::pin!(again);
        self.announce();
        if timeout(delay, &mut again).await.is_err() {
            self.begin();
            again.await;
        }
        self.cut_short();
    }

    /// Waits for the beginning, then for `serving` (which stops taking connections by itself, see [`Drain::begun`]) and the tasks, at
    /// most as long as `bound`. `not_serving` is called between, so that health says so before calls are turned away.
    pub async fn finish(
        &self,
        not_serving: impl Future<Output = ()>,
        serving: impl Future<Output = ()>,
        bound: Duration,
    ) -> Drained {
        let begun = self.begun();
        let mut serving = std::pin::pin!(serving);
        // Serving has to be polled all along, and may end by itself.
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
        drain.tasks().spawn(async move {
            released.await.unwrap();
            seen.store(true, Ordering::SeqCst);
        });
        drain.begin();
        // Health is told after the beginning and before the wait, so the task can be released there.
        let not_serving = async move { release.send(()).unwrap() };
        assert_eq!(drain.finish(not_serving, drain.begun(), LONG).await, Drained::Whole);
        assert!(done.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn endless_task_is_cut_short_at_the_limit() {
        let drain = Drain::new();
        drain.tasks().spawn(pending::<()>());
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
