//! The values that spans carry, as bytes: entries of values, one after the other, in the order in which they came.
//!
//! Reading never fails: what is malformed, in a file that was damaged, is the end.

/// A value of an attribute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum SpanValue<'a> {
    Bool(bool),
    Int(i64),
    Unsigned(u64),
    Float(f64),
    Text(&'a str),
}

const FALSE: u8 = 0;
const TRUE: u8 = 1;
const INT: u8 = 2;
const UNSIGNED: u8 = 3;
const FLOAT: u8 = 4;
const TEXT: u8 = 5;

const ATTRIBUTES: u8 = 0;
const EVENT: u8 = 1;
const LINK: u8 = 2;

/// Appends a number in as few bytes as it needs.
#[inline]
pub(super) fn push_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends the value of a field.
#[inline]
pub(super) fn push_value(out: &mut Vec<u8>, field: u8, value: SpanValue<'_>) {
    out.push(field);
    match value {
        SpanValue::Bool(value) => out.push(if value { TRUE } else { FALSE }),
        SpanValue::Int(value) => {
            out.push(INT);
            // Small numbers of both signs in few bytes.
            push_number(out, ((value << 1) ^ (value >> 63)) as u64);
        }
        SpanValue::Unsigned(value) => {
            out.push(UNSIGNED);
            push_number(out, value);
        }
        SpanValue::Float(value) => {
            out.push(FLOAT);
            out.extend_from_slice(&value.to_le_bytes());
        }
        SpanValue::Text(text) => {
            out.push(TEXT);
            push_number(out, text.len() as u64);
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// Appends an entry with attributes of a span.
#[inline]
pub(super) fn push_attributes(out: &mut Vec<u8>, span: u32, values: &[u8]) {
    push_head(out, span, ATTRIBUTES, values.len());
    out.extend_from_slice(values);
}

/// Appends an event of a span. `at` is in nanoseconds.
pub(super) fn push_event(out: &mut Vec<u8>, span: u32, at: u64, callsite: u16, values: &[u8]) {
    let mut head = Vec::with_capacity(16);
    push_number(&mut head, at);
    push_number(&mut head, callsite.into());
    push_head(out, span, EVENT, head.len() + values.len());
    out.extend_from_slice(&head);
    out.extend_from_slice(values);
}

/// Appends a link of a span to another one.
pub(super) fn push_link(out: &mut Vec<u8>, span: u32, trace_id: u128, span_id: u64) {
    push_head(out, span, LINK, 24);
    out.extend_from_slice(&trace_id.to_le_bytes());
    out.extend_from_slice(&span_id.to_le_bytes());
}

#[inline]
fn push_head(out: &mut Vec<u8>, span: u32, kind: u8, len: usize) {
    push_number(out, span.into());
    out.push(kind);
    push_number(out, len as u64);
}

/// Bytes that are read from the front.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        let len = usize::try_from(self.number()?).ok()?;
        std::str::from_utf8(self.take(len)?).ok()
    }
}

/// The values of an entry, each with the index of its field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Values<'a>(pub(super) Bytes<'a>);

impl<'a> Iterator for Values<'a> {
    type Item = (u8, SpanValue<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = &mut self.0;
        let field = bytes.byte()?;
        let value = match bytes.byte()? {
            FALSE => SpanValue::Bool(false),
            TRUE => SpanValue::Bool(true),
            INT => {
                let number = bytes.number()?;
                SpanValue::Int((number >> 1) as i64 ^ -((number & 1) as i64))
            }
            UNSIGNED => SpanValue::Unsigned(bytes.number()?),
            FLOAT => SpanValue::Float(f64::from_le_bytes(bytes.array()?)),
            TEXT => SpanValue::Text(bytes.text()?),
            _ => return None,
        };
        Some((field, value))
    }
}

/// A part of what a span carries.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part<'a> {
    Attributes(Values<'a>),
    Event {
        /// Nanoseconds since the base of the segment.
        at: u64,
        callsite: u16,
        values: Values<'a>,
    },
    Link {
        trace_id: u128,
        span_id: u64,
    },
}

/// The entries in their order, each with the index of its span.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entries<'a>(Bytes<'a>);

impl<'a> Entries<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Entries(Bytes(bytes))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = (u32, Part<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = &mut self.0;
        let span = u32::try_from(bytes.number()?).ok()?;
        let kind = bytes.byte()?;
        let len = usize::try_from(bytes.number()?).ok()?;
        let mut body = Bytes(bytes.take(len)?);
        let part = match kind {
            ATTRIBUTES => Part::Attributes(Values(body)),
            EVENT => {
                let at = body.number()?;
                let callsite = u16::try_from(body.number()?).ok()?;
                let values = Values(body);
                Part::Event {
                    at,
                    callsite,
                    values,
                }
            }
            LINK => Part::Link {
                trace_id: u128::from_le_bytes(body.array()?),
                span_id: u64::from_le_bytes(body.array()?),
            },
            _ => return None,
        };
        Some((span, part))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn entries_come_out_as_they_went_in() {
        let values = [
            SpanValue::Bool(true),
            SpanValue::Bool(false),
            SpanValue::Int(-1),
            SpanValue::Int(i64::MIN),
            SpanValue::Unsigned(u64::MAX),
            SpanValue::Float(0.25),
            SpanValue::Text("päth"),
        ];
        let mut packed = Vec::new();
        for (field, value) in values.iter().enumerate() {
            push_value(&mut packed, field as u8, *value);
        }
        let mut log = Vec::new();
        push_attributes(&mut log, 7, &packed);
        push_event(&mut log, 300, 1_000_000, 4, &packed[..2]);
        push_link(&mut log, 0, u128::MAX - 1, 5);
        let mut entries = Entries::new(&log);
        let Some((7, Part::Attributes(read))) = entries.next() else {
            panic!("attributes come first")
        };
        let read: Vec<_> = read.map(|(_, value)| value).collect();
        assert_eq!(read, values);
        let Some((
            300,
            Part::Event {
                at,
                callsite,
                values,
            },
        )) = entries.next()
        else {
            panic!("then the event")
        };
        assert_eq!((at, callsite, values.count()), (1_000_000, 4, 1));
        let Some((0, Part::Link { trace_id, span_id })) = entries.next() else {
            panic!("then the link")
        };
        assert_eq!((trace_id, span_id), (u128::MAX - 1, 5));
        assert!(entries.next().is_none());
    }

    proptest! {
        #[test]
        fn entries_of_any_bytes_come_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let read = Entries::new(&bytes).map(|(_, part)| match part {
                Part::Attributes(values) | Part::Event { values, .. } => values.count(),
                Part::Link { .. } => 0,
            });
            prop_assert!(read.sum::<usize>() <= bytes.len());
        }
    }
}
