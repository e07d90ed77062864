use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use opentelemetry::{Context, KeyValue, StringValue, Value, trace::Status};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::InstrumentationScope,
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans},
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanProcessor},
};
use prost::Message;

use super::{
    inbox::Inbox,
    redaction::{REDACTED_VALUE, looks_like_credential, safe_text},
};

/// A guess of what a span takes without its attributes, in bytes; an event or a link likewise.
const SPAN_BYTES: usize = 512;
const PART_BYTES: usize = 96;

/// A processor that puts the spans that are sampled into the queue of the exporter.
#[derive(Debug)]
pub(super) struct QueueSpans(pub(super) Arc<Inbox<SpanData>>);

impl SpanProcessor for QueueSpans {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            let bytes = size_of_span(&span);
            self.0.push(span, bytes);
        }
    }

    /// Does nothing: the exporter flushes, since a provider would block the thread.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

fn size_of_span(span: &SpanData) -> usize {
    let events = span.events.iter();
    let events: usize = events
        .map(|event| PART_BYTES + event.name.len() + size_of_attributes(&event.attributes))
        .sum();
    let links = span.links.iter();
    let links: usize = links
        .map(|link| PART_BYTES + size_of_attributes(&link.attributes))
        .sum();
    SPAN_BYTES + span.name.len() + size_of_attributes(&span.attributes) + events + links
}

fn size_of_attributes(attributes: &[KeyValue]) -> usize {
    let sizes = attributes.iter().map(|attribute| {
        let value = match &attribute.value {
            Value::String(text) => text.as_str().len(),
            Value::Array(_) => 256,
            _ => 0,
        };
        size_of::<KeyValue>() + attribute.key.as_str().len() + value
    });
    sizes.sum()
}

/// Encodes a batch of spans, without the credentials in their attributes.
pub(super) fn encode(spans: Vec<SpanData>, resource: &Resource) -> Bytes {
    let mut scopes: Vec<(opentelemetry::InstrumentationScope, Vec<_>)> = Vec::new();
    for span in spans {
        let span = safe_span(span);
        let known = scopes
            .iter()
            .position(|(scope, _)| *scope == span.instrumentation_scope);
        let place = known.unwrap_or_else(|| {
            scopes.push((span.instrumentation_scope.clone(), Vec::new()));
            scopes.len() - 1
        });
        scopes[place].1.push(span.into());
    }
    let scope_spans = scopes.into_iter().map(|(scope, spans)| ScopeSpans {
        schema_url: scope.schema_url().unwrap_or_default().to_owned(),
        scope: Some(InstrumentationScope::from((scope, None))),
        spans,
    });
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource.clone()),
            scope_spans: scope_spans.collect(),
            schema_url: String::new(),
        }],
    };
    request.encode_to_vec().into()
}

fn safe_span(mut span: SpanData) -> SpanData {
    make_safe(&mut span.attributes);
    for event in &mut span.events.events {
        event.name = safe_text(std::mem::take(&mut event.name).into_owned()).into();
        make_safe(&mut event.attributes);
    }
    if let Status::Error { description } = span.status {
        let description = safe_text(description.into_owned()).into();
        span.status = Status::Error { description };
    }
    span
}

fn make_safe(attributes: &mut [KeyValue]) {
    for KeyValue { key, value, .. } in attributes {
        if looks_like_credential(key.as_str()) {
            *value = Value::from(REDACTED_VALUE);
        } else if let Value::String(text) = value {
            let text: StringValue = safe_text(text.as_str().to_owned()).into();
            *value = Value::String(text);
        }
    }
}
