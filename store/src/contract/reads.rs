//! The results of reads and their order.

use std::{ops::ControlFlow, sync::Mutex};

use Direction::{Ascending, Descending};
use sealward_core::store::{
    AMONG_MAX, Assignment, DatumRef, Expect, Lookup, Reader, Row, RowSink, Scan, ScanEnd, ScanError, Unavailable,
};

use super::*;

/// Inserts things 1, 2, 3 … with these values in a column.
async fn fill(store: &dyn Store, name: &'static str, values: impl IntoIterator<Item = Datum>) {
    let steps = (1..).zip(values).map(|(number, value)| insert(number, [(name, value)])).collect();
    apply(store, steps).await;
}

async fn empty(store: &dyn Store) {
    apply(store, vec![Step::Delete { table: THING.into(), rows: Condition::EVERYTHING, expect: Expect::Any }]).await;
}

/// The numbers of all things, by this column and then by id.
async fn ordered(store: &dyn Store, name: &'static str, direction: Direction) -> Vec<u128> {
    let select = things(&["id"], Condition::EVERYTHING, &[(name, direction), ("id", Ascending)]);
    store.select(select).await.unwrap().into_iter().flatten().map(number).collect()
}

/// Stores these sorted values in another order. A read returns them sorted, and each is greater than the previous ones.
async fn is_order(store: &dyn Store, name: &'static str, values: Vec<Datum>) {
    fill(store, name, values.iter().rev().cloned()).await;
    let count = values.len() as u128;
    assert_eq!(ordered(store, name, Ascending).await, (1..=count).rev().collect::<Vec<_>>());
    assert_eq!(ordered(store, name, Descending).await, (1..=count).collect::<Vec<_>>());
    for (index, value) in values.into_iter().enumerate() {
        let found = async |comparison| ids(store, compare(name, comparison, value.clone())).await.len();
        assert_eq!(found(Comparison::Less).await, index, "{value:?}");
        assert_eq!(found(Comparison::LessOrEqual).await, index + 1, "{value:?}");
        assert_eq!(found(Comparison::Greater).await, count as usize - index - 1, "{value:?}");
        assert_eq!(found(Comparison::GreaterOrEqual).await, count as usize - index, "{value:?}");
        assert_eq!(ids(store, Condition::equal(name, value.clone())).await, [count - index as u128], "{value:?}");
    }
}

pub(crate) async fn columns_are_returned_in_the_requested_order(subject: &dyn Subject) {
    let store = opened(subject).await;
    apply(&*store, vec![insert(1, [("name", text("a")), ("number", Datum::Integer(2))])]).await;
    let rows = store.select(things(&["name", "id", "number", "name"], Condition::EVERYTHING, &[])).await.unwrap();
    assert_eq!(rows, [[text("a"), id(1), Datum::Integer(2), text("a")]]);
}

fn lookup(columns: &[&'static str]) -> Arc<Lookup> {
    Arc::new(Lookup::new(THING.into(), columns.iter().map(|&name| name.into()).collect(), "id".into()))
}

pub(crate) async fn row_is_looked_up_by_its_key(subject: &dyn Subject) {
    let store = opened(subject).await;
    let values = || [("name", text("a")), ("number", Datum::Integer(2)), ("time", Datum::Null)];
    apply(&*store, vec![insert(1, values()), insert(2, [("name", text("b"))])]).await;
    let (wide, narrow) = (lookup(&["time", "name", "id", "number"]), lookup(&["name"]));
    let snapshot = store.snapshot().await.unwrap();
    for reader in [&*store as &dyn Reader, &*snapshot] {
        for _ in 0..3 {
            let row = vec![Datum::Null, text("a"), id(1), Datum::Integer(2)];
            assert_eq!(reader.look_up(&wide, id(1)).await.unwrap(), Some(row));
            assert_eq!(reader.look_up(&narrow, id(2)).await.unwrap(), Some(vec![text("b")]));
            assert_eq!(reader.look_up(&narrow, id(3)).await.unwrap(), None);
        }
    }
}

pub(crate) async fn lookup_reads_the_last_commit(subject: &dyn Subject) {
    let store = opened(subject).await;
    let lookup = lookup(&["number"]);
    for number in 0..100 {
        let value = [("number", Datum::Integer(number))];
        let step = if number == 0 {
            insert(1, value)
        } else {
            let [(column, datum)] = value;
            let set = vec![Assignment::Set(column.into(), datum)];
            Step::Update { table: THING.into(), rows: with_id(1), set, expect: Expect::One }
        };
        apply(&*store, vec![step]).await;
        assert_eq!(store.look_up(&lookup, id(1)).await.unwrap(), Some(vec![Datum::Integer(number)]));
    }
}

pub(crate) async fn lookup_of_a_missing_column_or_by_another_type_is_unavailable(subject: &dyn Subject) {
    let store = opened(subject).await;
    apply(&*store, vec![insert(1, [])]).await;
    assert!(store.look_up(&lookup(&["missing"]), id(1)).await.is_err());
    for key in [Datum::Null, text("a"), Datum::Bytes(vec![0; 16])] {
        assert!(store.look_up(&lookup(&["id"]), key).await.is_err());
    }
    assert_eq!(store.look_up(&lookup(&["id"]), id(1)).await.unwrap(), Some(vec![id(1)]));
}

pub(crate) async fn text_is_ordered_by_code_point(subject: &dyn Subject) {
    let store = opened(subject).await;
    // Neither in the order of a dictionary (a, A, ä, Z) nor by UTF-16 units, where U+1F600 precedes U+FF5E.
    let texts =
        ["", " ", "A", "Z", "_", "a", "a ", "a b", "aB", "aa", "z", "\u{7f}", "ä", "\u{FF5E}", "\u{FFFD}", "\u{1F600}"];
    is_order(&*store, "name", texts.map(text).to_vec()).await;
}

pub(crate) async fn text_is_compared_case_sensitively(subject: &dyn Subject) {
    let store = opened(subject).await;
    fill(&*store, "name", ["abc", "ABC", "Abc", "abc "].map(text)).await;
    assert_eq!(ids(&*store, Condition::equal("name", text("Abc"))).await, [3]);
    assert_eq!(ids(&*store, begins_with("ab")).await, [1, 4]);
}

pub(crate) async fn a_prefix_matches_code_point_by_code_point(subject: &dyn Subject) {
    let store = opened(subject).await;
    let texts = [
        Some(""),
        None,
        Some("a"),
        Some("a%"),
        Some("a%b"),
        Some("ab"),
        Some("A%b"),
        Some("b"),
        Some("\u{D7FF}x"),
        Some("\u{E000}"),
        Some("\u{10FFFF}"),
        Some("\u{10FFFF}\u{10FFFF}z"),
        Some("a\u{10FFFF}"),
        Some("a\u{10FFFF}z"),
    ];
    fill(&*store, "name", texts.map(|name| name.map_or(Datum::Null, text))).await;
    for prefix in ["", "a", "a%", "a_", "ab", "abc", "A", "\u{D7FF}", "\u{E000}", "\u{10FFFF}", "a\u{10FFFF}"] {
        let begins = |name: &Option<&str>| name.is_some_and(|name| name.starts_with(prefix));
        let wanted: Vec<u128> = (1..).zip(&texts).filter(|(_, name)| begins(name)).map(|(number, _)| number).collect();
        assert_eq!(ids(&*store, begins_with(prefix)).await, wanted, "{prefix:?}");
        let others: Vec<u128> = (1..=texts.len() as u128).filter(|number| !wanted.contains(number)).collect();
        assert_eq!(ids(&*store, begins_with(prefix).negated()).await, others, "not {prefix:?}");
    }
    let nul = things(&["id"], begins_with("a\0"), &[]);
    assert!(store.select(nul).await.is_err());
    let number = Condition::BeginsWith { column: "number".into(), prefix: "1".to_owned() };
    assert!(store.select(things(&["id"], number, &[])).await.is_err());
}

pub(crate) async fn a_list_has_whole_elements_only(subject: &dyn Subject) {
    let store = opened(subject).await;
    let texts =
        [None, Some(""), Some("a"), Some("a,b"), Some("b,a"), Some("c,a,b"), Some("ab,A"), Some("a,a"), Some("aa,ba")];
    fill(&*store, "name", texts.map(|name| name.map_or(Datum::Null, text))).await;
    for element in ["a", "b", "ab", "A", "ba", "c", "x", "%", "_"] {
        let has = |name: &Option<&str>| name.is_some_and(|name| name.split(',').any(|other| other == element));
        let wanted: Vec<u128> = (1..).zip(&texts).filter(|(_, name)| has(name)).map(|(number, _)| number).collect();
        let lists = Condition::Lists { column: "name".into(), element: element.to_owned() };
        assert_eq!(ids(&*store, lists.clone()).await, wanted, "{element:?}");
        let others: Vec<u128> = (1..=texts.len() as u128).filter(|number| !wanted.contains(number)).collect();
        assert_eq!(ids(&*store, lists.negated()).await, others, "not {element:?}");
    }
}

pub(crate) async fn a_value_is_among_up_to_a_thousand_others(subject: &dyn Subject) {
    let store = opened(subject).await;
    let texts = [None, Some(""), Some("a"), Some("A"), Some("b")];
    fill(&*store, "name", texts.map(|name| name.map_or(Datum::Null, text))).await;
    let among = |values: Vec<Datum>| Condition::Among { column: "name".into(), values };
    assert_eq!(ids(&*store, among(vec![text("b"), text("a"), text("x"), text("a")])).await, [3, 5]);
    assert_eq!(ids(&*store, among(vec![text("b"), text("a")]).negated()).await, [1, 2, 4]);
    assert_eq!(ids(&*store, among(Vec::new())).await, [0; 0]);
    let many = (0..AMONG_MAX - 1).map(|number| text(&number.to_string())).chain([text("A")]);
    assert_eq!(ids(&*store, among(many.collect())).await, [4]);
    for wrong in [Datum::Null, Datum::Integer(1), text("a\0")] {
        assert!(store.select(things(&["id"], among(vec![text("a"), wrong]), &[])).await.is_err());
    }
}

fn begins_with(prefix: &str) -> Condition {
    Condition::BeginsWith { column: "name".into(), prefix: prefix.to_owned() }
}

pub(crate) async fn numbers_and_times_are_ordered_by_value(subject: &dyn Subject) {
    let store = opened(subject).await;
    let numbers = [i64::MIN, -10, -9, 0, 9, 10, 1 << 53, (1 << 53) + 1, i64::MAX];
    is_order(&*store, "number", numbers.map(Datum::Integer).to_vec()).await;
    empty(&*store).await;
    is_order(&*store, "time", numbers.map(|micros| Datum::Time(Timestamp::from_unix_micros(micros))).to_vec()).await;
    empty(&*store).await;
    is_order(&*store, "flag", vec![Datum::Boolean(false), Datum::Boolean(true)]).await;
}

pub(crate) async fn bytes_and_uuids_are_ordered_by_their_bytes(subject: &dyn Subject) {
    let store = opened(subject).await;
    let bytes: [&[u8]; 7] = [&[], &[0], &[0, 0], &[1], &[0x7F, 0xFF], &[0x80], &[0xFF]];
    is_order(&*store, "data", bytes.map(|bytes| Datum::Bytes(bytes.to_vec())).to_vec()).await;
    empty(&*store).await;
    is_order(&*store, "link", [0, 1, 1 << 64, 0x7F << 120, 0x80 << 120, u128::MAX].map(id).to_vec()).await;
}

pub(crate) async fn nulls_come_first_and_in_reverse_last(subject: &dyn Subject) {
    let store = opened(subject).await;
    fill(&*store, "name", [text("b"), Datum::Null, text(""), Datum::Null]).await;
    assert_eq!(ordered(&*store, "name", Ascending).await, [2, 4, 3, 1]);
    assert_eq!(ordered(&*store, "name", Descending).await, [1, 3, 2, 4]);
}

pub(crate) async fn null_meets_no_comparison(subject: &dyn Subject) {
    let store = opened(subject).await;
    fill(&*store, "number", [Datum::Null, Datum::Integer(0)]).await;
    for comparison in
        [Comparison::Equal, Comparison::Less, Comparison::LessOrEqual, Comparison::Greater, Comparison::GreaterOrEqual]
    {
        let found = ids(&*store, compare("number", comparison, Datum::Integer(5))).await;
        assert!(!found.contains(&1), "{comparison:?}");
    }
    assert_eq!(ids(&*store, Condition::IsNull("number".into())).await, [1]);
    let by_null = things(&["id"], Condition::equal("number", Datum::Null), &[]);
    assert!(store.select(by_null).await.is_err());
}

pub(crate) async fn a_row_meets_a_condition_or_its_negation(subject: &dyn Subject) {
    let store = opened(subject).await;
    fill(&*store, "number", [Datum::Null, Datum::Integer(0), Datum::Integer(1)]).await;
    let zero = || Condition::equal("number", Datum::Integer(0));
    let null = || Condition::IsNull("number".into());
    let unknown = || Condition::equal("name", text("a"));
    for (condition, wanted) in [
        (zero().negated(), vec![1, 3]),
        (zero().negated().negated(), vec![2]),
        (null().negated(), vec![2, 3]),
        (zero().negated().and(null().negated()), vec![3]),
        // The name is null everywhere: what depends on it alone is false, and its negation is true.
        (unknown().and(zero()).negated(), vec![1, 2, 3]),
        (Condition::Any(vec![unknown(), zero()]).negated(), vec![1, 3]),
        (Condition::Any(vec![unknown().negated(), zero()]), vec![1, 2, 3]),
        (Condition::EVERYTHING.negated(), vec![]),
        (Condition::Any(Vec::new()).negated(), vec![1, 2, 3]),
    ] {
        assert_eq!(ids(&*store, condition.clone()).await, wanted, "{condition:?}");
    }
    let by_null = things(&["id"], Condition::equal("number", Datum::Null).negated(), &[]);
    assert!(store.select(by_null).await.is_err());
}

pub(crate) async fn empty_all_meets_every_row_and_empty_any_meets_no_row(subject: &dyn Subject) {
    let store = opened(subject).await;
    apply(&*store, vec![insert(1, []), insert(2, [])]).await;
    assert_eq!(ids(&*store, Condition::EVERYTHING).await, [1, 2]);
    assert_eq!(ids(&*store, Condition::Any(Vec::new())).await, []);
    assert_eq!(ids(&*store, Condition::Any(vec![Condition::Any(Vec::new()), with_id(2)])).await, [2]);
    assert_eq!(ids(&*store, Condition::All(vec![Condition::EVERYTHING, with_id(1)])).await, [1]);
}

pub(crate) async fn pages_follow_each_other_without_gap_or_repetition(subject: &dyn Subject) {
    let store = opened(subject).await;
    // Names repeat, so that pages end between equal names.
    let names = (0..100_usize).map(|index| text(["c", "a", "b"][index % 3]));
    fill(&*store, "name", names).await;
    let mut seen: Vec<(String, u128)> = Vec::new();
    loop {
        let after = match seen.last() {
            None => Condition::EVERYTHING,
            Some((name, number)) => Condition::Any(vec![
                Condition::greater("name", text(name)),
                Condition::equal("name", text(name)).and(Condition::greater("id", id(*number))),
            ]),
        };
        let mut page = things(&["name", "id"], after, &[("name", Ascending), ("id", Ascending)]);
        page.limit = 7;
        let rows = store.select(page).await.unwrap();
        if rows.is_empty() {
            break;
        }
        for row in rows {
            let [Datum::Text(name), link] = <[Datum; 2]>::try_from(row).unwrap() else { panic!("no text") };
            seen.push((name, number(link)));
        }
    }
    assert_eq!(seen.len(), 100);
    assert!(seen.is_sorted_by(|a, b| a < b));
}

pub(crate) async fn limit_is_applied(subject: &dyn Subject) {
    let store = opened(subject).await;
    apply(&*store, (1..=5).map(|number| insert(number, [])).collect()).await;
    for (limit, found) in [(0, 0), (1, 1), (5, 5), (u32::MAX, 5)] {
        let select = Select { limit, ..things(&["id"], Condition::EVERYTHING, &[]) };
        assert_eq!(store.select(select).await.unwrap().len(), found);
    }
}

pub(crate) async fn rows_are_counted(subject: &dyn Subject) {
    let store = opened(subject).await;
    assert_eq!(store.count(THING.into(), Condition::EVERYTHING).await.unwrap(), 0);
    fill(&*store, "name", [text("a"), Datum::Null, text("a")]).await;
    assert_eq!(store.count(THING.into(), Condition::EVERYTHING).await.unwrap(), 3);
    assert_eq!(store.count(THING.into(), Condition::equal("name", text("a"))).await.unwrap(), 2);
}

pub(crate) async fn a_scan_ends_with_the_row_that_exceeds_its_bytes(subject: &dyn Subject) {
    let store = opened(subject).await;
    let data = |length| Datum::Bytes(vec![7; length]);
    apply(&*store, (1..=5).map(|number| insert(number, [("data", data(100))])).collect()).await;
    let snapshot = store.snapshot().await.unwrap();
    for (bytes_max, rows, is_cut) in [(0, 1, true), (199, 2, true), (200, 3, true), (499, 5, true), (500, 5, false)] {
        for reader in [&*store as &dyn Reader, &*snapshot] {
            let scanned = reader.scan(things(&["data"], Condition::EVERYTHING, &[("id", Ascending)]), bytes_max).await;
            let scanned = scanned.unwrap();
            assert_eq!((scanned.rows.len(), scanned.is_cut), (rows, is_cut), "{bytes_max}");
        }
    }
    assert_eq!(store.scan_count(THING.into(), Condition::greater("id", id(2))).await.unwrap(), 3);
}

/// Takes copies of rows, until it has enough.
struct Copies {
    rows: Vec<Row>,
    enough: usize,
    fails: bool,
}

impl RowSink for Copies {
    fn take(&mut self, row: &[DatumRef<'_>]) -> Result<ControlFlow<()>, Unavailable> {
        if self.fails {
            return Err(Unavailable("no row is wanted".into()));
        }
        self.rows.push(row.iter().map(|datum| Datum::from(*datum)).collect());
        Ok(if self.rows.len() >= self.enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn clear(&mut self) {
        self.rows.clear();
    }
}

async fn copied(reader: &dyn Reader, scan: Scan, enough: usize, fails: bool) -> Result<Vec<Row>, ScanError> {
    let sink = Arc::new(Mutex::new(Copies { rows: Vec::new(), enough, fails }));
    let end = reader.scan_into(scan, Arc::clone(&sink) as Arc<Mutex<dyn RowSink>>).await?;
    assert_eq!(end, ScanEnd::Complete);
    let rows = std::mem::take(&mut sink.lock().unwrap().rows);
    Ok(rows)
}

pub(crate) async fn rows_are_passed_to_a_sink_until_it_has_enough(subject: &dyn Subject) {
    let store = opened(subject).await;
    let row = |number: i64| {
        let data = Datum::Bytes(vec![7; usize::try_from(number).unwrap()]);
        let link = if number % 2 == 0 { Datum::Null } else { id(9) };
        let values = [("number", Datum::Integer(-number)), ("name", text("ä")), ("data", data), ("link", link)];
        insert(u128::try_from(number).unwrap(), values)
    };
    apply(&*store, (1..=9).map(row).collect()).await;
    let snapshot = store.snapshot().await.unwrap();
    let columns = ["time", "name", "id", "flag", "number", "data", "link", "name"];
    for condition in [Condition::EVERYTHING, Condition::greater("id", id(2)), Condition::IsNull("link".into())] {
        // By the key, by an index, and without an index.
        for order in [&[("id", Descending)][..], &[("number", Ascending), ("name", Ascending)], &[("data", Ascending)]]
        {
            let select = things(&columns, condition.clone(), order);
            let expected = store.select(select.clone()).await.unwrap();
            for (reader, is_short) in
                [(&*store as &dyn Reader, true), (&*store as &dyn Reader, false), (&*snapshot, false)]
            {
                for enough in [1, 3, 100] {
                    // Repeated, because connections keep what they derive from a statement.
                    for _ in 0..2 {
                        let scan = Scan { select: select.clone(), is_short };
                        let rows = copied(reader, scan, enough, false).await.unwrap();
                        assert_eq!(rows, expected[..enough.min(expected.len())], "{order:?}");
                    }
                }
            }
        }
    }
}

pub(crate) async fn scan_fails_with_the_error_of_its_sink(subject: &dyn Subject) {
    let store = opened(subject).await;
    apply(&*store, vec![insert(1, []), insert(2, [])]).await;
    for is_short in [true, false] {
        for order in ["id", "data"] {
            let scan = || Scan { select: things(&["id"], Condition::EVERYTHING, &[(order, Ascending)]), is_short };
            assert!(matches!(copied(&*store, scan(), 9, true).await, Err(ScanError::Unavailable(_))));
            // A missing column is an error too.
            let select = things(&["id", "nowhere"], Condition::EVERYTHING, &[(order, Ascending)]);
            assert!(copied(&*store, Scan { select, is_short }, 9, false).await.is_err());
            assert_eq!(copied(&*store, scan(), 9, false).await.unwrap().len(), 2);
        }
    }
}

pub(crate) async fn a_column_is_scanned_in_parts_without_gap_or_repetition(subject: &dyn Subject) {
    let store = opened(subject).await;
    // In the order of their creation, which isn't that of the ids.
    let data = |number: u8| insert(u128::from(number) * 7 % 11, [("data", Datum::Bytes(vec![number; 10]))]);
    apply(&*store, (1..=10).map(data).collect()).await;
    apply(&*store, vec![insert(100, [])]).await;
    let snapshot = store.snapshot().await.unwrap();
    let all = store.scan_column(all_data()).await.unwrap();
    assert!(!all.is_cut);
    assert!(all.rows.is_sorted_by(|one, next| one.number < next.number));
    let mut keys: Vec<u128> = all.rows.iter().map(|row| row.key.as_u128()).collect();
    keys.sort_unstable();
    assert_eq!(keys, (1..=10).collect::<Vec<_>>());
    assert!(all.rows.iter().all(|row| row.key.as_u128() == u128::from(row.value[0]) * 7 % 11));
    for (limit, bytes_max) in [(3, usize::MAX), (u32::MAX, 25), (1, 0)] {
        for reader in [&*store as &dyn Reader, &*snapshot] {
            let (mut parts, mut after) = (Vec::new(), None);
            loop {
                let part = reader.scan_column(ColumnScan { after, limit, bytes_max, ..all_data() }).await.unwrap();
                assert!(part.rows.len() <= 3);
                after = part.rows.last().map(|row| row.number).or(after);
                parts.extend(part.rows);
                if !part.is_cut {
                    break;
                }
            }
            assert_eq!(parts, all.rows);
        }
    }
}

pub(crate) async fn a_column_scan_leaves_out_a_header(subject: &dyn Subject) {
    let store = opened(subject).await;
    let values: [&[u8]; 8] = [&[], &[1], &[1, 2], &[1, 2, 3], &[1, 3], &[0xFF], &[0xFF, 0xFF, 1], &[2, 1, 2]];
    apply(
        &*store,
        (1..).zip(values).map(|(number, data)| insert(number, [("data", Datum::Bytes(data.to_vec()))])).collect(),
    )
    .await;
    apply(&*store, vec![insert(100, [])]).await;
    for header in [&[][..], &[1], &[1, 2], &[0xFF], &[0xFF, 0xFF]] {
        let scan = ColumnScan { except_header: Some(header.to_vec()), ..all_data() };
        let found: Vec<Vec<u8>> =
            store.scan_column(scan).await.unwrap().rows.into_iter().map(|row| row.value).collect();
        let expected: Vec<_> = values.into_iter().filter(|value| !value.starts_with(header)).collect();
        assert_eq!(found, expected, "{header:?}");
    }
}

pub(crate) async fn missing_table_or_column_is_unavailable(subject: &dyn Subject) {
    let store = opened(subject).await;
    apply(&*store, vec![insert(1, [])]).await;
    let nowhere = |column: &'static str| Condition::IsNull(column.into());
    assert!(store.select(things(&["nowhere"], Condition::EVERYTHING, &[])).await.is_err());
    assert!(store.select(things(&["id"], nowhere("nowhere"), &[])).await.is_err());
    assert!(store.select(things(&["id"], Condition::EVERYTHING, &[("nowhere", Ascending)])).await.is_err());
    assert!(store.count("Nothing".into(), Condition::EVERYTHING).await.is_err());
    impossible(&*store, vec![insert(2, [("nowhere", text("a"))])]).await;
    impossible(&*store, vec![Step::Require { table: "Nothing".into(), rows: Condition::EVERYTHING }]).await;
    // Existing columns can still be read.
    assert_eq!(ids(&*store, Condition::EVERYTHING).await, [1]);
}
