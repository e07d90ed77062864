//! Lines cannot be forged, nor grow without end, and a writer that fails loses its line only.

use std::{
    fmt,
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use metrics_exporter_prometheus::PrometheusBuilder;
use proptest::prelude::*;
use serde_json::json;
use tower_keep::{
    hook_panics,
    logging::{self, LogFormat},
};
use tracing_subscriber::layer::SubscriberExt;

use super::{Kept, json_log, parsed, pretty_log, say};

/// Makes text that is dangerous somewhere, more often than chance has it.
fn any_text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => any::<String>(),
        2 => "[\\x00-\\x1f\\x7f-\\x9f\"\\\\\u{2028}\u{2029}\u{202e}]{0,8}",
        1 => Just("\n{\"level\":\"ERROR\",\"message\":\"forged\"}\n".to_owned()),
        1 => Just("\r\n\u{1b}[2J\u{1b}[1;1H".to_owned()),
    ];
    prop::collection::vec(part, 0..4).prop_map(|parts| parts.concat())
}

/// Returns whether a line neither splits nor steers terminals, for anybody who may read the log.
fn is_harmless(line: &str) -> bool {
    !line
        .chars()
        .any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}'))
}

proptest! {
    #[test]
    fn json_line_round_trips_any_text(message in any_text(), text in any_text()) {
        let (log, _guard) = json_log();
        say(&message, &text, String::leak(text.clone()));
        let lines = log.lines();
        prop_assert_eq!(lines.len(), 1);
        prop_assert!(is_harmless(&lines[0]), "{:?}", &lines[0]);
        let event = parsed(&lines[0]);
        prop_assert_eq!(&event["level"], "INFO");
        if !message.is_empty() {
            prop_assert_eq!(&event["message"], &message);
        }
        prop_assert_eq!(&event["text"], &text);
        prop_assert_eq!(&event["shown"], &text);
        prop_assert_eq!(&event["error"], &text);
        prop_assert_eq!(&event["debug"], &format!("{text:?}"));
        prop_assert_eq!(&event["spans"], &json!([{"name": "work", "text": text}]));
    }

    #[test]
    fn pretty_line_is_one_line_for_any_text(message in any_text(), text in any_text()) {
        let (log, _guard) = pretty_log();
        say(&message, &text, String::leak(text.clone()));
        let lines = log.lines();
        prop_assert_eq!(lines.len(), 1);
        prop_assert!(is_harmless(&lines[0]), "{:?}", &lines[0]);
    }

    #[test]
    fn line_is_at_most_64_kib(
        unit in prop_oneof![Just("x"), Just("\u{1}"), Just("ä€"), Just("\"")],
        lengths in prop::array::uniform4(0usize..30_000),
    ) {
        for open in [json_log, pretty_log] {
            let (log, _guard) = open();
            let [a, b, c, d] = lengths.map(|length| unit.repeat(length));
            let outer = tracing::info_span!("outer", a, b, c, d, shown = %a);
            let inner = tracing::info_span!(parent: &outer, "inner", a, b, c, d, shown = %a);
            inner.in_scope(|| tracing::info!(a, b, c, d, request_id = a, last = 1, "{a}"));
            let lines = log.lines();
            prop_assert_eq!(lines.len(), 1);
            prop_assert!(lines[0].len() < 64 << 10, "{}", lines[0].len());
            if lines[0].starts_with('{') {
                parsed(&lines[0]);
            }
        }
    }
}

#[test]
fn truncation_is_marked_and_dropped_fields_counted() {
    let (log, _guard) = json_log();
    let long = "x".repeat(20_000);
    tracing::info!(
        a = long,
        b = long,
        c = long,
        d = long,
        e = long,
        last = 1,
        "hello"
    );
    let event = log.event();
    let a = event["a"].as_str().expect("text");
    assert!(a.len() > 16_000 && a.ends_with("x…"), "{}", a.len());
    assert!(event["c"].as_str().is_some_and(|c| c.ends_with("x…")));
    assert_eq!(event.get("d"), None);
    assert_eq!(event["dropped_fields"], 3);
}

#[test]
fn spans_beyond_max_keep_the_innermost() {
    let (log, _guard) = json_log();
    let text = "x".repeat(500);
    let mut span = tracing::info_span!("span", number = 0, text);
    for number in 1..100 {
        span = tracing::info_span!(parent: &span, "span", number, text);
    }
    span.in_scope(|| tracing::info!("deep"));
    let event = log.event();
    let spans = event["spans"].as_array().expect("spans");
    assert!((5..20).contains(&spans.len()), "{}", spans.len());
    assert_eq!(spans.last().expect("one")["number"], 99);
}

#[test]
fn endless_value_is_truncated() {
    struct Endless;
    impl fmt::Display for Endless {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            loop {
                f.write_str("and so on ")?;
            }
        }
    }
    let (log, _guard) = json_log();
    tracing::info!(endless = %Endless, last = 1, "hello");
    let event = log.event();
    assert!(
        event["endless"]
            .as_str()
            .is_some_and(|text| text.ends_with('…'))
    );
    assert_eq!(event["last"], 1);
}

#[test]
fn panicking_value_loses_its_text_only() {
    struct Sour;
    impl fmt::Debug for Sour {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("half")?;
            panic!("sour")
        }
    }
    let (log, _guard) = json_log();
    let before = hook_panics();
    tracing::info!(sour = ?Sour, sweet = 1, "hello");
    let event = log.with_message("hello");
    assert_eq!(event["sour"], "half<panicked>");
    assert_eq!(event["sweet"], 1);
    assert!(hook_panics() > before);
}

#[test]
fn value_that_logs_while_formatted_is_safe() {
    struct Chatty;
    impl fmt::Display for Chatty {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            tracing::info!("inside");
            f.write_str("said")
        }
    }
    let (log, _guard) = json_log();
    tracing::info!(before = 1, chatty = %Chatty, after = 2, "outside");
    let event = log.with_message("outside");
    assert_eq!((&event["before"], &event["after"]), (&json!(1), &json!(2)));
    assert_eq!(event["chatty"], "said");
}

#[test]
fn writer_panic_or_error_is_contained() {
    struct Broken(bool);
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            assert!(!self.0, "broken");
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for panics in [true, false] {
        let settings = logging::builder().format(LogFormat::Json);
        let layer = settings.writer(move || Broken(panics)).layer();
        let subscriber = tracing_subscriber::registry().with(layer.expect("a fixed format"));
        tracing::subscriber::with_default(subscriber, || tracing::info!("hello"));
    }
}

/// Half a line stayed there, and the next one was appended to it.
#[test]
fn line_after_partial_write_starts_fresh() {
    struct Fails(Kept, bool);
    impl Write for Fails {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.1 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.1 = true;
            self.0.write(&bytes[..bytes.len() / 2])
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (kept, full) = (Kept::default(), Arc::new(AtomicBool::new(false)));
    let (writer, is_full) = (kept.clone(), full.clone());
    let writer = move || -> Box<dyn Write> {
        match is_full.load(Ordering::Relaxed) {
            true => Box::new(Fails(writer.clone(), false)),
            false => Box::new(writer.clone()),
        }
    };
    let layer = logging::builder().format(LogFormat::Json).writer(writer);
    let subscriber = tracing_subscriber::registry().with(layer.layer().expect("a fixed format"));
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        tracing::subscriber::with_default(subscriber, || {
            for is_full in [false, true, true, false, false] {
                full.store(is_full, Ordering::Relaxed);
                tracing::info!(is_full, "hello");
            }
        });
    });
    let lines = kept.lines();
    let (whole, cut): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.ends_with('}'));
    assert_eq!((whole.len(), cut.len()), (3, 2), "{lines:#?}");
    for line in whole {
        parsed(line);
    }
    let counted = recorder.handle().render();
    let lost = "tower_keep_log_lines_lost_total 2";
    assert!(counted.lines().any(|line| line == lost), "{counted}");
}
