//! The headers of B3, as specified by <https://github.com/openzipkin/b3-propagation> and
//! [OpenTelemetry's requirements](https://opentelemetry.io/docs/specs/otel/context/api-propagators/#b3-requirements).

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{RemoteTrace, Sampling};
use crate::context::{SpanId, TraceId, trace_context::TraceContext};

const SINGLE: HeaderName = HeaderName::from_static("b3");
const TRACE_ID: HeaderName = HeaderName::from_static("x-b3-traceid");
const SPAN_ID: HeaderName = HeaderName::from_static("x-b3-spanid");
const SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
const FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");

/// Reads the single header; without it, the several ones.
pub(super) fn read(headers: &HeaderMap) -> Result<Option<RemoteTrace>, &'static str> {
    let mut values = headers.get_all(SINGLE).iter();
    match (values.next(), values.next()) {
        (None, _) => read_multi(headers),
        (Some(value), None) => match parse(value.as_bytes().trim_ascii()) {
            Some(read) => Ok(Some(read)),
            None => Err("b3"),
        },
        // Repeated: none of them is known to be the right one.
        (Some(_), Some(_)) => Err("b3"),
    }
}

/// Parses `{TraceId}-{SpanId}-{SamplingState}-{ParentSpanId}`, the last two of which are optional, or a sampling state alone.
fn parse(value: &[u8]) -> Option<RemoteTrace> {
    let mut fields = value.split(|byte| *byte == b'-');
    let first = fields.next()?;
    let Some(span_id) = fields.next() else {
        return Some(without_ids(parse_sampling(first)?));
    };
    let trace_id = parse_trace_id(first)?;
    let span_id = SpanId::from_hex(span_id)?;
    // Both of the last two fields may be missing. Only the sampling state is a single character.
    let mut next = fields.next();
    let sampling = match next {
        Some(field) if field.len() == 1 => {
            next = fields.next();
            parse_sampling(field)?
        }
        _ => Sampling::Deferred,
    };
    // The caller's parent is not used, but must be valid.
    if let Some(field) = next {
        SpanId::from_hex(field)?;
    }
    let read = with_ids(trace_id, span_id, sampling);
    fields.next().is_none().then_some(read)
}

/// Reads the several headers. The first of a repeated header counts, as the specification says.
fn read_multi(headers: &HeaderMap) -> Result<Option<RemoteTrace>, &'static str> {
    let value = |name: HeaderName| Some(headers.get(name)?.as_bytes().trim_ascii());
    let sampling = match (value(FLAGS), value(SAMPLED)) {
        // Debug implies accepted, whatever `x-b3-sampled` says.
        (Some(b"1"), _) => Sampling::Debug,
        (_, None) => Sampling::Deferred,
        // `true` and `false` were written before there was a specification.
        (_, Some(b"1" | b"true")) => Sampling::Accepted,
        (_, Some(b"0" | b"false")) => Sampling::Denied,
        (_, Some(_)) => return Err("x-b3-sampled"),
    };
    match (value(TRACE_ID), value(SPAN_ID)) {
        // Neither IDs nor a decision: the request has no B3.
        (None, None) if sampling == Sampling::Deferred => Ok(None),
        (None, None) => Ok(Some(without_ids(sampling))),
        // One without the other is malformed.
        (trace, own) => {
            let trace_id = trace.and_then(parse_trace_id).ok_or("x-b3-traceid")?;
            let span_id = own.and_then(SpanId::from_hex).ok_or("x-b3-spanid")?;
            Ok(Some(with_ids(trace_id, span_id, sampling)))
        }
    }
}

/// Reads 32 digits, or 16 digits as the lower half of an ID.
fn parse_trace_id(digits: &[u8]) -> Option<TraceId> {
    let Ok(half) = <&[u8; 16]>::try_from(digits) else {
        return TraceId::from_hex(digits);
    };
    let mut padded = [b'0'; 32];
    padded[16..].copy_from_slice(half);
    TraceId::from_hex(&padded)
}

fn parse_sampling(field: &[u8]) -> Option<Sampling> {
    match field {
        b"0" => Some(Sampling::Denied),
        b"1" => Some(Sampling::Accepted),
        b"d" => Some(Sampling::Debug),
        _ => None,
    }
}

fn without_ids(sampling: Sampling) -> RemoteTrace {
    RemoteTrace {
        trace_id: None,
        parent_id: None,
        is_random: false,
        sampling,
    }
}

fn with_ids(trace_id: TraceId, span_id: SpanId, sampling: Sampling) -> RemoteTrace {
    RemoteTrace {
        trace_id: Some(trace_id),
        parent_id: Some(span_id),
        // B3 does not say how the ID was made.
        is_random: false,
        sampling,
    }
}

pub(super) fn write_single(trace: &TraceContext, headers: &mut HeaderMap) {
    let mut value = *b"00000000000000000000000000000000-0000000000000000-0";
    // The offsets are those of the digits above.
    value[..32].copy_from_slice(&trace.trace_id.to_hex());
    value[33..49].copy_from_slice(&trace.span_id.to_hex());
    value[50] = match (trace.is_debug, trace.flags.is_sampled()) {
        (true, _) => b'd',
        (false, true) => b'1',
        (false, false) => b'0',
    };
    headers.insert(SINGLE, ascii(&value));
}

pub(super) fn write_multi(trace: &TraceContext, headers: &mut HeaderMap) {
    headers.insert(TRACE_ID, ascii(&trace.trace_id.to_hex()));
    headers.insert(SPAN_ID, ascii(&trace.span_id.to_hex()));
    // Debug implies accepted; only one of them is sent.
    let (name, value) = match (trace.is_debug, trace.flags.is_sampled()) {
        (true, _) => (FLAGS, "1"),
        (false, true) => (SAMPLED, "1"),
        (false, false) => (SAMPLED, "0"),
    };
    headers.insert(name, HeaderValue::from_static(value));
}

fn ascii(value: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(value).expect("hex digits and dashes fit a header")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
    const SPAN: &str = "e457b5a2e4d86bd1";
    const PARENT: &str = "05e3ac9a4f6e3b90";

    fn known(sampling: Sampling) -> RemoteTrace {
        let trace_id = TraceId::from_hex(TRACE.as_bytes());
        let span_id = SpanId::from_hex(SPAN.as_bytes());
        with_ids(trace_id.expect("an ID"), span_id.expect("an ID"), sampling)
    }

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn b3_single_header_has_trace_span_and_decision() {
        let table = [
            (String::new(), Sampling::Deferred),
            ("-0".to_owned(), Sampling::Denied),
            ("-1".to_owned(), Sampling::Accepted),
            ("-d".to_owned(), Sampling::Debug),
            (format!("-1-{PARENT}"), Sampling::Accepted),
            // Written by tracers that defer and have a parent.
            (format!("-{PARENT}"), Sampling::Deferred),
        ];
        for (rest, sampling) in table {
            let text = format!("{TRACE}-{SPAN}{rest}");
            assert_eq!(parse(text.as_bytes()), Some(known(sampling)), "{text}");
        }
        for (text, sampling) in [
            ("0", Sampling::Denied),
            ("1", Sampling::Accepted),
            ("d", Sampling::Debug),
        ] {
            assert_eq!(
                parse(text.as_bytes()),
                Some(without_ids(sampling)),
                "{text}"
            );
        }
    }

    #[test]
    fn b3_single_header_that_is_malformed_is_rejected() {
        let table = [
            "",
            "-",
            "2",
            "true",
            "T",
            "T-",
            "T-S-",
            "T-S-2",
            "T-S-1-",
            "T-S-1-P-",
            "T-S-1-P-1",
            "T-S-P-1",
            "T-S-11",
            "T-S-1-000000000000000",
            "T-00000000000000000",
            "T-0000000000000000-1",
            "00000000000000000000000000000000-S-1",
            "0000000000000000-S-1",
            "80F198ee56343ba864fe8b2a57d3eff7-S-1",
            "0f198ee56343ba864fe8b2a57d3eff7-S-1",
            "S-E457b5a2e4d86bd1-1",
        ];
        for text in table {
            let text = text.replace('T', TRACE).replace('S', SPAN);
            let text = text.replace('P', PARENT);
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        let twice = headers(&[("b3", "1"), ("b3", "1")]);
        assert_eq!(read(&twice), Err("b3"));
        assert_eq!(read(&headers(&[("b3", "?")])), Err("b3"));
    }

    #[test]
    fn b3_trace_id_of_64_bits_is_padded_on_the_left() {
        let read = parse(format!("{SPAN}-{SPAN}").as_bytes()).expect("well formed");
        let id = read.trace_id.expect("an ID").to_string();
        assert_eq!(id, format!("{:0>32}", SPAN));
    }

    #[test]
    fn b3_multi_headers_read_like_the_single_one() {
        let ids = [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)];
        let table: [(&[(&str, &str)], Sampling); 8] = [
            (&[], Sampling::Deferred),
            (&[("x-b3-sampled", "0")], Sampling::Denied),
            (&[("x-b3-sampled", "1")], Sampling::Accepted),
            (&[("x-b3-sampled", "false")], Sampling::Denied),
            (&[("x-b3-sampled", " true\t")], Sampling::Accepted),
            (&[("x-b3-flags", "1")], Sampling::Debug),
            (
                &[("x-b3-flags", "1"), ("x-b3-sampled", "0")],
                Sampling::Debug,
            ),
            (
                &[("x-b3-flags", "0"), ("x-b3-sampled", "1")],
                Sampling::Accepted,
            ),
        ];
        for (more, sampling) in table {
            let both = headers(&[&ids, more].concat());
            assert_eq!(read(&both), Ok(Some(known(sampling))), "{more:?}");
            let alone = Some(without_ids(sampling)).filter(|_| sampling != Sampling::Deferred);
            assert_eq!(read(&headers(more)), Ok(alone), "{more:?}");
        }
        let parent = headers(&[("x-b3-parentspanid", PARENT)]);
        assert_eq!(read(&parent), Ok(None));
    }

    #[test]
    fn b3_single_header_counts_first_then_the_first_of_repeated_ones() {
        let lines = headers(&[("b3", "0"), ("x-b3-sampled", "1")]);
        assert_eq!(read(&lines), Ok(Some(without_ids(Sampling::Denied))));
        let lines = headers(&[("x-b3-sampled", "1"), ("x-b3-sampled", "0")]);
        assert_eq!(read(&lines), Ok(Some(without_ids(Sampling::Accepted))));
    }

    #[test]
    fn b3_header_that_is_missing_or_bad_is_named() {
        let table: [(&[(&str, &str)], &str); 6] = [
            (&[("x-b3-traceid", TRACE)], "x-b3-spanid"),
            (&[("x-b3-spanid", SPAN)], "x-b3-traceid"),
            (
                &[("x-b3-traceid", "-"), ("x-b3-spanid", SPAN)],
                "x-b3-traceid",
            ),
            (
                &[("x-b3-traceid", TRACE), ("x-b3-spanid", TRACE)],
                "x-b3-spanid",
            ),
            (&[("x-b3-sampled", "")], "x-b3-sampled"),
            (&[("x-b3-sampled", "d")], "x-b3-sampled"),
        ];
        for (lines, bad) in table {
            assert_eq!(read(&headers(lines)), Err(bad), "{lines:?}");
        }
    }

    #[test]
    fn b3_headers_are_read_as_they_were_written() {
        for sampling in [Sampling::Denied, Sampling::Accepted, Sampling::Debug] {
            let is_debug = sampling == Sampling::Debug;
            let trace = TraceContext {
                is_debug,
                ..TraceContext::new_root(sampling != Sampling::Denied)
            };
            let expected = Ok(Some(with_ids(trace.trace_id, trace.span_id, sampling)));
            for write in [write_single, write_multi] {
                let mut headers = HeaderMap::new();
                write(&trace, &mut headers);
                assert_eq!(read(&headers), expected);
                let both = headers.contains_key(FLAGS) && headers.contains_key(SAMPLED);
                assert!(!both, "debug implies accepted");
            }
        }
    }
}
