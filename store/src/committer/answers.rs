//! Answers to the callers of a transaction.
//!
//! Most callers are tasks of a few threads. If the writer woke each of them, a thread would begin with the first one at
//! once, and send its response in a packet of its own. Therefore the callers of a runtime get their answers from a task
//! of that runtime, and their responses leave together.

use tokio::{runtime::Handle, sync::oneshot};

/// The duty to answer a caller. If it is dropped, the caller gets no answer.
#[derive(Debug)]
pub(super) struct Reply<T> {
    sender: oneshot::Sender<T>,
    /// The runtime of the caller; `None` outside of one.
    runtime: Option<Handle>,
}

/// Creates the duty to answer the caller of this function, and the answer.
pub(super) fn answer<T>() -> (Reply<T>, oneshot::Receiver<T>) {
    let (sender, answer) = oneshot::channel();
    (Reply { sender, runtime: Handle::try_current().ok() }, answer)
}

/// Answers the callers of a transaction.
pub(super) fn give<T: Send + 'static>(answers: impl Iterator<Item = (Reply<T>, T)>) {
    let mut by_runtime: Vec<(Handle, Answers<T>)> = Vec::new();
    for (Reply { sender, runtime }, answer) in answers {
        let Some(runtime) = runtime else {
            Answers(vec![(sender, answer)]).send();
            continue;
        };
        // The runtimes are as few as the processors.
        match by_runtime.iter_mut().find(|(other, _)| other.id() == runtime.id()) {
            Some((_, answers)) => answers.0.push((sender, answer)),
            None => by_runtime.push((runtime, Answers(vec![(sender, answer)]))),
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

/// Answers to callers of one runtime.
struct Answers<T>(Vec<(oneshot::Sender<T>, T)>);

impl<T> Answers<T> {
    fn send(self) {
        for (sender, answer) in self.0 {
            // The caller may have stopped waiting.
            let _left = sender.send(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::pin, task::Context, thread};

    use tokio::runtime::Builder;

    use super::*;

    type Receiver = oneshot::Receiver<u32>;

    fn answers<const N: usize>() -> (Vec<Reply<u32>>, [Receiver; N]) {
        let mut replies = Vec::new();
        let receivers = std::array::from_fn(|_| {
            let (reply, receiver) = answer();
            replies.push(reply);
            receiver
        });
        (replies, receivers)
    }

    fn give_all(replies: Vec<Reply<u32>>) {
        give(replies.into_iter().zip(0..));
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
        thread::spawn(move || give_all(replies)).join().unwrap();
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
        give_all(replies);
        assert!(is_answered(&mut inside) && is_answered(&mut first) && is_answered(&mut second));
    }

    #[test]
    fn callers_of_an_ended_runtime_get_no_answer() {
        let runtime = Builder::new_current_thread().build().unwrap();
        let (replies, [first, second]) = {
            let _inside = runtime.enter();
            answers()
        };
        drop(runtime);
        give_all(replies);
        assert!(first.blocking_recv().is_err() && second.blocking_recv().is_err());
    }
}
