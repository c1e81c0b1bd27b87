//! Spans of what use cases ask of their ports: the stores, key derivation, and uses of keys.
//!
//! Each port passes on every method of the port below. A method with a default in the trait must be passed on too: the store's own one is
//! faster. A call that isn't recorded gets the future of the port below itself.

use std::sync::{Arc, Mutex};

use sealward_core::{
    crypto::{
        kek::{KdfOutOfBounds, KdfParameters},
        secret::{Kek, KeyText},
    },
    deployment::Ports,
    id::OrganizationId,
    port::{KeyDerivation, KeyUse, KeyUseObserver, OrganizationDatabases, OrganizationLock, PreparedDatabase},
    store::{
        ColumnRows, ColumnScan, Commit, CommitError, Condition, Datum, Generation, Lookup, Name, OpenError, Pending,
        Reader, Row, RowSink, Scan, ScanEnd, ScanError, Scanned, Select, Store, Submitted, Unavailable,
    },
};

use super::{
    current,
    table::{self, Kind},
};

/// These ports, with a span for each use.
pub(crate) fn with_spans(ports: Ports) -> Ports {
    Ports {
        configuration: Arc::new(StoreWithSpans { store: ports.configuration, name: "configuration" }),
        databases: Arc::new(DatabasesWithSpans(ports.databases)),
        key_derivation: Arc::new(DerivationWithSpans(ports.key_derivation)),
        key_uses: Arc::new(KeyUsesWithSpans),
        ..ports
    }
}

/// Uses of keys aren't measured.
pub(crate) struct NotMeasured;

impl KeyUseObserver for NotMeasured {
    fn begin(&self, _: KeyUse) -> Option<Box<dyn Send>> {
        None
    }
}

struct KeyUsesWithSpans;

impl KeyUseObserver for KeyUsesWithSpans {
    fn begin(&self, key_use: KeyUse) -> Option<Box<dyn Send>> {
        let span = current::begin(match key_use {
            KeyUse::Seal => &table::CELLS_SEAL,
            KeyUse::Open => &table::CELLS_OPEN,
        })?;
        Some(Box::new(span))
    }
}

struct DerivationWithSpans(Arc<dyn KeyDerivation>);

impl KeyDerivation for DerivationWithSpans {
    fn derive(&self, text: KeyText, parameters: KdfParameters) -> Pending<'_, (KeyText, Result<Kek, KdfOutOfBounds>)> {
        let Some(span) = current::begin(&table::KEY_DERIVE) else { return self.0.derive(text, parameters) };
        let derivation = self.0.derive(text, parameters);
        Box::pin(async move {
            let derived = derivation.await;
            drop(span);
            derived
        })
    }
}

struct DatabasesWithSpans(Arc<dyn OrganizationDatabases>);

impl OrganizationDatabases for DatabasesWithSpans {
    fn create(&self, id: OrganizationId, first: Commit) -> Pending<'_, Result<(), CommitError>> {
        self.0.create(id, first)
    }

    fn prepare(
        &self,
        id: OrganizationId,
        first: Commit,
    ) -> Pending<'_, Result<Box<dyn PreparedDatabase>, CommitError>> {
        self.0.prepare(id, first)
    }

    fn open(&self, id: OrganizationId) -> Pending<'_, Result<Arc<dyn Store>, OpenError>> {
        let opening = self.0.open(id);
        Box::pin(async move {
            Ok(Arc::new(StoreWithSpans { store: opening.await?, name: "organization" }) as Arc<dyn Store>)
        })
    }

    fn list(&self) -> Pending<'_, Result<Vec<OrganizationId>, Unavailable>> {
        self.0.list()
    }

    fn remove(&self, id: OrganizationId) -> Pending<'_, Result<(), Unavailable>> {
        self.0.remove(id)
    }

    fn is_shared(&self) -> bool {
        self.0.is_shared()
    }

    fn try_lock(&self, id: OrganizationId) -> Pending<'_, Result<Option<Box<dyn OrganizationLock>>, Unavailable>> {
        self.0.try_lock(id)
    }
}

/// A store, and its name in spans.
struct StoreWithSpans {
    store: Arc<dyn Store>,
    name: &'static str,
}

impl StoreWithSpans {
    /// Starts work of the store within a span, if the call is recorded.
    fn within<'a, T: 'a, E: FailureOfStore + 'a>(
        &'a self,
        kind: &'static Kind,
        start: impl FnOnce(&'a dyn Store) -> Pending<'a, Result<T, E>>,
    ) -> Pending<'a, Result<T, E>>
    where
        Result<T, E>: Send,
    {
        let Some(mut span) = current::begin(kind) else { return start(&*self.store) };
        span.set(&table::STORE, self.name);
        // A store may do the work here already.
        let pending = start(&*self.store);
        Box::pin(async move {
            let outcome = pending.await;
            if let Err(error) = &outcome {
                span.fail(error.name());
            }
            outcome
        })
    }
}

impl Reader for StoreWithSpans {
    fn select(&self, select: Select) -> Pending<'_, Result<Vec<Row>, Unavailable>> {
        self.within(&table::STORE_READ, |store| store.select(select))
    }

    fn look_up(&self, lookup: &Arc<Lookup>, key: Datum) -> Pending<'_, Result<Option<Row>, Unavailable>> {
        self.within(&table::STORE_READ, |store| store.look_up(lookup, key))
    }

    fn count(&self, table: Name, rows: Condition) -> Pending<'_, Result<u64, Unavailable>> {
        self.within(&table::STORE_READ, |store| store.count(table, rows))
    }

    fn scan(&self, select: Select, bytes_max: usize) -> Pending<'_, Result<Scanned, ScanError>> {
        self.within(&table::STORE_SCAN, |store| store.scan(select, bytes_max))
    }

    fn scan_into(&self, scan: Scan, sink: Arc<Mutex<dyn RowSink>>) -> Pending<'_, Result<ScanEnd, ScanError>> {
        self.within(&table::STORE_SCAN, |store| store.scan_into(scan, sink))
    }

    fn scan_count(&self, table: Name, rows: Condition) -> Pending<'_, Result<u64, ScanError>> {
        self.within(&table::STORE_SCAN, |store| store.scan_count(table, rows))
    }

    fn scan_column(&self, scan: ColumnScan) -> Pending<'_, Result<ColumnRows, Unavailable>> {
        self.within(&table::STORE_READ, |store| store.scan_column(scan))
    }
}

impl Store for StoreWithSpans {
    fn commit(&self, commit: Commit) -> Pending<'_, Result<(), CommitError>> {
        self.within(&table::STORE_COMMIT, |store| store.commit(commit))
    }

    fn submit(&self, commit: Commit) -> Pending<'_, Submitted> {
        let Some(mut span) = current::begin(&table::STORE_COMMIT) else { return self.store.submit(commit) };
        span.set(&table::STORE, self.name);
        let submitting = self.store.submit(commit);
        Box::pin(async move {
            let submitted = submitting.await;
            Submitted::new(async move {
                let outcome = submitted.outcome().await;
                if let Err(error) = &outcome {
                    span.fail(error.name());
                }
                drop(span);
                outcome
            })
        })
    }

    // Exports and verifications read a snapshot, page by page: their spans would say nothing about the call.
    fn snapshot(&self) -> Pending<'_, Result<Arc<dyn Reader>, Unavailable>> {
        self.store.snapshot()
    }

    fn generation(&self) -> Option<Generation> {
        self.store.generation()
    }

    fn scrub(&self) -> Pending<'_, Result<(), Unavailable>> {
        self.within(&table::STORE_SCRUB, |store| store.scrub())
    }
}

/// Why work of a store failed, as in spans.
trait FailureOfStore {
    fn name(&self) -> &'static str;
}

const UNAVAILABLE: &str = "unavailable";

impl FailureOfStore for Unavailable {
    fn name(&self) -> &'static str {
        UNAVAILABLE
    }
}

impl FailureOfStore for ScanError {
    fn name(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "too_long",
            Self::Unavailable(_) => UNAVAILABLE,
        }
    }
}

impl FailureOfStore for CommitError {
    fn name(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::Unavailable(_) => UNAVAILABLE,
            Self::Unknown(_) => "unknown_outcome",
        }
    }
}
