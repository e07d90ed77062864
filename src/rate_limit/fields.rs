//! The fields `RateLimit-Policy` and `RateLimit`, as in draft-ietf-httpapi-ratelimit-headers-10.

use std::fmt::Write;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::quota::Quota;
use super::ticks::{duration, ticks};
use crate::call::Label;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The responses of a server that have the fields `RateLimit-Policy` and `RateLimit`, by which clients adapt before they
/// are rejected. gRPC has no such fields, and gets none.
///
/// They follow the draft of the IETF's working group (`draft-ietf-httpapi-ratelimit-headers-10`):
/// `RateLimit-Policy: "default";q=20;w=10` is the burst and the time in which so many calls come back, and
/// `RateLimit: "default";r=3;t=1` has how many are left and in how many seconds there is another one. The window is left out
/// if it is shorter than a second. A field of that name which the service has set stays in front.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RateLimitFields {
    /// Responses never have them.
    Off,
    /// The responses to calls that this limit has rejected have them.
    #[default]
    Rejections,
    /// All responses have them, which costs a few allocations for each.
    Always,
}

/// The settings of the fields.
#[derive(Clone, Debug)]
pub(super) struct FieldsConfig {
    pub(super) when: RateLimitFields,
    pub(super) policy: Label,
}

impl Default for FieldsConfig {
    fn default() -> Self {
        FieldsConfig {
            when: RateLimitFields::default(),
            policy: Label::from("default"),
        }
    }
}

impl FieldsConfig {
    /// Returns whether the response to a call that was rejected or admitted has the fields.
    #[inline]
    pub(super) fn has(&self, is_rejected: bool) -> bool {
        match self.when {
            RateLimitFields::Off => false,
            RateLimitFields::Rejections => is_rejected,
            RateLimitFields::Always => true,
        }
    }

    /// Adds the fields of a limit in this state.
    pub(super) fn append(&self, headers: &mut HeaderMap, quota: Quota, state: u64, now: u64) {
        let mut text = String::with_capacity(64);
        write_name(&mut text, self.policy.as_str());
        let name_len = text.len();
        let window = whole_seconds(quota.capacity);
        let _ = write!(text, ";q={}", quota.burst());
        if quota.capacity >= ticks(std::time::Duration::from_secs(1)) {
            let _ = write!(text, ";w={window}");
        }
        append(headers, POLICY, &text);
        text.truncate(name_len);
        let _ = write!(text, ";r={}", quota.available(state, now));
        let next = quota.until_next(state, now);
        if next > 0 {
            let _ = write!(text, ";t={}", whole_seconds(next));
        }
        append(headers, LIMIT, &text);
    }
}

fn append(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    // A quoted name and numbers are always a valid value.
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.append(name, value);
    }
}

/// Rounds up, as for `Retry-After`.
fn whole_seconds(ticks: u64) -> u64 {
    let time = duration(ticks);
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// Writes a name as a string of structured fields: printable ASCII in quotes. Anything else becomes `?`.
fn write_name(text: &mut String, name: &str) {
    text.push('"');
    for c in name.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            ' '..='~' => text.push(c),
            _ => text.push('?'),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rate_limit::RateAlgorithm;

    fn fields(name: &'static str, interval: Duration, burst: u32, taken: u64) -> [String; 2] {
        let config = FieldsConfig {
            when: RateLimitFields::Always,
            policy: Label::from(name),
        };
        let interval = ticks(interval);
        let quota = Quota::new(RateAlgorithm::Gcra, interval, burst);
        let mut headers = HeaderMap::new();
        config.append(&mut headers, quota, 1_000 + taken * interval, 1_000);
        [POLICY, LIMIT].map(|name| headers[name].to_str().expect("text").to_owned())
    }

    #[test]
    fn fields_have_quota_window_rest_and_the_time_until_more() {
        let millis = Duration::from_millis;
        assert_eq!(
            fields("default", millis(500), 20, 17),
            [r#""default";q=20;w=10"#, r#""default";r=3;t=1"#]
        );
        assert_eq!(
            fields("default", millis(12_000), 5, 0),
            [r#""default";q=5;w=60"#, r#""default";r=5"#]
        );
        assert_eq!(
            fields("default", millis(12_000), 5, 5),
            [r#""default";q=5;w=60"#, r#""default";r=0;t=12"#]
        );
        // A window of a second would say 5 per second, and there are 100.
        assert_eq!(
            fields("default", millis(10), 5, 1),
            [r#""default";q=5"#, r#""default";r=4;t=1"#]
        );
    }

    #[test]
    fn fields_escape_the_name() {
        let [_, limit] = fields("a\"b\\c\nd\u{e9}", Duration::from_secs(1), 1, 0);
        assert_eq!(limit, r#""a\"b\\c?d?";r=1"#);
    }
}
