//! Queries from text parameters.

use std::time::Duration;

use super::{
    Aggregation, Filter, Query, QueryError,
    query::{MAX_BY, MAX_FILTERS},
};

const PARAMETERS: &str = "name, filter, by, range, step, end, agg or limit";
const DURATION: &str = "seconds, or a number with s, m, h or d, such as 5m";

/// Returns the query of named texts; see [`Query::parse`].
pub(super) fn query<'a>(
    parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Query, QueryError> {
    let mut query = Query::new("");
    for (name, text) in parameters {
        query = with(query, name, text)?;
    }
    query.check()?;
    Ok(query)
}

fn with(query: Query, name: &str, text: &str) -> Result<Query, QueryError> {
    match name {
        "name" => Ok(query.rename(text)),
        "filter" if query.filters().len() == MAX_FILTERS => Err(QueryError::new(
            "filter",
            MAX_FILTERS + 1,
            format!("0 to {MAX_FILTERS} conditions"),
        )),
        "filter" => parsed("filter", text, Filter::from_text(text), Filter::EXPECTED)
            .map(|filter| query.filter(filter)),
        "by" if !query.by_labels().is_empty() => Err(QueryError::new(
            "by",
            "given twice",
            "given once, with commas between labels",
        )),
        "by" => {
            // One more than allowed, so that the check finds it.
            let labels = text.split(',').filter(|label| !label.is_empty());
            Ok(query.by(labels.take(MAX_BY + 1)))
        }
        "range" => parsed("range", text, duration(text), DURATION).map(|range| query.range(range)),
        "step" => parsed("step", text, duration(text), DURATION).map(|step| query.step(step)),
        "end" => parsed(
            "end",
            text,
            text.parse().ok(),
            "a Unix time in whole seconds",
        )
        .map(|second| query.end(second)),
        "agg" => parsed(
            "agg",
            text,
            Aggregation::from_text(text),
            Aggregation::EXPECTED,
        )
        .map(|aggregation| query.aggregate(aggregation)),
        "limit" => {
            parsed("limit", text, text.parse().ok(), "1 to 500").map(|lines| query.limit(lines))
        }
        other => Err(QueryError::new(
            "parameter",
            format_args!("{other:?}"),
            PARAMETERS,
        )),
    }
}

fn parsed<T>(
    field: &'static str,
    text: &str,
    value: Option<T>,
    expected: &str,
) -> Result<T, QueryError> {
    value.ok_or_else(|| QueryError::new(field, format_args!("{text:?}"), expected))
}

/// Returns the duration of a text: seconds, or a number with a unit.
pub(in crate::ops) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = match text.char_indices().next_back()? {
        (at, 's') => (&text[..at], 1),
        (at, 'm') => (&text[..at], 60),
        (at, 'h') => (&text[..at], 3_600),
        (at, 'd') => (&text[..at], 86_400),
        _ => (text, 1),
    };
    // Rust also reads a `+`.
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = number.parse().ok().filter(|_| is_plain)?;
    Some(Duration::from_secs(number.checked_mul(unit)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn query_is_read_from_parameters() {
        let query = Query::parse([
            ("name", "load_seconds"),
            ("filter", "route=/pay"),
            ("filter", "status!=500"),
            ("by", "route,status"),
            ("range", "1h"),
            ("step", "20"),
            ("end", "1700000000"),
            ("agg", "p99"),
            ("limit", "7"),
        ]);
        let expected = Query::new("load_seconds")
            .filter(Filter::is("route", "/pay"))
            .filter(Filter::is_not("status", "500"))
            .by(["route", "status"])
            .range(Duration::from_secs(3_600))
            .step(Duration::from_secs(20))
            .end(1_700_000_000)
            .aggregate(Aggregation::Quantile(0.99))
            .limit(7);
        assert_eq!(query, Ok(expected));
        assert_eq!(
            Query::parse([("name", "load"), ("by", "")]),
            Ok(Query::new("load"))
        );
    }

    #[test]
    fn query_names_the_parameter_that_is_wrong() {
        for (name, text, expected) in [
            (
                "query",
                "x",
                r#"parameter is "query", must be name, filter, by, range, step, end, agg or limit"#,
            ),
            (
                "range",
                "5w",
                r#"range is "5w", must be seconds, or a number with s, m, h or d, such as 5m"#,
            ),
            (
                "step",
                "",
                r#"step is "", must be seconds, or a number with s, m, h or d, such as 5m"#,
            ),
            (
                "step",
                "91d",
                "step is 7862400, must be 1 to 7776000 seconds",
            ),
            (
                "end",
                "now",
                r#"end is "now", must be a Unix time in whole seconds"#,
            ),
            ("limit", "-1", r#"limit is "-1", must be 1 to 500"#),
            (
                "by",
                "a,b,c,d,e,f,g,h,i,j",
                "by is 9, must be 0 to 8 labels",
            ),
        ] {
            let error = Query::parse([("name", "load"), (name, text)]).expect_err(text);
            assert_eq!(error.to_string(), expected);
        }
        let error = Query::parse([("agg", "median")]).expect_err("no aggregation");
        assert_eq!(
            (error.field(), error.value(), error.expected()),
            ("agg", "\"median\"", Aggregation::EXPECTED)
        );
        let error = Query::parse([("filter", "route")]).expect_err("no filter");
        assert_eq!(
            (error.field(), error.expected()),
            ("filter", Filter::EXPECTED)
        );
        let error = Query::parse([("filter", "a=b"); 17]).expect_err("too many");
        assert_eq!(
            error.to_string(),
            "filter is 17, must be 0 to 16 conditions"
        );
        // The second one took the place of the first.
        let error = Query::parse([("by", "route"), ("by", "status")]).expect_err("twice");
        assert_eq!(
            error.to_string(),
            "by is given twice, must be given once, with commas between labels"
        );
        let error = Query::parse([("agg", &*"x".repeat(1_000))]).expect_err("too long");
        assert!(error.value().len() <= 80, "{error}");
    }

    #[test]
    fn duration_has_a_unit() {
        let seconds = |text| duration(text).map(|duration| duration.as_secs());
        assert_eq!(
            ["7", "7s", "2m", "2h", "1d", "0"].map(seconds),
            [
                Some(7),
                Some(7),
                Some(120),
                Some(7_200),
                Some(86_400),
                Some(0)
            ]
        );
        for text in ["", "s", "+1", "-1s", "1.5m", "1ä", "18446744073709551615m"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn parse_never_panics(parameters in prop::collection::vec(("name|filter|by|range|step|end|agg|limit|.*", ".*"), 0..9)) {
            let _ = Query::parse(parameters.iter().map(|(name, text)| (&**name, &**text)));
        }
    }
}
