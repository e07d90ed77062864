//! `examples/stack`: what its rules, its dashboard and its guide name is what the gateway has.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::process::{Gateway, eventually};

/// Made by Prometheus itself.
const OF_PROMETHEUS: [&str; 1] = ["up"];
/// Words of PromQL that stand where a metric could.
const WORDS: [&str; 11] = [
    "and",
    "bool",
    "by",
    "group_left",
    "group_right",
    "ignoring",
    "offset",
    "on",
    "or",
    "unless",
    "without",
];

#[tokio::test]
async fn metrics_of_rules_dashboard_and_guides_are_in_a_live_scrape() {
    let mut named = BTreeSet::new();
    let rules = read("examples/stack/prometheus/rules.yml");
    let rules: Vec<_> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("expr: "))
        .collect();
    assert!(rules.len() > 5, "{rules:?}");
    let dashboard = dashboard();
    for expression in rules.into_iter().chain(expressions(&dashboard)) {
        let found = metrics(expression);
        assert!(!found.is_empty(), "no metric in {expression}");
        named.extend(found);
    }
    let documented = read("docs/metrics.md");
    for guide in guides() {
        let found = metrics_in_prose(&fs::read_to_string(&guide).expect("a text"));
        // Some are of what the gateway does not use; the list is compared with a scrape of its own.
        named.extend(
            found
                .into_iter()
                .filter(|name| !is_listed(&documented, name)),
        );
    }
    OF_PROMETHEUS
        .iter()
        .for_each(|name| assert!(named.remove(*name), "{name} is not used"));
    assert!(named.len() > 10, "{named:?}");

    let gateway = Gateway::start(&[]).await;
    let missing = async || {
        let scrape = gateway.page("/metrics").await;
        let samples = scrape.lines().filter(|line| !line.starts_with('#'));
        let seen: BTreeSet<_> = samples
            .filter_map(|line| line.split(['{', ' ']).next())
            .collect();
        named
            .iter()
            .filter(|name| !seen.contains(name.as_str()))
            .cloned()
            .collect::<Vec<_>>()
    };
    let what = format!("a scrape with each of {named:?}");
    eventually(&what, async || missing().await.is_empty().then_some(())).await;
}

#[test]
fn dashboard_can_be_provisioned() {
    let dashboard = dashboard();
    assert_eq!(dashboard["uid"], "tower-keep");
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].to_string()).collect();
    assert_eq!(ids.len(), panels.len(), "each has a number of its own");
    let sources = read("examples/stack/grafana/provisioning/datasources/prometheus.yml");
    for panel in panels {
        let source = panel["datasource"]["uid"].as_str().expect("a data source");
        assert!(sources.contains(&format!("uid: {source}")), "{source}");
        let place = &panel["gridPos"];
        let [x, w] = ["x", "w"].map(|side| place[side].as_u64().expect("a number"));
        assert!(x + w <= 24, "{place}");
    }
}

#[test]
fn metrics_are_found_in_expressions_and_prose() {
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<BTreeSet<_>>()
    };
    let expression = "sum by (job, le) (rate(a_total{kind=\"x_total\"}[5m])) / on (job) 2 * b > 0.5 or vector(0)";
    assert_eq!(metrics(expression), names(&["a_total", "b"]));
    let prose =
        "`calls_total` of `x_y`, tower_keep_made_up{a=\"b\"} and `wait_seconds_bucket`; 5_total";
    assert_eq!(
        metrics_in_prose(prose),
        names(&["calls_total", "tower_keep_made_up", "wait_seconds_bucket"])
    );
}

/// Returns whether the list has a name, or the end of it behind `{a,b}`.
fn is_listed(list: &str, name: &str) -> bool {
    let mut ends = name.match_indices('_').map(|(at, _)| &name[at..]);
    list.contains(name) || ends.any(|end| list.contains(&format!("}}{end}`")))
}

fn read(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn guides() -> Vec<PathBuf> {
    let guides = fs::read_dir(root().join("docs/guide")).expect("a folder");
    let guides = guides.map(|guide| guide.expect("a file").path());
    guides
        .chain([root().join("examples/stack/README.md")])
        .collect()
}

fn dashboard() -> Value {
    let text = read("examples/stack/grafana/dashboards/tower-keep.json");
    serde_json::from_str(&text).expect("JSON")
}

/// Everything in a dashboard that Prometheus is asked.
fn expressions(value: &Value) -> Vec<&str> {
    match value {
        Value::Object(fields) => {
            let inner = fields.values().flat_map(expressions);
            let own = fields.get("expr").and_then(Value::as_str);
            own.into_iter().chain(inner).collect()
        }
        Value::Array(values) => values.iter().flat_map(expressions).collect(),
        _ => Vec::new(),
    }
}

/// The names of an expression that are neither functions nor labels.
fn metrics(expression: &str) -> BTreeSet<String> {
    let bare = without(&without(expression, '{', '}'), '[', ']');
    let tokens = bare.split_inclusive(|c: char| !is_of_name(c));
    let mut names = BTreeSet::new();
    let mut is_of_labels = false;
    let mut rest = bare.as_str();
    for token in tokens {
        rest = &rest[token.len()..];
        let name = token.trim_end_matches(|c| !is_of_name(c));
        let opens = token.ends_with('(') || rest.trim_start().starts_with('(');
        let is_aggregation = ["by ", "without "]
            .iter()
            .any(|word| rest.starts_with(word));
        let is_word = WORDS.contains(&name);
        let is_name = name.starts_with(|c: char| c.is_ascii_lowercase());
        if is_name && !is_word && !opens && !is_aggregation && !is_of_labels {
            names.insert(name.to_owned());
        }
        // `by (a, b)`: up to the parenthesis, these are labels.
        is_of_labels = (is_of_labels || (is_word && opens)) && !token.ends_with(')');
    }
    names
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// The text without what is between two marks.
fn without(text: &str, open: char, close: char) -> String {
    let mut parts = text.split(open);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| {
        all + part.split_once(close).map_or("", |(_, rest)| rest)
    })
}

/// The words that can only be metrics.
fn metrics_in_prose(text: &str) -> BTreeSet<String> {
    // The parameters of a URL are none.
    let text = text.split_whitespace().filter(|part| !part.contains("://"));
    let words = text.flat_map(|part| part.split(|c: char| !is_of_name(c)));
    let is_metric = |word: &&str| {
        let of_crate = word.starts_with("tower_keep_") || word.starts_with("health_check_");
        let has_end = ["_total", "_seconds", "_bucket"]
            .iter()
            .any(|end| word.ends_with(end));
        word.starts_with(|c: char| c.is_ascii_lowercase()) && (of_crate || has_end)
    };
    words.filter(is_metric).map(str::to_owned).collect()
}
