use std::fmt::Write;

use super::{
    Format,
    exemplars::Exemplar,
    histogram_cell::{BoundCounts, HistogramCell},
    number::{canonical, push_integer, push_number},
    text::{push_all, push_sample},
};

/// A writer of the lines of histograms that have the same bounds: buckets, sum and count.
pub(super) struct HistogramLines {
    format: Format,
    /// The text of each bound up to the value of its line, `le="0.5"} `; that of `+Inf` is the last.
    bounds: Vec<String>,
    /// The text before the bound, which all buckets of a series share.
    begin: String,
    counts: BoundCounts,
}

impl HistogramLines {
    pub(super) fn new(bounds: &[f64], format: Format) -> Self {
        let bounds = bounds.iter().map(|bound| match format {
            Format::OpenMetrics => canonical(*bound),
            Format::Text => {
                let mut text = String::new();
                push_number(&mut text, *bound);
                text
            }
        });
        HistogramLines {
            format,
            bounds: bounds
                .chain(["+Inf".to_owned()])
                .map(|bound| format!("le=\"{bound}\"}} "))
                .collect(),
            begin: String::new(),
            counts: BoundCounts::default(),
        }
    }

    /// Appends the lines of one series.
    pub(super) fn push(
        &mut self,
        out: &mut String,
        name: &str,
        labels: &str,
        cell: &HistogramCell,
    ) {
        let comma = if labels.is_empty() { "" } else { "," };
        self.begin.clear();
        push_all(&mut self.begin, &[name, "_bucket{", labels, comma]);
        let counts = cell.count_by_bound(&mut self.counts);
        for (place, (count, bound)) in counts.iter().zip(&self.bounds).enumerate() {
            push_all(out, &[&self.begin, bound]);
            push_integer(out, *count);
            if self.format == Format::OpenMetrics
                && let Some(exemplar) = cell.exemplar(place)
            {
                push_exemplar(out, &exemplar);
            }
            out.push('\n');
        }
        push_sample(out, name, "_sum", labels);
        push_number(out, cell.sum());
        out.push('\n');
        push_sample(out, name, "_count", labels);
        push_integer(out, counts.last().copied().unwrap_or(0));
        out.push('\n');
    }
}

fn push_exemplar(out: &mut String, exemplar: &Exemplar) {
    // A `String` takes everything.
    let _ = write!(out, " # {{trace_id=\"{}\"}} ", exemplar.trace_id);
    push_number(out, exemplar.value);
    let _ = write!(out, " {:.3}", exemplar.at);
}
