//! Decides what a shared cache may keep and for how long: RFC 9111, sections 3 and 4. No clock and no lock.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, Method, StatusCode, header, response};

use super::cache_control::CacheControl;

/// Headers of requests that ask for a part of a response, or for one on a condition: none is answered from the cache.
const CONDITIONS: [HeaderName; 6] = [
    header::RANGE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::IF_RANGE,
];

/// Headers that belong to one connection and are not kept (RFC 9110, section 7.6.1).
const OF_CONNECTION: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// The part that a request has in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestPlan {
    /// A request that the cache has nothing to do with.
    Bypass,
    /// A request that may change something: its success removes what is kept of its URI.
    Invalidate,
    /// A request that may be answered from the cache, and whose response may be kept.
    Use(CacheControl),
}

impl RequestPlan {
    pub(super) fn new(method: &Method, headers: &HeaderMap) -> Self {
        if *method != Method::GET {
            return match method.is_safe() {
                true => RequestPlan::Bypass,
                false => RequestPlan::Invalidate,
            };
        }
        if CONDITIONS.iter().any(|name| headers.contains_key(name))
            || headers.contains_key(header::UPGRADE)
        {
            return RequestPlan::Bypass;
        }
        let mut directives = CacheControl::from_headers(headers);
        // HTTP/1.0's form, which counts where there is no other.
        if !headers.contains_key(header::CACHE_CONTROL) {
            directives.no_cache = has_pragma_no_cache(headers);
        }
        match directives.no_store {
            true => RequestPlan::Bypass,
            false => RequestPlan::Use(directives),
        }
    }
}

fn has_pragma_no_cache(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::PRAGMA).iter();
    let mut members = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    members.any(|member| member.trim_ascii().eq_ignore_ascii_case(b"no-cache"))
}

/// The time for which a kept response may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Freshness {
    /// The age of the response when it was received.
    pub(super) initial_age: Duration,
    /// The age until which it is fresh.
    pub(super) lifetime: Duration,
    /// The time for which the response itself allows to serve it stale after failures.
    stale_if_error: Option<Duration>,
    must_revalidate: bool,
}

impl Freshness {
    /// Returns for how long a response may be kept; none if it must not be.
    ///
    /// `delay` is the time from the request to the response, by which it may be older than its `Age` says.
    pub(super) fn of_response(
        request: &HeaderMap,
        response: &response::Parts,
        now: SystemTime,
        delay: Duration,
    ) -> Option<Self> {
        let headers = &response.headers;
        let directives = CacheControl::from_headers(headers);
        let is_forbidden = directives.no_store || directives.private || directives.no_cache;
        if is_forbidden || !is_kept_status(response.status) {
            return None;
        }
        // A cookie is meant for one caller. RFC 9111 leaves it to the cache.
        if headers.contains_key(header::SET_COOKIE) || headers.contains_key(header::CONTENT_RANGE) {
            return None;
        }
        let is_shared_explicitly =
            directives.public || directives.must_revalidate || directives.s_maxage.is_some();
        if is_of_somebody(request) && !is_shared_explicitly {
            return None;
        }
        let date = http_date(headers, &header::DATE);
        let lifetime = lifetime(&directives, headers, date.unwrap_or(now))?;
        let apparent = date.and_then(|date| now.duration_since(date).ok());
        let reported = age(headers).saturating_add(delay);
        let freshness = Freshness {
            initial_age: reported.max(apparent.unwrap_or_default()),
            lifetime,
            stale_if_error: directives.stale_if_error.map(Duration::from_secs),
            // `s-maxage` implies it (RFC 9111, section 5.2.2.10).
            must_revalidate: directives.must_revalidate || directives.s_maxage.is_some(),
        };
        (freshness.initial_age < lifetime).then_some(freshness)
    }

    /// Returns whether a response of this age may be served to a request.
    pub(super) fn is_fresh(&self, age: Duration, request: &CacheControl) -> bool {
        let min_fresh = Duration::from_secs(request.min_fresh.unwrap_or_default());
        let max_age = request.max_age.map(Duration::from_secs);
        !request.no_cache
            && age.saturating_add(min_fresh) < self.lifetime
            && max_age.is_none_or(|max| age <= max)
    }

    /// Returns whether a response of this age may be served after a failure, by its own directive or by the setting of the cache.
    pub(super) fn may_be_stale(&self, age: Duration, setting: Option<Duration>) -> bool {
        if self.must_revalidate {
            return false;
        }
        let allowed = self.stale_if_error.max(setting);
        allowed.is_some_and(|time| age < self.lifetime.saturating_add(time))
    }
}

/// Returns whether a request says who its caller is.
fn is_of_somebody(request: &HeaderMap) -> bool {
    // RFC 9111 says it of `Authorization` alone; applications forget to say it of cookies.
    request.contains_key(header::AUTHORIZATION) || request.contains_key(header::COOKIE)
}

/// Returns whether a response that is not kept takes the place of those that are: the peer has something else now, or nothing, and
/// that not for one caller only.
pub(super) fn is_superseding(request: &HeaderMap, response: &response::Parts) -> bool {
    let is_gone = matches!(response.status, StatusCode::NOT_FOUND | StatusCode::GONE);
    (is_gone || is_kept_status(response.status))
        && !is_of_somebody(request)
        && !response.headers.contains_key(header::SET_COOKIE)
}

/// Returns whether a response of this status is kept: it is final, whole, and no failure.
fn is_kept_status(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308)
}

/// Returns the explicit lifetime: there is no heuristic one.
fn lifetime(directives: &CacheControl, headers: &HeaderMap, date: SystemTime) -> Option<Duration> {
    if let Some(seconds) = directives.s_maxage.or(directives.max_age) {
        return Some(Duration::from_secs(seconds));
    }
    let expires = http_date(headers, &header::EXPIRES)?;
    expires.duration_since(date).ok()
}

/// Returns the time of a header that has one value, and a valid one.
fn http_date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    match values.next() {
        None => httpdate::parse_http_date(value.to_str().ok()?).ok(),
        Some(_) => None,
    }
}

/// Returns what `Age` says; one that is invalid says that it is very old.
fn age(headers: &HeaderMap) -> Duration {
    let mut ages = headers.get_all(header::AGE).iter().map(|value| {
        let seconds = value
            .to_str()
            .ok()
            .and_then(|text| text.trim().parse().ok());
        Duration::from_secs(seconds.unwrap_or(u64::from(u32::MAX)))
    });
    ages.by_ref().take(8).max().unwrap_or_default()
}

/// Removes what belongs to one connection, and what the cache writes itself.
pub(super) fn remove_connection_headers(headers: &mut HeaderMap) {
    let connection = headers.get_all(header::CONNECTION).iter();
    let named: Vec<HeaderName> = connection
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in OF_CONNECTION {
        headers.remove(name);
    }
    headers.remove(header::AGE);
}

#[cfg(test)]
#[path = "freshness_tests.rs"]
mod tests;
