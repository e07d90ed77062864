//! The text format of Prometheus and OpenMetrics.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Format,
    histogram_lines::HistogramLines,
    number::{push_integer, push_number},
    series::{Cell, Series},
    text::{push_all, push_sample},
};
use crate::ops::series::SeriesKind;

const TOTAL: &str = "_total";

/// A family as it is rendered.
#[derive(Debug)]
pub(super) struct RenderedFamily {
    pub(super) name: Arc<str>,
    pub(super) kind: SeriesKind,
    pub(super) unit: Option<&'static str>,
    pub(super) help: Arc<str>,
    pub(super) series: Vec<Arc<Series>>,
}

/// Renders families, which ascend by name.
pub(super) fn render(families: &[RenderedFamily], format: Format, size: usize) -> String {
    let mut out = String::with_capacity(size);
    let mut taken = BTreeSet::new();
    for family in families {
        let heading = match format {
            Format::Text => Some(Heading {
                name: &family.name,
                sample: family.name.to_string(),
                kind: family.kind.as_str(),
            }),
            Format::OpenMetrics => open_metrics_heading(family, families, &mut taken),
        };
        if let Some(heading) = heading {
            family.render(&heading, format, &mut out);
        }
    }
    if format == Format::OpenMetrics {
        out.push_str("# EOF\n");
    }
    out
}

/// The names that a family has in a format.
struct Heading<'a> {
    name: &'a str,
    /// The name of its samples; histograms have an end after it.
    sample: String,
    kind: &'static str,
}

/// Returns the names of a family in OpenMetrics, where those of counters end in `_total`, and the family has no such end.
///
/// If another family has the name, such as the gauge `load` beside the counter `load_total`, the counter is of an unknown kind,
/// under its own name; and if that is taken as well, the family is left out.
fn open_metrics_heading<'a>(
    family: &'a RenderedFamily,
    all: &[RenderedFamily],
    taken: &mut BTreeSet<String>,
) -> Option<Heading<'a>> {
    let name = &*family.name;
    let plain = Heading {
        name,
        sample: name.to_owned(),
        kind: family.kind.as_str(),
    };
    let heading = match family.kind {
        SeriesKind::Gauge | SeriesKind::Histogram => plain,
        SeriesKind::Counter => {
            let base = name.strip_suffix(TOTAL).unwrap_or(name);
            let is_other = |other: &RenderedFamily| *other.name == *base && *base != *name;
            match base.is_empty() || taken.contains(base) || all.iter().any(is_other) {
                true => Heading {
                    kind: "unknown",
                    ..plain
                },
                false => Heading {
                    name: base,
                    sample: format!("{base}{TOTAL}"),
                    kind: "counter",
                },
            }
        }
    };
    taken.insert(heading.name.to_owned()).then_some(heading)
}

impl RenderedFamily {
    fn render(&self, heading: &Heading<'_>, format: Format, out: &mut String) {
        match format {
            Format::Text => {
                self.render_help(heading, format, out);
                self.render_type(heading, out);
            }
            Format::OpenMetrics => {
                self.render_type(heading, out);
                // The unit must be the end of the name.
                let unit = self.unit.filter(|unit| ends_in(heading.name, unit));
                if let Some(unit) = unit {
                    push_all(out, &["# UNIT ", heading.name, " ", unit, "\n"]);
                }
                self.render_help(heading, format, out);
            }
        }
        let mut histograms = self.histogram_lines(format);
        for series in &self.series {
            match &series.cell {
                Cell::Counter(cell) => {
                    push_sample(out, &heading.sample, "", &series.text);
                    push_integer(out, cell.get());
                    out.push('\n');
                }
                Cell::Gauge(cell) => {
                    push_sample(out, &heading.sample, "", &series.text);
                    push_number(out, cell.get());
                    out.push('\n');
                }
                Cell::Histogram(cell) => {
                    histograms.push(out, &heading.sample, &series.text, cell);
                }
            }
        }
    }

    fn render_type(&self, heading: &Heading<'_>, out: &mut String) {
        push_all(out, &["# TYPE ", heading.name, " ", heading.kind, "\n"]);
    }

    fn render_help(&self, heading: &Heading<'_>, format: Format, out: &mut String) {
        if self.help.is_empty() {
            return;
        }
        push_all(out, &["# HELP ", heading.name, " "]);
        for char in self.help.chars() {
            match char {
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '"' if format == Format::OpenMetrics => out.push_str("\\\""),
                char => out.push(char),
            }
        }
        out.push('\n');
    }

    /// Returns the writer of the histograms of the family, all of which have the same bounds.
    fn histogram_lines(&self, format: Format) -> HistogramLines {
        let first = self.series.first().map(|series| &series.cell);
        match first {
            Some(Cell::Histogram(cell)) => HistogramLines::new(cell.bounds(), format),
            _ => HistogramLines::new(&[], format),
        }
    }
}

/// Returns whether a name ends in a unit.
pub(super) fn ends_in(name: &str, unit: &str) -> bool {
    name.strip_suffix(unit)
        .is_some_and(|rest| rest.ends_with('_'))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use metrics::{CounterFn, GaugeFn, HistogramFn};

    use super::*;
    use crate::ops::recorder::{
        bounds::Bounds, counter_cell::CounterCell, gauge_cell::GaugeCell,
        histogram_cell::HistogramCell, name::labels_text, pulse::Pulse,
    };

    fn family(name: &str, unit: Option<&'static str>, help: &str, cell: Cell) -> RenderedFamily {
        let kind = cell.kind();
        let labels: Box<[(Arc<str>, Arc<str>)]> = Box::new([("shop".into(), "e\"u".into())]);
        let text = labels_text(&labels);
        let labeled = Arc::new(Series::new(labels, text, cell.clone()));
        let plain = Arc::new(Series::new(Box::default(), "".into(), cell));
        RenderedFamily {
            name: name.into(),
            kind,
            unit,
            help: help.into(),
            series: vec![plain, labeled],
        }
    }

    fn counter(name: &str) -> RenderedFamily {
        let cell = CounterCell::default();
        cell.increment(7);
        family(name, None, "", Cell::Counter(Arc::new(cell)))
    }

    fn gauge(name: &str) -> RenderedFamily {
        let cell = GaugeCell::default();
        cell.set(0.5);
        family(
            name,
            Some("bytes"),
            "Bytes \"in\"\nuse \\",
            Cell::Gauge(Arc::new(cell)),
        )
    }

    fn histogram(name: &str) -> RenderedFamily {
        let cell = HistogramCell::new(
            Arc::new(Bounds::new(&[0.5, 1e6])),
            Arc::new(Pulse::new(Arc::default())),
        );
        cell.record(0.5);
        cell.record(2.0);
        family(name, Some("seconds"), "", Cell::Histogram(Arc::new(cell)))
    }

    fn text(families: &[RenderedFamily], format: Format) -> String {
        render(families, format, 0)
    }

    #[test]
    fn text_format_has_help_before_type() {
        assert_eq!(
            text(&[gauge("pool_bytes")], Format::Text),
            "# HELP pool_bytes Bytes \"in\"\\nuse \\\\\n# TYPE pool_bytes gauge\n\
             pool_bytes 0.5\npool_bytes{shop=\"e\\\"u\"} 0.5\n"
        );
    }

    #[test]
    fn open_metrics_has_type_unit_help_and_an_end() {
        assert_eq!(
            text(&[gauge("pool_bytes")], Format::OpenMetrics),
            "# TYPE pool_bytes gauge\n# UNIT pool_bytes bytes\n# HELP pool_bytes Bytes \\\"in\\\"\\nuse \\\\\n\
             pool_bytes 0.5\npool_bytes{shop=\"e\\\"u\"} 0.5\n# EOF\n"
        );
        // No unit where the name does not end in it.
        assert!(!text(&[gauge("pool")], Format::OpenMetrics).contains("# UNIT"));
        assert_eq!(text(&[], Format::OpenMetrics), "# EOF\n");
    }

    #[test]
    fn counters_end_in_total_in_open_metrics() {
        let begin = |name, format| {
            let text = text(&[counter(name)], format);
            text.lines().take(2).collect::<Vec<_>>().join("|")
        };
        assert_eq!(
            begin("orders_total", Format::Text),
            "# TYPE orders_total counter|orders_total 7"
        );
        assert_eq!(
            begin("orders_total", Format::OpenMetrics),
            "# TYPE orders counter|orders_total 7"
        );
        assert_eq!(
            begin("orders", Format::Text),
            "# TYPE orders counter|orders 7"
        );
        assert_eq!(
            begin("orders", Format::OpenMetrics),
            "# TYPE orders counter|orders_total 7"
        );
        assert_eq!(
            begin("_total", Format::OpenMetrics),
            "# TYPE _total unknown|_total 7"
        );
    }

    #[test]
    fn names_that_clash_in_open_metrics_are_told_apart() {
        let types = |families: &[RenderedFamily]| {
            let text = text(families, Format::OpenMetrics);
            let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
            types.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(
            types(&[gauge("load"), counter("load_total")]),
            ["load gauge", "load_total unknown"]
        );
        assert_eq!(
            types(&[counter("load"), counter("load_total")]),
            ["load counter", "load_total unknown"]
        );
    }

    #[test]
    fn histogram_has_buckets_sum_and_count() {
        let lines = |format| {
            let text = text(&[histogram("wait_seconds")], format);
            text.lines()
                .filter(|line| !line.starts_with("# HELP"))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            lines(Format::Text),
            [
                "# TYPE wait_seconds histogram",
                "wait_seconds_bucket{le=\"0.5\"} 1",
                "wait_seconds_bucket{le=\"1000000\"} 2",
                "wait_seconds_bucket{le=\"+Inf\"} 2",
                "wait_seconds_sum 2.5",
                "wait_seconds_count 2",
                "wait_seconds_bucket{shop=\"e\\\"u\",le=\"0.5\"} 1",
                "wait_seconds_bucket{shop=\"e\\\"u\",le=\"1000000\"} 2",
                "wait_seconds_bucket{shop=\"e\\\"u\",le=\"+Inf\"} 2",
                "wait_seconds_sum{shop=\"e\\\"u\"} 2.5",
                "wait_seconds_count{shop=\"e\\\"u\"} 2",
            ]
        );
        assert_eq!(
            lines(Format::OpenMetrics)[3],
            "wait_seconds_bucket{le=\"1e+06\"} 2"
        );
    }
}
