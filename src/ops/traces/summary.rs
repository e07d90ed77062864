use std::collections::{BTreeSet, HashSet};

use super::{
    packed::SpanValue,
    segment::Segment,
    span_record::{Parent, SpanKind, SpanRecord},
};
use crate::call::Outcome;

/// Returns the name of a client's span with its peer, where it is the method alone: a client knows no route.
pub(crate) fn name_with_server(name: &str, kind: SpanKind, server: Option<&str>) -> Option<String> {
    let is_short = kind == SpanKind::Client && !name.contains([' ', '/']);
    server
        .filter(|_| is_short)
        .map(|server| format!("{name} {server}"))
}

/// The most error groups that a trace is found by.
const MAX_GROUPS: usize = 8;

/// The figures that the list of traces shows of one.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TraceSummary {
    /// The name of the first span without a parent in the trace.
    pub(crate) name: Box<str>,
    pub(crate) route: Option<Box<str>>,
    pub(crate) kind: SpanKind,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) status: Option<i64>,
    pub(crate) correlation_id: Option<Box<str>>,
    pub(crate) request_id: Option<Box<str>>,
    pub(crate) error_groups: BTreeSet<Box<str>>,
    /// Unix time in nanoseconds.
    pub(crate) start: u64,
    /// The time from the start of the first span to the end of the last, in nanoseconds.
    pub(crate) nanos: u64,
    pub(crate) spans: usize,
    pub(crate) errors: usize,
    /// Spans without an end.
    pub(crate) open: usize,
    /// Spans that did not fit.
    pub(crate) truncated: u64,
}

impl TraceSummary {
    pub(super) fn new(segments: &[std::sync::Arc<Segment>]) -> Self {
        let mut summary = TraceSummary {
            start: u64::MAX,
            ..TraceSummary::default()
        };
        let ids: HashSet<u64> = segments
            .iter()
            .flat_map(|segment| segment.spans.iter())
            .filter(|span| !span.is_continued)
            .map(|span| span.id)
            .collect();
        let mut end = 0;
        let mut ended = HashSet::new();
        for segment in segments {
            summary.truncated += segment.dropped.spans;
            for span in &segment.spans {
                summary.start = summary.start.min(segment.unix_nanos(span.start));
                let last = span.end.unwrap_or(span.start);
                end = end.max(segment.unix_nanos(last));
                summary.errors += usize::from(span.is_error);
                if span.is_continued && span.end.is_some() {
                    ended.insert(span.id);
                }
            }
        }
        summary.spans = ids.len();
        let all = segments.iter().flat_map(|segment| segment.spans.iter());
        let open = all.filter(|span| span.end.is_none() && !ended.contains(&span.id));
        summary.open = open.filter(|span| !span.is_continued).count();
        summary.nanos = end.saturating_sub(summary.start);
        summary.read_root(segments, &ids);
        summary
    }

    /// Takes over what the first span without a parent carries.
    fn read_root(&mut self, segments: &[std::sync::Arc<Segment>], ids: &HashSet<u64>) {
        let is_root = |span: &SpanRecord| match span.parent {
            Parent::None => !span.is_continued,
            Parent::Index(_) => false,
            // An ID of its own would be a ring.
            Parent::Id(parent) => !ids.contains(&parent) || parent == span.id,
        };
        let mut roots: Vec<(u64, usize, u32)> = Vec::new();
        for (n, segment) in segments.iter().enumerate() {
            for (index, span) in (0..).zip(&segment.spans) {
                if is_root(span) {
                    roots.push((segment.unix_nanos(span.start), n, index));
                }
            }
        }
        let Some((_, of_root, root)) = roots.into_iter().min() else {
            return;
        };
        let record = segments[of_root].spans[root as usize];
        (self.kind, self.outcome) = (record.kind, record.outcome);
        let name = segments[of_root]
            .callsite(root)
            .map(|callsite| &callsite.name);
        self.name = name.cloned().unwrap_or_default();
        let mut server = None;
        for segment in segments {
            let continued = segment.spans.iter().position(|span| span.id == record.id);
            if let Some(later) = continued {
                self.outcome = segment.spans[later].outcome.or(self.outcome);
            }
            segment.for_each_attribute(|index, name, value| {
                let is_root = segment.spans[index as usize].id == record.id;
                match (name, value) {
                    ("server.address", SpanValue::Text(address)) if is_root => {
                        server = Some(address)
                    }
                    _ => self.read(name, value, is_root),
                }
            });
        }
        if let Some(name) = name_with_server(&self.name, self.kind, server) {
            self.name = name.into();
        }
    }

    fn read(&mut self, name: &str, value: SpanValue<'_>, is_root: bool) {
        match (name, value) {
            ("error.group", SpanValue::Text(group)) if self.error_groups.len() < MAX_GROUPS => {
                self.error_groups.insert(group.into());
            }
            // Of the first span that has one, if the root has none: that of a job has a call in it.
            ("correlation_id", SpanValue::Text(id)) if is_root || self.correlation_id.is_none() => {
                self.correlation_id = Some(id.into());
            }
            _ if !is_root => {}
            ("otel.name", SpanValue::Text(text)) => self.name = text.into(),
            ("http.route" | "rpc.method", SpanValue::Text(route)) => {
                self.route = Some(route.into())
            }
            ("http.response.status_code", SpanValue::Int(status)) => self.status = Some(status),
            ("request_id", SpanValue::Text(id)) => self.request_id = Some(id.into()),
            _ => {}
        }
    }

    /// Returns the bytes on the heap, about.
    pub(super) fn bytes(&self) -> usize {
        let text = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
        self.name.len()
            + text(&self.route)
            + text(&self.correlation_id)
            + text(&self.request_id)
            + self
                .error_groups
                .iter()
                .map(|group| group.len() + 32)
                .sum::<usize>()
    }
}
