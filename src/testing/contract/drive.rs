//! Polls services, futures and bodies by hand, and looks at each step.

use std::{
    fmt::Display,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{task::yield_now, time::advance};
use tower_layer::Layer;
use tower_service::Service;

use super::{
    case::{BAD, Case, GOOD, SCRIPTED},
    watch::Watch,
};
use crate::{
    call::{Thrown, caught, panic_message},
    testing::{Script, Strict, Wakes},
};

/// How often a call may be pending without being woken, so long apart, before it is held to be stuck.
const PATIENCE: usize = 400;
const PACE: Duration = Duration::from_millis(250);
/// How often a handle may be unready in a row, and one call be polled.
const MOST_POLLS: usize = 1_000;
/// Uses up small limits, if a service that is dropped takes its reservation with it.
const TIMES_DROPPED: usize = 64;
/// How far a call that hangs is followed.
const HANGING_POLLS: usize = 5;

/// What is left of a response after its head; for a plain service nothing.
pub(super) type Tail = Option<Pin<Box<dyn Watch>>>;

/// Who signs, and who looks at the books after each run.
pub(super) struct Signing<'a, L, Req, Res> {
    pub(super) layer: &'a dyn Fn() -> L,
    pub(super) request: &'a dyn Fn(&Case) -> Req,
    pub(super) tail: fn(Res) -> Tail,
    /// Whether the request can be a gRPC call.
    pub(super) grpc: bool,
    pub(super) audit: &'a dyn Fn(&Run<'_>),
}

/// What has just been done.
pub(super) struct Run<'a> {
    pub(super) what: &'a str,
    /// How many calls were made and are over.
    pub(super) calls: usize,
    /// The case, if all of its calls were followed to their end.
    pub(super) ended: Option<&'a Case>,
}

pub(super) fn broken(what: &str, why: impl Display) -> ! {
    panic!("the contract is broken ({what}): {why}")
}

/// A clock of one's own, which stands still unless it is moved.
pub(super) fn on_paused_clock(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.expect("a runtime").block_on(work);
}

impl<L, S, Req> Signing<'_, L, Req, S::Response>
where
    L: Layer<Strict<Script>, Service = S>,
    S: Service<Req> + Clone,
{
    pub(super) async fn check(&self) {
        for case in self.cases(&GOOD) {
            self.two_in_a_row(case).await;
            self.two_at_once(case).await;
            self.clones(case).await;
        }
        for case in self.cases(&GOOD).chain(self.cases(&BAD)) {
            self.dropped_after_each_poll(case).await;
        }
        self.dropped_after_ready(&GOOD[0]).await;
        self.slow_to_be_ready(&GOOD[0]).await;
        self.never_ready(&GOOD[0]).await;
        self.unable_to_be_ready(&GOOD[0]).await;
    }

    fn cases<'c>(&self, cases: &'c [Case]) -> impl Iterator<Item = &'c Case> + use<'c, L, S, Req> {
        let grpc = self.grpc;
        cases.iter().filter(move |case| grpc || !case.grpc)
    }

    async fn two_in_a_row(&self, case: &Case) {
        let what = format!("{}, twice in a row", case.name);
        let (stand, mut service) = self.stand(case, &what);
        for _ in 0..2 {
            self.ready(&stand, &mut service).await;
            let mut flight = self.call(&stand, &mut service);
            self.finish(&stand, &mut flight).await;
        }
        self.close(&stand, 2, true).await;
    }

    async fn two_at_once(&self, case: &Case) {
        let what = format!("{}, twice at once", case.name);
        let (stand, mut service) = self.stand(case, &what);
        self.ready(&stand, &mut service).await;
        let mut first = self.call(&stand, &mut service);
        self.step(&stand, &mut first);
        self.ready(&stand, &mut service).await;
        let mut second = self.call(&stand, &mut service);
        self.finish(&stand, &mut second).await;
        self.finish(&stand, &mut first).await;
        self.close(&stand, 2, true).await;
    }

    /// A clone of a ready handle has to become ready itself, and takes nothing from the other.
    async fn clones(&self, case: &Case) {
        let what = format!("{}, on clones of a ready service", case.name);
        let (stand, mut service) = self.stand(case, &what);
        self.ready(&stand, &mut service).await;
        let mut clone = service.clone();
        let orphan = service.clone();
        let mut first = self.call(&stand, &mut service);
        self.finish(&stand, &mut first).await;
        self.ready(&stand, &mut clone).await;
        let mut second = self.call(&stand, &mut clone);
        self.finish(&stand, &mut second).await;
        drop((service, clone));
        let mut orphan = orphan;
        self.ready(&stand, &mut orphan).await;
        let mut third = self.call(&stand, &mut orphan);
        self.finish(&stand, &mut third).await;
        self.close(&stand, 3, true).await;
    }

    async fn dropped_after_each_poll(&self, case: &Case) {
        for polls in 0..MOST_POLLS {
            let what = format!("{}, dropped after {polls} polls", case.name);
            let (stand, mut service) = self.stand(case, &what);
            self.ready(&stand, &mut service).await;
            let mut flight = self.call(&stand, &mut service);
            let mut polled = 0;
            while polled < polls && !flight.is_over() {
                self.step(&stand, &mut flight);
                polled += 1;
                if flight.stuck {
                    advance(PACE).await;
                }
            }
            let over = flight.is_over();
            flight.end(&stand);
            let last = over || case.hangs && polls == HANGING_POLLS;
            self.close(&stand, 1, over).await;
            if last {
                return;
            }
        }
        broken(case.name, "the call does not come to an end");
    }

    async fn dropped_after_ready(&self, case: &Case) {
        let (stand, service) = self.stand(case, "a service that is dropped when it is ready");
        for _ in 0..TIMES_DROPPED {
            let mut service = service.clone();
            self.ready(&stand, &mut service).await;
        }
        let mut service = service;
        self.ready(&stand, &mut service).await;
        let mut flight = self.call(&stand, &mut service);
        self.finish(&stand, &mut flight).await;
        self.close(&stand, 1, true).await;
    }

    async fn slow_to_be_ready(&self, case: &Case) {
        let script = Script::numbered(case.reply).unready(2);
        let (stand, mut service) = self.stand_on(script, case, "a service that is ready late");
        for _ in 0..2 {
            self.ready(&stand, &mut service).await;
            let mut flight = self.call(&stand, &mut service);
            self.finish(&stand, &mut flight).await;
        }
        self.close(&stand, 2, true).await;
    }

    async fn never_ready(&self, case: &Case) {
        let script = Script::numbered(case.reply).never_ready();
        let (stand, mut service) = self.stand_on(script, case, "a service that is never ready");
        let wakes = Wakes::new();
        if wakes.poll_ready(&mut service).is_ready() {
            // It waits for readiness inside of the call, or refuses.
            let mut flight = self.call(&stand, &mut service);
            self.step(&stand, &mut flight);
            flight.end(&stand);
            return self.close(&stand, 1, false).await;
        }
        if wakes.count() > 0 {
            broken(stand.what, "the layer has woken its own task");
        }
        drop(service);
        self.close(&stand, 0, false).await;
    }

    async fn unable_to_be_ready(&self, case: &Case) {
        let script = Script::numbered(case.reply).broken(|| "scripted".into());
        let (stand, mut service) = self.stand_on(script, case, "a service that cannot be ready");
        match Wakes::new().poll_ready(&mut service) {
            Poll::Ready(Err(_)) => self.close(&stand, 0, false).await,
            Poll::Pending => broken(stand.what, "the error of `poll_ready` was not passed on"),
            Poll::Ready(Ok(())) => {
                let mut flight = self.call(&stand, &mut service);
                self.finish(&stand, &mut flight).await;
                self.close(&stand, 1, false).await;
            }
        }
    }

    fn stand<'c>(&self, case: &'c Case, what: &'c str) -> (Stand<'c>, S) {
        self.stand_on(Script::numbered(case.reply), case, what)
    }

    fn stand_on<'c>(&self, script: Script, case: &'c Case, what: &'c str) -> (Stand<'c>, S) {
        let strict = Strict::new(script.clone());
        let stand = Stand {
            strict: strict.clone(),
            script,
            case,
            what,
        };
        (stand, (self.layer)().layer(strict))
    }

    async fn ready(&self, stand: &Stand<'_>, service: &mut S) {
        let wakes = Wakes::new();
        for _ in 0..MOST_POLLS {
            let (woken, given) = (wakes.count(), stand.script.wakes());
            match wakes.poll_ready(service) {
                Poll::Ready(Ok(())) => return,
                Poll::Ready(Err(_)) => broken(stand.what, "the service failed to become ready"),
                Poll::Pending => stand.no_self_wake(&wakes, woken, given),
            }
            if wakes.count() == woken {
                advance(PACE).await;
            }
        }
        broken(stand.what, "the service does not become ready");
    }

    fn call(&self, stand: &Stand<'_>, service: &mut S) -> Flight<S::Future> {
        let request = (self.request)(stand.case);
        Flight {
            stage: match caught(|| service.call(request)) {
                Ok(future) => Stage::Called(Box::pin(future)),
                Err(payload) => stand.panicked(&payload),
            },
            wakes: Wakes::new(),
            stuck: false,
        }
    }

    /// Polls a call once.
    fn step(&self, stand: &Stand<'_>, flight: &mut Flight<S::Future>) {
        let (stage, wakes, tail) = (&mut flight.stage, &flight.wakes, self.tail);
        let (woken, given) = (wakes.count(), stand.script.wakes());
        let waker = wakes.waker();
        let mut cx = Context::from_waker(&waker);
        let polled = caught(|| match stage {
            Stage::Called(future) => future.as_mut().poll(&mut cx).map(|result| match result {
                Ok(response) => Some(tail(response).map_or(Stage::Over, Stage::Body)),
                Err(_) => Some(Stage::Over),
            }),
            Stage::Body(body) => body.as_mut().watch(&mut cx).map(|over| match over {
                Ok(over) => over.then_some(Stage::Over),
                Err(law) => broken(stand.what, law),
            }),
            Stage::Over => Poll::Ready(None),
        });
        flight.stuck = false;
        match polled {
            Ok(Poll::Ready(None)) => {}
            Ok(Poll::Ready(Some(next))) => flight.goes_on(stand, next),
            Ok(Poll::Pending) => {
                stand.no_self_wake(wakes, woken, given);
                flight.stuck = wakes.count() == woken;
            }
            Err(payload) => {
                let over = stand.panicked(&payload);
                flight.goes_on(stand, over);
            }
        }
    }

    /// Polls a call to its end.
    async fn finish(&self, stand: &Stand<'_>, flight: &mut Flight<S::Future>) {
        let mut waited = 0;
        for _ in 0..MOST_POLLS {
            if flight.is_over() {
                return;
            }
            self.step(stand, flight);
            if flight.stuck {
                waited += 1;
                advance(PACE).await;
            }
            if waited == PATIENCE {
                broken(
                    stand.what,
                    "the call is pending, and nothing wakes its task",
                );
            }
        }
        broken(stand.what, "the call does not come to an end");
    }

    /// The run is over: nothing may be left of it.
    async fn close(&self, stand: &Stand<'_>, calls: usize, ended: bool) {
        // Whatever was spawned has its turn, and tokio's cooperative budget begins anew.
        for _ in 0..3 {
            yield_now().await;
        }
        if stand.strict.violations() > 0 {
            broken(
                stand.what,
                "a handle was called that was not itself polled ready",
            );
        }
        if ended && stand.script.calls() < calls {
            broken(
                stand.what,
                "a call did not reach the service: give the layer more room",
            );
        }
        if stand.script.in_flight() > 0 {
            broken(stand.what, "the service's future or body outlives the call");
        }
        (self.audit)(&Run {
            what: stand.what,
            calls,
            ended: ended.then_some(stand.case),
        });
    }
}

/// What one run stands on.
struct Stand<'c> {
    script: Script,
    strict: Strict<Script>,
    case: &'c Case,
    what: &'c str,
}

impl Stand<'_> {
    /// A panic that was scripted ends the call, any other one the contract.
    fn panicked<F>(&self, payload: &Thrown) -> Stage<F> {
        let message = panic_message(&**payload);
        if !(self.case.panics && message == SCRIPTED) {
            broken(self.what, format_args!("it panicked: {message}"));
        }
        Stage::Over
    }

    fn no_self_wake(&self, wakes: &Wakes, woken: usize, given: usize) {
        if wakes.count() - woken > self.script.wakes() - given {
            broken(self.what, "the layer has woken its own task");
        }
    }
}

/// One call, on its way.
struct Flight<F> {
    stage: Stage<F>,
    wakes: Wakes,
    /// Pending, and not woken.
    stuck: bool,
}

enum Stage<F> {
    Called(Pin<Box<F>>),
    Body(Pin<Box<dyn Watch>>),
    Over,
}

impl<F> Flight<F> {
    fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    fn goes_on(&mut self, stand: &Stand<'_>, next: Stage<F>) {
        let last = std::mem::replace(&mut self.stage, next);
        if let Err(payload) = caught(|| drop(last)) {
            self.stage = stand.panicked(&payload);
        }
    }

    /// Drops what there is.
    fn end(mut self, stand: &Stand<'_>) {
        self.goes_on(stand, Stage::Over);
    }
}
