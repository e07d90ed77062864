//! Reads and writes trace contexts in the formats of several systems.

mod b3;
mod remote_trace;
mod sampling;
mod x_ray;

use http::{HeaderMap, HeaderName};

use super::{Traceparent, Tracestate, trace_context::TraceContext};
use crate::util::headers::set_or_remove_header;

pub(super) use remote_trace::RemoteTrace;
pub(super) use sampling::Sampling;
pub(super) use x_ray::root_field;

/// A header format of trace contexts.
///
/// Reading is strict and never allocates: IDs are lower-case hex, and not all zeros. A malformed header is counted and
/// ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TraceFormat {
    /// `traceparent` and `tracestate`, as the [W3C](https://www.w3.org/TR/trace-context-2/) specifies them. The default.
    W3c,
    /// [Zipkin's](https://github.com/openzipkin/b3-propagation) single header `b3`.
    ///
    /// Reads `x-b3-*` as well where there is no `b3`, as OpenTelemetry asks for. A trace ID of 64 bits is padded with zeros
    /// on the left. Each hop has a span ID of its own, and `x-b3-parentspanid` is never sent. A debug trace stays one.
    B3,
    /// Zipkin's several headers: `x-b3-traceid`, `x-b3-spanid` and `x-b3-sampled` or `x-b3-flags`. Reads what [`B3`](Self::B3)
    /// does.
    B3Multi,
    /// The header `x-amzn-trace-id` of
    /// [AWS X-Ray](https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader) and of
    /// [load balancers](https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-request-tracing.html).
    ///
    /// Reads `Root`, `Parent` and `Sampled` in any order, and ignores other fields. Load balancers send no `Parent`: the
    /// trace goes on without one. The first eight digits of a trace ID are a time for AWS; those of a trace that begins here
    /// are random.
    XRay,
}

impl TraceFormat {
    const ALL: [TraceFormat; 4] = [
        TraceFormat::W3c,
        TraceFormat::B3,
        TraceFormat::B3Multi,
        TraceFormat::XRay,
    ];

    /// Reads the trace that a request carries in this format; `Ok(None)` if it has none.
    ///
    /// # Errors
    ///
    /// The name of the malformed header.
    pub(super) fn read(self, headers: &HeaderMap) -> Result<Option<RemoteTrace>, &'static str> {
        match self {
            TraceFormat::W3c => Traceparent::from_headers(headers)
                .map(|read| read.map(RemoteTrace::from))
                // The name becomes a label. What a peer has sent never does.
                .map_err(|malformed| malformed.header()),
            TraceFormat::B3 | TraceFormat::B3Multi => b3::read(headers),
            TraceFormat::XRay => x_ray::read(headers),
        }
    }

    /// Writes the span of an outgoing request.
    pub(super) fn write(self, trace: &TraceContext, headers: &mut HeaderMap) {
        match self {
            TraceFormat::W3c => {
                headers.insert(Traceparent::HEADER, trace.traceparent().to_header_value());
                let state = trace.tracestate.as_deref();
                let state = state.and_then(Tracestate::to_header_value);
                set_or_remove_header(headers, &Tracestate::HEADER, state);
            }
            TraceFormat::B3 => b3::write_single(trace, headers),
            TraceFormat::B3Multi => b3::write_multi(trace, headers),
            TraceFormat::XRay => x_ray::write(trace, headers),
        }
    }

    /// Returns the header that a message in this format always has.
    fn main_header(self) -> &'static str {
        match self {
            TraceFormat::W3c => "traceparent",
            TraceFormat::B3 => "b3",
            TraceFormat::B3Multi => "x-b3-traceid",
            TraceFormat::XRay => "x-amzn-trace-id",
        }
    }

    /// Returns the names of the format's headers, and of others that its receivers read.
    pub(super) fn header_names(self) -> &'static [&'static str] {
        match self {
            TraceFormat::W3c => &["traceparent", "tracestate"],
            TraceFormat::B3 | TraceFormat::B3Multi => &[
                "b3",
                "x-b3-traceid",
                "x-b3-spanid",
                "x-b3-sampled",
                "x-b3-flags",
                "x-b3-parentspanid",
            ],
            TraceFormat::XRay => &["x-amzn-trace-id"],
        }
    }
}

/// Writes `new` into those headers that carry the span `old`, in whatever format, and leaves others alone.
pub(super) fn replace_span(old: &TraceContext, new: &TraceContext, headers: &mut HeaderMap) {
    for format in TraceFormat::ALL {
        if !headers.contains_key(format.main_header()) {
            continue;
        }
        let read = format.read(headers).ok().flatten();
        if read.is_some_and(|read| {
            (read.trace_id, read.parent_id) == (Some(old.trace_id), Some(old.span_id))
        }) {
            format.write(new, headers);
        }
    }
}

/// Returns the headers to remove before the formats are written, since copied ones would contradict them. Those of the W3C
/// are always removed or replaced.
pub(super) fn stale_headers(formats: &[TraceFormat]) -> Vec<HeaderName> {
    let unsent_w3c = Some(TraceFormat::W3c).filter(|format| !formats.contains(format));
    // Writing replaces both headers of the W3C.
    let others = formats
        .iter()
        .copied()
        .filter(|format| *format != TraceFormat::W3c);
    let stale = unsent_w3c.into_iter().chain(others);
    let names = stale.flat_map(TraceFormat::header_names);
    names.map(|name| HeaderName::from_static(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [TraceFormat; 4] = TraceFormat::ALL;

    #[test]
    fn trace_formats_read_what_they_write_and_no_other() {
        let trace = TraceContext::new_root(true);
        for writes in ALL {
            let mut headers = HeaderMap::new();
            writes.write(&trace, &mut headers);
            assert!(
                headers
                    .keys()
                    .all(|name| writes.header_names().contains(&name.as_str()))
            );
            for reads in ALL {
                let read = reads.read(&headers).expect("well formed");
                let ids = read.map(|read| (read.trace_id, read.parent_id));
                let own = (Some(trace.trace_id), Some(trace.span_id));
                let is_known = reads.header_names() == writes.header_names();
                assert_eq!(ids, is_known.then_some(own), "{writes:?} by {reads:?}");
            }
        }
    }

    #[test]
    fn trace_format_error_names_the_malformed_header() {
        for (format, name) in [
            (TraceFormat::W3c, "traceparent"),
            (TraceFormat::B3, "b3"),
            (TraceFormat::B3Multi, "x-b3-sampled"),
            (TraceFormat::XRay, "x-amzn-trace-id"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, http::HeaderValue::from_static("Root=?"));
            assert_eq!(format.read(&headers), Err(name));
        }
    }

    #[test]
    fn replaced_span_is_written_in_every_format_that_carries_the_old_one() {
        let (old, new) = (TraceContext::new_root(true), TraceContext::new_root(false));
        for format in ALL {
            let (mut headers, mut expected) = (HeaderMap::new(), HeaderMap::new());
            format.write(&old, &mut headers);
            format.write(&new, &mut expected);
            replace_span(&old, &new, &mut headers);
            assert_eq!(headers, expected, "{format:?}");
        }
    }

    #[test]
    fn replaced_span_leaves_headers_of_other_spans_alone() {
        let [old, new, other] = [(); 3].map(|()| TraceContext::new_root(true));
        let mut headers = HeaderMap::new();
        TraceFormat::W3c.write(&other, &mut headers);
        TraceFormat::B3.write(&old, &mut headers);
        headers.insert("x-amzn-trace-id", http::HeaderValue::from_static("Root=?"));
        let mut expected = headers.clone();
        TraceFormat::B3.write(&new, &mut expected);
        replace_span(&old, &new, &mut headers);
        assert_eq!(headers, expected);
    }

    #[test]
    fn stale_headers_are_those_that_writing_does_not_replace() {
        let w3c = ["traceparent", "tracestate"];
        let zipkin = TraceFormat::B3.header_names();
        let amazon = ["x-amzn-trace-id"];
        let table: [(&[TraceFormat], &[&[&str]]); 5] = [
            (&[TraceFormat::W3c], &[]),
            (&[], &[&w3c]),
            (&[TraceFormat::B3Multi], &[&w3c, zipkin]),
            (&[TraceFormat::XRay, TraceFormat::W3c], &[&amazon]),
            (
                &[TraceFormat::B3, TraceFormat::XRay],
                &[&w3c, zipkin, &amazon],
            ),
        ];
        for (formats, expected) in table {
            assert_eq!(stale_headers(formats), expected.concat(), "{formats:?}");
        }
    }
}
