//! All databases of a deployment in one PostgreSQL: creates, opens, lists, deletes and locks them by the organization's
//! id.
//!
//! A database exists if it has a row of guards. The row is created first, in a state in which the database isn't listed,
//! and deleted last. This file doesn't know which organizations should exist.

use std::{
    collections::HashMap,
    fmt,
    ops::{ControlFlow, Range},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sealward_core::{
    audit::ChainHead,
    id::OrganizationId,
    port::{OrganizationDatabases, OrganizationLock, PreparedDatabase},
    store::{
        Assignment, Cause, Commit, CommitError, Condition, Datum, Expect, Generation, OpenError, Pending, Reader, Step,
        Store, Unavailable,
    },
};
use tokio::{runtime::Handle, sync::Semaphore};
use tokio_postgres::{error::SqlState, types::Type};
use uuid::Uuid;

use super::{
    connection::{Begin, Failed, Scope},
    definitions::{
        Changed, DELETED, DELETING, Definitions, EPOCH, GUARD, IMPORTING, INDEX, LANE, READY, STATE, TABLE, is_current,
    },
    error::PostgresError,
    jitter::pause,
    lane::Lane,
    lease::{Lease, Leases, MAINTENANCE, START},
    options::{PostgresLimits, PostgresLogin},
    plan::{plan, statements},
    pool::Pool,
    position::{self, Position},
    reads::Reads,
    schema::Schema,
    statement::{Definition, Statement},
    store::PostgresStore,
};
use crate::{
    committer::{Committer, Witness, Witnesses},
    on_demand::{FileBytes, Inspect, OnDemand, Others},
    sql::{Dialect, Owner},
};

/// A PostgreSQL database with the tables of a deployment.
#[derive(Clone)]
pub struct Postgres {
    pool: Pool,
    schema: Arc<Schema>,
    scans: Arc<Semaphore>,
    leases: Leases,
    /// Keeps other servers from starting at the same time.
    start: Arc<Mutex<Option<Lease>>>,
    runtime: Handle,
    /// The major version.
    version: u32,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").finish_non_exhaustive()
    }
}

/// What [`check`] has found.
#[derive(Clone, Copy, Debug)]
pub struct Checked {
    /// The major version of PostgreSQL.
    pub version: u32,
    /// The number of organizations' databases; `None` if the tables don't exist yet.
    pub organizations: Option<usize>,
}

/// Checks whether a server could use the database, as [`Postgres::open`] would. Changes nothing, and doesn't disturb a
/// server that works in it.
///
/// # Errors
/// Why the server could not use it.
pub async fn check(
    login: PostgresLogin,
    owner: Option<PostgresLogin>,
    limits: PostgresLimits,
) -> Result<Checked, Cause> {
    let (runtime, user) = (Handle::current(), login.address.user().to_owned());
    let limits = PostgresLimits { connections_max: 1, ..limits };
    let pool = Pool::new(login, limits, runtime.clone())?;
    let can_install = owner.is_some();
    let owner = owner.map(|owner| Pool::new(owner, limits, runtime)).transpose()?;
    let schema = Schema::new(pool.clone(), owner, user);
    let facts = schema.facts().await?;
    facts.check()?;
    let organizations = match schema.is_installed().await? {
        true => Some(listed(&pool, &[READY]).await?.len()),
        false if can_install => None,
        false => return Err(PostgresError::NotMigrated { missing: GUARD.to_owned() }.into()),
    };
    Ok(Checked { version: facts.version, organizations })
}

/// Returns the organizations' databases in these states.
async fn listed(pool: &Pool, states: &[&str]) -> Result<Vec<Owner>, PostgresError> {
    let connection = pool.get().await?;
    let rows = connection.client().query_typed(LIST, &[(&states, Type::TEXT_ARRAY)]).await?;
    let owners = rows.iter().map(|row| Ok(Owner(row.try_get(0)?))).collect::<Result<Vec<_>, PostgresError>>()?;
    Ok(owners.into_iter().filter(|owner| *owner != CONFIGURATION).collect())
}

impl Postgres {
    /// Connects as `login`. `owner` is the role that owns the tables and migrates them; without it, the tables must
    /// exist. `holder` is a random id of this process. Connections live on the runtime of the caller.
    ///
    /// # Errors
    /// If the database can't be used: it doesn't answer, isn't migrated, is too old, or another server is starting in it for
    /// too long; or the role of `login` isn't restricted by row-level security.
    pub async fn open(
        login: PostgresLogin,
        owner: Option<PostgresLogin>,
        limits: PostgresLimits,
        holder: Uuid,
    ) -> Result<Self, Cause> {
        let runtime = Handle::current();
        let user = login.address.user().to_owned();
        let one = PostgresLimits { connections_max: 1, ..limits };
        let of_leases = Pool::new(login.clone(), one, runtime.clone())?;
        let pool = Pool::new(login, limits, runtime.clone())?;
        let owner = owner.map(|owner| Pool::new(owner, one, runtime.clone())).transpose()?;
        let schema = Arc::new(Schema::new(pool.clone(), owner, user));
        let version = schema.open().await?;
        let leases = Leases::new(of_leases, holder, runtime.clone());
        let until = Instant::now() + limits.start_wait_max;
        let start = loop {
            match leases.try_take(START).await? {
                Some(lease) => break lease,
                None if Instant::now() >= until => return Err(PostgresError::Starting.into()),
                None => pause(START_INTERVAL).await,
            }
        };
        let scans = Arc::new(Semaphore::new(limits.scans_max));
        let start = Arc::new(Mutex::new(Some(start)));
        Ok(Postgres { pool, schema, scans, leases, start, runtime, version })
    }

    /// Returns whether there is no configuration database.
    ///
    /// # Errors
    /// If PostgreSQL fails.
    pub async fn is_empty(&self) -> Result<bool, Cause> {
        Ok(!matches!(self.state(CONFIGURATION).await?, Some((state, _)) if state == READY))
    }

    /// Opens the configuration database. If it doesn't exist, creates it with the content `first`. `writer` identifies
    /// the audit chain that this process writes; `witness` receives its length.
    ///
    /// # Errors
    /// [`OpenError::Unavailable`] if the database can't be opened or created.
    pub async fn open_configuration(
        &self,
        writer: Uuid,
        witness: Witness,
        first: impl FnOnce() -> Commit + Send,
    ) -> Result<Arc<PostgresStore>, OpenError> {
        let unavailable = |error: PostgresError| OpenError::Unavailable(error.into());
        let state = self.state(CONFIGURATION).await.map_err(unavailable)?;
        if !matches!(&state, Some((state, _)) if state == READY) {
            // The remains of an earlier attempt.
            self.delete(CONFIGURATION).await.map_err(unavailable)?;
            self.create(CONFIGURATION, writer, first())
                .await
                .map_err(|error| OpenError::Unavailable(Cause(error.into())))?;
        }
        self.store(CONFIGURATION, writer, witness).await
    }

    /// Creates a database with this content, in one transaction after the row that announces it.
    async fn create(&self, owner: Owner, writer: Uuid, mut first: Commit) -> Result<(), CommitError> {
        first.steps.push(publication());
        let last = first.steps.len().saturating_sub(1);
        let created = self.prepare(owner, writer, first).await;
        match created {
            Ok(_) => Ok(()),
            // Another process has deleted it.
            Err(CommitError::Refused { step }) if step == last => {
                Err(CommitError::Unavailable(PostgresError::Gone.into()))
            }
            Err(error) => Err(error),
        }
    }

    /// Creates a database that isn't listed, with this content. Refused at step 0 if a database with this id exists.
    async fn prepare(&self, owner: Owner, writer: Uuid, first: Commit) -> Result<PostgresStore, CommitError> {
        let epoch = self.announce(owner).await?;
        let store = self.with_lane(owner, epoch, writer, Witness::none());
        match store.commit(first).await {
            Ok(()) => Ok(store),
            Err(error) => {
                if !matches!(error, CommitError::Unknown(_)) {
                    // The next start removes it otherwise.
                    let _left = self.delete(owner).await;
                }
                Err(error)
            }
        }
    }

    /// Creates the row of a database, and its lane. Returns its epoch, which no earlier database with this id had.
    async fn announce(&self, owner: Owner) -> Result<i64, CommitError> {
        let unavailable = |error: PostgresError| CommitError::Unavailable(error.into());
        let (epoch, guard) = match self.state(owner).await.map_err(unavailable)? {
            None => {
                let row = vec![
                    (STATE.into(), Datum::Text(IMPORTING.to_owned())),
                    (EPOCH.into(), Datum::Integer(FIRST_EPOCH)),
                ];
                (FIRST_EPOCH, Step::Insert { table: GUARD.into(), row })
            }
            Some((state, epoch)) if state == DELETED => {
                let rows = Condition::equal(STATE, Datum::Text(state)).and(is_current(epoch));
                (epoch.saturating_add(1), changed_guard(rows, IMPORTING, 1))
            }
            Some(_) => return Err(CommitError::Refused { step: 0 }),
        };
        let lane = Step::Insert { table: LANE.into(), row: position::first_row(epoch) };
        match self.write(owner, vec![guard, lane]).await {
            Ok(()) => Ok(epoch),
            Err(error) if error.is(&SqlState::UNIQUE_VIOLATION) || error.is(&SqlState::DIVISION_BY_ZERO) => {
                Err(CommitError::Refused { step: 0 })
            }
            Err(error) => Err(unavailable(error)),
        }
    }

    /// Applies steps on the store's own tables, without the lane of the database. If this process has the lock of the
    /// organization, it must not have lost it.
    async fn write(&self, owner: Owner, steps: Vec<Step>) -> Result<(), PostgresError> {
        let under_lock_of = self.leases.held(owner).is_ok().then(|| OrganizationId::from_uuid(owner.0));
        let (commit, mut head) = (Commit { under_lock_of, ..Commit::of(steps) }, ChainHead::empty(Uuid::nil()));
        let (dialect, mut own) = (Dialect::Postgres(owner), Changed::new(HashMap::new()));
        let of_commit = |(_, error): (usize, PostgresError)| error;
        let commits = [(0, &commit)].into_iter();
        let planned = plan(commits, &mut head, &self.leases, dialect, &mut own).map_err(of_commit)?;
        let all = statements(&planned, &[], dialect, &own).map_err(of_commit)?;
        self.pool.get().await?.write(self.scope(owner), &all).await.map_err(|failed| match failed.unmet() {
            Some(0) if commit.under_lock_of.is_some() => PostgresError::LockLost,
            Some(_) | None => failed.into_error(),
        })
    }

    fn scope(&self, owner: Owner) -> Scope {
        let time_max = self.pool.limits().statement_time_max;
        Scope { begin: Begin::Write, owner, statement_time_max: time_max, idle_max: time_max }
    }

    /// Returns the state and the epoch of a database.
    async fn state(&self, owner: Owner) -> Result<Option<(String, i64)>, PostgresError> {
        let connection = self.pool.get().await?;
        let rows = connection.client().query_typed(STATE_OF, &[(&owner.0, Type::UUID)]).await?;
        rows.first().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
    }

    async fn store(&self, owner: Owner, writer: Uuid, witness: Witness) -> Result<Arc<PostgresStore>, OpenError> {
        let unavailable = |error: PostgresError| OpenError::Unavailable(error.into());
        match self.state(owner).await.map_err(unavailable)? {
            Some((state, epoch)) if state == READY => {
                let lane = self.lane(owner, epoch, writer, witness);
                lane.open().await.map_err(unavailable)?;
                Ok(Arc::new(self.started(lane)))
            }
            Some(_) | None => Err(OpenError::Missing),
        }
    }

    fn with_lane(&self, owner: Owner, epoch: i64, writer: Uuid, witness: Witness) -> PostgresStore {
        self.started(self.lane(owner, epoch, writer, witness))
    }

    fn started(&self, lane: Lane) -> PostgresStore {
        let (reads, observer) = (lane.reads.clone(), lane.witness.observer());
        let committer = Committer::spawn(&self.runtime, lane.owner.0.to_string(), lane, observer);
        PostgresStore { reads, committer }
    }

    fn reads(&self, owner: Owner, epoch: i64) -> (Arc<Definitions>, Reads) {
        let definitions = Arc::new(Definitions::default());
        let reads = Reads::new(self.pool.clone(), owner, epoch, Arc::clone(&definitions), Arc::clone(&self.scans));
        (definitions, reads)
    }

    fn lane(&self, owner: Owner, epoch: i64, writer: Uuid, witness: Witness) -> Lane {
        let (definitions, reads) = self.reads(owner, epoch);
        Lane {
            pool: self.pool.clone(),
            owner,
            epoch,
            schema: Arc::clone(&self.schema),
            definitions,
            reads,
            leases: self.leases.clone(),
            writer,
            witness,
            known: None,
        }
    }

    /// Deletes a database: first no process can read or write it, then its rows go, and its own row at last. If it is
    /// interrupted, the next start continues.
    async fn delete(&self, owner: Owner) -> Result<(), PostgresError> {
        match self.state(owner).await? {
            Some((state, _)) if state != DELETED => {}
            Some(_) | None => return Ok(()),
        }
        let closed = vec![Assignment::Add(EPOCH.into(), 1), Assignment::Add("fence".into(), 1)];
        let lane = Step::Update { table: LANE.into(), rows: Condition::EVERYTHING, set: closed, expect: Expect::Any };
        // Waits for a commit in progress.
        self.write(owner, vec![changed_guard(Condition::EVERYTHING, DELETING, 1), lane]).await?;
        for table in self.schema.tables().await?.into_iter().chain([INDEX, TABLE, LANE].map(str::to_owned)) {
            self.delete_rows(owner, &table).await?;
        }
        self.write(owner, vec![changed_guard(Condition::EVERYTHING, DELETED, 0)]).await
    }

    /// Deletes the rows of a table, in transactions that are short.
    async fn delete_rows(&self, owner: Owner, table: &str) -> Result<(), PostgresError> {
        let (scope, dialect) = (self.scope(owner), Dialect::Postgres(owner));
        loop {
            let delete = Statement::checked(dialect.delete_some(table, DELETED_MAX)?, table, &Definition::default())?;
            let left = Statement::checked(dialect.any(table)?, table, &Definition::default())?;
            let mut is_left = false;
            let mut connection = self.pool.get().await?;
            // Looks for a row, and then deletes it with others.
            connection
                .read(scope, &[left, delete], &mut |_| {
                    is_left = true;
                    ControlFlow::Break(())
                })
                .await
                .map_err(Failed::into_error)?;
            if !is_left {
                return Ok(());
            }
        }
    }
}

/// The step that publishes a database.
fn publication() -> Step {
    changed_guard(Condition::equal(STATE, Datum::Text(IMPORTING.to_owned())), READY, 0)
}

/// The step that changes the state of a database, and its epoch.
fn changed_guard(rows: Condition, state: &str, epochs: i64) -> Step {
    let set = vec![Assignment::Set(STATE.into(), Datum::Text(state.to_owned())), Assignment::Add(EPOCH.into(), epochs)];
    Step::Update { table: GUARD.into(), rows, set, expect: Expect::One }
}

/// The organizations' databases.
pub struct PostgresDatabases {
    postgres: Postgres,
    writer: Uuid,
    witnesses: Witnesses,
    inspect: Inspect,
    open: Mutex<HashMap<OrganizationId, Arc<PostgresStore>>>,
    /// The lease of the server that maintains the deployment, if it is this one.
    maintenance: tokio::sync::Mutex<Option<Lease>>,
}

impl PostgresDatabases {
    /// Opens the organizations' databases. `writer` identifies the audit chains that this process writes.
    ///
    /// Removes databases that an earlier process has left incomplete, or half deleted.
    ///
    /// # Errors
    /// If PostgreSQL fails.
    pub async fn new(postgres: Postgres, writer: Uuid, witnesses: Witnesses, inspect: Inspect) -> Result<Self, Cause> {
        let (open, maintenance) = Default::default();
        let databases = PostgresDatabases { postgres, writer, witnesses, inspect, open, maintenance };
        databases.remove_remains().await?;
        Ok(databases)
    }

    /// Returns the number of commits to the configuration database; 0 if there is none.
    async fn configuration_commits(&self) -> Result<i64, Cause> {
        let Some((_, epoch)) = self.postgres.state(CONFIGURATION).await? else { return Ok(0) };
        let (_, reads) = self.postgres.reads(CONFIGURATION, epoch);
        let lane = reads.select(position::select(epoch)).await.map_err(|Unavailable(cause)| cause)?.pop();
        Ok(Position::parse(lane.ok_or(PostgresError::Gone)?, self.writer)?.commits())
    }

    /// Removes databases that are incomplete or half deleted, unless another server is at work on them.
    async fn remove_remains(&self) -> Result<(), PostgresError> {
        for owner in listed(&self.postgres.pool, &[IMPORTING, DELETING]).await? {
            let Some(lease) = self.postgres.leases.try_take(owner).await? else { continue };
            // Read again under the lease: it may be complete now.
            if matches!(self.postgres.state(owner).await?, Some((state, _)) if [IMPORTING, DELETING].contains(&&*state))
            {
                self.postgres.delete(owner).await?;
            }
            lease.release().await?;
        }
        Ok(())
    }

    fn opened(&self, id: OrganizationId) -> Option<Arc<PostgresStore>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    fn forget(&self, id: OrganizationId) {
        drop(self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&id));
    }
}

impl OrganizationDatabases for PostgresDatabases {
    fn create(&self, id: OrganizationId, first: Commit) -> Pending<'_, Result<(), CommitError>> {
        Box::pin(self.postgres.create(owner(id), self.writer, first))
    }

    fn prepare(
        &self,
        id: OrganizationId,
        first: Commit,
    ) -> Pending<'_, Result<Box<dyn PreparedDatabase>, CommitError>> {
        Box::pin(async move {
            let store = self.postgres.prepare(owner(id), self.writer, first).await?;
            let postgres = self.postgres.clone();
            Ok(Box::new(PreparedPostgres { postgres, owner: owner(id), store }) as Box<dyn PreparedDatabase>)
        })
    }

    fn open(&self, id: OrganizationId) -> Pending<'_, Result<Arc<dyn Store>, OpenError>> {
        Box::pin(async move {
            let witness = (self.witnesses)(id);
            // A store that is open has its own lane. It ends with the last use of it.
            self.forget(id);
            let store = self.postgres.store(owner(id), self.writer, witness).await?;
            (self.inspect)(id, &*store).await?;
            self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::clone(&store));
            Ok(store as Arc<dyn Store>)
        })
    }

    fn list(&self) -> Pending<'_, Result<Vec<OrganizationId>, Unavailable>> {
        Box::pin(async move {
            let listed = listed(&self.postgres.pool, &[READY]).await.map_err(|error| Unavailable(error.into()))?;
            Ok(listed.into_iter().map(|owner| OrganizationId::from_uuid(owner.0)).collect())
        })
    }

    fn remove(&self, id: OrganizationId) -> Pending<'_, Result<(), Unavailable>> {
        Box::pin(async move {
            self.forget(id);
            self.postgres.delete(owner(id)).await.map_err(|error| Unavailable(error.into()))
        })
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn try_lock(&self, id: OrganizationId) -> Pending<'_, Result<Option<Box<dyn OrganizationLock>>, Unavailable>> {
        Box::pin(async move {
            let lease = self.postgres.leases.try_take(owner(id)).await.map_err(|error| Unavailable(error.into()))?;
            Ok(lease.map(|lease| Box::new(lease) as Box<dyn OrganizationLock>))
        })
    }
}

impl OnDemand for PostgresDatabases {
    fn engine(&self) -> String {
        format!("PostgreSQL {}", self.postgres.version)
    }

    fn is_open(&self, id: OrganizationId) -> bool {
        self.opened(id).is_some()
    }

    fn open_count(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn generation(&self, _: OrganizationId) -> Option<Generation> {
        None
    }

    fn file_bytes(&self, _: Option<OrganizationId>) -> Option<FileBytes> {
        None
    }

    fn close_idle(&self, _: Instant) {}

    fn started(&self) -> Pending<'_, ()> {
        let start = self.postgres.start.lock().unwrap_or_else(PoisonError::into_inner).take();
        Box::pin(async move {
            if let Some(start) = start {
                log_unreleased(start.release().await);
            }
        })
    }

    fn others(&self) -> Pending<'_, Result<Option<Others>, Cause>> {
        Box::pin(async move {
            let abandoned = self.postgres.leases.abandoned().await?;
            let abandoned = abandoned.into_iter().map(|owner| OrganizationId::from_uuid(owner.0)).collect();
            Ok(Some(Others { configuration_commits: self.configuration_commits().await?, abandoned }))
        })
    }

    fn maintains(&self) -> Pending<'_, bool> {
        Box::pin(async move {
            let mut maintenance = self.maintenance.lock().await;
            if maintenance.as_ref().is_some_and(|lease| lease.is_lost()) {
                *maintenance = None;
            }
            if maintenance.is_none() {
                match self.postgres.leases.try_take(MAINTENANCE).await {
                    Ok(lease) => *maintenance = lease,
                    Err(error) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "maintenance not taken over")
                    }
                }
            }
            maintenance.is_some()
        })
    }

    fn release(&self) -> Pending<'_, ()> {
        Box::pin(async move {
            self.started().await;
            if let Some(maintenance) = self.maintenance.lock().await.take() {
                log_unreleased(maintenance.release().await);
            }
        })
    }
}

fn log_unreleased(released: Result<(), PostgresError>) {
    if let Err(error) = released {
        // It expires.
        tracing::debug!(error = &error as &dyn std::error::Error, "lease not released");
    }
}

/// A database that isn't listed yet.
struct PreparedPostgres {
    postgres: Postgres,
    owner: Owner,
    store: PostgresStore,
}

impl PreparedDatabase for PreparedPostgres {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    fn publish(self: Box<Self>) -> Pending<'static, Result<(), CommitError>> {
        Box::pin(async move {
            let published = self.store.commit(Commit::of(vec![publication()])).await;
            if !matches!(published, Ok(()) | Err(CommitError::Unknown(_))) {
                let _left = self.postgres.delete(self.owner).await;
            }
            published
        })
    }

    fn discard(self: Box<Self>) -> Pending<'static, Result<(), Unavailable>> {
        Box::pin(async move { self.postgres.delete(self.owner).await.map_err(|error| Unavailable(error.into())) })
    }
}

fn owner(id: OrganizationId) -> Owner {
    Owner(id.uuid())
}

/// The id of the configuration database. No organization has it.
const CONFIGURATION: Owner = Owner(Uuid::nil());

/// The range of the intervals between attempts to take the lease of a start.
const START_INTERVAL: Range<Duration> = Duration::from_millis(50)..Duration::from_millis(150);

/// The epoch of a new database.
const FIRST_EPOCH: i64 = 1;

/// The maximum number of rows that one transaction deletes with a database.
const DELETED_MAX: u32 = 5_000;

const STATE_OF: &str = "SELECT state, epoch FROM sealward.\"_guard\" WHERE \"_organization_id\" = $1";
const LIST: &str =
    "SELECT \"_organization_id\" FROM sealward.\"_guard\" WHERE state = ANY($1) ORDER BY \"_organization_id\"";
