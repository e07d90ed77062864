//! Properties that hold whatever spans do, in whichever order.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use proptest::prelude::*;
use tracing::Metadata;

use super::{
    active_trace::FinishedPart,
    buffer::{BufferLimits, TraceBuffer},
    capture::Captured,
    packed::{SpanValue, push_value},
    sampling::TraceSampling,
    span_record::{Parent, SpanKind, SpanRecord},
    store::TraceStore,
    trace_state::{Beginning, Finished, SpanPlace, TraceState},
    tree::tree,
};
use crate::context::TraceId;

const LIMITS: BufferLimits = BufferLimits {
    spans: 12,
    events: 3,
};

/// An event in the life of a span, which is named by its number.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A span begins in the one of this number, if that is open.
    Open(Option<usize>),
    Record(usize),
    Event(usize),
    Close(usize),
    /// The trace is decided, whatever is open.
    Finish,
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let span = 0..20_usize;
    let step = prop_oneof![
        4 => proptest::option::of(span.clone()).prop_map(Step::Open),
        1 => span.clone().prop_map(Step::Record),
        1 => span.clone().prop_map(Step::Event),
        3 => span.prop_map(Step::Close),
        1 => Just(Step::Finish),
    ];
    proptest::collection::vec(step, 0..60)
}

fn metadata() -> &'static Metadata<'static> {
    crate::util::test_callsites::ask_all_subscribers();
    // Of any span: it is not recorded.
    tracing::info_span!("span", a = 1)
        .metadata()
        .unwrap_or_else(|| unreachable!())
}

fn captured() -> Captured {
    let mut captured = Captured::default();
    push_value(&mut captured.values, 0, SpanValue::Int(1));
    captured.count = 1;
    captured
}

/// A span that is open.
struct Open {
    span: SpanRecord,
    place: SpanPlace,
    is_root: bool,
}

/// Plays the steps, and returns what was finished.
fn play(steps: &[Step], trace_id: TraceId) -> (Vec<Finished>, u64) {
    let subscriber = tracing_subscriber::registry();
    let metadata = tracing::subscriber::with_default(subscriber, metadata);
    let sampling = TraceSampling {
        rate: 1.0,
        ..TraceSampling::default()
    };
    let mut state = TraceState::new(trace_id, TraceBuffer::default());
    let mut spans: Vec<Option<Open>> = Vec::new();
    let (mut parts, mut begun) = (Vec::new(), 0);
    for (time, step) in (0..).zip(steps) {
        match *step {
            Step::Open(parent) => {
                begun += 1;
                let parent = parent.and_then(|parent| spans.get(parent)?.as_ref());
                let id = parent.map_or(Parent::None, |parent| Parent::Id(parent.span.id));
                let span = SpanRecord::new(begun, id, time, SpanKind::Internal);
                let beginning = Beginning { span, metadata };
                let place = parent.map(|parent| parent.place);
                let opened = state.open(beginning, place, &captured(), LIMITS);
                let is_root = place.is_none();
                spans.push(opened.map(|place| Open {
                    span,
                    place,
                    is_root,
                }));
            }
            Step::Record(span) | Step::Event(span) => {
                let Some(open) = spans.get_mut(span).and_then(Option::as_mut) else {
                    continue;
                };
                let beginning = || Beginning {
                    span: open.span,
                    metadata,
                };
                let Some(place) = state.locate(open.place, beginning, LIMITS) else {
                    continue;
                };
                open.place = place;
                match step {
                    Step::Record(_) => state.buffer.record(place.index, &captured()),
                    _ => state
                        .buffer
                        .event(place.index, time, metadata, &captured(), LIMITS),
                }
            }
            Step::Close(span) => {
                let Some(open) = spans.get_mut(span).and_then(Option::take) else {
                    continue;
                };
                let beginning = || Beginning {
                    span: open.span,
                    metadata,
                };
                if let Some(place) = state.locate(open.place, beginning, LIMITS) {
                    state.buffer.close(place.index, time, 0);
                }
                parts.extend(state.close(open.is_root, Duration::ZERO, sampling));
            }
            Step::Finish => parts.extend(state.finish(sampling)),
        }
        assert!(state.buffer.spans.len() <= LIMITS.spans);
        assert!(
            state
                .buffer
                .spans
                .iter()
                .all(|span| span.events <= LIMITS.events)
        );
    }
    parts.extend(state.finish(sampling));
    (parts, begun)
}

fn put(store: &mut TraceStore, part: Finished) {
    store.insert(FinishedPart {
        part,
        base_at: SystemTime::UNIX_EPOCH,
        bytes: 0,
    });
}

proptest! {
    #[test]
    fn span_is_shown_once_after_its_parent_or_counted(steps in any_steps(), max in 1..40_usize) {
        let trace_id = TraceId::generate();
        let (parts, begun) = play(&steps, trace_id);
        let mut store = TraceStore::new(max);
        parts.into_iter().for_each(|part| put(&mut store, part));
        let Some(trace) = store.get(trace_id) else {
            prop_assert_eq!(begun, 0);
            return Ok(());
        };
        let shown = tree(trace);
        for (at, span) in shown.iter().enumerate() {
            prop_assert!(span.parent.is_none_or(|parent| parent < at && shown[parent].depth + 1 == span.depth));
        }
        let mut ids: Vec<_> = shown.iter().map(|span| span.record.id).collect();
        ids.sort_unstable();
        ids.dedup();
        prop_assert_eq!(ids.len(), shown.len());
        prop_assert!(shown.len() <= max.max(LIMITS.spans));
        prop_assert_eq!(trace.summary.spans, shown.len());
        // Continuations that did not fit are counted as well.
        prop_assert!(shown.len() as u64 + trace.summary.truncated >= begun);
        let open = shown.iter().filter(|span| span.record.end.is_none()).count();
        prop_assert_eq!(trace.summary.open, open);
    }

    #[test]
    fn store_takes_no_more_than_its_bytes(sizes in proptest::collection::vec((1..30_usize, any::<bool>()), 0..60), max in 0..20_000_usize) {
        let mut store = TraceStore::new(1_000);
        for (spans, is_important) in &sizes {
            let mut buffer = TraceBuffer::default();
            let subscriber = tracing_subscriber::registry();
            let metadata = tracing::subscriber::with_default(subscriber, metadata);
            for id in 0..*spans {
                let span = SpanRecord::new(id as u64 + 1, Parent::None, 0, SpanKind::Internal);
                buffer.open(span, metadata, BufferLimits { spans: 1_000, events: 1 });
            }
            let kept = if *is_important { super::trace_state::Reason::Error } else { super::trace_state::Reason::Sampled };
            put(&mut store, Finished { trace_id: TraceId::generate(), buffer, kept: Some(kept) });
            store.trim(max);
            prop_assert!(store.bytes() <= max);
        }
        prop_assert_eq!(store.len() as u64 + store.evicted(), sizes.len() as u64);
        let newest = store.newest(u64::MAX);
        let bytes: usize = newest.iter().map(|trace| trace.bytes()).sum();
        prop_assert_eq!(store.bytes(), bytes);
        prop_assert!(newest.is_sorted_by_key(|trace| std::cmp::Reverse(trace.seq)));
    }
}

#[test]
fn spans_that_are_each_others_parents_are_shown() {
    let subscriber = tracing_subscriber::registry();
    let metadata = tracing::subscriber::with_default(subscriber, metadata);
    let mut buffer = TraceBuffer::default();
    for (id, parent) in [(1, 2), (2, 1), (3, 3), (4, 2)] {
        let span = SpanRecord::new(id, Parent::Id(parent), id, SpanKind::Internal);
        buffer.open(span, metadata, LIMITS);
    }
    let trace_id = TraceId::generate();
    let mut store = TraceStore::new(10);
    let kept = Some(super::trace_state::Reason::Sampled);
    put(
        &mut store,
        Finished {
            trace_id,
            buffer,
            kept,
        },
    );
    let trace: Arc<_> = store.get(trace_id).expect("kept").clone();
    let shown: Vec<_> = tree(&trace)
        .iter()
        .map(|span| (span.record.id, span.depth))
        .collect();
    assert_eq!(shown, [(3, 0), (1, 0), (2, 1), (4, 2)]);
}
