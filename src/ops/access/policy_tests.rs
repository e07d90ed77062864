use http::Request;

use super::*;

const VIEWER: &str = "a viewer's token";
const OPERATOR: &str = "an operator's token";

fn access() -> Access {
    let access = Access::builder()
        .viewer_token(VIEWER)
        .operator_token(OPERATOR)
        .by(|request| {
            let name = request.headers.get("x-user")?.to_str().ok()?;
            assert_ne!(name, "panic");
            Some(Identity::new(Role::Viewer).named(name))
        });
    access.build().expect("valid")
}

fn role(access: &Access, headers: &[(&str, &str)]) -> Option<Role> {
    let request = headers
        .iter()
        .fold(Request::builder(), |request, (name, value)| {
            request.header(*name, *value)
        });
    let (parts, ()) = request.body(()).expect("a request").into_parts();
    let identity = access.identify(&parts, Instant::now());
    identity.map(|identity| identity.role())
}

#[test]
fn access_by_token_needs_the_whole_token() {
    let access = access();
    let by = |value: &str| role(&access, &[("authorization", value)]);
    assert_eq!(by(&format!("Bearer {VIEWER}")), Some(Role::Viewer));
    assert_eq!(by(&format!("bearer {OPERATOR}")), Some(Role::Operator));
    for value in [
        "Bearer ",
        "Bearer an operator",
        "Basic YTpi",
        OPERATOR,
        "Bearer",
    ] {
        assert_eq!(by(value), None, "{value}");
    }
    // A wrong token is not made good by anything else.
    let both = [("authorization", "Bearer wrong"), ("x-user", "mira")];
    assert_eq!(role(&access, &both), None);
}

#[test]
fn access_by_closure_survives_its_panic() {
    let access = access();
    assert_eq!(role(&access, &[("x-user", "mira")]), Some(Role::Viewer));
    assert_eq!(role(&access, &[("x-user", "panic")]), None);
    assert_eq!(role(&access, &[]), None);
}

#[test]
fn access_by_session_lasts_until_its_end() {
    let access = access();
    let now = Instant::now();
    let operator = Identity::new(Role::Operator);
    let cookie = access.begin_session(operator, (&HeaderMap::new(), &Uri::default()), now);
    let cookie = cookie.expect("random numbers");
    assert!(
        cookie.ends_with("; HttpOnly; SameSite=Strict; Max-Age=43200; Secure"),
        "{cookie}"
    );
    let pair = cookie.split(';').next().expect("a pair");
    let sent = format!("other=1; {pair}; another=2");
    assert_eq!(role(&access, &[("cookie", &sent)]), Some(Role::Operator));
    let headers = [(header::COOKIE, sent.parse().expect("a value"))];
    let headers = headers.into_iter().collect();
    let removal = access.end_session((&headers, &Uri::default()));
    assert_eq!(
        removal,
        "tower_keep_ops=; HttpOnly; SameSite=Strict; Max-Age=0"
    );
    assert_eq!(role(&access, &[("cookie", &sent)]), None);
}

/// Ports share their cookies: the second console on a machine ended the sessions of the first.
#[test]
fn session_cookie_is_that_of_a_port() {
    let access = access();
    let headers = |host: &str, cookie: &str| -> HeaderMap {
        let pairs = [(header::HOST, host), (header::COOKIE, cookie)];
        let value = |text: &str| text.parse().expect("a value");
        pairs
            .map(|(name, text)| (name, value(text)))
            .into_iter()
            .collect()
    };
    let (uri, viewer) = (Uri::default(), Identity::new(Role::Viewer));
    let here = headers("127.0.0.1:9901", "");
    let cookie = access.begin_session(viewer, (&here, &uri), Instant::now());
    let cookie = cookie.expect("random numbers");
    let pair = cookie.split(';').next().expect("a pair");
    assert!(pair.starts_with("tower_keep_ops_9901="), "{pair}");
    let found = |host| session_cookie(&headers(host, pair), &uri).is_some();
    assert!(found("127.0.0.1:9901") && found("localhost:9901"));
    assert!(!found("127.0.0.1:9902") && !found("127.0.0.1") && !found("[::1]"));
}

#[test]
fn session_cookie_needs_tls_except_on_this_machine() {
    for (host, secure) in [
        ("localhost:3000", false),
        ("127.0.0.1", false),
        ("[::1]:8080", false),
        ("[::1]", false),
        ("orders.example", true),
        ("127.0.0.1.example:80", true),
    ] {
        let headers = [(header::HOST, host.parse().expect("a value"))];
        let headers = headers.into_iter().collect();
        let head = (&headers, &Uri::default());
        let cookie = access().begin_session(Identity::new(Role::Viewer), head, Instant::now());
        let cookie = cookie.expect("random numbers");
        assert_eq!(cookie.ends_with("; Secure"), secure, "{host}");
    }
}

#[test]
fn login_link_identifies_an_operator_once() {
    let access = Access::login_links();
    let link = access.login_link().expect("random numbers");
    let code = link.strip_prefix("login?code=").expect("a code");
    let redeem = || access.redeem_code(code, Instant::now());
    assert_eq!(redeem(), Some(Identity::new(Role::Operator)));
    assert_eq!(redeem(), None);
    let head = (&HeaderMap::new(), &Uri::default());
    let begin = |identity| access.begin_session(identity, head, Instant::now());
    let cookie = begin(Identity::new(Role::Operator)).expect("random numbers");
    assert!(cookie.contains("; Max-Age=43200;"), "{cookie}");
}

#[test]
fn access_settings_are_checked_and_shown_without_tokens() {
    let error = |builder: AccessBuilder| builder.build().unwrap_err().to_string();
    assert_eq!(
        error(Access::builder().viewer_token("short")),
        "console access: viewer_token is 5 bytes long, must be 16 to 512 bytes long"
    );
    let long = "x".repeat(513);
    assert!(error(Access::builder().operator_token(long)).contains("operator_token is 513"));
    for lifetime in [
        Duration::from_secs(59),
        Duration::from_secs(30 * 24 * 3_600 + 1),
    ] {
        let builder = Access::builder().session_lifetime(lifetime);
        assert!(error(builder).contains("session_lifetime"));
    }
    for lifetime in [60, 30 * 24 * 3_600] {
        let builder = Access::builder().session_lifetime(Duration::from_secs(lifetime));
        assert!(builder.build().is_ok(), "{lifetime}");
    }
    for origin in ["ops.example", "https://", "https://ops.example/"] {
        let builder = Access::builder().trusted_origin(origin);
        assert!(error(builder).contains("trusted_origin"), "{origin}");
    }
    let expected = "Access { policy: Policy { tokens: [(Secret(..), Viewer), (Secret(..), Operator)], \
                    decide: Some(Decide(..)), trusted_origins: [], session_lifetime: 43200s, \
                    proxies: TrustedProxies { networks: [], header: XForwardedFor } }, .. }";
    assert_eq!(format!("{:?}", access()), expected);
}

#[test]
fn access_accepts_trusted_origins_beside_the_own_host() {
    let access = Access::builder().trusted_origin("https://ops.example");
    let access = access.build().expect("valid");
    let accepts = |origin: &str| {
        let headers = [(header::HOST, "app.example"), (header::ORIGIN, origin)];
        let headers = headers.map(|(name, value)| (name, value.parse().expect("a value")));
        access.accepts_origin(&headers.into_iter().collect(), &Uri::default())
    };
    assert!(accepts("https://app.example") && accepts("https://ops.example"));
    assert!(!accepts("https://evil.example"));
}

#[test]
fn access_builder_shows_no_token() {
    let shown = format!("{:?}", Access::builder().viewer_token(VIEWER));
    assert!(!shown.contains(VIEWER), "{shown}");
}
