use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::{ops::series::Histogram, util::log_linear::BUCKETS};

const HOUR: u64 = 472_222;
const FIRST: u64 = HOUR * 60;

fn value(kind: SeriesKind) -> BoxedStrategy<PointValue> {
    let numbers = prop_oneof![
        any::<f64>(),
        (-1_000..1_000_i32).prop_map(f64::from),
        Just(-0.0),
        Just(0.0),
        Just(f64::NAN),
        Just(MAX_WHOLE),
    ];
    match kind {
        SeriesKind::Counter => prop_oneof![Just(0), 0..1_000_u64, 0..u64::MAX]
            .prop_map(|added| PointValue::Counter(Added::new(added)))
            .boxed(),
        SeriesKind::Gauge => (numbers.clone(), numbers.clone(), numbers, any::<bool>())
            .prop_map(|(last, min, max, is_steady)| {
                PointValue::Gauge(match is_steady {
                    true => GaugePoint::new(last),
                    false => GaugePoint::of(last, min, max),
                })
            })
            .boxed(),
        SeriesKind::Histogram => proptest::collection::btree_map(
            0..BUCKETS as u16,
            prop_oneof![1..9_u64, 1..=u64::MAX],
            0..20,
        )
        .prop_map(|buckets| {
            let sum = if buckets.is_empty() { 0.0 } else { 1.5 };
            let histogram = Histogram::from_buckets(buckets, sum, 0);
            PointValue::Histogram(PackedHistogram::new(&histogram))
        })
        .boxed(),
    }
}

fn kinds() -> impl Strategy<Value = SeriesKind> {
    prop_oneof![
        Just(SeriesKind::Counter),
        Just(SeriesKind::Gauge),
        Just(SeriesKind::Histogram)
    ]
}

fn points() -> impl Strategy<Value = (SeriesKind, Vec<OldPoint>)> {
    let spans = |kind| {
        vec(
            option::of((value(kind), prop_oneof![Just(60), 1..60_u32], 1..9_usize)),
            0..60,
        )
    };
    kinds()
        .prop_flat_map(move |kind| (Just(kind), spans(kind)))
        .prop_map(|(kind, spans)| {
            let runs = spans.into_iter().flat_map(|span| match span {
                Some((value, seconds, times)) => vec![Some((value, seconds)); times],
                None => vec![None],
            });
            let points = runs.take(60).enumerate().filter_map(|(at, span)| {
                let (value, seconds) = span?;
                let span = FIRST + at as u64;
                Some(OldPoint {
                    span,
                    value,
                    seconds,
                })
            });
            (kind, points.collect())
        })
}

fn unpack(kind: SeriesKind, bytes: &[u8]) -> Vec<OldPoint> {
    unpack_block(kind, FIRST, 60, 60, bytes)
}

proptest! {
    #[test]
    fn block_keeps_every_point((kind, points) in points()) {
        let unpacked = unpack(kind, &pack_block(FIRST, 60, &points));
        prop_assert_eq!(unpacked.len(), points.len());
        for (unpacked, point) in unpacked.iter().zip(&points) {
            prop_assert_eq!((unpacked.span, unpacked.seconds), (point.span, point.seconds));
            prop_assert!(is_same(&unpacked.value, &point.value), "{:?} {:?}", unpacked, point);
        }
    }

    #[test]
    fn block_of_any_bytes_has_sound_points(kind in kinds(), bytes in vec(any::<u8>(), 0..200)) {
        let points = unpack(kind, &[&[VERSION], &bytes[..]].concat());
        prop_assert!(points.len() <= 60);
        prop_assert!(points.is_sorted_by(|a, b| a.span < b.span));
        prop_assert!(points.iter().all(|point| point.span >= FIRST && point.span < FIRST + 60 && point.seconds > 0));
        // They can be merged, and what stands for a histogram has only buckets that there are.
        let _ = OldPoint::merged(HOUR, &points);
    }

    #[test]
    fn block_that_is_cut_off_has_the_points_before((kind, points) in points(), at in any::<prop::sample::Index>()) {
        let bytes = pack_block(FIRST, 60, &points);
        let unpacked = unpack(kind, &bytes[..at.index(bytes.len())]);
        prop_assert!(unpacked.len() <= points.len());
    }

    #[test]
    fn merged_point_has_what_its_parts_have(counts in vec((0..1_000_u64, 1..60_u32), 1..60)) {
        let points: Vec<_> = counts.iter().enumerate().map(|(at, (added, seconds))| OldPoint {
            span: FIRST + at as u64, value: PointValue::Counter(Added::new(*added)), seconds: *seconds,
        }).collect();
        let merged = OldPoint::merged(HOUR, &points).expect("a point");
        let (added, seconds) = (counts.iter().map(|each| each.0).sum(), counts.iter().map(|each| each.1).sum());
        prop_assert_eq!(merged, OldPoint { span: HOUR, value: PointValue::Counter(Added::new(added)), seconds });
    }
}

#[test]
fn block_of_what_does_not_change_takes_few_bytes() {
    let block = |value: PointValue| {
        let point = |at| OldPoint {
            span: FIRST + at,
            value: value.clone(),
            seconds: 60,
        };
        let points: Vec<_> = (0..60).map(point).collect();
        pack_block(FIRST, 60, &points).len()
    };
    assert_eq!(block(PointValue::Counter(Added::new(0))), 4);
    assert_eq!(block(PointValue::Gauge(GaugePoint::new(3.0))), 5);
    assert_eq!(block(PointValue::Gauge(GaugePoint::new(0.5))), 12);
    assert_eq!(block(PointValue::Histogram(PackedHistogram::default())), 4);
}

#[test]
fn block_of_another_version_has_no_points() {
    assert!(unpack(SeriesKind::Counter, &[2, 0, 0]).is_empty());
    assert!(unpack(SeriesKind::Counter, &[]).is_empty());
}
