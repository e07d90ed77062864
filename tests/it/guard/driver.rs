//! A call is played, and what came of it is seen.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    task::Poll,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use metrics_exporter_prometheus::PrometheusBuilder;
use tower::{Layer, Service};
use tower_keep::{
    BoxError, ErrorTracker, GuardLayer, Outcome, Track,
    call::Evidence,
    protocol::WireFormat,
    testing::{CountingWaker, RecordedEnd, RecordingGuard, Reply, ScriptedBody},
};

use super::requests::scripted;

/// More polls than any call here needs.
pub const LONG: usize = 20;

/// The point up to which a call is followed before it is dropped.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// To the end of its body.
    End,
    /// So many polls of its future.
    Polls(usize),
    /// So many polls of its body.
    Frames(usize),
}

/// The view that the caller had of a call, and how it settled.
#[derive(Debug, Default)]
pub struct Seen {
    pub head: Option<http::response::Parts>,
    pub data: Vec<u8>,
    pub trailers: Option<HeaderMap>,
    pub error: Option<String>,
    pub panic: Option<String>,
    pub settled: Option<RecordedEnd>,
}

impl Seen {
    #[track_caller]
    pub fn status(&self) -> u16 {
        self.head.as_ref().expect("a head").status.as_u16()
    }

    #[track_caller]
    pub fn settled(&self) -> &RecordedEnd {
        self.settled.as_ref().expect("a settlement")
    }

    /// Does what may panic.
    pub fn attempt<T>(&mut self, step: impl FnOnce() -> T) -> Option<T> {
        match catch_unwind(AssertUnwindSafe(step)) {
            Ok(value) => Some(value),
            Err(payload) => {
                let message = payload.downcast_ref::<&str>().map_or("?", |text| text);
                self.panic.get_or_insert_with(|| message.to_owned());
                None
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Server,
    Client,
    GrpcClient,
}

/// Plays the same call through a server's and a client's guards, and those of a gRPC client if it speaks gRPC.
pub fn on_each_side(call: Call, check: impl Fn(Side, Seen)) {
    for side in [Side::Server, Side::Client, Side::GrpcClient] {
        if side != Side::GrpcClient || WireFormat::from_request(&(call.request)()).is_grpc() {
            check(side, on(side, &call));
        }
    }
}

/// One call to be played.
#[derive(Clone, Copy)]
pub struct Call {
    pub request: fn() -> Request<ScriptedBody>,
    pub reply: fn() -> Reply,
    pub until: Until,
}

pub fn call(request: fn() -> Request<ScriptedBody>, reply: fn() -> Reply, until: Until) -> Call {
    Call {
        request,
        reply,
        until,
    }
}

/// Plays a call through a tracker between two spies: all three must be told the same, exactly once.
pub fn on(side: Side, call: &Call) -> Seen {
    let recorder = PrometheusBuilder::new().build_recorder();
    let (outer, inner, errors) = (
        RecordingGuard::new(),
        RecordingGuard::new(),
        ErrorTracker::default(),
    );
    let script = scripted(call.reply);
    let track = Track::builder("it").errors(errors.clone()).build().unwrap();
    let (track, active) = match side {
        Side::Server => (track, "http_server_active_requests{"),
        _ => (track, "http_client_active_requests{"),
    };
    let guards = (outer.clone(), (track, inner.clone()));
    let mut seen = metrics::with_local_recorder(&recorder, || match side {
        Side::Server => play(GuardLayer::server(guards).layer(script.clone()), call),
        Side::Client => play(GuardLayer::client(guards).layer(script.clone()), call),
        Side::GrpcClient => play(GuardLayer::grpc_client(guards).layer(script.clone()), call),
    });
    let settled = outer.single();
    let inner = inner.single();
    assert_eq!(settled.outcome, inner.outcome, "{side:?}");
    assert_eq!(settled.evidence, inner.evidence, "{side:?}");
    assert_eq!(script.in_flight(), 0, "{side:?}");
    assert_eq!(
        errors.total(),
        u64::from(settled.outcome.is_error()),
        "{side:?}"
    );
    let metrics = recorder.handle().render();
    let counted = |name: &str| -> Vec<&str> {
        metrics
            .lines()
            .filter(|line| line.starts_with(name))
            .collect()
    };
    let [calls] = counted("tower_keep_calls_total{")[..] else {
        panic!("{side:?}: {metrics}");
    };
    assert!(
        calls.ends_with(" 1") && calls.contains(settled.outcome.as_str()),
        "{calls}"
    );
    let [active] = counted(active)[..] else {
        panic!("{side:?}: {metrics}");
    };
    assert!(active.ends_with(" 0"), "{active}");
    seen.settled = Some(settled);
    seen
}

pub fn play<S, B>(mut service: S, call: &Call) -> Seen
where
    S: Service<Request<ScriptedBody>, Response = Response<B>, Error = BoxError>,
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let mut seen = Seen::default();
    if let Some(body) = play_head(&mut service, call, &mut seen) {
        play_body(body, call.until, &mut seen);
    }
    seen
}

fn play_head<S, B>(service: &mut S, call: &Call, seen: &mut Seen) -> Option<B>
where
    S: Service<Request<ScriptedBody>, Response = Response<B>, Error = BoxError>,
{
    let wakes = CountingWaker::new();
    let mut future = seen.attempt(|| wakes.call(service, (call.request)()))?;
    let polls = match call.until {
        Until::Polls(polls) => polls,
        _ => LONG,
    };
    let polled = (0..polls).find_map(|_| {
        let polled = seen.attempt(|| wakes.poll(future.as_mut()));
        match polled {
            Some(Poll::Pending) => None,
            Some(Poll::Ready(result)) => Some(Some(result)),
            None => Some(None),
        }
    });
    seen.attempt(|| drop(future));
    match polled?? {
        Ok(response) => {
            let (head, body) = response.into_parts();
            seen.head = Some(head);
            Some(body)
        }
        Err(error) => {
            seen.error = Some(error.to_string());
            None
        }
    }
}

fn play_body<B>(body: B, until: Until, seen: &mut Seen)
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let (wakes, mut body) = (CountingWaker::new(), Box::pin(body));
    let polls = match until {
        Until::Frames(polls) => polls,
        _ => LONG,
    };
    for _ in 0..polls {
        match seen.attempt(|| wakes.poll_frame(body.as_mut())) {
            Some(Poll::Pending) => {}
            Some(Poll::Ready(Some(Ok(frame)))) => match frame.into_data() {
                Ok(data) => seen.data.extend_from_slice(&data),
                Err(frame) => seen.trailers = frame.into_trailers().ok(),
            },
            Some(Poll::Ready(Some(Err(error)))) => {
                // A caller that goes on polling learns no more.
                seen.error.get_or_insert(error.into().to_string());
            }
            Some(Poll::Ready(None)) | None => break,
        }
    }
    seen.attempt(|| drop(body));
}

/// Outcome and evidence of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected(pub Outcome, pub Evidence);

/// The evidence that goes with most calls of an outcome.
impl From<Outcome> for Expected {
    fn from(outcome: Outcome) -> Self {
        let evidence = match outcome {
            Outcome::Success | Outcome::ClientError => Evidence::Healthy,
            Outcome::Failure | Outcome::Overload | Outcome::TimedOut | Outcome::Panicked => {
                Evidence::Unhealthy
            }
            Outcome::Cancelled | Outcome::Rejected => Evidence::Inconclusive,
        };
        Expected(outcome, evidence)
    }
}

impl From<(Outcome, Evidence)> for Expected {
    fn from((outcome, evidence): (Outcome, Evidence)) -> Self {
        Expected(outcome, evidence)
    }
}

pub struct Row {
    name: &'static str,
    call: Call,
    server: Expected,
    client: Expected,
    grpc_client: Expected,
    cause: Option<&'static str>,
    bytes: Option<u64>,
}

pub fn row(
    name: &'static str,
    request: fn() -> Request<ScriptedBody>,
    reply: fn() -> Reply,
    expected: impl Into<Expected>,
) -> Row {
    let expected = expected.into();
    Row {
        name,
        call: call(request, reply, Until::End),
        server: expected,
        client: expected,
        grpc_client: expected,
        cause: None,
        bytes: None,
    }
}

impl Row {
    pub fn on_clients(self, expected: impl Into<Expected>) -> Self {
        let expected = expected.into();
        let row = Row {
            client: expected,
            ..self
        };
        row.on_grpc_clients(expected)
    }
    pub fn on_grpc_clients(mut self, expected: impl Into<Expected>) -> Self {
        self.grpc_client = expected.into();
        self
    }
    pub fn with_cause(mut self, cause: &'static str) -> Self {
        self.cause = Some(cause);
        self
    }
    pub fn with_bytes(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }
    pub fn dropped(mut self, until: Until) -> Self {
        self.call.until = until;
        self
    }
    pub fn dropped_unread(self) -> Self {
        self.dropped(Until::Frames(0))
    }
}

#[track_caller]
pub fn table(rows: &[Row]) {
    for row in rows {
        on_each_side(row.call, |side, seen| {
            let what = format!("{}, {side:?}", row.name);
            let expected = match side {
                Side::Server => row.server,
                Side::Client => row.client,
                Side::GrpcClient => row.grpc_client,
            };
            let settled = seen.settled();
            let got = Expected(settled.outcome, settled.evidence);
            assert_eq!(got, expected, "{what}: {settled:?}");
            if let Some(cause) = row.cause {
                assert_eq!(settled.cause.as_deref(), Some(cause), "{what}");
            }
            if let Some(bytes) = row.bytes {
                assert_eq!(settled.response_bytes, bytes, "{what}");
            }
        });
    }
}
