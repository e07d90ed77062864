//! A strict parser of both formats, and a test of what it accepts.

use std::collections::{BTreeMap, BTreeSet};

/// A family of an exposition.
#[derive(Debug, Default)]
pub struct Family {
    pub kind: String,
    pub unit: Option<String>,
    pub help: Option<String>,
    pub samples: Vec<Sample>,
}

/// One line with a value.
#[derive(Debug)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
    /// Its labels, value and time.
    pub exemplar: Option<(BTreeMap<String, String>, f64, f64)>,
}

/// Parses an exposition and checks what its format demands. Panics with the first line that is wrong.
pub fn parse(text: &str, is_open_metrics: bool) -> BTreeMap<String, Family> {
    assert!(text.ends_with('\n'), "the last line must end");
    let body = match is_open_metrics {
        true => text.strip_suffix("# EOF\n").expect("an end"),
        false => text,
    };
    let mut families = BTreeMap::<String, Family>::new();
    let mut current = String::new();
    for line in body.lines() {
        assert!(!line.is_empty(), "an empty line");
        match line.strip_prefix("# ") {
            Some(metadata) => {
                let mut parts = metadata.splitn(3, ' ');
                let (word, name) = (
                    parts.next().unwrap_or_default(),
                    parts.next().expect("a name"),
                );
                let rest = parts.next().unwrap_or_default();
                check_name(name, line);
                if current != name {
                    assert!(
                        !families.contains_key(name),
                        "the family is not in one place: {line}"
                    );
                    name.clone_into(&mut current);
                }
                let family = families.entry(name.to_owned()).or_default();
                assert!(family.samples.is_empty(), "metadata after samples: {line}");
                metadata_of(family, word, name, rest, is_open_metrics, line);
            }
            None => {
                let sample = sample(line, is_open_metrics);
                let family = families.get_mut(&current).expect("a type before samples");
                check_sample_name(&current, &family.kind, &sample, is_open_metrics, line);
                family.samples.push(sample);
            }
        }
    }
    check_unique(&families);
    families
        .values()
        .filter(|family| family.kind == "histogram")
        .for_each(check_histogram);
    families
}

fn metadata_of(
    family: &mut Family,
    word: &str,
    name: &str,
    rest: &str,
    is_open_metrics: bool,
    line: &str,
) {
    match word {
        "TYPE" => {
            let kinds = ["counter", "gauge", "histogram", "unknown"];
            assert!(kinds.contains(&rest), "{line}");
            assert!(is_open_metrics || rest != "unknown", "{line}");
            assert!(family.kind.is_empty(), "twice: {line}");
            assert!(
                !is_open_metrics || family.help.is_none() && family.unit.is_none(),
                "the order: {line}"
            );
            rest.clone_into(&mut family.kind);
        }
        "UNIT" => {
            assert!(
                is_open_metrics && family.unit.is_none() && family.help.is_none(),
                "{line}"
            );
            assert!(name.ends_with(&format!("_{rest}")), "{line}");
            family.unit = Some(rest.to_owned());
        }
        "HELP" => {
            assert!(family.help.is_none(), "twice: {line}");
            assert!(
                !is_open_metrics || !family.kind.is_empty(),
                "the order: {line}"
            );
            family.help = Some(unescaped(rest, is_open_metrics, line));
        }
        _ => panic!("{line}"),
    }
}

fn check_name(name: &str, line: &str) {
    let is_word = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == ':';
    assert!(!name.is_empty() && name.chars().all(is_word), "{line}");
    assert!(
        !name.starts_with(|char: char| char.is_ascii_digit()),
        "{line}"
    );
}

fn check_sample_name(family: &str, kind: &str, sample: &Sample, is_open_metrics: bool, line: &str) {
    let end = sample
        .name
        .strip_prefix(family)
        .unwrap_or_else(|| panic!("of another family: {line}"));
    let allowed: &[&str] = match kind {
        "histogram" => &["_bucket", "_sum", "_count"],
        "counter" if is_open_metrics => &["_total"],
        _ => &[""],
    };
    assert!(allowed.contains(&end), "{line}");
    assert!(
        sample.exemplar.is_none() || end == "_bucket" || end == "_total",
        "{line}"
    );
}

/// Reads `name{label="value"} 1 # {trace_id="x"} 1 2`.
fn sample(line: &str, is_open_metrics: bool) -> Sample {
    let end = line.find(['{', ' ']).expect("a value");
    let (name, rest) = line.split_at(end);
    check_name(name, line);
    let (labels, rest) = labels(rest, line);
    let rest = rest.strip_prefix(' ').unwrap_or_else(|| panic!("{line}"));
    let (value, exemplar) = match rest.split_once(" # ") {
        None => (rest, None),
        Some((value, exemplar)) => {
            assert!(is_open_metrics, "{line}");
            let (labels, rest) = self::labels(exemplar, line);
            let (exemplar, at) = rest.trim_start().split_once(' ').expect("a time");
            let size: usize = labels
                .iter()
                .map(|(name, value)| name.len() + value.len())
                .sum();
            assert!(size <= 128, "{line}");
            (
                value,
                Some((labels, number(exemplar, line), number(at, line))),
            )
        }
    };
    Sample {
        name: name.to_owned(),
        labels,
        value: number(value, line),
        exemplar,
    }
}

fn labels<'a>(text: &'a str, line: &str) -> (BTreeMap<String, String>, &'a str) {
    let mut labels = BTreeMap::new();
    let Some(mut rest) = text.strip_prefix('{') else {
        return (labels, text);
    };
    loop {
        let (name, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
        assert!(
            name.chars()
                .all(|char| char.is_ascii_alphanumeric() || char == '_')
                && !name.is_empty(),
            "{line}"
        );
        let end = end_of_quoted(after).unwrap_or_else(|| panic!("{line}"));
        let value = unescaped(&after[..end], true, line);
        assert!(
            labels.insert(name.to_owned(), value).is_none(),
            "a label twice: {line}"
        );
        rest = &after[end + 1..];
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => {
                return (
                    labels,
                    rest.strip_prefix('}').unwrap_or_else(|| panic!("{line}")),
                );
            }
        }
    }
}

fn end_of_quoted(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.char_indices().find_map(|(at, char)| {
        let ends = char == '"' && !is_escaped;
        is_escaped = char == '\\' && !is_escaped;
        ends.then_some(at)
    })
}

fn unescaped(text: &str, has_quotes: bool, line: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => match chars.next() {
                Some('\\') => out.push('\\'),
                Some('n') => out.push('\n'),
                Some('"') if has_quotes => out.push('"'),
                _ => panic!("an unknown escape: {line}"),
            },
            '"' if has_quotes => panic!("a quote that is not escaped: {line}"),
            char => out.push(char),
        }
    }
    out
}

fn number(text: &str, line: &str) -> f64 {
    match text {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        "NaN" => f64::NAN,
        other => {
            let is_plain = other
                .bytes()
                .all(|byte| byte.is_ascii_digit() || b"+-.e".contains(&byte));
            assert!(is_plain, "{line}");
            other.parse().unwrap_or_else(|_| panic!("{line}"))
        }
    }
}

fn check_unique(families: &BTreeMap<String, Family>) {
    let mut seen = BTreeSet::new();
    for sample in families.values().flat_map(|family| &family.samples) {
        let is_new = seen.insert((&sample.name, &sample.labels));
        assert!(
            is_new,
            "a series twice: {} {:?}",
            sample.name, sample.labels
        );
    }
}

fn check_histogram(family: &Family) {
    let mut series = BTreeMap::<_, Vec<&Sample>>::new();
    for sample in &family.samples {
        let mut labels = sample.labels.clone();
        labels.remove("le");
        series.entry(labels).or_default().push(sample);
    }
    for (labels, samples) in series {
        let buckets: Vec<_> = samples
            .iter()
            .filter(|sample| sample.name.ends_with("_bucket"))
            .collect();
        let bounds: Vec<_> = buckets
            .iter()
            .map(|bucket| number(&bucket.labels["le"], "le"))
            .collect();
        assert!(bounds.is_sorted_by(|a, b| a < b), "{labels:?}: {bounds:?}");
        assert!(
            buckets.is_sorted_by_key(|bucket| bucket.value),
            "{labels:?}"
        );
        let last = buckets.last().expect("a bucket");
        assert_eq!(last.labels["le"], "+Inf", "{labels:?}");
        let count = samples
            .iter()
            .find(|sample| sample.name.ends_with("_count"))
            .expect("a count");
        assert_eq!(last.value, count.value, "{labels:?}");
        assert!(
            samples.iter().any(|sample| sample.name.ends_with("_sum")),
            "{labels:?}"
        );
        for (bucket, bounds) in buckets
            .iter()
            .zip([f64::NEG_INFINITY].iter().chain(&bounds).zip(&bounds))
        {
            if let Some((_, value, _)) = bucket.exemplar {
                assert!(
                    *bounds.0 < value && value <= *bounds.1,
                    "{value} is in no bucket up to {bounds:?}"
                );
            }
        }
    }
}

#[test]
fn parser_rejects_what_the_formats_forbid() {
    let valid = "# TYPE a gauge\na{x=\"\\\"\\\\\\n\"} 1\n";
    assert_eq!(parse(valid, false)["a"].samples[0].labels["x"], "\"\\\n");
    for (text, is_open_metrics) in [
        ("# TYPE a gauge\na 1", false),
        ("# TYPE a gauge\na 1\n", true),
        ("a 1\n", false),
        ("# TYPE a gauge\na 1\na 2\n", false),
        ("# TYPE a gauge\n# TYPE a gauge\na 1\n", false),
        (
            "# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\n# HELP a x\n",
            false,
        ),
        ("# TYPE a counter\na 1\n# EOF\n", true),
        ("# HELP a x\n# TYPE a gauge\na 1\n# EOF\n", true),
        ("# TYPE a gauge\n# UNIT a bytes\na 1\n# EOF\n", true),
        ("# TYPE a gauge\na{x=\"\"y\"} 1\n", false),
        ("# TYPE a gauge\na one\n", false),
        (
            "# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\n",
            false,
        ),
        (
            "# TYPE a histogram\na_bucket{le=\"+Inf\"} 2\na_sum 1\na_count 1\n",
            false,
        ),
    ] {
        let result = std::panic::catch_unwind(|| parse(text, is_open_metrics));
        assert!(result.is_err(), "{text}");
    }
}
