//! The counts of calls, against a list of them.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::Poll,
    time::Duration,
};

use http::Request;
use http_body::Body;
use proptest::{collection::vec, prelude::*};
use tokio::time::timeout;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_keep::{
    BoxError, Guard, GuardLayer, Outcome, Rejection, Track,
    call::{CallClock, CallEnd},
    fallback::{Fallback, FallbackLayer},
    guard::Admit,
    operation,
    registry::Stat,
    testing::{CountingWaker, RecordingGuard, Reply, Script, ScriptedBody},
    timeout::{TimeLimit, TimeoutLayer},
};

use crate::support::{
    listing::listing,
    meter::{Meter, meter},
};

/// The end of a call, if it is let alone.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Answer,
    NoBody,
    Torn,
    Error,
    Hang,
    HangingBody,
    Rejected,
    PanicInCall,
    PanicInPoll,
    PanicInBody,
    PanicInDrop,
}

impl Kind {
    const ALL: [Kind; 11] = [
        Kind::Answer,
        Kind::NoBody,
        Kind::Torn,
        Kind::Error,
        Kind::Hang,
        Kind::HangingBody,
        Kind::Rejected,
        Kind::PanicInCall,
        Kind::PanicInPoll,
        Kind::PanicInBody,
        Kind::PanicInDrop,
    ];

    /// Returns whether the service comes to answer.
    fn is_answered(self) -> bool {
        use Kind::*;
        !matches!(self, Rejected | PanicInCall | PanicInPoll | PanicInDrop)
    }

    fn reply(self) -> Reply {
        let body = || ScriptedBody::from("one").pending(1);
        match self {
            Kind::Answer => Reply::ok()
                .pending(1)
                .body(body().data("two").end_after_extra_poll()),
            Kind::NoBody | Kind::Rejected => Reply::status(204),
            Kind::Torn => Reply::ok().body(body().error("reset")),
            Kind::Error => Reply::error("down").pending(1),
            Kind::Hang => Reply::hang(),
            Kind::HangingBody => Reply::ok().body(body().hang()),
            Kind::PanicInCall => Reply::panic_in_call("scripted"),
            Kind::PanicInPoll => Reply::panic_in_poll("scripted").pending(1),
            Kind::PanicInBody => Reply::ok().body(body().panic("scripted")),
            Kind::PanicInDrop => Reply::ok().pending(1).panic_in_drop("scripted"),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Begin(Kind),
    /// One of those that are in flight.
    Poll(usize),
    Drop(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => prop::sample::select(&Kind::ALL[..]).prop_map(Step::Begin),
        5 => any::<usize>().prop_map(Step::Poll),
        1 => any::<usize>().prop_map(Step::Drop),
    ]
}

/// Rejects what says so.
struct Picky;

impl Guard for Picky {
    type Permit = ();
    fn on_end(&self, (): (), _: &CallEnd<'_>) {}
}

impl<B> Admit<Request<B>> for Picky {
    fn admit(&self, request: &mut Request<B>, _: &CallClock) -> Result<(), Rejection> {
        match request.extensions().get() {
            Some(Kind::Rejected) => Err(Rejection::overloaded("picky")),
            _ => Ok(()),
        }
    }
}

enum Flight<F, B> {
    Call(Pin<Box<F>>),
    Body(Pin<Box<B>>),
    Over,
}

/// Panics are meant to be.
fn stumbling<R>(work: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

impl<F, B> Flight<F, B>
where
    F: Future<Output = Result<http::Response<B>, BoxError>>,
    B: Body,
{
    fn begin<S>(service: &mut S, kind: Kind) -> Self
    where
        S: Service<Request<ScriptedBody>, Future = F>,
    {
        let mut request = Request::new(ScriptedBody::new());
        request.extensions_mut().insert(kind);
        stumbling(|| CountingWaker::new().call(service, request)).map_or(Flight::Over, Flight::Call)
    }

    fn poll(&mut self) {
        let wakes = CountingWaker::new();
        let polled = stumbling(|| match self {
            Flight::Call(call) => wakes.poll(call.as_mut()).map(|result| match result {
                Ok(response) => Flight::Body(Box::pin(response.into_body())),
                Err(_) => Flight::Over,
            }),
            Flight::Body(body) => match wakes.poll_frame(body.as_mut()) {
                Poll::Ready(Some(Ok(_))) | Poll::Pending => Poll::Pending,
                Poll::Ready(None | Some(Err(_))) => Poll::Ready(Flight::Over),
            },
            Flight::Over => Poll::Pending,
        });
        match polled {
            Some(Poll::Pending) => {}
            Some(Poll::Ready(next)) => self.goes_on(next),
            None => self.goes_on(Flight::Over),
        }
    }

    fn goes_on(&mut self, next: Self) {
        let last = std::mem::replace(self, next);
        stumbling(|| drop(last));
    }

    fn is_over(&self) -> bool {
        match self {
            Flight::Call(_) => false,
            Flight::Body(body) => body.is_end_stream(),
            Flight::Over => true,
        }
    }
}

/// Returns how many calls are in flight by the metrics, of the tracker and of the operation.
fn in_flight(meter: &Meter) -> [f64; 2] {
    let names = ["http_server_active_requests", "operations_in_flight"];
    names.map(|name| meter.sum(name, &[]).unwrap_or(0.0))
}

/// And how many have ended with each outcome.
fn ended(meter: &Meter) -> [[f64; Outcome::ALL.len()]; 2] {
    let names = ["tower_keep_calls_total", "operation_duration_seconds_count"];
    names.map(|name| {
        let ended = |outcome: Outcome| meter.sum(name, &[("outcome", outcome.as_str())]);
        Outcome::ALL.map(|outcome| ended(outcome).unwrap_or(0.0))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn stats_match_reference_model(steps in vec(step(), 1..40)) {
        agrees(&meter(), &steps)?;
    }
}

/// Checks that every figure is what the list says, after each step.
fn agrees(meter: &Meter, steps: &[Step]) -> Result<(), TestCaseError> {
    let kinds: Vec<_> = steps
        .iter()
        .filter_map(|step| match step {
            // Never comes as far as the service.
            Step::Begin(Kind::Rejected) => None,
            Step::Begin(kind) => Some(*kind),
            _ => None,
        })
        .collect();
    let script = Script::from_fn(move |number| kinds[number].reply());
    let spy = RecordingGuard::new();
    let guards = (
        spy.clone(),
        (Track::new("listed"), (operation("listed"), Picky)),
    );
    let mut service = GuardLayer::server(guards).layer(script.clone());
    let (mut flights, mut begun) = (Vec::new(), 0);
    for &step in steps {
        match step {
            Step::Begin(kind) => {
                begun += 1;
                flights.push((kind, Flight::begin(&mut service, kind)));
            }
            Step::Poll(which) if !flights.is_empty() => {
                let which = which % flights.len();
                let (kind, flight) = &mut flights[which];
                flight.poll();
                // The body of an answer that no service has given is nobody's.
                if !kind.is_answered() && matches!(flight, Flight::Body(_)) {
                    flight.goes_on(Flight::Over);
                }
            }
            Step::Drop(which) if !flights.is_empty() => {
                let which = which % flights.len();
                flights.swap_remove(which).1.goes_on(Flight::Over);
            }
            _ => {}
        }
        flights.retain(|(_, flight)| !flight.is_over());
        prop_assert_eq!(spy.in_flight(), flights.len());
        prop_assert_eq!(in_flight(meter), [flights.len() as f64; 2]);
        prop_assert_eq!(spy.completed().len(), begun - flights.len());
    }
    flights
        .into_iter()
        .for_each(|(_, mut flight)| flight.goes_on(Flight::Over));
    prop_assert_eq!(in_flight(meter), [0.0; 2]);
    prop_assert_eq!((spy.in_flight(), script.in_flight()), (0, 0));
    let settled = spy.completed();
    for now in ended(meter) {
        for (at, outcome) in Outcome::ALL.into_iter().enumerate() {
            let times = settled.iter().filter(|end| end.outcome == outcome).count();
            prop_assert_eq!(now[at], times as f64, "{}", outcome);
        }
    }
    Ok(())
}

/// The answer of one service and how long its caller waits, in tens of milliseconds.
#[derive(Clone, Copy, Debug)]
struct Ask {
    takes: u64,
    good: bool,
    waits: u64,
}

fn ask() -> impl Strategy<Value = Ask> {
    (0..20_u64, any::<bool>(), 0..20_u64).prop_map(|(takes, good, waits)| Ask {
        takes,
        good,
        waits,
    })
}

proptest! {
    #[test]
    fn timeout_and_fallback_stats_match_model(
        asks in vec(ask(), 1..12), limit in 1..20_u64,
    ) {
        const PACE: u64 = 10;
        let time = TimeLimit::new("listed limit", Duration::from_millis(PACE * limit));
        let fallback = Fallback::new("listed fallback");
        let replies = asks.clone().into_iter().map(|ask| {
            let reply = if ask.good { Reply::ok() } else { Reply::error("down") };
            reply.after(Duration::from_millis(PACE * ask.takes))
        });
        let script: Script = Script::new(replies);
        let service = ServiceBuilder::new()
            .layer(FallbackLayer::client(fallback.clone()).with(|_| {
                http::Response::new(ScriptedBody::new())
            }))
            .layer(TimeoutLayer::client(time.clone()))
            .service(script.clone());
        let (mut late, mut served) = (0, 0);
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().expect("a runtime");
        for ask in asks {
            // Between two steps of everybody else's.
            let waits = Duration::from_millis(PACE * ask.waits + PACE / 2);
            let call = service.clone().oneshot(Request::new(ScriptedBody::new()));
            let answer = runtime.block_on(async { timeout(waits, call).await });
            let is_late = ask.takes > limit;
            let is_awaited = ask.takes.min(limit) <= ask.waits;
            prop_assert_eq!(answer.is_ok(), is_awaited);
            late += u64::from(is_awaited && is_late);
            served += u64::from(is_awaited && (is_late || !ask.good));
            prop_assert_eq!((time.timeout_count(), time.rejected_count()), (late, 0));
            let all = listing().snapshots();
            let shown = all.iter().find(|guard| guard.name() == "listed fallback");
            let shown = shown.and_then(|guard| guard.stat("served"));
            prop_assert_eq!(shown, Some(&Stat::Count(served)));
        }
        prop_assert_eq!(script.in_flight(), 0);
    }
}
