//! Answers to callers: each gets one value, and the callers of a transaction are woken together.
//!
//! Most callers are tasks of a few threads. If each were woken on its own, its thread would begin with the first one at
//! once, and send its response in a packet of its own. Therefore one caller of each thread is woken. It wakes the others
//! from their own thread before it continues, which costs no system call, and their responses leave together.
//!
//! A caller must poll its answer when it is woken, or drop it: other callers may depend on it.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    thread::{self, ThreadId},
};

/// Creates an answer and the duty to give it.
pub(super) fn answer<T>() -> (Reply<T>, Answer<T>) {
    let shared = Arc::new(Shared(Mutex::new(State::Open(None))));
    (Reply(Some(Arc::clone(&shared))), Answer(shared))
}

/// The duty to answer. If it is dropped, the answer is `None`.
#[derive(Debug)]
pub(super) struct Reply<T>(Option<Arc<Shared<T>>>);

/// The future of an answer.
#[derive(Debug)]
pub(super) struct Answer<T>(Arc<Shared<T>>);

/// The answers that were given, and the callers that have to be woken.
#[derive(Debug)]
pub(super) struct Given<T>(Vec<(ThreadId, Vec<Waiting<T>>)>);

#[derive(Debug)]
struct Waiting<T> {
    shared: Arc<Shared<T>>,
    waker: Waker,
}

#[derive(Debug)]
struct Shared<T>(Mutex<State<T>>);

#[derive(Debug)]
enum State<T> {
    /// There is no answer yet. The caller, if it waits, and its thread.
    Open(Option<(ThreadId, Waker)>),
    /// The answer, and the other callers that the caller has to wake.
    Answered(Option<T>, Vec<Waker>),
    /// The caller has got the answer, or has left.
    Done,
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        // No operation under this lock can leave the state inconsistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the answer. Returns the caller if it waits.
    fn set(&self, value: Option<T>) -> Option<(ThreadId, Waker)> {
        let mut state = self.state();
        match &mut *state {
            State::Open(waiting) => {
                let waiting = waiting.take();
                *state = State::Answered(value, Vec::new());
                waiting
            }
            State::Answered(..) | State::Done => None,
        }
    }

    /// Ends the wait of the caller, and wakes the other ones. Returns the answer.
    fn end(&self) -> Option<T> {
        let state = std::mem::replace(&mut *self.state(), State::Done);
        match state {
            State::Answered(value, others) => {
                others.into_iter().for_each(Waker::wake);
                value
            }
            State::Open(_) | State::Done => None,
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some((_, waker)) = self.0.take().and_then(|shared| shared.set(None)) {
            waker.wake();
        }
    }
}

impl<T> Given<T> {
    pub(super) fn new() -> Self {
        Given(Vec::new())
    }

    /// Gives an answer. The caller isn't woken before [`wake`](Self::wake).
    pub(super) fn give(&mut self, mut reply: Reply<T>, value: T) {
        let Some(shared) = reply.0.take() else { return };
        let Some((thread, waker)) = shared.set(Some(value)) else { return };
        let waiting = Waiting { shared, waker };
        // The threads are as few as the processors.
        match self.0.iter_mut().find(|(other, _)| *other == thread) {
            Some((_, callers)) => callers.push(waiting),
            None => self.0.push((thread, vec![waiting])),
        }
    }

    /// Wakes the callers.
    pub(super) fn wake(self) {
        for (_, callers) in self.0 {
            let mut callers = callers.into_iter();
            while let Some(Waiting { shared, waker }) = callers.next() {
                if let State::Answered(_, others) = &mut *shared.state() {
                    *others = callers.by_ref().map(|other| other.waker).collect();
                } else {
                    // It was polled meanwhile, or has left.
                    continue;
                }
                waker.wake();
            }
        }
    }
}

impl<T> Future for Answer<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        if let State::Open(waiting) = &mut *self.0.state() {
            *waiting = Some((thread::current().id(), context.waker().clone()));
            return Poll::Pending;
        }
        Poll::Ready(self.0.end())
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        let _unused = self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    struct Caller {
        answer: Option<Answer<u32>>,
        woken: Arc<Count>,
    }

    impl Caller {
        fn poll(&mut self) -> Poll<Option<u32>> {
            let waker = Waker::from(Arc::clone(&self.woken));
            Pin::new(self.answer.as_mut().unwrap()).poll(&mut Context::from_waker(&waker))
        }

        fn woken(&self) -> usize {
            self.woken.0.load(Ordering::Relaxed)
        }
    }

    /// Returns callers that wait on this thread, and the replies to them.
    fn waiting<const N: usize>() -> ([Caller; N], Vec<Reply<u32>>) {
        let mut replies = Vec::new();
        let callers = std::array::from_fn(|_| {
            let (reply, answer) = answer();
            replies.push(reply);
            let mut caller = Caller { answer: Some(answer), woken: Arc::default() };
            assert_eq!(caller.poll(), Poll::Pending);
            caller
        });
        (callers, replies)
    }

    fn give(replies: Vec<Reply<u32>>) -> Given<u32> {
        let mut given = Given::new();
        (0..).zip(replies).for_each(|(value, reply)| given.give(reply, value));
        given
    }

    #[test]
    fn first_caller_of_a_thread_wakes_the_others() {
        let ([mut first, mut second, mut third], replies) = waiting();
        give(replies).wake();
        assert_eq!([first.woken(), second.woken(), third.woken()], [1, 0, 0]);
        assert_eq!(first.poll(), Poll::Ready(Some(0)));
        assert_eq!([first.woken(), second.woken(), third.woken()], [1, 1, 1]);
        assert_eq!((second.poll(), third.poll()), (Poll::Ready(Some(1)), Poll::Ready(Some(2))));
    }

    #[test]
    fn caller_that_leaves_wakes_the_others() {
        let ([mut first, mut second], replies) = waiting();
        give(replies).wake();
        first.answer = None;
        assert_eq!(second.woken(), 1);
        assert_eq!(second.poll(), Poll::Ready(Some(1)));
    }

    #[test]
    fn caller_that_is_done_or_has_left_before_the_wake_is_skipped() {
        let ([mut first, mut second, mut third], replies) = waiting();
        let given = give(replies);
        assert_eq!(first.poll(), Poll::Ready(Some(0)));
        second.answer = None;
        given.wake();
        assert_eq!([first.woken(), second.woken(), third.woken()], [0, 0, 1]);
        assert_eq!(third.poll(), Poll::Ready(Some(2)));
    }

    #[test]
    fn callers_of_each_thread_are_woken_on_their_own() {
        let ([here], mut replies) = waiting();
        let ([elsewhere], others) = thread::spawn(waiting::<1>).join().unwrap();
        replies.extend(others);
        give(replies).wake();
        assert_eq!([here.woken(), elsewhere.woken()], [1, 1]);
    }

    #[test]
    fn caller_gets_nothing_from_a_dropped_reply() {
        let ([mut first], replies) = waiting();
        drop(replies);
        assert_eq!(first.woken(), 1);
        assert_eq!(first.poll(), Poll::Ready(None));
    }

    #[test]
    fn answer_before_the_first_poll_needs_no_wake() {
        let (reply, answer) = answer();
        give(vec![reply]).wake();
        let mut caller = Caller { answer: Some(answer), woken: Arc::default() };
        assert_eq!(caller.poll(), Poll::Ready(Some(0)));
    }
}
