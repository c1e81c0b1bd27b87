//! The data folder of a deployment whose databases are in PostgreSQL: it contains none itself, and the id of that deployment.
//!
//! Without these checks, a changed setting would make a server start with an empty deployment, as if its data were lost.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use uuid::Uuid;

use crate::files::private_file;

/// Why a data folder doesn't match the store.
#[derive(Debug, thiserror::Error)]
pub enum OtherStore {
    /// The folder contains databases, and the configuration has `[storage]`.
    #[error(
        "{} exists, but storage.url is set: the server doesn't move data from files to PostgreSQL; export each organization with a \
         server on the files and import it, or use another data_dir",
        .path.display()
    )]
    Files {
        /// The configuration database.
        path: PathBuf,
    },
    /// The folder is that of a deployment in PostgreSQL, and the configuration has no `[storage]`.
    #[error("the data of {} is in PostgreSQL, but storage.url isn't set: set it, or use another data_dir", .folder.display())]
    Postgres {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder is that of another deployment in PostgreSQL.
    #[error(
        "{} belongs to deployment {wanted}, but the database of storage.url {}: correct storage.url, restore the database, or remove \
         {}",
        .path.parent().unwrap_or(.path).display(),
        .found.map_or("is empty".to_owned(), |found| format!("belongs to deployment {found}")),
        .path.display()
    )]
    Deployment {
        /// The file with the id.
        path: PathBuf,
        /// The deployment of the folder.
        wanted: Uuid,
        /// The deployment of the database; `None` if it contains none.
        found: Option<Uuid>,
    },
    /// The id can't be read or written.
    #[error("{} can't be used", .path.display())]
    Io {
        /// The file with the id.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
}

/// The file with the id of the deployment in PostgreSQL.
const NAME: &str = "postgresql-deployment";

/// Checks that the databases of the folder are to be served. Blocks.
pub(crate) fn is_of_files(folder: &Path) -> Result<(), OtherStore> {
    match read(&folder.join(NAME))? {
        None => Ok(()),
        Some(_) => Err(OtherStore::Postgres { folder: folder.to_owned() }),
    }
}

/// Checks that the folder contains no database, and returns the id of the deployment in PostgreSQL, if it is known. Blocks.
pub(crate) fn deployment_in_postgres(folder: &Path) -> Result<Option<Uuid>, OtherStore> {
    let path = folder.join("configuration.db");
    if fs::symlink_metadata(&path).is_ok() { Err(OtherStore::Files { path }) } else { read(&folder.join(NAME)) }
}

/// Checks that the id of the deployment is the known one. `found` is `None` for a database without a deployment.
pub(crate) fn compare(folder: &Path, known: Option<Uuid>, found: Option<Uuid>) -> Result<(), OtherStore> {
    match known {
        Some(wanted) if found != known => Err(OtherStore::Deployment { path: folder.join(NAME), wanted, found }),
        Some(_) | None => Ok(()),
    }
}

/// Stores the id. Blocks.
pub(crate) fn remember(folder: &Path, id: Uuid) -> Result<(), OtherStore> {
    let path = folder.join(NAME);
    let written = private_file::create(&path, format!("{id}\n").as_bytes(), private_file::PRIVATE);
    written.map(drop).map_err(|source| OtherStore::Io { path, source })
}

fn read(path: &Path) -> Result<Option<Uuid>, OtherStore> {
    let failed = |source| OtherStore::Io { path: path.to_owned(), source };
    match fs::read_to_string(path) {
        Ok(text) => {
            text.trim().parse().map(Some).map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_of_another_store_or_deployment_is_refused() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path();
        let [one, other] = [1, 2].map(Uuid::from_u128);
        is_of_files(path).unwrap();
        assert_eq!(deployment_in_postgres(path).unwrap(), None);
        compare(path, None, Some(one)).unwrap();
        remember(path, one).unwrap();
        remember(path, one).unwrap();
        let known = deployment_in_postgres(path).unwrap();
        assert_eq!(known, Some(one));
        compare(path, known, Some(one)).unwrap();
        let refused = |found| compare(path, known, found).unwrap_err().to_string();
        assert!(
            refused(Some(other)).contains(&format!("but the database of storage.url belongs to deployment {other}"))
        );
        assert!(refused(None).contains("is empty"));
        assert!(matches!(is_of_files(path), Err(OtherStore::Postgres { .. })));
        fs::write(path.join("configuration.db"), "").unwrap();
        assert!(matches!(deployment_in_postgres(path), Err(OtherStore::Files { .. })));
        fs::remove_file(path.join("configuration.db")).unwrap();
        fs::write(path.join(NAME), "not an id").unwrap();
        assert!(matches!(deployment_in_postgres(path), Err(OtherStore::Io { .. })));
    }
}
