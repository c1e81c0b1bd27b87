//! Time to seal and open a cell, by the length of its value and the number of data keys in the ring, and to open a key ring.
//!
//! Random numbers come from the operating system, as in the server. Nothing is stored.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a measurement may stop at the first surprise")]

use std::{collections::BTreeSet, hint::black_box};

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use sealward_core::{
    crypto::{
        context::CellContext,
        kek::{self, ITERATIONS_DEFAULT, KdfParameters},
        ring::KeyRing,
        secret::{Kek, KeyText, Plaintext},
    },
    id::{KeyVersion, OrganizationId, RecordId, Timestamp},
    random::Random,
};

/// Empty, the longest value in one padding block, a long password, longer than every built-in attribute.
const LENGTHS_BYTES: [usize; 4] = [0, 32, 200, 1_024];

/// The data keys of a new ring, and of a ring that keeps old keys for unreadable cells.
const VERSIONS: [u32; 2] = [1, 3];

const ORGANIZATION: OrganizationId = OrganizationId::from_bytes([1; 16]);
const NOW: Timestamp = Timestamp::from_unix_micros(0);

struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).unwrap();
    }
}

/// A ring and its KEK.
struct RingWithKek {
    ring: KeyRing,
    kek: Kek,
}

impl RingWithKek {
    /// A ring with this many data keys. Each change keeps the previous keys, as for unreadable cells.
    fn of(versions: u32) -> Self {
        let (mut kek, kdf) = derive();
        let mut ring = KeyRing::create(ORGANIZATION, &kek, kdf, NOW, &SystemRandom).unwrap();
        let mut keep = BTreeSet::from([KeyVersion::FIRST]);
        for _ in 1..versions {
            let (next, kdf) = derive();
            ring = ring.change(&next, kdf, NOW, &SystemRandom).unwrap();
            keep.insert(ring.version());
            ring = ring.finish(&keep, &SystemRandom).unwrap().settle(&SystemRandom).unwrap();
            kek = next;
        }
        assert!(keep.iter().all(|version| ring.opens(*version)));
        RingWithKek { ring, kek }
    }
}

fn derive() -> (Kek, KdfParameters) {
    let kdf = KdfParameters::draw(&SystemRandom);
    (kek::derive(&KeyText::new("a key text, number 1".to_owned()), &kdf).unwrap(), kdf)
}

fn context() -> CellContext<'static> {
    CellContext {
        organization: ORGANIZATION,
        entity: "Mailbox",
        record: RecordId::from_bytes([2; 16]),
        attribute: "password",
    }
}

fn value(length_bytes: usize) -> Plaintext {
    Plaintext::new(vec![b'x'; length_bytes])
}

fn cells(criterion: &mut Criterion) {
    for versions in VERSIONS {
        let RingWithKek { ring, .. } = RingWithKek::of(versions);
        let mut group = criterion.benchmark_group("seal");
        for length_bytes in LENGTHS_BYTES {
            let id = BenchmarkId::new(format!("{length_bytes} bytes"), format!("{versions} in the ring"));
            group.bench_with_input(id, &length_bytes, |bencher, length_bytes| {
                let value = value(*length_bytes);
                bencher.iter(|| ring.seal(&context(), black_box(&value), &SystemRandom));
            });
        }
        group.finish();

        let mut group = criterion.benchmark_group("open");
        for length_bytes in LENGTHS_BYTES {
            let id = BenchmarkId::new(format!("{length_bytes} bytes"), format!("{versions} in the ring"));
            group.bench_with_input(id, &length_bytes, |bencher, length_bytes| {
                let cell = ring.seal(&context(), &value(*length_bytes), &SystemRandom);
                bencher.iter(|| ring.open_cell(&context(), black_box(&cell)).unwrap());
            });
        }
        group.finish();
    }
}

fn rings(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ring");
    for versions in VERSIONS {
        let RingWithKek { ring, kek } = RingWithKek::of(versions);
        group.bench_function(BenchmarkId::new("open", format!("{versions} in the ring")), |bencher| {
            bencher.iter(|| KeyRing::open(black_box(ring.stored()), ORGANIZATION, &kek).unwrap());
        });
    }
    // The time of a key change and a restore, and of a guess by an attacker.
    group.sample_size(10).bench_function(format!("derive a KEK, {ITERATIONS_DEFAULT} iterations"), |bencher| {
        let text = KeyText::new("a key text, number 1".to_owned());
        bencher.iter_batched(
            || KdfParameters::draw(&SystemRandom),
            |kdf| kek::derive(&text, &kdf).unwrap(),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, cells, rings);
criterion_main!(benches);
