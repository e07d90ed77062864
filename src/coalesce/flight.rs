use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    call::{CapturedPanic, catch},
    util::poll::POLLED_AFTER_COMPLETION,
};

/// The message of the panic of a call that ended before it was made.
const NEVER_MADE: &str = "the call panicked before it was made";

/// The output of a call that several callers may share.
#[derive(Debug)]
pub enum Landed<T, O> {
    /// A result that all of them get.
    Shared(T),
    /// A result that only the caller can have whose poll gave it, such as a response whose body is too long to keep.
    Own(O),
}

/// The result of a shared call, as one that has waited for it gets it.
#[derive(Debug)]
pub(super) enum Received<T> {
    /// In a reference, since its clone is code of the application and is made without a lock.
    Shared(Arc<T>),
    /// The result was not shareable: each caller makes the call for itself.
    Unshared,
    /// The call panicked, with this message.
    Panicked(Arc<str>),
}

impl<T> Clone for Received<T> {
    fn clone(&self) -> Self {
        match self {
            Received::Shared(value) => Received::Shared(value.clone()),
            Received::Unshared => Received::Unshared,
            Received::Panicked(message) => Received::Panicked(message.clone()),
        }
    }
}

/// The progress of a shared call.
enum Progress<F, T> {
    /// The leader is making the call, or its driver polls it.
    Driven,
    /// The call waits for its driver to be woken.
    Waiting(Pin<Box<F>>),
    Done(Received<T>),
}

/// A call that is shared by all callers with its key. One of them drives it; the others wait for its result.
///
/// Only the driver polls the call. When it is dropped, the next caller that waits becomes the driver and is woken. Until one has
/// polled, there is no driver, so that a caller whose future nobody polls holds up none of the others.
pub(super) struct Flight<K, F, T, O> {
    pub(super) key: K,
    /// The hash of the key, by which the table has it.
    pub(super) hash: u64,
    began_at: Instant,
    locked: Mutex<Callers<F, T, O>>,
}

struct Callers<F, T, O> {
    progress: Progress<F, T>,
    /// A result that cannot be shared, and that the leader gets: it has given its request away.
    own: Option<O>,
    /// The callers by their number; a waker once they have waited.
    wakers: BTreeMap<u64, Option<Waker>>,
    driver: Option<u64>,
    next: u64,
}

/// The reason why a caller cannot join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotJoined {
    /// The call is over.
    Over,
    /// Too many callers wait.
    Full,
    /// The call has taken so long that another one is to be made.
    Old,
}

/// The rest to do when a caller has gone.
pub(super) enum Left<F> {
    /// The call goes on, since others wait for it, or is over.
    Nothing,
    /// The next caller drives the call, and is to be woken, if it has waited yet.
    HandedOver(Option<Waker>),
    /// The call ended before it was made: those that wait are to be woken.
    Failed(Vec<Waker>),
    /// The call is to be dropped, since nobody waits for it.
    Last(Option<Pin<Box<F>>>),
}

/// The number of the caller that makes the call.
pub(super) const LEADER: u64 = 0;

impl<K, F, T, O> Flight<K, F, T, O> {
    /// Creates a call that its leader is about to make.
    pub(super) fn new(key: K, hash: u64) -> Self {
        Flight {
            key,
            hash,
            began_at: Instant::now(),
            locked: Mutex::new(Callers {
                progress: Progress::Driven,
                own: None,
                wakers: BTreeMap::from([(LEADER, None)]),
                driver: Some(LEADER),
                next: LEADER + 1,
            }),
        }
    }

    /// Adds a caller, and returns its number.
    pub(super) fn join(
        &self,
        max_waiters: u32,
        max_age: Option<Duration>,
    ) -> Result<u64, NotJoined> {
        if max_age.is_some_and(|max| self.began_at.elapsed() >= max) {
            return Err(NotJoined::Old);
        }
        let mut callers = self.lock();
        if matches!(callers.progress, Progress::Done(_)) || callers.wakers.is_empty() {
            return Err(NotJoined::Over);
        }
        // One of them drives the call, and does not count.
        if callers.wakers.len() > max_waiters as usize {
            return Err(NotJoined::Full);
        }
        let caller = callers.next;
        callers.next += 1;
        callers.wakers.insert(caller, None);
        Ok(caller)
    }

    /// Begins the call, which the leader has made. Whoever polls first drives it.
    pub(super) fn start(&self, future: Pin<Box<F>>) {
        let mut callers = self.lock();
        callers.progress = Progress::Waiting(future);
        callers.driver = None;
        let wakers = callers.take_wakers();
        drop(callers);
        // Those that have waited before there was anything to poll.
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Ends the call, and wakes all that wait for it.
    fn end(&self, received: Received<T>) {
        let mut callers = self.lock();
        callers.progress = Progress::Done(received);
        let wakers = callers.take_wakers();
        drop(callers);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Leaves a result that cannot be shared to the leader, unless the leader is the caller or has gone: others still have their
    /// requests. Returns what the caller keeps.
    fn offer_to_leader(&self, caller: u64, own: O) -> Option<O> {
        let mut callers = self.lock();
        if caller == LEADER || !callers.wakers.contains_key(&LEADER) {
            return Some(own);
        }
        callers.own = Some(own);
        None
    }

    /// Removes a caller.
    pub(super) fn leave(&self, caller: u64) -> Left<F> {
        let mut callers = self.lock();
        // Both are dropped at the end, without the lock. A result that was left to the leader is nobody's once it has gone.
        let waker = callers.wakers.remove(&caller);
        let own = (caller == LEADER).then(|| callers.own.take());
        let left = callers.after_leave(caller);
        drop(callers);
        drop((waker, own));
        left
    }

    fn lock(&self) -> MutexGuard<'_, Callers<F, T, O>> {
        self.locked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F, T, O> Callers<F, T, O> {
    fn after_leave(&mut self, caller: u64) -> Left<F> {
        let was_driver = self.driver == Some(caller);
        match &self.progress {
            Progress::Done(_) => Left::Nothing,
            _ if self.wakers.is_empty() => Left::Last(self.take_future()),
            Progress::Driven if was_driver => {
                self.progress = Progress::Done(Received::Panicked(NEVER_MADE.into()));
                Left::Failed(self.take_wakers())
            }
            Progress::Waiting(_) if was_driver => {
                let mut waiting = self.wakers.iter_mut();
                let next = waiting.find_map(|(next, waker)| Some((*next, waker.take()?)));
                self.driver = next.as_ref().map(|(next, _)| *next);
                Left::HandedOver(next.map(|(_, waker)| waker))
            }
            _ => Left::Nothing,
        }
    }

    /// Takes the call out, while somebody polls or drops it.
    fn take_future(&mut self) -> Option<Pin<Box<F>>> {
        match std::mem::replace(&mut self.progress, Progress::Driven) {
            Progress::Waiting(future) => Some(future),
            other => {
                self.progress = other;
                None
            }
        }
    }

    /// Takes the call out for a caller that drives it, or may begin to.
    fn take_to_drive(&mut self, caller: u64) -> Option<Pin<Box<F>>> {
        if self.driver.is_some_and(|driver| driver != caller) {
            return None;
        }
        let future = self.take_future()?;
        self.driver = Some(caller);
        Some(future)
    }

    fn take_wakers(&mut self) -> Vec<Waker> {
        self.wakers.values_mut().filter_map(Option::take).collect()
    }

    /// Returns the result, if the call is over.
    fn received(&mut self, caller: u64) -> Option<Landed<Received<T>, O>> {
        let Progress::Done(received) = &self.progress else {
            return None;
        };
        let own = match caller {
            LEADER => self.own.take(),
            _ => None,
        };
        Some(own.map_or_else(|| Landed::Shared(received.clone()), Landed::Own))
    }
}

impl<K, F, T, O> Flight<K, F, T, O>
where
    F: Future<Output = Landed<T, O>>,
{
    /// Polls for one caller: the driver polls the call, the others wait. Runs `on_end` before the call ends.
    ///
    /// # Panics
    ///
    /// Resumes a panic of the call, which the others get as a result.
    pub(super) fn poll(
        &self,
        caller: u64,
        cx: &mut Context<'_>,
        on_end: impl FnOnce(),
    ) -> Poll<Landed<Received<T>, O>> {
        // A waker's `clone` and `drop` are code of others, and run without the lock.
        let waker = cx.waker().clone();
        let mut callers = self.lock();
        if let Some(landed) = callers.received(caller) {
            return Poll::Ready(landed);
        }
        let future = callers.take_to_drive(caller);
        // The call itself keeps the waker of its driver.
        let waker = future.is_none().then_some(waker);
        let before = callers.wakers.insert(caller, waker);
        drop(callers);
        drop(before);
        match future {
            Some(future) => self.drive(caller, future, cx, on_end),
            None => Poll::Pending,
        }
    }

    fn drive(
        &self,
        caller: u64,
        future: Pin<Box<F>>,
        cx: &mut Context<'_>,
        on_end: impl FnOnce(),
    ) -> Poll<Landed<Received<T>, O>> {
        let mut future = Some(future);
        let polled = catch(|| {
            let call = future.as_mut().expect(POLLED_AFTER_COMPLETION);
            let polled = call.as_mut().poll(cx);
            if polled.is_ready() {
                // Before its result is handed on: it may hold a connection, and its drop may panic.
                future = None;
            }
            polled
        });
        match polled {
            Ok(Poll::Pending) => {
                if let Some(future) = future {
                    self.lock().progress = Progress::Waiting(future);
                }
                Poll::Pending
            }
            Ok(Poll::Ready(landed)) => {
                on_end();
                Poll::Ready(match landed {
                    Landed::Shared(value) => {
                        let received = Received::Shared(Arc::new(value));
                        self.end(received.clone());
                        Landed::Shared(received)
                    }
                    Landed::Own(own) => {
                        let own = self.offer_to_leader(caller, own);
                        self.end(Received::Unshared);
                        own.map_or(Landed::Shared(Received::Unshared), Landed::Own)
                    }
                })
            }
            Err(payload) => {
                on_end();
                let panic = CapturedPanic::new(payload);
                self.end(Received::Panicked(panic.message().into()));
                // The first panic is the one that goes on.
                let _ = catch(|| drop(future));
                panic.resume()
            }
        }
    }
}
