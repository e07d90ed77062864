use std::time::SystemTime;

use super::{CallId, TraceId, random::random_u128};

/// The format of generated IDs.
///
/// Random bits come from a generator of the current thread, which is seeded by the operating system, fast and **not
/// cryptographic**: it holds 128 bits, and an attacker who sees a few IDs can compute the next. An ID is a label, not a
/// secret: never use it as a token, a password or proof of where a call came from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[non_exhaustive]
pub enum IdFormat {
    /// 128 random bits as 32 lower-case hex digits, without reading a clock. The default.
    #[default]
    Random128,
    /// A UUID version 7 (RFC 9562 §5.7): a millisecond of Unix time, then 74 random bits, 36
    /// characters. IDs sort by time to the millisecond, at the price of reading the system clock; a
    /// clock before 1970 counts as 1970.
    UuidV7,
}

impl IdFormat {
    /// Generates an ID. One allocation, the header value's own.
    pub fn generate(self) -> CallId {
        match self {
            Self::Random128 => CallId::from(TraceId::generate()),
            Self::UuidV7 => {
                let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                let millis = since.map_or(0, |since| since.as_millis());
                uuid_v7(u64::try_from(millis).unwrap_or(u64::MAX), random_u128())
            }
        }
    }
}

/// Builds a UUID from the low 80 bits of `random`, six of which version and variant replace.
fn uuid_v7(millis: u64, random: u128) -> CallId {
    let [.., a, b, c, d, e, f, g, h, i, j] = random.to_be_bytes();
    let bytes = [a, b, c, d, e, f, g, h, i, j];
    let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid();
    let mut text = [0; 36];
    uuid.hyphenated().encode_lower(&mut text);
    CallId::from_valid(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_id_is_32_lower_case_hex_digits() {
        let (one, two) = (
            IdFormat::default().generate(),
            IdFormat::Random128.generate(),
        );
        assert!(TraceId::from_hex(one.as_str().as_bytes()).is_some());
        assert_ne!(one, two);
    }

    #[test]
    fn uuid_carries_time_version_and_variant() {
        let id = uuid_v7(0x017f_22e2_79b0, 0x0cc3_18c4_dc0c_0c07_398f);
        // RFC 9562, appendix A.6.
        assert_eq!(id.to_string(), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
        let (one, two) = (IdFormat::UuidV7.generate(), IdFormat::UuidV7.generate());
        assert!(one != two && one.as_str().len() == 36 && one.as_str().as_bytes()[14] == b'7');
    }
}
