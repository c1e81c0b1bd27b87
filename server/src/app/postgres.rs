//! The roles that connect to the PostgreSQL database: their passwords, and the TLS of their connections.

use std::{path::Path, sync::Arc};

use rustls::{ClientConfig, crypto::aws_lc_rs};
use sealward_core::store::Cause;
use sealward_store::postgres::{self, Checked, Postgres, PostgresLimits, PostgresLogin};
use secrecy::SecretString;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::{
    config::{Storage, limits::Limits},
    files::{
        cas::Cas,
        pem::{self, PemError},
        trusted_file::{self, Kind, TrustedFileError},
    },
};

/// Why the PostgreSQL database can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// The file of a password can't be used.
    #[error("the file of a password for PostgreSQL can't be used")]
    Password(#[from] TrustedFileError),
    /// The file of a password contains no text of one line.
    #[error("the file of a password for PostgreSQL is empty or has several lines: write the password as its only line")]
    NotAPassword,
    /// The CAs can't be used.
    #[error("storage.ca can't be used")]
    Ca(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The client certificate or its key can't be used.
    #[error("storage.client_certificate or storage.client_key can't be used")]
    Certificate(#[from] PemError),
    /// TLS can't be set up.
    #[error("TLS for PostgreSQL can't be set up")]
    Tls(#[from] rustls::Error),
    /// The database can't be opened.
    #[error("the PostgreSQL database of storage.url can't be opened")]
    Open(#[source] Cause),
}

/// Opens the database. `holder` is a random id of this process.
pub(super) async fn open(storage: &Storage, limits: &Limits, holder: Uuid) -> Result<Postgres, PostgresError> {
    let (login, owner) = read_logins(storage).await?;
    let connections_max = usize::try_from(limits.storage_connections_max).unwrap_or(usize::MAX);
    let limits = PostgresLimits {
        connections_max,
        scans_max: connections_max / 2,
        scan_time_max: limits.list_time_max(),
        ..PostgresLimits::default()
    };
    Postgres::open(login, owner, limits, holder).await.map_err(PostgresError::Open)
}

/// Checks whether a server could open the database. Changes nothing, and doesn't disturb a server that works in it.
pub(crate) async fn check(storage: &Storage) -> Result<Checked, PostgresError> {
    let (login, owner) = read_logins(storage).await?;
    postgres::check(login, owner, PostgresLimits::default()).await.map_err(PostgresError::Open)
}

async fn read_logins(storage: &Storage) -> Result<(PostgresLogin, Option<PostgresLogin>), PostgresError> {
    let storage = storage.clone();
    // Aborted only when the runtime ends.
    spawn_blocking(move || logins(&storage)).await.unwrap_or(Err(PostgresError::NotAPassword))
}

/// Reads the files of the server's role, and of the role that owns the tables. Blocks.
fn logins(storage: &Storage) -> Result<(PostgresLogin, Option<PostgresLogin>), PostgresError> {
    let tls = Arc::new(client_config(storage)?);
    let login = |address, file: Option<&Path>| {
        let password = file.map(password).transpose()?;
        Ok::<_, PostgresError>(PostgresLogin { address, password, tls: Arc::clone(&tls) })
    };
    let owner = storage.owner.as_ref();
    let owner = owner.map(|owner| login(storage.address.with_role(&owner.role), owner.password_file.as_deref()));
    Ok((login(storage.address.clone(), storage.password_file.as_deref())?, owner.transpose()?))
}

fn password(path: &Path) -> Result<SecretString, PostgresError> {
    let text = trusted_file::read(path, Kind::Password)?;
    let text = std::str::from_utf8(&text).map_err(|_| PostgresError::NotAPassword)?;
    let line = text.trim_end_matches(['\r', '\n']);
    if line.is_empty() || line.contains('\n') { Err(PostgresError::NotAPassword) } else { Ok(line.into()) }
}

/// The TLS of connections: it verifies the certificate and the name of PostgreSQL.
fn client_config(storage: &Storage) -> Result<ClientConfig, PostgresError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?;
    let roots = if storage.address.needs_tls() {
        Cas::read(storage.ca.as_deref()).and_then(|cas| cas.roots()).map_err(PostgresError::Ca)?
    } else {
        rustls::RootCertStore::empty()
    };
    let builder = builder.with_root_certificates(roots);
    Ok(match &storage.identity {
        Some((certificate, key)) => {
            builder.with_client_auth_cert(pem::certificates(certificate)?, pem::private_key(key)?)?
        }
        None => builder.with_no_client_auth(),
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn password_is_the_only_line_of_its_file() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("password");
        let read = |content: &str| {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            password(&path).ok().map(|text| text.expose_secret().to_owned())
        };
        for content in ["hunter 2", "hunter 2\n", "hunter 2\r\n"] {
            assert_eq!(read(content).as_deref(), Some("hunter 2"));
        }
        for content in ["", "\n", "hunter\n2\n"] {
            assert_eq!(read(content), None);
        }
    }
}
