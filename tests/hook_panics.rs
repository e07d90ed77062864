//! Code that is not ours may panic: hooks of guards, classifiers, recorders, subscribers. No call is the worse for
//! it, every guard still settles exactly once, and the panic is counted.
//!
//! In a process of its own, in which nothing else adds to `hook_panics`.

use std::{
    panic::resume_unwind,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    task::Poll,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use tower::{Layer, Service};
use tower_keep::{
    BoxError, CircuitBreaker, ErrorTracker, Guard, GuardLayer, Outcome, Rejection, Track,
    breaker::CircuitState,
    call::{CallClock, CallEnd, ClassifyInput},
    context::Correlate,
    guard::{Admit, Head},
    hook_panics, operation,
    testing::{CountingWaker, RecordingGuard, Reply, Script, ScriptedBody},
};
use tracing::{Event, Metadata as TracingMetadata, Subscriber, span};

/// Where a guard panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hook {
    Admit,
    BeforePoll,
    AfterPoll,
    Head,
    Settle,
    Unready,
}

/// A guard that panics in one of its hooks.
struct Clumsy(Hook);

impl Clumsy {
    fn reach(&self, hook: Hook) {
        if self.0 == hook {
            // Says nothing on the way, unlike `panic!`.
            resume_unwind(Box::new("clumsy"));
        }
    }
}

/// The open scope of a guard that may panic when it closes.
struct Leave<'a>(&'a Clumsy);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.reach(Hook::AfterPoll);
    }
}

impl Guard for Clumsy {
    type Permit = ();
    fn enter(&self, (): &mut ()) -> impl Sized {
        self.reach(Hook::BeforePoll);
        Leave(self)
    }
    fn on_head(&self, (): &mut (), _: &mut Head<'_>) {
        self.reach(Hook::Head);
    }
    fn on_end(&self, (): (), _: &CallEnd<'_>) {
        self.reach(Hook::Settle);
    }
    fn on_not_ready(&self) {
        self.reach(Hook::Unready);
    }
}
impl<Req> Admit<Req> for Clumsy {
    fn admit(&self, _: &mut Req, _: &CallClock) -> Result<(), Rejection> {
        self.reach(Hook::Admit);
        Ok(())
    }
}

#[test]
fn hook_panic_leaves_call_and_neighbors_unchanged() {
    for hook in [
        Hook::Admit,
        Hook::BeforePoll,
        Hook::AfterPoll,
        Hook::Head,
        Hook::Settle,
    ] {
        let (outer, inner, script) = (RecordingGuard::new(), RecordingGuard::new(), good());
        let guards = (outer.clone(), (Clumsy(hook), inner.clone()));
        let layer = GuardLayer::server(guards);
        let panics = counted(|| assert_eq!(play(layer.layer(script.clone())), "hello"));
        assert!(panics > 0, "{hook:?}");
        assert_eq!(outer.single().outcome, Outcome::Success, "{hook:?}");
        assert_eq!(inner.single().outcome, Outcome::Success, "{hook:?}");
        assert_eq!(
            (outer.heads().len(), inner.heads().len()),
            (1, 1),
            "{hook:?}"
        );
        assert_eq!(script.in_flight(), 0, "{hook:?}");
    }
}

#[test]
fn hook_panic_of_single_guard_is_contained() {
    for hook in [
        Hook::Admit,
        Hook::BeforePoll,
        Hook::AfterPoll,
        Hook::Head,
        Hook::Settle,
    ] {
        for option in [true, false] {
            let script = good();
            let panics = counted(|| {
                let body = match option {
                    true => play(GuardLayer::server(Some(Clumsy(hook))).layer(script.clone())),
                    false => play(GuardLayer::client(Clumsy(hook)).layer(script.clone())),
                };
                assert_eq!(body, "hello", "{hook:?}");
            });
            assert!(panics > 0, "{hook:?}");
            assert_eq!(script.in_flight(), 0, "{hook:?}");
        }
    }
}

#[test]
fn hook_panic_is_counted_once() {
    for hook in [Hook::Admit, Hook::Head, Hook::Settle] {
        let layer = GuardLayer::server((RecordingGuard::new(), Clumsy(hook)));
        assert_eq!(counted(|| drop(play(layer.layer(good())))), 1, "{hook:?}");
    }
}

#[test]
fn service_panic_differs_from_hook_panic() {
    for hook in [Hook::BeforePoll, Hook::AfterPoll, Hook::Head, Hook::Settle] {
        let (outer, inner) = (RecordingGuard::new(), RecordingGuard::new());
        let script = Script::always(|| Reply::panic_in_poll("boom"));
        let layer = GuardLayer::server((outer.clone(), (Clumsy(hook), inner.clone())));
        let panics = counted(|| drop(play(layer.layer(script.clone()))));
        assert!(panics > 0, "{hook:?}");
        assert_eq!(outer.single().outcome, Outcome::Panicked, "{hook:?}");
        assert_eq!(
            inner.single().cause.as_deref(),
            Some("panic: boom"),
            "{hook:?}"
        );
    }
}

#[test]
fn hook_panic_in_dropped_call_leaves_none_in_flight() {
    for hook in [Hook::BeforePoll, Hook::AfterPoll, Hook::Head, Hook::Settle] {
        let (outer, inner) = (RecordingGuard::new(), RecordingGuard::new());
        let script = Script::<BoxError>::always(Reply::hang);
        let layer = GuardLayer::server((outer.clone(), (Clumsy(hook), inner.clone())));
        let mut service = layer.layer(script.clone());
        counted(|| {
            drop(CountingWaker::new().call(&mut service, Request::new(ScriptedBody::new())))
        });
        assert_eq!(outer.single().outcome, Outcome::Cancelled, "{hook:?}");
        assert_eq!(inner.single().outcome, Outcome::Cancelled, "{hook:?}");
        assert_eq!(script.in_flight(), 0, "{hook:?}");

        let outer = RecordingGuard::new();
        let rejecting = RecordingGuard::rejecting(Rejection::overloaded("shed"));
        let layer = GuardLayer::server((outer.clone(), (Clumsy(hook), rejecting)));
        counted(|| drop(play(layer.layer(good()))));
        assert_eq!(outer.single().outcome, Outcome::Rejected, "{hook:?}");
    }
}

#[test]
fn hook_panic_in_on_not_ready_spares_other_guards() {
    let (outer, inner) = (RecordingGuard::new(), RecordingGuard::new());
    let script = Script::always(Reply::ok).fails_ready(|| BoxError::from("gone"));
    let guards = (outer.clone(), (Clumsy(Hook::Unready), inner.clone()));
    let mut service = GuardLayer::server(guards).layer(script);
    let panics = counted(|| {
        let ready = CountingWaker::new().poll_ready::<Request<ScriptedBody>, _>(&mut service);
        assert!(matches!(ready, Poll::Ready(Err(error)) if error.to_string() == "gone"));
    });
    assert_eq!(
        (
            outer.readiness_failures(),
            inner.readiness_failures(),
            panics
        ),
        (1, 1, 1)
    );
}

#[test]
fn classifier_panic_is_a_failure() {
    fn clumsy(_: &ClassifyInput<'_>) -> Outcome {
        resume_unwind(Box::new("clumsy"))
    }
    let spy = RecordingGuard::new();
    let layer = GuardLayer::server(spy.clone()).classify(clumsy);
    assert_eq!(
        counted(|| assert_eq!(play(layer.layer(good())), "hello")),
        1
    );
    assert_eq!(spy.single().outcome, Outcome::Failure);

    let spy = RecordingGuard::new();
    let layer = GuardLayer::any(spy.clone()).classify(clumsy);
    let mut service = layer.layer(good());
    let panics = counted(|| {
        let wakes = CountingWaker::new();
        let mut future = wakes.call(&mut service, "a request");
        assert!(wakes.poll(future.as_mut()).is_pending());
        assert!(matches!(wakes.poll(future.as_mut()), Poll::Ready(Ok(_))));
    });
    assert_eq!((panics, spy.single().outcome), (1, Outcome::Failure));
}

// ---- a recorder that panics

/// Panics when a metric is registered, or when it is used.
struct ClumsyRecorder {
    when_registered: bool,
}

struct ClumsyMetric;

fn clumsy() -> ! {
    resume_unwind(Box::new("clumsy"))
}

impl CounterFn for ClumsyMetric {
    fn increment(&self, _: u64) {
        clumsy()
    }
    fn absolute(&self, _: u64) {
        clumsy()
    }
}
impl GaugeFn for ClumsyMetric {
    fn increment(&self, _: f64) {
        clumsy()
    }
    fn decrement(&self, _: f64) {
        clumsy()
    }
    fn set(&self, _: f64) {
        clumsy()
    }
}
impl HistogramFn for ClumsyMetric {
    fn record(&self, _: f64) {
        clumsy()
    }
}

impl ClumsyRecorder {
    fn registered(&self) -> Arc<ClumsyMetric> {
        if self.when_registered {
            clumsy()
        }
        Arc::new(ClumsyMetric)
    }
}

impl Recorder for ClumsyRecorder {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.registered())
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.registered())
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.registered())
    }
}

#[test]
fn recorder_panic_is_contained() {
    for when_registered in [true, false] {
        let recorder = ClumsyRecorder { when_registered };
        let (outer, inner, errors) = (
            RecordingGuard::new(),
            RecordingGuard::new(),
            ErrorTracker::default(),
        );
        let track = Track::builder("clumsy")
            .errors(errors.clone())
            .build()
            .unwrap();
        let operation = operation("clumsy").errors(errors.clone());
        let guards = (outer.clone(), (track, (operation, inner.clone())));
        let script = Script::always(|| Reply::status(500).data("oh"));
        let panics = counted(|| {
            metrics::with_local_recorder(&recorder, || {
                assert_eq!(play(GuardLayer::server(guards).layer(script.clone())), "oh");
            });
        });
        assert!(panics > 0, "registered: {when_registered}");
        assert_eq!(outer.single().outcome, Outcome::Failure);
        assert_eq!(inner.single().outcome, Outcome::Failure);
        assert_eq!(
            errors.total(),
            2,
            "the error is recorded all the same, by both"
        );
    }
}

// ---- a subscriber that panics

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    NewSpan,
    Record,
    Event,
    Enter,
    Exit,
    CloseSpan,
}

/// Panics at one of the things that it is told.
struct ClumsySubscriber {
    at: &'static [Told],
    on: Arc<AtomicBool>,
    spans: AtomicU64,
}

impl ClumsySubscriber {
    fn reach(&self, told: Told) {
        if self.at.contains(&told) && self.on.load(SeqCst) {
            clumsy()
        }
    }
}

impl Subscriber for ClumsySubscriber {
    fn enabled(&self, _: &TracingMetadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        self.reach(Told::NewSpan);
        span::Id::from_u64(self.spans.fetch_add(1, SeqCst) + 1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {
        self.reach(Told::Record);
    }
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, _: &Event<'_>) {
        self.reach(Told::Event);
    }
    fn enter(&self, _: &span::Id) {
        self.reach(Told::Enter);
    }
    fn exit(&self, _: &span::Id) {
        self.reach(Told::Exit);
    }
    fn try_close(&self, _: span::Id) -> bool {
        self.reach(Told::CloseSpan);
        true
    }
}

#[test]
fn subscriber_panic_is_contained() {
    let all: [&'static [Told]; 7] = [
        &[Told::NewSpan],
        &[Told::Record],
        &[Told::Event],
        &[Told::Enter],
        &[Told::Exit],
        &[Told::CloseSpan],
        // The second met the unwinding of the first, which ended the process.
        &[Told::Event, Told::Exit],
    ];
    for at in all {
        let on = Arc::new(AtomicBool::new(true));
        let subscriber = ClumsySubscriber {
            at,
            on: on.clone(),
            spans: AtomicU64::new(0),
        };
        let (outer, inner, errors) = (
            RecordingGuard::new(),
            RecordingGuard::new(),
            ErrorTracker::default(),
        );
        let track = Track::builder("clumsy")
            .errors(errors.clone())
            .build()
            .unwrap();
        let operation = operation("clumsy").errors(errors.clone());
        let guards = (
            outer.clone(),
            (Correlate::default(), (track, (operation, inner.clone()))),
        );
        let script = Script::always(|| Reply::status(500).data("oh"));
        let panics = counted(|| {
            tracing::subscriber::with_default(subscriber, || {
                assert_eq!(play(GuardLayer::server(guards).layer(script.clone())), "oh");
                on.store(false, SeqCst);
            });
        });
        assert!(panics > 0, "{at:?}");
        assert_eq!(outer.single().outcome, Outcome::Failure, "{at:?}");
        assert_eq!(inner.single().outcome, Outcome::Failure, "{at:?}");
        assert_eq!(
            errors.total(),
            2,
            "{at:?}: the error is recorded all the same, by both"
        );
    }
}

#[test]
fn transition_hook_panic_is_counted_and_changes_nothing() {
    let breaker = CircuitBreaker::builder("clumsy")
        .on_transition(|_| resume_unwind(Box::new("clumsy")))
        .build()
        .unwrap();
    let mut transitions = breaker.subscribe();
    let panics = counted(|| {
        breaker.force_open();
        breaker.reset();
    });
    assert_eq!(panics, 2);
    assert_eq!(breaker.state(), CircuitState::Closed);
    let numbers = std::iter::from_fn(|| transitions.try_recv().ok().map(|it| it.number));
    assert_eq!(numbers.collect::<Vec<_>>(), [1, 2]);
}

/// It was entered once more at admission and at the end, with nothing to do inside.
#[test]
fn last_guard_is_entered_for_the_service_only() {
    let (outer, inner) = (RecordingGuard::new(), RecordingGuard::new());
    let layer = GuardLayer::server((outer.clone(), inner.clone()));
    assert_eq!(play(layer.layer(good())), "hello");
    // The call, two polls of the future, two frames.
    assert_eq!(inner.single().times_entered, 5);
    // The other guard's admission, head and end as well.
    assert_eq!(outer.single().times_entered, 8);
}

// ---- helpers

fn good() -> Script {
    Script::always(|| Reply::ok().pending(1).data("hel").data("lo"))
}

/// How many hooks panic meanwhile: one number for the process, so one test at a time.
fn counted(work: impl FnOnce()) -> u64 {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = hook_panics();
    work();
    hook_panics() - before
}

/// Plays one call to its end, and gives the body.
fn play<S, B>(mut service: S) -> String
where
    S: Service<Request<ScriptedBody>, Response = Response<B>, Error = BoxError>,
    B: Body<Data = Bytes, Error = BoxError>,
{
    let wakes = CountingWaker::new();
    let mut future = wakes.call(&mut service, Request::new(ScriptedBody::new()));
    let response = loop {
        if let Poll::Ready(result) = wakes.poll(future.as_mut()) {
            break result.expect("an answer");
        }
    };
    let (mut body, mut data) = (Box::pin(response.into_body()), Vec::new());
    while let Poll::Ready(Some(frame)) = wakes.poll_frame(body.as_mut()) {
        data.extend_from_slice(&frame.expect("a frame").into_data().expect("data"));
    }
    String::from_utf8(data).expect("text")
}
