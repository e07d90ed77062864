use std::collections::HashMap;

use super::{
    kept_trace::KeptTrace,
    span_record::{Parent, SpanRecord},
};

/// A span of a trace in the order in which it is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TreeSpan {
    /// With what later parts know of it.
    pub(crate) record: SpanRecord,
    /// The segment of its beginning.
    pub(crate) segment: usize,
    /// The index in there.
    pub(crate) index: u32,
    /// Unix time in nanoseconds.
    pub(crate) start: u64,
    /// The position of its parent, which comes before; `None` of one that has no parent in the trace.
    pub(crate) parent: Option<usize>,
    pub(crate) depth: usize,
}

/// Returns the spans of a trace, parents before children and siblings by their start. No chain of parents is endless, whatever
/// the IDs are: they come from strangers.
pub(crate) fn tree(trace: &KeptTrace) -> Vec<TreeSpan> {
    let nodes = Nodes::new(trace);
    let mut shown = Vec::with_capacity(nodes.spans.len());
    let mut is_shown = vec![false; nodes.spans.len()];
    let mut walk = |roots: &[usize], shown: &mut Vec<TreeSpan>| {
        let mut stack: Vec<(usize, Option<usize>, usize)> =
            roots.iter().rev().map(|root| (*root, None, 0)).collect();
        while let Some((node, parent, depth)) = stack.pop() {
            if std::mem::replace(&mut is_shown[node], true) {
                continue;
            }
            let position = shown.len();
            shown.push(TreeSpan {
                parent,
                depth,
                ..nodes.spans[node]
            });
            let children = nodes.children[node].iter().rev();
            stack.extend(children.map(|child| (*child, Some(position), depth + 1)));
        }
    };
    walk(&nodes.roots, &mut shown);
    // Spans that are each other's parents: one of them is shown as a root.
    let all: Vec<usize> = (0..nodes.spans.len()).collect();
    walk(&all, &mut shown);
    shown
}

/// The spans of all segments, by their start.
struct Nodes {
    spans: Vec<TreeSpan>,
    children: Vec<Vec<usize>>,
    roots: Vec<usize>,
}

impl Nodes {
    fn new(trace: &KeptTrace) -> Self {
        let mut spans = spans_of(trace);
        let mut by_id = HashMap::with_capacity(spans.len());
        let mut by_index = HashMap::with_capacity(spans.len());
        for (node, span) in spans.iter().enumerate() {
            by_id.entry(span.record.id).or_insert(node);
            by_index.insert((span.segment, span.index), node);
        }
        continue_spans(trace, &mut spans, &by_id);
        let mut children = vec![Vec::new(); spans.len()];
        let mut roots = Vec::new();
        for (node, span) in spans.iter().enumerate() {
            let parent = match span.record.parent {
                Parent::None => None,
                Parent::Index(index) => by_index.get(&(span.segment, index)),
                Parent::Id(id) => by_id.get(&id),
            };
            match parent.filter(|parent| **parent != node) {
                Some(parent) => children[*parent].push(node),
                None => roots.push(node),
            }
        }
        Nodes {
            spans,
            children,
            roots,
        }
    }
}

/// Returns the records of a trace with their segments and their indices in there.
fn records(trace: &KeptTrace) -> impl Iterator<Item = (usize, u32, &SpanRecord)> {
    let segments = trace.segments.iter().enumerate();
    segments.flat_map(|(n, segment)| {
        let records = (0..).zip(&segment.spans);
        records.map(move |(index, record)| (n, index, record))
    })
}

/// Returns the spans as their first parts know them, by their start.
fn spans_of(trace: &KeptTrace) -> Vec<TreeSpan> {
    let begun = records(trace).filter(|(.., record)| !record.is_continued);
    let spans = begun.map(|(segment, index, record)| TreeSpan {
        record: *record,
        segment,
        index,
        start: trace.segments[segment].unix_nanos(record.start),
        parent: None,
        depth: 0,
    });
    let mut spans: Vec<TreeSpan> = spans.collect();
    // Stable: of one time, in the order in which they were opened.
    spans.sort_by_key(|span| span.start);
    spans
}

/// Adds what later parts know of the spans.
fn continue_spans(trace: &KeptTrace, spans: &mut [TreeSpan], by_id: &HashMap<u64, usize>) {
    for (segment, _, later) in records(trace).filter(|(.., record)| record.is_continued) {
        let Some(node) = by_id.get(&later.id) else {
            continue;
        };
        let span = &mut spans[*node];
        // Its times are those of another segment.
        let shift = trace.segments[segment].base as i64 - trace.segments[span.segment].base as i64;
        let end = later.end.map(|end| end.saturating_add_signed(shift));
        span.record.continue_with(&SpanRecord { end, ..*later });
    }
}
