//! The values that rules look at, from what the process knows.

use std::{
    cell::{OnceCell, RefCell},
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    checked_rule::CheckedRule,
    expression::{CallFigure, CallGroups, Expression, GuardFigure, ValueSource},
    increases::Increases,
    sample::{Labels, RuleSample, RuleSamples},
    trigger::Condition,
};
use crate::{
    ops::{
        call_metrics::{CALLS, CallHistogram, FAILED, SOURCES, durations},
        health::{HealthSnapshot, HealthStatus},
        recorder::Recorder,
        series::{Aggregation, Filter, Query, QueryResult, QuerySeries},
    },
    protocol::Side,
    registry::{self, Snapshot, Stat},
};

/// The most lines of one query.
const MAX_LINES: usize = 500;

/// The knowledge of the process at one moment.
pub(super) struct Sampler<'a> {
    now: SystemTime,
    recorder: &'a Recorder,
    health: Arc<HealthSnapshot>,
    /// The number of records that were dropped since the start, by what they were.
    dropped: Vec<(&'static str, u64)>,
    increases: &'a Increases,
    /// Read when the first rule asks for them.
    guards: OnceCell<Vec<Snapshot>>,
    routes: RefCell<Vec<(RoutesWanted, Routes)>>,
}

/// The calls of routes that a rule looks at.
#[derive(Debug, PartialEq)]
struct RoutesWanted {
    figure: CallFigure,
    side: Side,
    window: Duration,
    /// The conditions on the service.
    filters: Vec<Filter>,
}

/// Labels as filters need them.
type SharedLabels = Vec<(Arc<str>, Arc<str>)>;

/// The values of routes, with their labels as filters need them.
#[derive(Debug, Default)]
struct Routes {
    rows: Vec<(SharedLabels, RuleSample)>,
    error: Option<String>,
}

impl<'a> Sampler<'a> {
    pub(super) fn new(
        now: SystemTime,
        recorder: &'a Recorder,
        health: Arc<HealthSnapshot>,
        dropped: Vec<(&'static str, u64)>,
        increases: &'a Increases,
    ) -> Self {
        Sampler {
            now,
            recorder,
            health,
            dropped,
            increases,
            guards: OnceCell::new(),
            routes: RefCell::default(),
        }
    }

    /// Returns the values of a rule.
    pub(super) fn sample(&self, rule: &CheckedRule) -> RuleSamples {
        let Condition::Value(value) = &rule.condition else {
            return RuleSamples::default();
        };
        let expression = &value.expression;
        match &expression.source {
            ValueSource::Query(query) => self.query(query),
            ValueSource::Calls(figure, groups) if groups.by_route => {
                self.routes(*figure, groups.side, expression)
            }
            ValueSource::Calls(figure, groups) => self.calls(*figure, *groups, expression),
            ValueSource::Guards(figure) => self.guards(*figure, expression),
            ValueSource::Health => self.health(expression),
            ValueSource::Dropped => self.dropped(expression),
        }
    }

    fn query(&self, query: &Query) -> RuleSamples {
        let result = match self.recorder.query(query) {
            Ok(result) => result,
            Err(error) => return failed(error.to_string()),
        };
        let error = (result.series.len() >= MAX_LINES && result.truncated)
            .then(|| format!("there are more than {MAX_LINES} series: the rest is not looked at"));
        let values = result.series.into_iter().map(|line| RuleSample {
            value: line.points.last().and_then(|(_, number)| *number),
            labels: not_empty(line.labels),
        });
        RuleSamples {
            values: values.collect(),
            error,
        }
    }

    /// Returns the number of a query that makes one point of one line.
    fn single(
        &self,
        query: Query,
        expression: &Expression,
        aggregation: Aggregation,
    ) -> Option<f64> {
        let window = expression.window;
        let query = query.range(window).step(window).aggregate(aggregation);
        let query = expression
            .filters
            .iter()
            .cloned()
            .fold(query, Query::filter);
        let result = self.recorder.query(&query).ok()?;
        result.series.first()?.points.last()?.1
    }

    fn calls(
        &self,
        figure: CallFigure,
        groups: CallGroups,
        expression: &Expression,
    ) -> RuleSamples {
        let kind = match groups.side {
            Side::Server => "server",
            Side::Client => "client",
        };
        let all = || Query::new(CALLS).filter(Filter::is("kind", kind));
        let failures = || all().filter(Filter::one_of("outcome", FAILED));
        let ask = |query, aggregation| self.single(query, expression, aggregation);
        let value = match figure {
            CallFigure::ErrorRatio => ratio(
                ask(failures(), Aggregation::Count),
                ask(all(), Aggregation::Count),
            ),
            // Without failures, there is no series of them.
            CallFigure::ErrorRate => ask(all(), Aggregation::Rate)
                .map(|_| ask(failures(), Aggregation::Rate).unwrap_or(0.0)),
            CallFigure::CallRate => ask(all(), Aggregation::Rate),
            CallFigure::Latency(q) => ask(durations(groups.side), Aggregation::Quantile(q)),
        };
        let labels = Labels::new();
        RuleSamples {
            values: vec![RuleSample { labels, value }],
            error: None,
        }
    }

    /// Returns the values of routes. Rules about single routes share those of all.
    fn routes(&self, figure: CallFigure, side: Side, expression: &Expression) -> RuleSamples {
        let (on_service, on_route): (Vec<&Filter>, Vec<&Filter>) = expression
            .filters
            .iter()
            .partition(|filter| filter.label() == "service");
        let wanted = RoutesWanted {
            figure,
            side,
            window: expression.window,
            filters: on_service.into_iter().cloned().collect(),
        };
        let mut known = self.routes.borrow_mut();
        let place = known.iter().position(|(each, _)| *each == wanted);
        let place = place.unwrap_or_else(|| {
            let routes = self.read_routes(&wanted);
            known.push((wanted, routes));
            known.len() - 1
        });
        let routes = &known[place].1;
        let meant = routes
            .rows
            .iter()
            .filter(|(labels, _)| on_route.iter().all(|filter| filter.matches(labels)));
        RuleSamples {
            values: meant.map(|(_, sample)| sample.clone()).collect(),
            error: routes.error.clone(),
        }
    }

    fn read_routes(&self, wanted: &RoutesWanted) -> Routes {
        let mut routes = Routes::default();
        for source in SOURCES.iter().filter(|source| source.side == wanted.side) {
            self.add_routes(source, wanted, &mut routes);
        }
        routes
    }

    fn add_routes(&self, source: &CallHistogram, wanted: &RoutesWanted, routes: &mut Routes) {
        let ask = |filter: Option<Filter>, aggregation| {
            let query = Query::new(source.metric)
                .by(["service", source.method, source.route])
                .range(wanted.window)
                .step(wanted.window)
                .limit(MAX_LINES)
                .aggregate(aggregation);
            let filters = wanted.filters.iter().cloned().chain(filter);
            let query = filters.fold(query, Query::filter);
            // Fails for a metric of another kind.
            self.recorder.query(&query).unwrap_or_default()
        };
        let (aggregation, has_failures) = match wanted.figure {
            CallFigure::Latency(q) => (Aggregation::Quantile(q), false),
            CallFigure::CallRate => (Aggregation::Rate, false),
            CallFigure::ErrorRate => (Aggregation::Rate, true),
            CallFigure::ErrorRatio => (Aggregation::Count, true),
        };
        let lines = ask(None, aggregation);
        let failed = has_failures.then(|| ask(Some(Filter::failed(wanted.side)), aggregation));
        if lines.truncated && lines.series.len() >= MAX_LINES {
            routes.error = Some(format!(
                "there are more than {MAX_LINES} routes: the rest is not looked at"
            ));
        }
        let failures = failed.as_ref().map(by_labels);
        for line in lines.series {
            let own = last(&line);
            let failed = failures
                .as_ref()
                .map(|all| all.get(&line.labels).copied().flatten());
            let value = match (wanted.figure, failed) {
                (CallFigure::ErrorRatio, Some(failed)) => ratio(failed, own),
                (CallFigure::ErrorRate, Some(failed)) => own.map(|_| failed.unwrap_or(0.0)),
                _ => own,
            };
            let labels = route_labels(line.labels);
            routes
                .rows
                .push((shared(&labels), RuleSample { labels, value }));
        }
    }

    fn guards(&self, figure: GuardFigure, expression: &Expression) -> RuleSamples {
        // Guards of one kind and name are one; the worst of them counts.
        let mut values = BTreeMap::<Labels, f64>::new();
        for guard in self.guards.get_or_init(registry::snapshots) {
            for (labels, value) in figures(figure, guard) {
                if matches(&labels, &expression.filters) {
                    let worst = values.entry(labels).or_insert(value);
                    *worst = match figure {
                        GuardFigure::BudgetRatio => worst.min(value),
                        _ => worst.max(value),
                    };
                }
            }
        }
        known(values)
    }

    fn health(&self, expression: &Expression) -> RuleSamples {
        let values = self.health.components.iter().map(|component| {
            let value = match component.status {
                HealthStatus::Healthy => Some(1.0),
                HealthStatus::Degraded => Some(0.5),
                HealthStatus::Unhealthy => Some(0.0),
                HealthStatus::Unknown => None,
            };
            let labels = labels([("component", component.name.as_str())]);
            RuleSample { labels, value }
        });
        let values = values.filter(|sample| matches(&sample.labels, &expression.filters));
        RuleSamples {
            values: values.collect(),
            error: None,
        }
    }

    fn dropped(&self, expression: &Expression) -> RuleSamples {
        let values = self.dropped.iter().map(|(what, count)| {
            let grown = self
                .increases
                .within(self.now, expression.window, what, *count);
            (labels([("what", what)]), grown as f64)
        });
        known(values.filter(|(labels, _)| matches(labels, &expression.filters)))
    }
}

fn failed(error: String) -> RuleSamples {
    RuleSamples {
        values: Vec::new(),
        error: Some(error),
    }
}

fn known(values: impl IntoIterator<Item = (Labels, f64)>) -> RuleSamples {
    let values = values.into_iter().map(|(labels, value)| RuleSample {
        labels,
        value: Some(value),
    });
    RuleSamples {
        values: values.collect(),
        error: None,
    }
}

/// Returns a ratio; of no calls there is none.
fn ratio(part: Option<f64>, whole: Option<f64>) -> Option<f64> {
    let whole = whole.filter(|whole| *whole > 0.0)?;
    Some(part.unwrap_or(0.0) / whole)
}

fn last(line: &QuerySeries) -> Option<f64> {
    line.points.last().and_then(|(_, number)| *number)
}

fn by_labels(result: &QueryResult) -> BTreeMap<&Vec<(String, String)>, Option<f64>> {
    let lines = result.series.iter();
    lines.map(|line| (&line.labels, last(line))).collect()
}

/// Returns the labels of a route: its service, and its method with its path as people write them.
fn route_labels(parts: Vec<(String, String)>) -> Labels {
    let mut parts = parts.into_iter().map(|(_, value)| value);
    let [service, method, route] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let route = if route.is_empty() {
        "unmatched".to_owned()
    } else {
        route
    };
    let route = match method.as_str() {
        // The method of gRPC is the path.
        "" | "grpc" => route,
        method => format!("{method} {route}"),
    };
    not_empty([("route".to_owned(), route), ("service".to_owned(), service)])
}

fn figures(figure: GuardFigure, guard: &Snapshot) -> Vec<(Labels, f64)> {
    let stat = |name: &str| number(guard.stat(name)?);
    let share = |part: &str, whole: &str| {
        let whole = stat(whole).filter(|whole| *whole > 0.0)?;
        Some(stat(part)? / whole)
    };
    let one = |label: &str, value: Option<f64>| match value {
        Some(value) => vec![(labels([(label, guard.name())]), value)],
        None => Vec::new(),
    };
    match figure {
        GuardFigure::BreakerOpen => {
            let is_breaker = matches!(guard.kind(), "circuit_breaker" | "keyed_circuit_breaker");
            one(
                "breaker",
                is_breaker.then(|| f64::from(u8::from(is_open(guard)))),
            )
        }
        GuardFigure::QueueRatio => one("bulkhead", share("queued", "queue_limit")),
        GuardFigure::BudgetRatio => one("retry", share("budget_available", "budget_capacity")),
        GuardFigure::Stat => {
            let stats = guard.stats().iter();
            let numbers = stats.filter_map(|(name, stat)| Some((name, number(stat)?)));
            let about = |stat| {
                labels([
                    ("kind", guard.kind()),
                    ("name", guard.name()),
                    ("stat", stat),
                ])
            };
            numbers.map(|(name, value)| (about(name), value)).collect()
        }
    }
}

/// Returns whether a circuit breaker rejects calls, or most of them. One in shadow mode rejects none.
fn is_open(guard: &Snapshot) -> bool {
    let is_shadow = matches!(guard.stat("mode"), Some(Stat::Text(mode)) if mode == "shadow");
    !is_shadow && matches!(guard.state(), "open" | "forced_open" | "half_open")
}

fn number(stat: &Stat) -> Option<f64> {
    match stat {
        Stat::Count(count) => Some(*count as f64),
        Stat::Number(number) => Some(*number),
        _ => None,
    }
}

fn labels<const N: usize>(pairs: [(&str, &str); N]) -> Labels {
    not_empty(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())))
}

fn not_empty(labels: impl IntoIterator<Item = (String, String)>) -> Labels {
    labels
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

fn matches(labels: &Labels, filters: &[Filter]) -> bool {
    filters.is_empty() || {
        let labels = shared(labels);
        filters.iter().all(|filter| filter.matches(&labels))
    }
}

/// Returns labels as filters need them.
fn shared(labels: &Labels) -> SharedLabels {
    let labels = labels.iter();
    let labels = labels.map(|(name, value)| (name.as_str().into(), value.as_str().into()));
    labels.collect()
}
