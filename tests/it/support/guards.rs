//! Guards as users write them.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use http::StatusCode;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tower_keep::{
    Guard, Outcome, Rejection, RejectionKind,
    call::{CallClock, CallEnd, Cause, Evidence, GrpcCode},
    guard::Admit,
    protocol::WireFormat,
};

use super::within;

/// Tells how each call ended. Outermost it speaks last: by then all other guards have settled.
#[derive(Clone)]
pub struct Witness(UnboundedSender<Told>);

/// The end of a call, as far as it outlives it.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub outcome: Outcome,
    pub evidence: Evidence,
    pub wire: WireFormat,
    pub status: Option<StatusCode>,
    pub code: Option<GrpcCode>,
    pub response_bytes: u64,
    /// The text of the cause, with the messages of its sources.
    pub cause: String,
}

pub struct Ends(UnboundedReceiver<Told>);

pub fn witness() -> (Witness, Ends) {
    let (sender, receiver) = unbounded_channel();
    (Witness(sender), Ends(receiver))
}

impl Ends {
    pub async fn next(&mut self) -> Told {
        within(self.0.recv()).await.expect("a witness")
    }

    pub async fn next_outcome(&mut self) -> Outcome {
        self.next().await.outcome
    }

    pub async fn next_classified(&mut self) -> (Outcome, Evidence) {
        let told = self.next().await;
        (told.outcome, told.evidence)
    }

    /// Returns the calls that have ended so far, without waiting.
    pub fn so_far(&mut self) -> Vec<Told> {
        std::iter::from_fn(|| self.0.try_recv().ok()).collect()
    }
}

impl Guard for Witness {
    type Permit = ();

    fn on_end(&self, _: (), end: &CallEnd<'_>) {
        let _ = self.0.send(Told {
            outcome: end.outcome(),
            evidence: end.evidence(),
            wire: end.wire(),
            status: end.status(),
            code: end.grpc_code(),
            response_bytes: end.response_bytes(),
            cause: end.cause().map(said).unwrap_or_default(),
        });
    }
}

impl<Req> Admit<Req> for Witness {
    fn admit(&self, _: &mut Req, _: &CallClock) -> Result<(), Rejection> {
        Ok(())
    }
}

fn said(cause: &Cause<'_>) -> String {
    match cause {
        Cause::Error(error) => {
            let chain = std::iter::successors(Some(*error), |error| error.source());
            let messages: Vec<String> = chain.map(ToString::to_string).collect();
            messages.join(": ")
        }
        Cause::Rejection(rejection) => rejection.to_string(),
        Cause::Panic(message) => format!("panic: {message}"),
        Cause::GrpcMessage(message) => format!("grpc-message: {message}"),
        other => format!("{other:?}"),
    }
}

/// A breaker as simple as can be: rejects everything after so many failures in a row.
#[derive(Clone)]
pub struct Fuse(Arc<State>);

struct State {
    allowed: u32,
    failures: AtomicU32,
    admitted: AtomicU32,
}

impl Fuse {
    pub fn blows_after(failures: u32) -> Self {
        Fuse(Arc::new(State {
            allowed: failures,
            failures: AtomicU32::new(0),
            admitted: AtomicU32::new(0),
        }))
    }

    pub fn blown() -> Self {
        Fuse::blows_after(0)
    }

    pub fn is_blown(&self) -> bool {
        self.failures() >= self.0.allowed
    }

    pub fn failures(&self) -> u32 {
        self.0.failures.load(Ordering::SeqCst)
    }

    pub fn admitted(&self) -> u32 {
        self.0.admitted.load(Ordering::SeqCst)
    }
}

impl Guard for Fuse {
    type Permit = ();

    fn on_end(&self, _: (), end: &CallEnd<'_>) {
        match end.outcome() {
            Outcome::Success => self.0.failures.store(0, Ordering::SeqCst),
            outcome if outcome.is_error() => {
                self.0.failures.fetch_add(1, Ordering::SeqCst);
            }
            _ => {}
        }
    }
}

impl<Req> Admit<Req> for Fuse {
    fn admit(&self, _: &mut Req, _: &CallClock) -> Result<(), Rejection> {
        if self.is_blown() {
            let why = Rejection::new(RejectionKind::CircuitOpen, "fuse");
            return Err(why.with_retry_after(std::time::Duration::from_millis(1_500)));
        }
        self.0.admitted.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}
