//! Query plans of PostgreSQL.

use super::*;
use crate::sql::{Dialect, Owner};

const OWNER: Owner = Owner(Uuid::from_bytes([7; 16]));

/// Returns the plan of a read as the server's role gets it, with row-level security.
async fn plan(fixture: &Fixture, table: &Table, select: &Select) -> String {
    let definition = statement::Definition::of(&table.columns, &table.key);
    let sql = Dialect::Postgres(OWNER).select(select, |column| definition.is_nullable(column)).unwrap();
    let statement = statement::Statement::checked(sql, &table.name, &definition).unwrap();
    let login = fixture.database.login();
    let connection = connection::Connection::open(login, limits(), &tokio::runtime::Handle::current()).await.unwrap();
    let client = connection.client();
    client.batch_execute("BEGIN; SET LOCAL plan_cache_mode = force_generic_plan").await.unwrap();
    let set = format!("SELECT set_config('sealward.organization', '{}', true)", OWNER.0);
    client.batch_execute(&set).await.unwrap();
    let explained = client.prepare_typed(&format!("EXPLAIN (COSTS OFF) {}", statement.text), &statement.types).await;
    let lines = client.query_raw(&explained.unwrap(), statement.parameters()).await.unwrap();
    let mut lines = std::pin::pin!(lines);
    let mut text = Vec::new();
    while let Some(line) = tokio_stream::StreamExt::next(&mut lines).await {
        text.push(line.unwrap().get::<_, String>(0).trim().to_owned());
    }
    text.join("; ")
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_and_pages_use_an_index_without_sorting() {
    let fixture = Fixture::new();
    let store = fixture.created(ID).await;
    fixture.database.administer(
        "INSERT INTO sealward.\"Entry\" (_organization_id, id, rank) \
         SELECT '07070707-0707-0707-0707-070707070707', gen_random_uuid(), nullif(number / 3, 7) \
         FROM generate_series(1, 20000) AS number; ANALYZE sealward.\"Entry\"",
    );
    assert_eq!(count(&*store, "Entry").await, 20_000);
    let id = || Datum::Uuid(Uuid::from_u128(1 << 127));
    let rank = || Datum::Integer(3);
    let read = |rows, order: &[&'static str], direction| Select {
        table: "Entry".into(),
        columns: vec!["data".into()],
        rows,
        order: order.iter().map(|column| (Name::Borrowed(column), direction)).collect(),
        limit: 50,
    };
    let later = |columns: &[(&'static str, Datum)]| {
        Condition::later(columns.iter().map(|(column, datum)| (Name::Borrowed(column), datum.clone())))
    };
    for (select, index) in [
        (read(Condition::equal("id", id()), &[], Direction::Ascending), "Entry_pkey"),
        (read(Condition::EVERYTHING, &["id"], Direction::Ascending), "Entry_pkey"),
        (read(Condition::greater("id", id()), &["id"], Direction::Ascending), "Entry_pkey"),
        (read(Condition::EVERYTHING, &["id"], Direction::Descending), "Entry_pkey"),
        (read(Condition::EVERYTHING, &["rank", "id"], Direction::Ascending), "Entry_by_rank"),
        (read(Condition::EVERYTHING, &["rank", "id"], Direction::Descending), "Entry_by_rank"),
        (read(later(&[("rank", rank()), ("id", id())]), &["rank", "id"], Direction::Ascending), "Entry_by_rank"),
    ] {
        let plan = plan(&fixture, &table(), &select).await;
        assert!(plan.contains(&format!("using \"{index}\"")), "{select:?}: {plan}");
        assert!(!plan.contains("Sort") && !plan.contains("Seq Scan"), "{select:?}: {plan}");
        assert!(plan.contains("Index Cond: (") && plan.contains("(_organization_id = "), "{plan}");
    }
}
