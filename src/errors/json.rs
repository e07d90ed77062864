//! JSON for consoles and webhooks. Times are RFC 3339 in UTC to the millisecond: `2026-01-02T03:04:05.678Z`.
//!
//! Fields without a value are `null`, so that all objects have the same fields. Texts are not escaped: escape them for
//! HTML.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

use super::fingerprint::Fingerprint;
use super::{event::ErrorEvent, group::ErrorGroup, group_status::GroupStatus, sample::ErrorSample};
use crate::util::calendar::date_of_day;

// The names of fields are read by consoles and webhooks: they stay, whatever the accessors are called.
#[derive(Serialize)]
struct GroupJson<'a> {
    fingerprint: Fingerprint,
    status: GroupStatus,
    kind: &'a str,
    route: Option<&'a str>,
    message: &'a str,
    cause: Option<&'a str>,
    location: Option<&'a str>,
    overflow: bool,
    why: String,
    count: u64,
    regressions: u64,
    first_seen: Rfc3339,
    last_seen: Rfc3339,
    first: &'a ErrorSample,
    latest: &'a ErrorSample,
}

#[derive(Serialize)]
struct SampleJson<'a> {
    at: Rfc3339,
    kind: &'a str,
    message: &'a str,
    chain: Vec<&'a str>,
    outcome: &'a str,
    service: Option<&'a str>,
    route: Option<&'a str>,
    request_id: Option<&'a str>,
    correlation_id: Option<&'a str>,
    trace_id: Option<&'a str>,
    location: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum EventJson<'a> {
    New { group: &'a ErrorGroup },
    Regressed { group: &'a ErrorGroup },
    Lagged { count: u64 },
}

impl Serialize for ErrorGroup {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json = GroupJson {
            fingerprint: self.fingerprint(),
            status: self.status(),
            kind: self.kind(),
            route: self.route(),
            message: self.message(),
            cause: self.cause(),
            location: self.location(),
            overflow: self.is_overflow(),
            why: self.grouping_key().to_string(),
            count: self.count(),
            regressions: self.regressions(),
            first_seen: Rfc3339(self.first_seen()),
            last_seen: Rfc3339(self.last_seen()),
            first: self.first(),
            latest: self.latest(),
        };
        json.serialize(serializer)
    }
}

impl Serialize for ErrorSample {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let record = self.record();
        let json = SampleJson {
            at: Rfc3339(self.timestamp()),
            kind: record.kind(),
            message: record.message(),
            chain: record.causes().collect(),
            outcome: record.outcome(),
            service: record.service(),
            route: record.route(),
            request_id: record.request_id(),
            correlation_id: record.correlation_id(),
            trace_id: record.trace_id(),
            location: record.location(),
        };
        json.serialize(serializer)
    }
}

impl Serialize for ErrorEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json = match self {
            ErrorEvent::New(group) => EventJson::New { group },
            ErrorEvent::Regressed(group) => EventJson::Regressed { group },
            ErrorEvent::Lagged(count) => EventJson::Lagged { count: *count },
        };
        json.serialize(serializer)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for GroupStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

struct Rfc3339(SystemTime);

impl Serialize for Rfc3339 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // RFC 3339 has the years 0 to 9999 only.
        const MIN_MILLIS: i64 = -62_167_219_200_000;
        const MAX_MILLIS: i64 = 253_402_300_799_999;
        let since_epoch = match self.0.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(MAX_MILLIS),
            // Round towards the past, as for times after the epoch.
            Err(before) => {
                let millis = before.duration().as_nanos().div_ceil(1_000_000);
                i64::try_from(millis).map_or(MIN_MILLIS, |millis: i64| -millis)
            }
        };
        let millis = since_epoch.clamp(MIN_MILLIS, MAX_MILLIS);
        let (year, month, day) = date_of_day(millis.div_euclid(86_400_000));
        let millis_of_day = millis.rem_euclid(86_400_000);
        let (hour, minute) = (millis_of_day / 3_600_000, millis_of_day / 60_000 % 60);
        let (second, milli) = (millis_of_day / 1000 % 60, millis_of_day % 1000);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z"
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn rfc3339_is_utc_with_milliseconds() {
        let text = |seconds: u64, millis: u64| {
            Rfc3339(UNIX_EPOCH + Duration::from_millis(seconds * 1000 + millis)).to_string()
        };
        assert_eq!(text(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(text(951_782_399, 999), "2000-02-28T23:59:59.999Z");
        assert_eq!(text(951_782_400, 0), "2000-02-29T00:00:00.000Z");
        assert_eq!(text(4_107_542_400, 0), "2100-03-01T00:00:00.000Z");
        assert_eq!(text(1_767_323_045, 678), "2026-01-02T03:04:05.678Z");
    }

    #[test]
    fn rfc3339_handles_times_before_epoch_and_beyond_calendar() {
        let before = UNIX_EPOCH - Duration::from_nanos(1);
        assert_eq!(Rfc3339(before).to_string(), "1969-12-31T23:59:59.999Z");
        let far = UNIX_EPOCH + Duration::from_secs(1 << 40);
        assert_eq!(Rfc3339(far).to_string(), "9999-12-31T23:59:59.999Z");
        let ancient = UNIX_EPOCH - Duration::from_secs(1 << 40);
        assert_eq!(Rfc3339(ancient).to_string(), "0000-01-01T00:00:00.000Z");
    }
}
