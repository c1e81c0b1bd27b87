//! The address of a PostgreSQL database, and the bounds of its connections and statements.
//!
//! An address contains no secret: a password is passed separately. This file opens no connection.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use rustls::ClientConfig;
use secrecy::{ExposeSecret as _, SecretString};
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

/// Where a PostgreSQL database is, and as which role the store connects.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresAddress(tokio_postgres::Config);

/// Why an address can't be used. The text contains no part of the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostgresAddressError {
    /// It isn't an address.
    #[error("not an address of the form postgres://USER@HOST:PORT/DATABASE")]
    Malformed,
    /// It contains a password, which logs and lists of processes would show.
    #[error("the address contains a password: remove it, and set a password file")]
    Password,
    /// It doesn't contain the role to connect as.
    #[error("the address contains no user")]
    NoUser,
    /// It doesn't contain the name of the database.
    #[error("the address contains no database")]
    NoDatabase,
    /// It contains no host, or hosts and folders of Unix sockets.
    #[error("the address must contain hosts, or folders of Unix sockets, but not both")]
    Hosts,
    /// It disables TLS for a network connection.
    #[error("the address disables TLS, which only a Unix socket doesn't need")]
    Plaintext,
}

impl FromStr for PostgresAddress {
    type Err = PostgresAddressError;

    fn from_str(text: &str) -> Result<Self, PostgresAddressError> {
        let is_of_postgres = text.starts_with("postgres://") || text.starts_with("postgresql://");
        let parsed = is_of_postgres.then(|| text.parse::<tokio_postgres::Config>().ok()).flatten();
        let mut config = parsed.ok_or(PostgresAddressError::Malformed)?;
        if config.get_password().is_some() {
            return Err(PostgresAddressError::Password);
        }
        if config.get_user().is_none_or(str::is_empty) {
            return Err(PostgresAddressError::NoUser);
        }
        if config.get_dbname().is_none_or(str::is_empty) {
            return Err(PostgresAddressError::NoDatabase);
        }
        let is_local = |host: &Host| matches!(host, Host::Unix(_));
        let hosts = config.get_hosts();
        let local = hosts.iter().filter(|host| is_local(host)).count();
        let has_hosts = !hosts.is_empty() && config.get_hostaddrs().is_empty();
        if !has_hosts || (local != 0 && local != hosts.len()) {
            return Err(PostgresAddressError::Hosts);
        }
        if local == 0 {
            if config.get_ssl_mode() == SslMode::Disable {
                return Err(PostgresAddressError::Plaintext);
            }
            config.ssl_mode(SslMode::Require);
        } else {
            config.ssl_mode(SslMode::Disable);
        }
        if config.get_target_session_attrs() == TargetSessionAttrs::Any {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        Ok(PostgresAddress(config))
    }
}

impl PostgresAddress {
    /// Returns whether connections leave the machine, and therefore need TLS.
    #[must_use]
    pub fn needs_tls(&self) -> bool {
        self.0.get_ssl_mode() == SslMode::Require
    }

    /// Returns the address of the same database for another role.
    #[must_use]
    pub fn with_role(&self, role: &str) -> Self {
        let mut config = self.0.clone();
        config.user(role);
        PostgresAddress(config)
    }

    /// Returns the role that the store connects as.
    pub(super) fn user(&self) -> &str {
        self.0.get_user().unwrap_or_default()
    }

    /// Returns the parameters of a connection.
    pub(super) fn parameters(
        &self,
        password: Option<&SecretString>,
        limits: &PostgresLimits,
    ) -> tokio_postgres::Config {
        let mut config = self.0.clone();
        if let Some(password) = password {
            config.password(password.expose_secret());
        }
        config
            .application_name("sealward")
            .connect_timeout(limits.connect_time_max)
            .tcp_user_timeout(limits.unacknowledged_max)
            .keepalives(true)
            .keepalives_idle(limits.keepalive_interval)
            .keepalives_interval(limits.keepalive_interval)
            .keepalives_retries(KEEPALIVE_RETRIES);
        config
    }
}

impl fmt::Display for PostgresAddress {
    /// The hosts and the database. They are no secret, but the role is left out too, because several roles use the database.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, host) in self.0.get_hosts().iter().enumerate() {
            f.write_str(if number == 0 { "" } else { "," })?;
            match host {
                Host::Tcp(name) => f.write_str(name)?,
                Host::Unix(folder) => write!(f, "{}", folder.display())?,
            }
            // One port for each host, one for all, or none.
            match self.0.get_ports() {
                [] => {}
                [port] => write!(f, ":{port}")?,
                ports => ports.get(number).map_or(Ok(()), |port| write!(f, ":{port}"))?,
            }
        }
        write!(f, "/{}", self.0.get_dbname().unwrap_or_default())
    }
}

impl fmt::Debug for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresAddress").finish_non_exhaustive()
    }
}

/// How a role connects to a database.
#[derive(Clone)]
pub struct PostgresLogin {
    /// The address.
    pub address: PostgresAddress,
    /// The password; `None` for a role that authenticates with a client certificate, or as a user of the machine.
    pub password: Option<SecretString>,
    /// The configuration of TLS, which verifies the server's certificate and name. Unused for Unix sockets.
    pub tls: Arc<ClientConfig>,
}

impl fmt::Debug for PostgresLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresLogin").finish_non_exhaustive()
    }
}

/// The bounds of connections and statements.
#[derive(Clone, Copy, Debug)]
pub struct PostgresLimits {
    /// The maximum number of connections for reads and commits. There is one more for leases, and one of the role that
    /// owns the tables.
    pub connections_max: usize,
    /// The maximum number of scans and snapshots, each on its own connection, at the same time. The other connections
    /// are left to quick reads and commits.
    pub scans_max: usize,
    /// The maximum wait for a free connection.
    pub connection_wait_max: Duration,
    /// The maximum time to connect to one host.
    pub connect_time_max: Duration,
    /// The time after which a connection is closed whose data the server doesn't acknowledge.
    pub unacknowledged_max: Duration,
    /// The interval of the probes on a silent connection.
    pub keepalive_interval: Duration,
    /// The maximum duration of a statement of a quick read or a commit.
    pub statement_time_max: Duration,
    /// The maximum duration of a scan.
    pub scan_time_max: Duration,
    /// The maximum time that a transaction may hold a snapshot without reading.
    pub snapshot_idle_max: Duration,
    /// The maximum wait for the end of a transaction that was sent. Its outcome is then unknown.
    pub commit_time_max: Duration,
    /// The maximum wait for other servers that start: only one at a time opens the configuration database.
    pub start_wait_max: Duration,
    /// The maximum time to find out an unknown outcome.
    pub resolve_time_max: Duration,
}

impl Default for PostgresLimits {
    /// Returns the defaults. 16 connections, as many as a small server's processors can use. Half of them for scans. A
    /// quick read takes less than a millisecond, so 5 s for one means that the database is overloaded. 20 s for a
    /// commit: longer than a failover within a synchronous group. 60 s for the starts of other servers, each of which takes
    /// a second, or 10 s if it is killed. 10 s to resolve, so that a caller knows the outcome within its usual deadline.
    fn default() -> Self {
        PostgresLimits {
            connections_max: 16,
            scans_max: 8,
            connection_wait_max: Duration::from_secs(5),
            connect_time_max: Duration::from_secs(5),
            unacknowledged_max: Duration::from_secs(15),
            keepalive_interval: Duration::from_secs(5),
            statement_time_max: Duration::from_secs(5),
            scan_time_max: Duration::from_secs(10),
            snapshot_idle_max: Duration::from_secs(300),
            commit_time_max: Duration::from_secs(20),
            start_wait_max: Duration::from_secs(60),
            resolve_time_max: Duration::from_secs(10),
        }
    }
}

/// The number of unanswered probes after which a connection is closed.
const KEEPALIVE_RETRIES: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_names_role_database_and_hosts() {
        for (text, needs_tls) in [
            ("postgres://sealward@db.example:5432/sealward", true),
            ("postgresql://sealward@one:5432,two:5433/sealward?target_session_attrs=read-write", true),
            ("postgres://sealward@one/sealward?sslmode=prefer", true),
            ("postgres://sealward@%2Frun%2Fpostgresql/sealward", false),
        ] {
            let address: PostgresAddress = text.parse().unwrap();
            assert_eq!(address.needs_tls(), needs_tls, "{text}");
            assert_eq!(address.user(), "sealward");
        }
    }

    #[test]
    fn address_with_a_password_or_without_tls_is_refused() {
        use PostgresAddressError::{Hosts, Malformed, NoDatabase, NoUser, Password, Plaintext};
        for (text, error) in [
            ("", Malformed),
            ("host=one user=sealward dbname=sealward", Malformed),
            ("postgres://sealward@one:port/sealward", Malformed),
            ("postgres://sealward:hunter2@one/sealward", Password),
            ("postgres://sealward@one/sealward?password=hunter2", Password),
            ("postgres://one/sealward", NoUser),
            ("postgres://sealward@one", NoDatabase),
            ("postgres://sealward@/sealward", Hosts),
            ("postgres://sealward@one,%2Frun/sealward", Hosts),
            ("postgres://sealward@one/sealward?sslmode=disable", Plaintext),
        ] {
            assert_eq!(text.parse::<PostgresAddress>().unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn address_is_shown_without_its_role() {
        for (text, shown) in [
            ("postgres://sealward@db.example:5433/data?connect_timeout=3", "db.example:5433/data"),
            ("postgres://sealward@one:5432,two:5433/data", "one:5432,two:5433/data"),
            ("postgres://sealward@%2Frun%2Fpostgresql/data", "/run/postgresql:5432/data"),
        ] {
            assert_eq!(text.parse::<PostgresAddress>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn debug_text_contains_no_password() {
        let address: PostgresAddress = "postgres://sealward@one/sealward".parse().unwrap();
        let parameters = address.parameters(Some(&"hunter2".into()), &PostgresLimits::default());
        assert!(!format!("{parameters:?} {address:?}").contains("hunter2"));
    }
}
