//! Tests of the texts.

use sealward_core::store::{Direction, RowNumber};

use super::{
    builder::{after_header, after_prefix},
    *,
};

fn named(name: &'static str) -> Select {
    Select {
        table: "Mailbox".into(),
        columns: vec![name.into()],
        rows: Condition::EVERYTHING,
        order: Vec::new(),
        limit: 1,
    }
}

#[test]
fn placeholders_are_used_once_each_and_in_order() {
    let set = [Assignment::Set("a".into(), Datum::Null), Assignment::Add("revision".into(), 1)];
    let rows = Condition::equal("id", Datum::Integer(7)).and(Condition::Any(vec![
        Condition::IsNull("b".into()),
        Condition::BeginsWith { column: "c".into(), prefix: "x".to_owned() },
    ]));
    let table = Name::from("Mailbox");
    let sql = Dialect::Sqlite.update(&table, &rows, &set).unwrap();
    assert_eq!(
        sql.text,
        r#"UPDATE "Mailbox" SET "a" = $1, "revision" = "revision" + $2 WHERE ("id" = $3 AND ("b" IS NULL OR ("c" >= $4 AND "c" < $5)))"#
    );
    assert_eq!(sql.values.len(), 5);
}

#[test]
fn header_is_a_range_of_bytes() {
    for (header, end) in
        [(&[][..], None), (&[1, 0], Some(&[1, 1][..])), (&[1, 0xFF, 0xFF], Some(&[2])), (&[0xFF, 0xFF], None)]
    {
        assert_eq!(after_header(header).as_deref(), end, "{header:?}");
    }
}

#[test]
fn column_is_scanned_in_the_order_of_row_numbers() {
    let scan = ColumnScan {
        table: "Mailbox".into(),
        key: "id".into(),
        column: "a".into(),
        after: Some(RowNumber(7)),
        except_header: Some(vec![1]),
        limit: 3,
        bytes_max: 100,
    };
    let sql = Dialect::Sqlite.scan_column(&scan).unwrap();
    assert_eq!(
        sql.text,
        r#"SELECT _rowid_, "id", "a" FROM "Mailbox" WHERE _rowid_ > $1 AND ("a" < $2 OR "a" >= $3) ORDER BY _rowid_ LIMIT $4"#
    );
    let all = ColumnScan { after: None, except_header: None, ..scan };
    assert_eq!(
        Dialect::Sqlite.scan_column(&all).unwrap().text,
        r#"SELECT _rowid_, "id", "a" FROM "Mailbox" WHERE "a" IS NOT NULL ORDER BY _rowid_ LIMIT $1"#
    );
}

#[test]
fn order_of_nulls_is_explicit() {
    let mut read = named("id");
    read.order = vec![("a".into(), Direction::Ascending), ("b".into(), Direction::Descending)];
    assert_eq!(
        Dialect::Sqlite.select(&read, |_| true).unwrap().text,
        r#"SELECT "id" FROM "Mailbox" ORDER BY "a" ASC NULLS FIRST, "b" DESC NULLS LAST LIMIT $1"#
    );
}

#[test]
fn a_name_that_could_end_its_quotes_is_refused() {
    for name in ["", "1a", "a b", "a\"b", "a\0", "é", "a-b", &"x".repeat(64)] {
        assert_eq!(Builder::new(Dialect::Sqlite, "").name(name), Err(Malformed::Name), "{name}");
    }
    for name in ["a", "_a1", "EmailServerProfile", &"x".repeat(63)] {
        assert_eq!(Builder::new(Dialect::Sqlite, "").name(name), Ok(()), "{name}");
    }
}

#[test]
fn null_is_never_compared_and_no_text_holds_u_0000() {
    let mut read = named("id");
    read.rows = Condition::equal("a", Datum::Null);
    assert_eq!(Dialect::Sqlite.select(&read, |_| true).unwrap_err(), Malformed::NullComparison);
    read.rows = Condition::equal("a", Datum::Text("a\0b".to_owned()));
    assert_eq!(Dialect::Sqlite.select(&read, |_| true).unwrap_err(), Malformed::NulCharacter);
}

#[test]
fn a_negation_is_true_of_null() {
    let mut read = named("id");
    read.rows = Condition::equal("a", Datum::Integer(1)).negated();
    assert_eq!(
        Dialect::Sqlite.select(&read, |_| true).unwrap().text,
        r#"SELECT "id" FROM "Mailbox" WHERE (("a" = $1) IS NOT TRUE) LIMIT $2"#
    );
}

#[test]
fn a_prefix_is_a_range_of_code_points() {
    for (prefix, end) in [
        ("", None),
        ("a", Some("b")),
        ("ab", Some("ac")),
        ("a\u{10FFFF}\u{10FFFF}", Some("b")),
        ("\u{10FFFF}", None),
        ("\u{D7FF}", Some("\u{E000}")),
        ("\u{7F}", Some("\u{80}")),
        ("\u{FFFF}", Some("\u{10000}")),
        ("*%_", Some("*%`")),
    ] {
        assert_eq!(after_prefix(prefix).as_deref(), end, "{prefix:?}");
    }
    let mut read = named("id");
    read.rows = Condition::BeginsWith { column: "a".into(), prefix: "x".to_owned() };
    assert_eq!(
        Dialect::Sqlite.select(&read, |_| true).unwrap().text,
        r#"SELECT "id" FROM "Mailbox" WHERE ("a" >= $1 AND "a" < $2) LIMIT $3"#
    );
    read.rows = Condition::Lists { column: "a".into(), element: "x".to_owned() };
    assert_eq!(
        Dialect::Sqlite.select(&read, |_| true).unwrap().text,
        r#"SELECT "id" FROM "Mailbox" WHERE (replace(',' || "a" || ',', $1, '') <> ',' || "a" || ',') LIMIT $2"#
    );
    read.rows = Condition::BeginsWith { column: "a".into(), prefix: "x\0".to_owned() };
    assert_eq!(Dialect::Sqlite.select(&read, |_| true).unwrap_err(), Malformed::NulCharacter);
}

#[test]
fn only_tables_of_records_have_a_rowid() {
    let column = |name: &'static str, kind| Column { name: name.into(), kind, nullable: true };
    let table = |kind| Table {
        name: "t".into(),
        columns: vec![column("id", kind)],
        key: vec!["id".into()],
        indexes: Vec::new(),
    };
    let text = |table: &Table| Dialect::Sqlite.create_table(table).unwrap().text;
    assert_eq!(text(&table(ColumnType::Uuid)), r#"CREATE TABLE "t" ("id" BLOB NOT NULL, PRIMARY KEY ("id")) STRICT"#);
    assert_eq!(
        text(&table(ColumnType::Integer)),
        r#"CREATE TABLE "t" ("id" INTEGER NOT NULL, PRIMARY KEY ("id")) STRICT, WITHOUT ROWID"#
    );
}
