//! Leases: the locks of organizations, on the clock of PostgreSQL.
//!
//! Within this process, a set decides at once. Between processes, a row with a time of expiry does: its holder renews it,
//! and a holder that is gone loses it when that time has passed. A lease keeps processes out of each other's way. Alone,
//! it doesn't protect the data, because a paused process may believe that it has one. So a commit that must be made under
//! a lease compares its fence, which each change of the holder increases.
//!
//! A lease that expired without being released shows that its holder didn't finish its work. Any server can find it, take
//! it, and continue.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sealward_core::{
    port::OrganizationLock,
    store::{Condition, Datum, Pending, Unavailable},
};
use tokio::{
    runtime::Handle,
    sync::watch,
    task::JoinHandle,
    time::{interval, timeout},
};
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};
use uuid::Uuid;

use super::{error::PostgresError, pool::Pool};
use crate::sql::Owner;

/// The leases of this process.
#[derive(Clone, Debug)]
pub(super) struct Leases {
    pool: Pool,
    /// Identifies this process.
    holder: Uuid,
    /// The fences of the leases that are held; `None` for one that is being taken.
    held: Arc<Mutex<HashMap<Uuid, Option<i64>>>>,
    runtime: Handle,
}

/// The lease of a server that starts: only one at a time creates the tables and the configuration database.
pub(super) const START: Owner = Owner(Uuid::max());

/// The lease of the server that maintains the deployment.
pub(super) const MAINTENANCE: Owner = Owner(Uuid::from_u128(u128::MAX - 1));

/// The time after which a lease that isn't renewed expires.
const EXPIRES_AFTER: Duration = Duration::from_secs(10);
/// The maximum duration of a renewal: two can fail before the lease expires.
const QUERY_TIME_MAX: Duration = Duration::from_secs(3);
/// The interval of renewals.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(3);

impl Leases {
    /// The connections of `pool` must not be those of reads and commits, which could keep a renewal waiting. `holder`
    /// identifies this process.
    pub(super) fn new(pool: Pool, holder: Uuid, runtime: Handle) -> Self {
        Leases { pool, holder, held: Arc::default(), runtime }
    }

    /// Identifies this process.
    pub(super) fn holder(&self) -> Uuid {
        self.holder
    }

    /// Takes a lease; `None` if it is held.
    pub(super) async fn try_take(&self, owner: Owner) -> Result<Option<Lease>, PostgresError> {
        let Some(place) = Place::take(&self.held, owner.0) else { return Ok(None) };
        let Some(fence) = self.take_row(owner).await? else { return Ok(None) };
        place.set_fence(fence);
        let leases = self.clone();
        let (taken, is_taken) = watch::channel(false);
        let renewal = self.runtime.spawn(async move {
            let mut due = interval(RENEWAL_INTERVAL);
            loop {
                due.tick().await;
                match leases.renew(owner, fence).await {
                    Ok(()) => {}
                    Err(error) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "lease not renewed");
                        if matches!(error, PostgresError::LockLost) {
                            taken.send_replace(true);
                            break;
                        }
                    }
                }
            }
        });
        Ok(Some(Lease { leases: self.clone(), owner, fence, renewal, is_taken, place: Some(place) }))
    }

    /// A lease of this process that it let go of is its own, even if its end hasn't reached the database.
    async fn take_row(&self, owner: Owner) -> Result<Option<i64>, PostgresError> {
        let expires = i64::try_from(EXPIRES_AFTER.as_millis()).unwrap_or(i64::MAX);
        let values: [(&(dyn ToSql + Sync), Type); 3] =
            [(&owner.0, Type::UUID), (&self.holder, Type::UUID), (&expires, Type::INT8)];
        self.query(TAKE, &values).await?.first().map(|row| Ok(row.try_get(0)?)).transpose()
    }

    async fn renew(&self, owner: Owner, fence: i64) -> Result<(), PostgresError> {
        let expires = i64::try_from(EXPIRES_AFTER.as_millis()).unwrap_or(i64::MAX);
        let values: [(&(dyn ToSql + Sync), Type); 4] =
            [(&owner.0, Type::UUID), (&self.holder, Type::UUID), (&fence, Type::INT8), (&expires, Type::INT8)];
        let rows = self.query(RENEW, &values).await?;
        if rows.is_empty() { Err(PostgresError::LockLost) } else { Ok(()) }
    }

    /// Ends the lease in the database, with [`RELEASE`], [`HAND_OVER`] or [`REMOVE`].
    async fn end(&self, text: &str, owner: Owner, fence: i64) -> Result<(), PostgresError> {
        let values: [(&(dyn ToSql + Sync), Type); 3] =
            [(&owner.0, Type::UUID), (&self.holder, Type::UUID), (&fence, Type::INT8)];
        self.query(text, &values).await.map(drop)
    }

    /// Returns the organizations whose lease has expired without being released.
    pub(super) async fn abandoned(&self) -> Result<Vec<Owner>, PostgresError> {
        let reserved = [START.0, MAINTENANCE.0];
        let rows = self.query(ABANDONED, &[(&&reserved[..], Type::UUID_ARRAY)]).await?;
        rows.iter().map(|row| Ok(Owner(row.try_get(0)?))).collect()
    }

    /// Returns the condition that this process has the lease of `owner`, as far as it knows.
    ///
    /// # Errors
    /// [`PostgresError::LockLost`] if it knows that it doesn't.
    pub(super) fn held(&self, owner: Owner) -> Result<Condition, PostgresError> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let fence = held.get(&owner.0).copied().flatten().ok_or(PostgresError::LockLost)?;
        Ok(Condition::equal("holder", Datum::Uuid(self.holder)).and(Condition::equal("fence", Datum::Integer(fence))))
    }

    async fn query(&self, text: &str, values: &[(&(dyn ToSql + Sync), Type)]) -> Result<Vec<Row>, PostgresError> {
        let answered = async { Ok(self.pool.get().await?.client().query_typed(text, values).await?) };
        match timeout(QUERY_TIME_MAX, answered).await {
            Ok(answered) => answered,
            Err(_) => {
                // It would delay the next attempt as well.
                self.pool.close_idle();
                Err(PostgresError::NoAnswer { commit_time_max: QUERY_TIME_MAX })
            }
        }
    }
}

/// A place in the set of held leases.
#[derive(Debug)]
struct Place(Arc<Mutex<HashMap<Uuid, Option<i64>>>>, Uuid);

impl Place {
    fn take(held: &Arc<Mutex<HashMap<Uuid, Option<i64>>>>, id: Uuid) -> Option<Self> {
        let mut places = held.lock().unwrap_or_else(PoisonError::into_inner);
        if places.contains_key(&id) {
            return None;
        }
        places.insert(id, None);
        Some(Place(Arc::clone(held), id))
    }

    fn set_fence(&self, fence: i64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(self.1, Some(fence));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

/// A lease. It is renewed until it is dropped, which releases it.
#[derive(Debug)]
pub(super) struct Lease {
    leases: Leases,
    owner: Owner,
    fence: i64,
    renewal: JoinHandle<()>,
    /// Whether a renewal has found that another process took the lease.
    is_taken: watch::Receiver<bool>,
    place: Option<Place>,
}

impl Lease {
    /// Releases the lease, so that another process can take it at once.
    pub(super) async fn release(mut self) -> Result<(), PostgresError> {
        self.end(RELEASE).await
    }

    async fn end(&mut self, text: &str) -> Result<(), PostgresError> {
        self.renewal.abort();
        let ended = self.leases.end(text, self.owner, self.fence).await;
        drop(self.place.take());
        ended
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewal.abort();
        let Some(place) = self.place.take() else { return };
        let (leases, owner, fence) = (self.leases.clone(), self.owner, self.fence);
        drop(self.leases.runtime.spawn(async move {
            // Otherwise it expires.
            let _released = leases.end(RELEASE, owner, fence).await;
        }));
        drop(place);
    }
}

impl OrganizationLock for Lease {
    fn is_lost(&self) -> bool {
        *self.is_taken.borrow()
    }

    fn hand_over(mut self: Box<Self>) -> Pending<'static, ()> {
        Box::pin(async move {
            if let Err(error) = self.end(HAND_OVER).await {
                // It expires.
                tracing::debug!(error = &error as &dyn std::error::Error, "lease not handed over");
            }
        })
    }

    fn discard(mut self: Box<Self>) -> Pending<'static, Result<(), Unavailable>> {
        Box::pin(async move { self.end(REMOVE).await.map_err(|error| Unavailable(error.into())) })
    }
}

const TAKE: &str = "INSERT INTO sealward.\"_lease\" AS lease (\"_organization_id\", fence, holder, expires) \
    VALUES ($1, 1, $2, clock_timestamp() + $3 * interval '1 millisecond') \
    ON CONFLICT (\"_organization_id\") DO UPDATE SET fence = lease.fence + 1, holder = excluded.holder, expires = excluded.expires \
    WHERE lease.expires < clock_timestamp() OR lease.holder = excluded.holder RETURNING fence";

const RENEW: &str = "UPDATE sealward.\"_lease\" SET expires = clock_timestamp() + $4 * interval '1 millisecond' \
    WHERE \"_organization_id\" = $1 AND holder = $2 AND fence = $3 RETURNING 1";

const REMOVE: &str = "DELETE FROM sealward.\"_lease\" WHERE \"_organization_id\" = $1 AND holder = $2 AND fence = $3";

/// No server has the nil id.
const RELEASE: &str = "UPDATE sealward.\"_lease\" SET expires = '-infinity', holder = '00000000-0000-0000-0000-000000000000' \
    WHERE \"_organization_id\" = $1 AND holder = $2 AND fence = $3";

const HAND_OVER: &str = "UPDATE sealward.\"_lease\" SET expires = '-infinity' \
    WHERE \"_organization_id\" = $1 AND holder = $2 AND fence = $3";

const ABANDONED: &str = "SELECT \"_organization_id\" FROM sealward.\"_lease\" \
    WHERE expires < clock_timestamp() AND holder <> '00000000-0000-0000-0000-000000000000' AND \"_organization_id\" <> ALL ($1)";
