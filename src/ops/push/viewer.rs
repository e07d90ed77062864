use std::{collections::VecDeque, fmt::Write, ops::RangeInclusive, sync::Arc};

use super::{Channel, Channels, Update, UpdateKind};
use crate::ops::members::{MemberError, Members};

/// The rates that a viewer can choose: one frame per so many seconds.
pub(crate) const EVERY: RangeInclusive<u64> = 1..=60;

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
        }
    }

    /// Returns the first frame, which has everything; also for one that has lost frames.
    pub(crate) fn hello(&mut self, update: &Update) -> String {
        self.forget();
        let mut frame = self.frame("hello", update);
        let _ = write!(frame, ",\"schema\":{SCHEMA},\"every\":{}", self.every);
        self.push_status(&mut frame, update);
        push_sections(&mut frame, update, self.channels);
        if let Some(first) = update.first.get() {
            if self.channels.contains(Channel::Metrics) {
                push_member(&mut frame, "overview", &first.overview);
            }
            if self.channels.contains(Channel::Journal) {
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
        self.changed = self.changed.union(update.changed);
        self.ticks += 1;
        (self.ticks >= self.every).then(|| self.tick(update))
    }

    /// Returns a frame with all that is new.
    pub(crate) fn tick(&mut self, update: &Update) -> String {
        let mut frame = self.frame("tick", update);
        self.push_status(&mut frame, update);
        if self.channels.contains(Channel::Metrics) {
            frame.push_str(",\"points\":[");
            for (at, point) in self.points.iter().enumerate() {
                frame.push_str(if at > 0 { "," } else { "" });
                frame.push_str(point);
            }
            frame.push(']');
        }
        push_sections(&mut frame, update, self.changed.intersection(self.channels));
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
        if wanted.contains(Channel::Journal)
            && let Some(events) = &update.events
        {
            push_member(&mut frame, "journal", events);
        }
        let mut sections = wanted;
        // It comes with the next tick.
        sections.remove(Channel::Metrics);
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
        let known = ["action", "channels", "every"];
        let wrong = |error: MemberError| error.detail;
        let members = Members::parse(text.as_bytes(), &known).map_err(wrong)?;
        match members.required_text("action").map_err(wrong)? {
            "get_status" => {}
            "subscribe" => {
                let names = members.texts("channels").map_err(wrong)?;
                self.channels = Channels::parse(names).map_err(unknown_channel)?;
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
                    "action is {shown:?}, must be one of get_status, subscribe, set_every"
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
    let all = Channel::ALL.map(Channel::as_str).join(", ");
    let shown: String = name.chars().take(32).collect();
    format!("channels has {shown:?}, must be of {all}")
}

fn push_sections(frame: &mut String, update: &Update, channels: Channels) {
    for channel in Channel::ALL {
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
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{super::update::tests::update, *};

    fn viewer(channels: &[&str], every: u64) -> Viewer {
        let greeting = Greeting {
            status_members: "\"role\":\"viewer\",".into(),
        };
        let channels = Channels::parse(channels.iter().copied()).expect("channels");
        Viewer::new(greeting, channels, every)
    }

    fn parsed(frame: String) -> Value {
        serde_json::from_str(&frame).expect("json")
    }

    fn tick(viewer: &mut Viewer, seq: u64, changed: &[Channel]) -> Option<Value> {
        viewer
            .on_update(&update(UpdateKind::Tick, seq, changed))
            .map(parsed)
    }

    fn change(viewer: &mut Viewer, seq: u64, changed: &[Channel]) -> Option<Value> {
        viewer
            .on_update(&update(UpdateKind::Change, seq, changed))
            .map(parsed)
    }

    #[test]
    fn viewer_gets_everything_it_asked_for_at_first() {
        let hello = |channels| parsed(viewer(channels, 2).hello(&update(UpdateKind::Tick, 7, &[])));
        let common = json!({
            "type": "hello", "seq": 7, "at": 7.5, "schema": 1, "every": 2,
            "status": {"role": "viewer", "n": 7}
        });
        assert_eq!(hello(&[]), common);
        let mut all = common.clone();
        for (name, value) in [
            ("overview", "o"),
            ("routes", "r7"),
            ("guards", "g7"),
            ("health", "h7"),
            ("errors", "e7"),
            ("journal", "j7"),
        ] {
            all[name] = value.into();
        }
        assert_eq!(hello(&Channel::ALL.map(Channel::as_str)), all);
    }

    #[test]
    fn viewer_gets_a_frame_per_chosen_time_with_all_points_since() {
        let mut viewer = viewer(&["metrics", "health"], 3);
        assert_eq!(tick(&mut viewer, 1, &[Channel::Health]), None);
        assert_eq!(tick(&mut viewer, 2, &[Channel::Guards]), None);
        let expected = json!({
            "type": "tick", "seq": 3, "at": 3.5, "status": {"role": "viewer", "n": 3}, "points": [1, 2, 3],
            "health": "h3"
        });
        assert_eq!(tick(&mut viewer, 3, &[]), Some(expected));
        assert_eq!(tick(&mut viewer, 4, &[]), None);
    }

    #[test]
    fn viewer_gets_changes_of_its_channels_at_once() {
        let mut viewer = viewer(&["guards", "journal"], 2);
        let both = [Channel::Guards, Channel::Journal, Channel::Health];
        let expected = json!({"type": "change", "seq": 5, "at": 5.5, "status": {"role": "viewer", "n": 5}, "journal": [5], "guards": "g5"});
        assert_eq!(change(&mut viewer, 5, &both), Some(expected));
        assert_eq!(change(&mut viewer, 6, &[Channel::Health]), None);
        // Not once more with the next tick.
        tick(&mut viewer, 7, &[]);
        let frame = tick(&mut viewer, 8, &[]).expect("due");
        assert_eq!(
            (
                frame.get("guards"),
                frame.get("journal"),
                frame.get("points")
            ),
            (None, None, None)
        );
    }

    #[test]
    fn viewer_gets_changed_routes_with_the_next_tick() {
        let mut viewer = viewer(&["metrics", "guards"], 2);
        let frame = change(&mut viewer, 1, &[Channel::Metrics, Channel::Guards]).expect("due");
        assert_eq!(
            (frame.get("routes"), &frame["guards"]),
            (None, &json!("g1"))
        );
        tick(&mut viewer, 2, &[]);
        let frame = tick(&mut viewer, 3, &[]).expect("due");
        assert_eq!(
            (&frame["routes"], frame.get("guards")),
            (&json!("r3"), None)
        );
    }

    #[test]
    fn viewer_keeps_the_points_of_a_minute_at_most() {
        let mut viewer = viewer(&["metrics"], 60);
        for seq in 1..60 {
            assert_eq!(tick(&mut viewer, seq, &[]), None);
        }
        let frame = tick(&mut viewer, 60, &[]).expect("due");
        assert_eq!(frame["points"].as_array().map(Vec::len), Some(60));
        // One that is never due, since it is asked to wait longer while it waits.
        for seq in 0..200 {
            viewer.ticks = 0;
            tick(&mut viewer, seq, &[]);
        }
        assert_eq!(viewer.points.len(), 60);
    }

    #[test]
    fn viewer_changes_channels_and_rate_while_it_looks() {
        let mut viewer = viewer(&["metrics"], 60);
        let now = update(UpdateKind::Tick, 1, &[]);
        let mut send = |text: &str| parsed(viewer.on_message(text, &now));
        let status = send(r#"{"action":"get_status"}"#);
        assert_eq!(
            (&status["type"], &status["routes"]),
            (&json!("tick"), &json!("r1"))
        );
        let frame = send(r#"{"action":"subscribe","channels":["guards","health"]}"#);
        assert_eq!(
            (&frame["guards"], frame.get("routes")),
            (&json!("g1"), None)
        );
        send(r#"{"action":"set_every","every":1}"#);
        for (text, detail) in [
            (
                r#"{"action":"set_every","every":0}"#,
                "every is 0, must be 1 to 60 (seconds)",
            ),
            (
                r#"{"action":"subscribe","channels":["guard"]}"#,
                r#"channels has "guard", must be of metrics, guards, health, errors, journal"#,
            ),
        ] {
            assert_eq!(send(text), json!({"type": "problem", "detail": detail}));
        }
        for text in [
            "",
            "[]",
            r#"{"action":"reset"}"#,
            r#"{"action":"get_status","x":1}"#,
        ] {
            assert_eq!(send(text)["type"], "problem", "{text}");
        }
        assert!(tick(&mut viewer, 2, &[]).is_some(), "each second");
    }

    proptest! {
        #[test]
        fn viewer_answers_whatever_it_is_sent(text in any_message()) {
            let mut viewer = viewer(&["metrics"], 60);
            let answer = parsed(viewer.on_message(&text, &update(UpdateKind::Tick, 1, &[])));
            match answer["type"].as_str() {
                Some("tick") => prop_assert!(answer["status"].is_object()),
                Some("problem") => prop_assert!(answer["detail"].is_string()),
                other => prop_assert!(false, "{:?}", other),
            }
            prop_assert!(EVERY.contains(&viewer.every));
        }
    }

    /// Pieces of messages in any order, and any text.
    fn any_message() -> impl Strategy<Value = String> {
        const PIECES: &[&str] = &[
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"action\"",
            "\"get_status\"",
            "\"subscribe\"",
            "\"channels\"",
            "\"guards\"",
            "\"set_every\"",
            "\"every\"",
            "5",
            "-1",
            "1e400",
            "null",
            "\"",
        ];
        let pieces = proptest::collection::vec(proptest::sample::select(PIECES), 0..12);
        prop_oneof![pieces.prop_map(|pieces| pieces.concat()), ".{0,40}"]
    }

    #[test]
    fn viewer_rate_is_within_its_limits() {
        assert_eq!(viewer(&[], 0).every, 1);
        assert_eq!(viewer(&[], 61).every, 60);
    }
}
