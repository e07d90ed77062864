/// The answer to a query.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct QueryResult {
    /// The lines, one for each group of labels.
    pub series: Vec<QuerySeries>,
    /// True if something is missing: groups beyond the limit, or series that have no history.
    pub truncated: bool,
    /// The number of series that are missing since they have no history.
    pub without_history: usize,
    /// The seconds between two points; more than asked for where the history is coarser.
    pub step: u64,
}

/// A line of the answer to a query.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct QuerySeries {
    /// The labels of the group.
    pub labels: Vec<(String, String)>,
    /// For each step the Unix time of its beginning, and its number. `None` where nothing is known, or the number is not
    /// finite.
    pub points: Vec<(u64, Option<f64>)>,
}
