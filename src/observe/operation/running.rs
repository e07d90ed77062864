use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{self, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::{Operation, OperationPermit, shown};
use crate::{
    call::{Cause, End, Inside, Moment, Outcome, Payload, Seen, caught_service, quietly},
    guard::{Admit, Guard, entered},
};

/// Tells how an output is to be judged.
pub(super) type Look<T> = fn(&T, &mut dyn FnMut(Outcome, Option<Cause<'_>>));

pin_project! {
    /// A tracked future; made by [`Operation::run`] and its siblings.
    #[must_use = "futures do nothing unless polled"]
    pub struct Running<F>
    where
        F: Future,
    {
        #[pin]
        future: F,
        start: Start,
        look: Look<F::Output>,
        output: Option<Show<F::Output>>,
    }
}

/// Whether a run has begun: at the first poll, since a future that is never polled does nothing.
#[derive(Debug)]
enum Start {
    Waiting(Option<Operation>),
    Begun(Ticket),
}

impl Start {
    fn ticket(&mut self) -> &mut Ticket {
        if let Start::Waiting(operation) = self {
            let operation = operation.take().expect("begun once");
            *self = Start::Begun(Ticket::new(operation));
        }
        match self {
            Start::Begun(ticket) => ticket,
            Start::Waiting(_) => unreachable!("it has just begun"),
        }
    }
}

type Show<T> = Box<dyn Fn(&T) -> String + Send + Sync>;

impl<F: Future> Running<F> {
    pub(super) fn new(operation: Operation, future: F, look: Look<F::Output>) -> Self {
        Running {
            future,
            start: Start::Waiting(Some(operation)),
            look,
            output: None,
        }
    }

    /// Shows what came out in the event; at most 1 KiB. Default: nothing, since data may be private.
    pub fn output(
        mut self,
        show: impl Fn(&F::Output) -> String + Send + Sync + 'static,
    ) -> Running<F> {
        self.output = Some(Box::new(show));
        self
    }
}

impl<F: Future> fmt::Debug for Running<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("start", &self.start)
            .finish_non_exhaustive()
    }
}

impl<F: Future> Future for Running<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let (ticket, future) = (this.start.ticket(), this.future);
        let output = ready!(ticket.poll(|| future.poll(cx)));
        if let Some(show) = this.output {
            let text = quietly(|| shown(show(&output))).flatten();
            if let Some((permit, _)) = &mut ticket.permit {
                permit.output = text;
            }
        }
        (this.look)(&output, &mut |outcome, cause| {
            ticket.settle(outcome, cause);
        });
        Poll::Ready(output)
    }
}

/// A run that has begun: settles once, at the latest when it is dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    operation: Operation,
    permit: Option<(OperationPermit, Instant)>,
}

impl Ticket {
    pub(super) fn new(operation: Operation) -> Self {
        let _inside = Inside::other();
        let now = Moment::default();
        let permit = operation.admit(&mut (), &now).ok();
        Ticket {
            permit: permit.map(|permit| (permit, now.now())),
            operation,
        }
    }

    pub(super) fn poll<R>(&mut self, work: impl FnOnce() -> R) -> R {
        let inside = Inside::other();
        let (mut work, mut result) = (Some(work), None);
        let mut run = || result = work.take().map(caught_service);
        match &mut self.permit {
            Some((permit, _)) => entered(&inside, &self.operation, permit, run),
            None => run(),
        }
        let result = result.expect("work is done once");
        result.unwrap_or_else(|thrown| self.panicked(Payload::new(thrown)))
    }

    fn panicked(&mut self, payload: Payload) -> ! {
        let cause = Cause::Panic(payload.message());
        self.finish(Outcome::Panicked, Some(cause), payload.seen());
        payload.resume()
    }

    pub(super) fn settle(&mut self, outcome: Outcome, cause: Option<Cause<'_>>) {
        self.finish(outcome, cause, None);
    }

    fn finish(&mut self, outcome: Outcome, cause: Option<Cause<'_>>, panic: Option<&Seen>) {
        let Some((permit, began)) = self.permit.take() else {
            return;
        };
        let _inside = Inside::other();
        let now = Moment::default();
        let mut end = End::new(outcome, &now).with_began(began);
        end.cause = cause;
        end.panic = panic;
        quietly(|| self.operation.settle(permit, &end));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.settle(Outcome::Cancelled, None);
    }
}
