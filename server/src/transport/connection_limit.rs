//! Places for the connections of one listener: so many for identified callers, and a share for all others.
//!
//! A connection is identified by its client certificate, once the handshake is done, or by the first bearer token that is accepted on it. Until then
//! it has one of the unidentified places, of which each address has a bounded number. A new connection always gets one: where all are
//! taken, the oldest connection of the address that has the most is closed for it. So whoever opens many closes their own.
//!
//! An identity has a bounded number of places as well, whatever proves it. A connection past it that shows a certificate has no place, and
//! stays only to learn so. One whose calls carry tokens stays unidentified and is served: the next token may be another identity's.
//!
//! Nothing here knows connections, or what becomes of one without a place.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use sealward_core::identity::Identity;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::{config::limits::Limits, telemetry::shed::Shed};

/// How many connections without a place may stay to learn so. Each stays for one call; of more, the oldest is closed.
const REFUSED_MAX: usize = 32;

/// The places of a listener.
#[derive(Debug)]
pub(crate) struct Places {
    bounds: Bounds,
    held: Mutex<Held>,
    shed: Shed,
}

/// How many places there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// For identified connections.
    pub(crate) identified_max: u32,
    /// For each identity; 0 for any number.
    pub(crate) per_identity_max: u32,
    /// For unidentified connections.
    pub(crate) unidentified_max: u32,
    /// The name of that limit.
    pub(crate) unidentified_name: &'static str,
    /// For unidentified connections of one address.
    pub(crate) per_address_max: u32,
}

#[derive(Debug, Default)]
struct Held {
    /// Grows with each connection, so that the oldest come first.
    next: u64,
    unidentified: BTreeMap<u64, Unidentified>,
    by_address: HashMap<IpAddr, u32>,
    identified: u32,
    by_identity: HashMap<Arc<Identity>, OfIdentity>,
    refused: BTreeMap<u64, CancellationToken>,
    /// Whether it is logged that no identified places are left, since there were some last.
    is_logged: bool,
}

#[derive(Debug)]
struct Unidentified {
    address: IpAddr,
    closing: CancellationToken,
}

#[derive(Debug, Default)]
struct OfIdentity {
    places: u32,
    /// Whether a refusal is logged, since the identity was below its limit last.
    is_logged: bool,
}

/// A connection's place, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    number: u64,
    kind: Mutex<Kind>,
    closing: CancellationToken,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Unidentified {
        /// Whether a token was accepted on it whose identity had no place left, which counts once.
        is_over: bool,
    },
    /// By its certificate, or by a token.
    Identified(Arc<Identity>),
    Refused,
}

/// There is no place for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// Its identity holds as many as it may.
    OfIdentity {
        /// How many it may hold.
        limit: u32,
    },
    /// All identified places are taken.
    OfAll {
        /// How many there are.
        limit: u32,
    },
}

impl NoPlace {
    /// The name of the limit in `[limits]`.
    pub(crate) fn bound(self) -> &'static str {
        match self {
            NoPlace::OfIdentity { .. } => "connections_per_identity_max",
            NoPlace::OfAll { .. } => "connections_max",
        }
    }
}

/// In the extensions of each request: the place of its connection.
#[derive(Clone, Debug)]
pub(crate) struct Standing(Weak<Place>);

impl Bounds {
    /// As the configuration has them.
    pub(crate) fn of(limits: &Limits) -> Self {
        let share = u64::from(limits.connections_max) * u64::from(limits.connections_unidentified_percent) / 100;
        let unidentified_max = u32::try_from(share).unwrap_or(u32::MAX).max(1);
        Bounds {
            identified_max: limits.connections_max.saturating_sub(unidentified_max).max(1),
            per_identity_max: limits.connections_per_identity_max,
            unidentified_max,
            unidentified_name: "connections_unidentified_percent",
            per_address_max: limits.connections_unidentified_per_address_max,
        }
    }

    /// For callers who are never identified.
    pub(crate) const fn unidentified(max: u32, name: &'static str) -> Self {
        Bounds {
            identified_max: 0,
            per_identity_max: 0,
            unidentified_max: max,
            unidentified_name: name,
            per_address_max: max,
        }
    }

    /// How many connections there are at most, with those that are about to be refused.
    pub(crate) fn connections_max(&self) -> u64 {
        let refused = u64::try_from(REFUSED_MAX).unwrap_or(u64::MAX);
        u64::from(self.identified_max) + u64::from(self.unidentified_max) + refused
    }
}

impl Places {
    /// Places that are all free.
    pub(crate) fn new(bounds: Bounds, shed: Shed) -> Arc<Self> {
        Arc::new(Places { bounds, held: Mutex::default(), shed })
    }

    /// A place for a connection of which only the address is known. Another connection may have to close for it.
    pub(crate) fn arrive(self: &Arc<Self>, peer: SocketAddr) -> Arc<Place> {
        let address = network(peer.ip());
        let closing = CancellationToken::new();
        let mut held = self.held();
        let of_address = held.by_address.get(&address).copied().unwrap_or(0);
        let Bounds { unidentified_max, unidentified_name, per_address_max, .. } = self.bounds;
        if held.unidentified.len() >= usize::try_from(unidentified_max).unwrap_or(usize::MAX) {
            self.shed.count(unidentified_name);
            let most = held.by_address.iter().max_by_key(|(_, count)| **count).map(|(address, _)| *address);
            if let Some(most) = most {
                held.close_oldest_of(most);
            }
        } else if of_address >= per_address_max {
            self.shed.count("connections_unidentified_per_address_max");
            held.close_oldest_of(address);
        }
        let number = held.next;
        held.next += 1;
        *held.by_address.entry(address).or_default() += 1;
        held.unidentified.insert(number, Unidentified { address, closing: closing.clone() });
        drop(held);
        Arc::new(Place {
            places: Arc::clone(self),
            number,
            kind: Mutex::new(Kind::Unidentified { is_over: false }),
            closing,
        })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn close_oldest_of(&mut self, address: IpAddr) {
        let oldest = self.unidentified.iter().find(|(_, one)| one.address == address).map(|(number, _)| *number);
        if let Some(oldest) = oldest
            && let Some(one) = self.leave_unidentified(oldest)
        {
            one.closing.cancel();
        }
    }

    fn leave_unidentified(&mut self, number: u64) -> Option<Unidentified> {
        let one = self.unidentified.remove(&number)?;
        if let Some(count) = self.by_address.get_mut(&one.address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&one.address);
            }
        }
        Some(one)
    }

    /// Whether this identity may have another place.
    fn has_room(&self, identity: &Identity, bounds: &Bounds) -> Result<(), NoPlace> {
        let Bounds { identified_max, per_identity_max, .. } = *bounds;
        let own = self.by_identity.get(identity).map_or(0, |own| own.places);
        if per_identity_max > 0 && own >= per_identity_max {
            Err(NoPlace::OfIdentity { limit: per_identity_max })
        } else if self.identified >= identified_max {
            Err(NoPlace::OfAll { limit: identified_max })
        } else {
            Ok(())
        }
    }

    fn enter_identified(&mut self, identity: &Arc<Identity>) -> Kind {
        self.identified += 1;
        self.by_identity.entry(Arc::clone(identity)).or_default().places += 1;
        Kind::Identified(Arc::clone(identity))
    }

    fn leave_identified(&mut self, identity: &Identity) {
        self.identified -= 1;
        self.is_logged = false;
        if let Some(own) = self.by_identity.get_mut(identity) {
            own.places -= 1;
            if own.places == 0 {
                self.by_identity.remove(identity);
            }
        }
    }

    /// Marks a refusal as logged. Returns whether it was before.
    fn mark_logged(&mut self, identity: &Identity, no_place: NoPlace) -> bool {
        match (no_place, self.by_identity.get_mut(identity)) {
            (NoPlace::OfIdentity { .. }, Some(own)) => std::mem::replace(&mut own.is_logged, true),
            (NoPlace::OfIdentity { .. }, None) => true,
            (NoPlace::OfAll { .. }, _) => std::mem::replace(&mut self.is_logged, true),
        }
    }
}

impl Place {
    /// Moves to the place of an identified connection.
    ///
    /// # Errors
    /// [`NoPlace`]; it has no place then.
    pub(crate) fn identify(&self, identity: &Arc<Identity>) -> Result<(), NoPlace> {
        let mut kind = self.kind();
        let mut held = self.places.held();
        if held.leave_unidentified(self.number).is_none() {
            // It is about to be closed, or was identified before.
            return Ok(());
        }
        let Err(no_place) = held.has_room(identity, &self.places.bounds) else {
            *kind = held.enter_identified(identity);
            return Ok(());
        };
        if held.refused.len() >= REFUSED_MAX
            && let Some((_, oldest)) = held.refused.pop_first()
        {
            oldest.cancel();
        }
        held.refused.insert(self.number, self.closing.clone());
        *kind = Kind::Refused;
        let was_logged = held.mark_logged(identity, no_place);
        drop(held);
        let bound = no_place.bound();
        self.places.shed.count(bound);
        if !was_logged {
            tracing::warn!(%identity, bound, ?no_place, "connection limit reached: further connections are refused");
        }
        Err(no_place)
    }

    /// A bearer token of this identity was accepted: it moves to the place of an identified connection, if the identity may have another one.
    pub(crate) fn vouch(&self, identity: &Arc<Identity>) {
        let mut kind = self.kind();
        let Kind::Unidentified { is_over: was_over } = *kind else { return };
        let mut held = self.places.held();
        let Err(no_place) = held.has_room(identity, &self.places.bounds) else {
            if held.leave_unidentified(self.number).is_some() {
                *kind = held.enter_identified(identity);
            }
            return;
        };
        *kind = Kind::Unidentified { is_over: true };
        let was_logged = was_over || held.mark_logged(identity, no_place);
        drop(held);
        let bound = no_place.bound();
        if !was_over {
            self.places.shed.count(bound);
        }
        if !was_logged {
            tracing::warn!(%identity, bound, ?no_place, "connection limit reached: further connections stay unidentified");
        }
    }

    /// Whether nobody is known to be at the other end.
    pub(crate) fn is_unidentified(&self) -> bool {
        matches!(*self.kind(), Kind::Unidentified { .. })
    }

    /// Resolves when the connection has to be closed at once for another one.
    pub(crate) fn closing(&self) -> WaitForCancellationFutureOwned {
        self.closing.clone().cancelled_owned()
    }

    /// What goes with each request.
    pub(crate) fn standing(self: &Arc<Self>) -> Standing {
        Standing(Arc::downgrade(self))
    }

    fn kind(&self) -> MutexGuard<'_, Kind> {
        self.kind.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let kind = self.kind().clone();
        let mut held = self.places.held();
        match kind {
            Kind::Unidentified { .. } => drop(held.leave_unidentified(self.number)),
            Kind::Identified(identity) => held.leave_identified(&identity),
            Kind::Refused => drop(held.refused.remove(&self.number)),
        }
    }
}

impl Standing {
    /// A bearer token of this identity was accepted on the connection.
    pub(crate) fn vouch(&self, identity: &Arc<Identity>) {
        if let Some(place) = self.0.upgrade() {
            place.vouch(identity);
        }
    }
}

/// What counts as one address: of IPv6 the network of 64 bits, since whoever has one address of it has them all.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: &str = "192.0.2.1:1";
    const BEA: &str = "192.0.2.2:1";

    fn places(bounds: Bounds) -> Arc<Places> {
        Places::new(bounds, Shed::default())
    }

    const WIDE: Bounds =
        Bounds { identified_max: 1_000, ..Bounds::unidentified(1_000, "connections_unidentified_percent") };

    fn named(name: &str) -> Arc<Identity> {
        Identity::CommonName(name.to_owned()).into()
    }

    fn arrive(places: &Arc<Places>, peer: &str) -> Arc<Place> {
        places.arrive(peer.parse().unwrap())
    }

    fn identified(places: &Arc<Places>, name: &str) -> Result<Arc<Place>, NoPlace> {
        let place = arrive(places, ADA);
        place.identify(&named(name)).map(|()| place)
    }

    fn is_closing(place: &Place) -> bool {
        place.closing.is_cancelled()
    }

    #[test]
    fn identity_has_limited_connections_and_can_replace_a_closed_one() {
        let places = places(Bounds { per_identity_max: 2, ..WIDE });
        let first = identified(&places, "ada").unwrap();
        let _second = identified(&places, "ada").unwrap();
        assert_eq!(identified(&places, "ada").unwrap_err(), NoPlace::OfIdentity { limit: 2 });
        let _other = identified(&places, "bea").unwrap();
        drop(first);
        let _third = identified(&places, "ada").unwrap();
        identified(&places, "ada").unwrap_err();
        assert_eq!(places.shed.refused_by("connections_per_identity_max"), 2);
    }

    #[test]
    fn identified_connections_have_reserved_places() {
        let places = places(Bounds { identified_max: 2, unidentified_max: 1, ..WIDE });
        let _held = [identified(&places, "ada").unwrap(), identified(&places, "bea").unwrap()];
        assert_eq!(identified(&places, "eve").unwrap_err(), NoPlace::OfAll { limit: 2 });
        assert_eq!(places.shed.refused_by("connections_max"), 1);
        let stranger = arrive(&places, ADA);
        assert!(!is_closing(&stranger));
        // A token doesn't help where all places are taken, and does where one is free.
        stranger.vouch(&named("fay"));
        assert!(stranger.is_unidentified());
        let [first, _second] = _held;
        drop(first);
        stranger.vouch(&named("fay"));
        assert!(!stranger.is_unidentified());
        assert_eq!(identified(&places, "eve").unwrap_err(), NoPlace::OfAll { limit: 2 });
    }

    #[test]
    fn oldest_connection_of_the_busiest_address_closes_for_a_new_one() {
        let places = places(Bounds { unidentified_max: 3, ..WIDE });
        let bea = arrive(&places, BEA);
        let many = [arrive(&places, ADA), arrive(&places, ADA)];
        assert!(!many.iter().chain([&bea]).any(|place| is_closing(place)));
        let newest = arrive(&places, BEA);
        assert!(is_closing(&many[0]) && !is_closing(&many[1]) && !is_closing(&bea) && !is_closing(&newest));
        assert_eq!(places.shed.refused_by("connections_unidentified_percent"), 1);
    }

    #[test]
    fn full_address_closes_its_oldest_connection() {
        let places = places(Bounds { per_address_max: 2, ..WIDE });
        let held = [arrive(&places, "[2001:db8::1]:1"), arrive(&places, "[2001:db8::ffff]:2")];
        let other = arrive(&places, "[2001:db8:0:1::1]:1");
        assert!(!is_closing(&held[0]));
        let third = arrive(&places, "[2001:db8::2]:3");
        assert!(is_closing(&held[0]) && !is_closing(&held[1]) && !is_closing(&third) && !is_closing(&other));
        assert_eq!(places.shed.refused_by("connections_unidentified_per_address_max"), 1);
        // An address of IPv4 is the same in both notations.
        let mapped = [arrive(&places, "[::ffff:192.0.2.1]:1"), arrive(&places, ADA), arrive(&places, ADA)];
        assert!(is_closing(&mapped[0]));
    }

    #[test]
    fn token_and_certificate_identities_have_the_same_limit() {
        let places = places(Bounds { per_identity_max: 2, ..WIDE });
        let by_certificate = identified(&places, "ada").unwrap();
        let tokens: Vec<_> = (0..3).map(|_| arrive(&places, BEA)).collect();
        // Each call of a connection has a token; which are over the limit is counted once for each.
        for token in tokens.iter().chain(&tokens) {
            token.vouch(&named("ada"));
        }
        let unidentified = || tokens.iter().map(|token| token.is_unidentified()).collect::<Vec<_>>();
        assert_eq!(unidentified(), [false, true, true]);
        assert!(!tokens.iter().any(|token| is_closing(token)));
        assert_eq!(places.shed.refused_by("connections_per_identity_max"), 2);
        // They hold places of an identity whatever proved it.
        assert_eq!(identified(&places, "ada").unwrap_err(), NoPlace::OfIdentity { limit: 2 });
        // Another identity's token on such a connection has a place, and a place that is given back goes to the next call.
        tokens[1].vouch(&named("bea"));
        assert_eq!(unidentified(), [false, false, true]);
        drop(by_certificate);
        tokens[2].vouch(&named("ada"));
        assert_eq!(unidentified(), [false; 3]);
    }

    #[test]
    fn connections_without_a_place_are_limited() {
        let places = places(Bounds { per_identity_max: 1, ..WIDE });
        let _held = identified(&places, "ada").unwrap();
        let refused: Vec<_> = (0..=REFUSED_MAX)
            .map(|_| {
                let place = arrive(&places, ADA);
                place.identify(&named("ada")).unwrap_err();
                place
            })
            .collect();
        assert_eq!(refused.iter().filter(|place| is_closing(place)).count(), 1);
        assert!(is_closing(&refused[0]));
    }

    #[test]
    fn all_places_are_released() {
        let places = places(Bounds { per_identity_max: 1, ..WIDE });
        let token = arrive(&places, BEA);
        token.vouch(&named("fay"));
        let held =
            (identified(&places, "ada").unwrap(), identified(&places, "ada").unwrap_err(), arrive(&places, ADA), token);
        drop(held);
        let held = places.held();
        assert_eq!((held.identified, held.by_identity.len()), (0, 0));
        assert!(held.unidentified.is_empty() && held.by_address.is_empty() && held.refused.is_empty());
    }

    #[test]
    fn shares_add_up_to_the_limit() {
        let of = |connections_max, connections_unidentified_percent| {
            let bounds = Bounds::of(&Limits { connections_max, connections_unidentified_percent, ..Limits::default() });
            (bounds.identified_max, bounds.unidentified_max)
        };
        assert_eq!(of(1_000, 25), (750, 250));
        assert_eq!(of(3, 25), (2, 1));
        // Neither kind is shut out.
        assert_eq!(of(1, 25), (1, 1));
    }
}
