//! The only loop of the operations side: it ticks each second, and takes what the rest of the crate reports.

use std::{
    future::Future,
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{
        broadcast::{self, error::RecvError},
        watch,
    },
    task::spawn_blocking,
    time::{Instant, MissedTickBehavior, interval_at, sleep_until},
};

use super::{
    alerting,
    core::Core,
    guards::state_text,
    health::{HealthChange, HealthSnapshot, HealthStatus, Phase},
    journal::{Event, EventKind, Severity},
    push::UpdateKind,
    redact::redacted,
};
use crate::{
    call::catch_hook,
    errors::{ErrorEvent, ErrorGroup},
    registry::{self, GuardTransition},
};

const SECOND: Duration = Duration::from_secs(1);
/// The least time between two changes that are pushed: what comes faster is pushed together.
const BETWEEN_CHANGES: Duration = Duration::from_millis(100);

/// Returns the loop, which ends when nobody else holds the core.
pub(super) fn run(core: &Arc<Core>) -> impl Future<Output = ()> + use<> {
    // Subscribed before the first await: what happens from now on is in the journal.
    let mut transitions = registry::subscribe();
    let mut errors = core.errors.subscribe();
    let mut health = core.health.subscribe();
    let mut snapshots = core.health.watch();
    let mut events = core.journal.subscribe();
    let workflows = core.workflows.clone();
    let weak = Arc::downgrade(core);
    #[cfg(feature = "ops-logs")]
    let logs = core.logs.waiting();
    record_start(core);
    async move {
        let began = Instant::now();
        let mut ticks = interval_at(began, SECOND);
        // History has a gap where the runtime was blocked, not a burst.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut is_shutting_down = false;
        let mut next_push = None;
        let mut last_push = Instant::now() - BETWEEN_CHANGES;
        let mut last_workflows = Instant::now() - SECOND;
        #[cfg(feature = "ops-logs")]
        let many_logs = async || logs.many().await;
        #[cfg(not(feature = "ops-logs"))]
        let many_logs = std::future::pending::<()>;
        // Before the first tick: alerts go on where they were.
        if !offload(&weak, move |core| alerting::start(core, began)).await {
            return;
        }
        loop {
            let is_alive = tokio::select! {
                due = ticks.tick() => {
                    let at = wall_clock(due, Instant::now(), SystemTime::now());
                    offload(&weak, move |core| core.tick(at, due)).await
                }
                transition = receive(&mut transitions) => {
                    with_core(&weak, |core| on_transition(core, transition))
                }
                event = errors.next() => with_core(&weak, |core| on_error(core, event)),
                change = receive(&mut health) => with_core(&weak, |core| on_health(core, change)),
                () = shutdown(&mut snapshots), if !is_shutting_down => {
                    is_shutting_down = true;
                    with_core(&weak, on_shutdown)
                }
                // All that is recorded is pushed, by whom ever it was.
                event = events.next() => {
                    next_push.get_or_insert_with(|| Instant::now().max(last_push + BETWEEN_CHANGES));
                    with_core(&weak, |core| alerting::on_event(core, &event))
                }
                // At once, but once per second: what comes faster is pushed together.
                () = workflows.changed(), if last_workflows.elapsed() >= SECOND => {
                    last_workflows = Instant::now();
                    next_push.get_or_insert_with(|| Instant::now().max(last_push + BETWEEN_CHANGES));
                    true
                }
                () = many_logs() => offload(&weak, Core::store_logs).await,
                () = sleep_until(next_push.unwrap_or(last_push)), if next_push.is_some() => {
                    (next_push, last_push) = (None, Instant::now());
                    offload(&weak, on_change).await
                }
            };
            if !is_alive {
                return;
            }
        }
    }
}

/// Returns the wall clock at which a tick was due. It comes somewhat later, on a busy machine in the next second: of two ticks one
/// second would have both points then, and the other none.
fn wall_clock(due: Instant, now: Instant, at: SystemTime) -> SystemTime {
    let late = now.saturating_duration_since(due);
    at.checked_sub(late).unwrap_or(at)
}

/// Runs a step while somebody else holds the core, and returns whether anybody does. A step that panics is one that is left out.
fn with_core(core: &Weak<Core>, step: impl FnOnce(&Core)) -> bool {
    let core = core.upgrade();
    core.is_some_and(|core| {
        catch_hook(|| step(&core));
        true
    })
}

/// Does the same on a thread for what takes some milliseconds, so that no call of the application waits for it.
async fn offload(core: &Weak<Core>, step: impl FnOnce(&Core) + Send + 'static) -> bool {
    let core = core.clone();
    let done = spawn_blocking(move || with_core(&core, step));
    // Cancelled where the runtime shuts down, and this task with it.
    done.await.unwrap_or(false)
}

/// Evaluates rules about what has changed, and sends it to viewers.
fn on_change(core: &Core) {
    // What it records comes with the next update.
    alerting::evaluate_affected(core);
    core.send_update(UpdateKind::Change, SystemTime::now());
}

/// Waits until the process shuts down.
async fn shutdown(snapshots: &mut watch::Receiver<Arc<HealthSnapshot>>) {
    let is_down = |snapshot: &Arc<HealthSnapshot>| snapshot.phase == Phase::ShuttingDown;
    if snapshots.wait_for(is_down).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Sends viewers away: a server that shuts down waits for their connections.
fn on_shutdown(core: &Core) {
    let subject = core.about.service.as_str();
    let event = Event::new(
        EventKind::Lifecycle,
        Severity::Info,
        subject,
        "shutting down",
    );
    core.journal.record(event);
    let failed = core.failed_logins().take(Instant::now());
    core.record_failed_logins(failed, SystemTime::now());
    core.send_update(UpdateKind::Change, SystemTime::now());
    core.hub.close();
    core.flush();
}

/// A value that was received, or how many were lost before it.
enum Received<T> {
    One(T),
    Lost(u64),
}

async fn receive<T: Clone>(receiver: &mut broadcast::Receiver<T>) -> Received<T> {
    match receiver.recv().await {
        Ok(value) => Received::One(value),
        Err(RecvError::Lagged(lost)) => Received::Lost(lost),
        Err(RecvError::Closed) => std::future::pending().await,
    }
}

fn record_start(core: &Core) {
    let text = match &core.about.version {
        Some(version) => format!("started, version {version}"),
        None => "started".to_owned(),
    };
    let subject = core.about.service.as_str();
    let event = Event::new(EventKind::Lifecycle, Severity::Info, subject, text);
    core.journal.record_at(event, core.about.started_at);
}

fn on_transition(core: &Core, transition: Received<GuardTransition>) {
    let transition = match transition {
        Received::One(transition) => transition,
        Received::Lost(lost) => return record_lost(core, EventKind::Guard, "transitions", lost),
    };
    core.guards().record(&transition);
    let limits = transition.limits;
    let severity = match transition.to {
        _ if limits.is_some_and(|limits| limits.to > limits.from) => Severity::Info,
        "open" | "forced_open" if !transition.shadow => Severity::Critical,
        "closed" | "off" => Severity::Info,
        _ => Severity::Warning,
    };
    let key = transition.key.as_ref().map(|key| format!(" for {key}"));
    let from = state_text(transition.from, limits.map(|limits| limits.from));
    let to = state_text(transition.to, limits.map(|limits| limits.to));
    let text = format!(
        "{} → {}{}, {}",
        words(&from),
        words(&to),
        key.as_deref().unwrap_or_default(),
        words(transition.reason)
    );
    let last_error = transition.last_error.as_ref();
    let event = Event::new(EventKind::Guard, severity, transition.name.as_str(), text)
        .with("kind", transition.kind)
        .with("from", &*from)
        .with("to", &*to)
        .with("reason", transition.reason)
        .with("key", transition.key.as_ref().map(|key| key.as_str()))
        .with(
            "last_error",
            last_error.map(|error| redacted(error.as_str())),
        )
        .with("shadow", transition.shadow);
    core.journal.record_at(event, transition.at);
}

fn on_error(core: &Core, event: Option<ErrorEvent>) {
    let (group, what) = match event {
        Some(ErrorEvent::New(group)) => (group, "new error"),
        Some(ErrorEvent::Regressed(group)) => (group, "error is back"),
        Some(ErrorEvent::Lagged(lost)) => {
            return record_lost(core, EventKind::Error, "error events", lost);
        }
        _ => return,
    };
    core.journal.record(error_event(&group, what));
}

fn error_event(group: &ErrorGroup, what: &str) -> Event {
    let route = group.route().map(|route| format!(" on {route}"));
    let message = redacted(group.message());
    let text = format!("{what}{}: {message}", route.unwrap_or_default());
    Event::new(EventKind::Error, Severity::Warning, group.kind(), text)
        .with("fingerprint", group.fingerprint().to_string())
        .with("route", group.route())
}

fn on_health(core: &Core, change: Received<HealthChange>) {
    let change = match change {
        Received::One(change) => change,
        Received::Lost(lost) => return record_lost(core, EventKind::Health, "changes", lost),
    };
    let severity = match change.to {
        HealthStatus::Healthy => Severity::Info,
        HealthStatus::Unhealthy if change.is_critical => Severity::Critical,
        _ => Severity::Warning,
    };
    let reason = change.text.as_ref().map(|text| format!(", {text}"));
    let text = format!(
        "{} → {}{}",
        change.from,
        change.to,
        reason.unwrap_or_default()
    );
    let event = Event::new(EventKind::Health, severity, change.component.as_str(), text)
        .with("from", change.from.as_str())
        .with("to", change.to.as_str())
        .with("failures", change.failures);
    core.journal.record_at(event, change.at);
}

fn record_lost(core: &Core, kind: EventKind, what: &str, lost: u64) {
    let text = format!("{lost} {what} were lost: they came faster than they could be recorded");
    let subject = core.about.service.as_str();
    core.journal
        .record(Event::new(kind, Severity::Warning, subject, text));
}

fn words(state: &str) -> String {
    state.replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_ticks_have_the_seconds_in_which_they_were_due() {
        let (began, at_begin) = (Instant::now(), SystemTime::UNIX_EPOCH + SECOND * 1_000);
        // Due shortly before the end of a second, and late by less than one.
        let late = [0, 20, 900, 3, 50, 0, 999, 10].map(Duration::from_millis);
        let seconds = (0..).zip(late).map(|(tick, late)| {
            let due = SECOND * tick + Duration::from_millis(990);
            let at = wall_clock(began + due, began + due + late, at_begin + due + late);
            let since = at.duration_since(SystemTime::UNIX_EPOCH);
            since.expect("after 1970").as_secs()
        });
        assert!(seconds.eq(1_000..1_008));
    }
}
