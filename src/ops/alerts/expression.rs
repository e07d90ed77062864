use std::time::Duration;

use crate::{
    ops::series::{Aggregation, Filter, Query},
    protocol::Side,
};

/// The window of what names none: enough seconds to have calls in them, few enough that an alert ends soon after its cause.
pub(super) const DEFAULT_WINDOW: Duration = Duration::from_secs(60);
/// The window of what was dropped: it comes in bursts.
pub(super) const DROPPED_WINDOW: Duration = Duration::from_secs(300);
/// More lines than a query may have.
const MAX_LINES: usize = 500;

/// The number, or numbers, that a rule looks at.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::ops) struct Expression {
    pub(super) source: ValueSource,
    /// Conditions on the labels of its values. All must hold.
    pub(super) filters: Vec<Filter>,
    pub(super) window: Duration,
}

/// The origin of a number.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ValueSource {
    /// A query of the recorder, which has its filters itself.
    Query(Query),
    /// Calls of the service, or of each route.
    Calls(CallFigure, CallGroups),
    /// A figure of guards.
    Guards(GuardFigure),
    /// The health of each component: 1, 0.5 or 0.
    Health,
    /// The records that were dropped within the window, by what they were.
    Dropped,
}

/// A figure of calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum CallFigure {
    ErrorRatio,
    ErrorRate,
    CallRate,
    Latency(f64),
}

/// The groups of calls that have a value each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CallGroups {
    pub(super) side: Side,
    /// True for a value per route, false for one of all calls.
    pub(super) by_route: bool,
}

/// A figure of guards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GuardFigure {
    /// 1 for each circuit breaker that is not closed.
    BreakerOpen,
    /// The share of a bulkhead's queue that is taken.
    QueueRatio,
    /// The share of a retry budget that is left.
    BudgetRatio,
    /// Every number of every guard.
    Stat,
}

/// The unit in which people read a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops) enum Unit {
    None,
    Ratio,
    Seconds,
}

impl Unit {
    pub(in crate::ops) const fn as_str(self) -> Option<&'static str> {
        match self {
            Unit::None => None,
            Unit::Ratio => Some("ratio"),
            Unit::Seconds => Some("seconds"),
        }
    }
}

impl Expression {
    /// Creates that of a query, which is asked for one point over the window.
    pub(super) fn query(query: Query, window: Duration) -> Self {
        let query = query.range(window).step(window).limit(MAX_LINES);
        Expression {
            source: ValueSource::Query(query),
            filters: Vec::new(),
            window,
        }
    }

    /// Returns what the number is called.
    pub(in crate::ops) fn name(&self) -> String {
        match &self.source {
            ValueSource::Query(query) => match query.aggregation() {
                Some(aggregation) => format!("{aggregation} of {}", query.name()),
                None => query.name().to_owned(),
            },
            ValueSource::Calls(CallFigure::ErrorRatio, _) => "error ratio".to_owned(),
            ValueSource::Calls(CallFigure::ErrorRate, _) => "errors per second".to_owned(),
            ValueSource::Calls(CallFigure::CallRate, _) => "calls per second".to_owned(),
            ValueSource::Calls(CallFigure::Latency(q), _) => {
                format!("{} latency", Aggregation::Quantile(*q))
            }
            ValueSource::Guards(GuardFigure::BreakerOpen) => "open circuit breaker".to_owned(),
            ValueSource::Guards(GuardFigure::QueueRatio) => "share of the queue".to_owned(),
            ValueSource::Guards(GuardFigure::BudgetRatio) => "retry budget left".to_owned(),
            ValueSource::Guards(GuardFigure::Stat) => "stat".to_owned(),
            ValueSource::Health => "health".to_owned(),
            ValueSource::Dropped => "dropped records".to_owned(),
        }
    }

    pub(super) fn unit(&self) -> Unit {
        match &self.source {
            ValueSource::Calls(CallFigure::ErrorRatio, _)
            | ValueSource::Guards(GuardFigure::QueueRatio | GuardFigure::BudgetRatio) => {
                Unit::Ratio
            }
            ValueSource::Calls(CallFigure::Latency(_), _) => Unit::Seconds,
            ValueSource::Query(query) => unit_of(query),
            _ => Unit::None,
        }
    }
}

/// Returns the unit that the name of a metric ends in, unless the number is one of values.
fn unit_of(query: &Query) -> Unit {
    let is_of_values = matches!(
        query.aggregation(),
        Some(Aggregation::Count | Aggregation::Rate)
    );
    match query.name().rsplit('_').next() {
        _ if is_of_values => Unit::None,
        Some("seconds") => Unit::Seconds,
        Some("ratio") => Unit::Ratio,
        _ => Unit::None,
    }
}
