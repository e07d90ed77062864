//! The invariants of the headers in which proxies name the client: `X-Forwarded-For` and `Forwarded`.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderValue, Request};
use tower_keep::context::TrustedProxies;

use super::invariants::values;

const NETWORKS: [&str; 3] = ["10.0.0.0/8", "fd00::/8", "::1"];
const PROXY: [u8; 4] = [10, 0, 0, 1];
const STRANGER: [u8; 4] = [203, 0, 113, 9];

/// One line, one header. The client is what the trusted proxies say, and no stranger can change it.
pub fn x_forwarded_for(bytes: &[u8]) {
    let proxies = TrustedProxies::x_forwarded_for(NETWORKS).expect("networks");
    let values = values(bytes);
    check(&proxies, "x-forwarded-for", &values, "");
    // An obvious implementation.
    let mut client = IpAddr::from(PROXY);
    let lines = values
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()));
    let all = lines.collect::<Vec<_>>().join(",");
    for entry in all.rsplit(',') {
        let entry = entry.trim_ascii();
        let bare = entry
            .strip_prefix('[')
            .and_then(|entry| entry.strip_suffix(']'));
        let socket = entry.parse().map(|socket: SocketAddr| socket.ip());
        let address = match bare {
            Some(bare) => bare.parse::<std::net::Ipv6Addr>().map(IpAddr::V6),
            None => entry.parse(),
        };
        let (true, Ok(address)) = (is_trusted(client), address.or(socket)) else {
            break;
        };
        client = address.to_canonical();
    }
    let request = request("x-forwarded-for", &values, PROXY);
    assert_eq!(proxies.client_address(&request), Some(client));
}

/// One line, one header.
pub fn forwarded(bytes: &[u8]) {
    let proxies = TrustedProxies::forwarded(NETWORKS).expect("networks");
    check(&proxies, "forwarded", &values(bytes), "for=");
}

fn check(proxies: &TrustedProxies, header: &'static str, values: &[HeaderValue], key: &str) {
    let client = |values: &[HeaderValue], peer| {
        let client = proxies.client_address(&request(header, values, peer));
        client.expect("the peer is known")
    };
    // A peer that is no proxy is the client, whatever it says.
    assert_eq!(client(values, STRANGER), IpAddr::from(STRANGER));
    // What it says is at most an address.
    assert_eq!(client(values, PROXY), client(values, PROXY).to_canonical());
    // What our proxies append counts, whatever a stranger wrote before it: in a line of its own or in the last one.
    let appended = format!("{key}203.0.113.9;x=1, {key}10.0.0.2");
    let appended = match key {
        "" => appended.replace(";x=1", ""),
        _ => appended,
    };
    let line = HeaderValue::try_from(&appended).expect("a value");
    let mut own_line = values.to_vec();
    own_line.push(line);
    assert_eq!(client(&own_line, PROXY), IpAddr::from(STRANGER));
    if let Some((last, others)) = values.split_last() {
        let joined = [last.as_bytes(), b", ", appended.as_bytes()].concat();
        let joined = HeaderValue::from_bytes(&joined).expect("each is a header value");
        let mut same_line = others.to_vec();
        same_line.push(joined);
        assert_eq!(client(&same_line, PROXY), IpAddr::from(STRANGER));
    }
}

fn is_trusted(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[0] == 10,
        IpAddr::V6(address) => address.octets()[0] == 0xfd || address.is_loopback(),
    }
}

fn request(header: &'static str, values: &[HeaderValue], peer: [u8; 4]) -> Request<()> {
    let mut request = Request::new(());
    for value in values {
        request.headers_mut().append(header, value.clone());
    }
    let peer = SocketAddr::from((peer, 4711));
    request.extensions_mut().insert(peer);
    request
}
