//! A model of the key protocol. A model checker explores its states exhaustively within bounds.
//!
//! The model has an organization database, a configuration database, two servers that share them, callers that write and
//! read cells, and an administrator who changes and restores the key. Between any two steps:
//!
//! * a server can crash, lose its lease on the lock without noticing, or not learn the outcome of a commit;
//! * the configuration database can be lost;
//! * the organization database can be replaced by an older copy.
//!
//! The decisions are those of the servers' own code, [`next_step`]. The writes around it follow ARCHITECTURE.md. A test
//! removes each guard of the protocol and shows that the model finds the resulting fault, because a check that can't fail
//! is useless.
//!
//! Run it with `--nocapture` to print the number of explored states and the path to a violated property.
//!
//! The model contains no cryptography. A data key is a number, and a cell opens with the key that sealed it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};

use sealward_core::{
    crypto::ring::stored::ReencryptionState,
    id::KeyVersion,
    key::step::{ConfigurationFacts, NextStep, RingFacts, next_step},
};
use stateright::{Checker, Model, Property};

/// A key text with its salt, as identified by a key-check value.
type Key = u8;
/// A data key. Each is unique, regardless of its version.
type DataKey = u8;
type Version = u8;
type Revision = u8;
type Server = usize;

const SERVERS: usize = 2;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Ring {
    revision: Revision,
    check: Key,
    keys: BTreeMap<Version, DataKey>,
    state: State,
}

/// Like [`ReencryptionState`], but hashable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum State {
    Idle,
    Running,
    Finishing,
}

impl Ring {
    fn newest(&self) -> Version {
        *self.keys.last_key_value().unwrap().0
    }

    fn opens(&self, cell: Cell) -> bool {
        self.keys.get(&cell.version) == Some(&cell.key)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Cell {
    version: Version,
    key: DataKey,
    value: u8,
}

/// The organization's database.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Database {
    ring: Ring,
    cells: Vec<Cell>,
    /// The first cell that the walk hasn't visited.
    cursor: usize,
}

/// The work of a server under the lock, in its own task.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Work {
    /// The lock is held, and the next step isn't decided yet.
    Look,
    /// A change: writes the text.
    WriteText { base: Ring, key: Key },
    /// A change: stores the ring, after the text was written.
    StoreRing { base: Ring, key: Key },
    /// Seals the next cell of the walk again, if there is one, and moves the cursor.
    Walk { base: Ring, cursor: usize, cell: Option<(usize, Cell)> },
    /// Starts the walk again, because the scan found an old cell.
    WalkAgain { base: Ring, cursor: usize },
    /// Destroys the old data keys, after the walk and the scan visited every cell.
    Destroy { base: Ring, cursor: usize },
    /// Deletes the texts other than the current one.
    Forget { base: Ring, texts: BTreeSet<Key> },
    /// Completes the change.
    Settle { base: Ring },
    /// A restore: writes the text, which opened the ring.
    RestoreText { key: Key },
}

/// A caller's write that is sealed but not committed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Write {
    at: usize,
    cell: Cell,
    revision: Revision,
}

/// A caller's read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Read {
    /// The ring was read, but not the cell.
    Ring { ring: Ring, failed: Option<(Revision, Cell)> },
    /// The cell doesn't open with the ring. Both must be read again.
    Stale { failed: (Revision, Cell) },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
struct Process {
    /// The opened ring in memory.
    ring: Option<Ring>,
    work: Option<Work>,
    write: Option<Write>,
    read: Option<Read>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    database: Database,
    /// The keys whose texts are in the configuration database.
    texts: BTreeSet<Key>,
    processes: Vec<Process>,
    lock: Option<Server>,
    copy: Option<Database>,
    left: Budget,
    // Known only to the observer:
    /// The possible values of each cell: the last acknowledged value, and later values whose commit had an unknown
    /// outcome.
    possible: Vec<BTreeSet<u8>>,
    copied_possible: Vec<BTreeSet<u8>>,
    /// The former keys.
    former: BTreeSet<Key>,
    keys_drawn: u8,
    values_drawn: u8,
    revisions_drawn: u8,
    configuration_lost: bool,
    rolled_back: bool,
    /// Whether a read reported a cell as unreadable although it can be opened.
    misread: bool,
}

/// The maximum number of each kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
struct Budget {
    changes: u8,
    writes: u8,
    reads: u8,
    crashes: u8,
    unknown: u8,
    leases_lost: u8,
    configurations_lost: u8,
    copies_restored: u8,
}

/// The protocol and its guards. The service uses all guards.
#[derive(Clone, Copy)]
struct Protocol {
    budget: Budget,
    cells: usize,
    /// The text is stored in the configuration database before the ring that uses it.
    text_before_ring: bool,
    /// A write of a cell fails if the ring has changed since the cell was sealed.
    writes_check_the_ring: bool,
    /// A re-encryption overwrites a cell only if it is unchanged since it was read.
    reseal_compares: bool,
    /// A step of a re-encryption fails if the cursor has changed since the step was decided.
    steps_check_the_cursor: bool,
    /// Deletes the texts that were read, not all except the current one.
    forget_only_read: bool,
    /// A change completes only after the texts of former keys are deleted.
    forget_before_done: bool,
    /// A failed read is repeated until it fails with the same ring and cell as before.
    read_until_stable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Outcome {
    Known,
    /// The commit took effect, but its outcome is unknown to the server.
    LostAfter,
    /// The commit took no effect, and its outcome is unknown to the server.
    LostBefore,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Action {
    Start(Server),
    Change(Server),
    Restore(Server),
    Step(Server, Outcome),
    BeginWrite(Server, usize),
    CommitWrite(Server, Outcome),
    Read(Server),
    Crash(Server),
    LoseLease(Server),
    LoseConfiguration,
    Copy,
    RestoreCopy,
}

impl Protocol {
    fn complete(cells: usize, budget: Budget) -> Protocol {
        Protocol {
            budget,
            cells,
            text_before_ring: true,
            writes_check_the_ring: true,
            reseal_compares: true,
            steps_check_the_cursor: true,
            forget_only_read: true,
            forget_before_done: true,
            read_until_stable: true,
        }
    }

    /// Returns the decision of the servers' code.
    fn next(&self, world: &World) -> NextStep {
        let ring = &world.database.ring;
        let reencryption = match ring.state {
            State::Idle => ReencryptionState::Idle,
            State::Running => ReencryptionState::Running,
            State::Finishing => ReencryptionState::Finishing,
        };
        next_step(
            ConfigurationFacts { has_current_text: world.texts.contains(&ring.check) },
            RingFacts::Intact { reencryption, version: KeyVersion::new(ring.newest().into()).unwrap() },
        )
    }

    /// Reads the ring again, and opens it if its text is stored.
    fn load(&self, world: &mut World, server: Server) -> Option<Ring> {
        let ring = world.database.ring.clone();
        let opened = world.texts.contains(&ring.check).then_some(ring);
        world.processes[server].ring.clone_from(&opened);
        opened
    }

    /// Decides the next work from the current databases. `None` releases the lock.
    fn look(&self, world: &mut World, server: Server) -> Option<Work> {
        let base = self.load(world, server)?;
        match self.next(world) {
            NextStep::Reseal(_) => {
                let database = &world.database;
                let cursor = database.cursor;
                let left = |at: &usize| database.cells[*at].version != base.newest();
                if cursor < self.cells {
                    let cell = (cursor..self.cells).find(left).map(|at| (at, database.cells[at]));
                    return Some(Work::Walk { base, cursor, cell });
                }
                let is_complete = !(0..self.cells).any(|at| left(&at));
                Some(if is_complete { Work::Destroy { base, cursor } } else { Work::WalkAgain { base, cursor } })
            }
            NextStep::ForgetTexts => {
                let texts: BTreeSet<Key> = world.texts.iter().copied().filter(|key| *key != base.check).collect();
                Some(if texts.is_empty() || !self.forget_before_done {
                    Work::Settle { base }
                } else {
                    Work::Forget { base, texts }
                })
            }
            // The model abandons no key.
            NextStep::Idle
            | NextStep::AwaitRestore { .. }
            | NextStep::AwaitOtherServer
            | NextStep::ReportDamage
            | NextStep::Clear(_) => None,
        }
    }

    fn is_at(&self, database: &Database, cursor: usize) -> bool {
        database.cursor == cursor || !self.steps_check_the_cursor
    }

    /// Replaces the ring if it is still `base`. Returns whether it did.
    fn store_ring(&self, world: &mut World, base: &Ring, change: impl FnOnce(&mut Ring)) -> bool {
        if world.database.ring.revision != base.revision {
            return false;
        }
        let mut ring = base.clone();
        change(&mut ring);
        world.revisions_drawn += 1;
        ring.revision = world.revisions_drawn;
        world.former.insert(world.database.ring.check);
        world.database.ring = ring;
        true
    }

    /// Does one step of the work, and returns the next one. `None` releases the lock.
    fn work(&self, world: &mut World, server: Server, work: Work, outcome: Outcome) -> Option<Work> {
        let takes_effect = outcome != Outcome::LostBefore;
        let next = match work {
            Work::Look => return self.look(world, server),
            Work::WriteText { base, key } => {
                if takes_effect && self.text_before_ring {
                    world.texts.insert(key);
                }
                if outcome != Outcome::Known {
                    return None;
                }
                Some(Work::StoreRing { base, key })
            }
            Work::StoreRing { base, key } => {
                if takes_effect {
                    let data_key = key + 100;
                    let version = base.newest() + 1;
                    let changed = self.store_ring(world, &base, |ring| {
                        ring.check = key;
                        ring.keys.insert(version, data_key);
                        ring.state = State::Running;
                    });
                    if changed {
                        world.database.cursor = 0;
                        if !self.text_before_ring && outcome == Outcome::Known {
                            world.texts.insert(key);
                        }
                    }
                }
                Some(Work::Look)
            }
            Work::Walk { base, cursor, cell } => {
                let database = &mut world.database;
                let holds = database.ring.revision == base.revision && self.is_at(database, cursor);
                if takes_effect && holds {
                    database.cursor = self.cells;
                    if let Some((at, cell)) = cell {
                        if database.cells[at] == cell || !self.reseal_compares {
                            let version = base.newest();
                            database.cells[at] = Cell { version, key: base.keys[&version], value: cell.value };
                        }
                        database.cursor = at + 1;
                    }
                }
                Some(Work::Look)
            }
            Work::WalkAgain { base, cursor } => {
                let database = &mut world.database;
                let holds = database.ring.revision == base.revision && self.is_at(database, cursor);
                if takes_effect && holds {
                    database.cursor = 0;
                }
                Some(Work::Look)
            }
            Work::Destroy { base, cursor } => {
                if takes_effect && self.is_at(&world.database, cursor) {
                    self.store_ring(world, &base, |ring| {
                        let newest = ring.newest();
                        ring.keys.retain(|version, _| *version == newest);
                        ring.state = State::Finishing;
                    });
                }
                Some(Work::Look)
            }
            Work::Forget { base, texts } => {
                if takes_effect {
                    if self.forget_only_read {
                        world.texts.retain(|key| !texts.contains(key));
                    } else {
                        world.texts.retain(|key| *key == base.check);
                    }
                }
                Some(Work::Look)
            }
            Work::Settle { base } => {
                if takes_effect {
                    self.store_ring(world, &base, |ring| ring.state = State::Idle);
                }
                Some(Work::Look)
            }
            Work::RestoreText { key } => {
                if takes_effect {
                    world.texts.insert(key);
                }
                Some(Work::Look)
            }
        };
        if outcome == Outcome::Known {
            self.load(world, server);
        } else {
            world.processes[server].ring = None;
        }
        next
    }

    fn read(&self, world: &mut World, server: Server) {
        match world.processes[server].read.take() {
            None => {
                world.left.reads -= 1;
                let ring = world.processes[server].ring.clone().or_else(|| self.load(world, server));
                world.processes[server].read = ring.map(|ring| Read::Ring { ring, failed: None });
            }
            Some(Read::Ring { ring, failed }) => {
                let cell = world.database.cells[0];
                if !ring.opens(cell) {
                    let now = (ring.revision, cell);
                    let has_failed = if self.read_until_stable { failed == Some(now) } else { failed.is_some() };
                    if has_failed {
                        world.misread = true;
                    } else {
                        world.processes[server].read = Some(Read::Stale { failed: now });
                    }
                }
            }
            Some(Read::Stale { failed }) => {
                // If the key is now missing, the read fails with an error other than an unreadable cell.
                let ring = self.load(world, server);
                world.processes[server].read = ring.map(|ring| Read::Ring { ring, failed: Some(failed) });
            }
        }
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let ring = Ring { revision: 0, check: 0, keys: BTreeMap::from([(1, 100)]), state: State::Idle };
        let cell = Cell { version: 1, key: 100, value: 0 };
        vec![World {
            database: Database { ring, cells: vec![cell; self.cells], cursor: 0 },
            texts: BTreeSet::from([0]),
            processes: vec![Process::default(); SERVERS],
            lock: None,
            copy: None,
            left: self.budget,
            possible: vec![BTreeSet::from([0]); self.cells],
            copied_possible: Vec::new(),
            former: BTreeSet::new(),
            keys_drawn: 0,
            values_drawn: 0,
            revisions_drawn: 0,
            configuration_lost: false,
            rolled_back: false,
            misread: false,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let left = &world.left;
        let outcomes: &[Outcome] = if left.unknown > 0 {
            &[Outcome::Known, Outcome::LostAfter, Outcome::LostBefore]
        } else {
            &[Outcome::Known]
        };
        for (server, process) in world.processes.iter().enumerate() {
            match &process.work {
                None if world.lock.is_none() => match self.next(world) {
                    NextStep::Idle if left.changes > 0 => actions.push(Action::Change(server)),
                    NextStep::Reseal(_) | NextStep::ForgetTexts => actions.push(Action::Start(server)),
                    NextStep::AwaitRestore { .. } => actions.push(Action::Restore(server)),
                    NextStep::Idle | NextStep::AwaitOtherServer | NextStep::ReportDamage | NextStep::Clear(_) => {}
                },
                None => {}
                Some(Work::Look) => actions.push(Action::Step(server, Outcome::Known)),
                Some(_) => actions.extend(outcomes.iter().map(|outcome| Action::Step(server, *outcome))),
            }
            match &process.write {
                None if left.writes > 0 => actions.extend((0..self.cells).map(|at| Action::BeginWrite(server, at))),
                None => {}
                Some(_) => actions.extend(outcomes.iter().map(|outcome| Action::CommitWrite(server, *outcome))),
            }
            if left.reads > 0 || process.read.is_some() {
                actions.push(Action::Read(server));
            }
            if left.crashes > 0 && *process != Process::default() {
                actions.push(Action::Crash(server));
            }
            if left.leases_lost > 0 && world.lock == Some(server) {
                actions.push(Action::LoseLease(server));
            }
        }
        if left.configurations_lost > 0 {
            actions.push(Action::LoseConfiguration);
        }
        if left.copies_restored > 0 {
            actions.push(if world.copy.is_none() { Action::Copy } else { Action::RestoreCopy });
        }
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        match action {
            Action::Start(server) => {
                world.lock = Some(server);
                world.processes[server].work = Some(Work::Look);
            }
            Action::Change(server) => {
                world.left.changes -= 1;
                world.lock = Some(server);
                let base = self.load(&mut world, server)?;
                world.keys_drawn += 1;
                world.processes[server].work = Some(Work::WriteText { base, key: world.keys_drawn });
            }
            Action::Restore(server) => {
                // The administrator finds the text by its fingerprint. Any other text is refused without a change.
                world.lock = Some(server);
                world.processes[server].work = Some(Work::RestoreText { key: world.database.ring.check });
            }
            Action::Step(server, outcome) => {
                let work = world.processes[server].work.take()?;
                if outcome != Outcome::Known {
                    world.left.unknown -= 1;
                }
                let next = self.work(&mut world, server, work, outcome);
                if next.is_none() && world.lock == Some(server) {
                    world.lock = None;
                }
                world.processes[server].work = next;
            }
            Action::BeginWrite(server, at) => {
                let ring = match world.processes[server].ring.clone() {
                    Some(ring) => ring,
                    None => self.load(&mut world, server)?,
                };
                world.left.writes -= 1;
                world.values_drawn += 1;
                let version = ring.newest();
                let cell = Cell { version, key: ring.keys[&version], value: world.values_drawn };
                world.processes[server].write = Some(Write { at, cell, revision: ring.revision });
            }
            Action::CommitWrite(server, outcome) => {
                let Write { at, cell, revision } = world.processes[server].write.take()?;
                if outcome != Outcome::Known {
                    world.left.unknown -= 1;
                    world.possible[at].insert(cell.value);
                }
                let holds = world.database.ring.revision == revision || !self.writes_check_the_ring;
                if holds && outcome != Outcome::LostBefore {
                    world.database.cells[at] = cell;
                    if outcome == Outcome::Known {
                        world.possible[at] = BTreeSet::from([cell.value]);
                    }
                }
                if !holds && outcome == Outcome::Known {
                    // The value is sealed again under the current ring if its key is present. Otherwise the call fails.
                    if let Some(ring) = self.load(&mut world, server) {
                        let version = ring.newest();
                        let cell = Cell { version, key: ring.keys[&version], value: cell.value };
                        world.processes[server].write = Some(Write { at, cell, revision: ring.revision });
                    }
                }
                if outcome != Outcome::Known {
                    world.processes[server].ring = None;
                }
            }
            Action::Read(server) => self.read(&mut world, server),
            Action::Crash(server) => {
                world.left.crashes -= 1;
                world.processes[server] = Process::default();
                if world.lock == Some(server) {
                    world.lock = None;
                }
            }
            Action::LoseLease(_) => {
                world.left.leases_lost -= 1;
                world.lock = None;
            }
            Action::LoseConfiguration => {
                world.left.configurations_lost -= 1;
                world.configuration_lost = true;
                world.texts.clear();
                world.processes = vec![Process::default(); SERVERS];
                world.lock = None;
            }
            Action::Copy => {
                world.copy = Some(world.database.clone());
                world.copied_possible.clone_from(&world.possible);
            }
            Action::RestoreCopy => {
                // The servers keep running, and detect the change by the revision of the ring.
                world.left.copies_restored -= 1;
                world.rolled_back = true;
                world.database = world.copy.take()?;
                world.possible = std::mem::take(&mut world.copied_possible);
            }
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(READABLE, |_, world: &World| {
                world.database.cells.iter().all(|cell| world.database.ring.opens(*cell))
            }),
            Property::always(ACKNOWLEDGED, |_, world: &World| {
                world.database.cells.iter().zip(&world.possible).all(|(cell, possible)| possible.contains(&cell.value))
            }),
            Property::always(KEY_PRESENT, |_, world: &World| {
                world.configuration_lost || world.rolled_back || world.texts.contains(&world.database.ring.check)
            }),
            Property::always(NOTHING_LEFT, |_, world: &World| {
                let ring = &world.database.ring;
                ring.state != State::Idle
                    || world.rolled_back
                    || (ring.keys.len() == 1
                        && world.texts.iter().all(|key| *key == ring.check || !world.former.contains(key)))
            }),
            Property::always(NOT_MISREAD, |_, world: &World| !world.misread),
            Property::sometimes(CHANGE_COMPLETES, |_, world: &World| {
                world.database.ring.state == State::Idle && world.database.ring.newest() > 1
            }),
            Property::always(
                "the protocol stops only when it is idle with the key present",
                |protocol: &Protocol, world| {
                    let mut actions = Vec::new();
                    protocol.actions(world, &mut actions);
                    !actions.is_empty() || protocol.next(world) == NextStep::Idle
                },
            ),
        ]
    }
}

/// Explores all states, and returns the names of the violated properties.
fn violated(name: &str, protocol: Protocol) -> BTreeSet<&'static str> {
    let checker = protocol.checker().spawn_bfs().join();
    println!("{name}: {} states", checker.unique_state_count());
    let mut discoveries = checker.discoveries();
    assert!(discoveries.remove(CHANGE_COMPLETES).is_some(), "{name}: no change completes");
    for (property, path) in &discoveries {
        println!("{property}: {:?}", path.clone().into_actions());
    }
    discoveries.into_keys().collect()
}

const CHANGE_COMPLETES: &str = "a change completes";

fn assert_holds(name: &str, protocol: Protocol) {
    assert_eq!(violated(name, protocol), BTreeSet::new(), "{name}");
}

fn assert_violated(name: &str, protocol: Protocol, property: &str) {
    let violated = violated(name, protocol);
    assert!(violated.contains(property), "{name}: {violated:?}");
}

const READABLE: &str = "every cell opens with the stored ring";
const ACKNOWLEDGED: &str = "no acknowledged write is lost";
const KEY_PRESENT: &str = "no crash loses the current key";
const NOTHING_LEFT: &str = "a completed change leaves nothing of the old key";
const NOT_MISREAD: &str = "no readable cell is reported as unreadable";

#[test]
fn two_changes_under_writers_and_crashes_lose_nothing() {
    let budget = Budget { changes: 2, writes: 2, crashes: 2, ..Budget::default() };
    assert_holds("changes, writes, crashes", Protocol::complete(2, budget));
}

#[test]
fn commit_with_unknown_outcome_loses_nothing() {
    let budget = Budget { changes: 2, writes: 1, crashes: 1, unknown: 2, ..Budget::default() };
    assert_holds("unknown outcomes", Protocol::complete(1, budget));
}

#[test]
fn server_that_continues_without_its_lease_breaks_nothing() {
    let budget = Budget { changes: 2, writes: 1, leases_lost: 1, crashes: 1, ..Budget::default() };
    assert_holds("lost leases", Protocol::complete(1, budget));
}

#[test]
fn lost_configuration_database_needs_only_a_restore() {
    let budget = Budget { changes: 2, writes: 1, crashes: 1, configurations_lost: 1, ..Budget::default() };
    assert_holds("lost configuration", Protocol::complete(1, budget));
}

#[test]
fn older_copy_under_running_servers_opens_and_can_be_changed() {
    let budget = Budget { changes: 2, writes: 1, reads: 1, copies_restored: 1, ..Budget::default() };
    assert_holds("older copy", Protocol::complete(1, budget));
}

#[test]
fn reads_succeed_during_two_changes() {
    let budget = Budget { changes: 2, writes: 1, reads: 2, crashes: 1, ..Budget::default() };
    assert_holds("reads", Protocol::complete(1, budget));
}

#[test]
fn protocol_breaks_if_any_guard_is_removed() {
    let complete = |budget| Protocol::complete(2, budget);
    let crash = Budget { changes: 1, crashes: 1, unknown: 1, ..Budget::default() };
    assert_violated("ring before text", Protocol { text_before_ring: false, ..complete(crash) }, KEY_PRESENT);

    let write = Budget { changes: 1, writes: 2, ..Budget::default() };
    assert_violated("stale sealer", Protocol { writes_check_the_ring: false, ..complete(write) }, READABLE);
    assert_violated("blind reseal", Protocol { reseal_compares: false, ..complete(write) }, ACKNOWLEDGED);

    let change = Budget { changes: 1, ..Budget::default() };
    assert_violated("texts not deleted", Protocol { forget_before_done: false, ..complete(change) }, NOTHING_LEFT);

    let lease = Budget { changes: 2, leases_lost: 1, ..Budget::default() };
    assert_violated("all other texts deleted", Protocol { forget_only_read: false, ..complete(lease) }, KEY_PRESENT);

    let copy = Budget { changes: 1, copies_restored: 1, ..Budget::default() };
    assert_violated("blind destruction", Protocol { steps_check_the_cursor: false, ..complete(copy) }, READABLE);

    let read = Budget { changes: 2, reads: 1, ..Budget::default() };
    assert_violated("single retry of a read", Protocol { read_until_stable: false, ..complete(read) }, NOT_MISREAD);
}
