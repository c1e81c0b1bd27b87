//! One database: the rows of an organization, or of the configuration, in the tables of PostgreSQL.
//!
//! This file doesn't know the purpose of the tables.

use std::sync::{Arc, Mutex};

use sealward_core::store::{
    ColumnRows, ColumnScan, Commit, CommitError, Condition, Datum, Lookup, Name, Pending, Reader, Row, RowSink, Scan,
    ScanEnd, ScanError, Scanned, Select, Store, Submitted, Unavailable,
};

use super::reads::Reads;
use crate::committer::Committer;

/// A database in PostgreSQL.
#[derive(Debug)]
pub struct PostgresStore {
    pub(super) reads: Reads,
    pub(super) committer: Committer,
}

impl Reader for PostgresStore {
    fn select(&self, select: Select) -> Pending<'_, Result<Vec<Row>, Unavailable>> {
        self.reads.select(select)
    }

    fn look_up(&self, lookup: &Arc<Lookup>, key: Datum) -> Pending<'_, Result<Option<Row>, Unavailable>> {
        self.reads.look_up(lookup, key)
    }

    fn count(&self, table: Name, rows: Condition) -> Pending<'_, Result<u64, Unavailable>> {
        self.reads.count(table, rows)
    }

    fn scan(&self, select: Select, bytes_max: usize) -> Pending<'_, Result<Scanned, ScanError>> {
        self.reads.scan(select, bytes_max)
    }

    fn scan_into(&self, scan: Scan, sink: Arc<Mutex<dyn RowSink>>) -> Pending<'_, Result<ScanEnd, ScanError>> {
        self.reads.scan_into(scan, sink)
    }

    fn scan_count(&self, table: Name, rows: Condition) -> Pending<'_, Result<u64, ScanError>> {
        self.reads.scan_count(table, rows)
    }

    fn scan_column(&self, scan: ColumnScan) -> Pending<'_, Result<ColumnRows, Unavailable>> {
        self.reads.scan_column(scan)
    }
}

impl Store for PostgresStore {
    fn commit(&self, commit: Commit) -> Pending<'_, Result<(), CommitError>> {
        Box::pin(self.committer.commit(commit))
    }

    fn submit(&self, commit: Commit) -> Pending<'_, Submitted> {
        Box::pin(self.committer.submit(commit))
    }

    fn snapshot(&self) -> Pending<'_, Result<Arc<dyn Reader>, Unavailable>> {
        Box::pin(async move {
            let snapshot = self.reads.snapshot().await.map_err(|error| Unavailable(error.into()))?;
            Ok(Arc::new(snapshot) as Arc<dyn Reader>)
        })
    }

    fn scrub(&self) -> Pending<'_, Result<(), Unavailable>> {
        Box::pin(self.committer.scrub())
    }
}
