//! Several things at once, without a runtime: two futures in one task, and computations on the threads of a port.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
};

use crate::{
    port::Computation,
    store::{Pending, Unavailable},
};

/// Polls two futures until both are complete.
pub(crate) async fn join<A, B>(first: impl Future<Output = A>, second: impl Future<Output = B>) -> (A, B) {
    let (mut first, mut second) = (pin!(first), pin!(second));
    let (mut a, mut b) = (None, None);
    poll_fn(move |context| {
        if a.is_none()
            && let Poll::Ready(output) = first.as_mut().poll(context)
        {
            a = Some(output);
        }
        if b.is_none()
            && let Poll::Ready(output) = second.as_mut().poll(context)
        {
            b = Some(output);
        }
        if a.is_none() || b.is_none() {
            return Poll::Pending;
        }
        a.take().zip(b.take()).map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

/// Computations that have started.
pub(crate) struct Computing<T>(Vec<Started<T>>);

/// A computation, and the place of its result.
struct Started<T> {
    running: Pending<'static, ()>,
    result: Arc<Mutex<Option<T>>>,
}

impl<T: Send + 'static> Computing<T> {
    /// Starts a computation for each chunk of the items, one chunk per thread. They run whether they are awaited or not.
    pub(crate) fn start<I: Send + 'static>(
        threads: &dyn Computation,
        items: Vec<I>,
        compute: impl Fn(Vec<I>) -> T + Clone + Send + 'static,
    ) -> Self {
        let chunks = chunks(items, threads.threads());
        let started = chunks.into_iter().map(|chunk| {
            let result = Arc::new(Mutex::new(None));
            let (compute, slot) = (compute.clone(), Arc::clone(&result));
            let running = threads.start(Box::new(move || {
                let computed = compute(chunk);
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(computed);
            }));
            Started { running, result }
        });
        Computing(started.collect())
    }

    /// Waits for the results, in the order of the chunks.
    ///
    /// # Errors
    /// If a computation ended without a result, because it panicked or the process is shutting down.
    pub(crate) async fn results(self) -> Result<Vec<T>, Unavailable> {
        let mut results = Vec::with_capacity(self.0.len());
        for Started { running, result } in self.0 {
            running.await;
            let computed = result.lock().unwrap_or_else(PoisonError::into_inner).take();
            results.push(computed.ok_or(Unavailable("a computation ended without a result".into()))?);
        }
        Ok(results)
    }
}

/// The smallest chunk: for fewer items, another thread costs more than it saves.
const CHUNK_ITEMS_MIN: usize = 64;

/// Divides items into at most `count` chunks of nearly the same size.
fn chunks<I>(mut items: Vec<I>, count: usize) -> Vec<Vec<I>> {
    let count = items.len().div_ceil(CHUNK_ITEMS_MIN).clamp(1, count.max(1));
    let mut chunks = Vec::with_capacity(count);
    for left in (1..count).rev() {
        let rest = items.split_off(items.len().div_ceil(left + 1));
        chunks.push(std::mem::replace(&mut items, rest));
    }
    if !items.is_empty() {
        chunks.push(items);
    }
    chunks
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn chunks_have_all_items_in_order() {
        for (items, count, lengths) in [
            (0, 2, vec![]),
            (1, 2, vec![1]),
            (64, 2, vec![64]),
            (65, 2, vec![33, 32]),
            (1_000, 3, vec![334, 333, 333]),
            (1_000, 0, vec![1_000]),
        ] {
            let chunks = chunks((0..items).collect::<Vec<i32>>(), count);
            assert_eq!(chunks.iter().map(Vec::len).collect::<Vec<_>>(), lengths);
            assert_eq!(chunks.concat(), (0..items).collect::<Vec<i32>>());
        }
    }

    #[test]
    fn joined_futures_progress_together() {
        let (mut polled, mut turn) = (Vec::new(), 0);
        let slow = poll_fn(|_| {
            turn += 1;
            polled.push(turn);
            if turn == 3 { Poll::Ready("slow") } else { Poll::Pending }
        });
        let mut joined = pin!(join(slow, async { "fast" }));
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(joined.as_mut().poll(&mut context), Poll::Pending);
        assert_eq!(joined.as_mut().poll(&mut context), Poll::Pending);
        assert_eq!(joined.as_mut().poll(&mut context), Poll::Ready(("slow", "fast")));
    }
}
