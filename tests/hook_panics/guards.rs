//! Hooks of guards, and a classifier.

use std::{panic::resume_unwind, task::Poll};

use http::Request;
use tower::Layer;
use tower_keep::{
    BoxError, Guard, GuardLayer, Outcome, Rejection,
    call::{CallClock, CallEnd, ClassifyInput},
    guard::{Admit, Head},
    testing::{CountingWaker, RecordingGuard, Reply, Script, ScriptedBody},
};

use super::{counted, good, play};

/// The hook in which a guard panics.
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
