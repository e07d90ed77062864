//! Polls services, futures and bodies manually, and checks each step.

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
    cases::{Case, FAILURE_CASES, SCRIPTED_PANIC, SUCCESS_CASES},
    checked_body::PollBody,
};
use crate::{
    call::{PanicPayload, catch, panic_message},
    testing::{CountingWaker, ReadyChecked, Script},
};

/// The number of idle polls, `CLOCK_STEP` apart, after which a call is considered stuck.
const MAX_IDLE_POLLS: usize = 400;
const CLOCK_STEP: Duration = Duration::from_millis(250);
/// The maximum number of polls until a handle is ready, and of polls of a call.
const MAX_POLLS: usize = 1_000;
/// The number of ready handles to drop. Exhausts small limits if dropped handles leak reservations.
const DROPPED_HANDLES: usize = 64;
/// The number of polls of a call that hangs.
const MAX_HANGING_POLLS: usize = 5;

/// The body of a response; `None` for protocols without bodies.
pub(super) type BodyUnderTest = Option<Pin<Box<dyn PollBody>>>;

/// The layer under test, and the check after each run.
pub(super) struct Checker<'a, L, Req, Res> {
    pub(super) layer: &'a dyn Fn() -> L,
    pub(super) request: &'a dyn Fn(&Case) -> Req,
    pub(super) body: fn(Res) -> BodyUnderTest,
    /// True if the request can be a gRPC call.
    pub(super) supports_grpc: bool,
    pub(super) verify: &'a dyn Fn(&CompletedRun<'_>),
}

/// A run that has just ended.
pub(super) struct CompletedRun<'a> {
    pub(super) description: &'a str,
    /// The number of calls, which all have ended.
    pub(super) calls: usize,
    /// The case, if all of its calls were polled to their end.
    pub(super) completed_case: Option<&'a Case>,
}

pub(super) fn violation(what: &str, why: impl Display) -> ! {
    panic!("the contract is broken ({what}): {why}")
}

/// Runs a future on a separate runtime with a paused clock.
pub(super) fn run_on_paused_clock(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.expect("a runtime").block_on(work);
}

impl<L, S, Req> Checker<'_, L, Req, S::Response>
where
    L: Layer<ReadyChecked<Script>, Service = S>,
    S: Service<Req> + Clone,
{
    pub(super) async fn check(&self) {
        for case in self.cases(&SUCCESS_CASES) {
            self.check_sequential_calls(case).await;
            self.check_concurrent_calls(case).await;
            self.check_clones(case).await;
        }
        for case in self.cases(&SUCCESS_CASES).chain(self.cases(&FAILURE_CASES)) {
            self.check_drop_after_each_poll(case).await;
        }
        self.check_drop_when_ready(&SUCCESS_CASES[0]).await;
        self.check_delayed_readiness(&SUCCESS_CASES[0]).await;
        self.check_never_ready(&SUCCESS_CASES[0]).await;
        self.check_readiness_error(&SUCCESS_CASES[0]).await;
    }

    fn cases<'c>(&self, cases: &'c [Case]) -> impl Iterator<Item = &'c Case> + use<'c, L, S, Req> {
        let grpc = self.supports_grpc;
        cases.iter().filter(move |case| grpc || !case.is_grpc)
    }

    async fn check_sequential_calls(&self, case: &Case) {
        let what = format!("{}, twice in a row", case.name);
        let (stand, mut service) = self.new_run(case, &what);
        for _ in 0..2 {
            self.poll_until_ready(&stand, &mut service).await;
            let mut flight = self.start_call(&stand, &mut service);
            self.run_to_completion(&stand, &mut flight).await;
        }
        self.verify_run(&stand, 2, true).await;
    }

    async fn check_concurrent_calls(&self, case: &Case) {
        let what = format!("{}, twice at once", case.name);
        let (stand, mut service) = self.new_run(case, &what);
        self.poll_until_ready(&stand, &mut service).await;
        let mut first = self.start_call(&stand, &mut service);
        self.poll_call(&stand, &mut first);
        self.poll_until_ready(&stand, &mut service).await;
        let mut second = self.start_call(&stand, &mut service);
        self.run_to_completion(&stand, &mut second).await;
        self.run_to_completion(&stand, &mut first).await;
        self.verify_run(&stand, 2, true).await;
    }

    /// A clone of a ready handle must become ready itself, and does not affect the original.
    async fn check_clones(&self, case: &Case) {
        let what = format!("{}, on clones of a ready service", case.name);
        let (stand, mut service) = self.new_run(case, &what);
        self.poll_until_ready(&stand, &mut service).await;
        let mut clone = service.clone();
        let orphan = service.clone();
        let mut first = self.start_call(&stand, &mut service);
        self.run_to_completion(&stand, &mut first).await;
        self.poll_until_ready(&stand, &mut clone).await;
        let mut second = self.start_call(&stand, &mut clone);
        self.run_to_completion(&stand, &mut second).await;
        drop((service, clone));
        let mut orphan = orphan;
        self.poll_until_ready(&stand, &mut orphan).await;
        let mut third = self.start_call(&stand, &mut orphan);
        self.run_to_completion(&stand, &mut third).await;
        self.verify_run(&stand, 3, true).await;
    }

    async fn check_drop_after_each_poll(&self, case: &Case) {
        for polls in 0..MAX_POLLS {
            let what = format!("{}, dropped after {polls} polls", case.name);
            let (stand, mut service) = self.new_run(case, &what);
            self.poll_until_ready(&stand, &mut service).await;
            let mut flight = self.start_call(&stand, &mut service);
            let mut polled = 0;
            while polled < polls && !flight.is_done() {
                self.poll_call(&stand, &mut flight);
                polled += 1;
                if flight.is_idle {
                    advance(CLOCK_STEP).await;
                }
            }
            let over = flight.is_done();
            flight.drop_remaining(&stand);
            let last = over || case.hangs && polls == MAX_HANGING_POLLS;
            self.verify_run(&stand, 1, over).await;
            if last {
                return;
            }
        }
        violation(case.name, "the call does not come to an end");
    }

    async fn check_drop_when_ready(&self, case: &Case) {
        let (stand, service) = self.new_run(case, "a service that is dropped when it is ready");
        for _ in 0..DROPPED_HANDLES {
            let mut service = service.clone();
            self.poll_until_ready(&stand, &mut service).await;
        }
        let mut service = service;
        self.poll_until_ready(&stand, &mut service).await;
        let mut flight = self.start_call(&stand, &mut service);
        self.run_to_completion(&stand, &mut flight).await;
        self.verify_run(&stand, 1, true).await;
    }

    async fn check_delayed_readiness(&self, case: &Case) {
        let script = Script::from_fn(case.reply).ready_after(2);
        let (stand, mut service) = self.new_run_with(script, case, "a service that is ready late");
        for _ in 0..2 {
            self.poll_until_ready(&stand, &mut service).await;
            let mut flight = self.start_call(&stand, &mut service);
            self.run_to_completion(&stand, &mut flight).await;
        }
        self.verify_run(&stand, 2, true).await;
    }

    async fn check_never_ready(&self, case: &Case) {
        let script = Script::from_fn(case.reply).never_ready();
        let (stand, mut service) = self.new_run_with(script, case, "a service that is never ready");
        let wakes = CountingWaker::new();
        if wakes.poll_ready(&mut service).is_ready() {
            // The layer waits for readiness inside of the call, or rejects it.
            let mut flight = self.start_call(&stand, &mut service);
            self.poll_call(&stand, &mut flight);
            flight.drop_remaining(&stand);
            return self.verify_run(&stand, 1, false).await;
        }
        if wakes.count() > 0 {
            violation(stand.description, "the layer has woken its own task");
        }
        drop(service);
        self.verify_run(&stand, 0, false).await;
    }

    async fn check_readiness_error(&self, case: &Case) {
        let script = Script::from_fn(case.reply).fails_ready(|| "scripted".into());
        let (stand, mut service) =
            self.new_run_with(script, case, "a service that cannot be ready");
        match CountingWaker::new().poll_ready(&mut service) {
            Poll::Ready(Err(_)) => self.verify_run(&stand, 0, false).await,
            Poll::Pending => violation(
                stand.description,
                "the error of `poll_ready` was not passed on",
            ),
            Poll::Ready(Ok(())) => {
                let mut flight = self.start_call(&stand, &mut service);
                self.run_to_completion(&stand, &mut flight).await;
                self.verify_run(&stand, 1, false).await;
            }
        }
    }

    fn new_run<'c>(&self, case: &'c Case, what: &'c str) -> (TestRun<'c>, S) {
        self.new_run_with(Script::from_fn(case.reply), case, what)
    }

    fn new_run_with<'c>(&self, script: Script, case: &'c Case, what: &'c str) -> (TestRun<'c>, S) {
        let strict = ReadyChecked::new(script.clone());
        let stand = TestRun {
            strict: strict.clone(),
            script,
            case,
            description: what,
        };
        (stand, (self.layer)().layer(strict))
    }

    async fn poll_until_ready(&self, stand: &TestRun<'_>, service: &mut S) {
        let wakes = CountingWaker::new();
        for _ in 0..MAX_POLLS {
            let (woken, given) = (wakes.count(), stand.script.wakes());
            match wakes.poll_ready(service) {
                Poll::Ready(Ok(())) => return,
                Poll::Ready(Err(_)) => {
                    violation(stand.description, "the service failed to become ready")
                }
                Poll::Pending => stand.check_no_self_wake(&wakes, woken, given),
            }
            if wakes.count() == woken {
                advance(CLOCK_STEP).await;
            }
        }
        violation(stand.description, "the service does not become ready");
    }

    fn start_call(&self, stand: &TestRun<'_>, service: &mut S) -> CallUnderTest<S::Future> {
        let request = (self.request)(stand.case);
        CallUnderTest {
            phase: match catch(|| service.call(request)) {
                Ok(future) => CallPhase::AwaitingHead(Box::pin(future)),
                Err(payload) => stand.expect_scripted_panic(&payload),
            },
            wakes: CountingWaker::new(),
            is_idle: false,
        }
    }

    /// Polls a call once.
    fn poll_call(&self, stand: &TestRun<'_>, flight: &mut CallUnderTest<S::Future>) {
        let (stage, wakes, tail) = (&mut flight.phase, &flight.wakes, self.body);
        let (woken, given) = (wakes.count(), stand.script.wakes());
        let waker = wakes.waker();
        let mut cx = Context::from_waker(&waker);
        let polled = catch(|| match stage {
            CallPhase::AwaitingHead(future) => {
                future.as_mut().poll(&mut cx).map(|result| match result {
                    Ok(response) => {
                        Some(tail(response).map_or(CallPhase::Done, CallPhase::ReadingBody))
                    }
                    Err(_) => Some(CallPhase::Done),
                })
            }
            CallPhase::ReadingBody(body) => {
                body.as_mut().poll_checked(&mut cx).map(|over| match over {
                    Ok(over) => over.then_some(CallPhase::Done),
                    Err(law) => violation(stand.description, law),
                })
            }
            CallPhase::Done => Poll::Ready(None),
        });
        flight.is_idle = false;
        match polled {
            Ok(Poll::Ready(None)) => {}
            Ok(Poll::Ready(Some(next))) => flight.set_phase(stand, next),
            Ok(Poll::Pending) => {
                stand.check_no_self_wake(wakes, woken, given);
                flight.is_idle = wakes.count() == woken;
            }
            Err(payload) => {
                let over = stand.expect_scripted_panic(&payload);
                flight.set_phase(stand, over);
            }
        }
    }

    /// Polls a call to its end.
    async fn run_to_completion(&self, stand: &TestRun<'_>, flight: &mut CallUnderTest<S::Future>) {
        let mut waited = 0;
        for _ in 0..MAX_POLLS {
            if flight.is_done() {
                return;
            }
            self.poll_call(stand, flight);
            if flight.is_idle {
                waited += 1;
                advance(CLOCK_STEP).await;
            }
            if waited == MAX_IDLE_POLLS {
                violation(
                    stand.description,
                    "the call is pending, and nothing wakes its task",
                );
            }
        }
        violation(stand.description, "the call does not come to an end");
    }

    /// Checks after a run that nothing is left of it.
    async fn verify_run(&self, stand: &TestRun<'_>, calls: usize, ended: bool) {
        // Spawned tasks get to run, and tokio's cooperative budget is reset.
        for _ in 0..3 {
            yield_now().await;
        }
        if stand.strict.violations() > 0 {
            violation(
                stand.description,
                "a handle was called that was not itself polled ready",
            );
        }
        if ended && stand.script.calls() < calls {
            violation(
                stand.description,
                "a call did not reach the service: give the layer more room",
            );
        }
        if stand.script.in_flight() > 0 {
            violation(
                stand.description,
                "the service's future or body outlives the call",
            );
        }
        (self.verify)(&CompletedRun {
            description: stand.description,
            calls,
            completed_case: ended.then_some(stand.case),
        });
    }
}

/// The service and the case of a run.
struct TestRun<'c> {
    script: Script,
    strict: ReadyChecked<Script>,
    case: &'c Case,
    description: &'c str,
}

impl TestRun<'_> {
    /// Accepts a scripted panic, which ends the call. Any other is a violation.
    fn expect_scripted_panic<F>(&self, payload: &PanicPayload) -> CallPhase<F> {
        let message = panic_message(&**payload);
        if !(self.case.panics && message == SCRIPTED_PANIC) {
            violation(self.description, format_args!("it panicked: {message}"));
        }
        CallPhase::Done
    }

    fn check_no_self_wake(&self, wakes: &CountingWaker, woken: usize, given: usize) {
        if wakes.count() - woken > self.script.wakes() - given {
            violation(self.description, "the layer has woken its own task");
        }
    }
}

/// A call that is polled.
struct CallUnderTest<F> {
    phase: CallPhase<F>,
    wakes: CountingWaker,
    /// True if the last poll was pending and did not wake the task.
    is_idle: bool,
}

enum CallPhase<F> {
    AwaitingHead(Pin<Box<F>>),
    ReadingBody(Pin<Box<dyn PollBody>>),
    Done,
}

impl<F> CallUnderTest<F> {
    fn is_done(&self) -> bool {
        matches!(self.phase, CallPhase::Done)
    }

    fn set_phase(&mut self, stand: &TestRun<'_>, next: CallPhase<F>) {
        let last = std::mem::replace(&mut self.phase, next);
        if let Err(payload) = catch(|| drop(last)) {
            self.phase = stand.expect_scripted_panic(&payload);
        }
    }

    /// Drops the future or the body.
    fn drop_remaining(mut self, stand: &TestRun<'_>) {
        self.set_phase(stand, CallPhase::Done);
    }
}
