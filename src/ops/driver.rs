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
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use super::{
    core::Core,
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
    let weak = Arc::downgrade(core);
    record_start(core);
    async move {
        let mut ticks = interval(SECOND);
        // History has a gap where the runtime was blocked, not a burst.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut is_shutting_down = false;
        let mut next_push = None;
        let mut last_push = Instant::now() - BETWEEN_CHANGES;
        loop {
            let is_alive = tokio::select! {
                now = ticks.tick() => offload(&weak, move |core| core.tick(SystemTime::now(), now)).await,
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
                _ = events.next() => {
                    next_push.get_or_insert_with(|| Instant::now().max(last_push + BETWEEN_CHANGES));
                    true
                }
                () = sleep_until(next_push.unwrap_or(last_push)), if next_push.is_some() => {
                    (next_push, last_push) = (None, Instant::now());
                    let send = |core: &Core| core.send_update(UpdateKind::Change, SystemTime::now());
                    offload(&weak, send).await
                }
            };
            if !is_alive {
                return;
            }
        }
    }
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
    let severity = match transition.to {
        "open" | "forced_open" if !transition.shadow => Severity::Critical,
        "closed" | "off" => Severity::Info,
        _ => Severity::Warning,
    };
    let key = transition.key.as_ref().map(|key| format!(" for {key}"));
    let text = format!(
        "{} → {}{}, {}",
        words(transition.from),
        words(transition.to),
        key.as_deref().unwrap_or_default(),
        words(transition.reason)
    );
    let last_error = transition.last_error.as_ref();
    let event = Event::new(EventKind::Guard, severity, transition.name.as_str(), text)
        .with("kind", transition.kind)
        .with("from", transition.from)
        .with("to", transition.to)
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
