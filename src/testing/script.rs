use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use http::Response;
use tokio::time::{Sleep, sleep};
use tower_service::Service;

use super::{
    Reply, ScriptedBody,
    reply::{Finish, Wait},
    tally::{Alive, Tally, unwind, unwind_in_drop},
};
use crate::call::BoxError;

/// A service that answers requests of any kind from a script.
///
/// A clone goes on in the same script. Its [`in_flight`](Self::in_flight) is what layers are checked by: a call
/// whose future and body are gone must have left nothing behind.
///
/// ```
/// use tower::ServiceExt;
/// use tower_keep::testing::{Reply, Script};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
/// let script: Script = Script::new([Reply::status(503), Reply::ok().data("hello")]);
/// assert_eq!(script.clone().oneshot("one").await?.status(), 503);
/// assert_eq!(script.clone().oneshot("two").await?.status(), 200);
/// assert_eq!((script.calls(), script.in_flight()), (2, 0));
/// # Ok(()) }
/// ```
pub struct Script<E = BoxError> {
    shared: Arc<Shared<E>>,
    /// How many polls this handle has been unready for.
    waited: usize,
}

struct Shared<E> {
    reply: Box<dyn Fn(usize) -> Reply<E> + Send + Sync>,
    readiness: Readiness<E>,
    tally: Arc<Tally>,
}

enum Readiness<E> {
    After(usize),
    Never,
    Broken(Box<dyn Fn() -> E + Send + Sync>),
}

impl<E> Script<E> {
    /// Gives these replies, one per request. One request more is a panic.
    pub fn new(replies: impl IntoIterator<Item = Reply<E>>) -> Self
    where
        E: Send + 'static,
    {
        let replies: VecDeque<_> = replies.into_iter().collect();
        let replies = Mutex::new(replies);
        Script::numbered(move |number| {
            let mut replies = replies.lock().unwrap_or_else(PoisonError::into_inner);
            let reply = replies.pop_front();
            reply.unwrap_or_else(|| panic!("no reply is left for request number {number}"))
        })
    }

    /// Makes the same reply for each request.
    pub fn always(reply: impl Fn() -> Reply<E> + Send + Sync + 'static) -> Self {
        Script::numbered(move |_| reply())
    }

    /// Makes the reply for each request by its number, from 0.
    pub fn numbered(reply: impl Fn(usize) -> Reply<E> + Send + Sync + 'static) -> Self {
        Script {
            shared: Arc::new(Shared {
                reply: Box::new(reply),
                readiness: Readiness::After(0),
                tally: Arc::default(),
            }),
            waited: 0,
        }
    }

    fn with_readiness(self, readiness: Readiness<E>) -> Self {
        let shared = Arc::into_inner(self.shared).expect("set up before it is cloned");
        Script {
            shared: Arc::new(Shared {
                readiness,
                ..shared
            }),
            waited: 0,
        }
    }

    /// Each handle is unready for so many polls before each call, and wakes the task at each.
    ///
    /// # Panics
    ///
    /// If the script has been cloned already: set it up first. So do the next two.
    #[must_use]
    pub fn unready(self, polls: usize) -> Self {
        self.with_readiness(Readiness::After(polls))
    }

    /// Is never ready, and never wakes the task.
    #[must_use]
    pub fn never_ready(self) -> Self {
        self.with_readiness(Readiness::Never)
    }

    /// Fails to become ready.
    #[must_use]
    pub fn broken(self, error: impl Fn() -> E + Send + Sync + 'static) -> Self {
        self.with_readiness(Readiness::Broken(Box::new(error)))
    }

    /// How many requests came, all clones together.
    pub fn calls(&self) -> usize {
        self.shared.tally.calls()
    }

    /// How many calls are not over: their future or the body they gave is still there.
    pub fn in_flight(&self) -> usize {
        self.shared.tally.alive()
    }

    /// How often the script itself has woken a task: by `pending` of replies, bodies and readiness.
    pub fn wakes(&self) -> usize {
        self.shared.tally.wakes()
    }
}

/// A clone goes on in the same script, and has yet to become ready.
impl<E> Clone for Script<E> {
    fn clone(&self) -> Self {
        Script {
            shared: self.shared.clone(),
            waited: 0,
        }
    }
}

impl<E> fmt::Debug for Script<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script")
            .field("tally", &self.shared.tally)
            .finish_non_exhaustive()
    }
}

impl<E, Req> Service<Req> for Script<E> {
    type Response = Response<ScriptedBody>;
    type Error = E;
    type Future = ScriptFuture<E>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        match &self.shared.readiness {
            Readiness::After(polls) if self.waited < *polls => {
                self.waited += 1;
                self.shared.tally.wake(cx);
                Poll::Pending
            }
            Readiness::After(_) => Poll::Ready(Ok(())),
            Readiness::Never => Poll::Pending,
            Readiness::Broken(error) => Poll::Ready(Err(error())),
        }
    }

    fn call(&mut self, _: Req) -> ScriptFuture<E> {
        self.waited = 0;
        let tally = &self.shared.tally;
        let reply = (self.shared.reply)(tally.call());
        if let Finish::PanicInCall(message) = reply.finish {
            unwind(message);
        }
        ScriptFuture {
            panic_in_drop: reply.panic_in_drop,
            reply: Some(reply),
            sleep: None,
            alive: Some(Alive::new(tally.clone())),
        }
    }
}

/// The future of a [`Script`].
#[must_use = "futures do nothing unless polled"]
pub struct ScriptFuture<E> {
    reply: Option<Reply<E>>,
    sleep: Option<Pin<Box<Sleep>>>,
    panic_in_drop: Option<&'static str>,
    alive: Option<Alive>,
}

// Nothing in it is pinned in place.
impl<E> Unpin for ScriptFuture<E> {}

impl<E> Future for ScriptFuture<E> {
    type Output = Result<Response<ScriptedBody>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let reply = this.reply.as_mut().expect("polled after completion");
        while let Some(wait) = reply.waits.front_mut() {
            match wait {
                Wait::Polls(0) => {}
                Wait::Polls(polls) => {
                    *polls -= 1;
                    if let Some(alive) = &this.alive {
                        alive.wake(cx);
                    }
                    return Poll::Pending;
                }
                Wait::Time(delay) => {
                    let delay = *delay;
                    let sleep = this.sleep.get_or_insert_with(|| Box::pin(sleep(delay)));
                    ready!(sleep.as_mut().poll(cx));
                    this.sleep = None;
                }
            }
            reply.waits.pop_front();
        }
        if let Finish::Hang = reply.finish {
            return Poll::Pending;
        }
        let Reply {
            mut response,
            finish,
            ..
        } = this.reply.take().expect("polled after completion");
        let alive = this.alive.take();
        Poll::Ready(match finish {
            Finish::Fail(error) => Err(error),
            Finish::PanicInPoll(message) => unwind(message),
            _ => {
                if let Some(alive) = alive {
                    response.body_mut().keep(alive);
                }
                Ok(response)
            }
        })
    }
}

impl<E> Drop for ScriptFuture<E> {
    fn drop(&mut self) {
        unwind_in_drop(self.panic_in_drop);
    }
}

impl<E> fmt::Debug for ScriptFuture<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptFuture")
            .field("reply", &self.reply)
            .finish_non_exhaustive()
    }
}
