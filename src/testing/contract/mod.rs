//! The contract that every layer signs.
//!
//! Each function runs all of it, and panics with what was broken and in which run. They make a runtime of their
//! own, on a clock that stands still, so call them from a plain `#[test]`.
//!
//! | | |
//! |---|---|
//! | strictness | two calls in a row and two at once through a [`Strict`] service, ready at once or late |
//! | readiness | a service that is dropped when it is ready keeps no reservation; one that fails to become ready says so |
//! | clones | share the layer's policy, but neither readiness nor reservations |
//! | drops | a call that is dropped after any number of polls, of its future or of its body, leaves nothing behind |
//! | ends | so does one that fails, hangs, or panics: in `call`, in `poll`, in the body, in a drop |
//! | wakes | while the service is pending, nobody but the service wakes the task |
//! | bodies | a body is never said to be over before its last frame, and is as long as it says |
//! | types | `Clone`, `Send` and `Sync` as [`Router::layer`] demands, futures and bodies `Send`: checked by compiling |
//!
//! [`guard`] and [`any_guard`] look at the books besides: every call that was admitted settles exactly once, with
//! the outcome that fits, whatever became of it.
//!
//! [`Router::layer`]: https://docs.rs/axum/0.8/axum/struct.Router.html#method.layer

mod case;
mod drive;
mod watch;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use self::{
    case::Case,
    drive::{Run, Signing, broken, on_paused_clock},
    watch::Watched,
};
use super::{Script, ScriptedBody, Spy, Strict};
use crate::{
    call::Outcome,
    guard::{Admit, Guard, GuardLayer},
};

/// Has a layer for HTTP sign the contract. Each run takes a layer of its own.
///
/// ```
/// use tower_keep::{observe, testing::contract};
///
/// contract::http(|| observe("orders").server());
/// ```
///
/// # Panics
///
/// If the contract is broken.
pub fn http<L, B>(layer: impl Fn() -> L)
where
    L: Layer<Strict<Script>> + Clone + Send + Sync + 'static,
    L::Service: Service<Request<ScriptedBody>, Response = Response<B>>,
    L::Service: Clone + Send + Sync + 'static,
    <L::Service as Service<Request<ScriptedBody>>>::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
{
    sign_http(&layer, &|_| {});
}

/// Has a layer for services of any kind sign the contract: the answer is all there is, and has no body to watch.
///
/// ```
/// use tower_keep::{observe, testing::contract};
///
/// contract::any(|| observe("jobs").any(), || "a job");
/// ```
///
/// # Panics
///
/// If the contract is broken.
pub fn any<L, Req>(layer: impl Fn() -> L, request: impl Fn() -> Req)
where
    L: Layer<Strict<Script>> + Clone + Send + Sync + 'static,
    L::Service: Service<Req> + Clone + Send + Sync + 'static,
    <L::Service as Service<Req>>::Future: Send,
{
    sign_any(&layer, &request, &|_| {});
}

/// Has a guard for HTTP sign the contract under every protocol, between two [spies](Spy).
///
/// It must let every call pass; see the [module](super) for an example.
///
/// # Panics
///
/// If the contract is broken.
pub fn guard<G>(guard: impl Fn() -> G)
where
    G: Admit<Request<ScriptedBody>> + Send + Sync + 'static,
    G::Permit: Send,
{
    between_spies(|spies| {
        let layer = || GuardLayer::server(spies.round(guard()));
        sign_http(&layer, &|run| spies.audit(run, |case| case.outcome));
    });
    between_spies(|spies| {
        let layer = || GuardLayer::client(spies.round(guard()));
        sign_http(&layer, &|run| spies.audit(run, |case| case.outcome));
    });
    between_spies(|spies| {
        let layer = || GuardLayer::grpc_client(spies.round(guard()));
        sign_http(&layer, &|run| {
            spies.audit(run, |case| case.grpc_outcome.unwrap_or(case.outcome));
        });
    });
    any_guard(guard, || Request::new(ScriptedBody::new()));
}

/// Has a guard for requests of any kind sign the contract, between two [spies](Spy).
///
/// It must let every call pass.
///
/// ```
/// use tower_keep::{operation, testing::contract};
///
/// contract::any_guard(|| operation("load"), || 7_u32);
/// ```
///
/// # Panics
///
/// If the contract is broken.
pub fn any_guard<G, Req>(guard: impl Fn() -> G, request: impl Fn() -> Req)
where
    G: Admit<Req> + Send + Sync + 'static,
    G::Permit: Send,
{
    between_spies(|spies| {
        let layer = || GuardLayer::any(spies.round(guard()));
        sign_any(&layer, &request, &|run| {
            spies.audit(run, |case| case.plain_outcome);
        });
    });
}

fn sign_http<L, B>(layer: &dyn Fn() -> L, audit: &dyn Fn(&Run<'_>))
where
    L: Layer<Strict<Script>>,
    L::Service: Service<Request<ScriptedBody>, Response = Response<B>> + Clone,
    B: Body<Data = Bytes> + 'static,
{
    on_paused_clock(
        Signing {
            layer,
            request: &http_request,
            tail: |response: Response<B>| Some(Box::pin(Watched::new(response.into_body()))),
            grpc: true,
            audit,
        }
        .check(),
    );
}

fn sign_any<L, Req>(layer: &dyn Fn() -> L, request: &dyn Fn() -> Req, audit: &dyn Fn(&Run<'_>))
where
    L: Layer<Strict<Script>>,
    L::Service: Service<Req> + Clone,
{
    on_paused_clock(
        Signing {
            layer,
            request: &|_: &Case| request(),
            tail: |_| None,
            grpc: false,
            audit,
        }
        .check(),
    );
}

fn http_request(case: &Case) -> Request<ScriptedBody> {
    let mut request = Request::new(ScriptedBody::new());
    *request.uri_mut() = "http://contract.test/a.Service/Method"
        .parse()
        .expect("a URI");
    if case.grpc {
        *request.method_mut() = http::Method::POST;
        *request.version_mut() = http::Version::HTTP_2;
        let content_type = "application/grpc".parse().expect("a value");
        request.headers_mut().insert("content-type", content_type);
    }
    request
}

/// The spies on both sides of a guard.
struct Spies {
    outer: Spy,
    inner: Spy,
}

fn between_spies(sign: impl FnOnce(&Spies)) {
    sign(&Spies {
        outer: Spy::new(),
        inner: Spy::new(),
    });
}

impl Spies {
    fn round<G: Guard>(&self, guard: G) -> (Spy, G, Spy) {
        (self.outer.clone(), guard, self.inner.clone())
    }

    /// Compares the books of both spies with what was done.
    fn audit(&self, run: &Run<'_>, expected: impl Fn(&Case) -> Outcome) {
        let told = |spy: &Spy, side: &str| -> Vec<Outcome> {
            let told: Vec<_> = spy.settled().iter().map(|end| end.outcome).collect();
            let (admitted, settled) = (spy.admitted(), told.len());
            if (admitted, settled) != (run.calls, run.calls) {
                let calls = run.calls;
                let why =
                    format!("{admitted} admitted, {settled} settled {side}, of {calls} calls");
                broken(run.what, why);
            }
            spy.forget();
            told
        };
        let (outer, inner) = (told(&self.outer, "outside"), told(&self.inner, "inside"));
        if outer != inner {
            broken(run.what, "the guards were told different outcomes");
        }
        let expected = run.ended.map(expected);
        let wrong = outer
            .iter()
            .find(|told| expected.is_some_and(|expected| expected != **told));
        if let Some(outcome) = wrong {
            broken(run.what, format_args!("a call has settled as {outcome}"));
        }
    }
}
