use std::{collections::VecDeque, fmt::Write, ops::RangeInclusive, sync::Arc};

use super::{Channels, PushChannel, Update, UpdateKind};
#[cfg(feature = "ops-logs")]
use crate::ops::logs::{LogQuery, Tail};
use crate::ops::members::{MemberError, Members};

/// The rates that a viewer can choose: one frame per so many seconds.
pub(crate) const EVERY: RangeInclusive<u64> = 1..=60;

/// The parameters that say which records of the log a viewer wants.
#[cfg(feature = "ops-logs")]
pub(crate) const TAIL_PARAMS: &[&str] = &LogQuery::PARAMS;
#[cfg(not(feature = "ops-logs"))]
pub(crate) const TAIL_PARAMS: &[&str] = &[];

/// The version of the frames.
const SCHEMA: u32 = 1;

/// The words that a viewer is told about itself.
#[derive(Clone, Debug)]
pub(crate) struct Greeting {
    /// Members of the status that depend on the viewer, as JSON with a comma at the end.
    pub(crate) status_members: Arc<str>,
}

/// A viewer: which sections it wants how often, and what it has not got yet. Pure: it gets updates and returns frames.
#[derive(Debug)]
pub(crate) struct Viewer {
    greeting: Greeting,
    channels: Channels,
    every: u64,
    /// Ticks since its last frame.
    ticks: u64,
    /// The figures since its last frame, at most as many as the slowest rate has seconds.
    points: VecDeque<Arc<str>>,
    /// The sections that have changed since its last frame.
    changed: Channels,
    /// The records of the log since its last frame, if it wants them.
    #[cfg(feature = "ops-logs")]
    tail: Tail,
}

impl Viewer {
    pub(crate) fn new(greeting: Greeting, channels: Channels, every: u64) -> Self {
        Viewer {
            greeting,
            channels,
            every: every.clamp(*EVERY.start(), *EVERY.end()),
            ticks: 0,
            points: VecDeque::new(),
            changed: Channels::NONE,
            #[cfg(feature = "ops-logs")]
            tail: Tail::default(),
        }
    }

    /// Sets which records of the log it wants.
    #[cfg(feature = "ops-logs")]
    pub(crate) fn with_tail(mut self, query: LogQuery) -> Self {
        self.tail = Tail::new(query);
        self
    }

    /// Returns the first frame, which has everything; also for one that has lost frames.
    pub(crate) fn hello(&mut self, update: &Update) -> String {
        self.forget();
        let mut frame = self.frame("hello", update);
        let _ = write!(frame, ",\"schema\":{SCHEMA},\"every\":{}", self.every);
        self.push_status(&mut frame, update);
        push_sections(&mut frame, update, self.channels);
        if let Some(first) = update.first.get() {
            if self.channels.contains(PushChannel::Metrics) {
                push_member(&mut frame, "overview", &first.overview);
            }
            if self.channels.contains(PushChannel::Journal) {
                push_member(&mut frame, "journal", &first.journal);
            }
        }
        frame.push('}');
        frame
    }

    /// Takes an update, and returns the frame that is due.
    pub(crate) fn on_update(&mut self, update: &Update) -> Option<String> {
        match update.kind {
            UpdateKind::Tick => self.on_tick(update),
            UpdateKind::Change => self.on_change(update),
        }
    }

    fn on_tick(&mut self, update: &Update) -> Option<String> {
        if let Some(point) = &update.point {
            if self.points.len() as u64 == *EVERY.end() {
                self.points.pop_front();
            }
            self.points.push_back(point.clone());
        }
        #[cfg(feature = "ops-logs")]
        if self.channels.contains(PushChannel::Logs)
            && let Some(chunk) = &update.logs
        {
            self.tail.take(chunk);
        }
        self.changed = self.changed.union(update.changed);
        self.ticks += 1;
        (self.ticks >= self.every).then(|| self.tick(update))
    }

    /// Returns a frame with all that is new.
    pub(crate) fn tick(&mut self, update: &Update) -> String {
        let mut frame = self.frame("tick", update);
        self.push_status(&mut frame, update);
        if self.channels.contains(PushChannel::Metrics) {
            frame.push_str(",\"points\":[");
            for (at, point) in self.points.iter().enumerate() {
                frame.push_str(if at > 0 { "," } else { "" });
                frame.push_str(point);
            }
            frame.push(']');
        }
        push_sections(&mut frame, update, self.changed.intersection(self.channels));
        #[cfg(feature = "ops-logs")]
        self.tail.write(&mut frame);
        frame.push('}');
        self.forget();
        frame
    }

    fn on_change(&mut self, update: &Update) -> Option<String> {
        let wanted = update.changed.intersection(self.channels);
        self.changed = self.changed.union(update.changed);
        if wanted.is_empty() {
            return None;
        }
        let mut frame = self.frame("change", update);
        self.push_status(&mut frame, update);
        if wanted.contains(PushChannel::Journal)
            && let Some(events) = &update.events
        {
            push_member(&mut frame, "journal", events);
        }
        let mut sections = wanted;
        // It comes with the next tick.
        sections.remove(PushChannel::Metrics);
        push_sections(&mut frame, update, sections);
        frame.push('}');
        self.changed = self.changed.without(sections);
        Some(frame)
    }

    /// Does what a viewer asks for, and returns the answer.
    pub(crate) fn on_message(&mut self, text: &str, update: &Update) -> String {
        match self.apply(text) {
            Ok(()) => {
                self.changed = Channels::ALL;
                self.tick(update)
            }
            Err(detail) => serde_json::json!({ "type": "problem", "detail": detail }).to_string(),
        }
    }

    fn apply(&mut self, text: &str) -> Result<(), String> {
        let known = [&["action", "channels", "every"], TAIL_PARAMS].concat();
        let wrong = |error: MemberError| error.detail;
        let members = Members::parse(text.as_bytes(), &known).map_err(wrong)?;
        match members.required_text("action").map_err(wrong)? {
            "get_status" => {}
            "subscribe" => {
                let names = members.texts("channels").map_err(wrong)?;
                self.channels = Channels::parse(names).map_err(unknown_channel)?;
            }
            #[cfg(feature = "ops-logs")]
            "tail" => {
                for name in TAIL_PARAMS {
                    members.text(name).map_err(wrong)?;
                }
                let query = LogQuery::parse(|name| members.text(name).ok().flatten());
                self.tail = Tail::new(query.map_err(wrong)?);
                self.channels.insert(PushChannel::Logs);
            }
            "set_every" => {
                let every = members.number("every").map_err(wrong)?;
                let every = every.ok_or("every is missing, must be 1 to 60 (seconds)")?;
                if !EVERY.contains(&every) {
                    return Err(format!("every is {every}, must be 1 to 60 (seconds)"));
                }
                self.every = every;
            }
            other => {
                let shown: String = other.chars().take(32).collect();
                return Err(format!(
                    "action is {shown:?}, must be one of get_status, subscribe, tail, set_every"
                ));
            }
        }
        Ok(())
    }

    fn frame(&self, kind: &str, update: &Update) -> String {
        format!(
            "{{\"type\":\"{kind}\",\"seq\":{},\"at\":{}",
            update.seq, update.at
        )
    }

    fn push_status(&self, frame: &mut String, update: &Update) {
        frame.push_str(",\"status\":{");
        frame.push_str(&self.greeting.status_members);
        // An object with members, of which the first follows.
        frame.push_str(&update.status[1..]);
    }

    fn forget(&mut self) {
        self.ticks = 0;
        self.points.clear();
        self.changed = Channels::NONE;
    }
}

/// Returns the text for a name that is no channel's.
pub(crate) fn unknown_channel(name: &str) -> String {
    let all = PushChannel::ALL.map(PushChannel::as_str).join(", ");
    let shown: String = name.chars().take(32).collect();
    format!("channels has {shown:?}, must be of {all}")
}

fn push_sections(frame: &mut String, update: &Update, channels: Channels) {
    for channel in PushChannel::ALL {
        if channels.contains(channel)
            && let Some((name, json)) = update.section(channel)
        {
            push_member(frame, name, json);
        }
    }
}

fn push_member(frame: &mut String, name: &str, json: &str) {
    let _ = write!(frame, ",\"{name}\":");
    frame.push_str(json);
}

#[cfg(test)]
#[path = "viewer_tests.rs"]
mod tests;
