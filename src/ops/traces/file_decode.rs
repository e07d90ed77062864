use std::sync::Arc;

use super::{
    buffer::Dropped,
    callsite::Callsite,
    file_encode::VERSION,
    packed::Bytes,
    segment::Segment,
    span_record::{Parent, SpanKind, SpanRecord},
};
use crate::call::Outcome;

/// Unpacks segments; `None` if they are damaged. `callsite` returns that of a number.
pub(super) fn decode(
    packed: &[u8],
    mut callsite: impl FnMut(u64) -> Option<Arc<Callsite>>,
) -> Option<Vec<Arc<Segment>>> {
    let mut bytes = Bytes(packed);
    if bytes.byte()? != VERSION {
        return None;
    }
    let mut segments = Vec::new();
    for _ in 0..bytes.number()? {
        let base = bytes.number()?;
        let dropped = Dropped {
            spans: bytes.number()?,
            values: bytes.number()?,
            events: bytes.number()?,
        };
        let mut callsites = Vec::new();
        for _ in 0..bytes.number()? {
            callsites.push(callsite(bytes.number()?)?);
        }
        let mut spans = Vec::new();
        for index in 0..bytes.number()? {
            spans.push(span(&mut bytes, index)?);
        }
        let len = usize::try_from(bytes.number()?).ok()?;
        segments.push(Arc::new(Segment {
            base,
            spans: spans.into(),
            log: bytes.take(len)?.into(),
            callsites: callsites.into(),
            dropped,
        }));
    }
    Some(segments)
}

fn span(bytes: &mut Bytes<'_>, index: u64) -> Option<SpanRecord> {
    let id = u64::from_le_bytes(bytes.array()?);
    let parent = match bytes.byte()? {
        0 => Parent::None,
        // One that came before, or whoever follows parents would not come to an end.
        1 => Parent::Index(
            u32::try_from(bytes.number()?)
                .ok()
                .filter(|parent| u64::from(*parent) < index)?,
        ),
        2 => Parent::Id(u64::from_le_bytes(bytes.array()?)),
        _ => return None,
    };
    let start = bytes.number()?;
    let end = bytes.number()?.checked_sub(1);
    let busy = bytes.number()?;
    let callsite = u16::try_from(bytes.number()?).ok()?;
    let kind = *SpanKind::ALL.get(usize::from(bytes.byte()?))?;
    let outcome = bytes.byte()?.checked_sub(1);
    let outcome = outcome.map(|index| Outcome::ALL.get(usize::from(index)).copied());
    let flags = bytes.byte()?;
    let flag = |bit: u8| flags >> bit & 1 == 1;
    let [values, events, links] = bytes.array()?;
    Some(SpanRecord {
        id,
        parent,
        start,
        end: end.map(|lasted| start.saturating_add(lasted)),
        busy,
        callsite,
        kind,
        outcome: outcome.flatten(),
        is_own: flag(0),
        is_error: flag(1),
        has_error_event: flag(2),
        is_continued: flag(3),
        values,
        events,
        links,
    })
}

/// Unpacks a callsite; `None` if it is damaged.
pub(super) fn decode_callsite(packed: &[u8]) -> Option<Callsite> {
    let mut bytes = Bytes(packed);
    if bytes.byte()? != VERSION {
        return None;
    }
    let [name, target, level] = [bytes.text()?, bytes.text()?, bytes.text()?].map(Box::from);
    let location = bytes.text()?;
    let mut fields = Vec::new();
    while !bytes.0.is_empty() {
        fields.push(bytes.text()?.into());
    }
    Some(Callsite {
        name,
        target,
        level,
        location: (!location.is_empty()).then(|| location.into()),
        fields: fields.into(),
    })
}
