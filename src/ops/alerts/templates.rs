//! Rules that most services want, ready made. They stand apart from [`Rule`] for their number.

use std::time::Duration;

use super::{Comparison, NoData, Rule, Trigger};
use crate::ops::{
    journal::EventKind,
    series::{Aggregation, Filter, Query},
};

const TWO_MINUTES: Duration = Duration::from_secs(120);
const FIVE_MINUTES: Duration = Duration::from_secs(300);

/// Templates, each of which can be changed by the setters.
impl Rule {
    /// Creates the rule `error_rate`: more than this fraction of all calls fail for 2 min; critical.
    ///
    /// ```
    /// use tower_keep::ops::{Ops, alerts::Rule};
    ///
    /// let ops = Ops::builder("orders").rules([
    ///     Rule::error_rate(0.05),
    ///     Rule::slow_p95(std::time::Duration::from_millis(500)),
    ///     Rule::unhealthy(),
    ///     Rule::breaker_open(),
    ///     Rule::budget_empty(),
    ///     Rule::queue_full(),
    ///     Rule::new_errors(),
    ///     Rule::records_dropped(),
    /// ]);
    /// # ops.build()?;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn error_rate(fraction: f64) -> Self {
        let rule = Rule::new("error_rate").when(format!("error_ratio > {fraction}"));
        rule.for_(TWO_MINUTES)
            .critical()
            .summary("{value} of all calls fail, more than {threshold}")
    }

    /// Creates the rule `route_error_rate`: more than this fraction of the calls of a route fail for 2 min.
    pub fn route_error_rate(fraction: f64) -> Self {
        let rule = Rule::new("route_error_rate");
        let rule = rule.when(format!("error_ratio by (route) > {fraction}"));
        rule.for_(TWO_MINUTES)
            .summary("{value} of the calls of {route} fail, more than {threshold}")
    }

    /// Creates the rule `slow_p95`: 5 % of all calls take longer than this time, for 5 min.
    pub fn slow_p95(time: Duration) -> Self {
        let rule = Rule::new("slow_p95");
        let rule = rule.when(format!("p95(call_latency) > {}", time.as_secs_f64()));
        rule.for_(FIVE_MINUTES)
            .summary("5 % of all calls take longer than {value}")
    }

    /// Creates the rule `unhealthy`: a component is unhealthy, critical or not.
    pub fn unhealthy() -> Self {
        let rule = Rule::new("unhealthy").when("health_status == 0").critical();
        rule.summary("{component} is unhealthy")
    }

    /// Creates the rule `breaker_open`: a circuit breaker is not closed. One that admits a probe now and then is not either. Those
    /// of [channels](crate::ops::notify) are no concern of it: a channel that does not work shows in the health.
    pub fn breaker_open() -> Self {
        let rule = Rule::new("breaker_open")
            .when("breaker_open{breaker!=\"notify.*\"} == 1")
            .critical();
        rule.summary("Circuit breaker {breaker} is open")
    }

    /// Creates the rule `budget_empty`: a retry budget has been empty for a minute, so that failures are no longer retried.
    pub fn budget_empty() -> Self {
        let rule = Rule::new("budget_empty").when("budget_ratio <= 0");
        rule.for_(Duration::from_secs(60))
            .summary("The retry budget of {retry} is empty")
    }

    /// Creates the rule `queue_full`: the queue of a bulkhead has been at least 90 % full for 30 s.
    pub fn queue_full() -> Self {
        let rule = Rule::new("queue_full").when("queue_ratio >= 90%");
        rule.for_(Duration::from_secs(30))
            .summary("The queue of {bulkhead} is {value} full")
    }

    /// Creates the rule `no_data_<metric>`: nothing was recorded under this name in the last 5 min.
    pub fn no_data_for(metric: &str) -> Self {
        let query = Query::new(metric).aggregate(Aggregation::Count);
        let rule = Rule::new(format!("no_data_{metric}"));
        let rule = rule.when(Trigger::query(query, Comparison::Lte, 0.0));
        rule.no_data(NoData::Alert)
            .summary(format!("{metric} has had no data for 5 min"))
    }

    /// Creates the rule `new_errors`: an error group is new, or a resolved one is back.
    pub fn new_errors() -> Self {
        Rule::new("new_errors").when(Trigger::event(EventKind::Error))
    }

    /// Creates the rule `health_changed`: a component is no longer healthy. It resolves once the component is healthy.
    pub fn health_changed() -> Self {
        Rule::new("health_changed").when(Trigger::event(EventKind::Health))
    }

    /// Creates the rule `breaker_opened`: a circuit breaker has opened, however short. It resolves once it is closed.
    pub fn breaker_opened() -> Self {
        let opened = Trigger::event(EventKind::Guard);
        Rule::new("breaker_opened")
            .when(opened.filter(Filter::one_of("to", ["open", "forced_open"])))
    }

    /// Creates the rule `records_dropped`: something that the operations side should have kept was dropped, since a limit was
    /// reached.
    pub fn records_dropped() -> Self {
        let rule = Rule::new("records_dropped").when("dropped_records > 0");
        rule.summary("{value} records of {what} were dropped in 5 min")
    }
}
