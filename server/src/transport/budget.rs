//! Memory budgets for calls, in bytes: for the process, with a share for each identity and each connection.
//!
//! Callers without an identity have a small separate part, so that neither they nor identified callers block the others. Administrators may
//! use the whole budget; a part of it is reserved for them. Nothing here knows the content of the bytes.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sealward_core::identity::Identity;
use tokio::time::Instant;

use crate::telemetry::shed::Shed;

/// The divisor of the part of a budget for callers without an identity, on each kind of listener.
const UNIDENTIFIED_PART: u64 = 32;

/// The divisor of the share of one connection in that part, so that a few connections don't block the others.
const UNIDENTIFIED_CONNECTION_PART: u64 = 8;

/// The minimum share of such a connection: some calls with headers of the maximum size.
const UNIDENTIFIED_CONNECTION_LEAST_BYTES: u64 = 64 * 1_024;

/// The divisor of the part of a budget that is reserved for administrators.
const RESERVE_PART: u64 = 4;

/// The minimum interval between log lines about an exhausted budget.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// One bound of a budget: its name in `[limits]`, and the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) name: &'static str,
    pub(crate) bytes: u64,
}

/// The bounds of a budget.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The bound of all callers.
    pub(crate) process: Bound,
    /// The bound of each identity.
    pub(crate) identity: Bound,
    /// The bound of each connection.
    pub(crate) connection: Bound,
}

/// The kind of caller whose budget is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Payer {
    /// A caller without an identity, over TLS.
    Unidentified,
    /// A health check through a hop. They have a separate part, which the callers of hops share: it isn't known which of them calls.
    UnidentifiedThroughHop,
    /// A caller on the listener without TLS, which is for probes. Probes have a separate part, which callers over TLS can't exhaust.
    Probe,
    /// An identified caller.
    Identity(Arc<Identity>),
    /// An identified caller who administers the deployment.
    Administrator(Arc<Identity>),
}

/// The memory use of one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionShare(Arc<Shares>);

#[derive(Debug, Default)]
struct Shares {
    /// Whether a hop forwards the calls of many callers over it. One caller must not block the others, so only the bounds of identities
    /// and of the process, and the part of health checks through hops, apply.
    is_of_a_hop: bool,
    requests: AtomicU64,
    answers: AtomicU64,
}

/// The purpose of a budget. A connection has a share in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Requests that are arriving or being handled.
    Requests,
    /// Answers that wait for their callers.
    Answers,
}

/// A budget.
#[derive(Debug)]
pub(crate) struct Budget {
    purpose: Purpose,
    bounds: Bounds,
    used: Mutex<Used>,
    shed: Shed,
}

#[derive(Debug, Default)]
struct Used {
    by_unidentified: u64,
    by_unidentified_through_hops: u64,
    by_probes: u64,
    by_identities: u64,
    /// The bytes of identities with a reservation. A reference is made only under the lock. Each call looks twice for its identity, and
    /// comparing a few names costs less than a hash that callers can't predict.
    by_identity: BTreeMap<Arc<Identity>, Arc<AtomicU64>>,
    logged: Option<Instant>,
}

/// A caller's access to a budget.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    budget: Arc<Budget>,
    payer: Payer,
    connection: ConnectionShare,
}

/// Bytes that are in use until this is dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    account: Account,
    /// The bytes of the identity, if there is one. Kept, because the size of a reservation changes several times in each call.
    of_identity: Option<Arc<AtomicU64>>,
    bytes: u64,
}

/// This bound of the budget is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exhausted(pub(crate) Bound);

impl Budget {
    /// Creates an unused budget.
    pub(crate) fn new(purpose: Purpose, bounds: Bounds, shed: Shed) -> Arc<Self> {
        Arc::new(Budget { purpose, bounds, used: Mutex::default(), shed })
    }

    /// The access of this caller on this connection.
    pub(crate) fn account(self: &Arc<Self>, payer: Payer, connection: ConnectionShare) -> Account {
        Account { budget: Arc::clone(self), payer, connection }
    }

    /// The bound of all callers, and the bytes that they use.
    pub(crate) fn use_of_process(&self) -> (Bound, u64) {
        let used = self.used();
        let parts = [used.by_unidentified, used.by_unidentified_through_hops, used.by_probes, used.by_identities];
        (self.bounds.process, parts.into_iter().fold(0, u64::saturating_add))
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a reservation without bytes.
    fn begin(&self, account: &Account) -> Reservation {
        let of_identity = match &account.payer {
            Payer::Unidentified | Payer::UnidentifiedThroughHop | Payer::Probe => None,
            Payer::Identity(name) | Payer::Administrator(name) => {
                Some(Arc::clone(self.used().by_identity.entry(Arc::clone(name)).or_default()))
            }
        };
        Reservation { account: account.clone(), of_identity, bytes: 0 }
    }

    fn reserve(&self, Reservation { account, of_identity, .. }: &Reservation, bytes: u64) -> Result<(), Exhausted> {
        let mut used = self.used();
        let share = account.connection.of(self.purpose);
        let Bounds { process, identity, connection } = self.bounds;
        let exceeds_own =
            |own: u64| !account.connection.0.is_of_a_hop && share.load(Ordering::Relaxed).saturating_add(bytes) > own;
        // The first bound that it would exceed.
        let exceeded = match &account.payer {
            _ if exceeds_own(connection.bytes) => Some(connection),
            Payer::Unidentified | Payer::UnidentifiedThroughHop | Payer::Probe => {
                let part = Bound { bytes: process.bytes / UNIDENTIFIED_PART, ..process };
                let least = UNIDENTIFIED_CONNECTION_LEAST_BYTES;
                let own = Bound { bytes: (part.bytes / UNIDENTIFIED_CONNECTION_PART).max(least), ..process };
                let all = *used.part_of(&account.payer);
                if exceeds_own(own.bytes) {
                    Some(own)
                } else {
                    (all.saturating_add(bytes) > part.bytes).then_some(part)
                }
            }
            Payer::Identity(_) | Payer::Administrator(_) => {
                let reserve = match account.payer {
                    Payer::Administrator(_) => 0,
                    Payer::Identity(_) | Payer::Unidentified | Payer::UnidentifiedThroughHop | Payer::Probe => {
                        process.bytes / RESERVE_PART
                    }
                };
                let open = Bound { bytes: process.bytes - reserve, ..process };
                let own = of_identity.as_ref().map_or(0, |own| own.load(Ordering::Relaxed));
                if own.saturating_add(bytes) > identity.bytes {
                    Some(identity)
                } else {
                    (used.by_identities.saturating_add(bytes) > open.bytes).then_some(open)
                }
            }
        };
        if let Some(bound) = exceeded {
            self.refuse(&mut used, account, bound);
            return Err(Exhausted(bound));
        }
        share.fetch_add(bytes, Ordering::Relaxed);
        *used.part_of(&account.payer) += bytes;
        if let Some(own) = of_identity {
            own.fetch_add(bytes, Ordering::Relaxed);
        }
        Ok(())
    }

    fn refuse(&self, used: &mut Used, account: &Account, bound: Bound) {
        self.shed.count(bound.name);
        let now = Instant::now();
        if used.logged.is_none_or(|last| now.duration_since(last) >= LOG_INTERVAL) {
            used.logged = Some(now);
            let (bound, bytes, payer) = (bound.name, bound.bytes, &account.payer);
            tracing::warn!(bound, bytes, ?payer, "request memory limit reached; metrics count further refusals");
        }
    }

    fn release(&self, used: &mut Used, Reservation { account, of_identity, .. }: &Reservation, bytes: u64) {
        account.connection.of(self.purpose).fetch_sub(bytes, Ordering::Relaxed);
        *used.part_of(&account.payer) -= bytes;
        if let Some(own) = of_identity {
            own.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

impl Used {
    /// The bytes of all callers of this kind.
    fn part_of(&mut self, payer: &Payer) -> &mut u64 {
        match payer {
            Payer::Unidentified => &mut self.by_unidentified,
            Payer::UnidentifiedThroughHop => &mut self.by_unidentified_through_hops,
            Payer::Probe => &mut self.by_probes,
            Payer::Identity(_) | Payer::Administrator(_) => &mut self.by_identities,
        }
    }
}

impl ConnectionShare {
    /// The share of a hop's connection.
    pub(crate) fn of_a_hop() -> Self {
        Self(Arc::new(Shares { is_of_a_hop: true, ..Shares::default() }))
    }

    fn of(&self, purpose: Purpose) -> &AtomicU64 {
        match purpose {
            Purpose::Requests => &self.0.requests,
            Purpose::Answers => &self.0.answers,
        }
    }
}

impl Account {
    /// Reserves bytes of the budget.
    ///
    /// # Errors
    /// [`Exhausted`]; then nothing is reserved.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<Reservation, Exhausted> {
        let mut reservation = self.budget.begin(self);
        reservation.resize(bytes)?;
        Ok(reservation)
    }
}

impl Reservation {
    /// Changes the size of the reservation.
    ///
    /// # Errors
    /// [`Exhausted`]; then the size is unchanged.
    pub(crate) fn resize(&mut self, bytes: u64) -> Result<(), Exhausted> {
        let budget = &self.account.budget;
        match bytes.checked_sub(self.bytes) {
            Some(0) => {}
            Some(more) => budget.reserve(self, more)?,
            None => budget.release(&mut budget.used(), self, self.bytes - bytes),
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let Account { budget, payer, .. } = &self.account;
        let mut used = budget.used();
        budget.release(&mut used, self, self.bytes);
        // The last reservation of the identity: this reference and that of the map.
        if let Payer::Identity(name) | Payer::Administrator(name) = payer
            && self.of_identity.as_ref().is_some_and(|own| Arc::strong_count(own) == 2)
        {
            used.by_identity.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROCESS: &str = "requests_max_bytes";
    const IDENTITY: &str = "requests_per_identity_max_bytes";
    const CONNECTION: &str = "requests_per_connection_max_bytes";

    fn budget(process: u64, identity: u64, connection: u64) -> (Arc<Budget>, Shed) {
        let shed = Shed::default();
        let bounds = Bounds {
            process: Bound { name: PROCESS, bytes: process },
            identity: Bound { name: IDENTITY, bytes: identity },
            connection: Bound { name: CONNECTION, bytes: connection },
        };
        (Budget::new(Purpose::Requests, bounds, shed.clone()), shed)
    }

    fn named(name: &str) -> Payer {
        Payer::Identity(Identity::CommonName(name.to_owned()).into())
    }

    fn administrator() -> Payer {
        Payer::Administrator(Identity::CommonName("admin".to_owned()).into())
    }

    #[test]
    fn each_limit_admits_its_number_and_no_more() {
        for (process, identity, connection, limit, name) in
            [(400, 900, 900, 300, PROCESS), (4_000, 300, 900, 300, IDENTITY), (4_000, 900, 300, 300, CONNECTION)]
        {
            let (budget, shed) = budget(process, identity, connection);
            let account = budget.account(named("ada"), ConnectionShare::default());
            let mut held = account.reserve(limit - 1).unwrap();
            held.resize(limit).unwrap();
            assert_eq!(account.reserve(1).unwrap_err(), Exhausted(Bound { name, bytes: limit }));
            held.resize(limit + 1).unwrap_err();
            assert_eq!(shed.refused_by(name), 2, "{name}");
            held.resize(limit - 1).unwrap();
            let _one = account.reserve(1).unwrap();
        }
    }

    #[test]
    fn administrators_are_admitted_when_others_are_refused() {
        let (budget, _) = budget(400, 400, 400);
        let ordinary = budget.account(named("ada"), ConnectionShare::default());
        let _all = ordinary.reserve(300).unwrap();
        ordinary.reserve(1).unwrap_err();
        let reserve = budget.account(administrator(), ConnectionShare::default());
        let _reserve = reserve.reserve(100).unwrap();
        reserve.reserve(1).unwrap_err();
    }

    #[test]
    fn callers_with_and_without_identity_have_separate_memory() {
        let (budget, shed) = budget(3_200, 3_200, 3_200);
        let unidentified = budget.account(Payer::Unidentified, ConnectionShare::default());
        let _part = unidentified.reserve(100).unwrap();
        unidentified.reserve(1).unwrap_err();
        assert_eq!(shed.refused_by(PROCESS), 1);
        let _all = budget.account(administrator(), ConnectionShare::default()).reserve(3_200).unwrap();
        drop(_part);
        unidentified.reserve(100).unwrap();
    }

    #[test]
    fn tls_callers_do_not_block_probes_and_one_connection_no_other() {
        let (budget, _) = budget(64 << 20, 64 << 20, 64 << 20);
        let part = (64 << 20) / UNIDENTIFIED_PART;
        let own = part / UNIDENTIFIED_CONNECTION_PART;
        let first = budget.account(Payer::Unidentified, ConnectionShare::default());
        let mut held = vec![first.reserve(own).unwrap()];
        assert_eq!(first.reserve(1).unwrap_err(), Exhausted(Bound { name: PROCESS, bytes: own }));
        for _ in 1..UNIDENTIFIED_CONNECTION_PART {
            held.push(budget.account(Payer::Unidentified, ConnectionShare::default()).reserve(own).unwrap());
        }
        let one_more = budget.account(Payer::Unidentified, ConnectionShare::default());
        assert_eq!(one_more.reserve(1).unwrap_err(), Exhausted(Bound { name: PROCESS, bytes: part }));
        budget.account(Payer::Probe, ConnectionShare::default()).reserve(own).unwrap();
    }

    #[test]
    fn callers_on_a_connection_of_a_hop_have_only_limits_of_their_own() {
        let (budget, _) = budget(64 << 20, 300, 100);
        let share = ConnectionShare::of_a_hop();
        let (ada, bea) = (budget.account(named("ada"), share.clone()), budget.account(named("bea"), share.clone()));
        let _all_of_ada = ada.reserve(300).unwrap();
        assert_eq!(ada.reserve(1).unwrap_err(), Exhausted(Bound { name: IDENTITY, bytes: 300 }));
        let _all_of_bea = bea.reserve(300).unwrap();
    }

    #[test]
    fn health_checks_through_hops_and_direct_ones_have_separate_memory() {
        let (budget, _) = budget(64 << 20, 300, 64 << 20);
        let part = (64 << 20) / UNIDENTIFIED_PART;
        let through_hops = budget.account(Payer::UnidentifiedThroughHop, ConnectionShare::of_a_hop());
        let _all = through_hops.reserve(part).unwrap();
        assert_eq!(through_hops.reserve(1).unwrap_err(), Exhausted(Bound { name: PROCESS, bytes: part }));
        for direct in [Payer::Unidentified, Payer::Probe] {
            budget.account(direct, ConnectionShare::default()).reserve(part / UNIDENTIFIED_CONNECTION_PART).unwrap();
        }
    }

    #[test]
    fn all_reserved_memory_is_released() {
        let (budget, _) = budget(4_000, 4_000, 4_000);
        let share = ConnectionShare::default();
        let unidentified = [Payer::Unidentified, Payer::UnidentifiedThroughHop, Payer::Probe];
        for payer in unidentified.into_iter().chain([named("ada"), administrator()]) {
            let account = budget.account(payer, share.clone());
            let mut held = account.reserve(10).unwrap();
            held.resize(100).unwrap();
            held.resize(1).unwrap();
        }
        let used = budget.used();
        let by_unidentified = [used.by_unidentified, used.by_unidentified_through_hops, used.by_probes];
        assert_eq!((by_unidentified, used.by_identities, used.by_identity.len()), ([0; 3], 0, 0));
        assert_eq!(share.of(Purpose::Requests).load(Ordering::Relaxed), 0);
    }
}
