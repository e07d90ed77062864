use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use http::Response;
use tower_service::Service;

use super::{
    Reply, ScriptedBody, counters::CallCounters, in_flight_token::InFlightToken,
    reply::ReplyAction, script_future::ScriptFuture, silent_panic::panic_silently,
};
use crate::call::BoxError;

/// A service with scripted replies to requests of any type.
///
/// Clones share the replies. [`in_flight`](Self::in_flight) counts the calls whose future or body still exists, by which a
/// test detects a layer that leaks them.
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
    shared: Arc<SharedScript<E>>,
    /// The number of polls for which this handle was not ready.
    unready_polls: usize,
}

/// The state that all clones share.
struct SharedScript<E> {
    reply: Box<dyn Fn(usize) -> Reply<E> + Send + Sync>,
    readiness: ScriptReadiness<E>,
    counters: Arc<CallCounters>,
}

/// The readiness of a script.
enum ScriptReadiness<E> {
    AfterPolls(usize),
    Never,
    Fails(Box<dyn Fn() -> E + Send + Sync>),
}

impl<E> Script<E> {
    /// Creates a service that takes one of these replies per request, and panics at one more request.
    ///
    /// A service that fails at first, for the test of a retry:
    ///
    /// ```
    /// use tower_keep::testing::{Reply, Script};
    ///
    /// let script: Script = Script::new([Reply::status(503), Reply::ok()]);
    /// assert_eq!(script.calls(), 0);
    /// ```
    pub fn new(replies: impl IntoIterator<Item = Reply<E>>) -> Self
    where
        E: Send + 'static,
    {
        let replies: VecDeque<_> = replies.into_iter().collect();
        // Clones on several threads take from the same replies.
        let replies = Mutex::new(replies);
        Script::from_fn(move |index| {
            // Poisoned by the panic below, which later requests must meet as well.
            let mut replies = replies.lock().unwrap_or_else(PoisonError::into_inner);
            let reply = replies.pop_front();
            reply.unwrap_or_else(|| panic!("no reply is left for request {index}"))
        })
    }

    /// Creates a service that gives the same reply to each request.
    ///
    /// A service that is overloaded:
    ///
    /// ```
    /// use tower_keep::testing::{Reply, Script};
    ///
    /// let script: Script = Script::always(|| Reply::status(503));
    /// # let _ = script;
    /// ```
    pub fn always(reply: impl Fn() -> Reply<E> + Send + Sync + 'static) -> Self {
        Script::from_fn(move |_| reply())
    }

    /// Creates a service that makes the reply to each request from its index, from 0.
    ///
    /// A service that recovers after its first call:
    ///
    /// ```
    /// use tower_keep::testing::{Reply, Script};
    ///
    /// let script: Script = Script::from_fn(|index| match index {
    ///     0 => Reply::status(503),
    ///     _ => Reply::ok(),
    /// });
    /// # let _ = script;
    /// ```
    pub fn from_fn(reply: impl Fn(usize) -> Reply<E> + Send + Sync + 'static) -> Self {
        Script {
            shared: Arc::new(SharedScript {
                reply: Box::new(reply),
                readiness: ScriptReadiness::AfterPolls(0),
                counters: Arc::default(),
            }),
            unready_polls: 0,
        }
    }

    fn with_readiness(self, readiness: ScriptReadiness<E>) -> Self {
        // Clones would keep the readiness that they were made with.
        let shared =
            Arc::into_inner(self.shared).expect("readiness is set before the script is cloned");
        Script {
            shared: Arc::new(SharedScript {
                readiness,
                ..shared
            }),
            unready_polls: 0,
        }
    }

    /// Makes each handle pending for a number of readiness polls before each call. Each of them wakes the task.
    ///
    /// # Panics
    ///
    /// Panics if the script was cloned before.
    #[must_use]
    pub fn ready_after(self, polls: usize) -> Self {
        self.with_readiness(ScriptReadiness::AfterPolls(polls))
    }

    /// Makes the service never ready; it does not wake the task either.
    ///
    /// # Panics
    ///
    /// Panics if the script was cloned before.
    #[must_use]
    pub fn never_ready(self) -> Self {
        self.with_readiness(ScriptReadiness::Never)
    }

    /// Makes `poll_ready` fail with an error.
    ///
    /// A service whose connection is refused:
    ///
    /// ```
    /// use tower_keep::testing::{Reply, Script};
    ///
    /// let script: Script = Script::always(Reply::ok).fails_ready(|| "connection refused".into());
    /// # let _ = script;
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the script was cloned before.
    #[must_use]
    pub fn fails_ready(self, error: impl Fn() -> E + Send + Sync + 'static) -> Self {
        self.with_readiness(ScriptReadiness::Fails(Box::new(error)))
    }

    /// Returns the number of calls of all clones.
    pub fn calls(&self) -> usize {
        self.shared.counters.calls()
    }

    /// Returns the number of calls whose future or response body still exists.
    pub fn in_flight(&self) -> usize {
        self.shared.counters.in_flight()
    }

    /// Returns how often the script itself woke a task, in pending steps of replies, bodies and readiness.
    pub fn wakes(&self) -> usize {
        self.shared.counters.wakes()
    }
}

/// A clone shares the replies, but not the readiness.
impl<E> Clone for Script<E> {
    fn clone(&self) -> Self {
        Script {
            shared: self.shared.clone(),
            unready_polls: 0,
        }
    }
}

impl<E> fmt::Debug for Script<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script")
            .field("counters", &self.shared.counters)
            .finish_non_exhaustive()
    }
}

impl<E, Req> Service<Req> for Script<E> {
    type Response = Response<ScriptedBody>;
    type Error = E;
    type Future = ScriptFuture<E>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        match &self.shared.readiness {
            ScriptReadiness::AfterPolls(polls) if self.unready_polls < *polls => {
                self.unready_polls += 1;
                // At once, so that the next poll needs no time to pass.
                self.shared.counters.wake(cx);
                Poll::Pending
            }
            ScriptReadiness::AfterPolls(_) => Poll::Ready(Ok(())),
            // Without a wake, so that a layer which polls again shows that it woke itself.
            ScriptReadiness::Never => Poll::Pending,
            ScriptReadiness::Fails(error) => Poll::Ready(Err(error())),
        }
    }

    fn call(&mut self, _: Req) -> ScriptFuture<E> {
        // Each call waits for readiness of its own.
        self.unready_polls = 0;
        let counters = &self.shared.counters;
        let reply = (self.shared.reply)(counters.record_call());
        // The call is counted already, but is not in flight.
        if let ReplyAction::PanicInCall(message) = reply.action {
            panic_silently(message);
        }
        ScriptFuture::new(reply, InFlightToken::new(counters.clone()))
    }
}
