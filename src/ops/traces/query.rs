use std::time::Duration;

use super::{kept_trace::KeptTrace, packed::SpanValue};
use crate::call::Outcome;

/// The conditions that a trace must fulfill. Those that are not set always hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct TraceQuery {
    /// Part of the name or the route of the root, in whatever case.
    pub(crate) text: Option<String>,
    pub(crate) outcome: Option<Outcome>,
    /// True for traces in which a span failed.
    pub(crate) errors_only: bool,
    pub(crate) min: Duration,
    /// Unix times in nanoseconds: the trace begins in between.
    pub(crate) from: Option<u64>,
    pub(crate) to: Option<u64>,
    /// Names and values of attributes, each of one of the spans.
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) error_group: Option<String>,
    pub(crate) correlation_id: Option<String>,
}

impl TraceQuery {
    /// Returns whether a trace fulfills all conditions.
    pub(crate) fn matches(&self, trace: &KeptTrace) -> bool {
        let summary = &trace.summary;
        let has_text = |text: &String| {
            let route = summary.route.as_deref().unwrap_or_default();
            contains(&summary.name, text) || contains(route, text)
        };
        self.text.as_ref().is_none_or(has_text)
            && self
                .outcome
                .is_none_or(|outcome| summary.outcome == Some(outcome))
            && (!self.errors_only || summary.errors > 0)
            && summary.nanos >= u64::try_from(self.min.as_nanos()).unwrap_or(u64::MAX)
            && self.from.is_none_or(|from| summary.start >= from)
            && self.to.is_none_or(|to| summary.start <= to)
            && self
                .error_group
                .as_ref()
                .is_none_or(|group| summary.error_groups.contains(group.as_str()))
            && self
                .correlation_id
                .as_deref()
                .is_none_or(|id| summary.correlation_id.as_deref() == Some(id))
            && self
                .attributes
                .iter()
                .all(|(name, value)| has_attribute(trace, name, value))
    }
}

fn contains(text: &str, part: &str) -> bool {
    text.to_lowercase().contains(&part.to_lowercase())
}

fn has_attribute(trace: &KeptTrace, name: &str, value: &str) -> bool {
    trace.segments.iter().any(|segment| {
        // Most segments have no such field, and then their values are not looked at.
        if segment
            .callsites
            .iter()
            .all(|callsite| callsite.index_of(name).is_none())
        {
            return false;
        }
        let mut is_found = false;
        segment.for_each_attribute(|_, each, actual| {
            is_found |= each == name && is_equal(actual, value);
        });
        is_found
    })
}

fn is_equal(value: SpanValue<'_>, text: &str) -> bool {
    match value {
        SpanValue::Text(value) => value == text,
        SpanValue::Bool(value) => text.parse() == Ok(value),
        SpanValue::Int(value) => text.parse() == Ok(value),
        SpanValue::Unsigned(value) => text.parse() == Ok(value),
        SpanValue::Float(value) => text.parse() == Ok(value),
    }
}
