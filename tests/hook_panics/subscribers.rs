//! A subscriber of `tracing`, and one of transitions.

use std::{
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
};

use tower::Layer;
use tower_keep::{
    CircuitBreaker, ErrorTracker, GuardLayer, Outcome, Track,
    breaker::CircuitState,
    context::Correlate,
    operation,
    testing::{RecordingGuard, Reply, Script},
};
use tracing::{Event, Metadata, Subscriber, span};

use super::{clumsy, counted, play};

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
    fn enabled(&self, _: &Metadata<'_>) -> bool {
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
    crate::callsites::ask_all_subscribers();
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
