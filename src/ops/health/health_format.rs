/// The form of a health document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HealthFormat {
    /// The draft `application/health+json`, `draft-inadarei-api-health-check-06`.
    HealthJson,
    /// The same as [`HealthJson`](HealthFormat::HealthJson), for those who accept `application/json` only.
    Json,
    /// The shape of Spring Boot's Actuator, which its tools read.
    Actuator,
    /// A line for each component, for people.
    Text,
}

/// The offers, the preferred first, with the media types that ask for them.
const OFFERS: [(HealthFormat, &str); 6] = [
    (HealthFormat::HealthJson, "application/health+json"),
    (HealthFormat::Json, "application/json"),
    (
        HealthFormat::Actuator,
        "application/vnd.spring-boot.actuator.v3+json",
    ),
    (
        HealthFormat::Actuator,
        "application/vnd.spring-boot.actuator.v2+json",
    ),
    (HealthFormat::Text, "text/plain"),
    // A browser would offer to save the others as a file.
    (HealthFormat::Text, "text/html"),
];
/// The maximum number of media ranges that are looked at.
const MAX_RANGES: usize = 32;

impl HealthFormat {
    /// Chooses the form by an `Accept` header: the highest `q` wins, then the order of [`HealthFormat`]. Without a header, and
    /// if nothing fits, it is [`HealthJson`](HealthFormat::HealthJson): a monitor is better served by that than by a 406.
    ///
    /// ```
    /// use tower_keep::ops::health::HealthFormat;
    ///
    /// assert_eq!(HealthFormat::negotiate(Some("*/*")), HealthFormat::HealthJson);
    /// let spring = "application/vnd.spring-boot.actuator.v3+json, application/json;q=0.9";
    /// assert_eq!(HealthFormat::negotiate(Some(spring)), HealthFormat::Actuator);
    /// ```
    pub fn negotiate(accept: Option<&str>) -> Self {
        let ranges = accept.unwrap_or("*/*").split(',').take(MAX_RANGES);
        let ranges: Vec<_> = ranges.filter_map(MediaRange::parse).collect();
        let mut best = (HealthFormat::HealthJson, 0);
        for (format, media_type) in OFFERS {
            // The most specific range decides about a media type.
            let matching = ranges
                .iter()
                .filter_map(|range| Some((range.specificity(media_type)?, range.q)));
            let q = matching.max().map_or(0, |(_, q)| q);
            if q > best.1 {
                best = (format, q);
            }
        }
        best.0
    }

    /// Returns the value of `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            HealthFormat::HealthJson => "application/health+json",
            HealthFormat::Json => "application/json",
            HealthFormat::Actuator => "application/vnd.spring-boot.actuator.v3+json",
            HealthFormat::Text => "text/plain; charset=utf-8",
        }
    }
}

/// A media range of an `Accept` header.
struct MediaRange<'a> {
    range: &'a str,
    /// In thousandths.
    q: u16,
}

impl<'a> MediaRange<'a> {
    /// Parses `text/plain;q=0.5`. An invalid `q` counts as 1.
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let range = parts.next().filter(|range| range.contains('/'))?;
        let q = parts
            .find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
            .and_then(|q| q.parse::<f32>().ok())
            .filter(|q| (0.0..=1.0).contains(q))
            .map_or(1_000, |q| (q * 1_000.0).round() as u16);
        Some(MediaRange { range, q })
    }

    /// Returns how exactly the range is about a media type; `None` if it is not.
    fn specificity(&self, media_type: &str) -> Option<u8> {
        let group = media_type.split('/').next().unwrap_or_default();
        match self.range.split_once('/') {
            _ if self.range.eq_ignore_ascii_case(media_type) => Some(2),
            Some((range, "*")) if range.eq_ignore_ascii_case(group) => Some(1),
            Some(("*", "*")) => Some(0),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use HealthFormat::*;

    #[test]
    fn format_is_the_most_preferred_one_that_is_offered() {
        for (accept, expected) in [
            ("", HealthJson),
            ("*/*", HealthJson),
            ("application/*", HealthJson),
            ("application/json", Json),
            ("application/json, application/health+json", HealthJson),
            ("application/vnd.spring-boot.actuator.v3+json", Actuator),
            (
                "application/vnd.spring-boot.actuator.v2+json, */*;q=0.1",
                Actuator,
            ),
            ("text/plain", Text),
            ("TEXT/*", Text),
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                Text,
            ),
            ("text/plain;q=0.5, application/json;q=0.6", Json),
            ("text/plain;q=0.7, application/json; q=0.6", Text),
            ("application/health+json;q=0, */*", Json),
            ("application/health+json;Q=0.2, application/*;q=0.3", Json),
            ("image/png", HealthJson),
            ("nonsense, ;q=1, text/plain;q=7", Text),
        ] {
            assert_eq!(HealthFormat::negotiate(Some(accept)), expected, "{accept}");
        }
        assert_eq!(HealthFormat::negotiate(None), HealthJson);
    }

    #[test]
    fn accept_header_is_read_up_to_32_ranges() {
        let many = format!("{}text/plain", "a/b,".repeat(31));
        assert_eq!(HealthFormat::negotiate(Some(&many)), Text);
        let more = format!("{}text/plain", "a/b,".repeat(32));
        assert_eq!(HealthFormat::negotiate(Some(&more)), HealthJson);
    }

    #[test]
    fn format_has_its_content_type() {
        let types = [HealthJson, Json, Actuator, Text].map(HealthFormat::content_type);
        let expected = [
            "application/health+json",
            "application/json",
            "application/vnd.spring-boot.actuator.v3+json",
            "text/plain; charset=utf-8",
        ];
        assert_eq!(types, expected);
    }
}
