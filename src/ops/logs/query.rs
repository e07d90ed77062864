use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{level::LogLevel, record::LogRecord, search_text::SearchText, words::Words};
use crate::{
    context::{SpanId, TraceId},
    ops::members::MemberError,
    util::text::truncate,
};

/// The time that a search looks back, if nobody says how far.
const DEFAULT_BACK: Duration = Duration::from_secs(24 * 60 * 60);
/// The latest time that is one, in seconds: the year 5138.
const MAX_SECONDS: f64 = 1e11;

/// The records that somebody looks for: all that is given must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::ops) struct LogQuery {
    pub(super) words: Words,
    /// The least level.
    pub(super) level: Option<LogLevel>,
    /// The beginning of the target.
    pub(super) target: Option<Box<str>>,
    pub(super) request_id: Option<Box<str>>,
    pub(super) correlation_id: Option<Box<str>>,
    pub(super) trace_id: Option<TraceId>,
    pub(super) span_id: Option<SpanId>,
    /// An ID of whatever kind.
    pub(super) id: Option<Box<str>>,
    /// Microseconds since 1970, both included.
    pub(super) since: Option<u64>,
    pub(super) until: Option<u64>,
}

impl LogQuery {
    /// The parameters, without those of time.
    pub(in crate::ops) const PARAMS: [&str; 8] = [
        "q",
        "level",
        "target",
        "request_id",
        "correlation_id",
        "trace_id",
        "span_id",
        "id",
    ];

    /// Parses parameters.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first parameter that is wrong.
    pub(in crate::ops) fn parse<'a>(
        get: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<Self, MemberError> {
        let text = |name: &str| get(name).filter(|text| !text.is_empty());
        let boxed = |name: &str| text(name).map(Into::into);
        let level = text("level").map(|text| {
            let all = LogLevel::ALL.map(LogLevel::as_str).join(", ");
            LogLevel::parse(text).ok_or_else(|| wrong("level", text, &format!("one of {all}")))
        });
        let trace_id = text("trace_id").map(|text| {
            let id = TraceId::from_hex(text.as_bytes());
            id.ok_or_else(|| wrong("trace_id", text, "32 hexadecimal digits, in lower case"))
        });
        let span_id = text("span_id").map(|text| {
            let id = SpanId::from_hex(text.as_bytes());
            id.ok_or_else(|| wrong("span_id", text, "16 hexadecimal digits, in lower case"))
        });
        Ok(LogQuery {
            words: Words::parse(get("q").unwrap_or_default()),
            level: level.transpose()?,
            target: boxed("target"),
            request_id: boxed("request_id"),
            correlation_id: boxed("correlation_id"),
            trace_id: trace_id.transpose()?,
            span_id: span_id.transpose()?,
            id: boxed("id"),
            since: time("since", text("since"))?,
            until: time("until", text("until"))?,
        })
    }

    /// Sets how far the search looks back, if nobody has said it.
    pub(in crate::ops) fn with_default_time(mut self, now: SystemTime) -> Self {
        self.since.get_or_insert_with(|| {
            let from = now.duration_since(UNIX_EPOCH).unwrap_or_default();
            from.saturating_sub(DEFAULT_BACK).as_micros() as u64
        });
        self
    }

    /// Returns whether a record is one of those. `text` is memory for its words.
    pub(super) fn matches(&self, record: &LogRecord, text: &mut SearchText) -> bool {
        let ids = &record.ids;
        let is =
            |wanted: &Option<Box<str>>, id: &Option<Box<str>>| wanted.is_none() || wanted == id;
        self.level.is_none_or(|level| record.level >= level)
            && self.since.is_none_or(|since| record.at >= since)
            && self.until.is_none_or(|until| record.at <= until)
            && self
                .target
                .as_ref()
                .is_none_or(|start| record.target.starts_with(&**start))
            && is(&self.request_id, &ids.request_id)
            && is(&self.correlation_id, &ids.correlation_id)
            && (self.trace_id.is_none() || self.trace_id == ids.trace_id)
            && (self.span_id.is_none() || self.span_id == ids.span_id)
            && self.id.as_ref().is_none_or(|id| ids.has(id))
            && (self.words.is_empty() || {
                text.set(record);
                self.words.match_text(text)
            })
    }
}

fn time(name: &str, text: Option<&str>) -> Result<Option<u64>, MemberError> {
    let Some(text) = text else { return Ok(None) };
    let seconds = text
        .parse()
        .ok()
        .filter(|seconds| (0.0..=MAX_SECONDS).contains(seconds));
    let micros = seconds.map(|seconds: f64| (seconds * 1e6) as u64);
    let micros = micros.ok_or_else(|| wrong(name, text, "seconds since 1970"))?;
    Ok(Some(micros))
}

fn wrong(name: &str, text: &str, expected: &str) -> MemberError {
    let shown = truncate(text, 64);
    MemberError::new(name, format!("{name} is {shown:?}, must be {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &'static str, value: &'static str) -> Result<LogQuery, String> {
        let query = LogQuery::parse(|each| (each == name).then_some(value));
        query.map_err(|error| {
            assert_eq!(error.name, name);
            error.detail
        })
    }

    #[test]
    fn query_that_is_wrong_names_the_parameter() {
        for (name, value, detail) in [
            (
                "level",
                "fatal",
                r#"level is "fatal", must be one of trace, debug, info, warn, error"#,
            ),
            (
                "trace_id",
                "x",
                r#"trace_id is "x", must be 32 hexadecimal digits, in lower case"#,
            ),
            (
                "span_id",
                "0000000000000000",
                r#"span_id is "0000000000000000", must be 16 hexadecimal digits, in lower case"#,
            ),
            (
                "since",
                "-1",
                r#"since is "-1", must be seconds since 1970"#,
            ),
            (
                "until",
                "NaN",
                r#"until is "NaN", must be seconds since 1970"#,
            ),
        ] {
            assert_eq!(parse(name, value).expect_err("wrong"), detail);
        }
        for name in LogQuery::PARAMS {
            assert_eq!(parse(name, ""), Ok(LogQuery::default()), "{name}");
        }
        assert_eq!(
            parse("since", "1.5").expect("a time").since,
            Some(1_500_000)
        );
    }

    #[test]
    fn query_looks_back_a_day_by_itself() {
        let now = UNIX_EPOCH + Duration::from_secs(100_000);
        let query = LogQuery::default().with_default_time(now);
        assert_eq!(query.since, Some(13_600_000_000));
        let given = LogQuery {
            since: Some(5),
            ..LogQuery::default()
        };
        assert_eq!(given.with_default_time(now).since, Some(5));
    }
}
