use std::time::Duration;

use super::{Comparison, NoData, RuleSettings, Trigger, checked_rule::CheckedRule};
use crate::{
    call::ConfigError,
    ops::{
        journal::{EventKind, Severity},
        series::{Aggregation, Filter, Query},
    },
};

/// The times for which the conditions of templates must hold.
const TWO_MINUTES: Duration = Duration::from_secs(120);
const FIVE_MINUTES: Duration = Duration::from_secs(300);

/// A rule: when an alert fires, how much it matters, and what is told; see the [module](super).
///
/// ```
/// use std::time::Duration;
/// use tower_keep::ops::{Ops, alerts::Rule};
///
/// let rule = Rule::new("payments_errors")
///     .when("error_ratio{route=\"POST /pay\"} > 5%")
///     .for_(Duration::from_secs(120))
///     .critical()
///     .label("team", "payments")
///     .summary("{value} of the payments fail");
/// let ops = Ops::builder("orders").rule(rule).build()?;
/// # let _ = ops;
/// # Ok::<_, tower_keep::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Rule {
    settings: RuleSettings,
    /// The condition, unless it is the text of the settings.
    trigger: Option<Trigger>,
}

impl Rule {
    /// Creates a rule with a name that no other rule has: 1 to 128 bytes. It needs a [condition](Self::when).
    ///
    /// ```
    /// use tower_keep::ops::alerts::Rule;
    ///
    /// let rule = Rule::new("mail_backlog").when("mail_queue_length > 1000");
    /// assert!(rule.check().is_ok());
    /// assert!(Rule::new("mail_backlog").check().is_err());
    /// ```
    pub fn new(name: impl Into<String>) -> Self {
        Rule::from(RuleSettings {
            name: name.into(),
            ..RuleSettings::default()
        })
    }

    /// Sets the condition: [text](super#conditions), or a [`Trigger`]. A text that is none is an error of `build`.
    ///
    /// ```
    /// use tower_keep::ops::alerts::{Comparison, Rule, Trigger};
    /// use tower_keep::ops::series::Query;
    ///
    /// let text = Rule::new("backlog").when("mail_queue_length by (shop) > 1000");
    /// let typed = Trigger::query(Query::new("mail_queue_length").by(["shop"]), Comparison::Gt, 1_000.0);
    /// let typed = Rule::new("backlog").when(typed);
    /// assert!(text.check().is_ok() && typed.check().is_ok());
    /// ```
    pub fn when(mut self, trigger: impl Into<Trigger>) -> Self {
        let trigger = trigger.into();
        self.settings.when = trigger.text.clone().unwrap_or_default();
        self.trigger = Some(trigger);
        self
    }

    /// Sets the time for which the condition must hold before an alert is active: at most 7 days. It is pending until then.
    /// Events have none. Default: zero, so that it is active at once.
    pub fn for_(mut self, time: Duration) -> Self {
        self.settings.for_ = time;
        self
    }

    /// Sets the time for which an active alert fires on after its condition no longer holds, or after its last event: at most 7
    /// days. It bridges gaps, and makes one alert of a number that moves around its threshold. Default: 1 min; for events, most of
    /// which have no end, 15 min.
    pub fn keep_firing_for(mut self, time: Duration) -> Self {
        self.settings.keep_firing_for = Some(time);
        self
    }

    /// Sets the time between two evaluations: 1 s to 1 h. What is of now, such as an open circuit breaker, is also evaluated as
    /// soon as it changes. Default: 10 s: the numbers are in memory, and a minute would make each alert later by a minute.
    pub fn every(mut self, time: Duration) -> Self {
        self.settings.every = time;
        self
    }

    /// Sets the severity. Default: warning; for events that of the event.
    pub fn severity(mut self, severity: Severity) -> Self {
        self.settings.severity = Some(severity);
        self
    }

    /// Sets the severity to critical: wakes somebody.
    pub fn critical(self) -> Self {
        self.severity(Severity::Critical)
    }

    /// Sets the severity to warning.
    pub fn warning(self) -> Self {
        self.severity(Severity::Warning)
    }

    /// Sets a second threshold, beyond the first one, from which on an alert is critical. An acknowledgement of the lower
    /// severity does not hold for the higher one. Default: none.
    pub fn critical_at(mut self, threshold: f64) -> Self {
        self.settings.critical_at = Some(threshold);
        self
    }

    /// Adds a label that each alert has besides those of its series, at most 16. Silences and notifications match it. Default: none.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.labels.insert(name.into(), value.into());
        self
    }

    /// Adds a text that notifications have, such as `runbook_url`, at most 16. It has the same [places](Self::summary) as the
    /// summary. Default: none.
    pub fn annotation(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.settings.annotations.insert(name.into(), text.into());
        self
    }

    /// Sets the sentence that tells what is wrong, at most 1 KiB. `{value}`, `{threshold}`, `{rule}`, `{for}` and the names of
    /// labels, such as `{route}`, stand for what they name. Default: a sentence with name, value, threshold and labels.
    pub fn summary(mut self, text: impl Into<String>) -> Self {
        self.settings.summary = Some(text.into());
        self
    }

    /// Sets the meaning of a value that is unknown. Default: [`NoData::Keep`].
    pub fn no_data(mut self, policy: NoData) -> Self {
        self.settings.no_data = policy;
        self
    }

    /// Sets the least time between two notifications that one alert fires, at most 7 days. That it is resolved, or more severe, is
    /// told whatever this is. Default: 5 min.
    pub fn cooldown(mut self, time: Duration) -> Self {
        self.settings.cooldown = time;
        self
    }

    /// Sets the maximum number of alerts of this rule, one for each series: 1 to 1,000. The rest is counted. Default: 100.
    pub fn max_alerts(mut self, alerts: usize) -> Self {
        self.settings.max_alerts = alerts;
        self
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Checks each setting as `build` does.
    ///
    /// # Errors
    ///
    /// Returns the first invalid setting, with its field and the allowed values.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.clone().checked().map(drop)
    }

    pub(super) fn checked(self) -> Result<CheckedRule, ConfigError> {
        CheckedRule::new(self.settings, self.trigger)
    }
}

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

impl From<RuleSettings> for Rule {
    fn from(settings: RuleSettings) -> Self {
        Rule {
            settings,
            trigger: None,
        }
    }
}
