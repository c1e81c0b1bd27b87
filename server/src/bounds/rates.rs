//! Rates of calls: one per identity and organization, and a lower one for calls that return secrets.
//!
//! Each process counts them for itself. A limit of 0 disables a rate.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use governor::Quota;
use sealward_core::{identity::Identity, name::OrganizationName};

use super::keyed_rate::{Exceeded, KeyedRate};
use crate::{config::limits::Limits, status::Refusal, telemetry::shed::Shed};

/// What a call costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cost {
    /// The cost of every call.
    Call,
    /// The call also returns a secret.
    Reveal,
}

/// The rates of all callers.
pub(crate) struct Rates {
    calls: Option<Rate>,
    reveals: Option<Rate>,
}

struct Rate {
    calls: KeyedRate<(Arc<Identity>, Option<OrganizationName>)>,
    /// The limit's name.
    bound: &'static str,
    limit: u32,
    interval_seconds: u32,
    shed: Shed,
}

impl Rates {
    pub(crate) fn new(limits: &Limits, shed: &Shed) -> Self {
        let rate = |bound, limit: u32, interval_seconds: u32, quota: fn(NonZeroU32) -> Quota| {
            let quota = quota(NonZeroU32::new(limit)?);
            Some(Rate { calls: KeyedRate::new(quota), bound, limit, interval_seconds, shed: shed.clone() })
        };
        let (calls, reveals) = (limits.calls_per_second_per_identity, limits.reveals_per_minute_per_identity);
        Self {
            calls: rate("calls_per_second_per_identity", calls, 1, Quota::per_second),
            reveals: rate("reveals_per_minute_per_identity", reveals, 60, Quota::per_minute),
        }
    }

    /// Counts a call of this identity in the organization of this name; without one, of what belongs to no organization.
    ///
    /// # Errors
    /// [`Refusal::TooOften`]
    pub(crate) fn admit(
        &self,
        identity: &Arc<Identity>,
        organization: Option<&OrganizationName>,
        cost: Cost,
    ) -> Result<(), Refusal> {
        let reveals = self.reveals.as_ref().filter(|_| cost == Cost::Reveal);
        for rate in self.calls.iter().chain(reveals) {
            rate.admit(identity, organization)?;
        }
        Ok(())
    }

    /// Counts the items of a batch of this identity, of which the call itself counted one.
    ///
    /// # Errors
    /// [`Refusal::TooOften`], or [`Refusal::BatchAboveRate`] if such a batch is never admitted.
    pub(crate) fn admit_items(
        &self,
        identity: &Arc<Identity>,
        organization: &OrganizationName,
        items: usize,
    ) -> Result<(), Refusal> {
        let (Some(rate), Some(more)) = (&self.calls, further(items)) else { return Ok(()) };
        // The call and its further items together, even after a pause.
        if more.get() >= rate.limit {
            return Err(rate.never_admitted());
        }
        rate.admit_many(identity, organization, more)
    }

    /// Counts the items of a stream of this identity, once the rate allows them.
    pub(crate) async fn pace(&self, identity: &Arc<Identity>, organization: &OrganizationName, items: usize) {
        let Some(rate) = &self.calls else { return };
        let mut left = u32::try_from(items).unwrap_or(u32::MAX);
        while let Some(next) = NonZeroU32::new(left.min(rate.limit)) {
            let key = (Arc::clone(identity), Some(organization.clone()));
            match rate.calls.admit_many(&key, next) {
                Ok(()) => left = left.saturating_sub(next.get()),
                Err(Exceeded::For(time)) => pause(time).await,
                // The rate always allows this number at some time.
                Err(Exceeded::Always) => return,
            }
        }
    }
}

/// The number of items beyond the first; `None` if there are none.
fn further(items: usize) -> Option<NonZeroU32> {
    NonZeroU32::new(u32::try_from(items.saturating_sub(1)).unwrap_or(u32::MAX))
}

#[expect(clippy::disallowed_methods, reason = "a rate has no event to wait for")]
async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

impl Rate {
    fn admit_many(
        &self,
        identity: &Arc<Identity>,
        organization: &OrganizationName,
        items: NonZeroU32,
    ) -> Result<(), Refusal> {
        let key = (Arc::clone(identity), Some(organization.clone()));
        self.calls.admit_many(&key, items).map_err(|exceeded| match exceeded {
            Exceeded::For(time) => self.refused(time),
            Exceeded::Always => self.never_admitted(),
        })
    }

    /// Counts the refusal of a batch that has more items than the rate ever admits, and returns it.
    fn never_admitted(&self) -> Refusal {
        self.shed.count(self.bound);
        Refusal::BatchAboveRate { bound: self.bound, limit: self.limit }
    }

    fn refused(&self, time: Duration) -> Refusal {
        self.shed.count(self.bound);
        Refusal::TooOften {
            bound: self.bound,
            limit: self.limit,
            interval_seconds: self.interval_seconds,
            retry_after: time.max(Duration::from_millis(1)),
        }
    }

    fn admit(&self, identity: &Arc<Identity>, organization: Option<&OrganizationName>) -> Result<(), Refusal> {
        let key = (Arc::clone(identity), organization.cloned());
        self.calls.admit(&key).map_err(|time| self.refused(time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ada() -> Arc<Identity> {
        Identity::CommonName("ada".to_owned()).into()
    }

    fn rates(calls: u32, reveals: u32) -> (Rates, Shed) {
        let limits = Limits {
            calls_per_second_per_identity: calls,
            reveals_per_minute_per_identity: reveals,
            ..Limits::default()
        };
        let shed = Shed::default();
        (Rates::new(&limits, &shed), shed)
    }

    #[test]
    fn only_the_identity_over_its_rate_is_refused() {
        let (rates, shed) = rates(0, 3);
        let (contoso, fabrikam) = ("contoso".parse().unwrap(), "fabrikam".parse().unwrap());
        for _ in 0..3 {
            rates.admit(&ada(), Some(&contoso), Cost::Reveal).unwrap();
        }
        let Err(Refusal::TooOften { bound, limit, interval_seconds, retry_after }) =
            rates.admit(&ada(), Some(&contoso), Cost::Reveal)
        else {
            panic!("the fourth was let in")
        };
        assert_eq!((bound, limit, interval_seconds), ("reveals_per_minute_per_identity", 3, 60));
        assert_eq!(shed.refused_by(bound), 1);
        assert!(retry_after <= Duration::from_secs(20), "{retry_after:?}");
        rates.admit(&ada(), Some(&contoso), Cost::Call).unwrap();
        rates.admit(&ada(), Some(&fabrikam), Cost::Reveal).unwrap();
        rates.admit(&Identity::Dns("ada".to_owned()).into(), Some(&contoso), Cost::Reveal).unwrap();
    }

    #[test]
    fn items_of_a_batch_count_as_calls() {
        let (rates, shed) = rates(10, 0);
        let contoso = "contoso".parse().unwrap();
        let bound = "calls_per_second_per_identity";
        rates.admit_items(&ada(), &contoso, 1).unwrap();
        rates.admit(&ada(), Some(&contoso), Cost::Call).unwrap();
        rates.admit_items(&ada(), &contoso, 6).unwrap();
        let refused = rates.admit_items(&ada(), &contoso, 10).unwrap_err();
        assert!(matches!(refused, Refusal::TooOften { bound: of, limit: 10, .. } if of == bound), "{refused:?}");
        let never = rates.admit_items(&ada(), &contoso, 11).unwrap_err();
        assert_eq!(never, Refusal::BatchAboveRate { bound, limit: 10 });
        assert_eq!(shed.refused_by(bound), 2);
    }

    #[test]
    fn limit_of_0_disables_the_rate() {
        let (rates, _) = rates(0, 0);
        let contoso = "contoso".parse().unwrap();
        for _ in 0..10_000 {
            rates.admit(&ada(), Some(&contoso), Cost::Reveal).unwrap();
        }
    }
}
