use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Response;
use tokio::time::{Sleep, sleep};

use super::{
    Reply, ScriptedBody,
    in_flight_token::InFlightToken,
    reply::{ReplyAction, ReplyWait},
    silent_panic::{panic_silently, panic_silently_in_drop},
};
use crate::util::poll::POLLED_AFTER_COMPLETION;

/// The response future of a [`Script`](super::Script).
#[must_use = "futures do nothing unless polled"]
pub struct ScriptFuture<E> {
    reply: Option<Reply<E>>,
    sleep: Option<Pin<Box<Sleep>>>,
    panic_in_drop: Option<&'static str>,
    in_flight_token: Option<InFlightToken>,
}

// No field is pinned.
impl<E> Unpin for ScriptFuture<E> {}

impl<E> ScriptFuture<E> {
    pub(super) fn new(reply: Reply<E>, token: InFlightToken) -> Self {
        ScriptFuture {
            // Apart from the reply, which is gone when a completed future is dropped.
            panic_in_drop: reply.panic_in_drop,
            reply: Some(reply),
            sleep: None,
            in_flight_token: Some(token),
        }
    }

    /// Polls the waits before the reply, and is pending forever if it hangs.
    fn poll_waits(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let reply = self.reply.as_mut().expect(POLLED_AFTER_COMPLETION);
        while let Some(wait) = reply.waits.front_mut() {
            match wait {
                // Used up, and removed below.
                ReplyWait::Polls(0) => {}
                ReplyWait::Polls(polls) => {
                    *polls -= 1;
                    if let Some(token) = &self.in_flight_token {
                        token.wake(cx);
                    }
                    return Poll::Pending;
                }
                ReplyWait::Delay(delay) => {
                    let delay = *delay;
                    let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep(delay)));
                    ready!(sleep.as_mut().poll(cx));
                    self.sleep = None;
                }
            }
            reply.waits.pop_front();
        }
        match reply.action {
            ReplyAction::Hang => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }
}

impl<E> Future for ScriptFuture<E> {
    type Output = Result<Response<ScriptedBody>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        ready!(this.poll_waits(cx));
        let reply = this.reply.take().expect(POLLED_AFTER_COMPLETION);
        // Dropped on an error or a panic, which ends the call.
        let token = this.in_flight_token.take();
        Poll::Ready(match reply.action {
            ReplyAction::Fail(error) => Err(error),
            ReplyAction::PanicInPoll(message) => panic_silently(message),
            // `Hang` does not get here, and `PanicInCall` has no future.
            _ => {
                let mut response = reply.response;
                // The call stays in flight until the body is dropped.
                if let Some(token) = token {
                    response.body_mut().set_in_flight_token(token);
                }
                Ok(response)
            }
        })
    }
}

impl<E> Drop for ScriptFuture<E> {
    fn drop(&mut self) {
        panic_silently_in_drop(self.panic_in_drop);
    }
}

impl<E> fmt::Debug for ScriptFuture<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptFuture")
            .field("reply", &self.reply)
            .finish_non_exhaustive()
    }
}
