use proptest::prelude::*;

use super::*;
use crate::ops::alerts::Trigger;

fn value(text: &str) -> ValueCondition {
    match condition(text) {
        Ok(Condition::Value(value)) => value,
        other => panic!("{text}: {other:?}"),
    }
}

fn expected(text: &str) -> String {
    condition(text).expect_err(text).expected
}

#[test]
fn condition_on_a_metric_is_a_query_of_its_window() {
    let minute = Duration::from_secs(60);
    let window = |query: Query, window: Duration| Expression::query(query, window);
    for (text, query, seconds, threshold) in [
        ("load > 3", Query::new("load"), 60, 3.0),
        (
            "load{a=\"b\"}>3",
            Query::new("load").filter(Filter::is("a", "b")),
            60,
            3.0,
        ),
        (
            " rate( load { a = \"b*\" , c != \"d\" , } [ 5m ] ) by ( a , c ) > 3_000 ",
            Query::new("load")
                .filter(Filter::starts_with("a", "b"))
                .filter(Filter::is_not("c", "d"))
                .by(["a", "c"])
                .aggregate(Aggregation::Rate),
            300,
            3_000.0,
        ),
        (
            "p99.9(wait_seconds) by (*) gt 250ms",
            Query::new("wait_seconds")
                .by(["*"])
                .aggregate(Aggregation::Quantile(0.999)),
            60,
            0.25,
        ),
    ] {
        let found = value(text);
        let expression = window(query, minute * seconds / 60);
        assert_eq!(
            (found.expression, found.threshold),
            (expression, threshold),
            "{text}"
        );
        assert_eq!(found.comparison, Comparison::Gt);
    }
    // A quotation mark in a value; the escapes of a filter stay.
    let found = value(r#"load{a="say \"x\"\*"} < -1"#);
    let query = Query::new("load").filter(Filter::is("a", r#"say "x"*"#));
    assert_eq!(found.expression, window(query, minute));
    assert_eq!((found.comparison, found.threshold), (Comparison::Lt, -1.0));
}

#[test]
fn comparison_has_signs_and_words() {
    for (word, sign, comparison) in Comparison::TEXTS {
        for text in [
            format!("load {word} 1"),
            format!("load {sign} 1"),
            format!("load{sign}1"),
        ] {
            assert_eq!(value(&text).comparison, comparison, "{text}");
        }
    }
}

#[test]
fn numbers_have_units() {
    for (text, number) in [
        ("5%", 0.05),
        ("5 %", 0.05),
        ("0.1%", 0.001),
        ("250ms", 0.25),
        ("2 s", 2.0),
        ("1.5m", 90.0),
        ("2h", 7_200.0),
    ] {
        assert_eq!(value(&format!("load > {text}")).threshold, number, "{text}");
    }
}

#[test]
fn derived_names_have_their_own_labels() {
    let calls = |text: &str| match value(text).expression.source {
        ValueSource::Calls(figure, CallGroups { side, by_route }) => (figure, side, by_route),
        other => panic!("{text}: {other:?}"),
    };
    use CallFigure::{CallRate, ErrorRate, ErrorRatio, Latency};
    assert_eq!(calls("error_ratio > 5%"), (ErrorRatio, Side::Server, false));
    assert_eq!(
        calls("error_rate by (route) > 5"),
        (ErrorRate, Side::Server, true)
    );
    assert_eq!(
        calls(r#"error_ratio{route="POST /pay"} > 5%"#),
        (ErrorRatio, Side::Server, true)
    );
    assert_eq!(
        calls(r#"call_rate{side="client"} < 1"#),
        (CallRate, Side::Client, false)
    );
    assert_eq!(
        calls("call_latency > 250ms"),
        (Latency(0.95), Side::Server, false)
    );
    assert_eq!(
        calls("p50(call_latency[5m]) > 1s"),
        (Latency(0.5), Side::Server, false)
    );
    let source = |text: &str| value(text).expression.source;
    assert_eq!(
        source("breaker_open == 1"),
        ValueSource::Guards(GuardFigure::BreakerOpen)
    );
    assert_eq!(source("health_status < 1"), ValueSource::Health);
    assert_eq!(source("dropped_records[10m] > 0"), ValueSource::Dropped);
    assert_eq!(
        value("dropped_records > 0").expression.window,
        DROPPED_WINDOW
    );
}

#[test]
fn event_condition_leaves_out_what_is_good_to_know() {
    let event = |text: &str| match condition(text) {
        Ok(Condition::Event(event)) => event,
        other => panic!("{text}: {other:?}"),
    };
    let not_info = Filter::is_not("severity", "info");
    let expected = EventCondition {
        kind: EventKind::Error,
        filters: vec![not_info],
    };
    assert_eq!(event("event(error)"), expected);
    assert_eq!(
        Trigger::event(EventKind::Error).condition,
        Ok(Condition::Event(expected))
    );
    let filters = event(r#"event(guard){subject="pay*", severity="critical"}"#).filters;
    let expected = [
        Filter::starts_with("subject", "pay"),
        Filter::is("severity", "critical"),
    ];
    assert_eq!(filters, expected);
}

#[test]
fn wrong_text_says_what_is_expected_in_its_place() {
    for (text, part) in [
        ("", "a condition, like error_ratio"),
        ("> 5", "a condition, like error_ratio"),
        ("load", "a comparison with >, >="),
        ("load >", "a number, which may have a unit"),
        ("load > 5 bananas", "a number, which may have a unit"),
        ("load > 5 6", "a number, which may have a unit"),
        ("load > 5 )", "without \")\" at its end"),
        ("load > 1-2", "a number"),
        ("median(load) > 5", "an aggregation of sum, avg"),
        ("p95(load > 5", "a condition with )"),
        ("load{a} > 5", "conditions like {route"),
        ("load{a=b} > 5", "values between \"\""),
        ("load{a=\"b} > 5", "values with a \" at their end"),
        ("load{a=\"b\" > 5", "with commas between them"),
        ("load{a=\"b*c\"} > 5", "conditions of label=value"),
        ("load[0s] > 5", "a window of 1 s to 24 h"),
        ("load[2d] > 5", "a window of 1 s to 24 h"),
        ("load[5m > 5", "a window of 1 s to 24 h"),
        ("load by (a > 5", "labels between ( and )"),
        ("load by (a,b,c,d,e,f,g,h,i) > 5", "a query whose by is 9"),
        (
            "error_ratio{method=\"GET\"} > 5",
            "conditions on route, service",
        ),
        ("error_ratio by (service) > 5", "error_ratio by (route)"),
        ("sum(error_ratio) > 5", "error_ratio without an aggregation"),
        ("sum(call_latency) > 5", "a percentile of call_latency"),
        ("breaker_open[5m] == 1", "breaker_open without a window"),
        (
            "max(queue_ratio) == 1",
            "queue_ratio without aggregation and by",
        ),
        ("event(bananas)", "an event of lifecycle"),
        ("event error", "a condition with (, like event(error)"),
    ] {
        let expected = expected(text);
        assert!(expected.contains(part), "{text}: {expected}");
    }
    assert_eq!(expected(&"x".repeat(1_025)), "at most 1024 bytes");
}

proptest! {
    #[test]
    fn condition_of_any_text_is_parsed_or_wrong(text in any_text()) {
        let _ = condition(&text);
    }
}

fn any_text() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "load",
        "error_ratio",
        "event",
        "(",
        ")",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "\\",
        "=",
        "!=",
        ",",
        "by",
        ">",
        "<=",
        "gt",
        "5",
        "%",
        "5m",
        " ",
        "route",
        "ä",
        "p95",
        "-",
        ".",
    ];
    let pieces = prop::collection::vec(prop::sample::select(PIECES), 0..16);
    prop_oneof![pieces.prop_map(|pieces| pieces.concat()), ".{0,40}"]
}
