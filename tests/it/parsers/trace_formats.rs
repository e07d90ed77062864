//! The invariants of the trace formats of others: Zipkin's B3 and AWS X-Ray.

use http::{HeaderMap, HeaderValue, Request};
use tokio::time::Instant;
use tower_keep::{
    call::CallClock,
    context::{Context, Correlate, Propagate, TraceFormat},
    guard::Admit,
};

use super::invariants::values;

/// Returns the trace that a request names, in text: trace ID, caller's span, decision to sample.
#[derive(Debug, Default, PartialEq)]
struct Told {
    trace: Option<String>,
    parent: Option<String>,
    sampled: Option<bool>,
}

/// One line, one header `b3`.
pub fn b3(bytes: &[u8]) {
    let values = values(bytes);
    let expected = match &values[..] {
        [only] => single_b3(only).unwrap_or_default(),
        _ => Told::default(),
    };
    let sent = values.into_iter().map(|value| ("b3", value));
    check_trace(TraceFormat::B3, sent.collect(), expected);
}

fn single_b3(value: &HeaderValue) -> Option<Told> {
    let fields: Vec<_> = value.to_str().ok()?.trim_ascii().split('-').collect();
    let (trace, span, state) = match fields[..] {
        [state] => {
            let sampled = Some(b3_state(state)?);
            return Some(Told {
                sampled,
                ..Told::default()
            });
        }
        [trace, span] => (trace, span, None),
        [trace, span, parent] if is_hex_id(parent, 16) => (trace, span, None),
        [trace, span, state] => (trace, span, Some(state)),
        [trace, span, state, parent] if is_hex_id(parent, 16) => (trace, span, Some(state)),
        _ => return None,
    };
    b3_span(trace, span, state.map(b3_state))
}

fn b3_span(trace: &str, span: &str, sampled: Option<Option<bool>>) -> Option<Told> {
    let good = (is_hex_id(trace, 16) || is_hex_id(trace, 32)) && is_hex_id(span, 16);
    let sampled = match sampled {
        Some(state) => Some(state?),
        None => None,
    };
    good.then(|| Told {
        trace: Some(format!("{trace:0>32}")),
        parent: Some(span.to_owned()),
        sampled,
    })
}

fn b3_state(state: &str) -> Option<bool> {
    ["0", "1", "d"].contains(&state).then_some(state != "0")
}

fn is_hex_id(text: &str, digits: usize) -> bool {
    let hex = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == digits && text.bytes().all(hex) && text.bytes().any(|byte| byte != b'0')
}

/// Up to five lines: the headers `x-b3-traceid`, `x-b3-spanid`, `x-b3-sampled`, `x-b3-flags` and `x-b3-parentspanid`,
/// those that are empty left out.
pub fn b3_multi(bytes: &[u8]) {
    const NAMES: [&str; 5] = [
        "x-b3-traceid",
        "x-b3-spanid",
        "x-b3-sampled",
        "x-b3-flags",
        "x-b3-parentspanid",
    ];
    let lines = NAMES.into_iter().zip(bytes.split(|b| *b == b'\n'));
    let lines = lines.filter(|(_, line)| !line.is_empty());
    let sent: Vec<_> = lines
        .filter_map(|(name, line)| Some((name, HeaderValue::from_bytes(line).ok()?)))
        .collect();
    let value = |name| {
        let found = sent.iter().find(|(found, _)| *found == name);
        // Text or not, it must differ from none.
        found.map(|(_, value)| value.to_str().unwrap_or("?").trim_ascii())
    };
    let state = match (value("x-b3-flags"), value("x-b3-sampled")) {
        (Some("1"), _) => Some(Some(true)),
        (_, sampled) => sampled.map(|sampled| match sampled {
            "1" | "true" => Some(true),
            "0" | "false" => Some(false),
            _ => None,
        }),
    };
    let expected = match (value("x-b3-traceid"), value("x-b3-spanid")) {
        (None, None) => Some(Told {
            sampled: state.flatten(),
            ..Told::default()
        }),
        (trace, span) => b3_span(trace.unwrap_or("?"), span.unwrap_or("?"), state),
    };
    check_trace(
        TraceFormat::B3Multi,
        sent.clone(),
        expected.unwrap_or_default(),
    );
}

/// One line, one header `x-amzn-trace-id`.
pub fn x_ray(bytes: &[u8]) {
    let values = values(bytes);
    let expected = match &values[..] {
        [only] if only.len() <= 7 * 1024 => amazon(only.as_bytes()).unwrap_or_default(),
        _ => Told::default(),
    };
    let sent = values.into_iter().map(|value| ("x-amzn-trace-id", value));
    check_trace(TraceFormat::XRay, sent.collect(), expected);
}

fn amazon(bytes: &[u8]) -> Option<Told> {
    // Bytes that are no text stand in no field that counts.
    let text = String::from_utf8_lossy(bytes);
    let fields: Vec<_> = text
        .split(';')
        .filter_map(|field| field.trim_ascii().split_once('='))
        .collect();
    let all = |name| fields.iter().filter(move |(found, _)| *found == name);
    let only = |name| match all(name).collect::<Vec<_>>()[..] {
        [] => Some(None),
        [(_, value)] => Some(Some(*value)),
        _ => None,
    };
    let (root, parent) = (only("Root")?, only("Parent")?);
    let sampled = all("Sampled").next_back().map(|(_, value)| *value);
    if parent.is_some_and(|parent| !is_hex_id(parent, 16)) {
        return None;
    }
    let root: Vec<_> = root?.split('-').collect();
    let ["1", time, random] = root[..] else {
        return None;
    };
    let trace = format!("{time}{random}");
    (time.len() == 8 && is_hex_id(&trace, 32)).then(|| Told {
        trace: Some(trace),
        parent: parent.map(str::to_owned),
        sampled: match sampled {
            Some("0") => Some(false),
            Some("1") => Some(true),
            _ => None,
        },
    })
}

/// Reads what the headers say, and reads the same trace from what is then sent.
fn check_trace(format: TraceFormat, sent: Vec<(&'static str, HeaderValue)>, expected: Told) {
    let mut headers = HeaderMap::new();
    for (name, value) in sent {
        headers.append(name, value);
    }
    let read = [true, false].map(|sample_new| read_trace(format, sample_new, &headers));
    let [call, otherwise] = &read;
    let sampled = [call, otherwise].map(|call| call.trace_flags().is_sampled());
    let text = |call: &Context| call.trace_id().to_string();
    let is_known = text(call) == text(otherwise);
    let told = Told {
        trace: is_known.then(|| text(call)),
        parent: call.parent_id().map(|id| id.to_string()),
        sampled: (sampled[0] == sampled[1]).then_some(sampled[0]),
    };
    assert_eq!(told, expected);

    let mut request = Request::new(());
    request.extensions_mut().insert(call.clone());
    *request.headers_mut() = headers;
    let propagate = Propagate::builder().trace_formats([format]).build();
    let moment = CallClock::at(Instant::now());
    let next = propagate.expect("settings").admit(&mut request, &moment);
    let next = next.expect("never rejected").expect("a context");
    let again = read_trace(format, !sampled[0], request.headers());
    assert_eq!(again.trace_id(), call.trace_id());
    assert_eq!(again.parent_id(), Some(next.span_id()));
    assert_eq!(again.trace_flags().is_sampled(), sampled[0]);
}

fn read_trace(format: TraceFormat, sample_new: bool, headers: &HeaderMap) -> Context {
    let mut request = Request::new(());
    *request.headers_mut() = headers.clone();
    let correlate = Correlate::builder()
        .trace_formats([format])
        .sample_new_traces(sample_new)
        .build();
    let moment = CallClock::at(Instant::now());
    let admitted = correlate.expect("settings").admit(&mut request, &moment);
    admitted.expect("never rejected");
    let call = request.extensions().get::<Context>();
    call.expect("a context").clone()
}
