//! One invariant for each parser, for any bytes that a stranger may send. It panics where it is broken.
//!
//! The fuzz package (`fuzz/`) runs the same functions; they use the public API only.

use std::{
    collections::HashSet,
    sync::LazyLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version, header};
use httpdate::fmt_http_date;
use tokio::time::Instant;
use tower_keep::{
    call::CallClock,
    context::{Baggage, CallId, HeaderErrorKind, Traceparent, Tracestate},
    errors::{ErrorRecord, Fingerprint, normalize_message},
    guard::Admit,
    priority::Priority,
    protocol::WireFormat,
    retry::RetryAfter,
    timeout::Deadline,
};

pub use super::forwarded::{forwarded, x_forwarded_for};
pub use super::trace_formats::{b3, b3_multi, x_ray};

pub type Invariant = fn(&[u8]);

/// Each with the name of its target and of its folder of seeds.
pub const INVARIANTS: [(&str, Invariant); 15] = [
    ("traceparent", traceparent),
    ("tracestate", tracestate),
    ("baggage", baggage),
    ("b3", b3),
    ("b3_multi", b3_multi),
    ("x_ray", x_ray),
    ("x_forwarded_for", x_forwarded_for),
    ("forwarded", forwarded),
    ("request_id", request_id),
    ("retry_after", retry_after),
    ("pushback", pushback),
    ("deadline", deadline),
    ("priority", priority),
    ("error_message", error_message),
    ("fingerprint", fingerprint),
];

const DAY: Duration = Duration::from_secs(86_400);

/// One line, one header. A `traceparent` is read if and only if it is one; only the version and the reserved flags
/// are not sent on as they came.
pub fn traceparent(bytes: &[u8]) {
    let values = values(bytes);
    let read = Traceparent::from_headers(&headers(Traceparent::HEADER, &values));
    match &values[..] {
        [] => assert_eq!(read, Ok(None)),
        [only] => assert_eq!(
            read,
            Traceparent::parse(only.as_bytes().trim_ascii()).map(Some)
        ),
        _ => assert_eq!(read.unwrap_err().kind(), HeaderErrorKind::Repeated),
    }
    let read = Traceparent::parse(bytes);
    assert_eq!(read.is_ok(), is_traceparent(bytes));
    if let Ok(read) = read {
        let sent = read.to_header_value();
        assert_eq!(sent, read.to_string().as_str());
        assert_eq!(sent.as_bytes()[2..53], bytes[2..53]);
        assert_eq!(Traceparent::parse(sent.as_bytes()), Ok(read));
    }
}

/// A priority is read if and only if it is written as it is sent.
pub fn priority(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(read) = text.parse::<Priority>() {
        assert_eq!(read.to_string(), text);
        assert!(text.len() <= "critical;level=99".len());
        assert!(read.level().is_none_or(|level| level < 100));
    }
}

fn is_traceparent(bytes: &[u8]) -> bool {
    let hex = |part: &[u8]| part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let id = |part: &[u8]| hex(part) && part.iter().any(|b| *b != b'0');
    let Some((head, more)) = bytes.split_at_checked(55) else {
        return false;
    };
    let version = &head[..2];
    let ends = more.is_empty() || version != b"00" && more[0] == b'-';
    let dashes = [head[2], head[35], head[52]] == *b"---";
    let ids = id(&head[3..35]) && id(&head[36..52]);
    ends && dashes && ids && hex(version) && version != b"ff" && hex(&head[53..])
}

/// One line, one header; the first two lines are also offered for insertion. What is sent on has bounds, reads the same
/// again, and does not depend on how members were spread over headers.
pub fn tracestate(bytes: &[u8]) {
    let values = values(bytes);
    let read = read_state(&values);
    // Of several broken rules another may be named first.
    let (read, one) = (read.ok(), read_state(&[joined(&values)]).ok());
    assert_eq!(read, one);
    let mut state = read.flatten().unwrap_or_default();
    check_state(&state);
    let before = state.clone();
    let [key, value] = first_two(bytes);
    match state.insert(&key, &value) {
        Ok(()) => assert_eq!(state.iter().next(), Some((&*key, &*value))),
        Err(_) => assert_eq!(state, before),
    }
    check_state(&state);
    let known = state.get(&key).is_some();
    assert_eq!(state.remove(&key), known);
    assert_eq!(state.get(&key), None);
    check_state(&state);
}

fn read_state(values: &[HeaderValue]) -> Result<Option<Tracestate>, HeaderErrorKind> {
    Tracestate::from_headers(&headers(Tracestate::HEADER, values)).map_err(|why| why.kind())
}

fn check_state(state: &Tracestate) {
    let keys: HashSet<_> = state.iter().map(|(key, _)| key).collect();
    assert_eq!(keys.len(), state.len());
    assert!(state.len() <= Tracestate::MAX_MEMBERS);
    assert!(
        state
            .iter()
            .all(|(key, value)| state.get(key) == Some(value))
    );
    let Some(sent) = state.to_header_value() else {
        return assert!(state.is_empty());
    };
    assert!(sent.len() <= Tracestate::MAX_BYTES);
    assert_eq!(read_state(&[sent]), Ok(Some(state.clone())));
}

/// One line, one header; the first two lines are also offered for insertion. No member goes missing uncounted.
pub fn baggage(bytes: &[u8]) {
    let values = values(bytes);
    let read = read_baggage(&values);
    let one = read_baggage(&[joined(&values)]);
    let dropped = |read: &Option<Baggage>| read.as_ref().map(Baggage::dropped);
    assert_eq!((dropped(&one), &one), (dropped(&read), &read));
    let members = values
        .iter()
        .flat_map(|value| value.as_bytes().split(|b| *b == b','));
    let offered = members.filter(|member| !member.trim_ascii().is_empty());
    let mut baggage = read.unwrap_or_default();
    assert_eq!(baggage.len() + baggage.dropped(), offered.count());
    check_baggage(&baggage);
    let before = baggage.clone();
    let [key, value] = first_two(bytes);
    match baggage.insert(&key, &value) {
        Ok(()) => assert!(baggage.get(&key).is_some_and(|found| found == *value)),
        Err(_) => assert_eq!(baggage, before),
    }
    check_baggage(&baggage);
    let known = baggage.get(&key).is_some();
    assert_eq!(baggage.remove(&key), known);
    assert_eq!(baggage.get(&key), None);
    check_baggage(&baggage);
}

fn read_baggage(values: &[HeaderValue]) -> Option<Baggage> {
    Baggage::from_headers(&headers(Baggage::HEADER, values))
}

fn check_baggage(baggage: &Baggage) {
    let odd = |text: &str| text.is_empty() || text.contains([' ', '\t', ',', ';', '=', '"']);
    for member in baggage.iter() {
        assert!(!odd(member.key()));
        assert!(member.properties().all(|(key, _)| !odd(key)));
    }
    // One look-up is enough: a look-up for each would be most of what the fuzzer does.
    let first = baggage.iter().next();
    assert!(first.is_none_or(|first| baggage.get(first.key()) == Some(first.value())));
    let Some(sent) = baggage.to_header_value() else {
        return assert!(baggage.is_empty());
    };
    assert!(baggage.len() <= Baggage::MAX_MEMBERS && sent.len() <= Baggage::MAX_BYTES);
    let again = read_baggage(&[sent]).expect("what is sent can be read");
    assert_eq!((&again, again.dropped()), (baggage, 0));
}

/// An ID is accepted if and only if alphabet and length allow, and stays as it is.
pub fn request_id(bytes: &[u8]) {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._~+/=:@-".contains(byte);
    let good = (1..=CallId::MAX_LEN).contains(&bytes.len()) && bytes.iter().all(allowed);
    if let Ok(value) = HeaderValue::from_bytes(bytes) {
        let id = CallId::parse(&value);
        assert_eq!(id.is_some(), good);
        assert!(id.is_none_or(|id| id.header_value() == value && id.as_str().as_bytes() == bytes));
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let id = CallId::try_from(text);
        assert_eq!(id.is_ok(), good);
        assert!(id.is_err() || id.is_ok_and(|id| id.to_string() == text));
    }
}

/// Four bytes are the time of day, the rest `Retry-After` and, on a second line, `Date`. Seconds do not depend on any
/// clock, dates on the peer's if it is known.
pub fn retry_after(bytes: &[u8]) {
    let Some((now, value)) = bytes.split_first_chunk() else {
        return;
    };
    let now = UNIX_EPOCH + Duration::from_secs(u32::from_be_bytes(*now).into());
    let (value, date) = match value.iter().position(|b| *b == b'\n') {
        Some(line) => (&value[..line], Some(&value[line + 1..])),
        None => (value, None),
    };
    let read = wait(value, now);
    assert_eq!(
        wait(&[b" \t", value, b" "].concat(), now),
        read,
        "white space is no part of it"
    );
    match seconds(value) {
        Some(seconds) => assert_eq!(read, Some(Duration::from_secs(seconds.min(86_400)))),
        None => check_date(value, now, read),
    }
    let parts = [(header::RETRY_AFTER, Some(value)), (header::DATE, date)];
    let parts = parts.map(|(name, value)| Some((name, HeaderValue::from_bytes(value?).ok()?)));
    let sent: HeaderMap = parts.into_iter().flatten().collect();
    if sent.contains_key(header::RETRY_AFTER) {
        let date = date.filter(|_| sent.contains_key(header::DATE));
        let date =
            date.and_then(|date| httpdate::parse_http_date(std::str::from_utf8(date).ok()?).ok());
        let expected = wait(value, date.unwrap_or(now)).map(RetryAfter::NotBefore);
        assert_eq!(RetryAfter::from_headers(&sent, now), expected);
    }
}

fn check_date(value: &[u8], now: SystemTime, read: Option<Duration>) {
    let later = wait(value, now + DAY / 2);
    assert_eq!(read.is_some(), later.is_some());
    let (Some(wait_now), Some(wait_later)) = (read, later) else {
        return;
    };
    assert!(wait_later <= wait_now && wait_now <= DAY && wait_now - wait_later <= DAY / 2);
    let date = fmt_http_date(now + wait_now);
    assert_eq!(wait(date.as_bytes(), now), read);
}

fn wait(value: &[u8], now: SystemTime) -> Option<Duration> {
    match RetryAfter::parse_retry_after(value, now)? {
        RetryAfter::NotBefore(wait) => Some(wait),
        other => panic!("Retry-After cannot say {other:?}"),
    }
}

/// Digits and nothing else but white space round them; as many as there may be.
fn seconds(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    let all = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    all.then(|| {
        digits.iter().fold(0, |n: u64, digit| {
            n.saturating_mul(10).saturating_add((digit - b'0').into())
        })
    })
}

/// `grpc-retry-pushback-ms` is a number of 32 bits or means never, and counts more than `Retry-After`.
pub fn pushback(bytes: &[u8]) {
    let hint = RetryAfter::parse_pushback(bytes);
    let text = std::str::from_utf8(bytes).unwrap_or_default().trim();
    // Minus nothing is nothing, as it is for gRPC's own implementations in Go and Java.
    let negative = text.starts_with('-');
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let millis = seconds(digits.as_bytes()).filter(|_| digits == digits.trim());
    match millis.filter(|millis| *millis <= if negative { 0 } else { i32::MAX as u64 }) {
        Some(millis) => assert_eq!(
            hint,
            RetryAfter::After(Duration::from_millis(millis).min(DAY))
        ),
        None => assert_eq!(hint, RetryAfter::Never),
    }
    if let Ok(value) = HeaderValue::from_bytes(bytes) {
        let mut sent = headers(RetryAfter::PUSHBACK_HEADER, &[value]);
        sent.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        assert_eq!(RetryAfter::from_headers(&sent, UNIX_EPOCH), Some(hint));
    }
}

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const MILLIS: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
static DEADLINE: LazyLock<Deadline> = LazyLock::new(|| {
    Deadline::builder("deadline")
        .timeout_header(MILLIS)
        .build()
        .expect("settings")
});

/// `grpc-timeout`, and the header in milliseconds of calls that are no gRPC: the time that they say, or none.
pub fn deadline(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else {
        return;
    };
    let time = grpc_time(bytes).map(|nanos| {
        // Exact, since eight digits are at most 360 million seconds times a thousand.
        Duration::new(
            (nanos / 1_000_000_000) as u64,
            (nanos % 1_000_000_000) as u32,
        )
    });
    assert_eq!(told(GRPC_TIMEOUT, &value, "application/grpc"), kept(time));
    let millis = seconds(bytes).map(Duration::from_millis);
    assert_eq!(told(MILLIS, &value, "text/plain"), kept(millis));
}

/// A hundred years are no deadline.
fn kept(time: Option<Duration>) -> Option<Duration> {
    time.filter(|time| *time < Duration::from_secs(100 * 365 * 86_400))
}

fn grpc_time(bytes: &[u8]) -> Option<u128> {
    let (unit, digits) = bytes.split_last()?;
    let good = (1..=8).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let nanos: u128 = match unit {
        b'H' => 3_600_000_000_000,
        b'M' => 60_000_000_000,
        b'S' => 1_000_000_000,
        b'm' => 1_000_000,
        b'u' => 1_000,
        b'n' => 1,
        _ => return None,
    };
    good.then_some(nanos * u128::from(seconds(digits)?))
}

/// Returns what the guard makes of one header. A call that is rejected had no time left.
fn told(name: HeaderName, value: &HeaderValue, content_type: &'static str) -> Option<Duration> {
    let mut request = Request::new(());
    (*request.method_mut(), *request.version_mut()) = (Method::POST, Version::HTTP_2);
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(name, value.clone());
    let now = Instant::now();
    let moment = CallClock::at(now).with_wire(WireFormat::from_request(&request));
    match DEADLINE.admit(&mut request, &moment) {
        Ok(context) => Some(context?.deadline()? - now),
        Err(_) => Some(Duration::ZERO),
    }
}

/// The result of [`normalize_message`] has a bound, is its own result, and names one group.
pub fn error_message(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let once = normalize_message(&text);
    assert!(once.len() <= 512);
    assert!(!once.contains(char::is_control));
    assert_eq!(normalize_message(&once), once);
    if text.len() > 1024 {
        assert_eq!(
            normalize_message(&format!("{text}!")),
            once,
            "more than is read"
        );
    }
    let record = ErrorRecord::new("Error", once);
    let group = record.fingerprint();
    assert_eq!(group.to_string().parse(), Ok(group));
    assert_ne!(group, record.with_route("").fingerprint());
}

/// One fingerprint has one text.
pub fn fingerprint(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match text.parse::<Fingerprint>() {
        Ok(read) => assert_eq!(read.to_string(), text),
        Err(error) => assert_ne!(
            error.other_version(),
            Some(ErrorRecord::new("", "").fingerprint().version())
        ),
    }
}

/// The lines that can be a header at all.
pub fn values(bytes: &[u8]) -> Vec<HeaderValue> {
    bytes
        .split(|byte| *byte == b'\n')
        .filter_map(|line| HeaderValue::from_bytes(line).ok())
        .collect()
}

fn joined(values: &[HeaderValue]) -> HeaderValue {
    let bytes: Vec<_> = values.iter().map(HeaderValue::as_bytes).collect();
    HeaderValue::from_bytes(&bytes.join(&b","[..])).expect("each is a header value")
}

fn headers(name: HeaderName, values: &[HeaderValue]) -> HeaderMap {
    let named = values.iter().map(|value| (name.clone(), value.clone()));
    named.collect()
}

fn first_two(bytes: &[u8]) -> [String; 2] {
    let mut lines = bytes
        .split(|byte| *byte == b'\n')
        .map(String::from_utf8_lossy);
    [(); 2].map(|()| lines.next().unwrap_or_default().into_owned())
}
