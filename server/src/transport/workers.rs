//! Workers: the threads that serve connections, one for each processor.
//!
//! A worker is a runtime with one thread. A connection stays on its worker from the handshake to its end, so its calls don't move between
//! processors: short calls are faster and take less processor time. A new connection goes to the worker with the fewest connections. It
//! isn't moved later, so a busy connection can't use more than one processor; work that takes longer than a short call runs elsewhere, see
//! [`Drain::spawn`].
//!
//! Nothing here knows connections.
//!
//! [`Drain::spawn`]: crate::drain::Drain::spawn

use std::{
    io,
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};
use tokio_util::sync::CancellationToken;

/// The threads of a server. They end when this is dropped.
pub(crate) struct Workers {
    places: Places,
    stop: CancellationToken,
    /// Each resolves when its thread has dropped all tasks.
    ended: Vec<oneshot::Receiver<()>>,
}

/// The places on the workers. Clones share them.
#[derive(Clone)]
pub(crate) struct Places(Arc<[Arc<Worker>]>);

struct Worker {
    runtime: Handle,
    taken: AtomicUsize,
}

/// A place on a worker. It is free again when this is dropped.
pub(crate) struct Place(Arc<Worker>);

/// The number of workers.
pub(crate) fn count() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

impl Workers {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system refuses a thread or a file descriptor.
    pub(crate) fn start() -> io::Result<Self> {
        let stop = CancellationToken::new();
        let mut started = Vec::new();
        // Before anything can fail, so that an error ends the threads so far.
        let stopping = stop.clone().drop_guard();
        for _ in 0..count() {
            let (sender, runtime) = mpsc::channel();
            let (running, ended) = oneshot::channel();
            let stop = stop.clone();
            thread::Builder::new().name("connections".to_owned()).spawn(move || run(&sender, stop, running))?;
            started.push((runtime, ended));
        }
        let (mut workers, mut all_ended) = (Vec::new(), Vec::new());
        for (runtime, ended) in started {
            let runtime = runtime.recv().map_err(io::Error::other)??;
            workers.push(Arc::new(Worker { runtime, taken: AtomicUsize::new(0) }));
            all_ended.push(ended);
        }
        stopping.disarm();
        Ok(Self { places: Places(workers.into()), stop, ended: all_ended })
    }

    /// The places, for accepted connections.
    pub(crate) fn places(&self) -> Places {
        self.places.clone()
    }

    /// Drops the tasks that still run on the workers, and waits until the threads are done.
    pub(crate) async fn end(mut self) {
        self.stop.cancel();
        for ended in std::mem::take(&mut self.ended) {
            // The thread drops its end without a message.
            let _ended = ended.await;
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The thread of a worker. The runtime is created and dropped here, because a runtime can't be dropped within another one.
fn run(started: &mpsc::Sender<io::Result<Handle>>, stop: CancellationToken, running: oneshot::Sender<()>) {
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _reported = started.send(Err(error));
            return;
        }
    };
    let _started = started.send(Ok(runtime.handle().clone()));
    runtime.block_on(stop.cancelled_owned());
    // Drops the tasks, and doesn't wait for work on blocking threads, which may wait for a disk.
    runtime.shutdown_background();
    drop(running);
}

impl Places {
    /// Takes a place on the worker with the fewest connections.
    pub(crate) fn take(&self) -> Place {
        // The numbers may change during the search. The next connections make up for it.
        let fewest = self.0.iter().min_by_key(|worker| worker.taken.load(Ordering::Relaxed));
        let worker = fewest.expect("there is at least one worker");
        worker.taken.fetch_add(1, Ordering::Relaxed);
        Place(Arc::clone(worker))
    }
}

impl Place {
    /// The runtime of the worker.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.0.runtime
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, future::pending, time::Duration};

    use tokio::{runtime, time::timeout};

    use super::*;

    fn ids(places: &[Place]) -> Vec<runtime::Id> {
        places.iter().map(|place| place.runtime().id()).collect()
    }

    #[tokio::test]
    async fn connections_are_spread_evenly_over_the_workers() {
        let workers = Workers::start().unwrap();
        let places = workers.places();
        let mut taken: Vec<_> = (0..3 * count()).map(|_| places.take()).collect();
        let mut by_worker: HashMap<runtime::Id, usize> = HashMap::new();
        for id in ids(&taken) {
            *by_worker.entry(id).or_default() += 1;
        }
        assert_eq!(by_worker.into_values().collect::<Vec<_>>(), vec![3; count()]);
        // The next connection replaces one that has ended.
        let ended = taken.swap_remove(count());
        let of_ended = ended.runtime().id();
        drop(ended);
        assert_eq!(places.take().runtime().id(), of_ended);
    }

    #[tokio::test]
    async fn tasks_of_a_worker_run_on_one_thread_and_are_dropped_at_its_end() {
        let workers = Workers::start().unwrap();
        let place = workers.places().take();
        let thread = || async { thread::current().id() };
        let first = place.runtime().spawn(thread()).await.unwrap();
        assert_eq!(place.runtime().spawn(thread()).await.unwrap(), first);
        assert_ne!(first, thread::current().id());

        let (sender, receiver) = oneshot::channel::<()>();
        place.runtime().spawn(async move {
            let _sender = sender;
            pending::<()>().await;
        });
        workers.end().await;
        assert!(timeout(Duration::ZERO, receiver).await.unwrap().is_err());
        // A task that comes later is dropped.
        assert!(place.runtime().spawn(async {}).await.unwrap_err().is_cancelled());
    }

    #[tokio::test]
    async fn dropped_workers_end() {
        let mut workers = Workers::start().unwrap();
        let ended = std::mem::take(&mut workers.ended);
        drop(workers);
        for ended in ended {
            assert!(timeout(Duration::from_secs(60), ended).await.unwrap().is_err());
        }
    }
}
