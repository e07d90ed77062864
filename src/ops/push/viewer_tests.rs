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

fn tick(viewer: &mut Viewer, seq: u64, changed: &[PushChannel]) -> Option<Value> {
    viewer
        .on_update(&update(UpdateKind::Tick, seq, changed))
        .map(parsed)
}

fn change(viewer: &mut Viewer, seq: u64, changed: &[PushChannel]) -> Option<Value> {
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
        ("alerts", "a7"),
        ("journal", "j7"),
        ("workflows", "w7"),
    ] {
        all[name] = value.into();
    }
    assert_eq!(hello(&PushChannel::ALL.map(PushChannel::as_str)), all);
}

#[test]
fn viewer_gets_a_frame_per_chosen_time_with_all_points_since() {
    let mut viewer = viewer(&["metrics", "health"], 3);
    assert_eq!(tick(&mut viewer, 1, &[PushChannel::Health]), None);
    assert_eq!(tick(&mut viewer, 2, &[PushChannel::Guards]), None);
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
    let both = [
        PushChannel::Guards,
        PushChannel::Journal,
        PushChannel::Health,
    ];
    let expected = json!({"type": "change", "seq": 5, "at": 5.5, "status": {"role": "viewer", "n": 5}, "journal": [5], "guards": "g5"});
    assert_eq!(change(&mut viewer, 5, &both), Some(expected));
    assert_eq!(change(&mut viewer, 6, &[PushChannel::Health]), None);
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
    let frame = change(&mut viewer, 1, &[PushChannel::Metrics, PushChannel::Guards]).expect("due");
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
            r#"channels has "guard", must be of metrics, guards, health, errors, alerts, journal, workflows, logs, traces"#,
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
