//! Leases: the locks of organizations, on the clock of the database.
//!
//! Within this process, a set decides at once. Between processes, a row with a time of expiry does: its holder renews it,
//! and a holder that is gone loses it when that time has passed. A lease keeps processes out of each other's way. It
//! doesn't protect the data, because a paused process may believe that it has one: the fence of a lane does.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sealward_core::{
    port::OrganizationLock,
    store::{Pending, Unavailable},
};
use tokio::{runtime::Handle, task::JoinHandle, time::interval};
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
    held: Arc<Mutex<HashSet<Uuid>>>,
    runtime: Handle,
}

/// The time after which a lease that isn't renewed expires.
const EXPIRES_AFTER: Duration = Duration::from_secs(10);
/// The interval of renewals.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(3);

impl Leases {
    pub(super) fn new(pool: Pool, holder: Uuid, runtime: Handle) -> Self {
        Leases { pool, holder, held: Arc::default(), runtime }
    }

    /// Takes a lease; `None` if it is held.
    pub(super) async fn try_take(&self, owner: Owner) -> Result<Option<Lease>, PostgresError> {
        let Some(place) = Place::take(&self.held, owner.0) else { return Ok(None) };
        let Some(fence) = self.take_row(owner).await? else { return Ok(None) };
        let leases = self.clone();
        let renewal = self.runtime.spawn(async move {
            let mut due = interval(RENEWAL_INTERVAL);
            loop {
                due.tick().await;
                if let Err(error) = leases.renew(owner, fence).await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "lease not renewed");
                }
            }
        });
        Ok(Some(Lease { leases: self.clone(), owner, fence, renewal, place: Some(place) }))
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
        if rows.is_empty() { Err(PostgresError::InUse) } else { Ok(()) }
    }

    async fn release(&self, owner: Owner, fence: i64) -> Result<(), PostgresError> {
        let values: [(&(dyn ToSql + Sync), Type); 3] =
            [(&owner.0, Type::UUID), (&self.holder, Type::UUID), (&fence, Type::INT8)];
        self.query(RELEASE, &values).await.map(drop)
    }

    async fn query(&self, text: &str, values: &[(&(dyn ToSql + Sync), Type)]) -> Result<Vec<Row>, PostgresError> {
        Ok(self.pool.get().await?.client().query_typed(text, values).await?)
    }
}

/// A place in the set of held leases.
#[derive(Debug)]
struct Place(Arc<Mutex<HashSet<Uuid>>>, Uuid);

impl Place {
    fn take(held: &Arc<Mutex<HashSet<Uuid>>>, id: Uuid) -> Option<Self> {
        let is_new = held.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        is_new.then(|| Place(Arc::clone(held), id))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

/// A lease. It is renewed until it is dropped.
#[derive(Debug)]
pub(super) struct Lease {
    leases: Leases,
    owner: Owner,
    fence: i64,
    renewal: JoinHandle<()>,
    place: Option<Place>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewal.abort();
        let (leases, owner, fence) = (self.leases.clone(), self.owner, self.fence);
        drop(self.leases.runtime.spawn(async move {
            // Otherwise it expires.
            let _released = leases.release(owner, fence).await;
        }));
        drop(self.place.take());
    }
}

impl OrganizationLock for Lease {
    fn discard(self: Box<Self>) -> Pending<'static, Result<(), Unavailable>> {
        // The row is released as that of any lease, and removed with the organization's last one.
        Box::pin(async move {
            drop(self);
            Ok(())
        })
    }
}

const TAKE: &str = "INSERT INTO sealward.\"_lease\" AS lease (\"_organization_id\", fence, holder, expires) \
    VALUES ($1, 1, $2, clock_timestamp() + $3 * interval '1 millisecond') \
    ON CONFLICT (\"_organization_id\") DO UPDATE SET fence = lease.fence + 1, holder = excluded.holder, expires = excluded.expires \
    WHERE lease.expires < clock_timestamp() OR lease.holder = excluded.holder RETURNING fence";

const RENEW: &str = "UPDATE sealward.\"_lease\" SET expires = clock_timestamp() + $4 * interval '1 millisecond' \
    WHERE \"_organization_id\" = $1 AND holder = $2 AND fence = $3 RETURNING 1";

const RELEASE: &str = "UPDATE sealward.\"_lease\" SET expires = clock_timestamp() \
    WHERE \"_organization_id\" = $1 AND holder = $2 AND fence = $3";
