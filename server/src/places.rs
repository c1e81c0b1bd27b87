//! Places for connections: how many each identity may hold at once, so that none takes them all.
//!
//! An identity is that of a client certificate, known once the handshake is done. Connections without one are nobody's and not counted. Nothing
//! here knows connections, or what becomes of one without a place.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use fieldseal_core::identity::Identity;

use crate::shed::Shed;

/// The places of all identities.
#[derive(Debug)]
pub(crate) struct Places {
    /// How many an identity may hold; 0 for any number.
    max: u32,
    held: Mutex<HashMap<Identity, Held>>,
    shed: Shed,
}

#[derive(Debug, Default)]
struct Held {
    places: u32,
    /// Whether the log has it that one was refused, since there was none too many last.
    told: bool,
}

/// A place, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    identity: Identity,
}

/// An identity holds as many places as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoPlace {
    /// How many it may hold.
    pub(crate) limit: u32,
}

impl Places {
    /// Places, so many for each identity; any number if that is 0.
    pub(crate) fn new(max: u32, shed: Shed) -> Arc<Self> {
        Arc::new(Places { max, held: Mutex::default(), shed })
    }

    /// Takes a place for this identity.
    ///
    /// # Errors
    /// [`NoPlace`]
    pub(crate) fn take(self: &Arc<Self>, identity: &Identity) -> Result<Place, NoPlace> {
        let mut all = self.held();
        let held = all.entry(identity.clone()).or_default();
        if self.max > 0 && held.places >= self.max {
            let is_news = !std::mem::replace(&mut held.told, true);
            drop(all);
            self.shed.count("connections_per_identity_max");
            if is_news {
                let limit = self.max;
                tracing::warn!(%identity, limit, "an identity has as many connections as it may; more are told to leave");
            }
            return Err(NoPlace { limit: self.max });
        }
        held.places += 1;
        Ok(Place { places: Arc::clone(self), identity: identity.clone() })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Identity, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.places.held();
        if let Some(held) = all.get_mut(&self.identity) {
            held.places = held.places.saturating_sub(1);
            if held.places == 0 {
                all.remove(&self.identity);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_holds_so_many_places_and_gets_another_for_one_that_it_gives_back() {
        let places = Places::new(2, Shed::default());
        let [ada, bea] = ["ada", "bea"].map(|name| Identity::CommonName(name.to_owned()));
        let first = places.take(&ada).unwrap();
        let _second = places.take(&ada).unwrap();
        assert_eq!(places.take(&ada).unwrap_err(), NoPlace { limit: 2 });
        let _other = places.take(&bea).unwrap();
        drop(first);
        let _third = places.take(&ada).unwrap();
        places.take(&ada).unwrap_err();
        assert_eq!(places.shed.refused_by("connections_per_identity_max"), 2);
    }

    #[test]
    fn nobody_is_remembered_who_holds_none_and_no_limit_is_none() {
        let places = Places::new(0, Shed::default());
        let ada = Identity::CommonName("ada".to_owned());
        let many: Vec<_> = (0..1_000).map(|_| places.take(&ada).unwrap()).collect();
        drop(many);
        assert!(places.held().is_empty());
    }
}
