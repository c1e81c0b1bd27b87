//! Databases of any store that are open only while they are used.

use std::time::Instant;

use sealward_core::{
    id::OrganizationId,
    name::OrganizationName,
    store::{Cause, Generation, OpenError, Pending, Reader},
};

/// The organizations' databases. Each is open only while it is used, and a call opens it if it is closed.
pub trait OnDemand: Send + Sync {
    /// Returns the name and the version of the database software, for people.
    fn engine(&self) -> String;

    /// Returns whether an organization's database is open.
    fn is_open(&self, id: OrganizationId) -> bool;

    /// Returns the number of open databases.
    fn open_count(&self) -> usize;

    /// Returns the generation of an organization's committed content; `None` if its database is closed, or if the
    /// content may be changing. This isn't a use, and doesn't keep the database open.
    fn generation(&self, id: OrganizationId) -> Option<Generation>;

    /// Returns the sizes of the files of an organization's database, or without an id of the configuration database;
    /// `None` if databases aren't files. Opens no database. Blocks.
    fn file_bytes(&self, id: Option<OrganizationId>) -> Option<FileBytes>;

    /// Closes databases that are idle at this time, and those above the maximum number. Blocks.
    fn close_idle(&self, now: Instant);

    /// Lets another server start, because this one has opened what it needs.
    fn started(&self) -> Pending<'_, ()>;

    /// Returns what other servers have changed or left unfinished; `None` if no other server can use the databases.
    fn others(&self) -> Pending<'_, Result<Option<Others>, Cause>>;

    /// Returns whether this server is the one of a deployment that removes expired data. If no server is, this one becomes
    /// it.
    fn maintains(&self) -> Pending<'_, bool>;

    /// Lets another server do at once what only one does, after the last use of the databases.
    fn release(&self) -> Pending<'_, ()>;
}

/// What a server can see of others that use the same databases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Others {
    /// The number of the last commit to the configuration database, by any server.
    pub configuration_commits: i64,
    /// The organizations whose lock expired before its holder released it.
    pub abandoned: Vec<OrganizationId>,
}

/// Reads the organization's name inside a database that is being opened, and checks that the database belongs to this
/// organization. Called at each open.
pub type Inspect = for<'a> fn(OrganizationId, &'a dyn Reader) -> Pending<'a, Result<OrganizationName, OpenError>>;

/// The sizes of the files of a database, in bytes; 0 if there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileBytes {
    /// The database itself.
    pub database: u64,
    /// Its write-ahead log.
    pub log: u64,
}
