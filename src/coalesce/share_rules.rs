use http::{HeaderMap, HeaderName, header};

/// The rules by which several callers may have the response of a call.
#[derive(Clone, Copy, Debug)]
pub struct ShareRules {
    /// The longest body that is shared, in bytes.
    pub(super) max_bytes: usize,
    /// True on a server whose keys are heads: a response may depend on more than that, such as on a client certificate, and says so.
    pub(super) is_for_unknown_callers: bool,
}

impl ShareRules {
    /// Returns whether the headers of a response allow that several callers have it.
    pub(super) fn allow(self, headers: &HeaderMap) -> bool {
        // A cookie is meant for one caller, such as that of a new session.
        if headers.contains_key(header::SET_COOKIE) {
            return false;
        }
        let is_for_one = |name: &[u8]| {
            name.eq_ignore_ascii_case(b"private") || name.eq_ignore_ascii_case(b"no-store")
        };
        !(self.is_for_unknown_callers
            && (has_member(headers, &header::CACHE_CONTROL, is_for_one)
                || has_member(headers, &header::VARY, |name| name == b"*")))
    }
}

/// Returns whether a list has a member with such a name. One inside of quotes counts as well: it is better not to share.
fn has_member(headers: &HeaderMap, list: &HeaderName, is_found: impl Fn(&[u8]) -> bool) -> bool {
    let values = headers.get_all(list).iter();
    let mut members = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    members.any(|member| {
        let name = member.split(|byte| *byte == b'=').next();
        name.is_some_and(|name| is_found(name.trim_ascii()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(is_for_unknown_callers: bool, fields: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, http::HeaderValue::from_static(value));
        }
        let rules = ShareRules {
            max_bytes: 1,
            is_for_unknown_callers,
        };
        rules.allow(&headers)
    }

    #[test]
    fn cookie_is_never_shared() {
        for is_for_unknown_callers in [false, true] {
            assert!(allows(is_for_unknown_callers, &[("x-other", "1")]));
            assert!(!allows(is_for_unknown_callers, &[("set-cookie", "a=1")]));
        }
    }

    #[test]
    fn response_for_one_caller_is_not_shared_where_callers_are_unknown() {
        for fields in [
            &[
                ("cache-control", "max-age=1"),
                ("cache-control", " Private "),
            ][..],
            &[("cache-control", "private = \"x\",max-age=1")],
            &[("cache-control", "x=\"y, no-store")],
            &[("vary", "accept"), ("vary", "*")],
        ] {
            assert!(!allows(true, fields), "{fields:?}");
            assert!(allows(false, fields), "{fields:?}");
        }
        for fields in [
            &[("cache-control", "max-age=1, no-cache, must-revalidate")][..],
            &[("cache-control", "")],
            &[("vary", "accept, cookie")],
        ] {
            assert!(allows(true, fields), "{fields:?}");
        }
    }
}
