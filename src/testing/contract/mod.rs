//! The contract that every layer and guard must fulfill.
//!
//! Each function checks all of it, and panics with the violation and the run in which it occurred. It creates a runtime
//! with a paused clock, so call it from a plain `#[test]`.
//!
//! | subject | contract |
//! |---|---|
//! | readiness of callers | sequential and concurrent calls work through a [`ReadyChecked`] service, ready at once or late |
//! | readiness | a handle that is dropped while it is ready keeps no reservation; an error of `poll_ready` is passed on |
//! | clones | share the policy of the layer, but neither readiness nor reservations |
//! | drops | a call that is dropped after any number of polls, of its future or of its body, leaves nothing behind |
//! | ends | nor does a call that fails, hangs, or panics: in `call`, in `poll`, in the body, in a drop |
//! | wakes | while the service is pending, only the service wakes the task |
//! | bodies | a body does not report its end before its last frame, and its size hint is true |
//! | types | `Clone`, `Send` and `Sync` as [`Router::layer`] requires, futures and bodies `Send`: checked by the compiler |
//!
//! [`check_guard`] and [`check_any_guard`] also check that every admitted call ends exactly once, with the expected
//! outcome.
//!
//! [`Router::layer`]: https://docs.rs/axum/0.8/axum/struct.Router.html#method.layer

mod call_under_test;
mod cases;
mod checked_body;
mod runner;
mod test_run;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use self::{
    cases::Case,
    checked_body::CheckedBody,
    runner::{Checker, CompletedRun, run_on_paused_clock, violation},
};
use super::{ReadyChecked, RecordingGuard, Script, ScriptedBody};
use crate::{
    call::Outcome,
    guard::{Admit, Guard, GuardLayer},
};

/// Checks an HTTP layer against the contract. Calls `layer` once per run.
///
/// The layer that observes a server:
///
/// ```
/// use tower_keep::{observe, testing::contract};
///
/// contract::check_http(|| observe("orders").server());
/// ```
///
/// # Panics
///
/// Panics if the contract is violated.
pub fn check_http<L, B>(layer: impl Fn() -> L)
where
    L: Layer<ReadyChecked<Script>> + Clone + Send + Sync + 'static,
    L::Service: Service<Request<ScriptedBody>, Response = Response<B>>,
    L::Service: Clone + Send + Sync + 'static,
    <L::Service as Service<Request<ScriptedBody>>>::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
{
    run_http_checks(&layer, &|_| {});
}

/// Checks a layer for any protocol against the contract, without response bodies. Calls `layer` once per run.
///
/// The layer that observes a service of any kind:
///
/// ```
/// use tower_keep::{observe, testing::contract};
///
/// contract::check_any(|| observe("jobs").any(), || "a job");
/// ```
///
/// # Panics
///
/// Panics if the contract is violated.
pub fn check_any<L, Req>(layer: impl Fn() -> L, request: impl Fn() -> Req)
where
    L: Layer<ReadyChecked<Script>> + Clone + Send + Sync + 'static,
    L::Service: Service<Req> + Clone + Send + Sync + 'static,
    <L::Service as Service<Req>>::Future: Send,
{
    run_any_checks(&layer, &request, &|_| {});
}

/// Checks an HTTP guard against the contract with every protocol, between two [recording guards](RecordingGuard).
///
/// The guard must admit every call. See the [module](super) for an example.
///
/// The guard that reads and makes the IDs of calls:
///
/// ```
/// use tower_keep::{context::Correlate, testing::contract};
///
/// contract::check_guard(Correlate::default);
/// ```
///
/// # Panics
///
/// Panics if the contract is violated.
pub fn check_guard<G>(guard: impl Fn() -> G)
where
    G: Admit<Request<ScriptedBody>> + Send + Sync + 'static,
    G::Permit: Send,
{
    // Each protocol has recording guards of its own, whose counts begin at zero.
    with_recording_guards(|guards| {
        let layer = || GuardLayer::server(guards.wrap(guard()));
        run_http_checks(&layer, &|run| guards.verify(run, |case| case.outcome));
    });
    with_recording_guards(|guards| {
        let layer = || GuardLayer::client(guards.wrap(guard()));
        run_http_checks(&layer, &|run| guards.verify(run, |case| case.outcome));
    });
    with_recording_guards(|guards| {
        let layer = || GuardLayer::grpc_client(guards.wrap(guard()));
        run_http_checks(&layer, &|run| {
            guards.verify(run, |case| case.grpc_outcome.unwrap_or(case.outcome));
        });
    });
    check_any_guard(guard, || Request::new(ScriptedBody::new()));
}

/// Checks a guard for any protocol against the contract, between two [recording guards](RecordingGuard).
///
/// The guard must admit every call.
///
/// An operation as a guard:
///
/// ```
/// use tower_keep::{operation, testing::contract};
///
/// contract::check_any_guard(|| operation("load"), || 7_u32);
/// ```
///
/// # Panics
///
/// Panics if the contract is violated.
pub fn check_any_guard<G, Req>(guard: impl Fn() -> G, request: impl Fn() -> Req)
where
    G: Admit<Req> + Send + Sync + 'static,
    G::Permit: Send,
{
    with_recording_guards(|guards| {
        let layer = || GuardLayer::any(guards.wrap(guard()));
        run_any_checks(&layer, &request, &|run| {
            guards.verify(run, |case| case.any_protocol_outcome);
        });
    });
}

/// Checks an HTTP layer, and calls `verify` after each run.
fn run_http_checks<L, B>(layer: &dyn Fn() -> L, audit: &dyn Fn(&CompletedRun<'_>))
where
    L: Layer<ReadyChecked<Script>>,
    L::Service: Service<Request<ScriptedBody>, Response = Response<B>> + Clone,
    B: Body<Data = Bytes> + 'static,
{
    run_on_paused_clock(
        Checker {
            layer,
            request: &http_request,
            body: |response: Response<B>| Some(Box::pin(CheckedBody::new(response.into_body()))),
            supports_grpc: true,
            verify: audit,
        }
        .check(),
    );
}

/// Checks a layer for any protocol, and calls `verify` after each run.
fn run_any_checks<L, Req>(
    layer: &dyn Fn() -> L,
    request: &dyn Fn() -> Req,
    audit: &dyn Fn(&CompletedRun<'_>),
) where
    L: Layer<ReadyChecked<Script>>,
    L::Service: Service<Req> + Clone,
{
    run_on_paused_clock(
        Checker {
            layer,
            request: &|_: &Case| request(),
            body: |_| None,
            supports_grpc: false,
            verify: audit,
        }
        .check(),
    );
}

/// Returns the request of a case.
fn http_request(case: &Case) -> Request<ScriptedBody> {
    let mut request = Request::new(ScriptedBody::new());
    // Of the form that gRPC has; HTTP has no objection.
    *request.uri_mut() = "http://contract.test/a.Service/Method"
        .parse()
        .expect("the URI is valid");
    if case.is_grpc {
        *request.method_mut() = http::Method::POST;
        *request.version_mut() = http::Version::HTTP_2;
        let content_type = "application/grpc"
            .parse()
            .expect("the header value is valid");
        request.headers_mut().insert("content-type", content_type);
    }
    request
}

/// The recording guards before and after a guard.
struct RecordingGuards {
    outer: RecordingGuard,
    inner: RecordingGuard,
}

/// Runs checks with new recording guards.
fn with_recording_guards(check: impl FnOnce(&RecordingGuards)) {
    check(&RecordingGuards {
        outer: RecordingGuard::new(),
        inner: RecordingGuard::new(),
    });
}

impl RecordingGuards {
    /// Returns a stack with the guard between both.
    fn wrap<G: Guard>(&self, guard: G) -> (RecordingGuard, (G, RecordingGuard)) {
        (self.outer.clone(), (guard, self.inner.clone()))
    }

    /// Compares the records of both guards with the run.
    fn verify(&self, run: &CompletedRun<'_>, expected: impl Fn(&Case) -> Outcome) {
        let outer = take_outcomes(&self.outer, "outside", run);
        let inner = take_outcomes(&self.inner, "inside", run);
        // A guard decides whether a call is made, never how it went.
        if outer != inner {
            violation(run.description, "the guards got different outcomes");
        }
        // A call that was dropped ends as far as it came, which differs between layers.
        let Some(expected) = run.completed_case.map(expected) else {
            return;
        };
        if let Some(outcome) = outer.iter().find(|outcome| **outcome != expected) {
            let violated = format_args!("a call ended as {outcome}, expected {expected}");
            violation(run.description, violated);
        }
    }
}

/// Removes the records of a guard, and returns the outcomes. All calls of the run must have ended exactly once.
fn take_outcomes(guard: &RecordingGuard, side: &str, run: &CompletedRun<'_>) -> Vec<Outcome> {
    let outcomes: Vec<_> = guard.completed().iter().map(|end| end.outcome).collect();
    let (admitted, ended, calls) = (guard.admitted(), outcomes.len(), run.calls);
    // An end too many would hide behind one that is missing, so both are compared with the calls.
    if (admitted, ended) != (calls, calls) {
        let violated = format_args!("{admitted} admitted, {ended} ended {side}, of {calls} calls");
        violation(run.description, violated);
    }
    // The next run uses the same guards.
    guard.clear();
    outcomes
}
