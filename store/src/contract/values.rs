//! Values are read as they were written, and values that some store couldn't return are refused.

use sealward_core::store::{Assignment, Expect};

use super::*;

pub(crate) async fn every_value_is_read_unchanged(subject: &dyn Subject) {
    let store = opened(subject).await;
    let time = |micros| Datum::Time(Timestamp::from_unix_micros(micros));
    let values = [
        ("flag", vec![Datum::Boolean(false), Datum::Boolean(true), Datum::Null]),
        ("number", [0, 1, -1, i64::MAX, i64::MIN, 1 << 53, (1 << 53) + 1].map(Datum::Integer).to_vec()),
        (
            "name",
            [
                "",
                " ",
                "a",
                "7",
                "1e3",
                "Ünïcødé",
                "\u{65}\u{301}",
                "😀",
                "\u{10FFFF}",
                "\u{FEFF}x",
                "a'b\"c\\d%_",
                "\r\n\t",
                "\u{1}",
            ]
            .map(text)
            .to_vec(),
        ),
        ("data", [vec![], vec![0], vec![0, 0xFF, 0x80], b"text".to_vec(), vec![7; 16]].map(Datum::Bytes).to_vec()),
        ("link", [0, 1, u128::MAX].map(id).to_vec()),
        // 1969, a microsecond, 2001 to the microsecond, and the ends.
        ("time", [-1, 0, 1, 1_000_000_000_123_456, i64::MIN, i64::MAX].map(time).to_vec()),
    ];
    let mut number = 0;
    for (name, written) in values {
        for value in written {
            number += 1;
            apply(&*store, vec![insert(number, [(name, value.clone())])]).await;
            assert_eq!(column(&*store, name, with_id(number)).await, std::slice::from_ref(&value));
            if value != Datum::Null {
                // A condition on the value finds it, too.
                assert_eq!(ids(&*store, Condition::equal(name, value)).await, [number]);
            }
        }
    }
}

pub(crate) async fn large_value_is_read_unchanged(subject: &dyn Subject) {
    let store = opened(subject).await;
    let data: Vec<u8> = (0..5_000_000_u32).map(|index| (index % 251) as u8).collect();
    let long = "ä".repeat(1_000_000);
    apply(&*store, vec![insert(1, [("data", Datum::Bytes(data.clone())), ("name", text(&long))])]).await;
    assert!(column(&*store, "data", with_id(1)).await == [Datum::Bytes(data)]);
    assert!(column(&*store, "name", with_id(1)).await == [text(&long)]);
}

pub(crate) async fn text_with_u_0000_is_refused(subject: &dyn Subject) {
    let store = opened(subject).await;
    apply(&*store, vec![insert(1, [("name", text("whole"))])]).await;
    for nul in ["\0", "a\0", "\0a", "a\0b"] {
        impossible(&*store, vec![insert(2, []), insert(3, [("name", text(nul))])]).await;
        let set = vec![Assignment::Set("name".into(), text(nul))];
        impossible(&*store, vec![Step::Update { table: THING.into(), rows: with_id(1), set, expect: Expect::One }])
            .await;
        assert!(store.select(things(&["id"], Condition::equal("name", text(nul)), &[])).await.is_err());
    }
}

pub(crate) async fn value_of_another_type_is_refused(subject: &dyn Subject) {
    let store = opened(subject).await;
    apply(&*store, vec![insert(1, [("number", Datum::Integer(7)), ("name", text("7"))])]).await;
    let wrong = [
        ("flag", Datum::Integer(1)),
        ("number", text("7")),
        ("number", Datum::Boolean(true)),
        ("number", Datum::Time(Timestamp::from_unix_micros(7))),
        ("name", Datum::Integer(7)),
        ("name", Datum::Bytes(b"7".to_vec())),
        ("data", text("7")),
        ("data", id(7)),
        ("link", Datum::Bytes(vec![7; 16])),
        ("time", Datum::Integer(7)),
    ];
    for (name, value) in wrong {
        impossible(&*store, vec![insert(2, [(name, value.clone())])]).await;
        let set = vec![Assignment::Set(name.into(), value.clone())];
        impossible(&*store, vec![Step::Update { table: THING.into(), rows: with_id(1), set, expect: Expect::One }])
            .await;
        assert!(store.select(things(&["id"], Condition::equal(name, value), &[])).await.is_err());
    }
    let grow = vec![Assignment::Add("name".into(), 1)];
    impossible(&*store, vec![Step::Update { table: THING.into(), rows: with_id(1), set: grow, expect: Expect::One }])
        .await;
}

pub(crate) async fn malformed_name_is_refused(subject: &dyn Subject) {
    let store = opened(subject).await;
    for name in ["", "a b", "name\"", "name\" = \"name\" OR \"name", "é", "1a"] {
        let rows = Condition::IsNull(name.to_owned().into());
        assert!(store.select(things(&["id"], rows, &[])).await.is_err(), "{name}");
        let row = vec![(name.to_owned().into(), Datum::Null)];
        impossible(&*store, vec![Step::Insert { table: THING.into(), row }]).await;
    }
}
