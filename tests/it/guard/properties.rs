//! The rules for every call, whatever strangers send, services do and callers give up.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    task::Poll,
};

use http::{HeaderName, HeaderValue, Method, Request, Version};
use http_body::Body;
use proptest::{collection::vec, option, prelude::*, sample::select};
use tower::Layer;
use tower_keep::{
    BoxError, GuardLayer,
    Outcome::{self, *},
    call::{Evidence, GrpcCode},
    observe,
    testing::{CountingWaker, RecordedEnd, RecordingGuard, Reply, Script, ScriptedBody},
};

proptest! {
    #[test]
    fn grpc_code_parses_any_bytes(bytes: Vec<u8>) {
        let code = GrpcCode::parse(&bytes);
        prop_assert!(code.as_u8() <= 16 && !code.as_str().is_empty());
        let exact = code.as_u8().to_string().into_bytes() == bytes;
        prop_assert!(exact || code == GrpcCode::UNKNOWN);
    }

    #[test]
    fn grpc_code_round_trips(number in 0..=u8::MAX) {
        let code = GrpcCode::parse(number.to_string().as_bytes());
        prop_assert_eq!(code.as_u8(), if number <= 16 { number } else { 2 });
        prop_assert_eq!(GrpcCode::parse(code.as_u8().to_string().as_bytes()), code);
    }

    #[test]
    fn call_completes_once_for_any_headers(
        asked in vec(header(), 0..8), answered in vec(header(), 0..8), trailers in vec(header(), 0..4),
    ) {
        let mut request = post();
        request.headers_mut().extend(asked);
        let reply = move || {
            let body = ScriptedBody::from("hello").trailers(trailers.clone());
            answered.iter().cloned().fold(Reply::ok().body(body), |reply, (name, value)| {
                reply.header(name, value)
            })
        };
        let (spy, script) = (RecordingGuard::new(), Script::<BoxError>::always(reply));
        let service = observe("wild").server().layer(script.clone());
        let mut service = GuardLayer::server(spy.clone()).layer(service);
        let wakes = CountingWaker::new();
        let mut future = wakes.call(&mut service, request);
        let Poll::Ready(Ok(response)) = wakes.poll(future.as_mut()) else {
            return Err(TestCaseError::fail("no answer"));
        };
        let mut body = Box::pin(response.into_body());
        while let Poll::Ready(Some(frame)) = wakes.poll_frame(body.as_mut()) {
            prop_assert!(frame.is_ok());
        }
        drop(body);
        let settled = spy.single();
        prop_assert_ne!(settled.outcome, Panicked);
        // It was read to its end.
        prop_assert!(settled.outcome != Cancelled || settled.grpc_code == Some(GrpcCode::CANCELLED));
        prop_assert_eq!(script.in_flight(), 0);
    }

    #[test]
    fn call_completes_once_with_expected_outcome(call in call(), polls in 0..12_usize) {
        for server in [true, false] {
            let (outcome, evidence, bytes) = call.expected(polls, server);
            let settled = call.play(polls, server);
            prop_assert_eq!(settled.outcome, outcome, "{:?}", &settled);
            prop_assert_eq!(settled.evidence, evidence, "{:?}", &settled);
            prop_assert_eq!(settled.response_bytes, bytes);
        }
    }
}

/// Makes a request that may be gRPC.
fn post() -> Request<ScriptedBody> {
    let mut request = Request::new(ScriptedBody::new());
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    request
}

/// Headers that the classification of a call reads, with anything in them.
fn header() -> impl Strategy<Value = (HeaderName, HeaderValue)> {
    const NAMES: [&str; 9] = [
        "content-type",
        "grpc-status",
        "grpc-message",
        "grpc-timeout",
        "content-length",
        "x-request-id",
        "x-correlation-id",
        "traceparent",
        "baggage",
    ];
    const VALUES: [&str; 8] = [
        "application/grpc",
        "application/grpc-web",
        "0",
        "14",
        "5S",
        "99999999H",
        "%41%",
        "18446744073709551616",
    ];
    let value = prop_oneof![
        select(&VALUES[..]).prop_map(HeaderValue::from_static),
        vec(
            select((b' '..=b'~').chain(128..=255).collect::<Vec<_>>()),
            0..12
        )
        .prop_map(|bytes| HeaderValue::from_bytes(&bytes).expect("what HTTP allows")),
    ];
    (select(&NAMES[..]), value).prop_map(|(name, value)| (HeaderName::from_static(name), value))
}

/// A call, as it can be made up and foretold.
#[derive(Clone, Debug)]
struct Call {
    content_type: &'static str,
    status: u16,
    /// The gRPC code in the headers.
    code: Option<u8>,
    content_length: Option<u64>,
    /// The exact size hint of the body, if it has one.
    size: Option<u64>,
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    Data(u8),
    Pending,
    /// The gRPC code in the trailers.
    Trailers(Option<u8>),
    Error,
    Panic,
    End,
}

fn call() -> impl Strategy<Value = Call> {
    let content_type = select(&["", "application/grpc", "application/grpc-web"][..]);
    let statuses = [200, 200, 200, 204, 304, 404, 429, 500, 503, 504];
    let data = prop_oneof![
        3 => (0..4_u8).prop_map(Step::Data),
        1 => Just(Step::Pending),
    ];
    let end = prop_oneof![
        3 => option::of(0..17_u8).prop_map(Step::Trailers),
        1 => Just(Step::Error),
        1 => Just(Step::Panic),
        2 => Just(Step::End),
    ];
    let steps = (vec(data, 0..5), option::of(end))
        .prop_map(|(steps, end)| steps.into_iter().chain(end).collect::<Vec<_>>());
    let length = || option::of(0..8_u64);
    let code = option::weighted(0.3, 0..17_u8);
    (
        content_type,
        select(statuses.to_vec()),
        code,
        length(),
        length(),
        steps,
    )
        .prop_map(
            |(content_type, status, code, content_length, size, steps)| Call {
                content_type,
                status,
                code,
                content_length,
                size,
                steps,
            },
        )
}

impl Call {
    fn body(&self) -> ScriptedBody {
        let body = match self.size {
            Some(size) => ScriptedBody::new().declared_size(size),
            None => ScriptedBody::new().without_size_hint(),
        };
        self.steps.iter().fold(body, |body, step| match step {
            Step::Data(bytes) => body.data(vec![b'x'; usize::from(*bytes)]),
            Step::Pending => body.pending(1),
            Step::Trailers(code) => {
                body.trailers(code.map(|code| ("grpc-status", code.to_string())))
            }
            Step::Error => body.error("reset"),
            Step::Panic => body.panic("boom"),
            Step::End => body.end_after_extra_poll(),
        })
    }

    fn reply(&self) -> Reply {
        let mut reply = Reply::status(self.status).header("content-type", self.content_type);
        if let Some(code) = self.code {
            reply = reply.header("grpc-status", code.to_string());
        }
        if let Some(length) = self.content_length {
            reply = reply.header("content-length", length.to_string());
        }
        reply.body(self.body())
    }

    /// Polls the body so many times, and drops it.
    fn play(&self, polls: usize, server: bool) -> RecordedEnd {
        let (call, spy) = (self.clone(), RecordingGuard::new());
        let script = Script::always(move || call.reply());
        let mut request = post();
        let content_type = HeaderValue::from_static(self.content_type);
        request.headers_mut().insert("content-type", content_type);
        let guards = (
            spy.clone(),
            (
                None::<RecordingGuard>,
                (RecordingGuard::new(), RecordingGuard::new()),
            ),
        );
        match server {
            true => poll(
                &mut GuardLayer::server(guards).layer(script.clone()),
                request,
                polls,
            ),
            false => poll(
                &mut GuardLayer::client(guards).layer(script.clone()),
                request,
                polls,
            ),
        }
        assert_eq!(script.in_flight(), 0);
        spy.single()
    }

    /// Outcome, evidence, and the bytes that are handed on, by the book.
    fn expected(&self, polls: usize, server: bool) -> (Outcome, Evidence, u64) {
        let grpc = self.content_type == "application/grpc";
        let code = self.code.filter(|_| !self.content_type.is_empty());
        let classified = code.map_or_else(|| by_status(self.status), by_code);
        let bodiless = matches!(self.status, 204 | 304);
        let awaited = !self.content_type.is_empty() && code.is_none() && self.status < 400;
        let with = |outcome, sent| (outcome, evidence(outcome), sent);
        if bodiless && !awaited || grpc && code.is_some() {
            return with(classified, 0);
        }
        let ended = |sent| {
            let wrong = awaited || self.content_length.is_some_and(|length| length != sent);
            with(
                if classified == Success && wrong {
                    Failure
                } else {
                    classified
                },
                sent,
            )
        };
        if self.steps.is_empty() {
            return ended(0);
        }
        let (mut sent, mut waiting) = (0, false);
        for (polled, step) in (1..).zip(&self.steps).take(polls) {
            waiting = false;
            match step {
                Step::Data(bytes) => {
                    sent += u64::from(*bytes);
                    if polled == self.steps.len() {
                        return ended(sent);
                    }
                }
                // It does not know that it is over before one more poll.
                Step::Pending if polled == self.steps.len() && polled < polls => {
                    return ended(sent);
                }
                Step::Pending => waiting = true,
                Step::Trailers(Some(code)) if awaited => return with(by_code(*code), sent),
                Step::Trailers(_) => return ended(sent),
                Step::Error => return with(Failure, sent),
                Step::Panic => return with(Panicked, sent),
                Step::End => return ended(sent),
            }
        }
        let promised = self.content_length.or(self.size);
        let too_long = self.content_length.is_some_and(|length| sent > length);
        match classified {
            Success if too_long => with(Failure, sent),
            Success if !awaited && promised == Some(sent) => with(Success, sent),
            Success if !server && !waiting => with(Success, sent),
            Success => (Cancelled, Evidence::Healthy, sent),
            bad => with(bad, sent),
        }
    }
}

fn evidence(outcome: Outcome) -> Evidence {
    match outcome {
        Success | ClientError => Evidence::Healthy,
        Failure | Overload | TimedOut | Panicked => Evidence::Unhealthy,
        Cancelled | Rejected => Evidence::Inconclusive,
    }
}

fn by_status(status: u16) -> Outcome {
    match status {
        404 => ClientError,
        429 | 503 => Overload,
        500 => Failure,
        504 => TimedOut,
        _ => Success,
    }
}

fn by_code(code: u8) -> Outcome {
    match code {
        0 => Success,
        1 => Cancelled,
        2 | 13 | 14 | 15 => Failure,
        4 => TimedOut,
        8 => Overload,
        _ => ClientError,
    }
}

fn poll<S, B>(service: &mut S, request: Request<ScriptedBody>, polls: usize)
where
    S: tower::Service<Request<ScriptedBody>, Response = http::Response<B>, Error = BoxError>,
    B: Body,
{
    let wakes = CountingWaker::new();
    let mut future = wakes.call(service, request);
    let Poll::Ready(Ok(response)) = wakes.poll(future.as_mut()) else {
        panic!("no answer");
    };
    let mut body = Box::pin(response.into_body());
    for _ in 0..polls {
        let polled = catch_unwind(AssertUnwindSafe(|| wakes.poll_frame(body.as_mut())));
        if polled.is_err() {
            break;
        }
    }
}
