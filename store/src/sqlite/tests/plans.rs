//! Query plans of SQLite.

use sealward_core::store::{ColumnScan, RowNumber};

use super::*;
use crate::sql::Dialect;

fn plan(fixture: &Fixture, read: &Select) -> String {
    let sql = Dialect::Sqlite.select(read, |_| true).unwrap();
    explain(fixture, &sql.text)
}

fn explain(fixture: &Fixture, text: &str) -> String {
    let connection = rusqlite::Connection::open(fixture.database()).unwrap();
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {text}")).unwrap();
    let steps = statement.raw_query().mapped(|row| row.get::<_, String>("detail")).collect::<Result<Vec<_>, _>>();
    steps.unwrap().join("; ")
}

fn read(table: &'static str, rows: Condition, order: &[&'static str]) -> Select {
    let order = order.iter().map(|&column| (column.into(), Direction::Ascending)).collect();
    Select { table: table.into(), columns: vec![table_key(table).into()], rows, order, limit: 100 }
}

fn table_key(table: &'static str) -> &'static str {
    if table == AuditRecord::TABLE { "hash" } else { "data" }
}

#[tokio::test]
async fn reads_and_pages_by_key_use_the_key_without_sorting() {
    let fixture = Fixture::new();
    fixture.databases.create(ID, first()).await.unwrap();
    let id = || Datum::Uuid(Uuid::from_u128(1));
    let by_key = read("Entry", Condition::equal("id", id()), &[]);
    assert_eq!(plan(&fixture, &by_key), "SEARCH Entry USING INDEX sqlite_autoindex_Entry_1 (id=?)");
    let after = "SEARCH Entry USING INDEX sqlite_autoindex_Entry_1 (id>?)";
    let page = read("Entry", Condition::greater("id", id()), &["id"]);
    assert_eq!(plan(&fixture, &page), after);
    let scan = ColumnScan {
        table: "Entry".into(),
        key: "id".into(),
        column: "data".into(),
        after: Some(RowNumber(1)),
        except_header: Some(vec![1; 5]),
        limit: 1,
        bytes_max: 1,
    };
    let scan = Dialect::Sqlite.scan_column(&scan).unwrap();
    assert_eq!(explain(&fixture, &scan.text), "SEARCH Entry USING INTEGER PRIMARY KEY (rowid>?)");
    let records = Condition::equal("writer", id()).and(Condition::greater("sequence", Datum::Integer(1)));
    let trail = read(AuditRecord::TABLE, records, &["writer", "sequence"]);
    assert_eq!(plan(&fixture, &trail), "SEARCH sealward_audit USING PRIMARY KEY (writer=? AND sequence>?)");
}

#[tokio::test]
async fn rows_are_read_and_pruned_by_an_index() {
    let fixture = Fixture::new();
    fixture.databases.create(ID, first()).await.unwrap();
    let named = || Condition::Compare {
        column: "name".into(),
        comparison: Comparison::Less,
        value: Datum::Text("b".to_owned()),
    };
    let by_name = "SEARCH Entry USING INDEX Entry_by_name (name<?)";
    assert_eq!(plan(&fixture, &read("Entry", named(), &["name"])), by_name);
    let (table, key, rows) = ("Entry".into(), ["id".into()], named());
    let prune = Dialect::Sqlite.prune(&table, &key, &rows, 1).unwrap();
    let planned = explain(&fixture, &prune.text);
    assert!(planned.contains("Entry_1 (id=?)") && planned.ends_with(by_name), "{planned}");
}
