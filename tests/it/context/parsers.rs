//! The rules for every byte that a stranger may put into a context header.

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::{collection::vec, prelude::*, sample::select};
use tower_keep::context::{
    Baggage, CallId, HeaderError, IdFormat, SpanId, TraceFlags, TraceId, Traceparent, Tracestate,
};

const TRACE: &str = "12345678901234567890123456789012";
const STATE_KEY: &str = "[a-z0-9][a-z0-9_*/@-]{0,12}";
const STATE_VALUE: &str = "[ -+.-<>-~]{0,12}[!-+.-<>-~]";
const BAGGAGE_KEY: &str = "[!#$%&'*+.^_`|~0-9a-zA-Z-]{1,20}";
const ALMOST_ID: &str = "[ -~]{0,3}|[A-Za-z0-9._~+/=:@-]{0,140}|\\PC{1,3}";

proptest! {
    #[test]
    fn parsers_never_panic(raw in vec(wild(), 0..6)) {
        let values = header_values(&raw);
        for bytes in &raw {
            let _ = (Traceparent::parse(bytes), TraceId::from_hex(bytes), SpanId::from_hex(bytes));
        }
        let _ = Traceparent::from_headers(&headers(Traceparent::HEADER, &values));
        for value in &values {
            let _ = CallId::parse(value);
        }
        if let Ok(Some(mut state)) = Tracestate::from_headers(&headers(Tracestate::HEADER, &values)) {
            let _ = (state.insert("k", "v"), state.remove("a"), state.to_header_value());
        }
        if let Some(mut baggage) = Baggage::from_headers(&headers(Baggage::HEADER, &values)) {
            let _: usize = baggage.iter().map(|m| m.value().len() + m.properties().count()).sum();
            let _ = (baggage.insert("k", "v"), baggage.remove("a"), baggage.to_header_value());
        }
    }

    #[test]
    fn insert_accepts_any_text(key in any::<String>(), value in any::<String>()) {
        let _ = (Tracestate::default().insert(&key, &value), CallId::try_from(&*value));
        let _ = Baggage::default().insert(&key, &value);
    }

    #[test]
    fn traceparent_round_trips(
        trace in 1_u128.., parent in 1_u64.., bits in 0..=3_u8,
    ) {
        let sent = traceparent(trace, parent, bits);
        prop_assert_eq!(sent.to_string(), format!("00-{trace:032x}-{parent:016x}-{bits:02x}"));
        prop_assert_eq!(Traceparent::parse(sent.to_string().as_bytes()), Ok(sent));
        let received = headers(Traceparent::HEADER, &[sent.to_header_value()]);
        prop_assert_eq!(Traceparent::from_headers(&received), Ok(Some(sent)));
        prop_assert_eq!(TraceId::from_hex(&sent.trace_id.to_hex()), Some(sent.trace_id));
        prop_assert_eq!(SpanId::from_hex(&sent.parent_id.to_hex()), Some(sent.parent_id));
    }

    #[test]
    fn traceparent_with_changed_byte_is_exact_or_rejected(at in 0..55_usize, byte: u8) {
        let mut text = traceparent(0x77 << 100, 0x99, 3).to_string().into_bytes();
        text[at] = byte;
        let dash = [2, 35, 52].contains(&at);
        let good = if dash { byte == b'-' } else { matches!(byte, b'0'..=b'9' | b'a'..=b'f') };
        let read = Traceparent::parse(&text);
        prop_assert_eq!(read.is_ok(), good);
        if let Ok(read) = read {
            // Only the version and the reserved flags are not sent on as they came.
            prop_assert_eq!(&read.to_string().into_bytes()[2..53], &text[2..53]);
        }
    }

    #[test]
    fn traceparent_prints_known_flags_only(bits: u8) {
        let flags = TraceFlags::from_bits(bits);
        prop_assert_eq!((flags.is_sampled(), flags.is_random()), (bits & 1 != 0, bits & 2 != 0));
        let printed = traceparent(1, 1, bits).to_string();
        prop_assert_eq!(&printed[52..], format!("-{:02x}", bits & 3));
        prop_assert_eq!(flags.with_sampled(true).bits(), bits & 2 | 1);
        prop_assert_eq!(flags.with_sampled(false).bits(), bits & 2);
    }

    #[test]
    fn tracestate_stays_within_limits(
        members in vec((STATE_KEY, 0..257_usize, STATE_VALUE), 1..40),
    ) {
        let mut state = Tracestate::default();
        for (key, width, value) in &members {
            let value = format!("{value:!>width$}");
            state.insert(key, &value).unwrap();
            prop_assert_eq!(state.iter().next(), Some((&**key, &*value)));
            let header = state.to_header_value().unwrap();
            prop_assert!(header.len() <= Tracestate::MAX_BYTES);
            prop_assert!(state.len() <= Tracestate::MAX_MEMBERS);
            let read = Tracestate::from_headers(&headers(Tracestate::HEADER, &[header]));
            prop_assert_eq!(read, Ok(Some(state.clone())));
        }
    }

    #[test]
    fn tracestate_reads_alike_from_one_or_many_headers(
        count in 1..40_usize, size in 1..256_usize, cut in 0..40_usize,
    ) {
        let value = "v".repeat(size);
        let members: Vec<_> = (0..count).map(|n| format!("k{n}={value}")).collect();
        let (left, right) = members.split_at(cut.min(count));
        let one = read_state(&[members.join(" ,\t")]);
        prop_assert_eq!(&one, &read_state(&[left.join(","), right.join(",")]));
        prop_assert_eq!(one.is_ok(), count <= Tracestate::MAX_MEMBERS);
        if let Ok(Some(state)) = one {
            let kept: Vec<_> = state.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let sent = state.to_header_value().map_or(0, |header| header.len());
            prop_assert!(members.starts_with(&kept) && sent <= Tracestate::MAX_BYTES);
            prop_assert!(kept.len() == count || sent + size + 5 > 512);
        }
    }

    #[test]
    fn baggage_round_trips_any_text(
        members in vec((BAGGAGE_KEY, any::<String>()), 1..20),
    ) {
        let mut baggage = Baggage::default();
        for (key, value) in &members {
            baggage.insert(key, value).unwrap();
            let header = baggage.to_header_value().unwrap();
            let read = Baggage::from_headers(&headers(Baggage::HEADER, &[header])).unwrap();
            prop_assert!(read.get(key).is_some_and(|found| found == **value));
            prop_assert_eq!((read.len(), read.dropped()), (baggage.len(), 0));
        }
    }

    #[test]
    fn baggage_stays_within_limits_and_reads_again(raw in vec(wild(), 1..6)) {
        let received = headers(Baggage::HEADER, &header_values(&raw));
        if let Some(first) = Baggage::from_headers(&received) {
            let Some(header) = first.to_header_value() else { return Ok(()) };
            prop_assert!(header.len() <= Baggage::MAX_BYTES);
            prop_assert!(first.len() <= Baggage::MAX_MEMBERS);
            let again = Baggage::from_headers(&headers(Baggage::HEADER, &[header])).unwrap();
            prop_assert!(again.iter().eq(first.iter()) && again.dropped() == 0);
        }
    }

    #[test]
    fn id_is_accepted_by_alphabet_and_length(text in ALMOST_ID) {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._~+/=:@-".contains(c);
        let good = (1..=CallId::MAX_LEN).contains(&text.len()) && text.chars().all(allowed);
        prop_assert_eq!(CallId::try_from(&*text).is_ok(), good);
        let value = HeaderValue::from_bytes(text.as_bytes()).unwrap();
        prop_assert_eq!(CallId::parse(&value).map(|id| id.to_string()), good.then_some(text));
    }
}

#[test]
fn id_alphabet_is_exact_for_each_byte() {
    for byte in 0..=u8::MAX {
        let Ok(value) = HeaderValue::from_bytes(&[byte]) else {
            continue;
        };
        let allowed = byte.is_ascii_alphanumeric() || b"._~+/=:@-".contains(&byte);
        assert_eq!(CallId::parse(&value).is_some(), allowed, "{byte:#04x}");
    }
}

#[test]
fn id_generator_makes_distinct_valid_ids() {
    for kind in [IdFormat::Random128, IdFormat::UuidV7] {
        let ids: std::collections::HashSet<_> = (0..1000).map(|_| kind.generate()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(
            ids.iter()
                .all(|id| CallId::parse(id.header_value()).is_some())
        );
    }
}

/// The tables of the specification's own test suite (`test/test.py`), one traceparent each.
#[test]
fn traceparent_examples_of_specification() {
    let valid = [
        "00-{T}-1234567890123456-01",
        "cc-{T}-1234567890123456-01",
        "cc-{T}-1234567890123456-01-what-the-future",
    ];
    for text in valid.map(|text| text.replace("{T}", TRACE)) {
        assert_eq!(parse(&text).unwrap().trace_id.to_string(), TRACE, "{text}");
    }
    let invalid = [
        "00-{T}-1234567890123456-01.",
        "00-{T}-1234567890123456-01-what-the-future",
        "cc-{T}-1234567890123456-01.what",
        "ff-{T}-1234567890123456-01",
        ".0-{T}-1234567890123456-01",
        "0.-{T}-1234567890123456-01",
        "000-{T}-1234567890123456-01",
        "0000-{T}-1234567890123456-01",
        "0-{T}-1234567890123456-01",
        "00-00000000000000000000000000000000-1234567890123456-01",
        "00-.2345678901234567890123456789012-1234567890123456-01",
        "00-1234567890123456789012345678901.-1234567890123456-01",
        "00-{T}3-1234567890123456-01",
        "00-1234567890123456789012345678901-1234567890123456-01",
        "00-{T}-0000000000000000-01",
        "00-{T}-.234567890123456-01",
        "00-{T}-123456789012345.-01",
        "00-{T}-12345678901234567-01",
        "00-{T}-123456789012345-01",
        "00-{T}-1234567890123456-.0",
        "00-{T}-1234567890123456-0.",
        "00-{T}-1234567890123456-001",
        "00-{T}-1234567890123456-1",
        "00-{T}-1234567890ABCDEF-01",
    ];
    for text in invalid.map(|text| text.replace("{T}", TRACE)) {
        assert_eq!(parse(&text).unwrap_err().header(), "traceparent", "{text}");
    }
}

/// The examples of the W3C Baggage specification.
#[test]
fn baggage_examples_of_specification() {
    let values = [
        "userId =   Am%C3%A9lie",
        "serverNode = DF%2028, isProduction = false",
    ];
    let received = headers(Baggage::HEADER, &values.map(HeaderValue::from_static));
    let baggage = Baggage::from_headers(&received).unwrap();
    assert_eq!(baggage.get("userId").as_deref(), Some("Amélie"));
    assert_eq!(baggage.get("serverNode").as_deref(), Some("DF 28"));
    assert_eq!(baggage.get("isProduction").as_deref(), Some("false"));
}

#[test]
fn tracestate_allowed_entries_pass_unchanged() {
    let tenant = format!("{}@{}=1", "t".repeat(241), "v".repeat(14));
    let value: String = (' '..='~').filter(|c| !",=".contains(*c)).collect();
    let all = format!("abcdefghijklmnopqrstuvwxyz0123456789_-*/@a-z0-9_-*/={value}");
    let longest = format!("{}={}", "z".repeat(256), "1".repeat(256));
    for text in [tenant, all, longest, "foo@=1,0foo@@bar=1,a= 1".to_owned()] {
        let state = read_state(std::slice::from_ref(&text)).unwrap().unwrap();
        assert_eq!(state.to_header_value().unwrap(), text);
    }
}

#[test]
fn baggage_is_read_without_white_space() {
    let text = "Key \t = \t Value \t ; \t Flag \t , \t Key2 = a=b%09 ; Prop \t = \t 1%2C2";
    let baggage = read_baggage(text);
    let members: Vec<_> = baggage.iter().map(|m| (m.key(), m.value())).collect();
    assert_eq!(members, [("Key", "Value".into()), ("Key2", "a=b\t".into())]);
    let properties: Vec<_> = baggage.iter().flat_map(|m| m.properties()).collect();
    assert_eq!(properties, [("Flag", None), ("Prop", Some("1,2".into()))]);
    assert_eq!(baggage.to_header_value().unwrap(), text);
}

#[test]
fn baggage_limits_are_those_of_specification() {
    let largest = format!("a={}", "0".repeat(8190));
    let too_large = format!("{largest}0,b=1");
    let members: Vec<_> = (0..182).map(|n| format!("k{n}=v")).collect();
    let (most, too_many) = (members[..180].join(","), members.join(","));
    let table = [
        (&largest, &*largest, 0),
        (&too_large, "b=1", 1),
        (&most, &most, 0),
        (&too_many, &most, 2),
    ];
    for (received, sent, dropped) in table {
        let baggage = read_baggage(received);
        assert_eq!(baggage.to_header_value().unwrap(), sent);
        assert_eq!(baggage.dropped(), dropped);
    }
}

/// Bytes that get far: pieces of the real formats, with any byte strewn in.
fn wild() -> impl Strategy<Value = Vec<u8>> {
    let marks = [
        "=",
        ",",
        ";",
        " ",
        "\t",
        "%",
        "%c3",
        "é",
        "k=v",
        "a=1;b=2;c",
    ];
    let pieces = [&["00-", TRACE, "-1234567890123456-01"], &marks[..]].concat();
    let piece = prop_oneof![
        4 => select(pieces).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

fn headers(name: HeaderName, values: &[HeaderValue]) -> HeaderMap {
    values
        .iter()
        .map(|value| (name.clone(), value.clone()))
        .collect()
}

/// Those that HTTP allows at all.
fn header_values(raw: &[Vec<u8>]) -> Vec<HeaderValue> {
    raw.iter()
        .filter_map(|raw| HeaderValue::from_bytes(raw).ok())
        .collect()
}

fn parse(text: &str) -> Result<Traceparent, HeaderError> {
    Traceparent::parse(text.as_bytes())
}

fn read_baggage(text: &str) -> Baggage {
    let value = HeaderValue::from_str(text).unwrap();
    Baggage::from_headers(&headers(Baggage::HEADER, &[value])).unwrap()
}

fn read_state(values: &[String]) -> Result<Option<Tracestate>, HeaderError> {
    let values: Vec<_> = values
        .iter()
        .map(|text| HeaderValue::from_str(text).unwrap())
        .collect();
    Tracestate::from_headers(&headers(Tracestate::HEADER, &values))
}

fn traceparent(trace: u128, parent: u64, bits: u8) -> Traceparent {
    Traceparent {
        trace_id: TraceId::from_bytes(trace.to_be_bytes()).unwrap(),
        parent_id: SpanId::from_bytes(parent.to_be_bytes()).unwrap(),
        flags: TraceFlags::from_bits(bits),
    }
}
