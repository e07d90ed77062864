//! `GET api/v1/traces/{trace_id}/spans/{span_id}`: one span, with all that it carries.

use axum::{Json, extract::State};
use serde_json::{Map, Value, json};

use super::{
    ApiResult, Problem,
    path::PathParams,
    state::ApiState,
    trace_detail::Details,
    traces::{find, seconds},
};
use crate::{
    call::Outcome,
    context::TraceId,
    ops::{
        core::Core,
        traces::{Callsite, KeptTrace, Part, Segment, SpanValue, TreeSpan, Values, tree},
    },
};

pub(super) async fn span(
    State(state): State<ApiState>,
    params: PathParams,
) -> ApiResult<Json<Value>> {
    let [trace_id, span_id] = ["trace_id", "span_id"].map(|name| params.get(name).to_owned());
    let read = state.read(move |core| -> ApiResult<Value> {
        let trace = find(core, &trace_id)?;
        let is_id = span_id.len() == 16;
        let id = u64::from_str_radix(&span_id, 16).ok().filter(|_| is_id);
        let spans = tree(&trace);
        let found = spans.iter().position(|span| Some(span.record.id) == id);
        let found = found.ok_or_else(|| Problem::not_found("the trace has no span of this ID"))?;
        Ok(span_detail(core, &trace, &spans, found))
    });
    Ok(Json(read.await??))
}

/// The values that a span carries.
#[derive(Default)]
struct Carried {
    attributes: Map<String, Value>,
    events: Vec<Value>,
    links: Vec<Value>,
}

impl Carried {
    fn read(core: &Core, trace: &KeptTrace, id: u64) -> Self {
        let mut carried = Carried::default();
        for segment in &trace.segments {
            for (index, part) in segment.entries() {
                let is_own = segment
                    .spans
                    .get(index as usize)
                    .is_some_and(|span| span.id == id);
                if is_own {
                    carried.add(core, segment, index, part);
                }
            }
        }
        carried
    }

    fn add(&mut self, core: &Core, segment: &Segment, index: u32, part: Part<'_>) {
        match part {
            Part::Attributes(values) => {
                if let Some(callsite) = segment.callsite(index) {
                    self.attributes.extend(fields(callsite, values));
                }
            }
            Part::Event {
                at,
                callsite,
                values,
            } => {
                let Some(callsite) = segment.callsites.get(usize::from(callsite)) else {
                    return;
                };
                let mut fields: Map<_, _> = fields(callsite, values).collect();
                let message = fields.remove("message");
                self.events.push(json!({
                    "at": seconds(segment.unix_nanos(at)), "level": &*callsite.level, "target": &*callsite.target,
                    "message": message, "fields": fields,
                }));
            }
            Part::Link { trace_id, span_id } => {
                let trace_id = TraceId::from_bytes(trace_id.to_be_bytes());
                let is_kept = trace_id.is_some_and(|trace_id| core.traces.get(trace_id).is_some());
                self.links.push(json!({
                    "trace_id": trace_id.map(|id| id.to_string()), "span_id": format!("{span_id:016x}"), "kept": is_kept,
                }));
            }
        }
    }
}

fn fields<'a>(
    callsite: &'a Callsite,
    values: Values<'a>,
) -> impl Iterator<Item = (String, Value)> + use<'a> {
    values.filter_map(|(field, value)| {
        let value = match value {
            SpanValue::Bool(value) => value.into(),
            SpanValue::Int(value) => value.into(),
            SpanValue::Unsigned(value) => value.into(),
            SpanValue::Float(value) => value.into(),
            SpanValue::Text(text) => text.into(),
        };
        Some((callsite.field(field)?.to_owned(), value))
    })
}

fn span_detail(core: &Core, trace: &KeptTrace, spans: &[TreeSpan], at: usize) -> Value {
    let span = &spans[at];
    let record = &span.record;
    let segment = &trace.segments[span.segment];
    let details = Details::read(trace, spans);
    let callsite = segment.callsite(span.index);
    let lasted = record.end.map(|end| end - record.start);
    let parent = span
        .parent
        .map(|parent| format!("{:016x}", spans[parent].record.id));
    let carried = Carried::read(core, trace, record.id);
    json!({
        "trace_id": trace.trace_id.to_string(), "span_id": format!("{:016x}", record.id), "parent_id": parent,
        "name": details.name(trace, at, span), "kind": record.kind.as_str(),
        "target": callsite.map(|callsite| &*callsite.target), "level": callsite.map(|callsite| &*callsite.level),
        "location": callsite.and_then(|callsite| callsite.location.as_deref()),
        "started_at": seconds(span.start), "seconds": lasted.map(seconds), "busy_seconds": seconds(record.busy),
        "idle_seconds": lasted.map(|lasted| seconds(lasted.saturating_sub(record.busy))),
        "outcome": record.outcome.map(Outcome::as_str), "error": record.is_error,
        "attributes": carried.attributes, "events": carried.events, "links": carried.links,
    })
}
