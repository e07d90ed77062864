//! The key of a breaker from the authority of a request, which strangers may choose.

use http::{HeaderValue, Request, Uri, header::HOST};
use tower_keep::{
    CircuitBreaker,
    breaker::{CircuitState, KeyedBreaker},
    call::CallClock,
    guard::Admit,
};

/// A DNS name has at most 255 bytes, a port five.
const MAX_KEY: usize = 255 + ":65535".len();
/// The key of whatever is not an authority.
const OTHER: &str = "_OTHER";

/// The first line is a URI, the second a `Host`. A request has at most one key: short, in one spelling, and without
/// credentials.
pub fn breaker_key(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut request = Request::new(());
    if let Ok(uri) = Uri::try_from(lines.next().unwrap_or_default()) {
        *request.uri_mut() = uri;
    }
    if let Some(Ok(host)) = lines.next().map(HeaderValue::from_bytes) {
        request.headers_mut().insert(HOST, host);
    }
    let Some(key) = key_of(&mut request) else {
        let has_host = |value: &HeaderValue| !value.is_empty();
        assert!(request.uri().authority().is_none());
        assert!(!request.headers().get(HOST).is_some_and(has_host));
        return;
    };
    if key == OTHER {
        return;
    }
    assert!(key.len() <= MAX_KEY, "{key}");
    let is_odd =
        |c: char| c.is_whitespace() || c.is_control() || c.is_ascii_uppercase() || c == '@';
    assert!(!key.contains(is_odd), "{key:?}");
    // The key names itself, however it is spelled, and whoever asks.
    for spelling in [
        key.clone(),
        key.to_ascii_uppercase(),
        format!("joe:secret@{key}"),
    ] {
        let Ok(host) = HeaderValue::from_str(&spelling) else {
            panic!("a key is a header value: {spelling:?}");
        };
        let mut request = Request::new(());
        request.headers_mut().insert(HOST, host);
        assert_eq!(key_of(&mut request).as_deref(), Some(&*key), "{spelling}");
    }
}

/// Returns the key that a guard by authority takes for a request.
fn key_of(request: &mut Request<()>) -> Option<String> {
    let template = CircuitBreaker::builder("peers");
    let peers = KeyedBreaker::builder(template).build().expect("settings");
    let permit = peers
        .keyed_by_authority()
        .admit(request, &CallClock::default());
    assert!(permit.is_ok(), "a closed circuit admits");
    let mut keys = peers.states();
    let found = keys.pop();
    assert!(keys.is_empty(), "a request has one key");
    found.map(|(key, state)| {
        assert_eq!(state, CircuitState::Closed);
        key
    })
}
