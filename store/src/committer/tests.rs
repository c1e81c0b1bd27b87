//! Tests of the committer with a database that fails on demand.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Mutex, MutexGuard, mpsc as channel},
    task::Poll,
};

use sealward_core::{
    audit::{AuditAction, AuditEntry, AuditRecord},
    id::Timestamp,
    store::Datum,
    table::TableRow as _,
    ticket::{Ticket, promise},
};

use super::{
    queue::{BATCH_MAX, ROWS_MAX, WAITING_MAX},
    *,
};

/// The content of the simulated disk, and the failures to simulate.
#[derive(Default)]
struct Disk {
    rows: Vec<String>,
    /// The sequence numbers and hashes of the audit trail.
    trail: Vec<(i64, [u8; 32])>,
    /// The number of rows that each transaction wrote.
    transactions: Vec<usize>,
    reopened: usize,
    rolled_back: usize,
    scrubbed_at: Vec<usize>,
    /// The outcomes of the next commits. If empty, commits succeed.
    ends: VecDeque<End>,
    reopening_fails: usize,
}

enum End {
    /// An error, with nothing written.
    Undone,
    /// An error, with everything written.
    Done,
}

/// A backend whose steps are inserts. The tables `refuse`, `fail`, `lose` and `panic` have the effect of their name;
/// all others store rows. The rows of a single commit can be undone only with [`Undo::Alone`].
struct Double {
    disk: Arc<Mutex<Disk>>,
    rows: Vec<String>,
    trail: Vec<(i64, [u8; 32])>,
    /// Signals each commit, which then waits for permission to continue.
    gate: Option<(channel::Sender<()>, channel::Receiver<()>)>,
}

impl Double {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap()
    }
}

fn broken() -> Cause {
    "broken on demand".into()
}

impl Backend for Double {
    fn begin(&mut self) -> Result<(), Cause> {
        assert!(self.rows.is_empty() && self.trail.is_empty(), "a transaction is open already");
        Ok(())
    }

    fn apply(&mut self, steps: &[Step], audit_rows: &[Step], undo: Undo) -> Result<(), Failure> {
        let before = (self.rows.len(), self.trail.len());
        let mut audit_rows = audit_rows.iter();
        for (index, step) in steps.iter().enumerate() {
            if matches!(step, Step::After(_)) {
                continue;
            }
            let step = if matches!(step, Step::Audit(_)) { audit_rows.next().unwrap() } else { step };
            let Step::Insert { table, row } = step else { panic!("only inserts and audit records are supported") };
            let failure = match &**table {
                "refuse" => Failure::Refused { step: index },
                "fail" => Failure::Failed(broken()),
                "lose" => Failure::Lost(broken()),
                "panic" => panic!("on demand"),
                AuditRecord::TABLE => {
                    let [sequence, hash] =
                        ["sequence", "hash"].map(|name| row.iter().find(|(column, _)| column == name));
                    let (Some((_, Datum::Integer(sequence))), Some((_, Datum::Bytes(hash)))) = (sequence, hash) else {
                        panic!("an audit record has a sequence and a hash")
                    };
                    if !self.disk().trail.iter().any(|(taken, _)| taken == sequence) {
                        self.trail.push((*sequence, hash.as_slice().try_into().unwrap()));
                        continue;
                    }
                    Failure::Refused { step: index }
                }
                row => {
                    self.rows.push(row.to_owned());
                    continue;
                }
            };
            if undo == Undo::Together && before != (self.rows.len(), self.trail.len()) {
                return Err(if let Failure::Lost(cause) = failure { Failure::Lost(cause) } else { Failure::Partial });
            }
            self.rows.truncate(before.0);
            self.trail.truncate(before.1);
            return Err(failure);
        }
        Ok(())
    }

    fn roll_back(&mut self) -> Result<(), Cause> {
        self.rows.clear();
        self.trail.clear();
        self.disk().rolled_back += 1;
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Cause> {
        if let Some((arrived, go)) = &self.gate {
            arrived.send(()).unwrap();
            go.recv().unwrap();
        }
        let end = self.disk().ends.pop_front();
        if let Some(End::Undone) = end {
            return Err(broken());
        }
        let (rows, trail) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.trail));
        let mut disk = self.disk.lock().unwrap();
        disk.transactions.push(rows.len());
        disk.rows.extend(rows);
        disk.trail.extend(trail);
        if end.is_some() { Err(broken()) } else { Ok(()) }
    }

    fn reopen(&mut self) -> Result<(), Cause> {
        self.rows.clear();
        self.trail.clear();
        let mut disk = self.disk.lock().unwrap();
        disk.reopened += 1;
        if disk.reopening_fails > 0 {
            disk.reopening_fails -= 1;
            return Err(broken());
        }
        Ok(())
    }

    fn chain_head(&mut self, writer: Uuid) -> Result<ChainHead, Cause> {
        let last = self.disk().trail.last().copied();
        Ok(last.map_or(ChainHead::empty(writer), |(sequence, hash)| ChainHead::at(writer, sequence, hash)))
    }

    fn scrub(&mut self) -> Result<(), Cause> {
        assert!(self.rows.is_empty(), "a transaction is open");
        let mut disk = self.disk.lock().unwrap();
        let rows = disk.rows.len();
        disk.scrubbed_at.push(rows);
        Ok(())
    }
}

fn started(disk: Disk) -> (Committer, Arc<Mutex<Disk>>) {
    let disk = Arc::new(Mutex::new(disk));
    let double = Double { disk: Arc::clone(&disk), rows: Vec::new(), trail: Vec::new(), gate: None };
    (Committer::start("test".to_owned(), double, Uuid::nil(), Witness::none()).unwrap(), disk)
}

/// A committer whose transactions stop before their end.
struct Gated {
    committer: Committer,
    disk: Arc<Mutex<Disk>>,
    arrived: channel::Receiver<()>,
    go: channel::Sender<()>,
}

fn gated(disk: Disk) -> Gated {
    let disk = Arc::new(Mutex::new(disk));
    let (arrive, arrived) = channel::channel();
    let (go, wait) = channel::channel();
    let double = Double { disk: Arc::clone(&disk), rows: Vec::new(), trail: Vec::new(), gate: Some((arrive, wait)) };
    Gated {
        committer: Committer::start("test".to_owned(), double, Uuid::nil(), Witness::none()).unwrap(),
        disk,
        arrived,
        go,
    }
}

fn commit(rows: &[&str]) -> Commit {
    let step = |row: &&str| match *row {
        "audit" => Step::Audit(AuditEntry::done(
            Timestamp::from_unix_micros(0),
            AuditAction::RetrieveKey,
            "organizations/test",
        )),
        row => Step::Insert { table: row.to_owned().into(), row: Vec::new() },
    };
    Commit::of(rows.iter().map(step).collect())
}

type Answer<'a> = Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;

impl Gated {
    /// Queues a commit without waiting for the answer.
    async fn hand_over(&self, rows: &[&str]) -> Answer<'_> {
        // Unconstrained, because otherwise tokio would delay a test that queues many commits at once.
        let mut answer: Answer<'_> = Box::pin(tokio::task::unconstrained(self.committer.commit(commit(rows))));
        assert!(is_waiting(&mut answer).await);
        answer
    }

    fn let_through(&self, transactions: usize) {
        for _ in 0..transactions {
            self.go.send(()).unwrap();
        }
    }
}

async fn is_waiting(answer: &mut Answer<'_>) -> bool {
    poll_fn(|context| Poll::Ready(answer.as_mut().poll(context).is_pending())).await
}

fn sequences(disk: &Mutex<Disk>) -> Vec<i64> {
    disk.lock().unwrap().trail.iter().map(|(sequence, _)| *sequence).collect()
}

#[tokio::test]
async fn answers_follow_the_end_of_the_transaction() {
    let gated = gated(Disk::default());
    let mut applied = gated.hand_over(&["a"]).await;
    gated.arrived.recv().unwrap();
    assert!(is_waiting(&mut applied).await);
    let mut refused = gated.hand_over(&["refuse"]).await;
    gated.let_through(1);
    assert!(applied.await.is_ok());
    gated.arrived.recv().unwrap();
    assert!(is_waiting(&mut refused).await);
    gated.let_through(1);
    assert!(matches!(refused.await, Err(CommitError::Refused { step: 0 })));
}

#[tokio::test]
async fn waiting_commits_share_a_transaction_and_fail_alone() {
    let gated = gated(Disk::default());
    let first = gated.hand_over(&["first"]).await;
    gated.arrived.recv().unwrap();
    let a = gated.hand_over(&["audit", "a"]).await;
    let refused = gated.hand_over(&["audit", "x", "refuse"]).await;
    let b = gated.hand_over(&["b"]).await;
    let failed = gated.hand_over(&["y", "audit", "fail"]).await;
    let c = gated.hand_over(&["c", "audit"]).await;
    gated.let_through(2);
    assert!(first.await.is_ok() && a.await.is_ok() && b.await.is_ok() && c.await.is_ok());
    assert!(matches!(refused.await, Err(CommitError::Refused { step: 2 })));
    assert!(matches!(failed.await, Err(CommitError::Unavailable(_))));
    let disk = gated.disk.lock().unwrap();
    assert_eq!(disk.rows, ["first", "a", "b", "c"]);
    assert_eq!(disk.transactions, [1, 3]);
    assert_eq!((disk.reopened, disk.rolled_back), (0, 1));
    drop(disk);
    assert_eq!(sequences(&gated.disk), [1, 2]);
}

#[tokio::test]
async fn only_a_refusal_after_a_change_makes_a_transaction_start_again() {
    let gated = gated(Disk::default());
    let first = gated.hand_over(&["first"]).await;
    gated.arrived.recv().unwrap();
    let a = gated.hand_over(&["a"]).await;
    let refused = gated.hand_over(&["refuse", "x"]).await;
    let failed = gated.hand_over(&["fail"]).await;
    gated.let_through(2);
    assert!(first.await.is_ok() && a.await.is_ok());
    assert!(matches!(refused.await, Err(CommitError::Refused { step: 0 })));
    assert!(matches!(failed.await, Err(CommitError::Unavailable(_))));
    assert_eq!(gated.disk.lock().unwrap().rolled_back, 0);
    let b = gated.hand_over(&["audit", "b"]).await;
    gated.arrived.recv().unwrap();
    gated.arrived.recv().unwrap();
    let partial = gated.hand_over(&["audit", "refuse"]).await;
    let c = gated.hand_over(&["audit", "c"]).await;
    gated.let_through(2);
    assert!(b.await.is_ok() && c.await.is_ok());
    assert!(matches!(partial.await, Err(CommitError::Refused { step: 1 })));
    let disk = gated.disk.lock().unwrap();
    assert_eq!(disk.rows, ["first", "a", "b", "c"]);
    assert_eq!((disk.reopened, disk.rolled_back), (0, 1));
    drop(disk);
    assert_eq!(sequences(&gated.disk), [1, 2]);
}

#[tokio::test]
async fn transaction_is_limited_to_a_batch() {
    let gated = gated(Disk::default());
    let first = gated.hand_over(&["row"]).await;
    gated.arrived.recv().unwrap();
    let mut answers = Vec::new();
    for _ in 0..BATCH_MAX + 1 {
        answers.push(gated.hand_over(&["row"]).await);
    }
    gated.let_through(3);
    first.await.unwrap();
    for answer in answers {
        answer.await.unwrap();
    }
    assert_eq!(gated.disk.lock().unwrap().transactions, [1, BATCH_MAX, 1]);
}

#[tokio::test]
async fn transaction_takes_no_commit_after_its_rows() {
    let gated = gated(Disk::default());
    let first = gated.hand_over(&["row"]).await;
    gated.arrived.recv().unwrap();
    let half = vec!["row"; ROWS_MAX / 2];
    let mut answers = vec![first];
    // The second commit stays one row below the limit, so the third one still fits, although it exceeds the limit.
    for rows in [&half, &half[1..], &half, &half] {
        answers.push(gated.hand_over(rows).await);
    }
    gated.let_through(3);
    for answer in answers {
        answer.await.unwrap();
    }
    assert_eq!(gated.disk.lock().unwrap().transactions, [1, 3 * half.len() - 1, half.len()]);
}

#[tokio::test]
async fn full_queue_makes_callers_wait_and_loses_no_commit() {
    let gated = gated(Disk::default());
    let first = gated.hand_over(&["row"]).await;
    gated.arrived.recv().unwrap();
    let mut answers = Vec::new();
    for _ in 0..WAITING_MAX + 10 {
        answers.push(gated.hand_over(&["row"]).await);
    }
    assert_eq!(gated.committer.jobs.capacity(), 0);
    gated.let_through(WAITING_MAX);
    first.await.unwrap();
    for answer in answers {
        answer.await.unwrap();
    }
    assert_eq!(gated.disk.lock().unwrap().rows.len(), WAITING_MAX + 11);
}

#[tokio::test]
async fn failed_commit_is_unknown_and_the_head_is_read_again() {
    for (end, durable) in [(End::Undone, false), (End::Done, true)] {
        let gated = gated(Disk::default());
        let first = gated.hand_over(&["audit"]).await;
        gated.arrived.recv().unwrap();
        gated.disk.lock().unwrap().ends.push_back(end);
        let applied = gated.hand_over(&["audit", "a", "audit"]).await;
        let refused = gated.hand_over(&["refuse"]).await;
        let failed = gated.hand_over(&["fail"]).await;
        gated.let_through(2);
        assert!(matches!(first.await, Err(CommitError::Unknown(_))));
        assert!(applied.await.is_ok());
        assert!(matches!(refused.await, Err(CommitError::Refused { step: 0 })));
        assert!(matches!(failed.await, Err(CommitError::Unavailable(_))));
        assert_eq!(gated.disk.lock().unwrap().reopened, 1);
        let expected: &[i64] = if durable { &[1, 2, 3] } else { &[1, 2] };
        assert_eq!(sequences(&gated.disk), expected);
    }
}

#[tokio::test]
async fn refusal_in_a_failed_transaction_is_unavailable() {
    let gated = gated(Disk::default());
    let first = gated.hand_over(&["row"]).await;
    gated.arrived.recv().unwrap();
    let applied = gated.hand_over(&["a"]).await;
    let refused = gated.hand_over(&["refuse"]).await;
    let failed = gated.hand_over(&["fail"]).await;
    gated.let_through(1);
    first.await.unwrap();
    gated.arrived.recv().unwrap();
    gated.disk.lock().unwrap().ends.push_back(End::Undone);
    gated.let_through(1);
    assert!(matches!(applied.await, Err(CommitError::Unknown(_))));
    assert!(matches!(refused.await, Err(CommitError::Unavailable(_))));
    assert!(matches!(failed.await, Err(CommitError::Unavailable(_))));
}

#[tokio::test]
async fn failed_reopening_is_retried_with_the_next_write() {
    let (committer, disk) = started(Disk { ends: [End::Done].into(), reopening_fails: 2, ..Disk::default() });
    assert!(matches!(committer.commit(commit(&["audit"])).await, Err(CommitError::Unknown(_))));
    assert!(matches!(committer.commit(commit(&["audit"])).await, Err(CommitError::Unavailable(_))));
    assert!(committer.commit(commit(&["audit"])).await.is_ok());
    assert_eq!(sequences(&disk), [1, 2]);
    assert_eq!(disk.lock().unwrap().reopened, 3);
}

#[tokio::test]
async fn lost_transaction_changes_nothing() {
    let gated = gated(Disk::default());
    let first = gated.hand_over(&["first"]).await;
    gated.arrived.recv().unwrap();
    let before = gated.hand_over(&["audit", "a"]).await;
    let lost = gated.hand_over(&["lose"]).await;
    let after = gated.hand_over(&["b"]).await;
    gated.let_through(1);
    assert!(first.await.is_ok());
    for answer in [before, lost, after] {
        assert!(matches!(answer.await, Err(CommitError::Unavailable(_))));
    }
    gated.let_through(1);
    gated.committer.commit(commit(&["audit", "c"])).await.unwrap();
    assert_eq!(gated.disk.lock().unwrap().rows, ["first", "c"]);
    assert_eq!(sequences(&gated.disk), [1]);
}

#[tokio::test]
async fn a_panic_leaves_the_outcome_unknown_and_the_next_commit_works() {
    let (committer, disk) = started(Disk::default());
    assert!(matches!(committer.commit(commit(&["a", "panic"])).await, Err(CommitError::Unknown(_))));
    assert!(committer.commit(commit(&["b"])).await.is_ok());
    assert_eq!(disk.lock().unwrap().rows, ["b"]);
    assert_eq!(disk.lock().unwrap().reopened, 1);
}

#[tokio::test]
async fn chain_continued_by_another_writer_is_read_again() {
    let (committer, disk) = started(Disk::default());
    committer.commit(commit(&["audit"])).await.unwrap();
    disk.lock().unwrap().trail.push((2, [7; 32]));
    assert!(matches!(committer.commit(commit(&["audit"])).await, Err(CommitError::Unavailable(_))));
    committer.commit(commit(&["audit"])).await.unwrap();
    assert_eq!(sequences(&disk), [1, 2, 3]);
}

#[tokio::test]
async fn a_scrub_comes_after_the_commits_before_it_and_before_those_after_it() {
    let gated = gated(Disk::default());
    let first = gated.hand_over(&["first"]).await;
    gated.arrived.recv().unwrap();
    let a = gated.hand_over(&["a"]).await;
    let mut scrub = Box::pin(gated.committer.scrub());
    assert!(poll_fn(|context| Poll::Ready(scrub.as_mut().poll(context).is_pending())).await);
    let b = gated.hand_over(&["b"]).await;
    gated.let_through(3);
    assert!(first.await.is_ok() && a.await.is_ok() && scrub.await.is_ok() && b.await.is_ok());
    let disk = gated.disk.lock().unwrap();
    assert_eq!((&disk.scrubbed_at[..], &disk.transactions[..]), (&[2][..], &[1, 1, 1][..]));
}

#[tokio::test]
async fn a_handle_that_is_dropped_lets_the_queue_finish() {
    let gated = gated(Disk::default());
    drop(gated.hand_over(&["a"]).await);
    gated.arrived.recv().unwrap();
    drop(gated.hand_over(&["b"]).await);
    gated.let_through(2);
    let Gated { committer, disk, .. } = gated;
    let mut ended = committer.ended();
    drop(committer);
    ended.wait().await;
    assert_eq!(disk.lock().unwrap().rows, ["a", "b"]);
}

#[tokio::test]
async fn generation_is_unknown_during_a_commit_and_another_one_before_its_answer() {
    let gated = gated(Disk::default());
    let before = gated.committer.generation().unwrap();
    for row in ["a", "refuse"] {
        let answer = gated.hand_over(&[row]).await;
        gated.arrived.recv().unwrap();
        assert_eq!(gated.committer.generation(), None);
        gated.let_through(1);
        assert_eq!(answer.await.is_ok(), row == "a");
        assert!(gated.committer.generation().is_some_and(|after| after != before));
    }
    let (other, _) = started(Disk::default());
    assert_ne!(other.generation(), gated.committer.generation());
}

#[tokio::test]
async fn generation_is_unknown_until_an_open_outcome_is_decided() {
    for end in [End::Done, End::Undone] {
        let (committer, _) = started(Disk { ends: [end].into(), reopening_fails: 1, ..Disk::default() });
        let before = committer.generation();
        assert!(matches!(committer.commit(commit(&["a"])).await, Err(CommitError::Unknown(_))));
        assert_eq!(committer.generation(), None);
        committer.scrub().await.unwrap();
        assert!(committer.generation().is_some_and(|after| Some(after) != before));
        assert!(committer.commit(commit(&["panic"])).await.is_err());
        assert_eq!(committer.generation(), None);
        committer.commit(commit(&["b"])).await.unwrap();
        assert!(committer.generation().is_some());
    }
}

/// A commit of one row, after the commit with this ticket, and its own ticket.
fn linked(row: &str, after: Option<&Ticket>) -> (Commit, Ticket) {
    let mut commit = commit(&[row]);
    if let Some(ticket) = after {
        commit.steps.insert(0, Step::After(ticket.clone()));
    }
    let (promise, ticket) = promise();
    commit.promise = Some(promise);
    (commit, ticket)
}

#[tokio::test]
async fn commit_follows_an_applied_one_in_the_same_or_an_earlier_transaction() {
    let gated = gated(Disk::default());
    let (a, ticket_a) = linked("a", None);
    let (b, ticket_b) = linked("b", Some(&ticket_a));
    let (c, _) = linked("c", Some(&ticket_b));
    let (d, _) = linked("d", Some(&ticket_a));
    let first = gated.committer.submit(a).await;
    gated.arrived.recv().unwrap();
    assert!(ticket_a.is_applied());
    let mut others = Vec::new();
    for commit in [b, c, d] {
        others.push(gated.committer.submit(commit).await);
    }
    assert!(!ticket_b.is_applied());
    gated.let_through(2);
    first.outcome().await.unwrap();
    for outcome in others {
        outcome.outcome().await.unwrap();
    }
    assert_eq!(gated.disk.lock().unwrap().rows, ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn commits_after_a_refused_one_are_refused() {
    let gated = gated(Disk::default());
    let first = gated.hand_over(&["first"]).await;
    gated.arrived.recv().unwrap();
    let (refused, ticket) = linked("refuse", None);
    let (b, ticket_b) = linked("b", Some(&ticket));
    let (c, _) = linked("c", Some(&ticket_b));
    let mut outcomes = Vec::new();
    for commit in [refused, b, c, commit(&["d"])] {
        outcomes.push(gated.committer.submit(commit).await);
    }
    gated.let_through(2);
    first.await.unwrap();
    let last = outcomes.pop().unwrap();
    for outcome in outcomes {
        assert!(matches!(outcome.outcome().await, Err(CommitError::Refused { step: 0 })));
    }
    last.outcome().await.unwrap();
    assert_eq!(gated.disk.lock().unwrap().rows, ["first", "d"]);
}

#[tokio::test]
async fn commits_follow_each_other_in_a_transaction_that_starts_again() {
    let gated = gated(Disk::default());
    let first = gated.hand_over(&["first"]).await;
    gated.arrived.recv().unwrap();
    let (a, ticket_a) = linked("a", None);
    let (b, ticket_b) = linked("b", Some(&ticket_a));
    let (mut partial, ticket) = linked("x", Some(&ticket_b));
    partial.steps.extend(commit(&["refuse"]).steps);
    let (c, _) = linked("c", Some(&ticket));
    let (d, _) = linked("d", Some(&ticket_b));
    let mut outcomes = Vec::new();
    for commit in [a, b, partial, c, d] {
        outcomes.push(gated.committer.submit(commit).await);
    }
    gated.let_through(2);
    first.await.unwrap();
    let mut refused = Vec::new();
    for outcome in outcomes {
        refused.push(match outcome.outcome().await {
            Ok(()) => None,
            Err(CommitError::Refused { step }) => Some(step),
            Err(error) => panic!("{error}"),
        });
    }
    assert_eq!(refused, [None, None, Some(2), Some(0), None]);
    let disk = gated.disk.lock().unwrap();
    assert_eq!((&disk.rows[..], disk.rolled_back), (&["first", "a", "b", "d"].map(str::to_owned)[..], 1));
}

#[tokio::test]
async fn commits_after_one_of_unknown_outcome_are_refused() {
    for end in [End::Undone, End::Done] {
        let gated = gated(Disk { ends: [end].into(), ..Disk::default() });
        let (a, ticket_a) = linked("a", None);
        let (b, _) = linked("b", Some(&ticket_a));
        let first = gated.committer.submit(a).await;
        gated.arrived.recv().unwrap();
        let second = gated.committer.submit(b).await;
        gated.let_through(2);
        assert!(matches!(first.outcome().await, Err(CommitError::Unknown(_))));
        assert!(matches!(second.outcome().await, Err(CommitError::Refused { step: 0 })));
        assert!(!ticket_a.is_applied());
    }
}

/// The number of queued commits, and the ended transactions.
#[derive(Default)]
struct Watched(Mutex<(usize, Vec<Transaction>)>);

impl Observer for Watched {
    fn queued(&self) {
        self.0.lock().unwrap().0 += 1;
    }

    fn ended(&self, transaction: &Transaction) {
        self.0.lock().unwrap().1.push(*transaction);
    }
}

#[tokio::test]
async fn each_transaction_is_observed_before_its_answers() {
    let disk = Disk { ends: [End::Undone].into(), ..Disk::default() };
    let double = Double { disk: Arc::new(Mutex::new(disk)), rows: Vec::new(), trail: Vec::new(), gate: None };
    let watched = Arc::new(Watched::default());
    let witness = Witness::none().observed_by(Arc::clone(&watched) as Arc<dyn Observer>);
    let committer = Committer::start("test".to_owned(), double, Uuid::nil(), witness).unwrap();
    for rows in [&["a"][..], &["b", "audit"], &["refuse"], &["lose"], &["panic"]] {
        let before = watched.0.lock().unwrap().1.len();
        let _verdict = committer.commit(commit(rows)).await;
        let (queued, ended) = &*watched.0.lock().unwrap();
        assert_eq!((*queued, ended.len()), (before + 1, before + 1));
    }
    let ended = watched.0.lock().unwrap().1.clone();
    let observed: Vec<_> = ended.iter().map(|ended| (ended.commits, ended.rows, ended.outcome)).collect();
    assert_eq!(
        observed,
        [
            (1, 1, Outcome::Unknown),
            (1, 2, Outcome::Written),
            (1, 1, Outcome::Written),
            (1, 1, Outcome::NotWritten),
            (1, 1, Outcome::Unknown),
        ]
    );
}
