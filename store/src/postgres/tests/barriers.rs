//! The two barriers between databases: the condition of each statement, and row-level security.

use super::*;

const ORGANIZATION: &str = "07070707-0707-0707-0707-070707070707";
const OTHER: &str = "08080808-0808-0808-0808-080808080808";

async fn two_databases() -> (Fixture, Arc<dyn Store>, Arc<dyn Store>) {
    let fixture = Fixture::new();
    let (one, other) = (fixture.created(ID).await, fixture.created(OTHER_ID).await);
    commit(&*one, vec![insert(1, "of one"), insert(2, "of one"), reveal()]).await.unwrap();
    commit(&*other, vec![insert(1, "of the other"), reveal()]).await.unwrap();
    (fixture, one, other)
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_share_tables_but_no_rows() {
    let (fixture, one, other) = two_databases().await;
    assert_eq!((count(&*one, "Entry").await, count(&*other, "Entry").await), (2, 1));
    assert_eq!(fixture.database.administer("SELECT count(*) FROM sealward.\"Entry\""), "3");
    let everything = |set: &str| Step::Update {
        table: "Entry".into(),
        rows: Condition::EVERYTHING,
        set: vec![Assignment::Set("name".into(), Datum::Text(set.to_owned()))],
        expect: Expect::Any,
    };
    commit(&*one, vec![everything("changed")]).await.unwrap();
    assert_eq!(other.count("Entry".into(), named("of the other")).await.unwrap(), 1);
    let delete = Step::Delete { table: "Entry".into(), rows: Condition::EVERYTHING, expect: Expect::Any };
    commit(&*other, vec![delete]).await.unwrap();
    assert_eq!((count(&*one, "Entry").await, count(&*other, "Entry").await), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_contains_the_id_of_its_database() {
    let (fixture, one, _other) = two_databases().await;
    // Without the second barrier, the first one is still there.
    for table in ["\"Entry\"", "_lane", "_table", "_index", "sealward_audit"] {
        fixture.database.administer(&format!("ALTER TABLE sealward.{table} DISABLE ROW LEVEL SECURITY"));
    }
    assert_eq!(count(&*one, "Entry").await, 2);
    let prune = |at_most| Step::Prune { table: "Entry".into(), key: vec!["id".into()], rows: named("of one"), at_most };
    let steps = vec![
        Step::Require { table: "Entry".into(), rows: named("of one") },
        Step::Forbid { table: "Entry".into(), rows: named("of the other") },
        prune(1),
        insert(3, "of one"),
        reveal(),
    ];
    commit(&*one, steps).await.unwrap();
    assert_eq!(fixture.database.administer("SELECT count(*) FROM sealward.\"Entry\""), "3");
    fixture.databases().await.remove(ID).await.unwrap();
    assert_eq!(fixture.database.administer("SELECT count(*) FROM sealward.\"Entry\""), "1");
    for table in ["_lane", "_table", "_index", "sealward_audit"] {
        let left = format!("SELECT count(*) FROM sealward.{table} WHERE _organization_id = '{ORGANIZATION}'");
        assert_eq!(fixture.database.administer(&left), "0", "{table}");
    }
}

/// Connects as a role, without the store and therefore without the first barrier.
async fn connected(login: PostgresLogin) -> connection::Connection {
    connection::Connection::open(login, limits(), &tokio::runtime::Handle::current()).await.unwrap()
}

/// Executes a statement in a transaction that has set this database, and rolls back.
async fn within(client: &tokio_postgres::Client, organization: &str, text: &str) -> Result<u64, String> {
    client.batch_execute("BEGIN").await.unwrap();
    let set = format!("SELECT set_config('sealward.organization', '{organization}', true)");
    client.batch_execute(&set).await.unwrap();
    let done = client.execute_typed(text, &[]).await;
    client.batch_execute("ROLLBACK").await.unwrap();
    done.map_err(|error| error.as_db_error().unwrap().code().code().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn row_level_security_holds_without_the_condition() {
    let (fixture, _one, _other) = two_databases().await;
    // The owner of the tables is restricted as well.
    for login in [fixture.database.login(), fixture.database.owner()] {
        let connection = connected(login).await;
        let client = connection.client();
        assert_eq!(within(client, ORGANIZATION, "SELECT * FROM sealward.\"Entry\"").await, Ok(2));
        assert_eq!(within(client, OTHER, "SELECT * FROM sealward.\"Entry\"").await, Ok(1));
        assert_eq!(within(client, ORGANIZATION, "UPDATE sealward.\"Entry\" SET name = 'x'").await, Ok(2));
        assert_eq!(within(client, OTHER, "DELETE FROM sealward.\"Entry\"").await, Ok(1));
        for table in ["_lane", "sealward_audit"] {
            assert_eq!(within(client, OTHER, &format!("SELECT * FROM sealward.{table}")).await, Ok(1), "{table}");
        }
        // Rows can't be moved to another database.
        const INSUFFICIENT_PRIVILEGE: &str = "42501";
        let moved = format!("UPDATE sealward.\"Entry\" SET _organization_id = '{OTHER}'");
        assert_eq!(within(client, ORGANIZATION, &moved).await, Err(INSUFFICIENT_PRIVILEGE.to_owned()));
        let inserted = format!("INSERT INTO sealward.\"Entry\" (_organization_id, id) VALUES ('{OTHER}', '{OTHER}')");
        assert_eq!(within(client, ORGANIZATION, &inserted).await, Err(INSUFFICIENT_PRIVILEGE.to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transaction_without_a_database_fails() {
    let (fixture, _one, _other) = two_databases().await;
    let connection = connected(fixture.database.login()).await;
    let client = connection.client();
    let read = "SELECT * FROM sealward.\"Entry\"";
    // Never set, and set in an earlier transaction: an error, instead of no rows.
    assert!(client.batch_execute(read).await.is_err());
    assert_eq!(within(client, ORGANIZATION, read).await, Ok(2));
    assert!(client.batch_execute(read).await.is_err());
    assert!(client.batch_execute("UPDATE sealward._lane SET fence = 0").await.is_err());
    assert!(client.batch_execute("DELETE FROM sealward.\"Entry\"").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn role_that_could_lift_the_barrier_is_refused() {
    let fixture = Fixture::new();
    fixture.databases().await;
    let refused = async |login: PostgresLogin| {
        let opened = Postgres::open(login, None, limits(), Uuid::from_bytes([3; 16])).await;
        opened.map(drop).unwrap_err().to_string()
    };
    let privileged = error::PostgresError::Privileged.to_string();
    assert_eq!(refused(fixture.database.owner()).await, privileged);
    let folder = cluster::CLUSTER.folder();
    assert_eq!(refused(cluster::CLUSTER.local_login("postgres", folder, fixture.database.name())).await, privileged);
    // A member of the owning role.
    fixture.database.administer("CREATE ROLE a_member LOGIN; GRANT sealward_owner TO a_member");
    assert_eq!(refused(cluster::CLUSTER.local_login("a_member", folder, fixture.database.name())).await, privileged);
    // The server's role may not change tables.
    let connection = connected(fixture.database.login()).await;
    for text in [
        "ALTER TABLE sealward._lane DISABLE ROW LEVEL SECURITY",
        "DROP POLICY \"_organization\" ON sealward._lane",
        "TRUNCATE sealward._guard",
        "CREATE TABLE sealward.more (id integer)",
    ] {
        assert!(connection.client().batch_execute(text).await.is_err(), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn database_that_cannot_be_used_is_refused_before_a_change() {
    let open = async |database: &str, owner: &str| {
        let (login, owner) = ["sealward", owner].map(|role| cluster::CLUSTER.login(role, "localhost", database)).into();
        let opened = Postgres::open(login, Some(owner), limits(), Uuid::from_bytes([3; 16])).await;
        opened.map(drop).unwrap_err().to_string()
    };
    let administer = |database: &str, text: &str| cluster::CLUSTER.administer(database, text);
    administer("postgres", "CREATE DATABASE latin OWNER sealward_owner TEMPLATE template0 ENCODING LATIN1 LOCALE 'C'");
    assert!(open("latin", "sealward_owner").await.contains("LATIN1"));
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'sealward'";
    assert_eq!(administer("latin", schemas), "0");
    // The tables of another role, such as those of another deployment.
    let fixture = Fixture::new();
    fixture.databases().await;
    administer("postgres", "CREATE ROLE another_owner LOGIN PASSWORD 'of the tests'");
    administer("postgres", &format!("GRANT CREATE ON DATABASE {} TO another_owner", fixture.database.name()));
    assert_eq!(open(fixture.database.name(), "another_owner").await, error::PostgresError::NotOwner.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn check_finds_what_a_start_would_and_changes_nothing() {
    let fixture = Fixture::new();
    let database = &fixture.database;
    let with_owner = async || check(database.login(), Some(database.owner()), limits()).await;
    let found = with_owner().await.unwrap();
    assert!(found.version >= 15);
    assert_eq!(found.organizations, None);
    assert!(check(database.login(), None, limits()).await.unwrap_err().to_string().contains("_guard"));
    assert_eq!(database.administer("SELECT count(*) FROM pg_namespace WHERE nspname = 'sealward'"), "0");
    fixture.created(ID).await;
    // While a server works.
    assert_eq!(with_owner().await.unwrap().organizations, Some(1));
    assert_eq!(check(database.login(), None, limits()).await.unwrap().organizations, Some(1));
    assert_eq!(
        check(database.owner(), None, limits()).await.unwrap_err().to_string(),
        error::PostgresError::Privileged.to_string()
    );
    let wrong = PostgresLogin { password: Some("hunter2".into()), ..database.owner() };
    let refused = check(database.login(), Some(wrong), limits()).await.unwrap_err();
    assert!(refused.to_string().contains("28P01") && !format!("{refused:?}").contains("hunter2"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_are_missing_are_named() {
    let fixture = Fixture::new();
    let opened = Postgres::open(fixture.database.login(), None, limits(), Uuid::from_bytes([3; 16])).await;
    assert!(opened.map(drop).unwrap_err().to_string().contains("_guard"));
    fixture.databases().await;
    let login = fixture.database.login();
    let postgres = Postgres::open(login, None, limits(), Uuid::from_bytes([9; 16])).await.unwrap();
    let databases = databases_of(postgres).await.unwrap();
    let Err(CommitError::Unavailable(cause)) = databases.create(ID, first()).await else { panic!("created") };
    assert!(cause.to_string().contains("Entry"), "{cause}");
    assert_eq!(databases.list().await.unwrap(), []);
    // Once they exist, the server needs no other role.
    fixture.created(OTHER_ID).await;
    databases.create(ID, first()).await.unwrap();
    assert_eq!(databases.list().await.unwrap(), [ID, OTHER_ID]);
}
