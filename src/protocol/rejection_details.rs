//! The details of a rejection, for a caller that may see them: members of a problem body, and details of a gRPC status.
//!
//! The last error is never among them. Texts are bounded, since the response has to fit into the headers of a gRPC call.

use std::fmt::Write;

use crate::{
    call::{GrpcCode, Rejection},
    util::text::truncated,
};

/// The maximum length of each text, in bytes.
const MAX_TEXT_LEN: usize = 128;

/// The `domain` of a `google.rpc.ErrorInfo`, which says whose reasons these are.
const DOMAIN: &str = "tower-keep";

/// Returns the names and values that are known.
fn fields(why: &Rejection) -> impl Iterator<Item = (&'static str, String)> {
    let known = [
        ("guard", Some(why.guard())),
        ("key", why.key()),
        ("reason", why.reason()),
    ];
    let bounded = |text| truncated(text, MAX_TEXT_LEN).into_owned();
    known
        .into_iter()
        .filter_map(move |(name, text)| Some((name, bounded(text?))))
}

/// Returns the extension members of a problem body (RFC 9457), each behind a comma.
pub(super) fn problem_members(why: &Rejection) -> String {
    let mut members = format!(",\"kind\":\"{}\"", why.kind().as_str());
    for (name, text) in fields(why) {
        push_member(&mut members, name, &text);
    }
    if let Some(wait) = why.retry_after() {
        // Writing to a `String` does not fail.
        let _ = write!(members, ",\"retry_after_ms\":{}", wait.as_millis());
    }
    members
}

fn push_member(out: &mut String, name: &str, text: &str) {
    let _ = write!(out, ",\"{name}\":\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Encodes a `google.rpc.Status` with an `ErrorInfo` and, if there is a retry-after, a `RetryInfo`.
pub(super) fn grpc_details(why: &Rejection, code: GrpcCode) -> Vec<u8> {
    let mut status = Vec::new();
    push_number(&mut status, 1, u64::from(code.as_u8()));
    push_bytes(&mut status, 2, why.kind().client_message().as_bytes());
    push_bytes(&mut status, 3, &any("ErrorInfo", &error_info(why)));
    if let Some(wait) = why.retry_after() {
        let mut delay = Vec::new();
        push_number(&mut delay, 1, wait.as_secs());
        push_number(&mut delay, 2, u64::from(wait.subsec_nanos()));
        let mut retry_info = Vec::new();
        push_bytes(&mut retry_info, 1, &delay);
        push_bytes(&mut status, 3, &any("RetryInfo", &retry_info));
    }
    status
}

fn error_info(why: &Rejection) -> Vec<u8> {
    let mut info = Vec::new();
    // In upper case by the convention of `ErrorInfo`.
    let reason = why.kind().as_str().to_ascii_uppercase();
    push_bytes(&mut info, 1, reason.as_bytes());
    push_bytes(&mut info, 2, DOMAIN.as_bytes());
    for (name, text) in fields(why) {
        let mut entry = Vec::new();
        push_bytes(&mut entry, 1, name.as_bytes());
        push_bytes(&mut entry, 2, text.as_bytes());
        push_bytes(&mut info, 3, &entry);
    }
    info
}

fn any(name: &str, message: &[u8]) -> Vec<u8> {
    let mut any = Vec::new();
    let url = format!("type.googleapis.com/google.rpc.{name}");
    push_bytes(&mut any, 1, url.as_bytes());
    push_bytes(&mut any, 2, message);
    any
}

fn push_number(out: &mut Vec<u8>, field: u64, number: u64) {
    push_varint(out, field << 3);
    push_varint(out, number);
}

fn push_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    push_varint(out, field << 3 | 2);
    push_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn push_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Encodes the value of a binary header. Without padding, as gRPC prefers it.
pub(super) fn encode_base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index| chunk.get(index).map_or(0, |byte: &u8| u32::from(*byte));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..=chunk.len() {
            let index = bits >> (18 - 6 * digit) & 63;
            text.push(char::from(DIGITS[index as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problem_members_are_json_whatever_the_key_is() {
        let key = "a\"b\\c\n\u{85}ü";
        let members = problem_members(&Rejection::full("queue").with_key(key));
        let json: serde_json::Value =
            serde_json::from_str(&format!("{{{}}}", &members[1..])).unwrap();
        assert_eq!(json["key"], key);
        assert_eq!(json["kind"], "full");
        assert!(json["reason"].is_null() && json["retry_after_ms"].is_null());
    }

    #[test]
    fn details_are_bounded() {
        let long = "x".repeat(100_000);
        let why = Rejection::full(long.clone())
            .with_reason(long.clone())
            .with_key(long);
        assert!(problem_members(&why).len() < 500);
        assert!(grpc_details(&why, GrpcCode::UNAVAILABLE).len() < 600);
    }

    #[test]
    fn base64_has_no_padding() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
        ] {
            assert_eq!(encode_base64(bytes.as_bytes()), text);
        }
        assert_eq!(encode_base64(&[0xff, 0xfe, 0xfd]), "//79");
    }
}
