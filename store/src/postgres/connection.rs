//! A connection, and transactions that are sent as a whole.
//!
//! All statements of a transaction are sent before the first answer arrives, so a transaction takes one round trip. The
//! server executes them in order. After an error, it refuses the rest, and the COMMIT rolls back: a transaction is
//! committed only if every statement succeeded, the COMMIT too, and the server has sent no warning.
//!
//! A connection in the middle of a transaction belongs to that transaction. If its caller stops waiting, the connection
//! is closed. This file doesn't know the purpose of statements.

use std::{
    collections::HashMap,
    future::{Future, poll_fn},
    ops::ControlFlow,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use tokio::{runtime::Handle, task::JoinHandle};
use tokio_postgres::{AsyncMessage, Client, Row, error::SqlState, types::Type};
use tokio_stream::StreamExt as _;

use super::{
    error::PostgresError,
    options::{PostgresLimits, PostgresLogin},
    statement::Statement,
    tls::Tls,
};
use crate::sql::Owner;

/// A connection of a role to the database.
pub(super) struct Connection {
    client: Client,
    /// The task that reads and writes the socket.
    driver: JoinHandle<()>,
    /// Whether the server has sent a warning since it was last asked.
    is_warned: Arc<AtomicBool>,
    /// By their text.
    prepared: HashMap<String, tokio_postgres::Statement>,
    /// Whether the connection is known to be outside of a transaction.
    is_idle: bool,
}

/// How a transaction begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Begin {
    /// It writes.
    Write,
    /// It reads.
    Read,
    /// All its reads are of the same state.
    Snapshot,
}

impl Begin {
    fn text(self) -> &'static str {
        match self {
            Begin::Write => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
            Begin::Read => "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY",
            Begin::Snapshot => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }
}

/// The settings of a transaction. They end with it, so that they also hold behind a pooler of connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    pub(super) begin: Begin,
    /// The database whose rows the transaction can access.
    pub(super) owner: Owner,
    /// The maximum duration of each statement, which includes its wait for locks.
    pub(super) statement_time_max: Duration,
    /// The maximum time between two statements.
    pub(super) idle_max: Duration,
}

/// Why a transaction failed.
#[derive(Debug)]
pub(super) enum Failed {
    /// A statement failed, and nothing was changed.
    At {
        /// Its position; `None` for the begin of the transaction.
        statement: Option<usize>,
        error: PostgresError,
    },
    /// The transaction may have been committed.
    Unknown(PostgresError),
}

impl Failed {
    /// Returns the position of the statement whose expectation isn't met.
    pub(super) fn unmet(&self) -> Option<usize> {
        match self {
            Failed::At { statement, error } if error.is(&SqlState::DIVISION_BY_ZERO) => *statement,
            Failed::At { .. } | Failed::Unknown(_) => None,
        }
    }

    /// Returns the cause.
    pub(super) fn into_error(self) -> PostgresError {
        match self {
            Failed::At { error, .. } | Failed::Unknown(error) => error,
        }
    }
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, tokio_postgres::Error>> + Send + 'a>>;

/// A request that was sent.
enum Sent<'a, T> {
    Answered(Result<T, tokio_postgres::Error>),
    Waiting(Answer<'a, T>),
}

impl<'a, T> Sent<'a, T> {
    /// Sends a request. The driver sends it when the future of its answer is polled for the first time.
    async fn new(request: impl Future<Output = Result<T, tokio_postgres::Error>> + Send + 'a) -> Self {
        let mut answer: Answer<'a, T> = Box::pin(request);
        match poll_fn(|context| Poll::Ready(answer.as_mut().poll(context))).await {
            Poll::Ready(answered) => Sent::Answered(answered),
            Poll::Pending => Sent::Waiting(answer),
        }
    }

    async fn answer(self) -> Result<T, PostgresError> {
        let answered = match self {
            Sent::Answered(answered) => answered,
            Sent::Waiting(answer) => answer.await,
        };
        answered.map_err(PostgresError::from)
    }
}

impl Connection {
    /// Connects. The connection lives on this runtime.
    pub(super) async fn open(
        login: PostgresLogin,
        limits: PostgresLimits,
        runtime: &Handle,
    ) -> Result<Self, PostgresError> {
        // On the runtime that reads the socket, which may not be that of the caller.
        let opening = runtime.spawn(async move {
            let parameters = login.address.parameters(login.password.as_ref(), &limits);
            let (client, mut connection) = parameters.connect(Tls::new(login.tls)).await?;
            let is_warned = Arc::new(AtomicBool::new(false));
            let warned = Arc::clone(&is_warned);
            let driver = tokio::spawn(async move {
                while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
                    match message {
                        Ok(AsyncMessage::Notice(notice)) if notice.severity() == "WARNING" => {
                            tracing::warn!(code = notice.code().code(), "PostgreSQL warning");
                            // Before the end of the statement, which follows it.
                            warned.store(true, Ordering::SeqCst);
                        }
                        Ok(_) => {}
                        Err(error) => {
                            let error = PostgresError::from(error);
                            tracing::debug!(error = &error as &dyn std::error::Error, "PostgreSQL connection ended");
                            break;
                        }
                    }
                }
            });
            Ok(Connection { client, driver, is_warned, prepared: HashMap::new(), is_idle: true })
        });
        let ended = |_| PostgresError::Busy { wait_max: limits.connect_time_max };
        opening.await.map_err(ended)?.map_err(PostgresError::of_login)
    }

    /// Returns whether another transaction can begin.
    pub(super) fn is_idle(&self) -> bool {
        self.is_idle && !self.client.is_closed()
    }

    /// Returns the client, for statements outside of transactions.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Returns the client for a transaction of several round trips. Until [`release`](Self::release), the connection isn't
    /// idle.
    pub(super) fn occupy(&mut self) -> &Client {
        self.is_idle = false;
        &self.client
    }

    /// The transaction has ended.
    pub(super) fn release(&mut self) {
        self.is_idle = true;
    }

    /// Prepares the statements that aren't prepared yet. All of them take one round trip, in a transaction with this scope,
    /// because PostgreSQL may wait for a lock here too. `None` in a transaction that has begun.
    async fn prepare(
        &mut self,
        statements: &[Statement<'_>],
        scope: Option<Scope>,
    ) -> Result<(), (Option<usize>, PostgresError)> {
        let mut missing: Vec<(usize, &str, &[Type])> = Vec::new();
        for (position, Statement { text, types, .. }) in statements.iter().enumerate() {
            let is_sent = |(_, other, _): &(usize, &str, &[Type])| other == text;
            if !self.prepared.contains_key(text) && !missing.iter().any(is_sent) {
                missing.push((position, text, types));
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        // The statements that are needed now may be among those that are forgotten.
        if self.prepared.len().saturating_add(missing.len()) > STATEMENTS_MAX {
            self.prepared.clear();
            missing.clear();
            for (position, Statement { text, types, .. }) in statements.iter().enumerate() {
                if !missing.iter().any(|(_, other, _)| other == text) {
                    missing.push((position, text, types));
                }
            }
        }
        let client = &self.client;
        let begun = match scope {
            Some(scope) => {
                self.is_idle = false;
                Some(begin(client, scope).await)
            }
            None => None,
        };
        let mut sent = Vec::with_capacity(missing.len());
        for &(_, text, types) in &missing {
            sent.push(Sent::new(client.prepare_typed(text, types)).await);
        }
        let ended = match scope {
            Some(_) => Some(Sent::new(client.batch_execute("COMMIT")).await),
            None => None,
        };
        let mut failed = None;
        if let Some((begun, set)) = begun {
            for begun in [begun.answer().await, set.answer().await.map(drop)] {
                if let Err(error) = begun {
                    failed.get_or_insert((None, error));
                }
            }
        }
        let mut found = Vec::with_capacity(missing.len());
        for ((position, text, _), sent) in missing.into_iter().zip(sent) {
            match sent.answer().await {
                Ok(prepared) => found.push((text.to_owned(), prepared)),
                Err(error) => drop(failed.get_or_insert((Some(position), error))),
            }
        }
        if let Some(ended) = ended {
            match ended.answer().await {
                Ok(()) => self.is_idle = true,
                Err(error) => drop(failed.get_or_insert((None, error))),
            }
        }
        self.prepared.extend(found);
        failed.map_or(Ok(()), Err)
    }

    fn prepared(&self, statement: &Statement<'_>) -> Result<tokio_postgres::Statement, PostgresError> {
        // Just prepared.
        self.prepared.get(&statement.text).cloned().ok_or(PostgresError::Gone)
    }

    /// Executes statements in a transaction that writes. Returns after it is committed.
    pub(super) async fn write(&mut self, scope: Scope, statements: &[Statement<'_>]) -> Result<(), Failed> {
        self.write_from(Some(scope), statements).await
    }

    /// Executes statements in the transaction that [`begin_write`](Self::begin_write) has begun. Returns after it is
    /// committed.
    pub(super) async fn finish_write(&mut self, statements: &[Statement<'_>]) -> Result<(), Failed> {
        self.write_from(None, statements).await
    }

    /// Begins a transaction that writes, with a statement that returns at most one row.
    pub(super) async fn begin_write(
        &mut self,
        scope: Scope,
        statement: &Statement<'_>,
    ) -> Result<Option<Row>, PostgresError> {
        self.prepare(std::slice::from_ref(statement), Some(scope)).await.map_err(|(_, error)| error)?;
        let prepared = self.prepared(statement)?;
        self.is_warned.store(false, Ordering::SeqCst);
        self.is_idle = false;
        let (begun, set) = begin(&self.client, scope).await;
        let rows = Sent::new(self.client.query_raw(&prepared, statement.parameters())).await;
        begun.answer().await?;
        set.answer().await?;
        let mut rows = pin!(rows.answer().await?);
        let mut found = None;
        while let Some(row) = rows.next().await {
            found = Some(row?);
        }
        Ok(found)
    }

    /// Ends the transaction that [`begin_write`](Self::begin_write) has begun, without its changes.
    pub(super) async fn roll_back(&mut self) {
        self.is_idle = self.client.batch_execute("ROLLBACK").await.is_ok();
    }

    /// Sends statements and the COMMIT, in one round trip. Without a scope, the transaction has begun.
    async fn write_from(&mut self, scope: Option<Scope>, statements: &[Statement<'_>]) -> Result<(), Failed> {
        let unsent = |statement, error| Failed::At { statement, error };
        self.prepare(statements, scope).await.map_err(|(position, error)| unsent(position, error))?;
        let prepared = statements.iter().map(|statement| self.prepared(statement)).collect::<Result<Vec<_>, _>>();
        let prepared = prepared.map_err(|error| unsent(None, error))?;
        if scope.is_some() {
            self.is_warned.store(false, Ordering::SeqCst);
        }
        self.is_idle = false;
        let client = &self.client;
        let begun = match scope {
            Some(scope) => Some(begin(client, scope).await),
            None => None,
        };
        let mut sent = Vec::with_capacity(statements.len());
        for (statement, prepared) in statements.iter().zip(&prepared) {
            sent.push(Sent::new(client.execute_raw(prepared, statement.parameters())).await);
        }
        let committed = Sent::new(client.batch_execute("COMMIT")).await;
        let mut failed = None;
        if let Some((begun, set)) = begun {
            for begun in [begun.answer().await, set.answer().await.map(drop)] {
                if let Err(error) = begun {
                    failed.get_or_insert((None, error));
                }
            }
        }
        for (position, sent) in sent.into_iter().enumerate() {
            if let Err(error) = sent.answer().await {
                failed.get_or_insert((Some(position), error));
            }
        }
        let committed = committed.answer().await;
        self.is_idle = committed.is_ok();
        match (failed, committed) {
            // The server has refused a statement, so the transaction isn't committed.
            (Some((statement, error @ PostgresError::Server { .. })), _) => Err(Failed::At { statement, error }),
            (Some((_, error)), _) => Err(Failed::Unknown(error)),
            (None, Err(error)) if error.is_conflict() => Err(Failed::At { statement: None, error }),
            (None, Err(error)) => Err(Failed::Unknown(error)),
            (None, Ok(())) if self.is_warned.load(Ordering::SeqCst) => {
                self.is_idle = false;
                Err(Failed::Unknown(PostgresError::Warned))
            }
            (None, Ok(())) => Ok(()),
        }
    }

    /// Reads in a transaction: passes the rows of the first statement to `take` until it breaks, then executes the other
    /// ones, guards, which raise an error if what was read isn't valid.
    pub(super) async fn read<const N: usize>(
        &mut self,
        scope: Scope,
        statements: &[Statement<'_>; N],
        take: &mut (dyn FnMut(&Row) -> ControlFlow<()> + Send),
    ) -> Result<(), Failed> {
        let of = |statement, error| Failed::At { statement, error };
        let of_all = |error| Failed::At { statement: None, error };
        self.prepare(statements, Some(scope)).await.map_err(|(position, error)| of(position, error))?;
        let Some((statement, guards)) = statements.split_first() else { return Ok(()) };
        let prepared = self.prepared(statement).map_err(of_all)?;
        let mut prepared_guards = Vec::with_capacity(guards.len());
        for guard in guards {
            prepared_guards.push(self.prepared(guard).map_err(of_all)?);
        }
        self.is_warned.store(false, Ordering::SeqCst);
        self.is_idle = false;
        let client = &self.client;
        let (begun, set) = begin(client, scope).await;
        let rows = Sent::new(client.query_raw(&prepared, statement.parameters())).await;
        let mut guarded = Vec::with_capacity(guards.len());
        for (guard, prepared) in guards.iter().zip(&prepared_guards) {
            guarded.push(Sent::new(client.execute_raw(prepared, guard.parameters())).await);
        }
        let ended = Sent::new(client.batch_execute("COMMIT")).await;
        begun.answer().await.map_err(of_all)?;
        let set = set.answer().await;
        let passed = pass(rows, take).await;
        let mut raised = None;
        for (position, guarded) in guarded.into_iter().enumerate() {
            if let Err(error) = guarded.answer().await {
                raised.get_or_insert((position.saturating_add(1), error));
            }
        }
        ended.answer().await.map_err(of_all)?;
        self.is_idle = true;
        set.map_err(of_all)?;
        passed.map_err(|error| of(Some(0), error))?;
        if let Some((position, error)) = raised {
            return Err(of(Some(position), error));
        }
        if self.is_warned.swap(false, Ordering::SeqCst) { Err(of_all(PostgresError::Warned)) } else { Ok(()) }
    }

    /// Begins a snapshot, which ends with the connection.
    pub(super) async fn begin_snapshot(&mut self, scope: Scope, guard: &Statement<'_>) -> Result<(), PostgresError> {
        self.prepare(std::slice::from_ref(guard), Some(scope)).await.map_err(|(_, error)| error)?;
        let prepared = self.prepared(guard)?;
        self.is_idle = false;
        let (begun, set) = begin(&self.client, scope).await;
        // The state of the snapshot is that of its first statement.
        let guarded = Sent::new(self.client.execute_raw(&prepared, guard.parameters())).await;
        begun.answer().await?;
        set.answer().await?;
        guarded.answer().await.map(drop)
    }

    /// Reads in the snapshot.
    pub(super) async fn read_snapshot(
        &mut self,
        statement: &Statement<'_>,
        take: &mut (dyn FnMut(&Row) -> ControlFlow<()> + Send),
    ) -> Result<(), PostgresError> {
        self.prepare(std::slice::from_ref(statement), None).await.map_err(|(_, error)| error)?;
        let prepared = self.prepared(statement)?;
        let rows = Sent::new(self.client.query_raw(&prepared, statement.parameters())).await;
        pass(rows, take).await
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Otherwise, the driver would wait for the answers of a transaction that no caller wants.
        if !self.is_idle {
            self.driver.abort();
        }
    }
}

/// Sends the begin of a transaction.
///
/// If the server doesn't begin it, each statement is a transaction of its own. The setting of the database then ends
/// before the next statement, which raises an error because it has none.
async fn begin(client: &Client, scope: Scope) -> (Sent<'_, ()>, Sent<'_, Vec<Row>>) {
    let begun = Sent::new(client.batch_execute(scope.begin.text())).await;
    let milliseconds = |time: Duration| time.as_millis().to_string();
    let values = [scope.owner.0.to_string(), milliseconds(scope.statement_time_max), milliseconds(scope.idle_max)];
    let set = Sent::new(async move {
        let [owner, statement_time_max, idle_max] = &values;
        let typed = [(owner, Type::TEXT), (statement_time_max, Type::TEXT), (idle_max, Type::TEXT)];
        client.query_typed(SET, &typed.each_ref().map(|(value, ty)| (*value as _, ty.clone()))).await
    });
    (begun, set.await)
}

/// Passes rows until `take` breaks. Reads the rest too, because the connection is needed again.
async fn pass(
    rows: Sent<'_, tokio_postgres::RowStream>,
    take: &mut (dyn FnMut(&Row) -> ControlFlow<()> + Send),
) -> Result<(), PostgresError> {
    let mut rows = pin!(rows.answer().await?);
    let mut then = ControlFlow::Continue(());
    while let Some(row) = rows.next().await {
        let row = row?;
        if then.is_continue() {
            then = take(&row);
        }
    }
    Ok(())
}

/// Sets the limits of a transaction, and the database whose rows it can access.
const SET: &str = "SELECT set_config('sealward.organization', $1, true), set_config('statement_timeout', $2, true), \
                   set_config('idle_in_transaction_session_timeout', $3, true)";

/// The maximum number of prepared statements per connection: enough for some dozen tables.
const STATEMENTS_MAX: usize = 256;
