//! `GET api/v1/traces/{trace_id}`: a trace with its spans, as the waterfall shows them.

use std::{borrow::Cow, collections::HashMap};

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::{
    ApiResult,
    path::PathParams,
    state::ApiState,
    traces::{find, row},
};
use crate::{
    call::Outcome,
    ops::traces::{KeptTrace, SpanValue, TreeSpan, name_with_server, tree},
};

pub(super) async fn detail(
    State(state): State<ApiState>,
    params: PathParams,
) -> ApiResult<Json<Value>> {
    let trace_id = params.get("trace_id").to_owned();
    let read = state.read(move |core| find(core, &trace_id).map(|trace| columns(&trace)));
    Ok(Json(read.await??))
}

/// Returns a trace with its spans, a column for each of what they have: 10,000 spans take less than a megabyte.
fn columns(trace: &KeptTrace) -> Value {
    let spans = tree(trace);
    let details = Details::read(trace, &spans);
    let mut names = Names::default();
    let column = |value: &dyn Fn(&TreeSpan) -> Value| spans.iter().map(value).collect::<Value>();
    let micros = |nanos: u64| nanos.div_ceil(1_000);
    let start = trace.summary.start;
    let name = (0..)
        .zip(&spans)
        .map(|(at, span)| names.index(details.name(trace, at, span)));
    let name: Value = name.collect();
    json!({
        "trace": row(trace),
        "names": names.all,
        "spans": {
            "id": column(&|span| format!("{:016x}", span.record.id).into()),
            "parent": column(&|span| span.parent.into()),
            "name": name,
            "kind": column(&|span| span.record.kind.as_str().into()),
            "start": column(&|span| (span.start.saturating_sub(start) / 1_000).into()),
            "micros": column(&|span| span.record.end.map(|end| micros(end - span.record.start)).into()),
            "busy": column(&|span| micros(span.record.busy).into()),
            "outcome": column(&|span| span.record.outcome.map(Outcome::as_str).into()),
            "error": column(&|span| u8::from(span.record.is_error).into()),
            "events": column(&|span| span.record.events.into()),
            "attempt": details.attempts(&spans),
        },
    })
}

/// Texts, each once.
#[derive(Default)]
struct Names<'a> {
    all: Vec<&'a str>,
    known: HashMap<&'a str, usize>,
}

impl<'a> Names<'a> {
    fn index(&mut self, name: &'a str) -> usize {
        *self.known.entry(name).or_insert_with(|| {
            self.all.push(name);
            self.all.len() - 1
        })
    }
}

/// The part of the attributes that the waterfall shows, by the position of the span.
pub(super) struct Details<'a> {
    names: HashMap<usize, Cow<'a, str>>,
    attempts: HashMap<usize, i64>,
}

impl<'a> Details<'a> {
    pub(super) fn read(trace: &'a KeptTrace, spans: &[TreeSpan]) -> Self {
        let positions = (0..)
            .zip(spans)
            .map(|(at, span)| ((span.segment, span.index), at));
        let positions: HashMap<_, usize> = positions.collect();
        let by_id: HashMap<u64, usize> = (0..)
            .zip(spans)
            .map(|(at, span)| (span.record.id, at))
            .collect();
        let mut details = Details {
            names: HashMap::new(),
            attempts: HashMap::new(),
        };
        let mut servers = HashMap::new();
        for (n, segment) in trace.segments.iter().enumerate() {
            segment.for_each_attribute(|index, name, value| {
                let own = || by_id.get(&segment.spans[index as usize].id);
                let Some(at) = positions.get(&(n, index)).or_else(own) else {
                    return;
                };
                match (name, value) {
                    ("otel.name", SpanValue::Text(name)) => {
                        details.names.insert(*at, name.into());
                    }
                    ("server.address", SpanValue::Text(address)) => {
                        servers.insert(*at, address);
                    }
                    ("http.request.resend_count", SpanValue::Int(count)) => {
                        details.attempts.insert(*at, count.saturating_add(1));
                    }
                    _ => {}
                }
            });
        }
        for (at, name) in &mut details.names {
            let server = servers.get(at).copied();
            if let Some(longer) = name_with_server(name, spans[*at].record.kind, server) {
                *name = longer.into();
            }
        }
        details
    }

    pub(super) fn name<'b>(&'b self, trace: &'b KeptTrace, at: usize, span: &TreeSpan) -> &'b str {
        let callsite = || trace.segments[span.segment].callsite(span.index);
        match self.names.get(&at) {
            Some(name) => name,
            None => callsite().map_or("", |callsite| &callsite.name),
        }
    }

    /// Returns the numbers of the attempts; `null` for what is none, and for the first.
    fn attempts(&self, spans: &[TreeSpan]) -> Value {
        (0..spans.len())
            .map(|at| self.attempts.get(&at).copied())
            .collect::<Vec<_>>()
            .into()
    }
}
