//! The delay in gRPC's error details: a `google.rpc.RetryInfo` within a `google.rpc.Status`, read without a schema.
//!
//! Pure, and bounded by the length of its input. Returns `None` for what cannot be parsed.

use std::time::Duration;

/// More than any server sends in headers: a longer value is not read.
const MAX_DETAILS_LEN: usize = 16 * 1024;

/// Reads the header `grpc-status-details-bin`.
pub(super) fn delay_in_header(value: &[u8]) -> Option<Duration> {
    // Several headers may be joined in one: the first counts.
    let first = value.split(|byte| *byte == b',').next()?;
    delay_in_status(&decode_base64(first.trim_ascii())?)
}

/// Reads an encoded `google.rpc.Status`.
pub(super) fn delay_in_status(status: &[u8]) -> Option<Duration> {
    ProtoFields(status).find_map(|field| match field {
        (3, ProtoValue::Bytes(any)) => delay_in_any(any),
        _ => None,
    })
}

fn delay_in_any(any: &[u8]) -> Option<Duration> {
    let name = bytes_field(any, 1)?;
    // The prefix may be any URL that ends in a slash.
    name.ends_with(b"/google.rpc.RetryInfo").then_some(())?;
    let delay = bytes_field(bytes_field(any, 2)?, 1)?;
    // Absent is 0; negative numbers have the highest of 64 bits.
    let seconds = varint_field(delay, 1).unwrap_or(0);
    let nanos = varint_field(delay, 2).unwrap_or(0);
    let valid = i64::try_from(seconds).is_ok() && nanos < 1_000_000_000;
    valid.then(|| Duration::new(seconds, nanos as u32))
}

fn bytes_field(message: &[u8], number: u64) -> Option<&[u8]> {
    ProtoFields(message).find_map(|(field, value)| match value {
        ProtoValue::Bytes(bytes) if field == number => Some(bytes),
        _ => None,
    })
}

fn varint_field(message: &[u8], number: u64) -> Option<u64> {
    ProtoFields(message).find_map(|(field, value)| match value {
        ProtoValue::Varint(value) if field == number => Some(value),
        _ => None,
    })
}

/// Iterates over the fields of a message with their numbers. Ends at what cannot be parsed.
struct ProtoFields<'a>(&'a [u8]);

enum ProtoValue<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
}

impl<'a> Iterator for ProtoFields<'a> {
    type Item = (u64, ProtoValue<'a>);

    fn next(&mut self) -> Option<(u64, ProtoValue<'a>)> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => ProtoValue::Varint(self.varint()?),
            1 => ProtoValue::Bytes(self.take(8)?),
            2 => {
                let length = self.varint()?;
                ProtoValue::Bytes(self.take(usize::try_from(length).ok()?)?)
            }
            5 => ProtoValue::Bytes(self.take(4)?),
            _ => return None,
        };
        Some((key >> 3, value))
    }
}

impl<'a> ProtoFields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        // At most ten bytes, or a hostile one would never end.
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }
}

/// Decodes base64 with or without padding: gRPC allows both.
fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    // Before anything is allocated.
    if text.len() > MAX_DETAILS_LEN {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut bit_count) = (0_u32, 0);
    for byte in text.iter().take_while(|byte| **byte != b'=') {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(six)) & 0x3fff;
        bit_count += 6;
        if bit_count >= 8 {
            bit_count -= 8;
            bytes.push((bits >> bit_count) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn varint(mut number: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while number >= 0x80 {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    }

    fn number(field: u64, value: u64) -> Vec<u8> {
        [varint(field << 3), varint(value)].concat()
    }

    fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
        [
            varint(field << 3 | 2),
            varint(value.len() as u64),
            value.to_vec(),
        ]
        .concat()
    }

    fn any(name: &str, value: &[u8]) -> Vec<u8> {
        let name = format!("type.googleapis.com/google.rpc.{name}");
        bytes(3, &[bytes(1, name.as_bytes()), bytes(2, value)].concat())
    }

    /// Encodes a status with a `RetryInfo` behind another detail.
    pub(crate) fn status(seconds: u64, nanos: u64) -> Vec<u8> {
        let delay = [number(1, seconds), number(2, nanos)].concat();
        let info = any("RetryInfo", &bytes(1, &delay));
        let other = any("DebugInfo", &bytes(1, b"main.rs"));
        [number(1, 14), bytes(2, b"down"), other, info].concat()
    }

    fn encode_base64(bytes: &[u8]) -> String {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
        let digit = |six: &[u8]| {
            let six = format!("{:0<6}", std::str::from_utf8(six).unwrap());
            char::from(DIGITS[usize::from_str_radix(&six, 2).unwrap()])
        };
        bits.as_bytes().chunks(6).map(digit).collect()
    }

    #[test]
    fn retry_info_base64_may_have_padding() {
        for (text, decoded) in [
            ("Zm8", "fo"),
            ("Zm8=", "fo"),
            ("Zm9vYg==", "foob"),
            ("", ""),
        ] {
            assert_eq!(
                decode_base64(text.as_bytes()).as_deref(),
                Some(decoded.as_bytes())
            );
        }
        assert_eq!(decode_base64(b"Zm 8"), None);
        assert_eq!(decode_base64(&[b'A'; MAX_DETAILS_LEN + 1]), None);
    }

    #[test]
    fn retry_info_with_invalid_delay_is_ignored() {
        assert_eq!(delay_in_status(&status(u64::MAX, 0)), None, "-1 s");
        assert_eq!(delay_in_status(&status(0, u64::MAX)), None);
        assert_eq!(delay_in_status(&status(0, 1_000_000_000)), None);
        assert_eq!(delay_in_status(&any("DebugInfo", &[])), None);
        let nothing = any("RetryInfo", &bytes(1, &[]));
        assert_eq!(delay_in_status(&nothing), Some(Duration::ZERO));
    }

    proptest! {
        #[test]
        fn retry_info_is_found_in_header_and_status(seconds in 0..i64::MAX as u64, nanos in 0_u64..1_000_000_000) {
            let (status, delay) = (status(seconds, nanos), Duration::new(seconds, nanos as u32));
            prop_assert_eq!(delay_in_status(&status), Some(delay));
            prop_assert_eq!(delay_in_header(encode_base64(&status).as_bytes()), Some(delay));
        }

        #[test]
        fn retry_info_decoder_never_panics(
            noise: Vec<u8>, text in "[A-Za-z0-9+/=, ]{0,80}", cut in 0_usize..90, flip in 0_usize..90, to: u8,
        ) {
            let mut near = status(7, 5);
            let at = flip % near.len();
            near[at] = to;
            near.truncate(cut);
            for bytes in [&noise[..], text.as_bytes(), &near] {
                let _ = (delay_in_status(bytes), delay_in_header(bytes));
            }
        }
    }
}
