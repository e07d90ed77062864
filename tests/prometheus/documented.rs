//! The list of all metrics, compared with a scrape.

use std::collections::{BTreeMap, BTreeSet};

use super::scrape::samples;

/// The beginnings of the names of what parts of `ops` count, the recorder apart.
const OF_OPS: [&str; 6] = [
    "tower_keep_alerts",
    "tower_keep_ops_log_",
    "tower_keep_ops_traces_",
    "tower_keep_ops_span_",
    "tower_keep_ops_workflows_",
    "tower_keep_workflows_",
];

/// Returns whether this is a metric that the tests of a part of `ops` look at.
fn is_of_ops(name: &str) -> bool {
    OF_OPS.iter().any(|part| name.starts_with(part))
}

/// A row of the list.
#[derive(Debug)]
struct Row {
    kind: String,
    help: String,
    /// The labels, and whether each series has them.
    labels: BTreeMap<String, bool>,
    /// True if its labels are those of another row: the scenario need not show each of them once more.
    is_derived: bool,
}

/// The rows of the list by name. With classic names, some metrics have other labels.
pub struct Documented(BTreeMap<String, Vec<Row>>);

impl Documented {
    pub fn read(text: &str) -> Self {
        let mut all = Documented(BTreeMap::new());
        let mut section = BTreeMap::<String, Row>::new();
        for line in text.lines().chain(["# end"]) {
            if line.starts_with('#') {
                for (name, row) in std::mem::take(&mut section) {
                    all.0.entry(name).or_default().push(row);
                }
            }
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            if let [_, name, kind, labels, meaning, _] = cells[..]
                && name.starts_with('`')
            {
                assert!(!meaning.is_empty(), "{name}");
                for name in expand(name.trim_matches('`')) {
                    let row = Row {
                        kind: kind.to_owned(),
                        help: read_help(meaning),
                        labels: read_labels(&name, labels, &section),
                        is_derived: labels == DERIVED,
                    };
                    assert!(section.insert(name.clone(), row).is_none(), "{name} twice");
                }
            }
        }
        all
    }

    /// Takes out what the recorder of `ops` says about itself, which is in no scrape of another one.
    pub fn split_off_recorder(&mut self) -> Self {
        let is_own = |name: &str| {
            name.starts_with("tower_keep_ops_") || name == "process_start_time_seconds"
        };
        let (own, others) = std::mem::take(&mut self.0)
            .into_iter()
            .filter(|(name, _)| !is_of_ops(name))
            .partition(|(name, _)| is_own(name));
        self.0 = others;
        Documented(own)
    }

    /// Returns what differs between the list and a scrape.
    pub fn compare(&self, scrape: &str) -> BTreeSet<String> {
        let mut problems = BTreeSet::new();
        let types: BTreeMap<_, _> = scrape
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
            .filter(|(name, _)| !is_of_ops(name))
            .collect();
        let helps: BTreeMap<_, _> = scrape
            .lines()
            .filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' '))
            .collect();
        for metric in types.keys() {
            let help = helps.get(metric).copied().unwrap_or_default();
            let rows = self.0.get(*metric).map_or(&[][..], Vec::as_slice);
            if !rows.iter().any(|row| row.help == uncapitalized(help)) {
                problems.insert(format!("{metric} is described as {help:?}"));
            }
        }
        let mut seen = BTreeMap::<&str, BTreeSet<Vec<String>>>::new();
        for (name, labels) in samples(scrape)
            .into_iter()
            .filter(|(name, _)| !is_of_ops(name))
        {
            let of_histogram = ["_bucket", "_sum", "_count"].iter();
            let metric = of_histogram
                .filter_map(|end| name.strip_suffix(end))
                .find(|name| types.contains_key(name))
                .unwrap_or(&name);
            let Some((metric, kind)) = types.get_key_value(metric) else {
                problems.insert(format!("{name} has no type"));
                continue;
            };
            let labels: Vec<_> = labels.into_keys().filter(|label| label != "le").collect();
            let rows = self.0.get(*metric).map_or(&[][..], Vec::as_slice);
            if !rows.iter().any(|row| row.kind == *kind && row.has(&labels)) {
                problems.insert(format!("{kind} {metric}{labels:?} is not in the list"));
            }
            seen.entry(metric).or_default().insert(labels);
        }
        for (name, rows) in &self.0 {
            let series = seen.get(name.as_str()).cloned().unwrap_or_default();
            for row in rows {
                let series: Vec<_> = series.iter().filter(|labels| row.has(labels)).collect();
                if series.is_empty() {
                    problems.insert(format!("{name} was not scraped: {row:?}"));
                }
                for (label, required) in row.labels.iter().filter(|_| !row.is_derived) {
                    let count = series
                        .iter()
                        .filter(|labels| labels.contains(label))
                        .count();
                    if count == 0 || (count == series.len()) != *required {
                        let of = series.len();
                        problems.insert(format!("{name}: {count} of {of} label sets have {label}"));
                    }
                }
            }
        }
        problems
    }
}

impl Row {
    fn has(&self, labels: &[String]) -> bool {
        let is_known = labels.iter().all(|label| self.labels.contains_key(label));
        let mut required = self.labels.iter().filter(|(_, required)| **required);
        is_known && required.all(|(label, _)| labels.contains(label))
    }
}

/// Returns the text of `# HELP` that belongs to a meaning, without its capital letter.
fn read_help(meaning: &str) -> String {
    let what = meaning.split(';').next().unwrap_or_default();
    uncapitalized(&format!("{}.", what.replace('`', "")))
}

fn uncapitalized(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(chars).collect()
}

const DERIVED: &str = "as the duration";

fn read_labels(name: &str, cell: &str, section: &BTreeMap<String, Row>) -> BTreeMap<String, bool> {
    if cell == DERIVED {
        // That of its prefix: nothing but the last part of the name differs.
        let durations = ["_request_duration_seconds", "_call_duration_seconds"];
        let duration = section.iter().find(|(other, _)| {
            let prefix = durations.iter().find_map(|end| other.strip_suffix(end));
            prefix.is_some_and(|prefix| is_part_of(name, prefix))
        });
        return duration
            .unwrap_or_else(|| panic!("no duration for {name}"))
            .1
            .labels
            .clone();
    }
    let labels = cell.split(", ").filter(|label| !label.is_empty());
    labels
        .map(|label| {
            let label = label.trim_matches('`');
            match label.strip_suffix('?') {
                Some(label) => (label.to_owned(), false),
                None => (label.to_owned(), true),
            }
        })
        .collect()
}

fn is_part_of(name: &str, prefix: &str) -> bool {
    let parts = [
        "time_to_head",
        "poll_time",
        "readiness_wait",
        "request_body_size",
        "response_body_size",
    ];
    let rest = name
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('_'));
    rest.is_some_and(|rest| parts.iter().any(|part| rest.starts_with(part)))
}

/// Expands `{a,b}_c` to `a_c` and `b_c`.
fn expand(name: &str) -> Vec<String> {
    let Some((before, rest)) = name.split_once('{') else {
        return vec![name.to_owned()];
    };
    let (choices, after) = rest.split_once('}').expect("a closing brace");
    let expanded = choices
        .split(',')
        .map(|choice| format!("{before}{choice}{after}"));
    expanded.flat_map(|name| expand(&name)).collect()
}
