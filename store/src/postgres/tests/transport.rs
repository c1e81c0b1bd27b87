//! Connections: TLS, and what becomes of a connection whose user leaves.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn server_certificate_and_name_are_verified() {
    let database = Database::new();
    let open = async |login: PostgresLogin| {
        Postgres::open(login, Some(database.owner()), limits(), Uuid::from_bytes([3; 16])).await.map(drop)
    };
    let (ca, _, _) = cluster::certificates();
    let other_ca = PostgresLogin { tls: cluster::trusting(&ca), ..database.login() };
    let other_name = cluster::CLUSTER.login("sealward", "127.0.0.1", database.name());
    let wrong_password = PostgresLogin { password: Some("hunter2".into()), ..database.login() };
    let unreachable = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("postgres://sealward@localhost:{}/any", listener.local_addr().unwrap().port());
        PostgresLogin { address: address.parse().unwrap(), ..database.login() }
    };
    let no_database = cluster::CLUSTER.login("sealward", "localhost", "missing");
    for (login, words) in [
        (other_ca, "invalid peer certificate"),
        (other_name, "not valid for name"),
        (wrong_password, "refused the login (28P01)"),
        (no_database, "refused the login (3D000)"),
        (unreachable, "refused"),
    ] {
        let error = open(login).await.unwrap_err();
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        assert!(text.contains(words), "{text}");
        assert!(!format!("{error:?}").contains("hunter2"));
    }
    open(database.login()).await.unwrap();
    let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'sealward' \
                     AND client_addr IS NOT NULL";
    let _open =
        connection::Connection::open(database.login(), limits(), &tokio::runtime::Handle::current()).await.unwrap();
    assert_eq!(database.administer(encrypted), "t");
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_of_a_caller_that_left_is_closed() {
    let fixture = Fixture::new();
    let store = fixture.created(ID).await;
    commit(&*store, vec![insert(1, "a")]).await.unwrap();
    for _ in 0..20 {
        let mut read = store.count("Entry".into(), Condition::EVERYTHING);
        // Polled once, which may send the transaction.
        tokio::select! {
            biased;
            _ = &mut read => {}
            () = std::future::ready(()) => {}
        }
        drop(read);
    }
    // Many more than there are connections.
    assert_eq!(count(&*store, "Entry").await, 1);
    commit(&*store, vec![insert(2, "b")]).await.unwrap();
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!(count(&*snapshot, "Entry").await, 2);
    drop(snapshot);
    for _ in 0..limits().scans_max * 2 {
        drop(store.snapshot().await.unwrap());
    }
    assert_eq!(count(&*store, "Entry").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_and_commits_continue_after_the_server_ended_their_connections() {
    let fixture = Fixture::new();
    let store = fixture.created(ID).await;
    commit(&*store, vec![insert(1, "a"), reveal()]).await.unwrap();
    for number in 2..5 {
        let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'sealward' \
                     AND datname = current_database()";
        assert_ne!(fixture.database.administer(ended), "0");
        assert_eq!(u128::from(count(&*store, "Entry").await), number - 1);
        let _again = fixture.database.administer(ended);
        commit(&*store, vec![insert(number, "a"), reveal()]).await.unwrap();
    }
    assert_eq!(crate::contract::chain_length(&*store).await, 4);
}
