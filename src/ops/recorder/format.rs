/// The formats in which metrics are rendered.
///
/// ```
/// use tower_keep::ops::recorder::Format;
///
/// let accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
/// assert_eq!(Format::negotiate(Some(accept)), Format::OpenMetrics);
/// assert_eq!(Format::negotiate(None), Format::Text);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// The text format of Prometheus, version 0.0.4.
    Text,
    /// OpenMetrics, version 1.0.0, which also has units and exemplars.
    OpenMetrics,
}

/// The longest `Accept` that is read, in bytes.
const MAX_ACCEPT: usize = 4_096;

impl Format {
    /// Returns the value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// Returns the format that a client prefers by its `Accept`: OpenMetrics if that is named, with a higher quality than the
    /// text format. Whatever else it says, it gets text: a scraper can read that, and a browser shows it.
    pub fn negotiate(accept: Option<&str>) -> Format {
        let accept = accept
            .filter(|accept| accept.len() <= MAX_ACCEPT)
            .unwrap_or_default();
        let ranges: Vec<_> = accept.split(',').filter_map(Range::read).collect();
        // The most specific range decides, wherever it stands.
        let quality = |kinds: &[&str], version: &str| {
            let matching = ranges.iter().filter(|range| {
                kinds.contains(&range.kind.as_str())
                    && range.version.is_none_or(|other| other == version)
            });
            matching
                .max_by_key(|range| (range.specificity(), range.quality))
                .map_or(0, |range| range.quality)
        };
        let open_metrics = quality(&["application/openmetrics-text"], "1.0.0");
        let text = quality(&["text/plain", "text/*", "*/*"], "0.0.4");
        match open_metrics > text {
            true => Format::OpenMetrics,
            false => Format::Text,
        }
    }
}

/// A media range of `Accept`.
struct Range<'a> {
    kind: String,
    version: Option<&'a str>,
    /// In thousandths, as precise as the header can be.
    quality: u16,
}

impl<'a> Range<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let kind = parts.next()?.to_ascii_lowercase();
        let mut range = Range {
            kind,
            version: None,
            quality: 1_000,
        };
        for part in parts {
            let (name, value) = part.split_once('=')?;
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => range.quality = quality(value)?,
                "version" => range.version = Some(value),
                _ => {}
            }
        }
        Some(range)
    }

    fn specificity(&self) -> (bool, bool, bool) {
        (
            self.version.is_some(),
            !self.kind.ends_with("/*"),
            self.kind != "*/*",
        )
    }
}

fn quality(text: &str) -> Option<u16> {
    let number: f64 = text.parse().ok()?;
    (0.0..=1.0)
        .contains(&number)
        .then(|| (number * 1_000.0).round() as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_is_negotiated() {
        use Format::{OpenMetrics, Text};
        for (accept, expected) in [
            ("", Text),
            ("*/*", Text),
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                Text,
            ),
            ("application/openmetrics-text", OpenMetrics),
            (
                "Application/OpenMetrics-Text; Version=\"1.0.0\"",
                OpenMetrics,
            ),
            ("application/openmetrics-text;version=2.0.0", Text),
            ("application/openmetrics-text;q=0", Text),
            ("application/openmetrics-text;q=nope", Text),
            ("application/openmetrics-text;q=1.1", Text),
            ("application/openmetrics-text;q=0.4,text/plain;q=0.5", Text),
            ("application/openmetrics-text;q=0.5,text/plain;q=0.5", Text),
            (
                "text/plain;q=0.4,application/openmetrics-text;q=0.5",
                OpenMetrics,
            ),
            (
                "text/plain;version=0.0.4;q=0.2,application/openmetrics-text;q=0.5,text/*;q=0.9",
                OpenMetrics,
            ),
            (
                "text/plain;q=0.1,application/openmetrics-text;q=0.5,*/*",
                OpenMetrics,
            ),
            (
                "text/*;q=0.1,application/openmetrics-text;q=0.5,*/*",
                OpenMetrics,
            ),
            // Prometheus 2 and 3.
            (
                "application/openmetrics-text;version=1.0.0;q=0.75,application/openmetrics-text;version=0.0.1;q=0.5,\
                 text/plain;version=0.0.4;q=0.25,*/*;q=0.1",
                OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                 application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
                 text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                OpenMetrics,
            ),
            (
                "text/plain;version=1.0.0;q=0.9,application/openmetrics-text;q=0.5",
                OpenMetrics,
            ),
        ] {
            assert_eq!(Format::negotiate(Some(accept)), expected, "{accept}");
        }
        assert_eq!(Format::negotiate(None), Text);
        let long = format!("application/openmetrics-text,{}", "x".repeat(MAX_ACCEPT));
        assert_eq!(Format::negotiate(Some(&long)), Text);
    }

    #[test]
    fn content_type_names_the_version() {
        assert_eq!(
            Format::Text.content_type(),
            "text/plain; version=0.0.4; charset=utf-8"
        );
        assert_eq!(
            Format::OpenMetrics.content_type(),
            "application/openmetrics-text; version=1.0.0; charset=utf-8"
        );
    }
}
