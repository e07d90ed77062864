//! The header of AWS X-Ray, as specified by
//! <https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader>.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{RemoteTrace, Sampling};
use crate::context::{SpanId, TraceId, trace_context::TraceContext};

const NAME: &str = "x-amzn-trace-id";
const HEADER: HeaderName = HeaderName::from_static(NAME);
const ROOT: &[u8] = b"Root=";
/// Most bytes that are read: load balancers replace longer headers.
const MAX_LEN: usize = 7_168;

pub(super) fn read(headers: &HeaderMap) -> Result<Option<RemoteTrace>, &'static str> {
    let mut values = headers.get_all(HEADER).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) if value.len() <= MAX_LEN => parse(value.as_bytes()),
        // Repeated, or too long.
        _ => Err(NAME),
    }
}

/// Parses `Root=1-{8 digits}-{24 digits};Parent={16 digits};Sampled={0 or 1}` in any order, among fields of other names.
/// A header without a `Root` has no trace.
fn parse(value: &[u8]) -> Result<Option<RemoteTrace>, &'static str> {
    let (mut trace_id, mut parent_id, mut sampling) = (None, None, Sampling::Deferred);
    for field in fields(value) {
        if let Some(root) = field.strip_prefix(ROOT) {
            set_once(&mut trace_id, parse_root(root))?;
        } else if let Some(parent) = field.strip_prefix(b"Parent=") {
            set_once(&mut parent_id, SpanId::from_hex(parent))?;
        } else if let Some(sampled) = field.strip_prefix(b"Sampled=") {
            sampling = match sampled {
                b"0" => Sampling::Denied,
                b"1" => Sampling::Accepted,
                // `?` asks the receiver to decide.
                _ => Sampling::Deferred,
            };
        }
    }
    Ok(trace_id.map(|trace_id| RemoteTrace {
        trace_id: Some(trace_id),
        parent_id,
        is_random: false,
        sampling,
    }))
}

fn fields(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii)
}

/// Stores a value that may come only once.
fn set_once<T>(slot: &mut Option<T>, value: Option<T>) -> Result<(), &'static str> {
    match (slot.is_some(), value) {
        (false, Some(value)) => {
            *slot = Some(value);
            Ok(())
        }
        _ => Err(NAME),
    }
}

/// Parses `1-{8 digits}-{24 digits}`, together the digits of a trace ID.
fn parse_root(root: &[u8]) -> Option<TraceId> {
    let (time, random) = root.strip_prefix(b"1-")?.split_first_chunk::<8>()?;
    let random: &[u8; 24] = random.strip_prefix(b"-")?.try_into().ok()?;
    let mut digits = [0; 32];
    digits[..8].copy_from_slice(time);
    digits[8..].copy_from_slice(random);
    TraceId::from_hex(&digits)
}

/// Returns the first `Root=..` field of the header, if it is well formed: for services that use it as a request ID.
pub(crate) fn root_field<'a>(name: &HeaderName, value: &'a HeaderValue) -> Option<&'a str> {
    if *name != HEADER || value.len() > MAX_LEN {
        return None;
    }
    let mut roots = fields(value.as_bytes()).filter(|field| field.starts_with(ROOT));
    let root = roots.next()?;
    // Checked only: the request ID is the field as it came.
    parse_root(&root[ROOT.len()..])?;
    str::from_utf8(root).ok()
}

pub(super) fn write(trace: &TraceContext, headers: &mut HeaderMap) {
    let mut value = *b"Root=1-00000000-000000000000000000000000;Parent=0000000000000000;Sampled=0";
    let digits = trace.trace_id.to_hex();
    // The offsets are those of the digits above. A dash follows the first eight of the trace ID.
    value[7..15].copy_from_slice(&digits[..8]);
    value[16..40].copy_from_slice(&digits[8..]);
    value[48..64].copy_from_slice(&trace.span_id.to_hex());
    if trace.flags.is_sampled() {
        value[73] = b'1';
    }
    let value = HeaderValue::from_bytes(&value).expect("ASCII fits a header");
    headers.insert(HEADER, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT_ID: &str = "1-67891233-abcdef012345678912345678";
    const PARENT: &str = "53995c3f42cd8ad8";

    /// With `{R}` for a good root and `{P}` for a good parent.
    fn filled(text: &str) -> String {
        text.replace("{R}", ROOT_ID).replace("{P}", PARENT)
    }

    fn parsed(text: &str) -> Result<Option<RemoteTrace>, &'static str> {
        parse(filled(text).as_bytes())
    }

    fn known(parent: Option<&str>, sampling: Sampling) -> RemoteTrace {
        RemoteTrace {
            trace_id: TraceId::from_hex(b"67891233abcdef012345678912345678"),
            parent_id: parent.and_then(|parent| SpanId::from_hex(parent.as_bytes())),
            is_random: false,
            sampling,
        }
    }

    #[test]
    fn x_ray_fields_are_read_in_any_order_and_others_are_ignored() {
        let table = [
            ("Root={R}", None, Sampling::Deferred),
            ("Root={R};Sampled=1", None, Sampling::Accepted),
            ("Root={R};Sampled=?", None, Sampling::Deferred),
            (
                "Root={R};Parent={P};Sampled=0",
                Some(PARENT),
                Sampling::Denied,
            ),
            (
                "Sampled=1 ; Parent={P}; Root={R};Lineage=a:0;",
                Some(PARENT),
                Sampling::Accepted,
            ),
            // As in the documentation of load balancers.
            (
                "Self=1-67891234-12456789abcdef012345678;Root={R};CalledFrom=app",
                None,
                Sampling::Deferred,
            ),
        ];
        for (text, parent, sampling) in table {
            assert_eq!(parsed(text), Ok(Some(known(parent, sampling))), "{text}");
        }
    }

    #[test]
    fn x_ray_header_without_a_root_has_no_trace() {
        for text in ["", ";", "Self={R}", "Parent={P};Sampled=1", "root={R}"] {
            assert_eq!(parsed(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn x_ray_header_that_is_malformed_is_rejected() {
        let table = [
            "Root=",
            "Root=1",
            "Root=2-67891233-abcdef012345678912345678",
            "Root=1-67891233abcdef012345678912345678",
            "Root=1-67891233-abcdef01234567891234567",
            "Root=1-67891233-abcdef0123456789123456789",
            "Root=1-67891233.abcdef012345678912345678",
            "Root=1-6789123Z-abcdef012345678912345678",
            "Root=1-00000000-000000000000000000000000",
            "Root={R};Root={R}",
            "Root={R};Parent=",
            "Root={R};Parent=0000000000000000",
            "Root={R};Parent={P}0",
            "Root={R};Parent={P};Parent={P}",
        ];
        for text in table {
            assert_eq!(parsed(text), Err(NAME), "{text}");
        }
    }

    fn headers(values: &[String]) -> HeaderMap {
        let value = |text: &String| HeaderValue::from_str(text).expect("a value");
        values.iter().map(|text| (HEADER, value(text))).collect()
    }

    #[test]
    fn x_ray_header_is_bounded_and_not_repeated() {
        let root = filled("Root={R}");
        let longest = format!("{root};{}", "x".repeat(MAX_LEN - root.len() - 1));
        let good = Ok(Some(known(None, Sampling::Deferred)));
        assert_eq!(read(&headers(&[])), Ok(None));
        assert_eq!(read(&headers(std::slice::from_ref(&longest))), good);
        assert_eq!(read(&headers(&[longest + "x"])), Err(NAME));
        assert_eq!(read(&headers(&[root.clone(), root])), Err(NAME));
    }

    #[test]
    fn x_ray_root_is_found_among_other_fields() {
        let root = filled("Root={R}");
        let longest = format!("{root};{}", "x".repeat(MAX_LEN - root.len() - 1));
        let too_long = format!("{longest}x");
        let table = [
            ("Self={R};Root={R}", Some(&*root)),
            ("A=1; Root={R} ;B=2", Some(&*root)),
            (&longest, Some(&*root)),
            (&too_long, None),
            ("Self={R}", None),
            ("Self={R};Root=1-2-3", None),
        ];
        for (text, expected) in table {
            let value = HeaderValue::from_str(&filled(text)).expect("a value");
            assert_eq!(root_field(&HEADER, &value), expected, "{text}");
            let other = HeaderName::from_static("x-request-id");
            assert_eq!(root_field(&other, &value), None);
        }
    }

    #[test]
    fn x_ray_header_is_read_as_it_was_written() {
        for sampled in [true, false] {
            let trace = TraceContext::new_root(sampled);
            let mut headers = headers(&[filled("Root={R}")]);
            write(&trace, &mut headers);
            let read = read(&headers).expect("well formed").expect("a trace");
            assert_eq!(read.trace_id, Some(trace.trace_id));
            assert_eq!(read.parent_id, Some(trace.span_id));
            assert_eq!(read.sampling.decision(), Some(sampled));
        }
    }
}
