//! `GET api/v1/overview`: history for the charts.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

use axum::{Json, extract::State};
use http::Uri;
use serde_json::{Value, json};

use super::{
    ApiResult,
    params::{HistoryRange, Params},
    state::ApiState,
    status::{CALLS, FAILED, durations, in_flight, single},
};
use crate::{
    Outcome,
    ops::{
        core::Core,
        journal::{Event, EventKind, Severity},
        recorder::Recorder,
        series::{Aggregation, Filter, Query},
        time::unix,
    },
};

/// The most events that are marked.
const MAX_MARKS: usize = 100;

type Line = Vec<Option<f64>>;

pub(super) async fn get(State(state): State<ApiState>, uri: Uri) -> ApiResult<Json<Value>> {
    let range = Params::parse(&uri, &["range"])?.range()?;
    let read = state.read(move |core| overview(core, range, SystemTime::now()));
    Ok(Json(read.await?))
}

/// Returns the history of a range.
pub(in crate::ops) fn overview(core: &Core, range: HistoryRange, now: SystemTime) -> Value {
    let recorder = &core.recorder;
    let end = unix(now) as u64;
    let steps = (range.range().as_secs() / range.step().as_secs()) as usize;
    let calls = calls(recorder, range, end);
    let of = |outcome: &str| calls.get(outcome).cloned().unwrap_or_default();
    let all = sum(calls.values(), steps);
    let failed = FAILED.map(of);
    let failed = sum(failed.iter(), steps);
    let error_ratio = all.iter().zip(&failed).map(|(all, failed)| {
        let all = all.filter(|all| *all > 0.0)?;
        Some(failed.unwrap_or(0.0) / all)
    });
    let error_ratio: Line = error_ratio.collect();
    let line = |query| first_line(recorder, &of_range(query, range, end));
    let quantile = |q| line(durations().aggregate(Aggregation::Quantile(q)));
    json!({
        "range": range.as_str(),
        "step": range.step().as_secs(),
        "end": end,
        "calls": Outcome::ALL.iter().map(|outcome| (outcome.as_str(), of(outcome.as_str()))).collect::<BTreeMap<_, _>>(),
        "latency": {"p50": quantile(0.5), "p95": quantile(0.95), "p99": quantile(0.99)},
        "in_flight": line(in_flight()),
        "error_ratio": error_ratio,
        "marks": marks(core, range, now),
    })
}

/// Returns the calls per second by outcome.
fn calls(recorder: &Recorder, range: HistoryRange, end: u64) -> BTreeMap<String, Line> {
    let query = Query::new(CALLS)
        .filter(Filter::is("kind", "server"))
        .by(["outcome"])
        .aggregate(Aggregation::Rate);
    let result = recorder
        .query(&of_range(query, range, end))
        .unwrap_or_default();
    let lines = result.series.into_iter().map(|line| {
        let outcome = line.labels.into_iter().next().map(|(_, value)| value);
        let points = line.points.into_iter().map(|(_, number)| number);
        (outcome.unwrap_or_default(), points.collect())
    });
    lines.collect()
}

fn of_range(query: Query, range: HistoryRange, end: u64) -> Query {
    query.range(range.range()).step(range.step()).end(end)
}

/// Returns the only line of a query; an empty one without any series.
fn first_line(recorder: &Recorder, query: &Query) -> Line {
    let lines = recorder.query(query).unwrap_or_default().series;
    let points = lines.into_iter().next().map(|line| line.points);
    let points = points.unwrap_or_default().into_iter();
    points.map(|(_, number)| number).collect()
}

fn sum<'a>(lines: impl Iterator<Item = &'a Line>, steps: usize) -> Line {
    let mut all: Line = vec![None; steps];
    for line in lines {
        for (sum, number) in all.iter_mut().zip(line) {
            if let Some(number) = number {
                *sum = Some(sum.unwrap_or(0.0) + number);
            }
        }
    }
    all
}

/// Returns the figures of the last second, for live push.
pub(in crate::ops) fn point(core: &Core, now: SystemTime) -> Value {
    let recorder = &core.recorder;
    let second = std::time::Duration::from_secs(1);
    let end = unix(now) as u64;
    let last = |query: Query| query.range(second).step(second).end(end);
    let calls = Query::new(CALLS)
        .filter(Filter::is("kind", "server"))
        .by(["outcome"])
        .aggregate(Aggregation::Count);
    let calls = recorder.query(&last(calls)).unwrap_or_default();
    let calls = calls.series.into_iter().filter_map(|line| {
        let outcome = line.labels.into_iter().next()?.1;
        let number = line.points.last().and_then(|(_, number)| *number);
        Some((outcome, number))
    });
    let quantile = |q| {
        let query = durations().aggregate(Aggregation::Quantile(q));
        single(recorder, &last(query))
    };
    json!({
        "at": end,
        "calls": calls.collect::<BTreeMap<_, _>>(),
        "p50": quantile(0.5),
        "p95": quantile(0.95),
        "p99": quantile(0.99),
        "in_flight": single(recorder, &last(in_flight())),
    })
}

/// Returns the events that are marked in the charts: of one thing the latest of each step, since a circuit that opens again and
/// again would push out all others.
fn marks(core: &Core, range: HistoryRange, now: SystemTime) -> Vec<Value> {
    let since = now.checked_sub(range.range());
    let is_marked = |event: &Event| {
        event.severity() == Severity::Critical && since.is_none_or(|since| event.at() >= since)
    };
    let events = core.journal.latest(usize::MAX, is_marked);
    let mut seen = BTreeSet::new();
    let step = range.step().as_secs();
    let mut marked = Vec::new();
    for event in events.iter().rev() {
        let at = unix(event.at()) as u64 / step;
        let thing = (event.kind().as_str(), guard_kind(event), event.subject());
        if marked.len() < MAX_MARKS && seen.insert((thing, at)) {
            marked.push(event);
        }
    }
    let marks = marked.into_iter().map(|event| {
        let to = event.data().get("to").and_then(Value::as_str).unwrap_or_default();
        let what = match guard_kind(event) {
            "" if event.kind() == EventKind::Health => "health",
            kind => kind,
        };
        let (what, to) = (what.replace('_', " "), to.replace('_', " "));
        let text = format!("{what} {} {to}", event.subject());
        json!({"at": unix(event.at()), "severity": event.severity().as_str(), "text": text.trim(), "seq": event.seq()})
    });
    let mut marks: Vec<Value> = marks.collect();
    marks.reverse();
    marks
}

/// Returns the kind of the guard that an event is about; empty for other events.
fn guard_kind(event: &Event) -> &str {
    let kind = event.data().get("kind").and_then(Value::as_str);
    kind.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ops::Ops;

    fn opened(core: &Core, name: &str, at: SystemTime) {
        let event = Event::new(EventKind::Guard, Severity::Critical, name, "closed → open")
            .with("kind", "circuit_breaker")
            .with("to", "forced_open");
        core.journal.record_at(event, at);
    }

    fn texts(core: &Core, range: HistoryRange, now: SystemTime) -> Vec<String> {
        let marks = marks(core, range, now);
        let text = |mark: &Value| mark["text"].as_str().unwrap_or_default().to_owned();
        marks.iter().map(text).collect()
    }

    /// A circuit that opened again and again pushed out all others.
    #[test]
    fn marks_have_each_thing_once_in_a_step() {
        let core = Ops::builder("orders").build().expect("valid").into_core();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_200_059);
        let ago = |seconds| now - Duration::from_secs(seconds);
        let health = Event::new(EventKind::Health, Severity::Critical, "ledger_db", "down");
        let health = health.with("to", "unhealthy");
        core.journal.record_at(health, ago(70));
        opened(&core, "ledger", ago(69));
        for second in (0..50).rev() {
            opened(&core, "upstream_eu", ago(second));
        }
        let expected = [
            "health ledger_db unhealthy",
            "circuit breaker ledger forced open",
            "circuit breaker upstream_eu forced open",
        ];
        assert_eq!(texts(&core, HistoryRange::Day, now), expected);
        let all = texts(&core, HistoryRange::FiveMinutes, now);
        assert_eq!(all.len(), 52, "steps of one second");
        (0..200).for_each(|n| opened(&core, &format!("upstream-{n}"), now));
        let all = texts(&core, HistoryRange::Day, now);
        assert_eq!(all.len(), MAX_MARKS);
        assert_eq!(
            all[MAX_MARKS - 1],
            "circuit breaker upstream-199 forced open"
        );
    }
}
