use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::util::headers::copy_value;

/// More headers than a response may vary by and be kept.
const MAX_NAMES: usize = 16;
/// The longest values of a request that are kept for one response, in bytes.
const MAX_BYTES: usize = 4 * 1024;

/// The headers of the request that a kept response was selected by, with their values (RFC 9111, section 4.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selected {
    fields: Vec<(HeaderName, Vec<HeaderValue>)>,
    bytes: usize,
}

impl Selected {
    /// Reads what a response varies by; none if no other request can be answered with it, as `*` says.
    pub(super) fn new(request: &HeaderMap, response: &HeaderMap) -> Option<Self> {
        let mut names: Vec<HeaderName> = Vec::new();
        for value in response.get_all(header::VARY) {
            for name in value.to_str().ok()?.split(',').map(str::trim) {
                match HeaderName::from_bytes(name.as_bytes()) {
                    Ok(_) if name == "*" => return None,
                    Ok(name) => names.push(name),
                    // An invalid name cannot be obeyed.
                    Err(_) if name.is_empty() => {}
                    Err(_) => return None,
                }
                if names.len() > MAX_NAMES {
                    return None;
                }
            }
        }
        names.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        names.dedup();
        let mut selected = Selected::default();
        for name in names {
            let values: Vec<_> = request.get_all(&name).iter().map(copy_value).collect();
            selected.bytes += values.iter().map(HeaderValue::len).sum::<usize>() + 64;
            selected.fields.push((name, values));
        }
        (selected.bytes <= MAX_BYTES).then_some(selected)
    }

    /// Returns whether a request has the same values.
    pub(super) fn matches(&self, request: &HeaderMap) -> bool {
        let mut fields = self.fields.iter();
        fields.all(|(name, values)| request.get_all(name).iter().eq(values))
    }

    /// Returns about how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn request_matches_by_all_values_that_the_response_varies_by() {
        let vary = headers(&[("vary", "Accept, accept-language"), ("vary", "accept")]);
        let request = headers(&[("accept", "a"), ("accept", "b"), ("x-other", "c")]);
        let selected = Selected::new(&request, &vary).expect("names");
        assert!(selected.matches(&headers(&[("accept", "a"), ("accept", "b")])));
        for other in [
            &[("accept", "b"), ("accept", "a")][..],
            &[("accept", "a")],
            &[("accept", "a"), ("accept", "b"), ("accept-language", "en")],
            &[],
        ] {
            assert!(!selected.matches(&headers(other)), "{other:?}");
        }
        let none = Selected::new(&request, &HeaderMap::new()).expect("no names");
        assert!(none.matches(&HeaderMap::new()));
    }

    #[test]
    fn response_that_varies_by_everything_or_too_much_is_not_kept() {
        let request = headers(&[("accept", "a")]);
        for vary in ["*", "accept, *", "*, accept", "a b", "a\u{e4}"] {
            let value = HeaderValue::from_bytes(vary.as_bytes()).expect("a value");
            let mut response = HeaderMap::new();
            response.insert(header::VARY, value);
            assert_eq!(Selected::new(&request, &response), None, "{vary}");
        }
        let many: Vec<String> = (0..=MAX_NAMES).map(|name| format!("x-{name}")).collect();
        let mut response = HeaderMap::new();
        let value = HeaderValue::from_str(&many.join(",")).expect("a value");
        response.insert(header::VARY, value);
        assert_eq!(Selected::new(&request, &response), None);
        let mut long = HeaderMap::new();
        let value = HeaderValue::from_str(&"x".repeat(MAX_BYTES)).expect("a value");
        long.insert(header::ACCEPT, value);
        assert_eq!(Selected::new(&long, &headers(&[("vary", "accept")])), None);
    }
}
