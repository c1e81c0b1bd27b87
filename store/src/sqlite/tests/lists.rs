//! Lists of records in a real database, compared with a simple evaluation in memory: filters, orders, pages, masks and
//! counts together.
//!
//! The expected results are derived from the contract, without the code under test. A filter is a tree that is
//! formatted for the service and evaluated for the test. Records are sorted as a whole and compared.

#![expect(clippy::wildcard_enum_match_arm, reason = "the evaluation lists the supported cases and refuses all others")]

use std::{
    cmp::Ordering,
    collections::BTreeSet,
    sync::atomic::{self, AtomicU64},
};

use proptest::{
    collection::{btree_set, vec},
    prelude::*,
    sample::{Index, select, subsequence},
    test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner},
};
use sealward_core::{
    configuration::{first_configuration, prepare_configuration},
    crypto::{
        kek::{self, KdfOutOfBounds, KdfParameters},
        root_key::RootKeySet,
        secret::{Kek, KeyText, RootKeyBytes},
    },
    deployment::{Deployment, KeyLimits, Ports},
    fail_point::{FailPoint, FailPoints},
    filter::Bounds,
    id::RecordId,
    identity::{Caller, Identity},
    mask::ReadMask,
    name::OrganizationName,
    organization::{Organization, create::create_first, open::inspect},
    permit::Permit,
    policy::{Binding, Policy, ReadRecords, Role, Scope},
    port::{AuditGate, Clock, Computation, KeyDerivation, KeyUse, KeyUseObserver},
    random::Random,
    record::{
        Record, RecordContent as _, RecordError, RowContent,
        get::get,
        list::{Listed, Page, PageWriter, Query, list},
    },
    schema::{Attribute, Choice, Entity, Kind, OnDelete, Schema, Value},
};

use super::*;

/// The attributes, by index.
const FLAG: usize = 0;
const SMALL: usize = 1;
const BIG: usize = 2;
const COLOR: usize = 3;
const TITLE: usize = 4;
const NOTE: usize = 5;
const DATA: usize = 6;
const SEEN: usize = 7;
const LINK: usize = 8;
const SECRET: usize = 9;
const IS_SECRET_SET: usize = 10;

const NAMES: [&str; 11] =
    ["flag", "small", "big", "color", "title", "note", "data", "seen", "link", "secret", "is_secret_set"];

fn entity() -> Entity {
    let choice = |number, name: &str| Choice::new(number, name);
    let attribute = |index: usize, kind: Kind| Attribute {
        storage_name: format!("stored_{}", NAMES[index]).into(),
        max_length: (kind == Kind::Text).then_some(100),
        encrypted: index == SECRET,
        ..Attribute::new(NAMES[index], kind)
    };
    Entity::new(
        "Thing",
        "things",
        "thing",
        vec![
            attribute(FLAG, Kind::Boolean),
            attribute(SMALL, Kind::Integer32),
            attribute(BIG, Kind::Integer64),
            attribute(
                COLOR,
                Kind::Choice(vec![choice(1, "COLOR_RED"), choice(2, "COLOR_BLUE"), choice(7, "COLOR_GREEN")]),
            ),
            attribute(TITLE, Kind::Text),
            attribute(NOTE, Kind::Text),
            attribute(DATA, Kind::Bytes),
            attribute(SEEN, Kind::Time),
            attribute(LINK, Kind::Reference { collection: "things".to_owned(), on_delete: OnDelete::Clear }),
            attribute(SECRET, Kind::Text),
            attribute(IS_SECRET_SET, Kind::ReportsSet { attribute: "secret".to_owned() }),
        ],
    )
}

/// Values for the tests: few, so that many are equal, and the boundaries of orders and encodings.
const SMALLS: [i64; 5] = [i32::MIN as i64, -1, 0, 1, i32::MAX as i64];
const BIGS: [i64; 8] = [i64::MIN, i64::MIN + 1, -1, 0, 1, (1 << 53) + 1, i64::MAX - 1, i64::MAX];
const COLORS: [(i64, &str); 3] = [(1, "COLOR_RED"), (2, "COLOR_BLUE"), (7, "COLOR_GREEN")];
const TEXTS: [&str; 16] = [
    "",
    " ",
    "*",
    "\"\\",
    "A",
    "a",
    "a ",
    "a*",
    "aa",
    "a\u{7f}",
    "z",
    "ä",
    "e\u{301}",
    "\u{D7FF}",
    "\u{FFFD}x",
    "\u{10FFFF}",
];
const TIMES: [(i64, &str); 6] = [
    (-62_135_596_800_000_000, "0001-01-01T00:00:00Z"),
    (-1, "1969-12-31T23:59:59.999999Z"),
    (0, "1970-01-01T01:00:00+01:00"),
    (1, "1970-01-01T00:00:00.000001Z"),
    (1_700_000_000_500_000, "2023-11-14T22:13:20.5Z"),
    (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
];
const IDS: u128 = 200;

/// A record in the test's model.
#[derive(Clone, Debug, PartialEq)]
struct Thing {
    id: u128,
    create_time: i64,
    update_time: i64,
    created_by: Option<String>,
    /// By attribute index. For the encrypted attribute, whether it has a cell.
    values: Vec<Option<Value>>,
}

/// A field that can be filtered or ordered by.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Field {
    Name,
    CreateTime,
    UpdateTime,
    CreatedBy,
    Attribute(usize),
}

impl Field {
    const FILTERED: [Field; 14] = [
        Field::Name,
        Field::CreateTime,
        Field::UpdateTime,
        Field::CreatedBy,
        Field::Attribute(FLAG),
        Field::Attribute(SMALL),
        Field::Attribute(BIG),
        Field::Attribute(COLOR),
        Field::Attribute(TITLE),
        Field::Attribute(NOTE),
        Field::Attribute(DATA),
        Field::Attribute(SEEN),
        Field::Attribute(LINK),
        Field::Attribute(IS_SECRET_SET),
    ];

    const ORDERED: [Field; 12] = [
        Field::Name,
        Field::CreateTime,
        Field::UpdateTime,
        Field::CreatedBy,
        Field::Attribute(FLAG),
        Field::Attribute(SMALL),
        Field::Attribute(BIG),
        Field::Attribute(COLOR),
        Field::Attribute(TITLE),
        Field::Attribute(NOTE),
        Field::Attribute(SEEN),
        Field::Attribute(LINK),
    ];

    fn name(self) -> &'static str {
        match self {
            Field::Name => "name",
            Field::CreateTime => "create_time",
            Field::UpdateTime => "update_time",
            Field::CreatedBy => "created_by",
            Field::Attribute(index) => NAMES[index],
        }
    }

    fn of(self, thing: &Thing) -> Option<Value> {
        match self {
            Field::Name => Some(reference(thing.id)),
            Field::CreateTime => Some(Value::Time(Timestamp::from_unix_micros(thing.create_time))),
            Field::UpdateTime => Some(Value::Time(Timestamp::from_unix_micros(thing.update_time))),
            Field::CreatedBy => thing.created_by.clone().map(Value::Text),
            Field::Attribute(IS_SECRET_SET) => Some(Value::Boolean(thing.values[SECRET].is_some())),
            Field::Attribute(index) => thing.values[index].clone(),
        }
    }

    /// Returns a value of this field, and its text in a filter. `pick` selects the value.
    fn value(self, pick: usize) -> (Value, String) {
        let time = || {
            let (micros, text) = TIMES[pick % TIMES.len()];
            (Value::Time(Timestamp::from_unix_micros(micros)), format!("\"{text}\""))
        };
        let integer = |number: i64| (Value::Integer(number), number.to_string());
        match self {
            Field::CreateTime | Field::UpdateTime | Field::Attribute(SEEN) => time(),
            Field::Name | Field::Attribute(LINK) => {
                let id = pick as u128 % IDS;
                let uuid = Uuid::from_u128(id);
                let text = if pick.is_multiple_of(2) {
                    uuid.to_string()
                } else {
                    format!("\"organizations/default/things/{uuid}\"")
                };
                (reference(id), text)
            }
            Field::Attribute(SMALL) => integer(SMALLS[pick % SMALLS.len()]),
            Field::Attribute(BIG) => integer(BIGS[pick % BIGS.len()]),
            Field::Attribute(COLOR) => {
                let (number, name) = COLORS[pick % COLORS.len()];
                (Value::Integer(number), name.to_owned())
            }
            Field::CreatedBy | Field::Attribute(TITLE | NOTE) => {
                let text = TEXTS[pick % TEXTS.len()];
                (Value::Text(text.to_owned()), quoted(text, ""))
            }
            Field::Attribute(FLAG | IS_SECRET_SET) => {
                (Value::Boolean(pick.is_multiple_of(2)), (pick.is_multiple_of(2)).to_string())
            }
            Field::Attribute(_) => (Value::Bytes(vec![0; pick % 3]), String::new()),
        }
    }

    fn operators(self) -> &'static [&'static str] {
        match self {
            Field::Attribute(DATA) => &[":"],
            Field::CreatedBy | Field::Attribute(TITLE | NOTE) => {
                &[":", "=", "!=", "<", "<=", ">", ">=", "begins", "begins not"]
            }
            Field::CreateTime | Field::UpdateTime | Field::Attribute(SMALL | BIG | SEEN) => {
                &[":", "=", "!=", "<", "<=", ">", ">="]
            }
            Field::Name | Field::Attribute(_) => &[":", "=", "!="],
        }
    }
}

fn reference(id: u128) -> Value {
    Value::Reference(RecordId::from_uuid(Uuid::from_u128(id)))
}

fn quoted(text: &str, star: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('*', "\\*");
    format!("\"{escaped}{star}\"")
}

#[derive(Clone, Debug)]
enum Tree {
    Test(Field, usize, usize),
    Not(Box<Tree>),
    And(Vec<Tree>),
    Or(Vec<Tree>),
}

impl Tree {
    fn written(&self) -> String {
        let joined = |trees: &[Tree], word: &str| {
            let parts: Vec<String> = trees.iter().map(Tree::written).collect();
            format!("({})", parts.join(word))
        };
        match self {
            Tree::Not(tree) => format!("NOT {}", tree.written().trim_start_matches("NOT ")),
            Tree::And(trees) => joined(trees, " AND "),
            Tree::Or(trees) => joined(trees, " OR "),
            Tree::Test(field, operator, pick) => {
                let (value, text) = field.value(*pick);
                let operator = field.operators()[operator % field.operators().len()];
                match (operator, value) {
                    (":", _) => format!("{}:*", field.name()),
                    ("begins", Value::Text(text)) => format!("{} = {}", field.name(), quoted(&text, "*")),
                    ("begins not", Value::Text(text)) => format!("{} != {}", field.name(), quoted(&text, "*")),
                    _ => format!("{} {operator} {text}", field.name()),
                }
            }
        }
    }

    fn holds(&self, thing: &Thing) -> bool {
        match self {
            // Formatted without the second NOT.
            Tree::Not(tree) => match &**tree {
                Tree::Not(_) => tree.holds(thing),
                tree => !tree.holds(thing),
            },
            Tree::And(trees) => trees.iter().all(|tree| tree.holds(thing)),
            Tree::Or(trees) => trees.iter().any(|tree| tree.holds(thing)),
            Tree::Test(field, operator, pick) => {
                let Some(found) = field.of(thing) else { return false };
                let (value, _) = field.value(*pick);
                let order = compared(&found, &value);
                match field.operators()[operator % field.operators().len()] {
                    ":" => true,
                    "=" => order == Ordering::Equal,
                    "!=" => order != Ordering::Equal,
                    "<" => order == Ordering::Less,
                    "<=" => order != Ordering::Greater,
                    ">" => order == Ordering::Greater,
                    ">=" => order != Ordering::Less,
                    "begins" => begins(&found, &value),
                    _ => !begins(&found, &value),
                }
            }
        }
    }
}

fn begins(found: &Value, prefix: &Value) -> bool {
    let (Value::Text(found), Value::Text(prefix)) = (found, prefix) else { panic!("prefixes apply only to texts") };
    let mut found = found.chars();
    prefix.chars().all(|character| found.next() == Some(character))
}

/// Compares by code point or by value; false comes before true.
fn compared(one: &Value, other: &Value) -> Ordering {
    match (one, other) {
        (Value::Text(one), Value::Text(other)) => {
            one.chars().map(u32::from).collect::<Vec<_>>().cmp(&other.chars().map(u32::from).collect())
        }
        (Value::Integer(one), Value::Integer(other)) => one.cmp(other),
        (Value::Time(one), Value::Time(other)) => one.unix_micros().cmp(&other.unix_micros()),
        (Value::Boolean(one), Value::Boolean(other)) => u8::from(*one).cmp(&u8::from(*other)),
        (Value::Reference(one), Value::Reference(other)) => one.to_string().cmp(&other.to_string()),
        (Value::Bytes(_), Value::Bytes(_)) => Ordering::Equal,
        other => panic!("{other:?} can't be compared"),
    }
}

/// Compares records by an order: nulls first, reversed if descending, finally by id.
fn sorted(order: &[(Field, bool)], one: &Thing, other: &Thing) -> Ordering {
    for (field, descending) in order {
        let order = match (field.of(one), field.of(other)) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(one), Some(other)) => compared(&one, &other),
        };
        if order != Ordering::Equal {
            return if *descending { order.reverse() } else { order };
        }
    }
    one.id.cmp(&other.id)
}

fn things() -> impl Strategy<Value = Vec<Thing>> {
    let pick = || any::<u8>().prop_map(usize::from);
    // A third of the values are null.
    let values = vec((prop::bool::weighted(0.33), pick()), NAMES.len());
    let identity = prop::option::weighted(0.66, pick());
    let thing = (pick(), pick(), identity, values).prop_map(|(create, update, identity, picked)| {
        let of = |(index, (is_null, pick)): (usize, (bool, usize))| {
            match index {
                IS_SECRET_SET => None,
                SECRET => Some(Value::Bytes(vec![1, 2, 3])),
                index => Some(Field::Attribute(index).value(pick).0),
            }
            .filter(|_| !is_null)
        };
        let values = picked.into_iter().enumerate().map(of).collect();
        let created_by = identity.map(|pick| TEXTS[pick % TEXTS.len()].to_owned());
        (TIMES[create % TIMES.len()].0, TIMES[update % TIMES.len()].0, created_by, values)
    });
    (btree_set(0..IDS, 0..40), vec(thing, 40)).prop_map(|(ids, things)| {
        let things = ids.into_iter().zip(things);
        let thing = |(id, (create_time, update_time, created_by, values))| Thing {
            id,
            create_time,
            update_time,
            created_by,
            values,
        };
        things.map(thing).collect()
    })
}

fn trees() -> impl Strategy<Value = Tree> {
    let test = (select(Field::FILTERED.as_slice()), any::<u8>(), any::<u8>())
        .prop_map(|(field, operator, pick)| Tree::Test(field, operator.into(), pick.into()));
    test.prop_recursive(4, 20, 3, |tree| {
        prop_oneof![
            tree.clone().prop_map(|tree| Tree::Not(Box::new(tree))),
            vec(tree.clone(), 2..4).prop_map(Tree::And),
            vec(tree, 2..4).prop_map(Tree::Or),
        ]
    })
}

fn orders() -> impl Strategy<Value = Vec<(Field, bool)>> {
    let fields = subsequence(Field::ORDERED.to_vec(), 0..=4).prop_shuffle();
    (fields, vec(any::<bool>(), 4)).prop_map(|(fields, descending)| fields.into_iter().zip(descending).collect())
}

fn written(order: &[(Field, bool)]) -> String {
    let terms =
        order.iter().map(|(field, descending)| format!("{}{}", field.name(), if *descending { " desc" } else { "" }));
    terms.collect::<Vec<_>>().join(", ")
}

/// The ports except the store: a constant clock, distinct random bytes, and no failures.
#[derive(Default)]
struct TestPorts {
    drawn: AtomicU64,
}

impl Clock for TestPorts {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_micros(1_800_000_000_000_000)
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
    fn reached(&self, _: FailPoint) {}
}

/// A deployment with an organization without records.
struct Lists {
    deployment: Deployment,
    organization: Arc<Organization>,
    entity: Arc<Entity>,
    policy: Policy,
    identity: Identity,
    _fixture: Fixture,
}

impl Lists {
    async fn new() -> Self {
        let fixture = Fixture::new();
        let ports = Arc::new(TestPorts::default());
        let now = Timestamp::from_unix_micros(1);
        let path = fixture.folder.configuration();
        let first = move || first_configuration(WRITER, now);
        let configuration: Arc<dyn Store> =
            SqliteStore::open_or_create(path, WRITER, SqliteOptions::default(), Witness::none(), first).await.unwrap();
        let root_key = Arc::new(RootKeySet::new(RootKeyBytes::from_slice(&[7; 32]).unwrap(), Vec::new()));
        prepare_configuration(&*configuration, &*root_key, now).await.unwrap();
        let limits = OpenLimits { open_max: OPEN_MAX, idle_max: IDLE_MAX };
        let databases = SqliteDatabases::new(
            Arc::clone(&fixture.folder),
            WRITER,
            SqliteOptions::default(),
            limits,
            no_witnesses(),
            inspect,
        )
        .unwrap();
        let ports = Ports {
            configuration,
            databases: Arc::new(databases),
            root_key,
            key_derivation: Arc::clone(&ports) as Arc<dyn KeyDerivation>,
            computation: Arc::clone(&ports) as Arc<dyn Computation>,
            clock: Arc::clone(&ports) as Arc<dyn Clock>,
            random: Arc::clone(&ports) as Arc<dyn Random>,
            audit_gate: Arc::clone(&ports) as Arc<dyn AuditGate>,
            key_uses: Arc::clone(&ports) as Arc<dyn KeyUseObserver>,
            fail_points: ports,
        };
        let limits = KeyLimits {
            changes_per_hour: 0,
            restores_per_quarter_hour: 0,
            comparisons_per_quarter_hour: 0,
            change_due_days: 365,
            reencryption_batch_cells: 1,
            reencryption_batch_ms: 10,
        };
        let schema = Arc::new(Schema::new(vec![entity()]).unwrap());
        let entity = Arc::clone(&schema.entities()[0]);
        let deployment = Deployment::new(ports, schema, limits);
        let organization = create_first(&deployment, &"default".parse().unwrap()).await.unwrap();
        let identity = Identity::CommonName("tester".to_owned());
        let binding = Binding { identity: identity.clone(), role: Role::RecordReader.into(), scope: Scope::All };
        Lists { deployment, organization, entity, policy: Policy::new(vec![binding]), identity, _fixture: fixture }
    }

    /// Replaces all records with these.
    async fn store(&self, things: &[Thing]) {
        let delete = Step::Delete { table: "Thing".into(), rows: Condition::EVERYTHING, expect: Expect::Any };
        let steps = std::iter::once(delete).chain(things.iter().map(row)).collect();
        self.organization.store.commit(Commit::of(steps)).await.unwrap();
    }

    fn permit(&self, organization: &OrganizationName) -> Permit<ReadRecords> {
        let caller = Caller { identity: self.identity.clone().into(), peer: None, hop: None, call_id: Arc::default() };
        self.policy.check(&caller, organization).unwrap().enter(&self.deployment).unwrap()
    }

    async fn list(&self, filter: &str, order: &str, mask: &ReadMask, size: u32, token: &str) -> Listed<Records> {
        let permit = self.permit(&self.organization.name);
        let query = Query::parse(&permit, Bounds::default(), filter, order, &self.entity)
            .unwrap_or_else(|violations| panic!("{filter} | {order}: {violations:?}"));
        let page = Page { size, token, mask, count: true, method: "/List" };
        list(&self.deployment, permit, query, page, Records::default()).await.unwrap()
    }
}

/// The records of a page.
#[derive(Default)]
struct Records(Vec<Record>);

impl PageWriter for Records {
    fn add(&mut self, record: &RowContent<'_>) -> bool {
        self.0.push(Record {
            id: record.id(),
            revision: record.revision(),
            create_time: record.create_time(),
            update_time: record.update_time(),
            created_by: record.created_by().map(str::to_owned),
            modified_by: record.modified_by().map(str::to_owned),
            values: (0..NAMES.len()).map(|index| record.value(index).map(Value::from)).collect(),
        });
        true
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

fn row(thing: &Thing) -> Step {
    let datum = |value: &Value| match value {
        Value::Boolean(value) => Datum::Boolean(*value),
        Value::Integer(value) => Datum::Integer(*value),
        Value::Text(value) => Datum::Text(value.clone()),
        Value::Bytes(value) => Datum::Bytes(value.clone()),
        Value::Time(value) => Datum::Time(*value),
        Value::Reference(value) => Datum::Uuid(value.uuid()),
    };
    let mut row = vec![
        ("id".into(), Datum::Uuid(Uuid::from_u128(thing.id))),
        ("revision".into(), Datum::Integer(1)),
        ("create_time".into(), Datum::Time(Timestamp::from_unix_micros(thing.create_time))),
        ("update_time".into(), Datum::Time(Timestamp::from_unix_micros(thing.update_time))),
    ];
    row.extend(thing.created_by.clone().map(|identity| ("created_by".into(), Datum::Text(identity))));
    let values = NAMES.iter().zip(&thing.values);
    row.extend(values.filter_map(|(name, value)| Some((format!("stored_{name}").into(), datum(value.as_ref()?)))));
    Step::Insert { table: "Thing".into(), row }
}

/// Returns the record as a read with a mask of these attributes returns it.
fn shown(thing: &Thing, mask: &BTreeSet<usize>) -> Record {
    let value = |index: usize| match index {
        SECRET => None,
        index => Field::Attribute(index).of(thing).filter(|_| mask.is_empty() || mask.contains(&index)),
    };
    Record {
        id: RecordId::from_uuid(Uuid::from_u128(thing.id)),
        revision: 1,
        create_time: Timestamp::from_unix_micros(thing.create_time),
        update_time: Timestamp::from_unix_micros(thing.update_time),
        created_by: thing.created_by.clone(),
        modified_by: None,
        values: (0..NAMES.len()).map(value).collect(),
    }
}

fn run<S: Strategy>(strategy: S, test: impl AsyncFn(&Lists, S::Value) -> Result<(), TestCaseError>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let lists = runtime.block_on(Lists::new());
    let config = Config { failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    match runner.run(&strategy, |case| runtime.block_on(test(&lists, case))) {
        Ok(()) => {}
        Err(TestError::Fail(why, case)) => panic!("{why}: {case:#?}"),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

/// Indexes of attributes for a mask. An empty set means all.
fn masks() -> impl Strategy<Value = BTreeSet<usize>> {
    let readable: Vec<usize> = (0..NAMES.len()).filter(|index| *index != SECRET).collect();
    subsequence(readable, 0..4).prop_map(|indexes| indexes.into_iter().collect())
}

#[test]
fn filtered_ordered_pages_match_a_plain_evaluation() {
    let cases = (things(), prop::option::weighted(0.8, trees()), orders(), masks(), 1..12_u32);
    run(cases, async |lists, (things, tree, order, mask, size)| {
        lists.store(&things).await;
        let mut expected: Vec<&Thing> =
            things.iter().filter(|thing| tree.as_ref().is_none_or(|tree| tree.holds(thing))).collect();
        expected.sort_by(|one, other| sorted(&order, one, other));
        let expected: Vec<Record> = expected.into_iter().map(|thing| shown(thing, &mask)).collect();

        let filter = tree.as_ref().map(Tree::written).unwrap_or_default();
        let order = written(&order);
        let paths: Vec<&str> = mask.iter().map(|index| NAMES[*index]).collect();
        let paths_max = paths.len();
        let mask = ReadMask::parse(paths.into_iter(), paths_max, &lists.entity).unwrap();
        let mut found = Vec::new();
        let mut token = String::new();
        loop {
            let page = lists.list(&filter, &order, &mask, size, &token).await;
            prop_assert_eq!(page.total_size, Some(expected.len() as u64), "{}", filter);
            found.extend(page.records.0);
            token = page.next_page_token;
            prop_assert!(token.len() <= 4_500);
            if token.is_empty() {
                break;
            }
            prop_assert_eq!(found.len() % size as usize, 0, "every page except the last is full");
        }
        prop_assert_eq!(found, expected, "{} | {}", filter, order);
        Ok(())
    });
}

#[test]
fn unchanged_rows_appear_once_despite_concurrent_changes() {
    let cases = (things(), things(), orders(), vec(any::<(Index, bool)>(), 40), 1..6_u32);
    run(cases, async |lists, (before, others, order, changes, size)| {
        lists.store(&before).await;
        let text = written(&order);
        let everything = ReadMask::default();
        let mut now = before.clone();
        let mut others = others.into_iter();
        let mut changes = changes.into_iter();
        let mut staying: BTreeSet<u128> = before.iter().map(|thing| thing.id).collect();
        let mut found: Vec<Thing> = Vec::new();
        let mut token = String::new();
        loop {
            let page = lists.list("", &text, &everything, size, &token).await;
            for record in page.records.0 {
                let thing = now.iter().find(|thing| Uuid::from_u128(thing.id) == record.id.uuid()).unwrap();
                found.push(thing.clone());
            }
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
            // Some records are deleted, including the last one of the page, and some are added. Added records have ids
            // that were never used.
            for (index, goes) in changes.by_ref().take(3) {
                if goes && !now.is_empty() {
                    staying.remove(&now.remove(index.index(now.len())).id);
                } else if let Some(thing) = others.next() {
                    now.push(Thing { id: thing.id + IDS, ..thing });
                }
            }
            if let Some(last) = found.last().filter(|last| last.id % 3 == 0) {
                staying.remove(&last.id);
                now.retain(|thing| thing.id != last.id);
            }
            lists.store(&now).await;
        }
        prop_assert!(
            found.is_sorted_by(|one, other| sorted(&order, one, other) == Ordering::Less),
            "out of order or duplicate: {:?}",
            found
        );
        let found: BTreeSet<u128> = found.iter().map(|thing| thing.id).collect();
        prop_assert!(found.is_superset(&staying), "{:?} doesn't contain all of {:?}", found, staying);
        Ok(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn permit_reaches_records_of_its_own_organization_only() {
    let lists = Lists::new().await;
    let other = create_first(&lists.deployment, &"other".parse().unwrap()).await.unwrap();
    let thing = Thing { id: 7, create_time: 1, update_time: 1, created_by: None, values: vec![None; NAMES.len()] };
    other.store.commit(Commit::of(vec![row(&thing)])).await.unwrap();
    let id = RecordId::from_uuid(Uuid::from_u128(thing.id));
    let read = async |organization: &Organization| {
        let permit = lists.permit(&organization.name);
        assert_eq!(permit.record_of(&lists.entity, id).organization.id, organization.id);
        get(permit, &lists.entity, id, &ReadMask::default()).await
    };
    assert_eq!(read(&other).await.unwrap().id, id);
    assert!(matches!(read(&lists.organization).await, Err(RecordError::NotFound)));
}
