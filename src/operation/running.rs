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
    call::{Cause, End, Inside, Moment, Outcome, Payload, Seen, Thrown, caught_service, quietly},
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
        // None once it is over.
        #[pin]
        future: Option<F>,
        start: Start,
        look: Look<F::Output>,
        output: Option<Show<F::Output>>,
    }

    impl<F: Future> PinnedDrop for Running<F> {
        // Dropped in the operation's span: what it still says belongs there, and a panic is one of the run.
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if let Start::Begun(ticket) = this.start {
                ticket.drop_inside(|| this.future.set(None));
            }
        }
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
            future: Some(future),
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
        let mut this = self.project();
        let ticket = this.start.ticket();
        let output = ready!(ticket.poll(|| {
            let future = this.future.as_mut().as_pin_mut();
            let polled = future.expect("polled after completion").poll(cx);
            if polled.is_ready() {
                this.future.set(None);
            }
            polled
        }));
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
        self.run(&inside, work)
            .unwrap_or_else(|thrown| self.panicked(thrown).resume())
    }

    /// Drops what is left of the run. A panic settles it, and goes on unless another is under way.
    fn drop_inside(&mut self, drop: impl FnOnce()) {
        let inside = Inside::other();
        if let Err(thrown) = self.run(&inside, drop) {
            let payload = self.panicked(thrown);
            if !std::thread::panicking() {
                payload.resume();
            }
        }
    }

    fn run<R>(&mut self, inside: &Inside, work: impl FnOnce() -> R) -> Result<R, Thrown> {
        let (mut work, mut result) = (Some(work), None);
        let mut run = || result = work.take().map(caught_service);
        match &mut self.permit {
            Some((permit, _)) => entered(inside, &self.operation, permit, run),
            None => run(),
        }
        result.expect("work is done once")
    }

    fn panicked(&mut self, thrown: Thrown) -> Payload {
        let payload = Payload::new(thrown);
        let cause = Cause::Panic(payload.message());
        self.finish(Outcome::Panicked, Some(cause), payload.seen());
        payload
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
