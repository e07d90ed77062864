use super::*;

#[test]
fn connection_and_the_fields_it_lists_are_stripped() {
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
fn hop_by_hop_fields_are_stripped_even_if_unlisted() {
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
fn forwarded_headers_cannot_be_struck_by_the_client() {
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
fn forwarded_headers_append_to_those_of_earlier_proxies() {
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
fn te_passes_trailers_only() {
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
fn upgrade_offer_never_names_another_http() {
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
fn upgrade_is_requested_and_answered_hop_by_hop() {
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
    let mut rejected = answer;
    toward_client(&mut rejected, Version::HTTP_11, false);
    assert_eq!(rejected, map(&[("via", "1.1 tower-keep")]));
}

#[test]
fn max_forwards_is_counted_down() {
    let mut headers = map(&[("max-forwards", "3")]);
    toward_upstream(&mut headers, &hop(Version::HTTP_11));
    assert_eq!(forwards_left(&headers), Some(2));
    assert_eq!(forwards_left(&map(&[("max-forwards", "many")])), None);
}

#[test]
fn host_of_the_uri_wins_over_the_header() {
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
