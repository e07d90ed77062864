use std::sync::{Arc, OnceLock};

use super::{Channels, PushChannel};

/// The reason for which an update was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpdateKind {
    /// A second is over.
    Tick,
    /// A state has changed.
    Change,
}

/// An update for all viewers: the present of each section as JSON, serialized once.
#[derive(Debug)]
pub(crate) struct Update {
    pub(crate) kind: UpdateKind,
    pub(crate) seq: u64,
    /// Unix seconds.
    pub(crate) at: f64,
    /// The object of the status without what depends on the viewer.
    pub(crate) status: Arc<str>,
    /// The figures of the last second; of a tick.
    pub(crate) point: Option<Arc<str>>,
    pub(crate) routes: Arc<str>,
    pub(crate) guards: Arc<str>,
    pub(crate) health: Arc<str>,
    pub(crate) errors: Arc<str>,
    pub(crate) workflows: Arc<str>,
    /// The latest traces, where they are kept.
    pub(crate) traces: Option<Arc<str>>,
    pub(crate) alerts: Arc<str>,
    /// The events since the update before, as a list; of a change.
    pub(crate) events: Option<Arc<str>>,
    /// The number of the last of these events.
    pub(crate) newest_event: Option<u64>,
    /// The latest records of the log; of a tick.
    #[cfg(feature = "ops-logs")]
    pub(crate) logs: Option<crate::ops::logs::TailChunk>,
    /// The sections that differ from the update before.
    pub(crate) changed: Channels,
    /// The parts that only a first frame has, made when the first viewer needs it.
    pub(crate) first: OnceLock<FirstParts>,
}

/// The parts that only a first frame has.
#[derive(Debug)]
pub(crate) struct FirstParts {
    /// The history for the charts.
    pub(crate) overview: Arc<str>,
    /// The latest events.
    pub(crate) journal: Arc<str>,
}

impl Update {
    /// Returns the name and the JSON of the section of a channel; events are no section.
    pub(super) fn section(&self, channel: PushChannel) -> Option<(&'static str, &str)> {
        match channel {
            PushChannel::Metrics => Some(("routes", &self.routes)),
            PushChannel::Guards => Some(("guards", &self.guards)),
            PushChannel::Health => Some(("health", &self.health)),
            PushChannel::Errors => Some(("errors", &self.errors)),
            PushChannel::Journal | PushChannel::Logs => None,
            PushChannel::Workflows => Some(("workflows", &self.workflows)),
            PushChannel::Traces => Some(("traces", self.traces.as_deref()?)),
            PushChannel::Alerts => Some(("alerts", &self.alerts)),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Returns an update whose sections are their own names.
    pub(crate) fn update(kind: UpdateKind, seq: u64, changed: &[PushChannel]) -> Arc<Update> {
        let mut set = Channels::NONE;
        changed.iter().for_each(|channel| set.insert(*channel));
        let text = |text: &str| Arc::from(format!("\"{text}{seq}\""));
        Arc::new(Update {
            kind,
            seq,
            at: seq as f64 + 0.5,
            status: format!("{{\"n\":{seq}}}").into(),
            point: (kind == UpdateKind::Tick).then(|| seq.to_string().into()),
            routes: text("r"),
            guards: text("g"),
            health: text("h"),
            errors: text("e"),
            workflows: text("w"),
            traces: None,
            alerts: text("a"),
            events: (kind == UpdateKind::Change).then(|| format!("[{seq}]").into()),
            newest_event: (kind == UpdateKind::Change).then_some(seq),
            #[cfg(feature = "ops-logs")]
            logs: None,
            changed: set,
            first: OnceLock::from(FirstParts {
                overview: "\"o\"".into(),
                journal: text("j"),
            }),
        })
    }
}
