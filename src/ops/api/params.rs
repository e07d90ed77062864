use std::{ops::RangeInclusive, time::Duration};

use axum::extract::Query;
use http::Uri;

use super::problem::{ApiResult, Problem};

/// The most parameters of a query, and the longest value in bytes.
const MAX_PARAMS: usize = 32;
const MAX_VALUE: usize = 512;

/// The parameters of a query, each of which must be known and within its limits.
#[derive(Debug)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Parses the query of an address, whose parameters must be among the known ones.
    pub(crate) fn parse(uri: &Uri, known: &[&str]) -> ApiResult<Self> {
        let parsed = Query::<Vec<(String, String)>>::try_from_uri(uri);
        let Query(params) =
            parsed.map_err(|_| Problem::invalid("query", "the query is malformed"))?;
        if params.len() > MAX_PARAMS {
            let detail = format!(
                "{} parameters, at most {MAX_PARAMS} are allowed",
                params.len()
            );
            return Err(Problem::invalid("query", detail));
        }
        for (name, value) in &params {
            if !known.contains(&name.as_str()) {
                let shown: String = name.chars().take(64).collect();
                let known = known.join(", ");
                let detail = format!("parameter {shown:?} is unknown, must be one of {known}");
                return Err(Problem::invalid(&shown, detail));
            }
            if value.len() > MAX_VALUE {
                let detail = format!(
                    "{name} has {} bytes, at most {MAX_VALUE} are allowed",
                    value.len()
                );
                return Err(Problem::invalid(name, detail));
            }
        }
        Ok(Params(params))
    }

    /// Returns the value of a parameter; the last one if there are several.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(each, _)| each == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(crate) fn number(
        &self,
        name: &'static str,
        allowed: RangeInclusive<u64>,
        default: u64,
    ) -> ApiResult<u64> {
        let Some(text) = self.text(name) else {
            return Ok(default);
        };
        let number = text.parse().ok().filter(|number| allowed.contains(number));
        number.ok_or_else(|| {
            let (min, max) = (allowed.start(), allowed.end());
            Problem::invalid(name, format!("{name} is {text:?}, must be {min} to {max}"))
        })
    }

    /// Returns the value that one of the words stands for, or else that of the first word.
    pub(crate) fn choice<T: Copy>(&self, name: &'static str, words: &[(&str, T)]) -> ApiResult<T> {
        let text = self.text(name).unwrap_or(words[0].0);
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let all: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            let all = all.join(", ");
            Problem::invalid(name, format!("{name} is {text:?}, must be one of {all}"))
        })
    }

    /// Returns the range of history that is asked for.
    pub(crate) fn range(&self) -> ApiResult<HistoryRange> {
        let [short, middle, long] = HistoryRange::ALL.map(|range| (range.as_str(), range));
        self.choice("range", &[short, middle, long])
    }
}

/// A range of history: one of the recorder's resolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HistoryRange {
    FiveMinutes,
    Hour,
    Day,
}

impl HistoryRange {
    const ALL: [HistoryRange; 3] = [
        HistoryRange::FiveMinutes,
        HistoryRange::Hour,
        HistoryRange::Day,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            HistoryRange::FiveMinutes => "5m",
            HistoryRange::Hour => "1h",
            HistoryRange::Day => "24h",
        }
    }

    pub(crate) const fn range(self) -> Duration {
        Duration::from_secs(match self {
            HistoryRange::FiveMinutes => 300,
            HistoryRange::Hour => 3_600,
            HistoryRange::Day => 86_400,
        })
    }

    pub(crate) const fn step(self) -> Duration {
        Duration::from_secs(match self {
            HistoryRange::FiveMinutes => 1,
            HistoryRange::Hour => 10,
            HistoryRange::Day => 60,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn params(query: &str) -> ApiResult<Params> {
        let uri = format!("/x?{query}").parse().expect("an address");
        Params::parse(&uri, &["limit", "range", "kind"])
    }

    fn detail<T: std::fmt::Debug>(result: ApiResult<T>) -> serde_json::Value {
        let problem = result.unwrap_err().to_json();
        assert_eq!(problem["status"], 400);
        problem["detail"].clone()
    }

    #[test]
    fn params_have_defaults_and_limits() {
        let limit = |query: &str| params(query)?.number("limit", 1..=1_000, 100);
        assert_eq!(limit(""), Ok(100));
        assert_eq!(limit("limit=1"), Ok(1));
        assert_eq!(limit("limit=5&limit=1000"), Ok(1_000));
        let all = params("kind=a&limit=5&kind=b").expect("known");
        let pairs: Vec<_> = all.pairs().collect();
        assert_eq!(pairs, [("kind", "a"), ("limit", "5"), ("kind", "b")]);
        for value in ["0", "1001", "-1", "x", "", "1.5"] {
            let expected = format!("limit is {value:?}, must be 1 to 1000");
            assert_eq!(detail(limit(&format!("limit={value}"))), expected);
        }
    }

    #[test]
    fn params_choose_among_words() {
        let range = |query: &str| params(query)?.range();
        assert_eq!(range(""), Ok(HistoryRange::FiveMinutes));
        assert_eq!(range("range=24h"), Ok(HistoryRange::Day));
        let expected = "range is \"2h\", must be one of 5m, 1h, 24h";
        assert_eq!(detail(range("range=2h")), expected);
        let steps = HistoryRange::ALL.map(|range| range.range().as_secs() / range.step().as_secs());
        assert_eq!(steps, [300, 360, 1_440]);
    }

    #[test]
    fn params_that_are_unknown_long_or_many_are_problems() {
        let unknown = "parameter \"limits\" is unknown, must be one of limit, range, kind";
        assert_eq!(detail(params("limits=3")), unknown);
        let long = format!("kind={}", "x".repeat(513));
        assert_eq!(
            detail(params(&long)),
            "kind has 513 bytes, at most 512 are allowed"
        );
        assert!(params(&long[..long.len() - 1]).is_ok());
        assert!(params(&"kind=x&".repeat(32)).is_ok());
        let many = "kind=x&".repeat(33);
        assert_eq!(
            detail(params(&many)),
            "33 parameters, at most 32 are allowed"
        );
    }

    proptest! {
        #[test]
        fn params_of_any_query_are_parsed_or_a_problem(query in "[ -~&&[^#<>\"` ]]{0,80}") {
            if let Ok(uri) = format!("/x?{query}").parse() {
                let _ = Params::parse(&uri, &["limit"]).map(|params| params.number("limit", 1..=9, 1));
            }
        }
    }
}
