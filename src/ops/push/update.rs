use std::sync::{Arc, OnceLock};

use super::{Channel, Channels};

/// Why an update was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpdateKind {
    /// A second is over.
    Tick,
    /// A state has changed.
    Change,
}

/// What all viewers get: the present of each section as JSON, serialized once.
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
    /// The latest events, for a viewer that has none yet.
    pub(crate) journal: Arc<str>,
    /// The events since the update before, as a list; of a change.
    pub(crate) events: Option<Arc<str>>,
    /// The sections that differ from the update before.
    pub(crate) changed: Channels,
    /// The history for the charts, made when the first viewer needs it.
    pub(crate) overview: OnceLock<Arc<str>>,
}

impl Update {
    /// Returns the name and the JSON of the section of a channel.
    pub(super) fn section(&self, channel: Channel) -> (&'static str, &str) {
        match channel {
            Channel::Metrics => ("routes", &self.routes),
            Channel::Guards => ("guards", &self.guards),
            Channel::Health => ("health", &self.health),
            Channel::Errors => ("errors", &self.errors),
            Channel::Journal => ("journal", &self.journal),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Returns an update whose sections are their own names.
    pub(crate) fn update(kind: UpdateKind, seq: u64, changed: &[Channel]) -> Arc<Update> {
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
            journal: text("j"),
            events: (kind == UpdateKind::Change).then(|| format!("[{seq}]").into()),
            changed: set,
            overview: OnceLock::from(Arc::from("\"o\"")),
        })
    }
}
