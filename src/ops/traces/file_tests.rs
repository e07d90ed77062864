use std::sync::Arc;

use proptest::prelude::*;

use super::{
    buffer::Dropped,
    callsite::Callsite,
    file_decode::{decode, decode_callsite},
    file_encode::{encode, encode_callsite},
    segment::Segment,
    span_record::{Parent, SpanKind, SpanRecord},
};

fn callsite(name: &str) -> Callsite {
    Callsite {
        name: name.into(),
        target: "orders::pay".into(),
        level: "info".into(),
        location: Some("src/pay.rs:118".into()),
        fields: ["a".into(), "b".into()].into(),
    }
}

fn any_span() -> impl Strategy<Value = SpanRecord> {
    let times = (any::<u32>(), proptest::option::of(any::<u32>()));
    (any::<u64>(), 0..3_u8, times, any::<[bool; 4]>(), 0..6_usize).prop_map(
        |(id, parent, (start, lasted), flags, kind)| {
            let parent = match parent {
                0 => Parent::None,
                1 => Parent::Id(id ^ 1),
                _ => Parent::Index(0),
            };
            let start = u64::from(start);
            let mut span = SpanRecord::new(id, parent, start, SpanKind::ALL[kind]);
            span.end = lasted.map(|lasted| start + u64::from(lasted));
            [
                span.is_own,
                span.is_error,
                span.has_error_event,
                span.is_continued,
            ] = flags;
            span.outcome = crate::call::Outcome::ALL.get(kind + 3).copied();
            span
        },
    )
}

proptest! {
    #[test]
    fn segments_come_out_of_the_file_as_they_went_in(
        mut spans in proptest::collection::vec(any_span(), 0..20),
        log in proptest::collection::vec(any::<u8>(), 0..50),
    ) {
        if let Some(first) = spans.first_mut()
            && matches!(first.parent, Parent::Index(_))
        {
            first.parent = Parent::None;
        }
        let segment = Arc::new(Segment {
            base: 1_796_010_070_425_522_800,
            spans: spans.into(),
            log: log.into(),
            callsites: [Arc::new(callsite("x"))].into(),
            dropped: Dropped { spans: 1, values: 2, events: 300 },
        });
        let segments = vec![segment.clone(), segment];
        let packed = encode(&segments, |_| Ok::<_, ()>(7)).expect("packed");
        let known = |id| (id == 7).then(|| Arc::new(callsite("x")));
        prop_assert_eq!(decode(&packed, known), Some(segments));
        // Cut anywhere, it is damaged.
        let end = packed.len() / 2;
        prop_assert_eq!(decode(&packed[..end], known), None);
    }

    #[test]
    fn damaged_bytes_are_no_segments_and_no_callsite(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = decode(&bytes, |_| Some(Arc::new(callsite("x"))));
        let _ = decode_callsite(&bytes);
    }
}

#[test]
fn callsite_comes_out_of_the_file_as_it_went_in() {
    let callsite = callsite("load");
    assert_eq!(decode_callsite(&encode_callsite(&callsite)), Some(callsite));
}
