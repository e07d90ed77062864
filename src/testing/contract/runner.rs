//! Polls services, futures and bodies manually, and checks each step.

use std::{
    fmt::Display,
    future::Future,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{task::yield_now, time::advance};
use tower_layer::Layer;
use tower_service::Service;

use super::{
    call_under_test::{BodyUnderTest, CallPhase, CallUnderTest},
    cases::{Case, FAILURE_CASES, SUCCESS_CASES},
    test_run::TestRun,
};
use crate::{
    call::catch,
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

/// Panics with a violation of the contract.
pub(super) fn violation(run: &str, violated: impl Display) -> ! {
    panic!("the contract is violated ({run}): {violated}")
}

/// Runs a future on a separate runtime with a paused clock.
pub(super) fn run_on_paused_clock(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime
        .expect("a current-thread runtime needs no resources")
        .block_on(work);
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
        // Failures one call at a time: a layer may well reject the next one.
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
        let description = format!("{}, twice in a row", case.name);
        let (run, mut service) = self.new_run(case, &description);
        for _ in 0..2 {
            self.poll_until_ready(&run, &mut service).await;
            let mut call = self.start_call(&run, &mut service);
            self.run_to_completion(&run, &mut call).await;
        }
        self.verify_run(&run, 2, true).await;
    }

    async fn check_concurrent_calls(&self, case: &Case) {
        let description = format!("{}, twice at once", case.name);
        let (run, mut service) = self.new_run(case, &description);
        self.poll_until_ready(&run, &mut service).await;
        let mut first = self.start_call(&run, &mut service);
        // Polled once, so that it holds whatever a call of this layer reserves.
        self.poll_call(&run, &mut first);
        self.poll_until_ready(&run, &mut service).await;
        let mut second = self.start_call(&run, &mut service);
        // The later call completes first: neither may wait for the other.
        self.run_to_completion(&run, &mut second).await;
        self.run_to_completion(&run, &mut first).await;
        self.verify_run(&run, 2, true).await;
    }

    /// Checks that a clone of a ready handle must become ready itself, and does not affect the original.
    async fn check_clones(&self, case: &Case) {
        let description = format!("{}, on clones of a ready service", case.name);
        let (run, mut service) = self.new_run(case, &description);
        self.poll_until_ready(&run, &mut service).await;
        let mut clone = service.clone();
        // Called after the other handles are dropped.
        let orphan = service.clone();
        let mut first = self.start_call(&run, &mut service);
        self.run_to_completion(&run, &mut first).await;
        self.poll_until_ready(&run, &mut clone).await;
        let mut second = self.start_call(&run, &mut clone);
        self.run_to_completion(&run, &mut second).await;
        drop((service, clone));
        let mut orphan = orphan;
        self.poll_until_ready(&run, &mut orphan).await;
        let mut third = self.start_call(&run, &mut orphan);
        self.run_to_completion(&run, &mut third).await;
        self.verify_run(&run, 3, true).await;
    }

    async fn check_drop_after_each_poll(&self, case: &Case) {
        // One poll more in each run, until the call ends by itself.
        for polls in 0..MAX_POLLS {
            let description = format!("{}, dropped after {polls} polls", case.name);
            let (run, mut service) = self.new_run(case, &description);
            self.poll_until_ready(&run, &mut service).await;
            let mut call = self.start_call(&run, &mut service);
            let mut polled = 0;
            while polled < polls && !call.is_done() {
                self.poll_call(&run, &mut call);
                polled += 1;
                if call.is_idle {
                    // Nothing has woken the task, so only time can.
                    advance(CLOCK_STEP).await;
                }
            }
            // Before the drop, which ends every call.
            let done = call.is_done();
            call.drop_remaining(&run);
            let last = done || case.hangs && polls == MAX_HANGING_POLLS;
            self.verify_run(&run, 1, done).await;
            if last {
                return;
            }
        }
        violation(case.name, "the call does not come to an end");
    }

    async fn check_drop_when_ready(&self, case: &Case) {
        let (run, service) = self.new_run(case, "a service that is dropped when it is ready");
        // If a dropped handle kept its reservation, the last one would never become ready.
        for _ in 0..DROPPED_HANDLES {
            let mut service = service.clone();
            self.poll_until_ready(&run, &mut service).await;
        }
        let mut service = service;
        self.poll_until_ready(&run, &mut service).await;
        let mut call = self.start_call(&run, &mut service);
        self.run_to_completion(&run, &mut call).await;
        self.verify_run(&run, 1, true).await;
    }

    async fn check_delayed_readiness(&self, case: &Case) {
        // The second call must wait again: readiness is used up by a call.
        let script = Script::from_fn(case.reply).ready_after(2);
        let (run, mut service) = self.new_run_with(script, case, "a service that is ready late");
        for _ in 0..2 {
            self.poll_until_ready(&run, &mut service).await;
            let mut call = self.start_call(&run, &mut service);
            self.run_to_completion(&run, &mut call).await;
        }
        self.verify_run(&run, 2, true).await;
    }

    async fn check_never_ready(&self, case: &Case) {
        let script = Script::from_fn(case.reply).never_ready();
        let (run, mut service) = self.new_run_with(script, case, "a service that is never ready");
        let waker = CountingWaker::new();
        if waker.poll_ready(&mut service).is_ready() {
            // The layer waits for readiness inside of the call, or rejects it.
            let mut call = self.start_call(&run, &mut service);
            self.poll_call(&run, &mut call);
            call.drop_remaining(&run);
            return self.verify_run(&run, 1, false).await;
        }
        if waker.count() > 0 {
            violation(run.description, "the layer has woken its own task");
        }
        drop(service);
        self.verify_run(&run, 0, false).await;
    }

    async fn check_readiness_error(&self, case: &Case) {
        let script = Script::from_fn(case.reply).fails_ready(|| "scripted".into());
        let (run, mut service) = self.new_run_with(script, case, "a service that cannot be ready");
        match CountingWaker::new().poll_ready(&mut service) {
            Poll::Ready(Err(_)) => self.verify_run(&run, 0, false).await,
            Poll::Pending => violation(
                run.description,
                "the error of `poll_ready` was not passed on",
            ),
            // The layer asks the service inside of the call, which then fails.
            Poll::Ready(Ok(())) => {
                let mut call = self.start_call(&run, &mut service);
                self.run_to_completion(&run, &mut call).await;
                self.verify_run(&run, 1, false).await;
            }
        }
    }

    fn new_run<'c>(&self, case: &'c Case, description: &'c str) -> (TestRun<'c>, S) {
        self.new_run_with(Script::from_fn(case.reply), case, description)
    }

    fn new_run_with<'c>(
        &self,
        script: Script,
        case: &'c Case,
        description: &'c str,
    ) -> (TestRun<'c>, S) {
        let ready_checked = ReadyChecked::new(script.clone());
        let run = TestRun {
            ready_checked: ready_checked.clone(),
            script,
            case,
            description,
        };
        // A new layer for each run, which has no state of the one before.
        (run, (self.layer)().layer(ready_checked))
    }

    async fn poll_until_ready(&self, run: &TestRun<'_>, service: &mut S) {
        let waker = CountingWaker::new();
        for _ in 0..MAX_POLLS {
            let (wakes_before, script_wakes_before) = (waker.count(), run.script.wakes());
            match waker.poll_ready(service) {
                Poll::Ready(Ok(())) => return,
                Poll::Ready(Err(_)) => {
                    violation(run.description, "the service failed to become ready")
                }
                Poll::Pending => run.check_no_self_wake(&waker, wakes_before, script_wakes_before),
            }
            // A task that was woken is polled again at once.
            if waker.count() == wakes_before {
                advance(CLOCK_STEP).await;
            }
        }
        violation(run.description, "the service does not become ready");
    }

    fn start_call(&self, run: &TestRun<'_>, service: &mut S) -> CallUnderTest<S::Future> {
        let request = (self.request)(run.case);
        CallUnderTest {
            phase: match catch(|| service.call(request)) {
                Ok(future) => CallPhase::AwaitingHead(Box::pin(future)),
                // A panic in `call` ends the call before there is a future.
                Err(payload) => run.expect_scripted_panic(&payload),
            },
            waker: CountingWaker::new(),
            is_idle: false,
        }
    }

    /// Polls a call once.
    fn poll_call(&self, run: &TestRun<'_>, call: &mut CallUnderTest<S::Future>) {
        let (phase, waker) = (&mut call.phase, &call.waker);
        let (wakes_before, script_wakes_before) = (waker.count(), run.script.wakes());
        let task_waker = waker.waker();
        let mut cx = Context::from_waker(&task_waker);
        let polled = catch(|| phase.poll(&mut cx, self.body, run));
        call.is_idle = false;
        match polled {
            // A frame, and more to come.
            Ok(Poll::Ready(None)) => {}
            Ok(Poll::Ready(Some(next))) => call.set_phase(run, next),
            Ok(Poll::Pending) => {
                run.check_no_self_wake(waker, wakes_before, script_wakes_before);
                call.is_idle = waker.count() == wakes_before;
            }
            Err(payload) => {
                let done = run.expect_scripted_panic(&payload);
                call.set_phase(run, done);
            }
        }
    }

    /// Polls a call to its end.
    async fn run_to_completion(&self, run: &TestRun<'_>, call: &mut CallUnderTest<S::Future>) {
        let mut waited = 0;
        for _ in 0..MAX_POLLS {
            if call.is_done() {
                return;
            }
            self.poll_call(run, call);
            if call.is_idle {
                waited += 1;
                advance(CLOCK_STEP).await;
            }
            // After 100 s on the paused clock.
            if waited == MAX_IDLE_POLLS {
                violation(
                    run.description,
                    "the call is pending, and nothing wakes its task",
                );
            }
        }
        violation(run.description, "the call does not come to an end");
    }

    /// Checks after a run that nothing is left of it.
    async fn verify_run(&self, run: &TestRun<'_>, calls: usize, ended: bool) {
        // Spawned tasks get to run, and tokio's cooperative budget is reset.
        for _ in 0..3 {
            yield_now().await;
        }
        let violated = if run.ready_checked.violations() > 0 {
            Some("a handle was called that was not itself polled ready")
        // A call that was dropped may not have come that far.
        } else if ended && run.script.calls() < calls {
            Some("a call did not reach the service: give the layer more room")
        } else if run.script.in_flight() > 0 {
            Some("the service's future or body outlives the call")
        } else {
            None
        };
        if let Some(violated) = violated {
            violation(run.description, violated);
        }
        (self.verify)(&CompletedRun {
            description: run.description,
            calls,
            completed_case: ended.then_some(run.case),
        });
    }
}
