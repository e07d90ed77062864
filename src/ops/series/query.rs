use std::time::Duration;

use super::{Aggregation, Filter, QueryError, parse};

/// The range of a query that names none.
const DEFAULT_RANGE: u64 = 300;
/// The time for which a file of the store keeps points of an hour.
const MAX_RANGE: u64 = 90 * 24 * 3_600;
/// More than a screen has pixels across.
const MAX_STEPS: u64 = 1_500;
/// The number of steps that a chart needs.
const DEFAULT_STEPS: u64 = 300;
/// More lines than a chart can show.
const MAX_LIMIT: usize = 500;
const DEFAULT_LIMIT: usize = 50;
pub(super) const MAX_FILTERS: usize = 16;
pub(super) const MAX_BY: usize = 8;
const MAX_NAME: usize = 256;
const MAX_MORE: usize = 8;
/// The steps in seconds that are chosen where a query names none.
const ROUND_STEPS: [u64; 15] = [
    1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600, 43_200,
];

/// A question about series: which, over which time, in which steps, and what number.
///
/// ```
/// use std::time::Duration;
/// use tower_keep::ops::series::{Aggregation, Filter, Query};
///
/// // The 95th percentile of each route over the last hour.
/// let query = Query::new("http_server_request_duration_seconds")
///     .filter(Filter::is_not("http_route", "/healthz"))
///     .by(["http_route"])
///     .range(Duration::from_secs(3_600))
///     .aggregate(Aggregation::Quantile(0.95));
/// assert!(query.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Query {
    name: String,
    /// More names, whose series are merged into the same lines.
    more: Vec<String>,
    filters: Vec<Filter>,
    by: Vec<String>,
    range: u64,
    step: Option<u64>,
    end: Option<u64>,
    aggregation: Option<Aggregation>,
    limit: usize,
}

impl Query {
    /// Creates a query of all series of a name, merged into one line over the last 5 minutes.
    ///
    /// ```
    /// use tower_keep::ops::series::Query;
    ///
    /// let query = Query::new("tower_keep_calls_total");
    /// assert_eq!(query.name(), "tower_keep_calls_total");
    /// ```
    pub fn new(name: impl Into<String>) -> Self {
        Query {
            name: name.into(),
            more: Vec::new(),
            filters: Vec::new(),
            by: Vec::new(),
            range: DEFAULT_RANGE,
            step: None,
            end: None,
            aggregation: None,
            limit: DEFAULT_LIMIT,
        }
    }

    /// Returns the query of named texts, as those of an address: `name`, `filter` (any number of times), `by` (labels between
    /// commas), `range`, `step`, `end`, `agg`, `limit`.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first parameter that is unknown or not allowed, and what is.
    ///
    /// ```
    /// use tower_keep::ops::series::Query;
    ///
    /// let error = Query::parse([("name", "load"), ("range", "soon")]).expect_err("not a time");
    /// assert_eq!(error.to_string(), r#"range is "soon", must be seconds, or a number with s, m, h or d, such as 5m"#);
    /// ```
    pub fn parse<'a>(
        parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, QueryError> {
        parse::query(parameters)
    }

    /// Adds the series of another name to the same lines, at most 8: for what is one thing under several names, such as the
    /// durations of HTTP and of gRPC calls. All must be of one kind. Default: none.
    pub fn and(mut self, name: impl Into<String>) -> Self {
        self.more.push(name.into());
        self
    }

    /// Adds a condition on a label. All must hold; at most 16. Default: none.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filters.push(filter);
        self
    }

    /// Sets the labels by which series are told apart, at most 8; `*` is all of them. Default: none, so that there is one line.
    pub fn by<L: Into<String>>(mut self, labels: impl IntoIterator<Item = L>) -> Self {
        self.by = labels.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the time until the end, in whole seconds: 1 s to 90 days, of which 24 h are in memory. Default: 5 min.
    pub fn range(mut self, range: Duration) -> Self {
        self.range = range.as_secs();
        self
    }

    /// Sets the time of one point, in whole seconds, at least 1 s and at least a 1,500th of the range. As long as the range, it
    /// makes one point of it. Default: 1 s to 12 h, so that there are at most 300 points.
    pub fn step(mut self, step: Duration) -> Self {
        self.step = Some(step.as_secs());
        self
    }

    /// Sets the last second as Unix time. Default: that of the recorder's last tick.
    pub fn end(mut self, second: u64) -> Self {
        self.end = Some(second);
        self
    }

    /// Sets the number to compute. Default: [the one of the kind](Aggregation::default_of).
    pub fn aggregate(mut self, aggregation: Aggregation) -> Self {
        self.aggregation = Some(aggregation);
        self
    }

    /// Sets the maximum number of lines: 1 to 500. Default: 50.
    pub fn limit(mut self, lines: usize) -> Self {
        self.limit = lines;
        self
    }

    pub(super) fn rename(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Returns the name of the series.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the number to compute, if the query names one.
    pub fn aggregation(&self) -> Option<Aggregation> {
        self.aggregation
    }

    /// Returns all names.
    pub(in crate::ops) fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.name)
            .chain(&self.more)
            .map(String::as_str)
    }

    pub(in crate::ops) fn filters(&self) -> &[Filter] {
        &self.filters
    }

    pub(super) fn by_labels(&self) -> &[String] {
        &self.by
    }

    pub(in crate::ops) fn range_seconds(&self) -> u64 {
        self.range
    }

    pub(in crate::ops) fn end_second(&self) -> Option<u64> {
        self.end
    }

    pub(super) fn max_lines(&self) -> usize {
        self.limit
    }

    /// Returns the seconds of a step: the one asked for, or one that makes a good number of points.
    pub(in crate::ops) fn step_seconds(&self) -> u64 {
        self.step.unwrap_or_else(|| {
            let least = self.range.div_ceil(DEFAULT_STEPS);
            ROUND_STEPS
                .into_iter()
                .find(|step| *step >= least)
                .unwrap_or(least)
        })
    }

    /// Checks that all values are allowed, as evaluation does.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first value that is not.
    pub fn check(&self) -> Result<(), QueryError> {
        for name in self.names() {
            check("name", name.len(), 1, MAX_NAME, " bytes")?;
        }
        check("and", self.more.len(), 0, MAX_MORE, " names")?;
        check("filter", self.filters.len(), 0, MAX_FILTERS, " conditions")?;
        check("by", self.by.len(), 0, MAX_BY, " labels")?;
        check("limit", self.limit, 1, MAX_LIMIT, "")?;
        check("range", self.range, 1, MAX_RANGE, " seconds")?;
        if let Some(Aggregation::Quantile(q)) = self.aggregation
            && !(0.0..=1.0).contains(&q)
        {
            return Err(QueryError::new(
                "agg",
                format_args!("quantile({q})"),
                Aggregation::EXPECTED,
            ));
        }
        let least = self.range.div_ceil(MAX_STEPS);
        check("step", self.step_seconds(), least, MAX_RANGE, " seconds")
    }
}

fn check<N: PartialOrd + std::fmt::Display>(
    field: &'static str,
    value: N,
    min: N,
    max: N,
    unit: &str,
) -> Result<(), QueryError> {
    match min <= value && value <= max {
        true => Ok(()),
        false => Err(QueryError::new(
            field,
            value,
            format!("{min} to {max}{unit}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn error(query: Query) -> String {
        query.check().expect_err("an invalid query").to_string()
    }

    #[test]
    fn query_names_what_is_not_allowed() {
        let query = || Query::new("load");
        assert_eq!(query().check(), Ok(()));
        assert_eq!(query().name(), "load");
        assert_eq!(error(Query::new("")), "name is 0, must be 1 to 256 bytes");
        assert_eq!(error(query().limit(0)), "limit is 0, must be 1 to 500");
        assert_eq!(error(query().limit(501)), "limit is 501, must be 1 to 500");
        assert_eq!(
            error(query().range(seconds(0))),
            "range is 0, must be 1 to 7776000 seconds"
        );
        assert_eq!(
            error(query().range(seconds(7_776_001))),
            "range is 7776001, must be 1 to 7776000 seconds"
        );
        assert_eq!(
            error(query().step(seconds(0))),
            "step is 0, must be 1 to 7776000 seconds"
        );
        assert_eq!(
            error(query().range(seconds(3_000)).step(seconds(1))),
            "step is 1, must be 2 to 7776000 seconds"
        );
        assert_eq!(
            error(query().by(["a"; 9])),
            "by is 9, must be 0 to 8 labels"
        );
        assert_eq!(error(query().and("")), "name is 0, must be 1 to 256 bytes");
        let many = (0..9).fold(query(), |query, _| query.and("a"));
        assert_eq!(error(many), "and is 9, must be 0 to 8 names");
        let many = (0..17).fold(query(), |query, _| query.filter(Filter::is("a", "b")));
        assert_eq!(error(many), "filter is 17, must be 0 to 16 conditions");
        let error = error(query().aggregate(Aggregation::Quantile(1.5)));
        assert!(
            error.starts_with("agg is quantile(1.5), must be sum, avg"),
            "{error}"
        );
        let allowed = query()
            .limit(500)
            .range(seconds(7_776_000))
            .step(seconds(5_184))
            .by(["a"; 8]);
        assert_eq!(allowed.check(), Ok(()));
    }

    #[test]
    fn step_makes_at_most_300_points() {
        let step = |range| Query::new("load").range(seconds(range)).step_seconds();
        assert_eq!(
            [1, 300, 301, 600, 3_600, 86_400, 604_800, 7_776_000].map(step),
            [1, 1, 2, 2, 20, 300, 3_600, 43_200]
        );
    }
}
