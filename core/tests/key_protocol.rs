//! The protocol of the key's life as an explicit-state model, explored exhaustively within bounds.
//!
//! Two databases (the organization's and the configuration's), two servers that share them, callers that write and read cells, an
//! administrator who changes the key and restores it. Between any two steps a server can crash, lose its lease on the lock and not know it, or not
//! learn how a commit came out; the configuration database can be lost, and an older copy of the organization's database put back.
//!
//! What is decided is decided by the code that the servers run: [`next_step`]. The writes around it are modelled as ARCHITECTURE.md has
//! them. Each guard of the protocol can be taken out, and a test shows that the model then finds what it is for: a check that can't fail
//! checks nothing.
//!
//! Run it with `--nocapture` to see how many states were explored, and by which path a property breaks.
//!
//! Nothing here knows cryptography: a data key is a number, and a cell opens with the one it was sealed with.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};

use sealward_core::{
    crypto::ring::stored::ReencryptionState,
    id::KeyVersion,
    key::step::{ConfigurationFacts, NextStep, RingFacts, next_step},
};
use stateright::{Checker, Model, Property};

/// A key text with its salt, which a key-check value stands for.
type Key = u8;
/// A data key: never the same twice, whatever its version is called.
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

/// [`ReencryptionState`], which can't be hashed.
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
    /// The first cell that the walk has not seen.
    cursor: usize,
}

/// What a server works on under the lock, in a task of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Work {
    /// The lock is taken; what there is to do hasn't been looked at.
    Look,
    /// A change: the text is to be written.
    WriteText { base: Ring, key: Key },
    /// A change: the text is written, the ring is to be put in place.
    PutRing { base: Ring, key: Key },
    /// The next cell of the walk is to be sealed again and, with it or if there is none, the cursor to be moved.
    Walk { base: Ring, cursor: usize, cell: Option<(usize, Cell)> },
    /// The scan has found something: the walk is to begin anew.
    WalkAgain { base: Ring, cursor: usize },
    /// The walk has seen every cell, and so has the scan after it.
    Destroy { base: Ring, cursor: usize },
    /// The texts that were there besides the current one are to be forgotten.
    Forget { base: Ring, texts: BTreeSet<Key> },
    /// The change is to be ended.
    Settle { base: Ring },
    /// A restore: the text opened this ring, and is to be written.
    RestoreText { key: Key },
}

/// A caller's write, sealed and not committed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Write {
    at: usize,
    cell: Cell,
    revision: Revision,
}

/// A caller's read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Read {
    /// The ring is taken, the cell isn't.
    Ring { ring: Ring, failed: Option<(Revision, Cell)> },
    /// The cell doesn't open with the ring: both have to be taken again.
    Stale { failed: (Revision, Cell) },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
struct Process {
    /// The ring in memory, opened.
    ring: Option<Ring>,
    work: Option<Work>,
    write: Option<Write>,
    read: Option<Read>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    database: Database,
    /// Texts in the configuration database, by key.
    texts: BTreeSet<Key>,
    processes: Vec<Process>,
    lock: Option<Server>,
    copy: Option<Database>,
    left: Budget,
    // What only the observer knows.
    /// What a cell may hold: the last value acknowledged, and those whose commit had an unknown outcome since.
    possible: Vec<BTreeSet<u8>>,
    copied_possible: Vec<BTreeSet<u8>>,
    /// Keys that were current once.
    former: BTreeSet<Key>,
    keys_drawn: u8,
    values_drawn: u8,
    revisions_drawn: u8,
    configuration_lost: bool,
    rolled_back: bool,
    /// A read answered that a cell can't be opened, though it can.
    misread: bool,
}

/// How often what may happen happens at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
struct Budget {
    changes: u8,
    writes: u8,
    reads: u8,
    crashes: u8,
    unknown: u8,
    leases_lost: u8,
    configurations_lost: u8,
    copies_put_back: u8,
}

/// The protocol, and its guards: all on in the protocol that the service follows.
#[derive(Clone, Copy)]
struct Protocol {
    budget: Budget,
    cells: usize,
    /// The text is in the configuration database before the ring names it.
    text_before_ring: bool,
    /// Every write of a cell is held against the ring it was sealed under.
    writes_name_the_ring: bool,
    /// A re-encryption overwrites only the cell it read.
    reseal_compares: bool,
    /// Each step of a re-encryption is held against the cursor that it was decided on.
    steps_name_the_cursor: bool,
    /// Forgetting deletes the texts it has read, not all but one.
    forget_by_name: bool,
    /// A change is done only when the texts of former keys are forgotten.
    forget_before_done: bool,
    /// A read that fails is taken again until ring and cell are the ones that failed before.
    read_until_it_rests: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Outcome {
    Known,
    /// It took effect, and nobody was told.
    LostAfter,
    /// It did not take effect, and nobody was told.
    LostBefore,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Action {
    TakeUp(Server),
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
    PutBack,
}

impl Protocol {
    fn whole(cells: usize, budget: Budget) -> Protocol {
        Protocol {
            budget,
            cells,
            text_before_ring: true,
            writes_name_the_ring: true,
            reseal_compares: true,
            steps_name_the_cursor: true,
            forget_by_name: true,
            forget_before_done: true,
            read_until_it_rests: true,
        }
    }

    /// The code's own decision.
    fn next(&self, world: &World) -> NextStep {
        let ring = &world.database.ring;
        let reencryption = match ring.state {
            State::Idle => ReencryptionState::Idle,
            State::Running => ReencryptionState::Running,
            State::Finishing => ReencryptionState::Finishing,
        };
        next_step(
            ConfigurationFacts { has_current_text: world.texts.contains(&ring.check) },
            RingFacts::Whole { reencryption, version: KeyVersion::new(ring.newest().into()).unwrap() },
        )
    }

    /// Reads the ring anew and opens it, if its text is there.
    fn load(&self, world: &mut World, server: Server) -> Option<Ring> {
        let ring = world.database.ring.clone();
        let opened = world.texts.contains(&ring.check).then_some(ring);
        world.processes[server].ring.clone_from(&opened);
        opened
    }

    /// What the worker does next, by what the databases say now. `None`: nothing; the lock is given back.
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
                let is_whole = !(0..self.cells).any(|at| left(&at));
                Some(if is_whole { Work::Destroy { base, cursor } } else { Work::WalkAgain { base, cursor } })
            }
            NextStep::ForgetTexts => {
                let texts: BTreeSet<Key> = world.texts.iter().copied().filter(|key| *key != base.check).collect();
                Some(if texts.is_empty() || !self.forget_before_done {
                    Work::Settle { base }
                } else {
                    Work::Forget { base, texts }
                })
            }
            // No key is given up here.
            NextStep::Rest
            | NextStep::AwaitRestore { .. }
            | NextStep::AwaitOtherServer
            | NextStep::ReportDamage
            | NextStep::Clear(_) => None,
        }
    }

    fn is_at(&self, database: &Database, cursor: usize) -> bool {
        database.cursor == cursor || !self.steps_name_the_cursor
    }

    /// Commits a ring in the place of `base`. Whether it took effect.
    fn put_ring(&self, world: &mut World, base: &Ring, change: impl FnOnce(&mut Ring)) -> bool {
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

    /// One step of the work. What follows it; `None` gives the lock back.
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
                Some(Work::PutRing { base, key })
            }
            Work::PutRing { base, key } => {
                if takes_effect {
                    let data_key = key + 100;
                    let version = base.newest() + 1;
                    let changed = self.put_ring(world, &base, |ring| {
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
                    self.put_ring(world, &base, |ring| {
                        let newest = ring.newest();
                        ring.keys.retain(|version, _| *version == newest);
                        ring.state = State::Finishing;
                    });
                }
                Some(Work::Look)
            }
            Work::Forget { base, texts } => {
                if takes_effect {
                    if self.forget_by_name {
                        world.texts.retain(|key| !texts.contains(key));
                    } else {
                        world.texts.retain(|key| *key == base.check);
                    }
                }
                Some(Work::Look)
            }
            Work::Settle { base } => {
                if takes_effect {
                    self.put_ring(world, &base, |ring| ring.state = State::Idle);
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
                    let gives_up = if self.read_until_it_rests { failed == Some(now) } else { failed.is_some() };
                    if gives_up {
                        world.misread = true;
                    } else {
                        world.processes[server].read = Some(Read::Stale { failed: now });
                    }
                }
            }
            Some(Read::Stale { failed }) => {
                // Without its key by now: another answer than that the cell can't be opened.
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
                    NextStep::Rest if left.changes > 0 => actions.push(Action::Change(server)),
                    NextStep::Reseal(_) | NextStep::ForgetTexts => actions.push(Action::TakeUp(server)),
                    NextStep::AwaitRestore { .. } => actions.push(Action::Restore(server)),
                    NextStep::Rest | NextStep::AwaitOtherServer | NextStep::ReportDamage | NextStep::Clear(_) => {}
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
        if left.copies_put_back > 0 {
            actions.push(if world.copy.is_none() { Action::Copy } else { Action::PutBack });
        }
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        match action {
            Action::TakeUp(server) => {
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
                // The administrator finds the text by the fingerprint; any other is refused and changes nothing.
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
                let holds = world.database.ring.revision == revision || !self.writes_name_the_ring;
                if holds && outcome != Outcome::LostBefore {
                    world.database.cells[at] = cell;
                    if outcome == Outcome::Known {
                        world.possible[at] = BTreeSet::from([cell.value]);
                    }
                }
                if !holds && outcome == Outcome::Known {
                    // Sealed anew under the ring that stands there now, if its key is present; else the caller is refused.
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
            Action::PutBack => {
                // Under running servers: they find out by the ring's revision.
                world.left.copies_put_back -= 1;
                world.rolled_back = true;
                world.database = world.copy.take()?;
                world.possible = std::mem::take(&mut world.copied_possible);
            }
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("every cell opens with the ring beside it", |_, world: &World| {
                world.database.cells.iter().all(|cell| world.database.ring.opens(*cell))
            }),
            Property::always("nothing acknowledged is lost", |_, world: &World| {
                world.database.cells.iter().zip(&world.possible).all(|(cell, possible)| possible.contains(&cell.value))
            }),
            Property::always("the current key is not lost by a crash", |_, world: &World| {
                world.configuration_lost || world.rolled_back || world.texts.contains(&world.database.ring.check)
            }),
            Property::always("a change that is done leaves nothing of the old key", |_, world: &World| {
                let ring = &world.database.ring;
                ring.state != State::Idle
                    || world.rolled_back
                    || (ring.keys.len() == 1
                        && world.texts.iter().all(|key| *key == ring.check || !world.former.contains(key)))
            }),
            Property::always("a cell that can be opened is never reported as unreadable", |_, world: &World| {
                !world.misread
            }),
            Property::sometimes("a change comes to its end", |_, world: &World| {
                world.database.ring.state == State::Idle && world.database.ring.newest() > 1
            }),
            Property::always(
                "nothing comes to a stop but at rest, with the key present",
                |protocol: &Protocol, world| {
                    let mut actions = Vec::new();
                    protocol.actions(world, &mut actions);
                    !actions.is_empty() || protocol.next(world) == NextStep::Rest
                },
            ),
        ]
    }
}

/// Explores everything, and answers with the names of the properties that don't hold.
fn broken(name: &str, protocol: Protocol) -> BTreeSet<&'static str> {
    let checker = protocol.checker().spawn_bfs().join();
    println!("{name}: {} states", checker.unique_state_count());
    let mut discoveries = checker.discoveries();
    assert!(discoveries.remove(COMES_TO_ITS_END).is_some(), "{name}: no change comes to its end");
    for (property, path) in &discoveries {
        println!("{property}: {:?}", path.clone().into_actions());
    }
    discoveries.into_keys().collect()
}

const COMES_TO_ITS_END: &str = "a change comes to its end";

fn assert_whole(name: &str, protocol: Protocol) {
    assert_eq!(broken(name, protocol), BTreeSet::new(), "{name}");
}

fn assert_broken(name: &str, protocol: Protocol, property: &str) {
    let broken = broken(name, protocol);
    assert!(broken.contains(property), "{name}: {broken:?}");
}

const READABLE: &str = "every cell opens with the ring beside it";
const ACKNOWLEDGED: &str = "nothing acknowledged is lost";
const KEY_PRESENT: &str = "the current key is not lost by a crash";
const NOTHING_LEFT: &str = "a change that is done leaves nothing of the old key";
const NOT_MISREAD: &str = "a cell that can be opened is never reported as unreadable";

#[test]
fn two_changes_under_writers_and_crashes_lose_nothing() {
    let budget = Budget { changes: 2, writes: 2, crashes: 2, ..Budget::default() };
    assert_whole("changes, writes, crashes", Protocol::whole(2, budget));
}

#[test]
fn commit_with_unknown_outcome_loses_nothing() {
    let budget = Budget { changes: 2, writes: 1, crashes: 1, unknown: 2, ..Budget::default() };
    assert_whole("unknown outcomes", Protocol::whole(1, budget));
}

#[test]
fn server_that_continues_without_its_lease_breaks_nothing() {
    let budget = Budget { changes: 2, writes: 1, leases_lost: 1, crashes: 1, ..Budget::default() };
    assert_whole("lost leases", Protocol::whole(1, budget));
}

#[test]
fn lost_configuration_database_needs_only_a_restore() {
    let budget = Budget { changes: 2, writes: 1, crashes: 1, configurations_lost: 1, ..Budget::default() };
    assert_whole("lost configuration", Protocol::whole(1, budget));
}

#[test]
fn older_copy_under_running_servers_opens_and_can_be_changed() {
    let budget = Budget { changes: 2, writes: 1, reads: 1, copies_put_back: 1, ..Budget::default() };
    assert_whole("copy put back", Protocol::whole(1, budget));
}

#[test]
fn reads_succeed_during_two_changes() {
    let budget = Budget { changes: 2, writes: 1, reads: 2, crashes: 1, ..Budget::default() };
    assert_whole("reads", Protocol::whole(1, budget));
}

#[test]
fn protocol_breaks_if_any_guard_is_removed() {
    let whole = |budget| Protocol::whole(2, budget);
    let crash = Budget { changes: 1, crashes: 1, unknown: 1, ..Budget::default() };
    assert_broken("ring before text", Protocol { text_before_ring: false, ..whole(crash) }, KEY_PRESENT);

    let write = Budget { changes: 1, writes: 2, ..Budget::default() };
    assert_broken("stale sealer", Protocol { writes_name_the_ring: false, ..whole(write) }, READABLE);
    assert_broken("blind reseal", Protocol { reseal_compares: false, ..whole(write) }, ACKNOWLEDGED);

    let change = Budget { changes: 1, ..Budget::default() };
    assert_broken("texts kept", Protocol { forget_before_done: false, ..whole(change) }, NOTHING_LEFT);

    let lease = Budget { changes: 2, leases_lost: 1, ..Budget::default() };
    assert_broken("forget all others", Protocol { forget_by_name: false, ..whole(lease) }, KEY_PRESENT);

    let copy = Budget { changes: 1, copies_put_back: 1, ..Budget::default() };
    assert_broken("blind destruction", Protocol { steps_name_the_cursor: false, ..whole(copy) }, READABLE);

    let read = Budget { changes: 2, reads: 1, ..Budget::default() };
    assert_broken("read once more only", Protocol { read_until_it_rests: false, ..whole(read) }, NOT_MISREAD);
}
