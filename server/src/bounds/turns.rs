//! Turns: callers that change the same resource wait for each other, in order of arrival.
//!
//! Without turns, optimistic writers, which write on the condition that nothing has changed since they read, would fail each other again
//! and again. This module doesn't know what is changed. A turn proves nothing: the write keeps its condition.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sealward_core::{port::Line, store::Pending};
use tokio::sync::OwnedMutexGuard;

use crate::{status::Refusal, telemetry::shed::Shed};

/// The turns of many resources. Each key is known while a caller has a place in its line.
#[derive(Debug)]
pub(crate) struct Turns<K> {
    /// The limit's name.
    bound: &'static str,
    max: u32,
    shed: Shed,
    waiting: Mutex<HashMap<K, Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    callers: u32,
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// A place in the line for a resource. It is given up when this is dropped.
#[derive(Debug)]
pub(crate) struct Place<K: Eq + Hash> {
    of: Arc<Turns<K>>,
    key: K,
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// A turn. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn<K: Eq + Hash> {
    _turn: OwnedMutexGuard<()>,
    _place: Place<K>,
}

impl<K: Clone + Eq + Hash> Turns<K> {
    /// At most `max` callers have a place in the line for one resource, by the limit `bound`.
    pub(crate) fn new(bound: &'static str, max: u32, shed: Shed) -> Arc<Self> {
        Arc::new(Turns { bound, max, shed, waiting: Mutex::default() })
    }

    /// Joins the line for this resource. A caller can have its turn several times.
    ///
    /// # Errors
    /// [`Refusal::TooManyInFlight`]
    pub(crate) fn join(self: &Arc<Self>, key: K) -> Result<Place<K>, Refusal> {
        let mut all = self.waiting();
        let waiting = all.entry(key.clone()).or_insert_with(|| Waiting { callers: 0, turn: Arc::default() });
        if waiting.callers >= self.max {
            self.shed.count(self.bound);
            return Err(Refusal::TooManyInFlight { bound: self.bound, limit: self.max });
        }
        waiting.callers += 1;
        Ok(Place { of: Arc::clone(self), key, turn: Arc::clone(&waiting.turn) })
    }

    /// Waits for the only turn of this caller.
    ///
    /// # Errors
    /// [`Refusal::TooManyInFlight`], at once.
    pub(crate) async fn take(self: &Arc<Self>, key: K) -> Result<Turn<K>, Refusal> {
        let place = self.join(key)?;
        Ok(Turn { _turn: Arc::clone(&place.turn).lock_owned().await, _place: place })
    }
}

impl<K: Eq + Hash + Send + Sync> Line for Place<K> {
    fn turn(&self) -> Pending<'_, Box<dyn Send>> {
        Box::pin(async { Box::new(Arc::clone(&self.turn).lock_owned().await) as Box<dyn Send> })
    }
}

impl<K> Turns<K> {
    fn waiting(&self) -> MutexGuard<'_, HashMap<K, Waiting>> {
        // No panic under this lock can leave the counts inconsistent.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut all = self.of.waiting();
        if let Some(waiting) = all.get_mut(&self.key) {
            waiting.callers = waiting.callers.saturating_sub(1);
            if waiting.callers == 0 {
                all.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        task::{Context, Waker},
    };

    use super::*;

    const BOUND: &str = "writes_per_record_max";

    fn waits(call: Pin<&mut impl Future>) -> bool {
        call.poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    #[tokio::test]
    async fn turns_are_first_come_first_served_per_resource() {
        let turns = Turns::new(BOUND, 10, Shed::default());
        let first = turns.take(1).await.unwrap();
        let mut second = Box::pin(turns.take(1));
        let mut third = Box::pin(turns.take(1));
        assert!(waits(second.as_mut()));
        assert!(waits(third.as_mut()));
        let _other = turns.take(2).await.unwrap();
        drop(first);
        assert!(waits(third.as_mut()));
        let second = second.await.unwrap();
        assert!(waits(third.as_mut()));
        drop(second);
        drop(third.await.unwrap());
        assert_eq!(turns.waiting().len(), 1);
    }

    #[tokio::test]
    async fn caller_has_its_turn_again_after_those_that_wait() {
        let turns = Turns::new(BOUND, 10, Shed::default());
        let (one, other) = (turns.join(1).unwrap(), turns.join(1).unwrap());
        let first = one.turn().await;
        let mut second = Box::pin(other.turn());
        assert!(waits(second.as_mut()));
        let mut third = Box::pin(one.turn());
        assert!(waits(third.as_mut()));
        drop(first);
        assert!(waits(third.as_mut()));
        drop(second.await);
        drop(third.await);
        drop((one, other));
        assert!(turns.waiting().is_empty());
    }

    #[tokio::test]
    async fn caller_past_the_queue_limit_is_refused() {
        let shed = Shed::default();
        let turns = Turns::new(BOUND, 2, shed.clone());
        let _first = turns.take(1).await.unwrap();
        let mut second = Box::pin(turns.take(1));
        assert!(waits(second.as_mut()));
        assert_eq!(turns.take(1).await.unwrap_err(), Refusal::TooManyInFlight { bound: BOUND, limit: 2 });
        assert_eq!(shed.refused_by(BOUND), 1);
        drop(second);
        let mut third = Box::pin(turns.take(1));
        assert!(waits(third.as_mut()));
    }
}
