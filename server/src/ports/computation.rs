//! Computations on separate threads with a low priority, so that they use the processor time that calls leave.

use std::{num::NonZero, thread};

use sealward_core::{port::Computation, store::Pending};
use tokio::sync::oneshot;

/// Starts a thread for each computation. A thread costs some 20 µs, and a computation takes milliseconds.
pub(crate) struct ComputationThreads;

impl Computation for ComputationThreads {
    fn threads(&self) -> usize {
        thread::available_parallelism().map_or(1, NonZero::get)
    }

    fn start(&self, computation: Box<dyn FnOnce() + Send>) -> Pending<'static, ()> {
        let (running, ended) = oneshot::channel::<()>();
        let spawned = thread::Builder::new().name("computation".to_owned()).spawn(move || {
            // Dropped at the end, even after a panic.
            let _running = running;
            lower_priority();
            computation();
        });
        if let Err(error) = spawned {
            tracing::warn!(%error, "computation not started");
        }
        // Without a result, core reports that the computation failed.
        Box::pin(async move { drop(ended.await) })
    }
}

/// The nice value of the threads: about a tenth of the processor time, as long as other threads need it.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Lowers the priority of the current thread. Only Linux has a priority per thread.
#[cfg(target_os = "linux")]
fn lower_priority() {
    // At the usual priority, a computation only takes more from calls.
    let _lowered = rustix::process::setpriority_process(None, NICENESS);
}

#[cfg(not(target_os = "linux"))]
fn lower_priority() {}
