use std::time::Duration;

use super::{
    Arrivals, Report, Simulator,
    arrivals::Kind,
    call_table::{AttemptKey, RoundKey, SimulatedAttempt, SimulatedCall, SimulatedCalls},
    events::{CallOrigin, EventQueue, SimulationEvent},
    server::{Offered, PeerWorkers},
    simulator::{SimulatedClient, TimedChange},
    virtual_clock::VirtualClock,
};
use crate::{
    call::{CallClock, CallEnd, Cause, Outcome, drop_losers},
    guard::Admit,
    hedge::{AfterAttempt, DrivenHedge},
    retry::DrivenCall,
};

/// A simulation that is under way: takes one event after the other, and moves the clock to it.
#[derive(Debug)]
pub(super) struct SimulationRun<'a, G: Admit<()>> {
    simulator: &'a Simulator,
    clients: Vec<SimulatedClient<G>>,
    clock: VirtualClock,
    end: Duration,
    events: EventQueue,
    calls: SimulatedCalls<G::Permit>,
    server: PeerWorkers,
    arrivals: Arrivals,
    generation: u32,
    random: fastrand::Rng,
    report: Report,
}

impl<'a, G: Admit<()>> SimulationRun<'a, G> {
    pub(super) fn new(
        simulator: &'a Simulator,
        clients: Vec<SimulatedClient<G>>,
        clock: VirtualClock,
        end: Duration,
    ) -> Self {
        let mut run = SimulationRun {
            simulator,
            clients,
            clock,
            end,
            events: EventQueue::new(),
            calls: SimulatedCalls::new(),
            server: PeerWorkers::new(simulator.peer),
            arrivals: simulator.arrivals,
            generation: 0,
            random: fastrand::Rng::with_seed(simulator.seed),
            report: Report::new(end, simulator.slice),
        };
        // First, so that a step comes before the calls of its time.
        for (index, (at, _)) in simulator.steps.iter().enumerate() {
            run.events.add(*at, SimulationEvent::Step(index));
        }
        run.add_slice_end();
        run.begin_arrivals();
        run
    }

    /// Takes all events, and returns what has become of the calls.
    pub(super) fn run(mut self, gauge: &impl Fn(&G) -> f64) -> Report {
        while let Some((at, event)) = self.events.next() {
            self.clock.advance_to(at);
            match event {
                SimulationEvent::Arrival(source) => self.on_arrival(source),
                SimulationEvent::Served(key) => self.on_served(key),
                SimulationEvent::Elapsed(key) => self.end_attempt(key, Outcome::TimedOut),
                SimulationEvent::Retry(key) => self.on_retry(key),
                SimulationEvent::Hedge(key) => self.on_hedge(key),
                SimulationEvent::Step(index) => self.on_step(index),
                SimulationEvent::SliceEnd => self.on_slice_end(gauge),
            }
        }
        self.report
    }

    fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    fn on_step(&mut self, index: usize) {
        match self.simulator.steps[index].1 {
            TimedChange::Peer(peer) => {
                self.server.set_peer(peer);
                while let Some(key) = self.server.start_queued() {
                    self.serve(key);
                }
            }
            TimedChange::Arrivals(arrivals) => {
                self.arrivals = arrivals;
                self.generation += 1;
                self.begin_arrivals();
            }
        }
    }

    fn on_slice_end(&mut self, gauge: &impl Fn(&G) -> f64) {
        let gauges = self.clients.iter().map(|client| gauge(&client.guard));
        let mean = gauges.sum::<f64>() / self.clients.len() as f64;
        let queued = self.server.queued();
        // The slice that ends here, and not the one that begins.
        let slice = self
            .report
            .slice_mut(self.clock.elapsed() - Duration::from_nanos(1));
        (slice.gauge, slice.queued) = (mean, queued);
        if self.now() < self.end {
            self.add_slice_end();
        }
    }

    fn add_slice_end(&mut self) {
        let end = (self.now() + self.simulator.slice).min(self.end);
        self.events.add(end, SimulationEvent::SliceEnd);
    }

    fn begin_arrivals(&mut self) {
        let users = match self.arrivals.0 {
            Kind::Open { .. } => None,
            Kind::Closed { users, .. } => Some(users),
        };
        let generation = self.generation;
        let source = |user| CallOrigin { generation, user };
        match users {
            None => self.add_arrival(source(None)),
            Some(users) => (0..users).for_each(|user| self.add_arrival(source(Some(user)))),
        }
    }

    fn add_arrival(&mut self, source: CallOrigin) {
        let Some(gap) = self.arrivals.draw_gap(&mut self.random) else {
            return;
        };
        let at = self.now().saturating_add(gap);
        if at < self.end {
            self.events.add(at, SimulationEvent::Arrival(source));
        }
    }

    fn on_arrival(&mut self, source: CallOrigin) {
        if source.generation != self.generation {
            return;
        }
        let client = match source.user {
            Some(user) => user as usize % self.clients.len(),
            None => {
                self.add_arrival(source);
                self.random.usize(..self.clients.len())
            }
        };
        let now = self.now();
        self.report.slice_mut(now).calls += 1;
        let mut call = SimulatedCall::new(client, source, now);
        call.retry = self.clients[client].retry.as_ref().map(DrivenCall::begin);
        let key = self.calls.insert(call);
        self.begin_round(key);
    }

    fn on_retry(&mut self, key: RoundKey) {
        if let Some(call) = self.calls.get_mut(key)
            && let (Some(driven), Some(retry)) = (&mut call.retry, &self.clients[call.client].retry)
        {
            driven.begin_next(retry);
            self.begin_round(key);
        }
    }

    fn on_hedge(&mut self, key: RoundKey) {
        let call = self.calls.get_mut(key);
        let hedge = call.and_then(|call| call.hedge.as_mut());
        if let Some(number) = hedge.and_then(DrivenHedge::start_due) {
            self.start_attempt(AttemptKey { call: key, number });
        }
    }

    /// Begins the first attempt, or a retry, beside which hedges may be sent.
    fn begin_round(&mut self, key: RoundKey) {
        if let Some(call) = self.calls.get_mut(key) {
            let hedge = self.clients[call.client].hedge.as_ref();
            call.hedge = hedge.map(DrivenHedge::begin);
        }
        let first = AttemptKey {
            call: key,
            number: 1,
        };
        self.start_attempt(first);
    }

    fn start_attempt(&mut self, key: AttemptKey) {
        self.plan_hedge(key.call);
        let began = self.now();
        let Some(call) = self.calls.get_mut(key.call) else {
            return;
        };
        let (guard, clock) = (
            &self.clients[call.client].guard,
            CallClock::at(self.clock.now()),
        );
        let mut permit = None;
        let rejection = guard.try_admit(&mut (), &clock, &mut permit);
        if let Some(rejection) = &rejection
            && let Some(permit) = permit.take()
        {
            // Guards before the one that rejects hold permits.
            let end = CallEnd::new(Outcome::Rejected, &clock).with_admitted_at(clock.now());
            guard.on_end(permit, &end.with_cause(Cause::Rejection(rejection)));
        }
        call.attempts.push(SimulatedAttempt {
            number: key.number,
            began,
            permit,
        });
        match rejection {
            Some(_) => self.end_attempt(key, Outcome::Rejected),
            None => self.send(key),
        }
    }

    /// Adds the time at which a hedge is due beside the attempt that begins, if one is.
    fn plan_hedge(&mut self, key: RoundKey) {
        let call = self.calls.get_mut(key);
        let hedge = call.and_then(|call| call.hedge.as_mut());
        if let Some(at) = hedge.and_then(DrivenHedge::due_at) {
            let wait = at.saturating_duration_since(self.clock.now());
            self.add_timer(wait, SimulationEvent::Hedge(key));
        }
    }
    /// Sends an attempt that the guards have admitted to the peer.
    fn send(&mut self, key: AttemptKey) {
        let slice = self.report.slice_mut(self.clock.elapsed());
        slice.attempts += 1;
        slice.hedges += u64::from(key.number > 1);
        if let Some(limit) = self.simulator.time_limit {
            self.add_timer(limit, SimulationEvent::Elapsed(key));
        }
        match self.server.offer(key) {
            Offered::Started => self.serve(key),
            Offered::Queued => {}
            Offered::Full => self.end_attempt(key, Outcome::Overload),
        }
    }

    /// Adds an event that comes to nothing if what it is about has ended by then.
    fn add_timer(&mut self, wait: Duration, event: SimulationEvent) {
        self.events.add(self.now().saturating_add(wait), event);
        let calls = &self.calls;
        self.events.prune(|event| match event {
            SimulationEvent::Elapsed(key) => calls.has_attempt(key),
            SimulationEvent::Hedge(key) => calls.has(key),
            _ => true,
        });
    }

    /// Has a worker work for an attempt, be it for nobody any more.
    fn serve(&mut self, key: AttemptKey) {
        let time = self.server.peer().draw_time(&mut self.random);
        self.events
            .add(self.now() + time, SimulationEvent::Served(key));
    }

    fn on_served(&mut self, key: AttemptKey) {
        if let Some(next) = self.server.finish() {
            self.serve(next);
        }
        let fails = self.random.f64() < self.server.peer().failure_rate;
        let outcome = if fails {
            Outcome::Failure
        } else {
            Outcome::Success
        };
        self.end_attempt(key, outcome);
    }

    /// Ends an attempt, unless it has ended before, and its call if there is no other attempt.
    fn end_attempt(&mut self, key: AttemptKey, outcome: Outcome) {
        let Some(attempt) = self.calls.remove_attempt(key) else {
            return;
        };
        self.report.count_attempt_end(attempt.began, outcome);
        let Some(call) = self.calls.get_mut(key.call) else {
            return;
        };
        // Guards first: they stand inside of hedges and retries.
        let (client, now) = (&self.clients[call.client], &self.clock);
        end_permit(&client.guard, attempt, outcome, now);
        let next = match &mut call.hedge {
            Some(hedge) => hedge.on_attempt_end(key.number, outcome),
            None => AfterAttempt::End(outcome),
        };
        match next {
            AfterAttempt::Wait => {}
            AfterAttempt::Start(number) => self.start_attempt(AttemptKey { number, ..key }),
            AfterAttempt::End(outcome) => {
                if key.number > 1 && outcome == Outcome::Success {
                    self.report.slice_mut(call.began).hedges_won += 1;
                }
                self.end_round(key.call, outcome);
            }
        }
    }

    /// Ends a round, with the attempts that have lost in it, and its call if there is no retry.
    fn end_round(&mut self, key: RoundKey, outcome: Outcome) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        let client = &self.clients[call.client];
        drop_losers(|| {
            for loser in call.attempts.drain(..) {
                end_permit(&client.guard, loser, Outcome::Cancelled, &self.clock);
            }
        });
        call.hedge = None;
        let wait = match (&mut call.retry, &client.retry) {
            (Some(driven), Some(retry)) => driven.on_attempt_end(retry, outcome),
            _ => None,
        };
        match wait {
            Some(wait) => {
                let next = self.calls.next_round(key);
                self.events
                    .add(self.now() + wait, SimulationEvent::Retry(next));
            }
            None => self.end_call(key, outcome),
        }
    }

    fn end_call(&mut self, key: RoundKey, outcome: Outcome) {
        let Some(call) = self.calls.remove(key) else {
            return;
        };
        if outcome == Outcome::Success {
            let time = self.now() - call.began;
            self.report.count_success(call.began, time);
        }
        // A user thinks, then calls again.
        if call.source.user.is_some() && call.source.generation == self.generation {
            self.add_arrival(call.source);
        }
    }
}

/// Tells the guards of the end of an attempt, if they hold a permit for it.
fn end_permit<G: Admit<()>>(
    guard: &G,
    attempt: SimulatedAttempt<G::Permit>,
    outcome: Outcome,
    clock: &VirtualClock,
) {
    if let Some(permit) = attempt.permit {
        let lasted = clock.elapsed() - attempt.began;
        let now = CallClock::at(clock.now());
        let end = CallEnd::new(outcome, &now).with_admitted_at(now.now() - lasted);
        guard.on_end(permit, &end);
    }
}
