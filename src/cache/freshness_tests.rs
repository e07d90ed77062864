use http::{HeaderValue, Response};

use super::*;

const NO_DELAY: Duration = Duration::ZERO;

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let value = HeaderValue::from_str(value).expect("a value");
        headers.append(*name, value);
    }
    headers
}

fn response(status: u16, fields: &[(&'static str, &str)]) -> response::Parts {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    *response.headers_mut() = headers(fields);
    response.into_parts().0
}

/// A whole second, since dates have no more.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn kept(request: &[(&'static str, &str)], fields: &[(&'static str, &str)]) -> Option<Freshness> {
    let response = response(200, fields);
    Freshness::of_response(&headers(request), &response, now(), NO_DELAY)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn response_is_kept_only_if_it_says_for_how_long() {
    let lifetime = |fields: &[(&'static str, &str)]| kept(&[], fields).map(|it| it.lifetime);
    assert_eq!(lifetime(&[]), None);
    assert_eq!(lifetime(&[("cache-control", "public")]), None);
    assert_eq!(
        lifetime(&[("cache-control", "max-age=60")]),
        Some(seconds(60))
    );
    assert_eq!(
        lifetime(&[("cache-control", "max-age=60, s-maxage=5")]),
        Some(seconds(5))
    );
    assert_eq!(lifetime(&[("cache-control", "max-age=0")]), None);
    let date = httpdate::fmt_http_date(now());
    let expires = httpdate::fmt_http_date(now() + seconds(90));
    assert_eq!(
        lifetime(&[("expires", &expires), ("date", &date)]),
        Some(seconds(90))
    );
    assert_eq!(lifetime(&[("expires", &expires)]), Some(seconds(90)));
    let both = [("expires", &*expires), ("cache-control", "max-age=7")];
    assert_eq!(lifetime(&both), Some(seconds(7)));
    assert_eq!(lifetime(&[("expires", "0")]), None);
    assert_eq!(lifetime(&[("expires", &date)]), None);
}

#[test]
fn response_that_is_forbidden_to_keep_is_not_kept() {
    for forbidden in [
        "no-store",
        "private",
        "no-cache",
        "private=\"x\"",
        "no-cache=\"x\"",
    ] {
        let value = format!("max-age=60, public, {forbidden}");
        assert_eq!(kept(&[], &[("cache-control", &value)]), None, "{forbidden}");
    }
    let with = |name: &'static str| kept(&[], &[("cache-control", "max-age=60"), (name, "x")]);
    assert_eq!(with("set-cookie"), None);
    assert_eq!(with("content-range"), None);
    assert!(with("x-other").is_some());
}

#[test]
fn failures_and_parts_are_not_kept() {
    let keeps = |status| {
        let response = response(status, &[("cache-control", "max-age=60")]);
        Freshness::of_response(&HeaderMap::new(), &response, now(), NO_DELAY).is_some()
    };
    for status in [200, 203, 204, 300, 301, 308] {
        assert!(keeps(status), "{status}");
    }
    for status in [
        101, 201, 202, 206, 302, 304, 307, 400, 401, 404, 429, 500, 503,
    ] {
        assert!(!keeps(status), "{status}");
    }
}

#[test]
fn response_to_a_request_of_somebody_is_kept_only_if_it_is_for_all() {
    for name in ["authorization", "cookie"] {
        let keeps = |value| kept(&[(name, "x")], &[("cache-control", value)]).is_some();
        assert!(!keeps("max-age=60"));
        assert!(keeps("max-age=60, public"));
        assert!(keeps("max-age=60, must-revalidate"));
        assert!(keeps("s-maxage=60"));
        assert!(!keeps("max-age=60, public, private"));
    }
}

#[test]
fn age_is_that_of_other_caches_of_the_date_and_of_the_way() {
    let initial_age = |fields: &[(&'static str, &str)], delay| {
        let mut all = vec![("cache-control", "max-age=60")];
        all.extend_from_slice(fields);
        let response = response(200, &all);
        let freshness = Freshness::of_response(&HeaderMap::new(), &response, now(), delay);
        freshness.map(|freshness| freshness.initial_age)
    };
    assert_eq!(initial_age(&[], NO_DELAY), Some(seconds(0)));
    assert_eq!(initial_age(&[("age", "20")], seconds(2)), Some(seconds(22)));
    let date = httpdate::fmt_http_date(now() - seconds(30));
    assert_eq!(
        initial_age(&[("age", "20"), ("date", &date)], NO_DELAY),
        Some(seconds(30))
    );
    let future = httpdate::fmt_http_date(now() + seconds(30));
    assert_eq!(
        initial_age(&[("date", &future)], NO_DELAY),
        Some(seconds(0))
    );
    // Stale already, or of no age that one can rely on.
    assert_eq!(initial_age(&[("age", "60")], NO_DELAY), None);
    assert_eq!(initial_age(&[("age", "-1")], NO_DELAY), None);
    assert_eq!(
        initial_age(&[("age", "99999999999999999999")], NO_DELAY),
        None
    );
}

#[test]
fn request_chooses_how_old_a_response_may_be() {
    let freshness = kept(&[], &[("cache-control", "max-age=60")]).expect("kept");
    let is_fresh = |age, value| {
        let RequestPlan::Use(directives) =
            RequestPlan::new(&Method::GET, &headers(&[("cache-control", value)]))
        else {
            panic!("{value}");
        };
        freshness.is_fresh(seconds(age), &directives)
    };
    assert!(is_fresh(59, ""));
    assert!(!is_fresh(60, ""));
    assert!(!is_fresh(0, "no-cache"));
    assert!(is_fresh(10, "max-age=10") && !is_fresh(11, "max-age=10"));
    assert!(is_fresh(49, "min-fresh=10") && !is_fresh(50, "min-fresh=10"));
    assert!(!is_fresh(0, "min-fresh=99999999999999999999"));
}

#[test]
fn stale_response_is_served_only_where_nothing_forbids_it() {
    let may = |value: &str, age, setting| {
        let freshness = kept(&[], &[("cache-control", value)]).expect("kept");
        freshness.may_be_stale(seconds(age), setting)
    };
    let setting = Some(seconds(30));
    assert!(!may("max-age=60", 61, None));
    assert!(may("max-age=60", 89, setting) && !may("max-age=60", 90, setting));
    assert!(may("max-age=60, stale-if-error=5", 64, None));
    assert!(!may("max-age=60, stale-if-error=5", 65, None));
    assert!(may("max-age=60, stale-if-error=5", 89, setting));
    for forbidden in ["must-revalidate", "proxy-revalidate", "s-maxage=60"] {
        let value = format!("max-age=60, stale-if-error=50, {forbidden}");
        assert!(!may(&value, 61, setting), "{forbidden}");
    }
}

#[test]
fn request_is_read_by_method_conditions_and_directives() {
    let plan = |method: Method, fields: &[(&'static str, &str)]| {
        RequestPlan::new(&method, &headers(fields))
    };
    for method in [Method::HEAD, Method::OPTIONS, Method::TRACE] {
        assert_eq!(plan(method, &[]), RequestPlan::Bypass);
    }
    let patch = Method::from_bytes(b"FROB").expect("a method");
    for method in [
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::PATCH,
        patch,
    ] {
        assert_eq!(plan(method, &[]), RequestPlan::Invalidate);
    }
    for name in [
        "range",
        "if-none-match",
        "if-match",
        "if-modified-since",
        "upgrade",
    ] {
        assert_eq!(
            plan(Method::GET, &[(name, "x")]),
            RequestPlan::Bypass,
            "{name}"
        );
    }
    assert_eq!(
        plan(Method::GET, &[("cache-control", "no-store")]),
        RequestPlan::Bypass
    );
    let no_cache = |plan| matches!(plan, RequestPlan::Use(directives) if directives.no_cache);
    assert!(no_cache(plan(Method::GET, &[("pragma", "no-cache")])));
    assert!(no_cache(plan(Method::GET, &[("pragma", "x, No-Cache")])));
    let both = [("pragma", "no-cache"), ("cache-control", "max-age=60")];
    assert!(!no_cache(plan(Method::GET, &both)));
}

#[test]
fn headers_of_a_connection_are_not_kept() {
    let mut kept = headers(&[
        ("connection", "close, X-Hop"),
        ("x-hop", "1"),
        ("transfer-encoding", "chunked"),
        ("age", "7"),
        ("etag", "\"1\""),
    ]);
    remove_connection_headers(&mut kept);
    assert_eq!(kept, headers(&[("etag", "\"1\"")]));
}
