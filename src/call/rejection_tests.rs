use super::*;

#[test]
fn display_has_everything_that_is_known() {
    let rejection = Rejection::new(RejectionKind::CircuitOpen, "peers");
    let cases = [
        (rejection.clone(), ""),
        (rejection.clone().with_reason("manual"), " (manual)"),
        (
            rejection.clone().with_last_error("connection refused"),
            " (last error: connection refused)",
        ),
        (
            rejection
                .with_reason("consecutive_failures")
                .with_last_error("connection refused"),
            " (consecutive_failures; last error: connection refused)",
        ),
    ];
    for (rejection, cause) in cases {
        let text = format!(r#"rejected by "peers": circuit_open{cause}"#);
        assert_eq!(rejection.to_string(), text);
        let all = rejection
            .with_key("a.example")
            .with_retry_after(Duration::from_secs(3));
        let text =
            format!(r#"rejected by "peers" for a.example: circuit_open{cause}; retry after 3 s"#);
        assert_eq!(all.to_string(), text);
    }
}

#[test]
fn display_rounds_the_retry_after_up_to_tenths_of_a_second() {
    for (millis, text) in [(0, "0 s"), (1, "0.1 s"), (1_200, "1.2 s"), (4_998, "5 s")] {
        let wait = Duration::from_millis(millis);
        let rejection = Rejection::full("queue").with_retry_after(wait);
        let text = format!(r#"rejected by "queue": full; retry after {text}"#);
        assert_eq!(rejection.to_string(), text);
    }
}

#[test]
fn key_is_truncated() {
    let rejection = Rejection::full("queue").with_key("ä".repeat(200));
    let key = rejection.key().unwrap_or_default();
    assert!(key.len() <= MAX_KEY_LEN && key.starts_with("ää"), "{key}");
    let short = rejection.with_key("a.example");
    assert_eq!(short.key(), Some("a.example"));
}
