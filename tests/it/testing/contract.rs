//! Every guard and every layer of the crate signs the contract, and fits where it is meant to.

use std::{convert::Infallible, time::Duration};

use axum::{Router, extract::Request as AxumRequest, response::IntoResponse, routing::Route};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use hyper_util::rt::TokioExecutor;
use tonic::service::Routes;
use tower::{Layer, Service};
use tower_keep::{
    BoxError, CircuitBreaker, Guard, GuardLayer, Rejection, Track,
    breaker::{KeyedBreaker, Switch},
    call::{CallClock, CallEnd, ClassifyInput},
    context::{Correlate, InheritContext, Propagate},
    fallback::{FailedCall, Fallback, FallbackLayer, grpc_message},
    guard::{Admit, GuardFuture, GuardedBody},
    observe, operation,
    protocol::Server,
    retry::{AttemptResult, ReplayBody, Retry, RetryDecision, RetryLayer, RetryPolicy},
    testing::{ReadyChecked, RecordingGuard, Reply, Script, ScriptFuture, ScriptedBody, contract},
    timeout::{Deadline, TimeoutLayer, Timeouts},
    track::{RequestBodyLayer, RouteLayer},
};

/// Longer than any run of the contract.
const HOUR: Duration = Duration::from_secs(3_600);

/// All layers and guards: a new one fails the test below until its name is here and it has a test.
const SIGNED: [&str; 17] = [
    "CircuitBreaker",
    "Correlate",
    "Deadline",
    "FallbackLayer",
    "GuardLayer",
    "IncludeReadinessLayer",
    "InheritContext",
    "KeyedGuard",
    "Operation",
    "Option",
    "Propagate",
    "RecordingGuard",
    "RequestBodyLayer",
    "RetryLayer",
    "RouteLayer",
    "TimeoutLayer",
    "Track",
];

#[test]
fn contract_covers_every_layer_and_guard() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/public-api.txt");
    // A package goes without it.
    let Ok(api) = std::fs::read_to_string(file) else {
        return;
    };
    let is_ours = |what: &str| what.contains("tower_layer::Layer<") || what.ends_with("::Guard");
    let mut found: Vec<&str> = api
        .lines()
        .filter_map(|line| line.strip_prefix("impl")?.split_once(" for "))
        // A layer of `tracing-subscriber`'s is none of tower's, and a tuple has no name.
        .filter(|(what, whom)| is_ours(what) && !whom.starts_with('('))
        .filter_map(|(_, whom)| whom.split(['<', ' ']).next()?.rsplit("::").next())
        .collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found, SIGNED);
}

#[test]
fn contract_unit_guard() {
    struct Nothing;
    impl Guard for Nothing {
        type Permit = ();
        fn on_end(&self, (): (), _: &CallEnd<'_>) {}
    }
    impl<Req> Admit<Req> for Nothing {
        fn admit(&self, _: &mut Req, _: &CallClock) -> Result<(), Rejection> {
            Ok(())
        }
    }
    contract::check_guard(|| Nothing);
}

#[test]
fn contract_correlate() {
    contract::check_guard(Correlate::default);
}

#[test]
fn contract_propagate() {
    contract::check_guard(Propagate::default);
}

#[test]
fn contract_track() {
    contract::check_guard(|| Track::new("signed"));
    contract::check_guard(|| Track::new("signed").client_side());
}

#[test]
fn contract_track_with_everything_on() {
    contract::check_guard(|| {
        Track::builder("signed")
            .poll_time(true)
            .readiness_wait(true)
            .time_to_head(true)
            .body_sizes(true)
            .server_timing(|_| true)
            .response_time(|_| true)
            .build()
            .unwrap()
    });
}

#[test]
fn contract_inherit() {
    contract::check_guard(|| InheritContext);
    contract::check_any_guard(|| InheritContext, || "a request");
}

#[test]
fn contract_operation() {
    contract::check_guard(|| operation("signed"));
    contract::check_any_guard(|| operation("signed"), || 7_u32);
}

#[test]
fn contract_breaker() {
    let by_rate = || CircuitBreaker::builder("signed").build().unwrap();
    let in_a_row = || CircuitBreaker::classic("signed").build().unwrap();
    contract::check_guard(by_rate);
    contract::check_guard(in_a_row);
    contract::check_guard(|| (Correlate::default(), (Track::new("signed"), by_rate())));
    contract::check_any_guard(by_rate, || 7_u32);
}

#[test]
fn contract_breaker_readiness_and_back_pressure() {
    let breaker = || CircuitBreaker::builder("signed").build().unwrap();
    contract::check_http(|| breaker().layer().server());
    contract::check_http(|| breaker().layer().client());
    contract::check_http(|| breaker().layer().grpc_client());
    contract::check_any(|| breaker().layer().any(), || 7_u32);
    contract::check_http(|| breaker().layer().server().back_pressure());
    contract::check_http(|| breaker().layer().server().pass_through());
}

#[test]
fn contract_breaker_retry_after_and_switch() {
    contract::check_guard(|| {
        CircuitBreaker::builder("signed")
            .open_on_retry_after(Duration::from_secs(60))
            .open_on_head(Duration::from_secs(60), |_| None)
            .slow_call(Duration::from_secs(60))
            .switch(&Switch::new())
            .build()
            .unwrap()
    });
}

#[test]
fn contract_keyed_breaker() {
    let keyed = || -> KeyedBreaker<String> {
        let template = CircuitBreaker::builder("signed");
        KeyedBreaker::builder(template).build().unwrap()
    };
    contract::check_guard(|| keyed().keyed_by_authority());
    contract::check_any_guard(|| keyed().keyed_by(|n: &u32| Some(n.to_string())), || 7);
    contract::check_any_guard(|| keyed().keyed_by_ref(|_: &u32| None::<&str>), || 7);
}

#[test]
fn contract_spy() {
    contract::check_guard(RecordingGuard::new);
    contract::check_guard(RecordingGuard::timed);
}

#[test]
fn contract_pairs_and_options() {
    contract::check_guard(|| (Correlate::default(), Track::new("signed")));
    contract::check_guard(|| (Propagate::default(), Track::new("signed").client_side()));
    contract::check_guard(|| ((InheritContext, Some(operation("signed"))), None::<Track>));
    contract::check_guard(|| None::<RecordingGuard>);
    contract::check_guard(|| Some((RecordingGuard::new(), RecordingGuard::timed())));
    contract::check_any_guard(|| (InheritContext, operation("signed")), || ());
}

#[test]
fn contract_observe_layers() {
    contract::check_http(|| observe("signed").server());
    contract::check_http(|| observe("signed").client());
    contract::check_http(|| observe("signed").grpc_client());
    contract::check_any(|| observe("signed").any(), || "a request");
    contract::check_any(|| GuardLayer::any(None::<InheritContext>), || "a request");
}

#[test]
fn contract_layers_that_are_no_guards() {
    contract::check_http(|| RouteLayer::new("/orders/{id}"));
    contract::check_http(RouteLayer::matched_path);
    contract::check_http(|| RequestBodyLayer::new(|body| body));
}

#[test]
fn contract_fallback() {
    fn spare(_: &FailedCall<'_>) -> Response<ScriptedBody> {
        Response::new(ScriptedBody::from("spare").end_after_extra_poll())
    }
    // Waits for the clock: whoever wakes the task himself is held to be the layer.
    let reply = || {
        Reply::<BoxError>::ok()
            .after(Duration::from_millis(100))
            .data("spare")
    };
    let other = ReadyChecked::new(Script::always(reply));
    let to = || other.clone();
    let fallback = || Fallback::new("signed");
    contract::check_http(|| FallbackLayer::server(fallback()).with(spare));
    contract::check_http(|| FallbackLayer::client(fallback()).with(spare));
    contract::check_http(|| FallbackLayer::grpc_client(fallback()).with(spare));
    contract::check_http(|| FallbackLayer::server(fallback()).service(to()));
    contract::check_http(|| FallbackLayer::client(fallback()).service(to()));
    contract::check_http(|| FallbackLayer::grpc_client(fallback()).service(to()));
    contract::check_any(|| FallbackLayer::any(fallback()).with(spare), || "ask");
    contract::check_any(|| FallbackLayer::any(fallback()).service(to()), || "ask");
    contract::check_any(
        || {
            // A value is cloned, and a scripted response cannot be.
            tower::ServiceBuilder::new()
                .layer(FallbackLayer::any(fallback()).value(StatusCode::OK))
                .map_response(|response: Response<ScriptedBody>| response.status())
                .into_inner()
        },
        || "ask",
    );
    // One for all runs, and for whatever fails.
    let fallback = Fallback::builder("signed").when(|_| true).build().unwrap();
    contract::check_http(|| FallbackLayer::server(fallback.clone()).with(spare));
    contract::check_http(|| FallbackLayer::client(fallback.clone()).service(to()));
    // The other service is under the same law.
    let script = other.get_ref();
    assert!(script.calls() > 0);
    assert_eq!((script.in_flight(), other.violations()), (0, 0));
}

#[test]
fn contract_retry() {
    let retry = || Retry::new("signed");
    contract::check_http(|| RetryLayer::client(retry()));
    contract::check_http(|| RetryLayer::grpc_client(retry()).retry_if_request(|_| true));
    contract::check_http(|| RetryLayer::grpc_client(retry()).retry_unsent(false));
    contract::check_any(|| RetryLayer::any(retry()), || "a request");
    contract::check_any(|| RetryLayer::with_policy(retry(), Copying), || "a request");
}

struct Copying;

impl RetryPolicy<&'static str, Response<ScriptedBody>> for Copying {
    fn clone_request(&self, request: &&'static str) -> Option<&'static str> {
        Some(request)
    }
    fn decide(
        &self,
        tried: &AttemptResult<'_, &'static str, Response<ScriptedBody>>,
    ) -> RetryDecision {
        tried.default_decision
    }
}

#[test]
fn contract_timeout() {
    contract::check_any(|| TimeoutLayer::any(HOUR), || "a request");
    contract::check_http(|| TimeoutLayer::server(HOUR));
    contract::check_http(|| TimeoutLayer::client(HOUR));
    contract::check_http(|| TimeoutLayer::grpc_client(HOUR));
    contract::check_http(|| TimeoutLayer::server(HOUR).body_idle(HOUR));
    contract::check_http(|| TimeoutLayer::client(HOUR).body_total(HOUR));
}

#[test]
fn contract_timeout_with_readiness() {
    let any = || TimeoutLayer::any(HOUR).include_readiness();
    contract::check_any(any, || "a request");
    contract::check_http(|| TimeoutLayer::server(HOUR).include_readiness());
    contract::check_http(|| TimeoutLayer::client(HOUR).include_readiness());
    contract::check_http(|| TimeoutLayer::grpc_client(HOUR).include_readiness());
}

#[test]
fn contract_deadline() {
    let bounded = || Deadline::builder("deadline").max(HOUR).build().unwrap();
    contract::check_guard(Deadline::default);
    contract::check_guard(bounded);
    contract::check_guard(|| (Correlate::default(), bounded()));
}

#[test]
fn contract_timeout_inside_retry() {
    let timeouts = Timeouts::builder("signed").total(HOUR).build().unwrap();
    contract::check_http(|| {
        tower::ServiceBuilder::new()
            .layer(TimeoutLayer::client(timeouts.total()))
            .layer(RetryLayer::client(Retry::new("signed")))
            .layer(TimeoutLayer::client(timeouts.attempt()))
            .into_inner()
    });
}

#[test]
fn contract_layers_with_classifier() {
    let judge = |end: &ClassifyInput<'_>| end.outcome();
    let breaker = || CircuitBreaker::builder("signed").build().unwrap().layer();
    let (fallback, retry) = (|| Fallback::new("signed"), || Retry::new("signed"));
    contract::check_http(|| GuardLayer::server(RecordingGuard::new()).classify(judge));
    contract::check_any(
        || GuardLayer::any(RecordingGuard::new()).classify(judge),
        || 7,
    );
    contract::check_http(|| breaker().client().classify(judge));
    contract::check_http(|| RetryLayer::client(retry()).classify(judge));
    contract::check_any(|| RetryLayer::any(retry()).classify(judge), || 7);
    contract::check_http(|| {
        let layer = FallbackLayer::client(fallback()).classify(judge);
        layer.with(|_| Response::new(ScriptedBody::new()))
    });
}

#[test]
fn contract_stacked_layers() {
    contract::check_http(|| {
        tower::layer::util::Stack::new(observe("inner").server(), observe("outer").server())
    });
}

#[test]
fn server_layers_fit_axum_and_tonic() {
    fn fits<G>(guards: fn() -> G)
    where
        G: Admit<AxumRequest> + Admit<Request<tonic::body::Body>>,
        G: Guard<Permit: Send> + Send + Sync + 'static,
    {
        fits_axum(GuardLayer::server(guards()));
        fits_tonic_server(GuardLayer::server(guards()));
    }
    fits(|| (Correlate::default(), Track::new("fits")));
    fits(|| (InheritContext, operation("fits")));
    fits(|| (Some(Propagate::default()), None::<RecordingGuard>));
    fits_axum(observe("fits").server());
    let breaker = CircuitBreaker::builder("fits").build().unwrap();
    fits_axum(breaker.layer().server());
    fits_tonic_server(breaker.layer().server());
    fits_tonic_server(observe("fits").server());
    fits_axum(RouteLayer::matched_path());
    let limit = Duration::from_secs(1);
    fits_axum(TimeoutLayer::server(limit));
    fits_tonic_server(TimeoutLayer::server(limit).body_idle(limit));
    let fallback = || FallbackLayer::server(Fallback::new("fits"));
    fits_axum(fallback().with(|_| Response::new(ScriptedBody::new())));
    fits_axum(fallback().service(Router::<()>::new()));
    fits_tonic_server(fallback().with(|_| Response::new(ScriptedBody::new())));
}

#[test]
fn client_layers_fit_hyper_and_tonic() {
    let limit = Duration::from_secs(1);
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new());
    let http = http.build_http::<ScriptedBody>();
    is_client(observe("fits").client().layer(http.clone()));
    let breaker = CircuitBreaker::builder("fits").build().unwrap();
    is_client(breaker.layer().client().layer(http.clone()));
    is_client(GuardLayer::client((InheritContext, operation("fits"))).layer(http.clone()));
    is_client(TimeoutLayer::client(limit).layer(http.clone()));
    let fallback = || FallbackLayer::client(Fallback::new("fits"));
    let replays = hyper_util::client::legacy::Client::builder(TokioExecutor::new());
    let replays = replays.build_http::<ReplayBody<ScriptedBody>>();
    is_client(fallback().service(replays.clone()).layer(replays));
    is_client(
        fallback()
            .with(|_| Response::new(ScriptedBody::new()))
            .layer(http),
    );
    // A channel wants a runtime, even one that never connects.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let channel = tonic::transport::Endpoint::from_static("http://127.0.0.1:9").connect_lazy();
    let breaker = CircuitBreaker::builder("fits").build().unwrap();
    fits_tonic_client(breaker.layer().grpc_client().layer(channel.clone()));
    fits_tonic_client(TimeoutLayer::grpc_client(limit).layer(channel.clone()));
    // All of them at once, as a client would have them.
    let stack = tower::ServiceBuilder::new()
        .layer(FallbackLayer::grpc_client(Fallback::new("fits")).with(|_| grpc_message("hi")))
        .layer(TimeoutLayer::grpc_client(limit))
        .layer(RetryLayer::grpc_client(Retry::new("fits")).request_body(tonic::body::Body::new))
        .layer(breaker.layer().grpc_client())
        .layer(observe("fits").grpc_client())
        .layer(TimeoutLayer::grpc_client(limit))
        .service(channel.clone());
    fits_tonic_client(stack);
    let fallback = FallbackLayer::grpc_client(Fallback::new("fits"));
    fits_tonic_client(
        fallback
            .clone()
            .service(channel.clone())
            .request_body(tonic::body::Body::new)
            .layer(channel.clone()),
    );
    let fallback = fallback.with(|_| grpc_message("hi"));
    fits_tonic_client(fallback.layer(channel.clone()));
    let layered = observe("fits").grpc_client().layer(channel);
    fits_tonic_client(layered.clone());
    let client = tonic_health::pb::health_client::HealthClient::new(layered.clone());
    let _ = client.clone();
    let asks = |request: tonic::Request<()>| Ok(request);
    let _ = tonic_health::pb::health_client::HealthClient::with_interceptor(layered, asks);
}

/// The bounds of `Router::layer`, as axum 0.8.9 has them.
fn fits_axum<L>(layer: L)
where
    L: Layer<Route> + Clone + Send + Sync + 'static,
    L::Service: Service<AxumRequest> + Clone + Send + Sync + 'static,
    <L::Service as Service<AxumRequest>>::Response: IntoResponse + 'static,
    <L::Service as Service<AxumRequest>>::Error: Into<Infallible> + 'static,
    <L::Service as Service<AxumRequest>>::Future: Send + 'static,
{
    let _: Router = Router::new()
        .route("/", axum::routing::get(|| async { "hello" }))
        .route_layer(layer.clone())
        .layer(layer);
}

/// The bounds of `Router::serve`, as tonic 0.14.9 has them.
fn fits_tonic_server<L, B>(_: L)
where
    L: Layer<Routes> + Clone,
    L::Service: Service<Request<tonic::body::Body>, Response = Response<B>>,
    L::Service: Clone + Send + 'static,
    <L::Service as Service<Request<tonic::body::Body>>>::Future: Send,
    <L::Service as Service<Request<tonic::body::Body>>>::Error: Into<BoxError> + Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
}

/// The bounds of generated clients, those with an interceptor included.
fn fits_tonic_client<S, B>(_: S)
where
    S: Service<Request<tonic::body::Body>, Response = Response<B>> + Clone + Send + Sync,
    S::Error: Into<BoxError> + Send + Sync,
    S::Future: Send,
    B: Body<Data = Bytes> + Default + Send + 'static,
    B::Error: Into<BoxError> + Send + Sync,
{
}

/// The bounds of whoever keeps a client.
fn is_client<S, B>(_: S)
where
    S: Service<Request<ScriptedBody>, Response = Response<B>, Error = BoxError>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
{
}

#[test]
fn guarded_service_can_be_boxed() {
    type Object = dyn Service<
            Request<ScriptedBody>,
            Response = Response<GuardedBody<ScriptedBody, RecordingGuard, Server>>,
            Error = BoxError,
            Future = GuardFuture<ScriptFuture<BoxError>, RecordingGuard, Server>,
        > + Send
        + Sync;
    let script = Script::new([Reply::ok()]);
    let _: Box<Object> = Box::new(
        GuardLayer::server(RecordingGuard::new())
            .back_pressure()
            .layer(script),
    );
}

/// Layers with the bugs that layers have, and what the contract says of them.
mod broken {
    use std::{
        future::Future,
        pin::Pin,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::SeqCst},
        },
        task::{Context, Poll},
    };

    use http_body::{Frame, SizeHint};
    use tower::layer::layer_fn;
    use tower_keep::testing::ReadyChecked;

    use super::*;

    type Inner = ReadyChecked<Script>;
    type Answer = Result<Response<ScriptedBody>, BoxError>;
    type Boxed = Pin<Box<dyn Future<Output = Answer> + Send>>;

    /// A service that hands its calls to a function, and is ready when the wrapped service is.
    #[derive(Clone)]
    struct Calls(Inner, fn(&mut Inner, Request<ScriptedBody>) -> Boxed);

    impl Service<Request<ScriptedBody>> for Calls {
        type Response = Response<ScriptedBody>;
        type Error = BoxError;
        type Future = Boxed;
        fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Service::<Request<ScriptedBody>>::poll_ready(&mut self.0, cx)
        }
        fn call(&mut self, request: Request<ScriptedBody>) -> Boxed {
            (self.1)(&mut self.0, request)
        }
    }

    fn sign(call: fn(&mut Inner, Request<ScriptedBody>) -> Boxed) {
        contract::check_http(|| layer_fn(move |inner| Calls(inner, call)));
    }

    #[test]
    fn contract_accepts_correct_layer() {
        sign(|inner, request| Box::pin(inner.call(request)));
    }

    #[test]
    #[should_panic(expected = "not itself polled ready")]
    fn contract_rejects_call_on_unready_clone() {
        sign(|inner, request| Box::pin(inner.clone().call(request)));
    }

    #[test]
    #[should_panic(expected = "the layer has woken its own task")]
    fn contract_rejects_self_waking_layer() {
        sign(|inner, request| {
            let mut call = inner.call(request);
            Box::pin(std::future::poll_fn(move |cx| {
                let poll = Pin::new(&mut call).poll(cx);
                cx.waker().wake_by_ref();
                poll
            }))
        });
    }

    #[test]
    #[should_panic(expected = "outlives the call")]
    fn contract_rejects_work_after_drop() {
        sign(|inner, request| {
            let task = tokio::spawn(inner.call(request));
            Box::pin(async { task.await? })
        });
    }

    #[test]
    #[should_panic(expected = "nothing wakes its task")]
    fn contract_rejects_pending_without_wake() {
        sign(|inner, request| {
            let mut call = inner.call(request);
            let mut first = true;
            Box::pin(std::future::poll_fn(move |cx| {
                if std::mem::take(&mut first) {
                    return Pin::new(&mut call).poll(cx);
                }
                Poll::Pending
            }))
        });
    }

    #[test]
    #[should_panic(expected = "the service does not become ready")]
    fn contract_rejects_slot_leaked_by_dropped_handle() {
        #[derive(Clone)]
        struct Slots(Inner, Arc<AtomicUsize>, bool);
        impl Service<Request<ScriptedBody>> for Slots {
            type Response = Response<ScriptedBody>;
            type Error = BoxError;
            type Future = Boxed;
            fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
                if !self.2 && self.1.fetch_add(1, SeqCst) >= 10 {
                    self.1.fetch_sub(1, SeqCst);
                    return Poll::Pending;
                }
                self.2 = true;
                Service::<Request<ScriptedBody>>::poll_ready(&mut self.0, cx)
            }
            fn call(&mut self, request: Request<ScriptedBody>) -> Boxed {
                self.2 = false;
                self.1.fetch_sub(1, SeqCst);
                Box::pin(self.0.call(request))
            }
        }
        let slots = Arc::new(AtomicUsize::new(0));
        contract::check_http(|| {
            let slots = slots.clone();
            layer_fn(move |inner| Slots(inner, slots.clone(), false))
        });
    }

    #[test]
    #[should_panic(expected = "its end before its last frame")]
    fn contract_rejects_body_end_before_trailers() {
        struct Hasty(ScriptedBody);
        impl Body for Hasty {
            type Data = Bytes;
            type Error = BoxError;
            fn poll_frame(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
                Pin::new(&mut self.0).poll_frame(cx)
            }
            fn is_end_stream(&self) -> bool {
                self.0.size_hint().exact() == Some(0)
            }
            fn size_hint(&self) -> SizeHint {
                self.0.size_hint()
            }
        }
        contract::check_http(|| {
            tower::util::MapResponseLayer::new(|response: Response<ScriptedBody>| {
                response.map(Hasty)
            })
        });
    }

    #[test]
    #[should_panic(expected = "did not reach the service")]
    fn contract_rejects_guard_that_rejects_second_call() {
        struct Once(AtomicUsize);
        impl Guard for Once {
            type Permit = ();
            fn on_end(&self, (): (), _: &CallEnd<'_>) {}
        }
        impl<Req> Admit<Req> for Once {
            fn admit(&self, _: &mut Req, _: &CallClock) -> Result<(), Rejection> {
                match self.0.fetch_add(1, SeqCst) {
                    0 => Ok(()),
                    _ => Err(Rejection::rate_limited("once")),
                }
            }
        }
        contract::check_guard(|| Once(AtomicUsize::new(0)));
    }
}
