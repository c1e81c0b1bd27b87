//! Outcomes of transactions whose connection is lost.

use super::{
    proxy::{Loss, Proxy},
    *,
};

/// A database that is reached through a proxy.
struct Proxied {
    fixture: Fixture,
    proxy: Proxy,
    store: Arc<dyn Store>,
}

async fn proxied() -> Proxied {
    let fixture = Fixture::new();
    let proxy = Proxy::new();
    let databases = fixture.server(proxy.login(&fixture.database)).await.unwrap();
    databases.create(ID, first()).await.unwrap();
    let store = databases.open(ID).await.unwrap();
    commit(&*store, vec![insert(1, "first"), reveal()]).await.unwrap();
    assert!(fixture.databases.set(databases).is_ok());
    proxy.round_trips();
    Proxied { fixture, proxy, store }
}

impl Proxied {
    /// The numbers of the records of the audit trail.
    async fn trail(&self) -> Vec<Datum> {
        let select = Select {
            table: AuditRecord::TABLE.into(),
            columns: vec!["sequence".into()],
            rows: Condition::EVERYTHING,
            order: vec![("sequence".into(), Direction::Ascending)],
            limit: 100,
        };
        self.store.select(select).await.unwrap().into_iter().flatten().collect()
    }

    /// The number of commits that the lane has passed.
    fn commit_seq(&self) -> i64 {
        let text =
            format!("SELECT commit_seq FROM sealward._lane WHERE _organization_id = '{}'", Uuid::from_bytes([7; 16]));
        self.fixture.database.administer(&text).parse().unwrap()
    }
}

#[tokio::test]
async fn commit_takes_one_round_trip() {
    let Proxied { proxy, store, .. } = &proxied().await;
    let steps = |number| vec![insert(number, "next"), reveal()];
    for number in 2..=4 {
        commit(&**store, steps(number)).await.unwrap();
        assert_eq!(proxy.round_trips(), 1);
    }
    // A read too.
    count(&**store, "Entry").await;
    proxy.round_trips();
    assert_eq!(count(&**store, "Entry").await, 4);
    assert_eq!(proxy.round_trips(), 1);
}

#[tokio::test]
async fn commit_after_that_of_another_server_takes_two_round_trips() {
    let Proxied { proxy, store, fixture } = &proxied().await;
    let other = fixture.server_of(Uuid::from_bytes([4; 16]), fixture.database.login()).await.unwrap();
    let other = other.open(ID).await.unwrap();
    let mut trips = Vec::new();
    for number in 2..8 {
        commit(&*other, vec![insert(10 + number, "other"), reveal()]).await.unwrap();
        commit(&**store, vec![insert(number, "next"), reveal()]).await.unwrap();
        trips.push(proxy.round_trips());
    }
    // At first, it learns that it isn't alone, and prepares another statement.
    assert_eq!(trips.split_off(1), [2; 5]);
    assert!(trips[0] <= 4, "{trips:?}");
    // Alone again, it locks the lane once more.
    for (number, expected) in (20..).zip([2, 1, 1]) {
        commit(&**store, vec![insert(number, "next"), reveal()]).await.unwrap();
        assert_eq!(proxy.round_trips(), expected, "{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_commit_is_repeated_and_takes_effect_once() {
    for loss in [Loss::Before, Loss::After] {
        let proxied = proxied().await;
        let before = proxied.commit_seq();
        proxied.proxy.lose(loss);
        commit(&*proxied.store, vec![insert(2, "second"), reveal()]).await.unwrap();
        assert!(proxied.proxy.has_lost(), "{loss:?}");
        assert_eq!(proxied.commit_seq(), before + 1, "{loss:?}");
        assert_eq!(count(&*proxied.store, "Entry").await, 2, "{loss:?}");
        assert_eq!(proxied.trail().await, [1, 2].map(Datum::Integer), "{loss:?}");
        // The chain continues.
        commit(&*proxied.store, vec![insert(3, "third"), reveal()]).await.unwrap();
        assert_eq!(proxied.trail().await, [1, 2, 3].map(Datum::Integer), "{loss:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusal_after_a_lost_commit_is_that_of_the_last_state() {
    for loss in [Loss::Before, Loss::After] {
        let proxied = proxied().await;
        proxied.proxy.lose(loss);
        let second = commit(&*proxied.store, vec![insert(2, "second")]).await;
        assert!(second.is_ok(), "{loss:?}");
        let again = commit(&*proxied.store, vec![reveal(), insert(2, "again")]).await;
        assert!(matches!(again, Err(CommitError::Refused { step: 1 })), "{loss:?}: {again:?}");
        assert_eq!(proxied.trail().await, [Datum::Integer(1)], "{loss:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn delayed_commit_is_waited_for() {
    let proxied = proxied().await;
    let before = proxied.commit_seq();
    proxied.proxy.lose(Loss::Late);
    let store = Arc::clone(&proxied.store);
    let mut second = tokio::spawn(async move { commit(&*store, vec![insert(2, "second"), reveal()]).await });
    // Its effects aren't visible yet, which proves nothing.
    while !proxied.proxy.has_lost() {
        tokio::task::yield_now().await;
    }
    assert!(futures_of(&mut second).await.is_none());
    assert_eq!(count(&*proxied.store, "Entry").await, 1);
    proxied.proxy.let_through().await;
    second.await.unwrap().unwrap();
    assert_eq!(proxied.commit_seq(), before + 1);
    assert_eq!(count(&*proxied.store, "Entry").await, 2);
    assert_eq!(proxied.trail().await, [1, 2].map(Datum::Integer));
}

#[tokio::test(flavor = "multi_thread")]
async fn transaction_that_arrives_after_it_was_given_up_is_refused() {
    let proxied = proxied().await;
    let before = proxied.commit_seq();
    proxied.proxy.lose(Loss::AllLate);
    commit(&*proxied.store, vec![insert(2, "second"), reveal()]).await.unwrap();
    assert!(proxied.proxy.has_lost());
    proxied.proxy.let_through().await;
    commit(&*proxied.store, vec![insert(3, "third"), reveal()]).await.unwrap();
    assert_eq!(proxied.commit_seq(), before + 2);
    assert_eq!(count(&*proxied.store, "Entry").await, 3);
    assert_eq!(proxied.trail().await, [1, 2, 3].map(Datum::Integer));
}

/// Returns the output of a task if it has ended.
async fn futures_of<T>(task: &mut tokio::task::JoinHandle<T>) -> Option<T> {
    tokio::select! {
        biased;
        output = task => Some(output.unwrap()),
        () = std::future::ready(()) => None,
    }
}
