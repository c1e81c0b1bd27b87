//! Callers beside each other, and a database that was closed.

use sealward_core::store::{Assignment, Expect};
use tokio::task::JoinSet;

use super::*;

pub(crate) async fn committed_values_are_read_next(subject: &dyn Subject) {
    let store = opened(subject).await;
    for number in 1..=200 {
        apply(&*store, vec![insert(number, [])]).await;
        assert_eq!(ids(&*store, with_id(number)).await, [number]);
    }
}

pub(crate) async fn committed_values_survive_reopening(subject: &dyn Subject) {
    let store = opened(subject).await;
    apply(&*store, vec![insert(1, [("name", text("kept"))])]).await;
    let before = everything(&*store).await;
    drop(store);
    let store = subject.open().await;
    assert_eq!(everything(&*store).await, before);
    apply(&*store, vec![insert(2, [])]).await;
}

pub(crate) async fn one_of_many_conflicting_commits_succeeds(subject: &dyn Subject) {
    let store = opened(subject).await;
    apply(&*store, vec![insert(1, [("number", Datum::Integer(0))])]).await;
    let mut callers = JoinSet::new();
    for caller in 1..=100 {
        let store = Arc::clone(&store);
        callers.spawn(async move {
            let rows = with_id(1).and(Condition::equal("number", Datum::Integer(0)));
            let set = vec![Assignment::Set("number".into(), Datum::Integer(caller))];
            let steps = vec![Step::Update { table: THING.into(), rows, set, expect: Expect::One }];
            commit(&*store, steps).await.map(|()| caller)
        });
    }
    let outcomes = callers.join_all().await;
    let winners: Vec<i64> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok().copied()).collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(column(&*store, "number", with_id(1)).await, [Datum::Integer(winners[0])]);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(_) | Err(CommitError::Refused { step: 0 }))));
}

pub(crate) async fn refused_commit_does_not_affect_others(subject: &dyn Subject) {
    let store = opened(subject).await;
    let mut callers = JoinSet::new();
    for number in 1..=300_u128 {
        let store = Arc::clone(&store);
        callers.spawn(async move {
            let last = match number % 3 {
                0 => Step::Require { table: THING.into(), rows: with_id(9_999) },
                1 => insert(number + 1_000, [("number", text("no number"))]),
                _ => insert(number + 1_000, []),
            };
            (number, commit(&*store, vec![insert(number, []), last]).await)
        });
    }
    for (number, outcome) in callers.join_all().await {
        match (number % 3, outcome) {
            (0, Err(CommitError::Refused { step: 1 })) | (1, Err(CommitError::Unavailable(_))) | (2, Ok(())) => {}
            (_, outcome) => panic!("{number}: {outcome:?}"),
        }
    }
    let kept: Vec<u128> = (1..=300).filter(|number| number % 3 == 2).collect();
    let expected: Vec<u128> = kept.iter().copied().chain(kept.iter().map(|number| number + 1_000)).collect();
    assert_eq!(ids(&*store, Condition::EVERYTHING).await, expected);
}

pub(crate) async fn commit_continues_without_its_caller(subject: &dyn Subject) {
    let store = opened(subject).await;
    for number in 1..=50 {
        let mut pending = store.commit(Commit::of(vec![insert(number, [])]));
        // Polled once, which enqueues it.
        tokio::select! {
            biased;
            _ = &mut pending => {}
            () = std::future::ready(()) => {}
        }
    }
    // Commits are applied in the order they come.
    apply(&*store, vec![insert(51, [])]).await;
    assert_eq!(store.count(THING.into(), Condition::EVERYTHING).await.unwrap(), 51);
}

pub(crate) async fn an_audit_chain_has_no_gap_under_a_thousand_callers(subject: &dyn Subject) {
    let store = opened(subject).await;
    apply(&*store, vec![insert(0, [])]).await;
    let mut callers = JoinSet::new();
    for number in 0..1_000_u128 {
        let store = Arc::clone(&store);
        callers.spawn(async move {
            // Every tenth is refused, after its audit record was written.
            let key = if number % 10 == 0 { 0 } else { number };
            let steps = vec![Step::Audit(entry(&format!("thing {number}"))), insert(key, [])];
            commit(&*store, steps).await.is_ok()
        });
    }
    let applied = callers.join_all().await.into_iter().filter(|applied| *applied).count();
    assert_eq!(applied, 900);
    assert_eq!(chain_length(&*store).await, 900);
}

pub(crate) async fn audit_chain_continues_after_reopening(subject: &dyn Subject) {
    let mut store = opened(subject).await;
    for round in 1..=3 {
        apply(&*store, vec![Step::Audit(entry("before"))]).await;
        drop(store);
        store = subject.open().await;
        assert_eq!(chain_length(&*store).await, round);
    }
}

pub(crate) async fn a_commit_has_as_many_audit_records_as_it_names(subject: &dyn Subject) {
    let store = opened(subject).await;
    apply(&*store, vec![Step::Audit(entry("one")), insert(1, []), Step::Audit(entry("two"))]).await;
    assert_eq!(refused(&*store, vec![Step::Audit(entry("none")), insert(1, []), Step::Audit(entry("none"))]).await, 1);
    apply(&*store, vec![Step::Audit(entry("three"))]).await;
    assert_eq!(chain_length(&*store).await, 3);
}

pub(crate) async fn scrub_keeps_all_rows(subject: &dyn Subject) {
    let store = opened(subject).await;
    store.scrub().await.unwrap();
    apply(&*store, (1..=20).map(|number| insert(number, [("data", Datum::Bytes(vec![1; 500]))])).collect()).await;
    apply(
        &*store,
        vec![Step::Delete { table: THING.into(), rows: Condition::greater("id", id(10)), expect: Expect::Any }],
    )
    .await;
    let before = everything(&*store).await;
    store.scrub().await.unwrap();
    assert_eq!(everything(&*store).await, before);
    apply(&*store, vec![insert(21, [])]).await;
}

pub(crate) async fn snapshot_does_not_change(subject: &dyn Subject) {
    let store = opened(subject).await;
    apply(&*store, vec![insert(1, [("name", text("before"))])]).await;
    let snapshot = store.snapshot().await.unwrap();
    apply(&*store, vec![insert(2, [])]).await;
    let renamed = Step::Update {
        table: THING.into(),
        rows: with_id(1),
        set: vec![Assignment::Set("name".into(), text("after"))],
        expect: Expect::One,
    };
    apply(&*store, vec![renamed]).await;
    let names = |rows: Vec<Row>| rows.into_iter().flatten().collect::<Vec<_>>();
    assert_eq!(snapshot.count(THING.into(), Condition::EVERYTHING).await.unwrap(), 1);
    let read = things(&["name"], Condition::EVERYTHING, &[]);
    assert_eq!(names(snapshot.select(read).await.unwrap()), [text("before")]);
    assert_eq!(column(&*store, "name", with_id(1)).await, [text("after")]);
    drop(snapshot);
    store.scrub().await.unwrap();
}
