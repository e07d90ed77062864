use std::fmt;

/// The kind of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SeriesKind {
    /// A number that only grows.
    Counter,
    /// A number that is set.
    Gauge,
    /// The distribution of values.
    Histogram,
}

impl SeriesKind {
    /// Returns the name of the kind: `counter`, `gauge` or `histogram`.
    pub fn as_str(self) -> &'static str {
        match self {
            SeriesKind::Counter => "counter",
            SeriesKind::Gauge => "gauge",
            SeriesKind::Histogram => "histogram",
        }
    }
}

impl fmt::Display for SeriesKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The number that a step of a query shows.
///
/// | aggregation | of counters | of gauges | of histograms |
/// |---|---|---|---|
/// | `Sum` | what was added | sum of the last values of the series | sum of the values |
/// | `Avg` | average per second | average of the last values | average value |
/// | `Min`, `Max` | least, largest rate per second | least, largest value | least, largest value |
/// | `Rate` | added per second | | values per second |
/// | `Count` | what was added | number of series | number of values |
/// | `Quantile(q)` | | | the value that a fraction `q` of all values does not exceed |
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Aggregation {
    /// The sum.
    Sum,
    /// The average.
    Avg,
    /// The least value.
    Min,
    /// The largest value.
    Max,
    /// The rate per second.
    Rate,
    /// The number of values.
    Count,
    /// A quantile, as a fraction of 1.
    Quantile(f64),
}

impl Aggregation {
    /// The texts that are allowed.
    pub(in crate::ops) const EXPECTED: &'static str = "sum, avg, min, max, rate, count, p50, p95, p99, another percentile such as p99.9, or quantile(0.95)";

    /// Returns the aggregation of a text, such as `rate`, `p95` or `quantile(0.95)`.
    ///
    /// ```
    /// use tower_keep::ops::series::Aggregation;
    ///
    /// assert_eq!(Aggregation::from_text("p99.9"), Some(Aggregation::Quantile(0.999)));
    /// assert_eq!(Aggregation::from_text("median"), None);
    /// ```
    pub fn from_text(text: &str) -> Option<Self> {
        let known = match text {
            "sum" => Aggregation::Sum,
            "avg" => Aggregation::Avg,
            "min" => Aggregation::Min,
            "max" => Aggregation::Max,
            "rate" => Aggregation::Rate,
            "count" => Aggregation::Count,
            _ => return quantile(text),
        };
        Some(known)
    }

    /// Returns the aggregation of a query that names none: the rate of counters, the average of gauges, the 95th percentile of
    /// histograms.
    pub fn default_of(kind: SeriesKind) -> Self {
        match kind {
            SeriesKind::Counter => Aggregation::Rate,
            SeriesKind::Gauge => Aggregation::Avg,
            SeriesKind::Histogram => Aggregation::Quantile(0.95),
        }
    }

    /// Returns whether series of the kind have the number.
    pub fn fits(self, kind: SeriesKind) -> bool {
        match self {
            Aggregation::Quantile(_) => kind == SeriesKind::Histogram,
            Aggregation::Rate => kind != SeriesKind::Gauge,
            Aggregation::Sum
            | Aggregation::Avg
            | Aggregation::Min
            | Aggregation::Max
            | Aggregation::Count => true,
        }
    }
}

fn quantile(text: &str) -> Option<Aggregation> {
    let (number, scale) = match text.strip_prefix("quantile(") {
        Some(rest) => (rest.strip_suffix(')')?, 1.0),
        None => (text.strip_prefix('p')?, 100.0),
    };
    // Rust also reads `inf`, `nan` and exponents.
    let is_plain = number
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let q = number.parse::<f64>().ok().filter(|_| is_plain)?;
    // To eleven digits, since 99.9 / 100 is 0.999 and a bit.
    let q = (q <= scale).then_some(q / scale)?;
    Some(Aggregation::Quantile((q * 1e11).round() / 1e11))
}

impl fmt::Display for Aggregation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Aggregation::Sum => "sum",
            Aggregation::Avg => "avg",
            Aggregation::Min => "min",
            Aggregation::Max => "max",
            Aggregation::Rate => "rate",
            Aggregation::Count => "count",
            Aggregation::Quantile(q) => {
                // To nine digits, since 0.999 * 100 is 99.9 and a bit.
                return write!(f, "p{}", (q * 1e11).round() / 1e9);
            }
        };
        f.write_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregation_reads_what_it_writes() {
        for text in [
            "sum", "avg", "min", "max", "rate", "count", "p50", "p95", "p99", "p99.9", "p0", "p100",
        ] {
            let aggregation = Aggregation::from_text(text).expect(text);
            assert_eq!(aggregation.to_string(), text);
        }
        assert_eq!(
            Aggregation::from_text("quantile(0.25)"),
            Some(Aggregation::Quantile(0.25))
        );
        assert_eq!(
            Aggregation::from_text("quantile(1)"),
            Some(Aggregation::Quantile(1.0))
        );
        for text in [
            "",
            "p",
            "p101",
            "pinf",
            "pnan",
            "p-1",
            "p1e1",
            "quantile(1.1)",
            "quantile(0.5",
            "quantile()",
            "SUM",
            "x",
        ] {
            assert_eq!(Aggregation::from_text(text), None, "{text}");
        }
    }

    #[test]
    fn aggregation_fits_kinds() {
        use SeriesKind::{Counter, Gauge, Histogram};
        let fits = |text| {
            let aggregation = Aggregation::from_text(text).expect(text);
            [Counter, Gauge, Histogram].map(|kind| aggregation.fits(kind))
        };
        for text in ["sum", "avg", "min", "max", "count"] {
            assert_eq!(fits(text), [true; 3], "{text}");
        }
        assert_eq!(fits("rate"), [true, false, true]);
        assert_eq!(fits("p50"), [false, false, true]);
        let defaults =
            [Counter, Gauge, Histogram].map(|kind| Aggregation::default_of(kind).to_string());
        assert_eq!(defaults, ["rate", "avg", "p95"]);
        assert_eq!(
            [Counter, Gauge, Histogram].map(|kind| kind.to_string()),
            ["counter", "gauge", "histogram"]
        );
    }
}
