//! Connection slots of one listener: a number for identified callers, and a share for all others.
//!
//! A connection is identified by its client certificate, once the handshake is done, or by the first bearer token that is accepted on it.
//! Until then it uses one of the unidentified slots. Each address has a limited number of them. A new connection always gets a slot: if all
//! are in use, the oldest connection of the address with the most connections is closed. So a client that opens many connections closes its
//! own.
//!
//! An identity has a limited number of slots, however it is proved. A connection with a certificate above this limit gets no slot, and
//! stays open only until its first call is refused. A connection with tokens stays unidentified and is served: its next token may have
//! another identity.
//!
//! A hop has a limit of its own, because each of its connections carries the calls of many callers: their identities don't count.
//!
//! Nothing here knows connections, or how a connection without a slot is refused.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    iter::{self, Sum},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use sealward_core::identity::Identity;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::peer::Peer;
use crate::{config::limits::Limits, telemetry::shed::Shed};

/// The maximum number of connections without a slot that stay open until their first call is refused. If there are more, the oldest is
/// closed.
const REFUSED_MAX: usize = 32;

/// The maximum number of connections to the Unix socket of a hop that are just being accepted.
const HOP_UNIDENTIFIED_MAX: u32 = 16;

/// The connection slots of a listener.
#[derive(Debug)]
pub(crate) struct ConnectionSlots {
    bounds: Bounds,
    state: Mutex<State>,
    shed: Shed,
}

/// The slots of the listeners for calls. Each listener has separate slots, so that callers can't block probes.
#[derive(Clone, Debug)]
pub(crate) struct ListenerSlots {
    /// Of the listener with TLS.
    pub(crate) tls: Arc<ConnectionSlots>,
    /// Of the listener without TLS.
    pub(crate) plaintext: Arc<ConnectionSlots>,
    /// Of load balancers, until they have named the client of a connection.
    pub(crate) load_balancers: Arc<ConnectionSlots>,
    /// Of each Unix socket of a hop.
    pub(crate) hops: Vec<Arc<ConnectionSlots>>,
}

/// The connections of a listener at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConnectionCounts {
    /// Open connections of identified callers.
    pub(crate) identified: u64,
    /// Open connections of callers without an identity.
    pub(crate) unidentified: u64,
    /// Open connections without a slot, whose first call is refused.
    pub(crate) refused: u64,
    /// All connections that were accepted since the start.
    pub(crate) accepted: u64,
}

impl Sum for ConnectionCounts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |sum, one| ConnectionCounts {
            identified: sum.identified + one.identified,
            unidentified: sum.unidentified + one.unidentified,
            refused: sum.refused + one.refused,
            accepted: sum.accepted + one.accepted,
        })
    }
}

/// The numbers of slots.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// For identified connections.
    pub(crate) identified_max: u32,
    /// For each identity; 0 is unlimited.
    pub(crate) per_identity_max: u32,
    /// For each hop.
    pub(crate) per_hop_max: u32,
    /// For unidentified connections.
    pub(crate) unidentified_max: u32,
    /// The setting of that limit.
    pub(crate) unidentified_name: &'static str,
    /// For unidentified connections of one address.
    pub(crate) per_address_max: u32,
}

#[derive(Debug, Default)]
struct State {
    /// Grows with each connection, so that the oldest come first.
    next: u64,
    unidentified: BTreeMap<u64, Unidentified>,
    /// Unix sockets have no address.
    by_address: HashMap<Option<IpAddr>, u32>,
    identified: u32,
    by_owner: HashMap<Owner, OwnConnections>,
    refused: BTreeMap<u64, CancellationToken>,
    /// Whether the log already reports that all identified slots are in use.
    is_logged: bool,
}

/// The party whose connections are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    /// An identified caller.
    Identity(Arc<Identity>),
    /// The hop with this name.
    Hop(Arc<str>),
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(identity) => identity.fmt(f),
            Self::Hop(name) => write!(f, "hop {name}"),
        }
    }
}

#[derive(Debug)]
struct Unidentified {
    address: Option<IpAddr>,
    closing: CancellationToken,
}

#[derive(Debug, Default)]
struct OwnConnections {
    slots: u32,
    /// Whether the log already reports that the owner is at its limit.
    is_logged: bool,
}

/// The slot of a connection, released on drop.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    slots: Arc<ConnectionSlots>,
    number: u64,
    kind: Mutex<Kind>,
    closing: CancellationToken,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Unidentified {
        /// Whether an accepted token's identity was at its limit. It is counted once per connection.
        is_over_limit: bool,
    },
    /// Identified by its certificate or its user, or by a token.
    Identified(Owner),
    Refused,
}

/// A connection limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitReached {
    /// The limit of the identity.
    Identity {
        /// The maximum number of its connections.
        limit: u32,
    },
    /// The limit of the hop.
    Hop {
        /// The maximum number of its connections.
        limit: u32,
    },
    /// The limit of identified connections on the listener.
    Listener {
        /// The maximum number of identified connections.
        limit: u32,
    },
}

impl LimitReached {
    /// The name of the limit in `[limits]`.
    pub(crate) fn bound(self) -> &'static str {
        match self {
            LimitReached::Identity { .. } => "connections_per_identity_max",
            LimitReached::Hop { .. } => "connections_per_hop_max",
            LimitReached::Listener { .. } => "connections_max",
        }
    }

    /// The maximum number of connections.
    pub(crate) fn limit(self) -> u32 {
        match self {
            LimitReached::Identity { limit } | LimitReached::Hop { limit } | LimitReached::Listener { limit } => limit,
        }
    }
}

/// A reference to the slot of a connection, which doesn't keep it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SlotHandle(Weak<ConnectionSlot>);

impl Bounds {
    /// The bounds in the configuration.
    pub(crate) fn of(limits: &Limits) -> Self {
        let share = u64::from(limits.connections_max) * u64::from(limits.connections_unidentified_percent) / 100;
        let unidentified_max = u32::try_from(share).unwrap_or(u32::MAX).max(1);
        Bounds {
            identified_max: limits.connections_max.saturating_sub(unidentified_max).max(1),
            per_identity_max: limits.connections_per_identity_max,
            per_hop_max: limits.connections_per_hop_max,
            unidentified_max,
            unidentified_name: "connections_unidentified_percent",
            per_address_max: limits.connections_unidentified_per_address_max,
        }
    }

    /// The bounds of a listener whose callers are never identified.
    pub(crate) const fn unidentified(max: u32, name: &'static str) -> Self {
        Bounds {
            identified_max: 0,
            per_identity_max: 0,
            per_hop_max: 0,
            unidentified_max: max,
            unidentified_name: name,
            per_address_max: max,
        }
    }

    /// The bounds of the Unix socket of a hop. A connection is identified as soon as it is accepted.
    pub(crate) fn of_hop(limits: &Limits) -> Self {
        let max = limits.connections_per_hop_max;
        Bounds {
            identified_max: max,
            per_hop_max: max,
            ..Self::unidentified(HOP_UNIDENTIFIED_MAX, "connections_per_hop_max")
        }
    }

    /// The maximum number of connections, including those that are about to be refused.
    pub(crate) fn connections_max(&self) -> u64 {
        let refused = u64::try_from(REFUSED_MAX).unwrap_or(u64::MAX);
        u64::from(self.identified_max) + u64::from(self.unidentified_max) + refused
    }
}

impl ListenerSlots {
    /// Free slots, with the bounds in the configuration.
    pub(crate) fn new(limits: &Limits, shed: &Shed, hop_sockets: usize) -> Self {
        let slots = |bounds| ConnectionSlots::new(bounds, shed.clone());
        ListenerSlots {
            tls: slots(Bounds::of(limits)),
            plaintext: slots(Bounds::of(limits)),
            load_balancers: slots(Bounds::unidentified(limits.connections_max, "connections_max")),
            hops: iter::repeat_with(|| slots(Bounds::of_hop(limits))).take(hop_sockets).collect(),
        }
    }
}

impl ConnectionSlots {
    /// Creates free slots.
    pub(crate) fn new(bounds: Bounds, shed: Shed) -> Arc<Self> {
        Arc::new(ConnectionSlots { bounds, state: Mutex::default(), shed })
    }

    /// The connections now.
    pub(crate) fn counts(&self) -> ConnectionCounts {
        let state = self.state();
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        ConnectionCounts {
            identified: state.identified.into(),
            unidentified: count(state.unidentified.len()),
            refused: count(state.refused.len()),
            accepted: state.next,
        }
    }

    /// A slot for a new connection, of which only the address is known. Another connection may be closed for it.
    pub(crate) fn acquire(self: &Arc<Self>, peer: &Peer) -> Arc<ConnectionSlot> {
        let address = peer.ip().map(network);
        let closing = CancellationToken::new();
        let mut state = self.state();
        let of_address = state.by_address.get(&address).copied().unwrap_or(0);
        let Bounds { unidentified_max, unidentified_name, per_address_max, .. } = self.bounds;
        if state.unidentified.len() >= usize::try_from(unidentified_max).unwrap_or(usize::MAX) {
            self.shed.count(unidentified_name);
            let most = state.by_address.iter().max_by_key(|(_, count)| **count).map(|(address, _)| *address);
            if let Some(most) = most {
                state.close_oldest_of(most);
            }
        } else if of_address >= per_address_max {
            self.shed.count("connections_unidentified_per_address_max");
            state.close_oldest_of(address);
        }
        let number = state.next;
        state.next += 1;
        *state.by_address.entry(address).or_default() += 1;
        state.unidentified.insert(number, Unidentified { address, closing: closing.clone() });
        drop(state);
        Arc::new(ConnectionSlot {
            slots: Arc::clone(self),
            number,
            kind: Mutex::new(Kind::Unidentified { is_over_limit: false }),
            closing,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn close_oldest_of(&mut self, address: Option<IpAddr>) {
        let oldest = self.unidentified.iter().find(|(_, one)| one.address == address).map(|(number, _)| *number);
        if let Some(oldest) = oldest
            && let Some(one) = self.remove_unidentified(oldest)
        {
            one.closing.cancel();
        }
    }

    fn remove_unidentified(&mut self, number: u64) -> Option<Unidentified> {
        let one = self.unidentified.remove(&number)?;
        if let Some(count) = self.by_address.get_mut(&one.address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&one.address);
            }
        }
        Some(one)
    }

    /// Whether this owner may have another connection.
    fn check_room(&self, owner: &Owner, bounds: &Bounds) -> Result<(), LimitReached> {
        let Bounds { identified_max, per_identity_max, per_hop_max, .. } = *bounds;
        let own = self.by_owner.get(owner).map_or(0, |own| own.slots);
        match owner {
            Owner::Identity(_) if per_identity_max > 0 && own >= per_identity_max => {
                Err(LimitReached::Identity { limit: per_identity_max })
            }
            Owner::Hop(_) if own >= per_hop_max => Err(LimitReached::Hop { limit: per_hop_max }),
            Owner::Identity(_) | Owner::Hop(_) if self.identified >= identified_max => {
                Err(LimitReached::Listener { limit: identified_max })
            }
            Owner::Identity(_) | Owner::Hop(_) => Ok(()),
        }
    }

    fn add_identified(&mut self, owner: &Owner) -> Kind {
        self.identified += 1;
        self.by_owner.entry(owner.clone()).or_default().slots += 1;
        Kind::Identified(owner.clone())
    }

    fn remove_identified(&mut self, owner: &Owner) {
        self.identified -= 1;
        self.is_logged = false;
        if let Some(own) = self.by_owner.get_mut(owner) {
            own.slots -= 1;
            if own.slots == 0 {
                self.by_owner.remove(owner);
            }
        }
    }

    /// Marks a refusal as logged. Returns whether it already was.
    fn mark_logged(&mut self, owner: &Owner, limit_reached: LimitReached) -> bool {
        match (limit_reached, self.by_owner.get_mut(owner)) {
            (LimitReached::Identity { .. } | LimitReached::Hop { .. }, Some(own)) => {
                std::mem::replace(&mut own.is_logged, true)
            }
            (LimitReached::Identity { .. } | LimitReached::Hop { .. }, None) => true,
            (LimitReached::Listener { .. }, _) => std::mem::replace(&mut self.is_logged, true),
        }
    }
}

impl ConnectionSlot {
    /// Changes to an identified slot.
    ///
    /// # Errors
    /// [`LimitReached`]; then the connection has no slot.
    pub(crate) fn identify(&self, owner: &Owner) -> Result<(), LimitReached> {
        let mut kind = self.kind();
        let mut state = self.slots.state();
        if state.remove_unidentified(self.number).is_none() {
            // It is about to be closed, or already identified.
            return Ok(());
        }
        let Err(limit_reached) = state.check_room(owner, &self.slots.bounds) else {
            *kind = state.add_identified(owner);
            return Ok(());
        };
        if state.refused.len() >= REFUSED_MAX
            && let Some((_, oldest)) = state.refused.pop_first()
        {
            oldest.cancel();
        }
        state.refused.insert(self.number, self.closing.clone());
        *kind = Kind::Refused;
        let was_logged = state.mark_logged(owner, limit_reached);
        drop(state);
        let (bound, limit) = (limit_reached.bound(), limit_reached.limit());
        self.slots.shed.count(bound);
        if !was_logged {
            tracing::warn!(identity = %owner, bound, limit, "connection limit reached: further connections are refused");
        }
        Err(limit_reached)
    }

    /// A bearer token of this identity was accepted: changes to an identified slot, if the identity may have another connection.
    pub(crate) fn token_accepted(&self, identity: &Arc<Identity>) {
        let mut kind = self.kind();
        let Kind::Unidentified { is_over_limit: was_over } = *kind else { return };
        let owner = Owner::Identity(Arc::clone(identity));
        let mut state = self.slots.state();
        let Err(limit_reached) = state.check_room(&owner, &self.slots.bounds) else {
            if state.remove_unidentified(self.number).is_some() {
                *kind = state.add_identified(&owner);
            }
            return;
        };
        *kind = Kind::Unidentified { is_over_limit: true };
        let was_logged = was_over || state.mark_logged(&owner, limit_reached);
        drop(state);
        let (bound, limit) = (limit_reached.bound(), limit_reached.limit());
        if !was_over {
            self.slots.shed.count(bound);
        }
        if !was_logged {
            tracing::warn!(%identity, bound, limit, "connection limit of identity reached: connections with its token count as unidentified");
        }
    }

    /// Whether the caller is unidentified.
    pub(crate) fn is_unidentified(&self) -> bool {
        matches!(*self.kind(), Kind::Unidentified { .. })
    }

    /// Resolves when the connection has to be closed immediately for another one.
    pub(crate) fn closing(&self) -> WaitForCancellationFutureOwned {
        self.closing.clone().cancelled_owned()
    }

    /// The handle for each request.
    pub(crate) fn handle(self: &Arc<Self>) -> SlotHandle {
        SlotHandle(Arc::downgrade(self))
    }

    fn kind(&self) -> MutexGuard<'_, Kind> {
        self.kind.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let kind = self.kind().clone();
        let mut state = self.slots.state();
        match kind {
            Kind::Unidentified { .. } => drop(state.remove_unidentified(self.number)),
            Kind::Identified(owner) => state.remove_identified(&owner),
            Kind::Refused => drop(state.refused.remove(&self.number)),
        }
    }
}

impl SlotHandle {
    /// Reports that a bearer token of this identity was accepted on the connection.
    pub(crate) fn token_accepted(&self, identity: &Arc<Identity>) {
        if let Some(slot) = self.0.upgrade() {
            slot.token_accepted(identity);
        }
    }
}

/// The unit that counts as one address. For IPv6 it is the /64 network, because a client usually has all of its addresses.
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

    fn slots(bounds: Bounds) -> Arc<ConnectionSlots> {
        ConnectionSlots::new(bounds, Shed::default())
    }

    const WIDE: Bounds =
        Bounds { identified_max: 1_000, ..Bounds::unidentified(1_000, "connections_unidentified_percent") };

    fn named(name: &str) -> Arc<Identity> {
        Identity::CommonName(name.to_owned()).into()
    }

    fn acquire(slots: &Arc<ConnectionSlots>, peer: &str) -> Arc<ConnectionSlot> {
        slots.acquire(&Peer::Address(peer.parse().unwrap()))
    }

    fn identified(slots: &Arc<ConnectionSlots>, name: &str) -> Result<Arc<ConnectionSlot>, LimitReached> {
        let slot = acquire(slots, ADA);
        slot.identify(&Owner::Identity(named(name))).map(|()| slot)
    }

    fn is_closing(slot: &ConnectionSlot) -> bool {
        slot.closing.is_cancelled()
    }

    #[test]
    fn identity_has_limited_connections_and_can_replace_a_closed_one() {
        let slots = slots(Bounds { per_identity_max: 2, ..WIDE });
        let first = identified(&slots, "ada").unwrap();
        let _second = identified(&slots, "ada").unwrap();
        assert_eq!(identified(&slots, "ada").unwrap_err(), LimitReached::Identity { limit: 2 });
        let _other = identified(&slots, "bea").unwrap();
        drop(first);
        let _third = identified(&slots, "ada").unwrap();
        identified(&slots, "ada").unwrap_err();
        assert_eq!(slots.shed.refused_by("connections_per_identity_max"), 2);
    }

    #[test]
    fn identified_connections_have_reserved_slots() {
        let slots = slots(Bounds { identified_max: 2, unidentified_max: 1, ..WIDE });
        let _held = [identified(&slots, "ada").unwrap(), identified(&slots, "bea").unwrap()];
        assert_eq!(identified(&slots, "eve").unwrap_err(), LimitReached::Listener { limit: 2 });
        assert_eq!(slots.shed.refused_by("connections_max"), 1);
        let stranger = acquire(&slots, ADA);
        assert!(!is_closing(&stranger));
        // A token identifies a connection only if a slot is free.
        stranger.token_accepted(&named("fay"));
        assert!(stranger.is_unidentified());
        let [first, _second] = _held;
        drop(first);
        stranger.token_accepted(&named("fay"));
        assert!(!stranger.is_unidentified());
        assert_eq!(identified(&slots, "eve").unwrap_err(), LimitReached::Listener { limit: 2 });
    }

    #[test]
    fn oldest_connection_of_the_busiest_address_closes_for_a_new_one() {
        let slots = slots(Bounds { unidentified_max: 3, ..WIDE });
        let bea = acquire(&slots, BEA);
        let many = [acquire(&slots, ADA), acquire(&slots, ADA)];
        assert!(!many.iter().chain([&bea]).any(|slot| is_closing(slot)));
        let newest = acquire(&slots, BEA);
        assert!(is_closing(&many[0]) && !is_closing(&many[1]) && !is_closing(&bea) && !is_closing(&newest));
        assert_eq!(slots.shed.refused_by("connections_unidentified_percent"), 1);
    }

    #[test]
    fn full_address_closes_its_oldest_connection() {
        let slots = slots(Bounds { per_address_max: 2, ..WIDE });
        let held = [acquire(&slots, "[2001:db8::1]:1"), acquire(&slots, "[2001:db8::ffff]:2")];
        let other = acquire(&slots, "[2001:db8:0:1::1]:1");
        assert!(!is_closing(&held[0]));
        let third = acquire(&slots, "[2001:db8::2]:3");
        assert!(is_closing(&held[0]) && !is_closing(&held[1]) && !is_closing(&third) && !is_closing(&other));
        assert_eq!(slots.shed.refused_by("connections_unidentified_per_address_max"), 1);
        // An address of IPv4 is the same in both notations.
        let mapped = [acquire(&slots, "[::ffff:192.0.2.1]:1"), acquire(&slots, ADA), acquire(&slots, ADA)];
        assert!(is_closing(&mapped[0]));
    }

    #[test]
    fn token_and_certificate_identities_have_the_same_limit() {
        let slots = slots(Bounds { per_identity_max: 2, ..WIDE });
        let by_certificate = identified(&slots, "ada").unwrap();
        let tokens: Vec<_> = (0..3).map(|_| acquire(&slots, BEA)).collect();
        // Each call of a connection has a token. A connection over the limit is counted once.
        for token in tokens.iter().chain(&tokens) {
            token.token_accepted(&named("ada"));
        }
        let unidentified = || tokens.iter().map(|token| token.is_unidentified()).collect::<Vec<_>>();
        assert_eq!(unidentified(), [false, true, true]);
        assert!(!tokens.iter().any(|token| is_closing(token)));
        assert_eq!(slots.shed.refused_by("connections_per_identity_max"), 2);
        // Certificates and tokens count together.
        assert_eq!(identified(&slots, "ada").unwrap_err(), LimitReached::Identity { limit: 2 });
        // Another identity's token on such a connection gets a slot, and a released slot goes to the next call.
        tokens[1].token_accepted(&named("bea"));
        assert_eq!(unidentified(), [false, false, true]);
        drop(by_certificate);
        tokens[2].token_accepted(&named("ada"));
        assert_eq!(unidentified(), [false; 3]);
    }

    #[test]
    fn connections_of_a_hop_have_a_limit_of_their_own_and_never_count_for_a_caller() {
        let limits = Limits { connections_per_hop_max: 2, connections_per_identity_max: 1, ..Limits::default() };
        for slots in [slots(Bounds::of(&limits)), slots(Bounds::of_hop(&limits))] {
            let connect = || {
                let slot = slots.acquire(&Peer::UnixSocket("ingress".into()));
                slot.identify(&Owner::Hop("ingress".into())).map(|()| slot)
            };
            let held = [connect().unwrap(), connect().unwrap()];
            assert_eq!(connect().unwrap_err(), LimitReached::Hop { limit: 2 });
            assert_eq!(slots.shed.refused_by("connections_per_hop_max"), 1);
            for slot in &held {
                slot.token_accepted(&named("ada"));
                assert!(!slot.is_unidentified() && !is_closing(slot));
            }
            assert_eq!(slots.state().by_owner.len(), 1);
        }
    }

    #[test]
    fn connections_without_a_slot_are_limited() {
        let slots = slots(Bounds { per_identity_max: 1, ..WIDE });
        let _held = identified(&slots, "ada").unwrap();
        let refused: Vec<_> = (0..=REFUSED_MAX)
            .map(|_| {
                let slot = acquire(&slots, ADA);
                slot.identify(&Owner::Identity(named("ada"))).unwrap_err();
                slot
            })
            .collect();
        assert_eq!(refused.iter().filter(|slot| is_closing(slot)).count(), 1);
        assert!(is_closing(&refused[0]));
    }

    #[test]
    fn all_slots_are_released() {
        let slots = slots(Bounds { per_identity_max: 1, ..WIDE });
        let token = acquire(&slots, BEA);
        token.token_accepted(&named("fay"));
        let held =
            (identified(&slots, "ada").unwrap(), identified(&slots, "ada").unwrap_err(), acquire(&slots, ADA), token);
        drop(held);
        let state = slots.state();
        assert_eq!((state.identified, state.by_owner.len()), (0, 0));
        assert!(state.unidentified.is_empty() && state.by_address.is_empty() && state.refused.is_empty());
    }

    #[test]
    fn shares_add_up_to_the_limit() {
        let of = |connections_max, connections_unidentified_percent| {
            let bounds = Bounds::of(&Limits { connections_max, connections_unidentified_percent, ..Limits::default() });
            (bounds.identified_max, bounds.unidentified_max)
        };
        assert_eq!(of(1_000, 25), (750, 250));
        assert_eq!(of(3, 25), (2, 1));
        // Each kind has at least one slot.
        assert_eq!(of(1, 25), (1, 1));
    }
}
