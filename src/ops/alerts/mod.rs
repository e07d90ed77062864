//! Alerts: rules about metrics, guards, health and events, and what becomes of them until somebody has dealt with it.
//!
//! Use them for what a person must look at, and for little else: a rule whose alerts nobody acts on teaches people to look away.
//! Rules about many processes belong to the system that watches them; `ops/metrics` has the numbers for it.
//!
//! ```
//! use std::time::Duration;
//! use tower_keep::ops::{Ops, alerts::Rule};
//!
//! let ops = Ops::builder("orders")
//!     .rules([Rule::error_rate(0.05), Rule::breaker_open(), Rule::unhealthy()])
//!     .rule(
//!         Rule::new("payments_slow")
//!             .when("p95(call_latency{route=\"POST /pay\"}[5m]) > 800ms")
//!             .for_(Duration::from_secs(300))
//!             .summary("5 % of the payments take longer than {value}"),
//!     )
//!     .build()?;
//! # let _ = ops;
//! # Ok::<_, tower_keep::ConfigError>(())
//! ```
//!
//! # Life of an alert
//!
//! A rule has an alert for each series for which its condition holds, such as each route.
//!
//! | state | from | until |
//! |---|---|---|
//! | pending | the condition holds | it has held [for](Rule::for_) long enough, without time of which nothing is known |
//! | active | it has | the condition has not held for the time to [keep firing](Rule::keep_firing_for), or an operator resolves it |
//! | acknowledged | an operator says to take care of it | as active; or it is more severe than when it was acknowledged |
//! | resolved | it is over | the condition holds again |
//!
//! An alert that is active or acknowledged may be *suppressed* as well: a silence matches it. What is unknown is decided by
//! [`NoData`]. One that comes back within an hour, or nearly resolves, flaps, which is counted.
//!
//! # What is told
//!
//! Alerts of one rule are told together, after a short [wait](AlertSettings::group_wait) for others; a notification lists 20 and
//! counts the rest. An alert is told when it is active, again after each [repeat interval](AlertSettings::repeat_interval), when it
//! becomes more severe, when it is acknowledged, and when it is resolved. Within its [cooldown](Rule::cooldown), and while it is
//! silenced or acknowledged, it is not told again. That it is resolved is told whenever that it fired was, whatever came between,
//! and never else. The detail of an alert in the console and in the API says why nobody is told of it: it is pending,
//! silenced, acknowledged, within its cooldown, waits for others, or no channel takes alerts of its severity.
//!
//! # Conditions
//!
//! A condition is `what comparison number`, like `error_ratio{route="POST /pay"} > 5%`. The comparison is `>`, `>=`, `<`, `<=`,
//! `==` or `!=` (or `gt`, `gte`, `lt`, `lte`, `eq`, `neq`); the number may have a unit: `%`, `ms`, `s`, `m`, `h`. What there is:
//!
//! | what | value | labels |
//! |---|---|---|
//! | `error_ratio` | share of the calls that failed | `service`, and `side="client"` for calls of clients; with `by (route)` or a condition on `route`, like `"GET /orders/{id}"`, each route has a value |
//! | `error_rate`, `call_rate` | failed calls, calls per second | the same |
//! | `call_latency`, `p99(call_latency)` | percentile of durations, in seconds; the 95th without one | the same |
//! | `breaker_open` | 1 for a circuit breaker that is open or half open, else 0 | `breaker` |
//! | `queue_ratio` | share of a bulkhead's queue that is taken | `bulkhead` |
//! | `budget_ratio` | share of a retry budget that is left | `retry` |
//! | `guard_stat` | each number of each guard | `kind`, `name`, `stat` |
//! | `health_status` | 1 healthy, 0.5 degraded, 0 unhealthy | `component` |
//! | `dropped_records` | what was dropped since a limit was reached, in the window | `what` |
//! | a metric | its rate, average or 95th percentile | its own; `by (..)` tells series apart, `by (*)` all |
//! | `max(metric)` and so on | an [aggregation](crate::ops::series::Aggregation): `rate`, `avg`, `sum`, `min`, `max`, `count`, `p50` .. | the same |
//! | `event(error)` | an event of this [kind](crate::ops::journal::EventKind) was recorded | `subject`, `severity`, and texts of its data |
//!
//! Conditions on labels are those of the [API](crate::ops::series::Filter::from_text) with the value between `"`: `{a="b"}`,
//! `{a!="b"}`, `{a="b|c"}`, `{a="b*"}`. `[5m]` behind it is the window over which the number is computed: 1 s to 24 h, 1 min
//! without. Numbers of guards and health are of now, and are looked at as soon as they change.
//!
//! An event is an alert of its subject until it has not come again for 15 min; of a guard or a component until that is closed or
//! healthy.
//!
//! # Restart
//!
//! With a [file](crate::ops::OpsBuilder), alerts, acknowledgements, silences and history are there after a restart. Time for
//! which the process was down does not count for a pending alert; after five minutes it begins anew. An active alert whose condition no longer
//! holds is then resolved, and that is told. So is one whose rule is gone.
//!
//! # Clones
//!
//! Rules and settings are copies. The alerts themselves are those of an [`Ops`](crate::ops::Ops), which its clones share.
//!
//! # Cancellation
//!
//! Nothing here waits. What an operator asked for has happened once the response is there, and is in the journal.

mod alert;
mod alert_settings;
mod changes;
mod checked_rule;
mod comparison;
mod engine;
#[cfg(test)]
mod engine_properties;
#[cfg(test)]
mod engine_tests;
mod expression;
#[cfg(test)]
mod fixtures;
mod handle;
mod history;
mod increases;
mod no_data;
mod not_done;
mod parse;
mod restart;
#[cfg(test)]
mod restart_tests;
mod rule;
mod rule_settings;
mod rule_state;
mod sample;
mod sampler;
mod scrape;
mod silence;
mod silences;
mod stored;
mod telling;
#[cfg(test)]
mod telling_tests;
mod text;
mod trigger;
mod untold;
mod uptime;

pub(super) use self::{
    alert::{Alert, AlertPhase},
    engine::Engine,
    handle::{Alerts, PendingChanges, RuleSubjects},
    not_done::NotDone,
    rule_state::RuleState,
    scrape::add_alerts,
    silence::{MAX_AHEAD, MAX_MATCHERS, MAX_SILENCE, Matcher, Silence},
    trigger::Condition,
    untold::Untold,
};
pub use self::{
    alert_settings::AlertSettings, comparison::Comparison, no_data::NoData, rule::Rule,
    rule_settings::RuleSettings, trigger::Trigger,
};
