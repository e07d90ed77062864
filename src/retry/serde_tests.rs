//! Settings of retries, read from files and written.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Backoff, Budget, BudgetSettings, GrpcCodes, Jitter, RetrySettings, backoff::DEFAULT_FIRST,
};
use crate::call::GrpcCode;

const SECOND: Duration = Duration::from_secs(1);

fn backoff(text: &str) -> Result<Backoff, String> {
    toml::from_str(text).map_err(|error| error.to_string())
}

fn budget(text: &str) -> Result<BudgetSettings, String> {
    toml::from_str(text).map_err(|error| error.to_string())
}

/// Asserts that the error of a text has all these parts.
fn assert_error<T: fmt::Debug>(result: Result<T, String>, parts: &[&str]) {
    let error = result.expect_err("an error");
    for part in parts {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
}

#[test]
fn backoff_of_each_kind_has_its_defaults() {
    let half = Duration::from_millis(500);
    for (text, expected) in [
        ("", Backoff::default()),
        ("first = '500ms'", Backoff::exponential(half)),
        (
            "factor = 3.0\nmax = '4s'",
            Backoff::default().factor(3.0).max(4 * SECOND),
        ),
        ("jitter = 'none'", Backoff::default().jitter(Jitter::None)),
        ("jitter = 'equal'", Backoff::default().jitter(Jitter::Equal)),
        (
            "jitter = 'decorrelated'",
            Backoff::default().jitter(Jitter::Decorrelated),
        ),
        (
            "kind = 'constant'\nfirst = '500ms'",
            Backoff::constant(half),
        ),
        (
            "kind = 'constant'\njitter = 'full'",
            Backoff::constant(DEFAULT_FIRST).jitter(Jitter::Full),
        ),
        (
            "kind = 'linear'\nfirst = '1s'\nstep = '500ms'",
            Backoff::linear(SECOND, half),
        ),
    ] {
        assert_eq!(backoff(text).expect(text), expected, "{text}");
        let written = toml::to_string(&expected).expect("TOML");
        assert_eq!(backoff(&written).expect(&written), expected, "{written}");
    }
}

#[test]
fn backoff_has_no_setting_of_another_kind() {
    let needed = "missing field `step`, which a backoff of the kind \"linear\" needs";
    assert_error(backoff("kind = 'linear'"), &[needed]);
    let step = "`step` is a setting of backoffs of the kind \"linear\" only";
    for text in ["step = '1s'", "kind = 'constant'\nstep = '1s'"] {
        assert_error(backoff(text), &[step]);
    }
    let factor = "`factor` is a setting of backoffs of the kind \"exponential\" only";
    for text in [
        "kind = 'constant'\nfactor = 2.0",
        "kind = 'linear'\nstep = '1s'\nfactor = 2.0",
    ] {
        assert_error(backoff(text), &[factor]);
    }
    let kinds = "expected one of `constant`, `linear`, `exponential`";
    assert_error(backoff("kind = 'cubic'"), &["line 1", "cubic", kinds]);
    let names = "`kind`, `first`, `step`, `factor`, `max`, `jitter`";
    assert_error(
        backoff("max = '1s'\nbase = '1s'"),
        &["line 2", "`base`", names],
    );
}

#[test]
fn budget_of_each_kind_has_its_defaults() {
    let bucket = Budget::bucket()
        .capacity(100)
        .cost(3)
        .timeout_cost(7)
        .refill(2);
    let window = Budget::window().ratio(0.1).per_second(1.0).window(SECOND);
    for (text, expected) in [
        ("", BudgetSettings::default()),
        ("kind = 'throttle'", Budget::throttle().into()),
        ("kind = 'bucket'", Budget::bucket().into()),
        (
            "kind = 'window'\nratio = 0.1\nper_second = 1\nwindow = '1s'",
            window.into(),
        ),
        (
            "kind = 'throttle'\nmax_tokens = 20\ntoken_ratio = 0.5",
            Budget::throttle().max_tokens(20.0).token_ratio(0.5).into(),
        ),
        (
            "kind = 'bucket'\ncapacity = 100\ncost = 3\ntimeout_cost = 7\nrefill = 2",
            bucket.into(),
        ),
    ] {
        assert_eq!(budget(text).expect(text), expected, "{text}");
        let written = toml::to_string(&expected).expect("TOML");
        assert_eq!(budget(&written).expect(&written), expected, "{written}");
    }
}

#[test]
fn budget_has_no_setting_of_another_kind() {
    let window = "\"window\", which has `ratio`, `per_second`, `window`";
    let throttle = "\"throttle\", which has `max_tokens`, `token_ratio`";
    let bucket = "\"bucket\", which has `capacity`, `cost`, `timeout_cost`, `refill`";
    let of_kind = [
        (
            "window",
            window,
            ["ratio = 1", "per_second = 1", "window = '1s'"].as_slice(),
        ),
        ("throttle", throttle, &["max_tokens = 1", "token_ratio = 1"]),
        (
            "bucket",
            bucket,
            &["capacity = 1", "cost = 1", "timeout_cost = 1", "refill = 1"],
        ),
    ];
    for (kind, described, _) in of_kind {
        for (other, _, settings) in of_kind {
            for setting in settings {
                let read = budget(&format!("kind = '{kind}'\n{setting}"));
                if kind == other {
                    read.expect(setting);
                    continue;
                }
                let name = setting.split(' ').next().expect("a name");
                let text = format!("`{name}` is no setting of a budget of the kind");
                assert_error(read, &[&text, described]);
            }
        }
    }
    let names = "expected one of `kind`, `ratio`, `per_second`";
    assert_error(budget("rate = 1"), &["line 1", "`rate`", names]);
}

#[test]
fn value_that_is_no_table_says_what_is_allowed() {
    let read = |text: &str| {
        let settings = toml::from_str::<RetrySettings>(text);
        settings.map_err(|error| error.to_string())
    };
    let budget = "expected a table with the settings of a budget, or \"off\"";
    for text in ["budget = 'OFF'", "budget = 5", "budget = true"] {
        assert_error(read(text), &["line 1", budget]);
    }
    assert_error(read("budget = []"), &["line 1", "or \"off\""]);
    let backoff = "expected a table with the settings of a backoff";
    assert_error(read("backoff = 'off'"), &["line 1", backoff]);
}

#[test]
fn grpc_codes_are_read_by_their_names() {
    #[derive(Debug, Deserialize, Serialize)]
    struct Codes {
        codes: GrpcCodes,
    }
    let read = |text: &str| toml::from_str::<Codes>(text).map_err(|error| error.to_string());
    for codes in [vec![], vec![GrpcCode::ABORTED, GrpcCode::UNAVAILABLE]] {
        let codes = GrpcCodes::new(codes);
        let written = toml::to_string(&Codes { codes }).expect("TOML");
        assert_eq!(read(&written).expect(&written).codes, codes);
    }
    let names = "expected one of `OK`, `CANCELLED`";
    assert_error(
        read("codes = ['ABORTED', 'aborted']"),
        &["`aborted`", names],
    );
    let list = "expected a list of names of gRPC codes, such as [\"UNAVAILABLE\"]";
    assert_error(read("codes = 'ABORTED'"), &[list]);
    let name = "expected the name of a gRPC code, such as \"UNAVAILABLE\"";
    assert_error(read("codes = [14]"), &[name]);
}

#[test]
fn settings_are_read_as_they_were_written() {
    let mut settings = RetrySettings::default();
    for budget in [None, Some(Budget::throttle().into())] {
        settings.budget = budget;
        settings.max_elapsed = budget.map(|_| SECOND);
        let json = serde_json::to_string(&settings).expect("JSON");
        assert_eq!(
            serde_json::from_str::<RetrySettings>(&json).expect(&json),
            settings
        );
        let written = toml::to_string(&settings).expect("TOML");
        assert_eq!(
            toml::from_str::<RetrySettings>(&written).expect(&written),
            settings
        );
    }
    assert_eq!(
        toml::from_str::<RetrySettings>(""),
        Ok(RetrySettings::default())
    );
    let off = toml::from_str::<RetrySettings>("budget = 'off'\nmax_elapsed = 'off'");
    assert_eq!(off.expect("settings").budget, None);
}

#[test]
fn unknown_setting_is_an_error_with_its_line_and_the_names() {
    let read = |text: &str| {
        let settings = toml::from_str::<RetrySettings>(text);
        settings.map_err(|error| error.to_string())
    };
    let names = "expected one of `max_attempts`, `backoff`, `max_retry_after`, `max_elapsed`, `retry_rejections`, \
         `grpc_codes`, `budget`";
    assert_error(read("\nattempts = 3"), &["line 2", "attempts", names]);
    let nested = read("max_attempts = 3\n[backoff]\nbase = '1s'");
    assert_error(nested, &["line 3", "base", "`first`"]);
    let nested = read("max_attempts = 3\n[budget]\nrate = 1");
    assert_error(nested, &["line 3", "rate", "`ratio`"]);
    let nested = read("max_attempts = 3\n[budget]\nkind = 'bucket'\nratio = 1");
    assert_error(nested, &["`ratio` is no setting", "`capacity`"]);
}
