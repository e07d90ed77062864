//! The readings of the clock: who, and how often.

use std::sync::{Arc, Mutex};

use http::Request;
use tokio::time::Instant;
use tower::Layer;
use tower_keep::{
    Guard, GuardLayer,
    Outcome::*,
    Rejection, Track,
    call::{CallClock, CallEnd},
    context::{Correlate, InheritContext, Propagate},
    guard::{Admit, Head},
    operation,
    testing::{RecordingGuard, Reply, ScriptedBody},
};

use super::{driver::*, requests::*};

/// A guard that looks whether somebody further out has read the clock, at admission and at the head.
#[derive(Clone, Default)]
struct Peek(Arc<Mutex<Vec<Option<Instant>>>>);

impl Peek {
    fn look(&self, now: &CallClock) {
        self.0.lock().unwrap().push(now.peek());
    }
    fn seen(&self) -> Vec<Option<Instant>> {
        self.0.lock().unwrap().clone()
    }
}
impl Guard for Peek {
    type Permit = ();
    fn on_head(&self, (): &mut (), head: &mut Head<'_>) {
        self.look(head.clock);
    }
    fn on_end(&self, (): (), _: &CallEnd<'_>) {}
}
impl<Req> Admit<Req> for Peek {
    fn admit(&self, _: &mut Req, now: &CallClock) -> Result<(), Rejection> {
        self.look(now);
        Ok(())
    }
}

#[test]
fn clock_is_not_read_unless_measured() {
    let (spy, peek) = (RecordingGuard::new(), Peek::default());
    // Heads are shown innermost first: one peek on each side.
    let guards = (
        peek.clone(),
        (
            Correlate::default(),
            (Propagate::default(), (spy.clone(), peek.clone())),
        ),
    );
    let service = GuardLayer::server(guards).layer(scripted(|| Reply::ok().data("hello")));
    play(service, &call(get, Reply::ok, Until::End));
    assert_eq!(peek.seen(), [None; 4]);
    assert_eq!(spy.single().admitted_at, None);
    assert_eq!(spy.single().elapsed(), None);
}

/// On the real clock, where two readings are two times.
#[test]
fn clock_is_read_once_per_end_for_all_guards() {
    let (first, second, peek) = (
        RecordingGuard::timed(),
        RecordingGuard::timed(),
        Peek::default(),
    );
    let guards = (first.clone(), (peek.clone(), second.clone()));
    let service = GuardLayer::server(guards).layer(scripted(|| Reply::ok().data("hello")));
    play(service, &call(get, Reply::ok, Until::End));
    let (first, second) = (first.single(), second.single());
    assert!(
        first.admitted_at.is_some() && first.completed_at.is_some() && first.time_to_head.is_some()
    );
    assert_eq!(first.admitted_at, second.admitted_at);
    assert_eq!(first.completed_at, second.completed_at);
    assert_eq!(first.time_to_head, second.time_to_head);
    assert_eq!(peek.seen()[0], first.admitted_at);
}

#[test]
fn clock_is_read_once_if_call_ends_at_head() {
    let spy = RecordingGuard::timed();
    let service = GuardLayer::server(spy.clone()).layer(scripted(Reply::ok));
    play(service, &call(get, Reply::ok, Until::End));
    assert_eq!(spy.single().time_to_head, spy.single().elapsed());
}

#[test]
fn clock_is_measured_as_each_guard_asks() {
    fn asks<G: Admit<Request<ScriptedBody>>>(guard: &G) -> (bool, bool) {
        let (began, ended) = (CallClock::default(), CallClock::default());
        let permit = guard.admit(&mut get(), &began).expect("admitted");
        guard.on_end(permit, &CallEnd::new(Success, &ended));
        (began.peek().is_some(), ended.peek().is_some())
    }
    assert_eq!(asks(&Correlate::default()), (false, false));
    assert_eq!(asks(&Propagate::default()), (false, false));
    assert_eq!(asks(&InheritContext), (false, false));
    assert_eq!(asks(&None::<Track>), (false, false));
    assert_eq!(asks(&RecordingGuard::new()), (false, false));
    // The end has no beginning here, so nobody subtracts.
    assert!(asks(&Track::new("asks")).0);
    assert!(asks(&operation("asks")).0);
}
