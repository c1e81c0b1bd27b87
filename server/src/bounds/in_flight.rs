//! Limits the calls of one kind that an identity has in flight: some run, others wait for their turn, and further ones are refused.
//!
//! Each identity has its own turns. So however many calls one identity makes, the other readers remain free for other identities. This
//! module doesn't know what the calls do.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sealward_core::identity::Identity;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{status::Refusal, telemetry::shed::Shed};

/// Calls of one kind.
#[derive(Debug)]
pub(crate) struct InFlight {
    /// The limit's name.
    bound: &'static str,
    max: u32,
    at_once: usize,
    shed: Shed,
    identities: Mutex<HashMap<Identity, OfIdentity>>,
}

#[derive(Debug)]
struct OfIdentity {
    calls: u32,
    turns: Arc<Semaphore>,
}

/// An admitted call. It counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    of: Arc<InFlight>,
    identity: Identity,
    _turn: Option<OwnedSemaphorePermit>,
}

impl InFlight {
    /// At most `max` calls of an identity, by the limit `bound`. Of those that wait for a turn, `at_once` run at a time.
    pub(crate) fn new(bound: &'static str, max: u32, at_once: usize, shed: Shed) -> Arc<Self> {
        Arc::new(InFlight { bound, max, at_once, shed, identities: Mutex::default() })
    }

    /// Admits a call of this identity.
    ///
    /// # Errors
    /// [`Refusal::TooManyInFlight`]
    pub(crate) fn enter(self: &Arc<Self>, identity: &Identity) -> Result<Held, Refusal> {
        self.count(identity).map(|(held, _)| held)
    }

    /// Admits a call of this identity, and waits for its turn.
    ///
    /// # Errors
    /// [`Refusal::TooManyInFlight`], at once.
    pub(crate) async fn enter_in_turn(self: &Arc<Self>, identity: &Identity) -> Result<Held, Refusal> {
        let (mut held, turns) = self.count(identity)?;
        // The semaphore is never closed.
        held._turn = turns.acquire_owned().await.ok();
        Ok(held)
    }

    fn count(self: &Arc<Self>, identity: &Identity) -> Result<(Held, Arc<Semaphore>), Refusal> {
        let mut identities = self.identities();
        let at_once = self.at_once.max(1);
        let of_identity = identities
            .entry(identity.clone())
            .or_insert_with(|| OfIdentity { calls: 0, turns: Arc::new(Semaphore::new(at_once)) });
        if of_identity.calls >= self.max {
            self.shed.count(self.bound);
            return Err(Refusal::TooManyInFlight { bound: self.bound, limit: self.max });
        }
        of_identity.calls += 1;
        let turns = Arc::clone(&of_identity.turns);
        Ok((Held { of: Arc::clone(self), identity: identity.clone(), _turn: None }, turns))
    }

    fn identities(&self) -> MutexGuard<'_, HashMap<Identity, OfIdentity>> {
        // No panic under this lock can leave the counts inconsistent.
        self.identities.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut identities = self.of.identities();
        if let Some(of_identity) = identities.get_mut(&self.identity) {
            of_identity.calls = of_identity.calls.saturating_sub(1);
            if of_identity.calls == 0 {
                identities.remove(&self.identity);
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

    const BOUND: &str = "lists_per_identity_max";

    fn identity(name: &str) -> Identity {
        Identity::CommonName(name.to_owned())
    }

    fn waits(call: Pin<&mut impl Future>) -> bool {
        call.poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    #[tokio::test]
    async fn call_past_the_limit_is_refused_for_its_identity_only() {
        let shed = Shed::default();
        let lists = InFlight::new(BOUND, 2, 2, shed.clone());
        let held = [lists.enter(&identity("ada")).unwrap(), lists.enter(&identity("ada")).unwrap()];
        let refused = lists.enter(&identity("ada")).unwrap_err();
        assert_eq!(refused, Refusal::TooManyInFlight { bound: BOUND, limit: 2 });
        assert_eq!(shed.refused_by(BOUND), 1);
        let _other = lists.enter(&identity("bob")).unwrap();
        drop(held);
        let _again = lists.enter(&identity("ada")).unwrap();
    }

    #[tokio::test]
    async fn calls_wait_only_for_calls_of_their_identity() {
        let lists = InFlight::new(BOUND, 10, 1, Shed::default());
        let ada = identity("ada");
        let first = lists.enter_in_turn(&ada).await.unwrap();
        let mut second = Box::pin(lists.enter_in_turn(&ada));
        assert!(waits(second.as_mut()));
        let _other = lists.enter_in_turn(&identity("bob")).await.unwrap();
        drop(first);
        let second = second.await.unwrap();
        drop(second);
        assert_eq!(lists.identities().len(), 1, "who has no calls is forgotten");
    }

    #[tokio::test]
    async fn cancelled_waiting_call_does_not_count() {
        let lists = InFlight::new(BOUND, 2, 1, Shed::default());
        let ada = identity("ada");
        let first = lists.enter_in_turn(&ada).await.unwrap();
        let mut second = Box::pin(lists.enter_in_turn(&ada));
        assert!(waits(second.as_mut()));
        drop(second);
        let _third = lists.enter(&identity("ada")).unwrap();
        drop(first);
    }
}
