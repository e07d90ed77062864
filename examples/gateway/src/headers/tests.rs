use super::*;

#[test]
fn strips_connection_and_all_it_lists() {
    let mut headers = map(&[
        ("connection", "close, X-Private"),
        ("connection", "x-other,, ,not a name"),
        ("x-private", "1"),
        ("x-other", "2"),
        ("accept", "*/*"),
    ]);
    strip_hop_by_hop(&mut headers);
    assert_eq!(headers, map(&[("accept", "*/*")]));
}

#[test]
fn strips_hop_by_hop_fields_that_nobody_listed() {
    let mut headers = map(&[
        ("transfer-encoding", "chunked"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic x"),
        ("te", "gzip"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAMAAABk"),
        ("trailer", "digest"),
        ("authorization", "Basic y"),
    ]);
    strip_hop_by_hop(&mut headers);
    assert_eq!(
        headers,
        map(&[("trailer", "digest"), ("authorization", "Basic y")])
    );
}

#[test]
fn a_client_cannot_strike_what_the_gateway_adds() {
    let mut headers = map(&[
        ("connection", "host, via, x-forwarded-for"),
        ("host", "public"),
    ]);
    toward_upstream(&mut headers, &hop(Version::HTTP_11));
    assert_eq!(headers["host"], "up:81");
    assert_eq!(headers["via"], "1.1 tower-keep");
    assert_eq!(headers["x-forwarded-for"], "192.0.2.7");
    assert_eq!(headers["x-forwarded-host"], "public");
    assert!(!headers.contains_key("connection"));
}

#[test]
fn appends_to_what_earlier_proxies_said() {
    let mut headers = map(&[
        ("via", "1.0 first"),
        ("x-forwarded-for", "203.0.113.1"),
        ("x-forwarded-for", "203.0.113.2"),
        ("x-forwarded-proto", "https"),
    ]);
    toward_upstream(&mut headers, &hop(Version::HTTP_11));
    assert_eq!(headers["via"], "1.0 first, 1.1 tower-keep");
    assert_eq!(
        headers["x-forwarded-for"],
        "203.0.113.1, 203.0.113.2, 192.0.2.7"
    );
    assert_eq!(headers.get_all("x-forwarded-for").iter().count(), 1);
    assert_eq!(headers["x-forwarded-proto"], "https, http");
}

#[test]
fn of_te_only_trailers_passes() {
    let mut headers = map(&[("te", "gzip;q=0.5, Trailers"), ("connection", "te")]);
    toward_upstream(&mut headers, &hop(Version::HTTP_11));
    assert_eq!(
        (&headers["te"], &headers["connection"]),
        (&value("trailers"), &value("TE"))
    );

    let mut headers = map(&[("te", "trailers")]);
    toward_upstream(&mut headers, &hop(Version::HTTP_2));
    assert_eq!(headers["te"], "trailers");
    assert!(!headers.contains_key("connection"), "forbidden on HTTP/2");
}

#[test]
fn http2_has_no_host_and_http1_one_cookie() {
    let asked = [("host", "public"), ("cookie", "a=1"), ("cookie", "b=2")];
    let mut headers = map(&asked);
    toward_upstream(&mut headers, &hop(Version::HTTP_2));
    assert!(!headers.contains_key("host"));
    assert_eq!(headers.get_all("cookie").iter().count(), 2);

    let mut headers = map(&asked);
    toward_upstream(&mut headers, &hop(Version::HTTP_11));
    assert_eq!(headers["cookie"], "a=1; b=2");
    assert_eq!(headers.get_all("cookie").iter().count(), 1);
}

#[test]
fn offers_an_upgrade_but_never_another_http() {
    let offer = |protocols| {
        let headers = map(&[
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", protocols),
        ]);
        upgrade_offer(&headers, Version::HTTP_11)
    };
    assert_eq!(offer("websocket"), Some(value("websocket")));
    assert_eq!(offer("h2c, websocket, HTTP/2.0"), Some(value("websocket")));
    assert_eq!(offer("H2C"), None);

    let unlisted = map(&[("upgrade", "websocket")]);
    assert_eq!(upgrade_offer(&unlisted, Version::HTTP_11), None);
    let listed = map(&[("connection", "upgrade"), ("upgrade", "websocket")]);
    assert_eq!(upgrade_offer(&listed, Version::HTTP_10), None);
}

#[test]
fn an_upgrade_is_asked_for_and_answered_hop_by_hop() {
    let websocket = value("websocket");
    let mut headers = map(&[("connection", "upgrade"), ("upgrade", "h2c, websocket")]);
    let hop = Hop {
        upgrade: Some(&websocket),
        ..hop(Version::HTTP_11)
    };
    toward_upstream(&mut headers, &hop);
    assert_eq!(
        (&headers["connection"], &headers["upgrade"]),
        (&value("Upgrade"), &websocket)
    );

    let answer = map(&[("connection", "upgrade"), ("upgrade", "websocket")]);
    let mut switched = answer.clone();
    toward_client(&mut switched, Version::HTTP_11, true);
    assert_eq!(
        (&switched["connection"], &switched["upgrade"]),
        (&value("Upgrade"), &websocket)
    );
    let mut refused = answer;
    toward_client(&mut refused, Version::HTTP_11, false);
    assert_eq!(refused, map(&[("via", "1.1 tower-keep")]));
}

#[test]
fn counts_max_forwards_down() {
    let mut headers = map(&[("max-forwards", "3")]);
    toward_upstream(&mut headers, &hop(Version::HTTP_11));
    assert_eq!(forwards_left(&headers), Some(2));
    assert_eq!(forwards_left(&map(&[("max-forwards", "many")])), None);
}

#[test]
fn the_uri_names_the_host_before_the_header_does() {
    let headers = map(&[("host", "header")]);
    let host = |uri| requested_host(&Uri::from_static(uri), &headers);
    assert_eq!(host("http://uri:80/a"), Some(value("uri:80")));
    assert_eq!(host("/a"), Some(value("header")));
}

fn hop(sent: Version) -> Hop<'static> {
    static UPSTREAM: std::sync::LazyLock<Authority> =
        std::sync::LazyLock::new(|| Authority::from_static("up:81"));
    Hop {
        peer: Some(IpAddr::from([192, 0, 2, 7])),
        host: Some(value("public")),
        received: Version::HTTP_11,
        sent,
        upstream: &UPSTREAM,
        upgrade: None,
    }
}

fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let fields = fields.iter();
    fields
        .map(|(name, text)| (HeaderName::from_static(name), value(text)))
        .collect()
}

fn value(text: &'static str) -> HeaderValue {
    HeaderValue::from_static(text)
}
