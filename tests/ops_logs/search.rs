//! Searches and their pages.

use serde_json::{Value, json};

use super::support::*;

#[tokio::test]
async fn search_is_by_words_level_target_and_time() {
    let kept = kept();
    kept.log(|| {
        tracing::info!(target: "orders::pay", attempt = 2, "payments attempt after 41 ms");
        tracing::error!(target: "orders::pay", "payments: timeout while waiting for the gateway");
        tracing::warn!(target: "ledger", "timeout of the ledger");
    });
    for (query, expected) in [
        (
            "q=timeout",
            &[
                "timeout of the ledger",
                "payments: timeout while waiting for the gateway",
            ][..],
        ),
        (
            "q=timeout+payments",
            &["payments: timeout while waiting for the gateway"],
        ),
        ("q=pay*+-timeout", &["payments attempt after 41 ms"]),
        ("q=%22attempt%202%22", &["payments attempt after 41 ms"]),
        (
            "q=timeout&level=error",
            &["payments: timeout while waiting for the gateway"],
        ),
        ("target=led", &["timeout of the ledger"]),
        (
            "target=orders::pay&level=warn",
            &["payments: timeout while waiting for the gateway"],
        ),
        ("q=timeout&until=1000", &[]),
        ("q=time", &[]),
    ] {
        assert_eq!(kept.messages(query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn pages_follow_each_other_without_a_gap() {
    let kept = kept();
    kept.log(|| (0..25).for_each(|n| tracing::info!("line {n}")));
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let found = kept.find(&format!("q=line&limit=10{cursor}")).await;
        let records = found["records"].as_array().expect("records");
        seen.extend(
            records
                .iter()
                .map(|record| record["id"].as_u64().expect("a number")),
        );
        match found["before"].as_u64() {
            Some(before) => cursor = format!("&before={before}"),
            None => break,
        }
    }
    let newest = seen[0];
    assert_eq!(seen, (newest - 24..=newest).rev().collect::<Vec<_>>());
    let after = format!("after={}", newest - 2);
    assert_eq!(kept.messages(&after).await, ["line 24", "line 23"]);
}

#[tokio::test]
async fn page_of_long_records_is_shorter() {
    let kept = kept();
    kept.log(|| (0..400).for_each(|n| tracing::info!(n, "{}", "x".repeat(8_000))));
    let first = kept.find("limit=500").await;
    let records = first["records"].as_array().expect("records").len();
    assert!((200..300).contains(&records), "{records}");
    let query = format!("limit=500&before={}", first["before"]);
    let rest = kept.find(&query).await;
    assert_eq!(
        rest["records"].as_array().map(Vec::len),
        Some(400 - records)
    );
    assert_eq!(rest["before"], Value::Null);
}

#[tokio::test]
async fn filters_that_are_wrong_are_named() {
    let kept = kept();
    for (query, field) in [
        ("level=fatal", "level"),
        ("trace_id=1", "trace_id"),
        ("span_id=1", "span_id"),
        ("since=yesterday", "since"),
        ("until=-1", "until"),
        ("before=x", "before"),
        ("limit=501", "limit"),
        ("offset=1", "offset"),
    ] {
        let (status, problem) = kept.get(query).await;
        assert_eq!(
            (status.as_u16(), &problem["field"]),
            (400, &json!(field)),
            "{query}"
        );
    }
}
