//! Leases: the locks of organizations, on the clock of the database.
//!
//! Within this process, a set decides at once. Between processes, a row with a time of expiry does: its holder renews it,
//! and a holder that is gone loses it when that time has passed. A lease keeps processes out of each other's way. Alone,
//! it doesn't protect the data, because a paused process may believe that it has one. So a process takes a lane only in
//! a transaction that finds the lease of the server to be its own, and every commit compares the fence of its lane.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sealward_core::{
    port::OrganizationLock,
    store::{Condition, Datum, Name, Pending, Unavailable},
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

use super::{
    definitions::{LEASE, built_in},
    error::PostgresError,
    pool::Pool,
    statement::Statement,
};
use crate::sql::{Dialect, Owner};

/// The leases of this process.
#[derive(Clone, Debug)]
pub(super) struct Leases {
    pool: Pool,
    /// Identifies this process.
    holder: Uuid,
    held: Arc<Mutex<HashSet<Uuid>>>,
    runtime: Handle,
}

/// The lease of the server. Without it, a process takes no lane.
pub(super) const SERVER: Owner = Owner(Uuid::max());

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

    /// Takes a lease; `None` if it is held.
    pub(super) async fn try_take(&self, owner: Owner) -> Result<Option<Lease>, PostgresError> {
        let Some(place) = Place::take(&self.held, owner.0) else { return Ok(None) };
        let Some(fence) = self.take_row(owner).await? else { return Ok(None) };
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
                        if matches!(error, PostgresError::InUse) {
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
        if rows.is_empty() { Err(PostgresError::InUse) } else { Ok(()) }
    }

    /// Ends the lease in the database, with [`RELEASE`] or [`REMOVE`].
    async fn end(&self, text: &str, owner: Owner, fence: i64) -> Result<(), PostgresError> {
        let values: [(&(dyn ToSql + Sync), Type); 3] =
            [(&owner.0, Type::UUID), (&self.holder, Type::UUID), (&fence, Type::INT8)];
        self.query(text, &values).await.map(drop)
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

/// The condition that the lease of the server is that of this process.
#[derive(Debug)]
pub(super) struct OfServer(Condition);

impl OfServer {
    pub(super) fn new(holder: Uuid) -> Self {
        OfServer(Condition::equal("holder", Datum::Uuid(holder)))
    }

    /// Raises an error unless the condition is met.
    pub(super) fn guard(&self) -> Result<Statement<'_>, PostgresError> {
        static LEASES: Name = Name::Borrowed(LEASE);
        let require = Dialect::Postgres(SERVER).require(&LEASES, &self.0)?;
        Statement::checked(require, LEASE, &built_in(LEASE).unwrap_or_default())
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
    /// Whether a renewal has found that another process took the lease.
    is_taken: watch::Receiver<bool>,
    place: Option<Place>,
}

impl Lease {
    /// Waits until another process has taken the lease.
    pub(super) async fn taken(&self) {
        let mut is_taken = self.is_taken.clone();
        if is_taken.wait_for(|is_taken| *is_taken).await.is_err() {
            // It was released.
            std::future::pending::<()>().await;
        }
    }

    /// Ends the lease, so that another process can take it at once.
    pub(super) async fn release(&self) -> Result<(), PostgresError> {
        self.renewal.abort();
        self.leases.end(RELEASE, self.owner, self.fence).await
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewal.abort();
        let (leases, owner, fence) = (self.leases.clone(), self.owner, self.fence);
        drop(self.leases.runtime.spawn(async move {
            // Otherwise it expires.
            let _released = leases.end(RELEASE, owner, fence).await;
        }));
        drop(self.place.take());
    }
}

impl OrganizationLock for Lease {
    fn discard(self: Box<Self>) -> Pending<'static, Result<(), Unavailable>> {
        Box::pin(async move {
            self.renewal.abort();
            self.leases.end(REMOVE, self.owner, self.fence).await.map_err(|error| Unavailable(error.into()))
        })
    }
}

const TAKE: &str = "INSERT INTO sealward.\"_lease\" AS lease (\"_organization_id\", fence, holder, expires) \
    VALUES ($1, 1, $2, clock_timestamp() + $3 * interval '1 millisecond') \
    ON CONFLICT (\"_organization_id\") DO UPDATE SET fence = lease.fence + 1, holder = excluded.holder, expires = excluded.expires \
    WHERE lease.expires < clock_timestamp() OR lease.holder = excluded.holder RETURNING fence";

const RENEW: &str = "UPDATE sealward.\"_lease\" SET expires = clock_timestamp() + $4 * interval '1 millisecond' \
    WHERE \"_organization_id\" = $1 AND holder = $2 AND fence = $3 RETURNING 1";

const REMOVE: &str = "DELETE FROM sealward.\"_lease\" WHERE \"_organization_id\" = $1 AND holder = $2 AND fence = $3";

const RELEASE: &str = "UPDATE sealward.\"_lease\" SET expires = clock_timestamp() \
    WHERE \"_organization_id\" = $1 AND holder = $2 AND fence = $3";
