use std::time::Duration;

use super::{Comparison, expression::Expression, parse};
use crate::ops::{
    journal::EventKind,
    series::{Filter, Query},
};

/// The condition of a rule: a number beyond a threshold, or an event of the journal.
///
/// Most often it comes from text; see the [module](super#conditions).
///
/// ```
/// use tower_keep::ops::alerts::{Comparison, Trigger};
/// use tower_keep::ops::journal::EventKind;
/// use tower_keep::ops::series::{Aggregation, Filter, Query};
///
/// let text = Trigger::from("p95(queue_wait_seconds{queue=\"mail\"}[5m]) > 2s");
/// // The same.
/// let query = Query::new("queue_wait_seconds")
///     .filter(Filter::is("queue", "mail"))
///     .aggregate(Aggregation::Quantile(0.95));
/// let typed = Trigger::query(query, Comparison::Gt, 2.0);
/// let event = Trigger::event(EventKind::Error);
/// # let _ = (text, typed, event);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    pub(super) condition: Result<Condition, WrongText>,
    /// The text that it comes from.
    pub(super) text: Option<String>,
}

/// A condition that can be checked.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::ops) enum Condition {
    /// A value is compared.
    Value(ValueCondition),
    /// An event is recorded.
    Event(EventCondition),
}

#[derive(Clone, Debug, PartialEq)]
pub(in crate::ops) struct ValueCondition {
    pub(in crate::ops) expression: Expression,
    pub(in crate::ops) comparison: Comparison,
    pub(in crate::ops) threshold: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub(in crate::ops) struct EventCondition {
    pub(in crate::ops) kind: EventKind,
    /// Conditions on `subject`, `severity` and the texts of its data. All must hold.
    pub(in crate::ops) filters: Vec<Filter>,
}

/// A text that is no condition, and what it should have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WrongText {
    pub(super) text: String,
    pub(super) expected: String,
}

impl Trigger {
    /// Creates the condition that the number of a query is beyond a threshold. Each line of the query is an alert of its own.
    ///
    /// The range of the query is the window over which the number is computed; its step, end and limit have no meaning here.
    pub fn query(query: Query, comparison: Comparison, threshold: f64) -> Self {
        let window = Duration::from_secs(query.range_seconds());
        Trigger::of(Condition::Value(ValueCondition {
            expression: Expression::query(query, window),
            comparison,
            threshold,
        }))
    }

    /// Creates the condition that an event of this kind is recorded, of a severity above info.
    pub fn event(kind: EventKind) -> Self {
        let filters = vec![Filter::is_not("severity", "info")];
        Trigger::of(Condition::Event(EventCondition { kind, filters }))
    }

    fn of(condition: Condition) -> Self {
        Trigger {
            condition: Ok(condition),
            text: None,
        }
    }

    /// Adds a condition on `subject`, `severity`, or a text of the event's data. Has no effect on a query, which has its own.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        if let Ok(Condition::Event(event)) = &mut self.condition {
            event.filters.push(filter);
            self.text = None;
        }
        self
    }
}

impl From<&str> for Trigger {
    fn from(text: &str) -> Self {
        Trigger {
            condition: parse::condition(text),
            text: Some(text.to_owned()),
        }
    }
}

impl From<String> for Trigger {
    fn from(text: String) -> Self {
        Trigger::from(text.as_str())
    }
}
