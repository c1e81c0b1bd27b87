//! The bounded pool of connections.
//!
//! Only a connection that is known to be idle is used again; any other is closed as soon as its user lets go of it. This
//! file doesn't know statements.

use std::{
    fmt,
    ops::{Deref, DerefMut},
};

use deadpool::managed::{self, Metrics, Object, PoolError, QueueMode, RecycleError, RecycleResult, Timeouts};
use tokio::runtime::Handle;

use super::{
    connection::Connection,
    error::PostgresError,
    options::{PostgresLimits, PostgresLogin},
};

/// The connections of one role.
#[derive(Clone)]
pub(super) struct Pool {
    connections: managed::Pool<Opener>,
    limits: PostgresLimits,
}

impl Pool {
    /// Opens no connection before the first is needed. All connections live on this runtime.
    pub(super) fn new(login: PostgresLogin, limits: PostgresLimits, runtime: Handle) -> Result<Self, PostgresError> {
        let timeouts = Timeouts { wait: Some(limits.connection_wait_max), create: None, recycle: None };
        let connections = managed::Pool::builder(Opener { login, limits, runtime })
            .max_size(limits.connections_max)
            .timeouts(timeouts)
            // The one that was used last has the most statements prepared.
            .queue_mode(QueueMode::Lifo)
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .map_err(|_| PostgresError::Busy { wait_max: limits.connection_wait_max })?;
        Ok(Pool { connections, limits })
    }

    pub(super) fn limits(&self) -> &PostgresLimits {
        &self.limits
    }

    /// Returns an idle connection. Waits for one if all are in use.
    pub(super) async fn get(&self) -> Result<Pooled, PostgresError> {
        match self.connections.get().await {
            Ok(connection) => Ok(Pooled(Some(connection))),
            Err(PoolError::Backend(error)) => Err(error),
            Err(
                PoolError::Timeout(_)
                | PoolError::Closed
                | PoolError::NoRuntimeSpecified
                | PoolError::PostCreateHook(_),
            ) => Err(PostgresError::Busy { wait_max: self.limits.connection_wait_max }),
        }
    }

    /// Closes the idle connections, because one was found to be lost: the server has probably ended all of them.
    pub(super) fn close_idle(&self) {
        drop(self.connections.retain(|_, _| false));
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

/// A connection of the pool, in use.
pub(super) struct Pooled(Option<Object<Opener>>);

impl Deref for Pooled {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.0.as_deref().expect("the connection is taken out only when this value is dropped")
    }
}

impl DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut Connection {
        self.0.as_deref_mut().expect("the connection is taken out only when this value is dropped")
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take()
            && !connection.is_idle()
        {
            drop(Object::take(connection));
        }
    }
}

struct Opener {
    login: PostgresLogin,
    limits: PostgresLimits,
    runtime: Handle,
}

impl managed::Manager for Opener {
    type Type = Connection;
    type Error = PostgresError;

    async fn create(&self) -> Result<Connection, PostgresError> {
        Connection::open(self.login.clone(), self.limits, &self.runtime).await
    }

    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<PostgresError> {
        if connection.is_idle() { Ok(()) } else { Err(RecycleError::message("the connection is not idle")) }
    }
}
