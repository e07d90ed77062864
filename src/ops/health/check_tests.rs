//! Settings of checks.

use std::time::Duration;

use super::Check;
use crate::breaker::CircuitBreaker;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn check() -> Check {
    Check::new("db", || async {})
}

fn error(check: Check) -> String {
    check.validate().expect_err("invalid").to_string()
}

#[test]
fn settings_out_of_range_are_errors_that_name_field_and_range() {
    assert_eq!(
        error(Check::new("", || async {})),
        "check: name is \"\", must be 1 to 128 bytes without control characters"
    );
    assert!(error(Check::new("a\nb", || async {})).contains("name is \"a\\nb\""));
    assert!(error(Check::new("a".repeat(129), || async {})).contains("1 to 128 bytes"));
    assert_eq!(
        error(check().interval(Duration::from_millis(99))),
        "check \"db\": interval is 99ms, must be 100ms to a day"
    );
    assert!(error(check().interval(secs(86_401))).contains("interval is 86401s"));
    assert_eq!(
        error(check().timeout(Duration::ZERO)),
        "check \"db\": timeout is 0ns, must be longer than zero and at most a day"
    );
    assert!(error(check().timeout(secs(86_401))).contains("timeout is 86401s"));
    assert_eq!(
        error(check().slower_than(secs(5))),
        "check \"db\": slower_than is 5s, must be longer than zero and shorter than the timeout"
    );
    assert!(error(check().slower_than(Duration::ZERO)).contains("slower_than is 0ns"));
    assert_eq!(
        error(check().failures(0)),
        "check \"db\": failures is 0, must be 1 to 1000"
    );
    assert!(error(check().failures(1_001)).contains("failures is 1001"));
    let groups = (0..17).fold(check(), |check, n| check.group(format!("g{n}")));
    assert_eq!(
        error(groups),
        "check \"db\": group is 17, must be at most 16 groups"
    );
    assert_eq!(
        error(Check::http("ledger", "https://ledger/")),
        "check \"ledger\": url is \"https://ledger/\", must be plain http; for TLS give the client to Check::http_service"
    );
    assert!(
        error(Check::http("ledger", "http://me:hunter2@ledger/"))
            .contains("http://REDACTED@ledger/")
    );
}

#[test]
fn settings_at_the_ends_of_their_ranges_are_valid() {
    let day = secs(86_400);
    let groups = (0..16).fold(check(), |check, n| check.group(format!("g{n}")));
    for check in [
        Check::new("a".repeat(128), || async {}),
        check().interval(Duration::from_millis(100)).failures(1),
        check().interval(day).timeout(day).failures(1_000),
        check().slower_than(secs(5) - Duration::from_nanos(1)),
        Check::http("ledger", "http://ledger/"),
        groups,
    ] {
        assert_eq!(check.validate(), Ok(()), "{check:?}");
    }
}

#[test]
fn check_has_the_defaults_of_its_kind() {
    let kind = |check: &Check| (check.config().kind.to_string(), check.config().interval);
    assert_eq!(kind(&check()), ("custom".to_owned(), secs(30)));
    assert_eq!(kind(&Check::tcp("a", "b:1")), ("tcp".to_owned(), secs(30)));
    assert_eq!(
        kind(&Check::http("a", "http://b")),
        ("external_api".to_owned(), secs(30))
    );
    assert_eq!(
        kind(&Check::runtime_lag(secs(1))),
        ("runtime".to_owned(), secs(5))
    );
    let breaker = CircuitBreaker::new("payments");
    let check = Check::breaker(&breaker);
    assert_eq!(kind(&check), ("circuit_breaker".to_owned(), secs(5)));
    assert_eq!(check.config().name.as_str(), "payments");
    assert!(!check.config().is_critical);
    let check = super::check_tests::check()
        .name("redis")
        .critical()
        .kind("cache")
        .timeout(secs(1));
    assert!(check.config().is_critical && check.config().timeout == secs(1));
    assert_eq!(kind(&check).0, "cache");
    assert!(format!("{check:?}").starts_with("Check { config: ComponentConfig { name: \"redis\""));
}
