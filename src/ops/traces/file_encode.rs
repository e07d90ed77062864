use std::sync::Arc;

use super::{
    callsite::Callsite,
    packed::push_number,
    segment::Segment,
    span_record::{Parent, SpanRecord},
};

/// The version of the format, which begins what is packed.
pub(super) const VERSION: u8 = 1;

/// Packs segments. `id_of` returns the number of a callsite in the file.
pub(super) fn encode<E>(
    segments: &[Arc<Segment>],
    mut id_of: impl FnMut(&Callsite) -> Result<u64, E>,
) -> Result<Vec<u8>, E> {
    let mut out = vec![VERSION];
    push_number(&mut out, segments.len() as u64);
    for segment in segments {
        push_number(&mut out, segment.base);
        for dropped in [
            segment.dropped.spans,
            segment.dropped.values,
            segment.dropped.events,
        ] {
            push_number(&mut out, dropped);
        }
        push_number(&mut out, segment.callsites.len() as u64);
        for callsite in &segment.callsites {
            let id = id_of(callsite)?;
            push_number(&mut out, id);
        }
        push_number(&mut out, segment.spans.len() as u64);
        for span in &segment.spans {
            push_span(&mut out, span);
        }
        push_number(&mut out, segment.log.len() as u64);
        out.extend_from_slice(&segment.log);
    }
    Ok(out)
}

fn push_span(out: &mut Vec<u8>, span: &SpanRecord) {
    out.extend_from_slice(&span.id.to_le_bytes());
    match span.parent {
        Parent::None => out.push(0),
        Parent::Index(index) => {
            out.push(1);
            push_number(out, index.into());
        }
        Parent::Id(id) => {
            out.push(2);
            out.extend_from_slice(&id.to_le_bytes());
        }
    }
    push_number(out, span.start);
    // 0 of one that is open.
    push_number(
        out,
        span.end
            .map_or(0, |end| end.saturating_sub(span.start).saturating_add(1)),
    );
    push_number(out, span.busy);
    push_number(out, span.callsite.into());
    out.push(span.kind as u8);
    out.push(span.outcome.map_or(0, |outcome| outcome.index() as u8 + 1));
    let flags = [
        span.is_own,
        span.is_error,
        span.has_error_event,
        span.is_continued,
    ];
    let flags = (0..).zip(flags).map(|(bit, flag)| u8::from(flag) << bit);
    out.push(flags.sum());
    out.extend_from_slice(&[span.values, span.events, span.links]);
}

/// Packs a callsite.
pub(super) fn encode_callsite(callsite: &Callsite) -> Vec<u8> {
    let mut out = vec![VERSION];
    let mut push = |text: &str| {
        push_number(&mut out, text.len() as u64);
        out.extend_from_slice(text.as_bytes());
    };
    for text in [&callsite.name, &callsite.target, &callsite.level] {
        push(text);
    }
    push(callsite.location.as_deref().unwrap_or_default());
    callsite.fields.iter().for_each(|field| push(field));
    out
}
