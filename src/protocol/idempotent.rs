use http::{HeaderMap, HeaderValue, Method};

/// Largest part of a request's body that is kept by default, in bytes: more than most have, little enough for thousands
/// of calls.
pub(crate) const DEFAULT_MAX_REPLAY_BYTES: usize = 64 * 1024;

/// Returns whether an HTTP request says of itself that it may be done twice.
pub(crate) fn is_idempotent(method: &Method, headers: &HeaderMap) -> bool {
    method.is_idempotent() || headers.get("idempotency-key").is_some_and(is_a_key)
}

/// Returns whether a value is a key. An empty one, quoted or not, tells no request from another.
fn is_a_key(value: &HeaderValue) -> bool {
    let mut bytes = value.as_bytes().iter();
    bytes.any(|byte| !byte.is_ascii_whitespace() && *byte != b'"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_idempotency_key_counts_for_nothing() {
        let twice = |method: Method, key: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(key) = key {
                headers.insert("idempotency-key", HeaderValue::from_static(key));
            }
            is_idempotent(&method, &headers)
        };
        assert!(twice(Method::POST, Some("\"8e03978e\"")) && twice(Method::POST, Some("7")));
        for none in [None, Some(""), Some("  "), Some("\"\""), Some("\" \"")] {
            assert!(!twice(Method::POST, none), "{none:?}");
            assert!(twice(Method::PUT, none), "{none:?}");
        }
    }
}
