use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::broadcast, time::Instant};

use super::{
    CircuitBreakerBuilder, Permit,
    core::{Answer, Core, State},
    events::{Queue, Reason, Teller, Transition, show_state},
    settings::{Settings, WindowKind},
    window::{Counts, Ticks, Verdict},
};
use crate::{
    call::{End, Moment, Name, Outcome, Rejection, RejectionKind, quietly},
    registry::{self, Inspect, Stats},
};

/// Stops calling what fails: see the [module](super). Clones are the same breaker.
#[derive(Clone)]
pub struct CircuitBreaker {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    name: Name,
    settings: Settings,
    ticks: Ticks,
    shadow: AtomicBool,
    gate: AtomicU64,
    /// Successes since the lock was last held: see [`Pending`].
    pending: AtomicU64,
    locked: Mutex<Locked>,
    teller: Teller,
}

struct Locked {
    core: Core,
    pending_tick: u64,
    queue: Queue,
    /// Why it last opened, and the error that made it.
    why: Option<Reason>,
    last_error: Option<Name>,
}

/// The generation, and what a call may do without the lock: packed into [`Shared::gate`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Count = 0,
    Nothing = 1,
    Lock = 2,
}

fn gate(generation: u64, state: State) -> u64 {
    let way = match state {
        State::Closed => Way::Count,
        State::Disabled => Way::Nothing,
        _ => Way::Lock,
    };
    generation << 2 | way as u64
}

/// Successes of one generation and bucket: 20 bits of generation, 28 of tick, 16 of count.
///
/// A success is added only if the word still bears its generation and bucket, by one compare-and-swap; so
/// whoever holds the lock and swaps the word gets each success once, and all in the bucket where they belong.
/// They are successes in a row: a failure empties the word first. That keeps streaks and count rings exact.
struct Pending;

impl Pending {
    const MOST: u64 = 0xffff;

    #[inline]
    fn word(generation: u64, tick: u64) -> u64 {
        (generation & 0xf_ffff) << 44 | (tick & 0xfff_ffff) << 16
    }
}

/// What a call holds that a breaker let pass.
#[derive(Debug)]
pub struct BreakerPermit {
    generation: u64,
    counts: bool,
}

impl CircuitBreaker {
    /// A breaker to be set up.
    pub fn builder(name: impl Into<Name>) -> CircuitBreakerBuilder {
        CircuitBreakerBuilder::new(name.into())
    }

    /// What textbooks draw: opens after five failures in a row, for 30 seconds, then one probe decides.
    pub fn classic(name: impl Into<Name>) -> CircuitBreakerBuilder {
        CircuitBreakerBuilder::new(name.into()).classic()
    }

    pub(super) fn make(name: Name, settings: Settings, shadow: bool) -> Self {
        let now = Instant::now();
        let ticks = match settings.window {
            WindowKind::Time(window, buckets) => Ticks::new(now, window, buckets),
            // All calls fall into one bucket of a ring that has none.
            WindowKind::Count(_) => Ticks::new(now, Duration::MAX, 1),
        };
        quietly(|| show_state(&name, State::Closed));
        let shared = Arc::new(Shared {
            locked: Mutex::new(Locked {
                core: Core::new(settings, ticks, now),
                pending_tick: 1,
                queue: Queue::default(),
                why: None,
                last_error: None,
            }),
            name,
            settings,
            ticks,
            shadow: AtomicBool::new(shadow),
            gate: AtomicU64::new(gate(0, State::Closed)),
            pending: AtomicU64::new(Pending::word(0, 1)),
            teller: Teller::new(),
        });
        registry::enter(&shared);
        CircuitBreaker { shared }
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.shared.name.as_str()
    }

    /// The state. An open circuit stays so until a call comes after its time.
    pub fn state(&self) -> State {
        self.shared.lock().core.state()
    }

    /// What the window holds now.
    pub fn counts(&self) -> Counts {
        self.shared.lock().core.counts(Instant::now())
    }

    /// How many calls have failed in a row.
    pub fn consecutive_failures(&self) -> u32 {
        self.shared.lock().core.streak()
    }

    /// How many probes are on their way.
    pub fn probes_in_flight(&self) -> u32 {
        self.shared.lock().core.probes_in_flight()
    }

    /// Whether a call that came now would be refused.
    pub fn would_refuse(&self) -> bool {
        let shared = &*self.shared;
        let free = shared.gate.load(Ordering::Acquire) & 3 != Way::Lock as u64;
        !free && !self.is_shadow() && {
            let now = Instant::now();
            shared.lock().core.would_refuse(now) != Answer::Passes
        }
    }

    /// Opens the circuit for this time; one that is open already stays so for at least as long. For a peer that
    /// says when to come back. A forced or disabled breaker does not listen.
    pub fn open_for(&self, time: Duration) {
        let now = Instant::now();
        if let Some(until) = now.checked_add(time) {
            self.open_until(until);
        }
    }

    /// Opens the circuit until then; see [`open_for`](Self::open_for).
    pub fn open_until(&self, until: Instant) {
        let now = Instant::now();
        self.shared.change(None, |core| core.open_until(until, now));
    }

    /// Refuses everything until [`reset`](Self::reset).
    pub fn force_open(&self) {
        self.shared
            .change(None, |core| core.force_open(Instant::now()));
    }

    /// Lets everything pass, and counts nothing, until [`reset`](Self::reset).
    pub fn disable(&self) {
        self.shared
            .change(None, |core| core.disable(Instant::now()));
    }

    /// Closes the circuit and forgets all it has counted, from whatever state.
    pub fn reset(&self) {
        self.shared
            .change(None, |core| Some(core.reset(Instant::now())));
    }

    /// Counts and reports as ever, but refuses nothing while it is on.
    pub fn set_shadow(&self, on: bool) {
        self.shared.shadow.store(on, Ordering::Relaxed);
    }

    /// Whether the breaker only watches.
    pub fn is_shadow(&self) -> bool {
        self.shared.shadow.load(Ordering::Relaxed)
    }

    /// Every transition from now on, in order. One who lags behind by more than 64 is told how many are lost.
    pub fn subscribe(&self) -> broadcast::Receiver<Transition> {
        self.shared.teller.subscribers.subscribe()
    }

    /// Lets one call pass, to be settled by hand; dropping the permit cancels.
    ///
    /// # Errors
    ///
    /// The refusal, if the circuit is open.
    pub fn try_acquire(&self) -> Result<Permit, Rejection> {
        let now = Moment::default();
        let permit = self.shared.admit(&now)?;
        Ok(Permit::new(self.clone(), permit, now.known()))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Locked> {
        let mut locked = self.locked.lock().unwrap_or_else(PoisonError::into_inner);
        let word = Pending::word(locked.core.generation(), locked.pending_tick);
        let times = self.pending.swap(word, Ordering::AcqRel) & Pending::MOST;
        let tick = locked.pending_tick;
        locked.core.successes(tick, times);
        locked
    }

    #[inline]
    pub(super) fn admit(&self, now: &Moment) -> Result<BreakerPermit, Rejection> {
        if self.settings.slow_limit.is_some() {
            now.now();
        }
        let gate = self.gate.load(Ordering::Acquire);
        if gate & 3 != Way::Lock as u64 {
            return Ok(BreakerPermit {
                generation: gate >> 2,
                counts: true,
            });
        }
        self.admit_locked(now.now())
    }

    #[cold]
    fn admit_locked(&self, now: Instant) -> Result<BreakerPermit, Rejection> {
        let ((answer, generation, why, last_error), _) = self.with(|locked| {
            let (answer, change) = locked.core.admit(now);
            let told = (
                answer,
                locked.core.generation(),
                locked.why,
                locked.last_error.clone(),
            );
            (told, change)
        });
        let Answer::Refused(wait) = answer else {
            return Ok(BreakerPermit {
                generation,
                counts: true,
            });
        };
        self.teller.refused(&self.name);
        if self.shadow.load(Ordering::Relaxed) {
            return Ok(BreakerPermit {
                generation,
                counts: false,
            });
        }
        let mut rejection = Rejection::new(RejectionKind::CircuitOpen, self.name.clone());
        if let Some(why) = why {
            rejection = rejection.reason(why.as_str());
        }
        if let Some(error) = last_error {
            rejection = rejection.last_error(error);
        }
        Err(match wait {
            Some(wait) => rejection.retry_after(wait),
            None => rejection,
        })
    }

    #[inline]
    pub(super) fn settle(&self, permit: BreakerPermit, end: &End<'_>) {
        let gate = self.gate.load(Ordering::Acquire);
        if !permit.counts || gate >> 2 != permit.generation || gate & 3 == Way::Nothing as u64 {
            return;
        }
        let verdict = self.verdict(end);
        if gate & 3 == Way::Count as u64 {
            match verdict {
                None => return,
                Some(Verdict::Success) => return self.succeed(permit.generation, end),
                Some(_) => {}
            }
        }
        self.change(Some(end), |core| {
            core.settle(permit.generation, verdict, end.now())
        });
    }

    fn verdict(&self, end: &End<'_>) -> Option<Verdict> {
        let limit = self.settings.slow_limit;
        let slow = limit.is_some_and(|limit| end.elapsed().is_some_and(|took| took >= limit));
        match (end.outcome(), slow) {
            (Outcome::Success, false) => Some(Verdict::Success),
            (Outcome::Success, true) => Some(Verdict::SlowSuccess),
            (Outcome::Ignored | Outcome::Rejected | Outcome::Cancelled, false) => None,
            (Outcome::Ignored | Outcome::Rejected, true) => None,
            (_, true) => Some(Verdict::SlowFailure),
            (_, false) => Some(Verdict::Failure),
        }
    }

    #[inline]
    fn succeed(&self, generation: u64, end: &End<'_>) {
        // A ring that is full of successes need not be told of another.
        let (tick, most) = match self.settings.window {
            WindowKind::Count(calls) => (1, calls as u64),
            WindowKind::Time(..) => (self.ticks.at(end.now()), Pending::MOST),
        };
        let wanted = Pending::word(generation, tick);
        let mut word = self.pending.load(Ordering::Relaxed);
        while word & !Pending::MOST == wanted {
            if word & Pending::MOST >= most {
                if matches!(self.settings.window, WindowKind::Count(_)) {
                    return;
                }
                break;
            }
            let swapped = self.pending.compare_exchange_weak(
                word,
                word + 1,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            match swapped {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
        self.succeed_locked(generation, tick);
    }

    /// The first success of a bucket: the word moves on to it, unless it is ahead already.
    #[cold]
    fn succeed_locked(&self, generation: u64, tick: u64) {
        let mut locked = self.lock();
        if locked.core.generation() != generation {
            return;
        }
        locked.core.successes(tick, 1);
        let was = locked.pending_tick;
        if tick > was {
            locked.pending_tick = tick;
            // Empty since the lock was taken, but for successes of the old bucket that came meanwhile.
            let old = self
                .pending
                .swap(Pending::word(generation, tick), Ordering::AcqRel);
            locked.core.successes(was, old & Pending::MOST);
        }
    }

    /// The service could not become ready.
    pub(super) fn unready(&self) {
        self.change(None, |core| core.unready(Instant::now()));
    }

    /// Runs a step that may be a transition, and tells of it after the lock is free.
    fn change(
        &self,
        end: Option<&End<'_>>,
        step: impl FnOnce(&mut Core) -> Option<super::core::Change>,
    ) {
        let (_, opened) = self.with(|locked| ((), step(&mut locked.core)));
        // Formatting is the error's own code: never under the lock, and only when the circuit has opened.
        let Some((generation, error)) = opened.zip(end.and_then(End::error)) else {
            return;
        };
        let text = quietly(|| Name::from(error.to_string()));
        let mut locked = self.lock();
        if locked.core.generation() == generation {
            locked.last_error = text;
        }
    }

    /// The generation comes along if the circuit has opened.
    fn with<R>(
        &self,
        step: impl FnOnce(&mut Locked) -> (R, Option<super::core::Change>),
    ) -> (R, Option<u64>) {
        let mut locked = self.lock();
        let (result, change) = step(&mut locked);
        let Some(change) = change else {
            return (result, None);
        };
        let (generation, state) = (locked.core.generation(), locked.core.state());
        let refuses = matches!(state, State::Open | State::ForcedOpen);
        if refuses {
            locked.why = Some(change.reason);
            locked.last_error = None;
        }
        let shadow = self.shadow.load(Ordering::Relaxed);
        let event = Transition::new(&self.name, generation, change, shadow);
        locked.queue.waiting.push_back(event);
        // The word first: a success of the new generation must find it.
        let word = Pending::word(generation, locked.pending_tick);
        self.pending.store(word, Ordering::Release);
        self.gate.store(gate(generation, state), Ordering::Release);
        self.tell(locked);
        (result, refuses.then_some(generation))
    }

    fn tell<'a>(&'a self, mut locked: MutexGuard<'a, Locked>) {
        if std::mem::replace(&mut locked.queue.telling, true) {
            return;
        }
        while let Some(event) = locked.queue.waiting.pop_front() {
            drop(locked);
            self.teller.tell(&event);
            locked = self.lock();
        }
        locked.queue.telling = false;
    }
}

impl Inspect for Shared {
    fn kind(&self) -> &'static str {
        "circuit_breaker"
    }

    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn state(&self) -> &'static str {
        self.lock().core.state().as_str()
    }

    fn stats(&self, stats: &mut Stats) {
        let now = Instant::now();
        let locked = self.lock();
        let counts = locked.core.counts(now);
        stats.count("calls", counts.calls);
        stats.count("failures", counts.failures);
        stats.count("slow", counts.slow);
        stats.count("consecutive_failures", locked.core.streak());
        stats.count("probes_in_flight", locked.core.probes_in_flight());
        stats.count("transitions", locked.core.generation());
        stats.seconds(
            "open_for_seconds",
            match locked.core.would_refuse(now) {
                Answer::Refused(wait) => wait,
                Answer::Passes => None,
            },
        );
        stats.text("reason", locked.why.map(Reason::as_str));
        stats.text("last_error", locked.last_error.as_ref());
        stats.text(
            "mode",
            Some(if self.shadow.load(Ordering::Relaxed) {
                "shadow"
            } else {
                "on"
            }),
        );
    }
}

impl fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreaker")
            .field("name", &self.shared.name)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
