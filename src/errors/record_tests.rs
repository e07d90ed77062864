use super::*;

#[test]
fn location_is_equal_on_all_machines() {
    let table = [
        ("src/main.rs:7:5", "src/main.rs:7:5"),
        (
            "/home/joe/.cargo/registry/src/index.crates.io-19/h2-0.4.1/src/lib.rs:1:2",
            "h2-0.4.1/src/lib.rs:1:2",
        ),
        (
            "C:\\joe\\registry\\src\\index.crates.io-19\\h2-0.4.1\\src\\lib.rs:1:2",
            "h2-0.4.1\\src\\lib.rs:1:2",
        ),
        (
            "/x/git/checkouts/h2-1f/3c/src/lib.rs:1:2",
            "3c/src/lib.rs:1:2",
        ),
        (
            "/rustc/5980/library/core/src/option.rs:1:2",
            "library/core/src/option.rs:1:2",
        ),
    ];
    for (location, expected) in table {
        assert_eq!(portable_location(location), expected);
    }
}

#[test]
fn record_returns_configured_fields_and_defaults() {
    let full = ErrorRecord::new("Timeout", "no answer")
        .with_outcome("timed_out")
        .with_service("stock")
        .with_route("/items")
        .with_request_id("r1")
        .with_correlation_id("c1")
        .with_trace_id("t1")
        .with_location("src/a.rs:1:2");
    let names = (full.kind(), full.message(), full.outcome());
    assert_eq!(names, ("Timeout", "no answer", "timed_out"));
    assert_eq!(
        call_fields(&full),
        [Some("stock"), Some("/items"), Some("src/a.rs:1:2")]
    );
    assert_eq!(ids(&full), [Some("r1"), Some("c1"), Some("t1")]);
    let bare = ErrorRecord::new("", "");
    let names = (bare.kind(), bare.message(), bare.outcome());
    assert_eq!(names, ("error", "", "failure"));
    assert_eq!((call_fields(&bare), ids(&bare)), ([None; 3], [None; 3]));
}

fn call_fields(record: &ErrorRecord) -> [Option<&str>; 3] {
    [record.service(), record.route(), record.location()]
}

fn ids(record: &ErrorRecord) -> [Option<&str>; 3] {
    [
        record.request_id(),
        record.correlation_id(),
        record.trace_id(),
    ]
}

/// An error for the first text, whose source is the error for the next.
#[derive(Debug)]
struct NestedError(Vec<String>, Option<Box<NestedError>>);

impl NestedError {
    fn new(texts: &[String]) -> Option<Box<NestedError>> {
        let (_, sources) = texts.split_first()?;
        Some(Box::new(NestedError(
            texts.to_vec(),
            NestedError::new(sources),
        )))
    }
}

impl std::fmt::Display for NestedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0[0])
    }
}

impl Error for NestedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let source = self.1.as_deref()?;
        Some(source)
    }
}

#[test]
fn causes_are_bounded_and_skip_repeated_messages() {
    let chain = |texts: &[String]| {
        let error = NestedError::new(texts).expect("an error");
        let record = ErrorRecord::from_error(None, &*error);
        assert_eq!(record.message(), texts[0]);
        record.causes().map(str::to_owned).collect::<Vec<_>>()
    };
    let repeated = ["a", "a", "b", "b", "c"].map(str::to_owned);
    assert_eq!(chain(&repeated), ["b", "c"]);
    let many: Vec<String> = (0..MAX_CAUSES + 3).map(|n| n.to_string()).collect();
    assert_eq!(chain(&many), many[1..=MAX_CAUSES]);
    let record = ErrorRecord::new("client", "lost");
    let record = many
        .iter()
        .fold(record, |record, cause| record.with_cause(cause));
    assert_eq!(record.causes().len(), MAX_CAUSES);
}

#[test]
fn fingerprint_depends_on_last_cause_and_location() {
    let plain = ErrorRecord::new("client", "error (Connect)");
    let refused = plain
        .clone()
        .with_cause("tcp")
        .with_cause("refused after 3s");
    let again = plain
        .clone()
        .with_cause("h2")
        .with_cause("refused after 17s");
    let unknown = plain.clone().with_cause("no such host");
    assert_eq!(refused.fingerprint(), again.fingerprint());
    let here = plain.clone().with_location("src/a.rs:1:2");
    let there = plain.clone().with_location("src/a.rs:9:2");
    let all = [plain, refused, unknown, here, there];
    let names: std::collections::HashSet<_> = all.iter().map(ErrorRecord::fingerprint).collect();
    assert_eq!(names.len(), all.len());
}
