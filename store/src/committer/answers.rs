//! Answers to the callers of a transaction.
//!
//! Most callers are tasks of a few threads. If the writer woke each of them, a thread would begin with the first one at
//! once, and send its response in a packet of its own. Therefore the callers of a runtime get their verdicts from a task
//! of that runtime, and their responses leave together.

use tokio::{runtime::Handle, sync::oneshot};

use super::Verdict;

/// The duty to answer a caller. If it is dropped, the outcome is unknown.
#[derive(Debug)]
pub(super) struct Reply {
    sender: oneshot::Sender<Verdict>,
    /// The runtime of the caller; `None` outside of one.
    runtime: Option<Handle>,
}

/// Creates the duty to answer the caller of this function, and the answer.
pub(super) fn answer() -> (Reply, oneshot::Receiver<Verdict>) {
    let (sender, answer) = oneshot::channel();
    (Reply { sender, runtime: Handle::try_current().ok() }, answer)
}

/// Answers the callers of a transaction.
pub(super) fn give(answers: impl Iterator<Item = (Reply, Verdict)>) {
    let mut by_runtime: Vec<(Handle, Answers)> = Vec::new();
    for (Reply { sender, runtime }, verdict) in answers {
        let Some(runtime) = runtime else {
            Answers(vec![(sender, verdict)]).send();
            continue;
        };
        // The runtimes are as few as the processors.
        match by_runtime.iter_mut().find(|(other, _)| other.id() == runtime.id()) {
            Some((_, answers)) => answers.0.push((sender, verdict)),
            None => by_runtime.push((runtime, Answers(vec![(sender, verdict)]))),
        }
    }
    for (runtime, answers) in by_runtime {
        if answers.0.len() > 1 {
            // A runtime that is shutting down drops the task, and its callers.
            drop(runtime.spawn(async move { answers.send() }));
        } else {
            answers.send();
        }
    }
}

/// Verdicts for callers of one runtime.
struct Answers(Vec<(oneshot::Sender<Verdict>, Verdict)>);

impl Answers {
    fn send(self) {
        for (sender, verdict) in self.0 {
            // The caller may have stopped waiting.
            let _left = sender.send(verdict);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::pin, task::Context, thread};

    use tokio::runtime::Builder;

    use super::*;

    type Receiver = oneshot::Receiver<Verdict>;

    fn answers<const N: usize>() -> (Vec<Reply>, [Receiver; N]) {
        let mut replies = Vec::new();
        let receivers = std::array::from_fn(|_| {
            let (reply, receiver) = answer();
            replies.push(reply);
            receiver
        });
        (replies, receivers)
    }

    fn give_success(replies: Vec<Reply>) {
        give(replies.into_iter().map(|reply| (reply, Ok(()))));
    }

    fn is_answered(receiver: &mut Receiver) -> bool {
        let waker = std::task::Waker::noop();
        pin!(receiver).poll(&mut Context::from_waker(waker)).is_ready()
    }

    #[test]
    fn callers_of_a_runtime_are_answered_by_it_together() {
        let runtime = Builder::new_current_thread().build().unwrap();
        let (replies, mut receivers) = {
            let _inside = runtime.enter();
            answers::<3>()
        };
        thread::spawn(move || give_success(replies)).join().unwrap();
        // The runtime hasn't run yet.
        assert!(!receivers.iter_mut().any(is_answered));
        runtime.block_on(async {
            tokio::task::yield_now().await;
            assert!(receivers.iter_mut().all(is_answered));
        });
    }

    #[test]
    fn single_callers_and_callers_without_a_runtime_are_answered_at_once() {
        let runtime = Builder::new_current_thread().build().unwrap();
        let (mut replies, [mut inside]) = {
            let _inside = runtime.enter();
            answers()
        };
        let (outside, [mut first, mut second]) = answers();
        replies.extend(outside);
        give_success(replies);
        assert!(is_answered(&mut inside) && is_answered(&mut first) && is_answered(&mut second));
    }

    #[test]
    fn callers_of_an_ended_runtime_get_an_unknown_outcome() {
        let runtime = Builder::new_current_thread().build().unwrap();
        let (replies, [first, second]) = {
            let _inside = runtime.enter();
            answers()
        };
        drop(runtime);
        give_success(replies);
        assert!(first.blocking_recv().is_err() && second.blocking_recv().is_err());
    }
}
