//! Who reads the clock, and how often.

use std::sync::{Arc, Mutex};

use http::Request;
use tokio::time::Instant;
use tower::Layer;
use tower_keep::{
    Guard, GuardLayer,
    Outcome::*,
    Rejection, Track,
    call::{End, Moment},
    context::{Correlate, Inherit, Propagate},
    guard::{Admit, Head},
    operation,
    testing::{Reply, ScriptedBody, Spy},
};

use super::{ask::*, play::*};

/// Whether somebody further out has read the clock, at admission and at the head.
#[derive(Clone, Default)]
struct Peek(Arc<Mutex<Vec<Option<Instant>>>>);

impl Peek {
    fn look(&self, now: &Moment) {
        self.0.lock().unwrap().push(now.known());
    }
    fn seen(&self) -> Vec<Option<Instant>> {
        self.0.lock().unwrap().clone()
    }
}
impl Guard for Peek {
    type Permit = ();
    fn head(&self, (): &mut (), head: &mut Head<'_>) {
        self.look(head.now);
    }
    fn settle(&self, (): (), _: &End<'_>) {}
}
impl<Req> Admit<Req> for Peek {
    fn admit(&self, _: &mut Req, now: &Moment) -> Result<(), Rejection> {
        self.look(now);
        Ok(())
    }
}

#[test]
fn clock_is_not_read_unless_measured() {
    let (spy, peek) = (Spy::new(), Peek::default());
    // Heads are shown innermost first: one peek on each side.
    let guards = (
        peek.clone(),
        Correlate::default(),
        Propagate::default(),
        spy.clone(),
        peek.clone(),
    );
    let service = GuardLayer::server(guards).layer(scripted(|| Reply::ok().data("hello")));
    play(service, &call(get, Reply::ok, Until::End));
    assert_eq!(peek.seen(), [None; 4]);
    assert_eq!(spy.only().began, None);
    assert_eq!(spy.only().elapsed(), None);
}

/// On the real clock, where two readings are two times.
#[test]
fn clock_is_read_once_per_end_for_all_guards() {
    let (first, second, peek) = (Spy::timed(), Spy::timed(), Peek::default());
    let guards = (first.clone(), peek.clone(), second.clone());
    let service = GuardLayer::server(guards).layer(scripted(|| Reply::ok().data("hello")));
    play(service, &call(get, Reply::ok, Until::End));
    let (first, second) = (first.only(), second.only());
    assert!(first.began.is_some() && first.ended.is_some() && first.time_to_head.is_some());
    assert_eq!(first.began, second.began);
    assert_eq!(first.ended, second.ended);
    assert_eq!(first.time_to_head, second.time_to_head);
    assert_eq!(peek.seen()[0], first.began);
}

#[test]
fn clock_is_read_once_if_call_ends_at_head() {
    let spy = Spy::timed();
    let service = GuardLayer::server(spy.clone()).layer(scripted(Reply::ok));
    play(service, &call(get, Reply::ok, Until::End));
    assert_eq!(spy.only().time_to_head, spy.only().elapsed());
}

#[test]
fn clock_is_measured_as_each_guard_asks() {
    fn asks<G: Admit<Request<ScriptedBody>>>(guard: &G) -> (bool, bool) {
        let (began, ended) = (Moment::default(), Moment::default());
        let permit = guard.admit(&mut get(), &began).expect("admitted");
        guard.settle(permit, &End::new(Success, &ended));
        (began.known().is_some(), ended.known().is_some())
    }
    assert_eq!(asks(&Correlate::default()), (false, false));
    assert_eq!(asks(&Propagate::default()), (false, false));
    assert_eq!(asks(&Inherit), (false, false));
    assert_eq!(asks(&None::<Track>), (false, false));
    assert_eq!(asks(&Spy::new()), (false, false));
    // The end has no beginning here, so nobody subtracts.
    assert!(asks(&Track::named("asks")).0);
    assert!(asks(&operation("asks")).0);
}
