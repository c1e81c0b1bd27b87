//! Core's ports over real databases, for tests of use cases.

use std::sync::{
    Mutex,
    atomic::{self, AtomicI64, AtomicU64},
};

use sealward_core::{
    configuration::first_configuration,
    crypto::{
        kek::{self, KdfOutOfBounds, KdfParameters},
        root_key::{RootKey, RootKeySet},
        secret::{Kek, KeyText, RootKeyBytes},
    },
    deployment::{KeyLimits, Ports},
    fail_point::{FailPoint, FailPoints},
    organization::open::inspect,
    port::{AuditGate, Clock, Computation, KeyDerivation, KeyUse, KeyUseObserver},
    random::Random,
};

use super::*;

/// No limits, and batches of one cell.
pub(super) const KEY_LIMITS: KeyLimits = KeyLimits {
    changes_per_hour: 0,
    restores_per_quarter_hour: 0,
    comparisons_per_quarter_hour: 0,
    change_due_days: 365,
    reencryption_batch_cells: 1,
    reencryption_batch_ms: 10,
};

/// What happens at a fail point.
type Act = Box<dyn FnOnce() + Send>;

/// The ports except stores and root key: a clock that only a test moves, distinct random bytes, and no failures.
pub(super) struct TestPorts {
    drawn: AtomicU64,
    now_us: AtomicI64,
    /// Called once, at this fail point.
    at: Mutex<Option<(FailPoint, Act)>>,
}

impl Default for TestPorts {
    fn default() -> Self {
        Self::seeded(0)
    }
}

impl TestPorts {
    pub(super) fn seeded(seed: u64) -> Self {
        let now_us = AtomicI64::new(1_800_000_000_000_000);
        Self { drawn: AtomicU64::new(seed), now_us, at: Mutex::default() }
    }

    pub(super) fn move_clock(&self, seconds: i64) {
        self.now_us.fetch_add(seconds * 1_000_000, atomic::Ordering::Relaxed);
    }

    pub(super) fn at(&self, point: FailPoint, then: impl FnOnce() + Send + 'static) {
        *self.at.lock().unwrap() = Some((point, Box::new(then)));
    }
}

impl Clock for TestPorts {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_micros(self.now_us.load(atomic::Ordering::Relaxed))
    }
}

impl Random for TestPorts {
    /// SplitMix64.
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let mut word = self.drawn.fetch_add(0x9E37_79B9_7F4A_7C15, atomic::Ordering::Relaxed);
            word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            chunk.copy_from_slice(&(word ^ (word >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

impl KeyDerivation for TestPorts {
    fn derive(&self, text: KeyText, parameters: KdfParameters) -> Pending<'_, (KeyText, Result<Kek, KdfOutOfBounds>)> {
        let kek = kek::derive(&text, &parameters);
        Box::pin(async { (text, kek) })
    }
}

impl Computation for TestPorts {
    fn threads(&self) -> usize {
        1
    }

    fn start(&self, computation: Box<dyn FnOnce() + Send>) -> Pending<'static, ()> {
        computation();
        Box::pin(async {})
    }
}

impl AuditGate for TestPorts {
    fn admit(&self) -> Result<(), Cause> {
        Ok(())
    }
}

impl KeyUseObserver for TestPorts {
    fn begin(&self, _: KeyUse) -> Option<Box<dyn Send>> {
        None
    }
}

impl FailPoints for TestPorts {
    fn reached(&self, point: FailPoint) {
        let then = self.at.lock().unwrap().take_if(|(at, _)| *at == point);
        if let Some((_, then)) = then {
            then();
        }
    }
}

/// Root keys of repeated bytes, the first one first.
pub(super) fn root_keys(first: u8, others: &[u8]) -> Arc<dyn RootKey> {
    let root = |byte: u8| RootKeyBytes::from_slice(&[byte; 32]).unwrap();
    Arc::new(RootKeySet::new(root(first), others.iter().copied().map(root).collect()))
}

/// The configuration database of the folder, which is created if it is missing. It lists no root key.
pub(super) async fn new_configuration(fixture: &Fixture) -> Arc<dyn Store> {
    let (path, options) = (fixture.folder.configuration(), SqliteOptions::default());
    let first = || first_configuration(WRITER, Timestamp::from_unix_micros(1));
    SqliteStore::open_or_create(path, WRITER, options, Witness::none(), first).await.unwrap()
}

/// The databases of the folder's organizations.
pub(super) fn organization_databases(folder: &Arc<DataFolder>) -> SqliteDatabases {
    let limits = OpenLimits { open_max: OPEN_MAX, idle_max: IDLE_MAX };
    let options = SqliteOptions::default();
    SqliteDatabases::new(Arc::clone(folder), WRITER, options, limits, no_witnesses(), inspect).unwrap()
}

pub(super) fn ports(
    configuration: Arc<dyn Store>,
    databases: Arc<dyn OrganizationDatabases>,
    root_key: Arc<dyn RootKey>,
    others: &Arc<TestPorts>,
) -> Ports {
    Ports {
        configuration,
        databases,
        root_key,
        key_derivation: Arc::clone(others) as Arc<dyn KeyDerivation>,
        computation: Arc::clone(others) as Arc<dyn Computation>,
        clock: Arc::clone(others) as Arc<dyn Clock>,
        random: Arc::clone(others) as Arc<dyn Random>,
        audit_gate: Arc::clone(others) as Arc<dyn AuditGate>,
        key_uses: Arc::clone(others) as Arc<dyn KeyUseObserver>,
        fail_points: Arc::clone(others) as Arc<dyn FailPoints>,
    }
}
