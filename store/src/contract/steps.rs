//! The effect and the refusals of each step.

use sealward_core::store::{Assignment, Expect, Rewrite, RowNumber};

use super::*;

fn set(column: &'static str, datum: Datum) -> Assignment {
    Assignment::Set(column.into(), datum)
}

fn add(column: &'static str, by: i64) -> Assignment {
    Assignment::Add(column.into(), by)
}

fn update(rows: Condition, set: Vec<Assignment>, expect: Expect) -> Step {
    Step::Update { table: THING.into(), rows, set, expect }
}

fn delete(rows: Condition, expect: Expect) -> Step {
    Step::Delete { table: THING.into(), rows, expect }
}

fn require(rows: Condition) -> Step {
    Step::Require { table: THING.into(), rows }
}

fn forbid(rows: Condition) -> Step {
    Step::Forbid { table: THING.into(), rows }
}

pub(crate) async fn a_commit_without_steps_is_applied(subject: &dyn Subject) {
    let store = opened(subject).await;
    apply(&*store, Vec::new()).await;
}

pub(crate) async fn commit_is_atomic(subject: &dyn Subject) {
    let store = opened(subject).await;
    apply(&*store, vec![insert(1, [("number", Datum::Integer(1))])]).await;
    let before = everything(&*store).await;
    let steps = vec![
        insert(2, []),
        update(with_id(1), vec![add("number", 1)], Expect::One),
        Step::Audit(entry("in vain")),
        require(with_id(3)),
    ];
    assert_eq!(refused(&*store, steps).await, 3);
    assert_eq!(everything(&*store).await, before);
    assert_eq!(chain_length(&*store).await, 0);
}

pub(crate) async fn a_refusal_names_the_first_step_that_failed(subject: &dyn Subject) {
    let store = opened(subject).await;
    let steps = vec![insert(1, []), forbid(with_id(2)), require(with_id(2)), require(with_id(3)), insert(1, [])];
    assert_eq!(refused(&*store, steps).await, 2);
    assert_eq!(refused(&*store, vec![require(with_id(3))]).await, 0);
}

pub(crate) async fn step_reads_the_changes_of_earlier_steps(subject: &dyn Subject) {
    let store = opened(subject).await;
    apply(
        &*store,
        vec![
            insert(1, [("number", Datum::Integer(1))]),
            require(with_id(1)),
            update(with_id(1), vec![add("number", 1)], Expect::One),
            require(with_id(1).and(Condition::equal("number", Datum::Integer(2)))),
            delete(with_id(1), Expect::One),
            forbid(with_id(1)),
            insert(1, [("number", Datum::Integer(3))]),
        ],
    )
    .await;
    assert_eq!(column(&*store, "number", with_id(1)).await, [Datum::Integer(3)]);
}

pub(crate) async fn a_repeated_check_reads_the_last_state(subject: &dyn Subject) {
    let store = opened(subject).await;
    let exists = || vec![require(with_id(1))];
    let is_missing = || vec![forbid(with_id(1))];
    for _ in 0..2 {
        apply(&*store, is_missing()).await;
        assert_eq!(refused(&*store, exists()).await, 0);
        // Undone, in the last or in the only commit that checks it.
        assert_eq!(refused(&*store, vec![forbid(with_id(1)), insert(1, []), require(with_id(2))]).await, 2);
        apply(&*store, is_missing()).await;
        assert_eq!(refused(&*store, vec![insert(1, []), require(with_id(1)), forbid(with_id(1))]).await, 2);
        apply(&*store, is_missing()).await;
        apply(&*store, vec![forbid(with_id(1)), insert(1, []), require(with_id(1))]).await;
        apply(&*store, exists()).await;
        assert_eq!(refused(&*store, is_missing()).await, 0);
        let numbered = |number| vec![require(with_id(1).and(Condition::equal("number", Datum::Integer(number))))];
        apply(&*store, vec![update(with_id(1), vec![set("number", Datum::Integer(1))], Expect::One)]).await;
        apply(&*store, numbered(1)).await;
        apply(&*store, vec![update(with_id(1), vec![add("number", 1)], Expect::Any)]).await;
        assert_eq!(refused(&*store, numbered(1)).await, 0);
        apply(&*store, numbered(2)).await;
        apply(&*store, vec![require(with_id(1)), delete(with_id(1), Expect::One), forbid(with_id(1))]).await;
    }
}

pub(crate) async fn existing_key_is_not_inserted_again(subject: &dyn Subject) {
    let store = opened(subject).await;
    apply(&*store, vec![insert(1, [("name", text("first"))])]).await;
    assert_eq!(refused(&*store, vec![insert(2, []), insert(1, [("name", text("second"))])]).await, 1);
    assert_eq!(column(&*store, "name", Condition::EVERYTHING).await, [text("first")]);
}

pub(crate) async fn omitted_column_is_null(subject: &dyn Subject) {
    let store = opened(subject).await;
    apply(&*store, vec![insert(1, [])]).await;
    let [row] = &everything(&*store).await[..] else { panic!("one row") };
    assert_eq!(row[0], id(1));
    assert!(row[1..].iter().all(|datum| *datum == Datum::Null));
}

pub(crate) async fn a_key_is_never_null(subject: &dyn Subject) {
    let store = opened(subject).await;
    impossible(&*store, vec![Step::Insert { table: THING.into(), row: vec![("number".into(), Datum::Integer(1))] }])
        .await;
    let counter = Table {
        name: "Counter".into(),
        columns: vec![
            Column { name: "slot".into(), kind: ColumnType::Integer, nullable: true },
            Column { name: "value".into(), kind: ColumnType::Integer, nullable: true },
        ],
        key: vec!["slot".into()],
        indexes: Vec::new(),
    };
    apply(&*store, vec![Step::CreateTable(counter)]).await;
    impossible(&*store, vec![Step::Insert { table: "Counter".into(), row: vec![("value".into(), Datum::Integer(1))] }])
        .await;
}

pub(crate) async fn an_update_touches_one_row_if_one_is_expected(subject: &dyn Subject) {
    let store = opened(subject).await;
    apply(&*store, (1..=3).map(|number| insert(number, [("flag", Datum::Boolean(number < 3))])).collect()).await;
    let flagged = || Condition::equal("flag", Datum::Boolean(true));
    let rename = |rows, expect| vec![update(rows, vec![set("name", text("new"))], expect)];
    assert_eq!(refused(&*store, rename(with_id(9), Expect::One)).await, 0);
    assert_eq!(refused(&*store, rename(flagged(), Expect::One)).await, 0);
    assert_eq!(ids(&*store, Condition::equal("name", text("new"))).await, []);
    apply(&*store, rename(with_id(9), Expect::Any)).await;
    apply(&*store, rename(flagged(), Expect::Any)).await;
    assert_eq!(ids(&*store, Condition::equal("name", text("new"))).await, [1, 2]);
    // A row counts as changed even if it had these values already.
    apply(&*store, rename(with_id(1), Expect::One)).await;
}

pub(crate) async fn an_update_reads_the_values_from_before_it(subject: &dyn Subject) {
    let store = opened(subject).await;
    apply(&*store, vec![insert(1, [("number", Datum::Integer(7)), ("name", text("old"))])]).await;
    let rows = Condition::equal("name", text("old")).and(Condition::equal("number", Datum::Integer(7)));
    let changes =
        vec![set("name", Datum::Null), add("number", -10), set("time", Datum::Time(Timestamp::from_unix_micros(5)))];
    apply(&*store, vec![update(rows, changes, Expect::One)]).await;
    let row = &everything(&*store).await[0];
    assert_eq!(row[2..4], [Datum::Integer(-3), Datum::Null]);
    assert_eq!(row[6], Datum::Time(Timestamp::from_unix_micros(5)));
}

pub(crate) async fn an_update_to_a_key_that_exists_is_refused(subject: &dyn Subject) {
    let store = opened(subject).await;
    apply(&*store, vec![insert(1, []), insert(2, [])]).await;
    assert_eq!(refused(&*store, vec![update(with_id(1), vec![set("id", id(2))], Expect::One)]).await, 0);
    assert_eq!(ids(&*store, Condition::EVERYTHING).await, [1, 2]);
}

pub(crate) async fn an_integer_grows_and_does_not_overflow(subject: &dyn Subject) {
    let store = opened(subject).await;
    apply(
        &*store,
        vec![
            insert(1, [("number", Datum::Integer(i64::MAX - 1))]),
            insert(2, [("number", Datum::Integer(i64::MIN + 1))]),
            insert(3, []),
        ],
    )
    .await;
    let grow = |number, by| vec![update(with_id(number), vec![add("number", by)], Expect::One)];
    apply(&*store, grow(1, 1)).await;
    apply(&*store, grow(2, -1)).await;
    apply(&*store, grow(3, 1)).await;
    for (number, by) in [(1, 1), (1, i64::MAX), (2, -1), (2, i64::MIN)] {
        impossible(&*store, grow(number, by)).await;
    }
    let numbers = [Datum::Integer(i64::MAX), Datum::Integer(i64::MIN), Datum::Null];
    assert_eq!(column(&*store, "number", Condition::EVERYTHING).await, numbers);
}

pub(crate) async fn a_delete_takes_one_row_if_one_is_expected(subject: &dyn Subject) {
    let store = opened(subject).await;
    apply(&*store, (1..=4).map(|number| insert(number, [])).collect()).await;
    assert_eq!(refused(&*store, vec![delete(with_id(9), Expect::One)]).await, 0);
    assert_eq!(refused(&*store, vec![delete(Condition::greater("id", id(2)), Expect::One)]).await, 0);
    assert_eq!(ids(&*store, Condition::EVERYTHING).await, [1, 2, 3, 4]);
    apply(&*store, vec![delete(with_id(9), Expect::Any), delete(with_id(1), Expect::One)]).await;
    assert_eq!(ids(&*store, Condition::EVERYTHING).await, [2, 3, 4]);
    apply(&*store, vec![delete(Condition::EVERYTHING, Expect::Any)]).await;
    assert_eq!(ids(&*store, Condition::EVERYTHING).await, []);
}

pub(crate) async fn prune_removes_rows_up_to_its_limit(subject: &dyn Subject) {
    let store = opened(subject).await;
    apply(&*store, (1..=5).map(|number| insert(number, [("number", Datum::Integer(1))])).collect()).await;
    apply(&*store, vec![insert(6, [("number", Datum::Integer(2))]), insert(7, [])]).await;
    let prune = |at_most| {
        let rows =
            Condition::Compare { column: "number".into(), comparison: Comparison::Less, value: Datum::Integer(2) };
        vec![Step::Prune { table: THING.into(), key: vec!["id".into()], rows, at_most }]
    };
    for left in [5, 3, 1, 0] {
        let old = store.count(THING.into(), Condition::equal("number", Datum::Integer(1))).await.unwrap();
        assert_eq!(old, left);
        apply(&*store, prune(2)).await;
    }
    assert_eq!(ids(&*store, Condition::EVERYTHING).await, [6, 7]);

    let rows = Condition::equal("number", Datum::Integer(1));
    let key = vec!["name".into(), "number".into()];
    let prune = Step::Prune { table: "Pair".into(), key, rows, at_most: 9 };
    apply(&*store, vec![Step::CreateTable(pairs()), pair("a", 1), pair("a", 2), pair("b", 1), prune]).await;
    assert_eq!(store.count("Pair".into(), Condition::EVERYTHING).await.unwrap(), 1);
    assert_eq!(store.count("Pair".into(), Condition::equal("number", Datum::Integer(2))).await.unwrap(), 1);
}

pub(crate) async fn missing_required_row_refuses_the_commit(subject: &dyn Subject) {
    let store = opened(subject).await;
    assert_eq!(refused(&*store, vec![require(Condition::EVERYTHING)]).await, 0);
    apply(&*store, vec![insert(1, [("name", text("a"))]), insert(2, [("name", text("a"))])]).await;
    apply(&*store, vec![require(Condition::EVERYTHING), require(Condition::equal("name", text("a")))]).await;
    assert_eq!(refused(&*store, vec![require(Condition::equal("name", text("b")))]).await, 0);
}

pub(crate) async fn existing_forbidden_row_refuses_the_commit(subject: &dyn Subject) {
    let store = opened(subject).await;
    apply(&*store, vec![forbid(Condition::EVERYTHING), insert(1, [])]).await;
    apply(&*store, vec![forbid(with_id(2))]).await;
    assert_eq!(refused(&*store, vec![forbid(Condition::IsNull("name".into()))]).await, 0);
}

pub(crate) async fn commit_with_only_conditions_changes_nothing(subject: &dyn Subject) {
    let store = opened(subject).await;
    apply(&*store, vec![insert(1, [("number", Datum::Integer(1))])]).await;
    let before = everything(&*store).await;
    apply(&*store, vec![require(with_id(1)), forbid(with_id(2))]).await;
    assert_eq!(refused(&*store, vec![require(with_id(1)), forbid(with_id(1))]).await, 1);
    assert_eq!(everything(&*store).await, before);
}

pub(crate) async fn existing_table_is_not_created_again(subject: &dyn Subject) {
    let store = opened(subject).await;
    apply(&*store, vec![insert(1, [])]).await;
    assert_eq!(refused(&*store, vec![insert(2, []), Step::CreateTable(thing())]).await, 1);
    assert_eq!(ids(&*store, Condition::EVERYTHING).await, [1]);
}

pub(crate) async fn table_of_a_refused_commit_can_be_created_again(subject: &dyn Subject) {
    let store = subject.open().await;
    let in_vain = vec![Step::CreateTable(thing()), insert(1, []), require(with_id(2))];
    assert_eq!(refused(&*store, in_vain).await, 2);
    assert!(store.count(THING.into(), Condition::EVERYTHING).await.is_err());
    // With other columns this time: the first attempt leaves no trace.
    let mut other = thing();
    other.columns.retain(|column| column.name != "time");
    other.columns.push(Column { name: "other".into(), kind: ColumnType::Text, nullable: true });
    apply(&*store, vec![Step::CreateTable(other), insert(1, [("other", text("x"))])]).await;
    assert_eq!(column(&*store, "other", Condition::EVERYTHING).await, [text("x")]);
    assert!(store.select(things(&["time"], Condition::EVERYTHING, &[])).await.is_err());
}

pub(crate) async fn a_table_may_have_a_key_of_several_columns(subject: &dyn Subject) {
    let store = opened(subject).await;
    apply(&*store, vec![Step::CreateTable(pairs()), pair("a", 1), pair("a", 2), pair("b", 1)]).await;
    assert_eq!(refused(&*store, vec![pair("a", 2)]).await, 0);
}

pub(crate) async fn index_is_not_unique_and_changes_no_result(subject: &dyn Subject) {
    let store = opened(subject).await;
    let same = || [("number", Datum::Integer(1)), ("name", text("a"))];
    apply(&*store, vec![insert(1, same()), insert(2, same()), insert(3, [])]).await;
    let numbered = || Condition::equal("number", Datum::Integer(1)).and(Condition::equal("name", text("a")));
    assert_eq!(ids(&*store, numbered()).await, [1, 2]);
    apply(&*store, vec![update(with_id(1), vec![set("number", Datum::Null)], Expect::One)]).await;
    assert_eq!(ids(&*store, numbered()).await, [2]);
    assert_eq!(ids(&*store, Condition::IsNull("number".into())).await, [1, 3]);

    // Its name must be free, and its table and column must exist.
    let other = |index: &'static str, column: &'static str| {
        let indexes = vec![Index { name: index.into(), columns: vec![column.into()] }];
        vec![Step::CreateTable(Table { name: "Other".into(), indexes, ..thing() })]
    };
    impossible(&*store, other("Thing_by_number", "number")).await;
    impossible(&*store, other("Other_by_nothing", "nothing")).await;
    apply(&*store, other("Other_by_number", "number")).await;
}

pub(crate) async fn rows_are_inserted_from_other_rows(subject: &dyn Subject) {
    let store = opened(subject).await;
    let mut copies = thing();
    copies.name = "Copy".into();
    copies.indexes.clear();
    let thing = |number, name| insert(number, [("number", Datum::Integer(7)), ("name", text(name))]);
    apply(&*store, vec![Step::CreateTable(copies), thing(1, "a"), thing(2, "a"), thing(3, "b")]).await;
    let copy = |number: Source| Step::InsertFrom {
        table: "Copy".into(),
        row: vec![
            ("id".into(), Source::Column("id".into())),
            ("name".into(), Source::Value(text("copied"))),
            ("number".into(), number),
        ],
        from: THING.into(),
        rows: Condition::equal("name", text("a")),
    };
    apply(&*store, vec![copy(Source::Next("number".into()))]).await;
    let select = Select {
        table: "Copy".into(),
        ..things(&["id", "name", "number"], Condition::EVERYTHING, &[("id", Direction::Ascending)])
    };
    let row = |number| vec![id(number), text("copied"), Datum::Integer(8)];
    assert_eq!(store.select(select).await.unwrap(), [row(1), row(2)]);
    // Keys must be unique, and values must have the type of their column.
    assert_eq!(refused(&*store, vec![copy(Source::Column("number".into()))]).await, 0);
    impossible(&*store, vec![copy(Source::Value(text("seven")))]).await;
    let nothing = Step::InsertFrom {
        table: "Copy".into(),
        row: vec![("id".into(), Source::Column("id".into()))],
        from: THING.into(),
        rows: Condition::equal("name", text("nobody")),
    };
    apply(&*store, vec![nothing]).await;
}

pub(crate) async fn index_is_added_and_dropped_without_changing_results(subject: &dyn Subject) {
    let store = opened(subject).await;
    apply(&*store, vec![insert(1, [("name", text("b"))]), insert(2, [("name", text("a"))])]).await;
    let named = || Condition::equal("name", text("a"));
    let create = || {
        let index = Index { name: "late".into(), columns: vec!["name".into(), "id".into()] };
        Step::CreateIndex { table: THING.into(), index }
    };
    let drop_it = || Step::DropIndex { name: "late".into() };
    for steps in [vec![create()], vec![create(), create()], vec![drop_it()], vec![drop_it(), create(), drop_it()]] {
        apply(&*store, steps).await;
        assert_eq!(ids(&*store, named()).await, [2]);
    }
    assert_eq!(refused(&*store, vec![create(), require(with_id(9))]).await, 1);
    assert_eq!(ids(&*store, named()).await, [2]);
    let nowhere = Index { name: "nowhere".into(), columns: vec!["nothing".into()] };
    impossible(&*store, vec![Step::CreateIndex { table: THING.into(), index: nowhere }]).await;
}

pub(crate) async fn column_is_added_to_existing_rows(subject: &dyn Subject) {
    let store = opened(subject).await;
    apply(&*store, vec![insert(1, [])]).await;
    // A reader that has read the table before sees the new column.
    assert_eq!(ids(&*store, Condition::EVERYTHING).await, [1]);
    let added = Column { name: "added".into(), kind: ColumnType::Time, nullable: true };
    let time = Datum::Time(Timestamp::from_unix_micros(3));
    let steps = vec![
        Step::AddColumn { table: THING.into(), column: added },
        insert(2, [("added", time.clone())]),
        require(Condition::equal("added", time.clone())),
    ];
    apply(&*store, steps).await;
    assert_eq!(column(&*store, "added", Condition::EVERYTHING).await, [Datum::Null, time]);
}

pub(crate) async fn existing_column_or_missing_table_is_refused(subject: &dyn Subject) {
    let store = opened(subject).await;
    let add = |table: &'static str, name: &'static str, nullable| {
        vec![Step::AddColumn {
            table: table.into(),
            column: Column { name: name.into(), kind: ColumnType::Text, nullable },
        }]
    };
    assert_eq!(refused(&*store, add(THING, "name", true)).await, 0);
    assert_eq!(refused(&*store, add("Nothing", "name", true)).await, 0);
    impossible(&*store, add(THING, "added", false)).await;
    let in_vain = add(THING, "added", true).into_iter().chain([require(with_id(1))]).collect();
    assert_eq!(refused(&*store, in_vain).await, 1);
    impossible(&*store, vec![insert(1, [("added", text("x"))])]).await;
    apply(&*store, add(THING, "added", true)).await;
}

pub(crate) async fn tally_counts_each_changed_row(subject: &dyn Subject) {
    let store = opened(subject).await;
    apply(&*store, vec![Step::CreateTable(counters())]).await;
    apply(&*store, vec![insert(1, []), counted("a", 1), insert(2, []), counted("a", 1), counted("b", 1)]).await;
    assert_eq!(counts(&*store).await, [("a".to_owned(), 2), ("b".to_owned(), 1)]);
    let steps = vec![
        update(Condition::EVERYTHING, vec![set("number", Datum::Integer(7))], Expect::Any),
        counted("a", -1),
        counted("b", 5),
        update(with_id(9), vec![set("number", Datum::Integer(7))], Expect::Any),
        counted("a", 100),
        delete(with_id(1), Expect::One),
        counted("c", -1),
    ];
    apply(&*store, steps).await;
    assert_eq!(counts(&*store).await, [("a".to_owned(), 0), ("b".to_owned(), 11), ("c".to_owned(), -1)]);
}

pub(crate) async fn refused_commit_changes_no_counter(subject: &dyn Subject) {
    let store = opened(subject).await;
    apply(&*store, vec![Step::CreateTable(counters())]).await;
    assert_eq!(refused(&*store, vec![insert(1, []), counted("a", 1), require(with_id(2))]).await, 2);
    apply(&*store, vec![insert(2, []), counted("a", 1)]).await;
    assert_eq!(counts(&*store).await, [("a".to_owned(), 1)]);
    let is = |number| {
        let rows = Condition::equal("number", Datum::Integer(number));
        vec![Step::Require { table: "Counter".into(), rows }]
    };
    apply(&*store, is(1)).await;
    apply(&*store, vec![insert(3, []), counted("a", 1)]).await;
    assert_eq!(refused(&*store, is(1)).await, 0);
    apply(&*store, is(2)).await;
}

/// Things whose data are their numbers, one byte each.
async fn with_data(subject: &dyn Subject, numbers: impl Iterator<Item = u8>) -> Arc<dyn Store> {
    let store = opened(subject).await;
    let thing = |number: u8| insert(number.into(), [("data", Datum::Bytes(vec![number]))]);
    apply(&*store, numbers.map(thing).collect()).await;
    store
}

fn rewrite(rows: Vec<Rewrite>, set: Vec<Assignment>) -> Step {
    Step::Rewrite { table: THING.into(), column: "data".into(), rows, set }
}

fn bytes(bytes: &[u8]) -> Datum {
    Datum::Bytes(bytes.to_vec())
}

pub(crate) async fn values_are_rewritten_where_they_are_unchanged(subject: &dyn Subject) {
    let store = with_data(subject, 1..=8).await;
    apply(&*store, vec![Step::CreateTable(counters())]).await;
    let read = store.scan_column(all_data()).await.unwrap().rows;
    // Since they were read, a row has been deleted, one has been cleared, and two have other values.
    let changes = vec![
        delete(with_id(2), Expect::One),
        update(with_id(3), vec![set("data", Datum::Null)], Expect::One),
        update(with_id(4), vec![set("data", bytes(&[40]))], Expect::One),
        update(with_id(5), vec![set("data", bytes(&[5, 5]))], Expect::One),
    ];
    apply(&*store, changes).await;
    let new = |former: &[u8]| match former {
        [6] => Some(vec![60, 60]),
        [7] => None,
        [number] => Some(vec![number + 100]),
        _ => unreachable!(),
    };
    let rows = read.into_iter().map(|row| Rewrite { number: row.number, value: new(&row.value), former: row.value });
    apply(&*store, vec![rewrite(rows.collect(), Vec::new()), counted("rewritten", 1)]).await;
    let expected =
        [bytes(&[101]), Datum::Null, bytes(&[40]), bytes(&[5, 5]), bytes(&[60, 60]), Datum::Null, bytes(&[108])];
    assert_eq!(column(&*store, "data", Condition::EVERYTHING).await, expected);
    assert_eq!(counts(&*store).await, [("rewritten".to_owned(), 4)]);
}

pub(crate) async fn rewritten_rows_change_as_a_whole(subject: &dyn Subject) {
    let store = with_data(subject, 1..=3).await;
    apply(&*store, vec![update(Condition::EVERYTHING, vec![set("number", Datum::Integer(1))], Expect::Any)]).await;
    let read = store.scan_column(all_data()).await.unwrap().rows;
    apply(&*store, vec![update(with_id(2), vec![set("data", bytes(&[20]))], Expect::One)]).await;
    let cleared = || {
        let rows = read.iter().map(|row| Rewrite { number: row.number, former: row.value.clone(), value: None });
        rewrite(rows.collect(), vec![add("number", 1), set("name", text("cleared"))])
    };
    assert_eq!(refused(&*store, vec![cleared(), require(with_id(9))]).await, 1);
    assert_eq!(column(&*store, "number", Condition::EVERYTHING).await, [1, 1, 1].map(Datum::Integer));
    apply(&*store, vec![cleared()]).await;
    assert_eq!(column(&*store, "number", Condition::EVERYTHING).await, [2, 1, 2].map(Datum::Integer));
    assert_eq!(column(&*store, "data", Condition::EVERYTHING).await, [Datum::Null, bytes(&[20]), Datum::Null]);
    assert_eq!(column(&*store, "name", with_id(1)).await, [text("cleared")]);
}

pub(crate) async fn malformed_rewrite_is_refused(subject: &dyn Subject) {
    let store = with_data(subject, 1..=1).await;
    let rows = || vec![Rewrite { number: RowNumber(1), former: vec![1], value: Some(vec![2]) }];
    impossible(&*store, vec![Step::Rewrite { table: THING.into(), column: "name".into(), rows: rows(), set: vec![] }])
        .await;
    impossible(
        &*store,
        vec![Step::Rewrite { table: "Nothing".into(), column: "data".into(), rows: rows(), set: vec![] }],
    )
    .await;
    impossible(&*store, vec![rewrite(rows(), vec![set("number", text("1"))])]).await;
}

/// A table of counters with a name each.
fn counters() -> Table {
    let column = |name: &'static str, kind| Column { name: name.into(), kind, nullable: false };
    Table {
        name: "Counter".into(),
        columns: vec![column("name", ColumnType::Text), column("number", ColumnType::Integer)],
        key: vec!["name".into()],
        indexes: Vec::new(),
    }
}

fn counted(name: &str, by: i64) -> Step {
    Step::Tally(Tally { table: "Counter".into(), key: vec![("name".into(), text(name))], counter: "number".into(), by })
}

async fn counts(store: &dyn Store) -> Vec<(String, i64)> {
    let select = Select {
        table: "Counter".into(),
        columns: vec!["name".into(), "number".into()],
        rows: Condition::EVERYTHING,
        order: vec![("name".into(), Direction::Ascending)],
        limit: 9,
    };
    let rows = store.select(select).await.unwrap().into_iter();
    rows.map(|row| match &row[..] {
        [Datum::Text(name), Datum::Integer(number)] => (name.clone(), *number),
        row => panic!("{row:?}"),
    })
    .collect()
}

/// A table with a key of two columns.
fn pairs() -> Table {
    let column = |name: &'static str, kind| Column { name: name.into(), kind, nullable: false };
    Table {
        name: "Pair".into(),
        columns: vec![column("name", ColumnType::Text), column("number", ColumnType::Integer)],
        key: vec!["name".into(), "number".into()],
        indexes: Vec::new(),
    }
}

fn pair(name: &str, number: i64) -> Step {
    let row = vec![("name".into(), text(name)), ("number".into(), Datum::Integer(number))];
    Step::Insert { table: "Pair".into(), row }
}
