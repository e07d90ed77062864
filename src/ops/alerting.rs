//! Alerts of the process: what evaluates them, what operators do to them, and who is told.

use tokio::time::Instant;

use super::{
    alerts::{Alert, NotDone, PendingChanges, RuleSubjects, Silence},
    core::Core,
    journal::{Event, EventKind, Severity},
    notify::Notification,
};

/// Begins to count the time, and takes in what was stored before a restart.
pub(super) fn start(core: &Core, now: Instant) {
    core.alerts.start(now);
    restore(core, now);
}

fn restore(core: &Core, now: Instant) {
    let told = core.alerts.restore(&core.store, now);
    tell(core, told);
}

/// Evaluates the rules that are due.
pub(super) fn tick(core: &Core, now: Instant) {
    // A file that could not be read at the start: the process before had it.
    restore(core, now);
    let told = core.alerts.tick(&sources(core), now);
    tell(core, told);
}

/// Evaluates all rules, and returns how many alerts are active.
pub(super) fn evaluate_all(core: &Core) -> usize {
    let told = core.alerts.evaluate_all(&sources(core), Instant::now());
    tell(core, told);
    let engine = core.alerts.engine();
    engine.alerts().filter(|alert| alert.is_active()).count()
}

/// Takes in an event of the journal.
pub(super) fn on_event(core: &Core, event: &Event) {
    let (told, _) = core.alerts.on_event(event, Instant::now());
    tell(core, told);
}

/// Evaluates the rules about what events have changed.
pub(super) fn evaluate_affected(core: &Core) {
    let told = core
        .alerts
        .evaluate_affected(&sources(core), Instant::now());
    tell(core, told);
}

fn sources(core: &Core) -> RuleSubjects<'_> {
    // Not the events, frames and rows that are dropped as time goes by.
    #[allow(unused_mut, reason = "without logs there is no more")]
    let mut dropped = vec![
        ("series", core.recorder.dropped_series()),
        ("transitions", core.guards().dropped()),
        ("error_groups", core.errors.evicted()),
        ("store", core.store.dropped()),
        ("workflows", core.workflows.look(|board| board.missed())),
        ("alerts", core.alerts.engine().dropped()),
    ];
    #[cfg(feature = "ops-logs")]
    {
        let traces = core.traces.stats();
        dropped.extend([
            ("logs", core.logs.figures().1),
            ("traces", traces.lost),
            ("spans", traces.dropped_spans),
        ]);
    }
    RuleSubjects {
        recorder: &core.recorder,
        health: &core.health,
        dropped,
    }
}

fn tell(core: &Core, told: PendingChanges) {
    for notification in told.keep(&core.journal, &core.store) {
        send(core, notification);
    }
}

/// Hands a notification to the channels.
fn send(core: &Core, notification: Notification) {
    core.notifications.send(notification);
}

/// Acknowledges an alert for an operator, and records it. Returns the number of the event.
pub(super) fn acknowledge(
    core: &Core,
    fingerprint: &str,
    by: (Option<&str>, &str),
) -> Result<u64, NotDone> {
    let (before, told) = core.alerts.acknowledge(Instant::now(), fingerprint, by)?;
    tell(core, told);
    Ok(record(core, &before, "acknowledged", by))
}

/// Resolves an alert for an operator, and records it. Returns the number of the event.
pub(super) fn resolve(
    core: &Core,
    fingerprint: &str,
    by: (Option<&str>, &str),
) -> Result<u64, NotDone> {
    let (before, told) = core.alerts.resolve(Instant::now(), fingerprint, by)?;
    tell(core, told);
    Ok(record(core, &before, "resolved", by))
}

fn record(core: &Core, before: &Alert, after: &str, (who, reason): (Option<&str>, &str)) -> u64 {
    let text = format!("alert {after}: {reason}");
    let event = Event::new(EventKind::Control, Severity::Info, &before.rule, text)
        .with_who(who)
        .with("alert", before.fingerprint.as_str())
        .with("before", before.state())
        .with("after", after)
        .with("reason", reason);
    core.audit(event)
}

/// Adds a silence for an operator, and records it. Returns its name and the number of the event.
pub(super) fn silence(core: &Core, silence: Silence) -> Result<(String, u64), NotDone> {
    let text = format!("silenced {}: {}", words(&silence), silence.comment);
    let seconds = silence.ends_at.duration_since(silence.starts_at);
    let event = Event::new(EventKind::Control, Severity::Warning, "alerts", text)
        .with_who(silence.by.as_deref())
        .with("seconds", seconds.unwrap_or_default().as_secs())
        .with("reason", silence.comment.as_str());
    let (id, told) = core.alerts.silence(Instant::now(), silence)?;
    tell(core, told);
    let seq = core.audit(event.with("silence", id.as_str()));
    Ok((id, seq))
}

/// Ends a silence for an operator, and records it. Returns the number of the event.
pub(super) fn end_silence(
    core: &Core,
    id: &str,
    (who, reason): (Option<&str>, &str),
) -> Result<u64, NotDone> {
    let (before, told) = core.alerts.end_silence(Instant::now(), id)?;
    tell(core, told);
    let text = format!("silence of {} has ended: {reason}", words(&before));
    let event = Event::new(EventKind::Control, Severity::Info, "alerts", text)
        .with_who(who)
        .with("silence", id)
        .with("reason", reason);
    Ok(core.audit(event))
}

/// Returns what a silence is about.
fn words(silence: &Silence) -> String {
    let matchers = silence.matchers.iter();
    let matchers: Vec<_> = matchers.map(|it| it.text.as_str()).collect();
    matchers.join(", ")
}
