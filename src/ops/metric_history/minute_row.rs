//! The row of a minute: the points of all series, until its hour is packed.

use crate::ops::series::{OldPoint, SeriesKind, pack_value, pop_number, push_number, unpack_value};

use super::MINUTE;

/// The first byte of a row.
const VERSION: u8 = 1;
const IS_PARTIAL: u64 = 0b100;
const KIND: u64 = 0b11;

/// Returns the number that stands for a kind in the file.
pub(super) fn kind_number(kind: SeriesKind) -> u64 {
    match kind {
        SeriesKind::Counter => 0,
        SeriesKind::Gauge => 1,
        SeriesKind::Histogram => 2,
    }
}

/// Returns the kind of a number.
pub(super) fn kind_of(number: u64) -> Option<SeriesKind> {
    let kinds = [
        SeriesKind::Counter,
        SeriesKind::Gauge,
        SeriesKind::Histogram,
    ];
    kinds.get(usize::try_from(number).ok()?).copied()
}

/// Packs the points of one minute, each with the number of its series.
pub(super) fn pack<'a>(points: impl IntoIterator<Item = &'a (i64, OldPoint)>) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    for (series, point) in points {
        let is_partial = u64::from(point.seconds != MINUTE as u32) * IS_PARTIAL;
        push_number(&mut bytes, *series as u64);
        push_number(&mut bytes, kind_number(point.value.kind()) | is_partial);
        if is_partial > 0 {
            push_number(&mut bytes, point.seconds.into());
        }
        pack_value(&mut bytes, &point.value);
    }
    bytes
}

/// Unpacks the points of a minute: as many as are sound, since the bytes come from outside.
pub(super) fn unpack(minute: u64, bytes: &[u8]) -> Vec<(i64, OldPoint)> {
    let mut points = Vec::new();
    if let [VERSION, rest @ ..] = bytes {
        let mut rest = rest;
        while !rest.is_empty()
            && let Some(point) = unpack_point(minute, &mut rest)
        {
            points.push(point);
        }
    }
    points
}

fn unpack_point(minute: u64, bytes: &mut &[u8]) -> Option<(i64, OldPoint)> {
    let series = i64::try_from(pop_number(bytes)?).ok()?;
    let head = pop_number(bytes)?;
    let kind = kind_of(head & KIND)?;
    let seconds = match head & IS_PARTIAL {
        0 => MINUTE as u32,
        _ => u32::try_from(pop_number(bytes)?).ok()?.max(1),
    };
    let value = unpack_value(kind, bytes)?;
    let point = OldPoint {
        span: minute,
        value,
        seconds,
    };
    Some((series, point))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::ops::series::{Added, GaugePoint, Histogram, PackedHistogram, PointValue};

    proptest! {
        #[test]
        fn minute_keeps_every_point(values in vec((1..1_000_i64, 0..3, 1..=60_u32, any::<u32>()), 0..50)) {
            let points: Vec<_> = values.into_iter().map(|(series, kind, seconds, number)| {
                let value = match kind {
                    0 => PointValue::Counter(Added::new(number.into())),
                    1 => PointValue::Gauge(GaugePoint::new(number.into())),
                    _ => {
                        let mut histogram = Histogram::new();
                        histogram.record(number.into());
                        PointValue::Histogram(PackedHistogram::new(&histogram))
                    }
                };
                (series, OldPoint { span: 7, value, seconds })
            }).collect();
            prop_assert_eq!(unpack(7, &pack(&points)), points);
        }

        #[test]
        fn minute_of_any_bytes_has_sound_points(bytes in vec(any::<u8>(), 0..200)) {
            for (series, point) in unpack(7, &[&[VERSION], &bytes[..]].concat()) {
                prop_assert!(series >= 0 && point.span == 7 && point.seconds > 0);
            }
        }
    }
}
