//! Workflows as the API and the file have them.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use super::{
    Run, RunError, RunProgress, RunState, StepRun,
    run::{RunParent, bounded_name},
};
use crate::{call::Label, ops::time::unix};

/// Returns a workflow in one row, without its steps.
pub(crate) fn row(run: &Run) -> Value {
    let failed = run.failed_step();
    let shown = failed.or_else(|| run.current_step());
    let took = run.took.map(|took| run.started_at + took);
    let error = run.error.as_ref();
    json!({
        "id": run.id.to_string(), "name": run.name.as_str(), "state": run.state.as_str(), "started_at": unix(run.started_at),
        "ended_at": took.map(unix), "seconds": run.took.map(|took| took.as_secs_f64()), "progress": run.fraction(),
        "step_count": run.steps.len(), "steps_done": run.count(RunState::Done), "expected_steps": run.expected_steps,
        "step": shown.map(|step| step.name.as_str()),
        "step_progress": shown.and_then(|step| step.progress).and_then(RunProgress::fraction),
        "text": shown.and_then(|step| step.text.as_deref()), "error_message": error.map(|error| &*error.message),
        "parent": run.parent.as_ref().map(parent), "correlation_id": run.correlation_id, "trace_id": run.trace_id,
    })
}

/// Returns a workflow with its steps.
pub(crate) fn detail(run: &Run) -> Value {
    let mut detail = row(run);
    let attributes = run.attributes.iter();
    let attributes: Map<_, _> = attributes
        .map(|(name, value)| (name.to_string(), json!(value)))
        .collect();
    let steps: Vec<_> = run.steps.iter().map(step).collect();
    detail["error"] = json!(run.error.as_deref().map(error));
    detail["attributes"] = attributes.into();
    detail["steps"] = steps.into();
    detail["dropped"] = run.dropped.into();
    detail
}

fn parent(parent: &RunParent) -> Value {
    let step = parent.step.as_ref().map(Label::as_str);
    json!({"id": parent.id.to_string(), "step": step})
}

fn step(step: &StepRun) -> Value {
    let seconds = step.ended.map(|ended| ended.saturating_sub(step.started));
    let progress = match step.progress {
        None => Value::Null,
        Some(RunProgress::Fraction(fraction)) => json!({"fraction": fraction}),
        Some(RunProgress::Count { done, total }) => {
            json!({"fraction": RunProgress::Count { done, total }.fraction(), "done": done, "total": total})
        }
    };
    json!({
        "name": step.name.as_str(), "parent": step.parent, "child": step.child.map(|child| child.to_string()),
        "state": step.state.as_str(), "offset_seconds": step.started.as_secs_f64(),
        "seconds": seconds.map(|seconds| seconds.as_secs_f64()), "progress": progress, "text": step.text,
        "error": step.error.as_deref().map(error)
    })
}

fn error(error: &RunError) -> Value {
    let fingerprint = error.fingerprint.map(|fingerprint| fingerprint.to_string());
    json!({"kind": error.kind, "message": error.message, "causes": error.causes, "fingerprint": fingerprint})
}

/// Reads a workflow of the file; `None` if it is none.
pub(crate) fn parse(text: &str) -> Option<Run> {
    let value: Value = serde_json::from_str(text).ok()?;
    let name = bounded_name(text_of(&value, "name")?.to_owned().into());
    // Rounded, since a number of that size is not exact.
    let millis = Duration::from_millis(
        (seconds_of(&value, "started_at")?.as_secs_f64() * 1e3).round() as u64,
    );
    let started_at = SystemTime::UNIX_EPOCH.checked_add(millis)?;
    let mut run = Run::new(text_of(&value, "id")?.parse().ok()?, name, started_at);
    run.state = RunState::parse(text_of(&value, "state")?)?;
    run.took = seconds_of(&value, "seconds");
    run.correlation_id = text_of(&value, "correlation_id").map(Into::into);
    run.trace_id = text_of(&value, "trace_id").map(Into::into);
    run.expected_steps = number_of(&value, "expected_steps");
    run.dropped = value["dropped"].as_u64().unwrap_or(0);
    run.error = parse_error(&value["error"]).map(Box::new);
    run.parent = text_of(&value["parent"], "id").and_then(|id| {
        Some(RunParent {
            id: id.parse().ok()?,
            step: text_of(&value["parent"], "step").map(|step| step.to_owned().into()),
        })
    });
    for (name, value) in value["attributes"].as_object().into_iter().flatten() {
        run.attributes
            .push((name.as_str().into(), value.as_str()?.into()));
    }
    let steps = value["steps"].as_array().into_iter().flatten();
    run.steps = steps.map(parse_step).collect::<Option<_>>()?;
    run.measure();
    Some(run)
}

fn parse_step(value: &Value) -> Option<StepRun> {
    let started = seconds_of(value, "offset_seconds")?;
    let progress = &value["progress"];
    Some(StepRun {
        name: text_of(value, "name")?.to_owned().into(),
        parent: number_of(value, "parent"),
        child: text_of(value, "child").and_then(|child| child.parse().ok()),
        state: RunState::parse(text_of(value, "state")?)?,
        started,
        ended: seconds_of(value, "seconds").map(|seconds| started + seconds),
        progress: match (progress["done"].as_u64(), progress["total"].as_u64()) {
            (Some(done), Some(total)) => Some(RunProgress::Count { done, total }),
            _ => progress["fraction"].as_f64().map(RunProgress::Fraction),
        },
        text: text_of(value, "text").map(Into::into),
        error: parse_error(&value["error"]).map(Box::new),
    })
}

fn parse_error(value: &Value) -> Option<RunError> {
    let causes = value["causes"].as_array().into_iter().flatten();
    Some(RunError {
        kind: text_of(value, "kind")?.into(),
        message: text_of(value, "message")?.into(),
        causes: causes
            .filter_map(|cause| Some(cause.as_str()?.into()))
            .collect(),
        fingerprint: text_of(value, "fingerprint").and_then(|text| text.parse().ok()),
    })
}

fn text_of<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value[name].as_str()
}

fn number_of(value: &Value, name: &str) -> Option<u32> {
    value[name]
        .as_u64()
        .and_then(|number| number.try_into().ok())
}

fn seconds_of(value: &Value, name: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(value[name].as_f64()?).ok()
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
