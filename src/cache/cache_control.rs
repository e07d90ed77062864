use http::{HeaderMap, header};

/// The longest value that is read, in bytes, all fields together: what is longer says nothing that a cache may rely on.
const MAX_BYTES: usize = 4 * 1024;
/// The longest time, in seconds, as RFC 9111 has it: longer ones mean this.
const MAX_SECONDS: u64 = 1 << 31;

/// The directives of `Cache-Control` that a shared cache obeys, of a request or a response (RFC 9111, section 5.2).
///
/// Invalid values are read in the careful way: a time that is none is 0, the shortest of several counts, and a value that is too long
/// or malformed, so that it may hide a prohibition, forbids to store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheControl {
    pub(super) no_store: bool,
    /// Also `no-cache` for some fields only.
    pub(super) no_cache: bool,
    /// Also `private` for some fields only.
    pub(super) private: bool,
    pub(super) public: bool,
    /// `must-revalidate` or `proxy-revalidate`.
    pub(super) must_revalidate: bool,
    pub(super) only_if_cached: bool,
    /// Times in seconds.
    pub(super) max_age: Option<u64>,
    pub(super) s_maxage: Option<u64>,
    pub(super) stale_if_error: Option<u64>,
    pub(super) min_fresh: Option<u64>,
}

impl CacheControl {
    /// Reads the directives of a head.
    pub(super) fn from_headers(headers: &HeaderMap) -> Self {
        let mut directives = CacheControl::default();
        let mut bytes = 0;
        for value in headers.get_all(header::CACHE_CONTROL) {
            bytes += value.len();
            if bytes > MAX_BYTES {
                return CacheControl {
                    no_store: true,
                    ..CacheControl::default()
                };
            }
            directives.parse(value.as_bytes());
        }
        directives
    }

    /// Reads one value.
    pub(super) fn parse(&mut self, value: &[u8]) {
        let mut directives = Directives {
            rest: value,
            is_unclosed: false,
        };
        for directive in directives.by_ref() {
            let (name, argument) = split_argument(directive);
            self.set(name, argument);
        }
        self.no_store |= directives.is_unclosed;
    }

    fn set(&mut self, name: &[u8], argument: Option<&[u8]>) {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        if is("no-store") {
            self.no_store = true;
        } else if is("no-cache") {
            self.no_cache = true;
        } else if is("private") {
            self.private = true;
        } else if is("public") {
            self.public = true;
        } else if is("must-revalidate") || is("proxy-revalidate") {
            self.must_revalidate = true;
        } else if is("only-if-cached") {
            self.only_if_cached = true;
        } else if is("max-age") {
            set_shortest(&mut self.max_age, argument);
        } else if is("s-maxage") {
            set_shortest(&mut self.s_maxage, argument);
        } else if is("stale-if-error") {
            set_shortest(&mut self.stale_if_error, argument);
        } else if is("min-fresh") {
            // The careful way is the longest here.
            let seconds = seconds(argument).unwrap_or(MAX_SECONDS);
            self.min_fresh = Some(self.min_fresh.map_or(seconds, |before| before.max(seconds)));
        } else if !name.iter().all(is_token) {
            // Such as two directives without a comma.
            self.no_store = true;
        }
    }
}

/// Returns whether a byte may be in the name of a directive (RFC 9110, section 5.6.2).
fn is_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

fn set_shortest(time: &mut Option<u64>, argument: Option<&[u8]>) {
    let seconds = seconds(argument).unwrap_or(0);
    *time = Some(time.map_or(seconds, |before| before.min(seconds)));
}

/// Reads a time in seconds, quoted or not.
fn seconds(argument: Option<&[u8]>) -> Option<u64> {
    let text = argument?;
    let text = match text {
        [b'"', inner @ .., b'"'] => inner,
        text => text,
    };
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |sum: u64, digit: &u8| {
        sum.saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    };
    Some(text.iter().fold(0, digit).min(MAX_SECONDS))
}

/// The parts of a list that are separated by commas outside of quotes, without the spaces around them.
struct Directives<'a> {
    rest: &'a [u8],
    /// A quote was opened and not closed.
    is_unclosed: bool,
}

impl<'a> Iterator for Directives<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let (mut is_quoted, mut is_escaped) = (false, false);
        let is_end = |byte: &u8| {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' if is_quoted => is_escaped = true,
                b'"' => is_quoted = !is_quoted,
                b',' => return !is_quoted,
                _ => {}
            }
            false
        };
        let end = self.rest.iter().position(is_end).unwrap_or(self.rest.len());
        self.is_unclosed = is_quoted;
        let (directive, rest) = self.rest.split_at(end);
        self.rest = rest.get(1..).unwrap_or_default();
        Some(directive.trim_ascii())
    }
}

fn split_argument(directive: &[u8]) -> (&[u8], Option<&[u8]>) {
    match directive.iter().position(|byte| *byte == b'=') {
        None => (directive, None),
        Some(at) => {
            let (name, argument) = directive.split_at(at);
            (name.trim_ascii(), Some(argument[1..].trim_ascii()))
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn parse(value: &str) -> CacheControl {
        let mut directives = CacheControl::default();
        directives.parse(value.as_bytes());
        directives
    }

    #[test]
    fn directives_are_read_in_any_case_and_order() {
        let directives = parse("Max-Age=60 , PUBLIC,s-maxage=\"5\", unknown=\"a, no-store\"");
        let expected = CacheControl {
            public: true,
            max_age: Some(60),
            s_maxage: Some(5),
            ..CacheControl::default()
        };
        assert_eq!(directives, expected);
        let directives = parse("private=\"set-cookie, x\", no-cache=\"y\"");
        assert!(directives.private && directives.no_cache && !directives.no_store);
    }

    #[test]
    fn invalid_times_are_read_the_careful_way() {
        for (value, max_age) in [
            ("max-age", Some(0)),
            ("max-age=", Some(0)),
            ("max-age=-1", Some(0)),
            ("max-age=1.5", Some(0)),
            ("max-age=1 2", Some(0)),
            ("max-age=60, max-age=30", Some(30)),
            ("max-age=60, max-age=x", Some(0)),
            ("max-age=99999999999999999999999", Some(MAX_SECONDS)),
            ("max-age = 7", Some(7)),
            ("max-agee=7", None),
            ("", None),
            (",,;=\"", None),
        ] {
            assert_eq!(parse(value).max_age, max_age, "{value}");
        }
        assert_eq!(parse("min-fresh=x").min_fresh, Some(MAX_SECONDS));
    }

    /// A quote that was never closed, or a comma that was forgotten, hid the prohibition that came after it.
    #[test]
    fn value_that_is_malformed_forbids_to_store() {
        for value in [
            "s-maxage=60, x=\"y, private",
            "s-maxage=60, x=\"y\\\", private",
            "s-maxage=60, private; x",
            "public private, max-age=60",
            "max-age=60, no\u{e4}store",
        ] {
            assert!(parse(value).no_store, "{value}");
        }
        for value in ["max-age=60,, ,public,", "x=\"a;b\", y=a/b, max-age=60"] {
            assert!(!parse(value).no_store, "{value}");
        }
    }

    #[test]
    fn value_that_is_too_long_forbids_to_store() {
        let mut headers = HeaderMap::new();
        for _ in 0..2 {
            let long = format!("public, max-age=60, x={}", "y".repeat(MAX_BYTES / 2));
            let value = HeaderValue::from_str(&long).expect("a value");
            headers.append(header::CACHE_CONTROL, value);
        }
        assert!(CacheControl::from_headers(&headers).no_store);
    }

    proptest! {
        #[test]
        fn parser_never_panics_and_forgets_no_prohibition(
            before in proptest::collection::vec(any::<u8>().prop_filter("no quote", |byte| *byte != b'"'), 0..60),
            after in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            let mut value = before;
            value.extend_from_slice(b", no-store,");
            value.extend_from_slice(&after);
            let mut directives = CacheControl::default();
            directives.parse(&value);
            prop_assert!(directives.no_store);
            for time in [directives.max_age, directives.s_maxage, directives.stale_if_error, directives.min_fresh] {
                prop_assert!(time.is_none_or(|time| time <= MAX_SECONDS));
            }
        }

        #[test]
        fn parser_reads_what_was_written(
            max_age in proptest::option::of(0..MAX_SECONDS),
            s_maxage in proptest::option::of(0..MAX_SECONDS),
            private in any::<bool>(),
            spaces in "[ \t]{0,3}",
        ) {
            let mut parts = vec![format!("x=\"{spaces},\"")];
            parts.extend(max_age.map(|time| format!("max-age={time}")));
            parts.extend(s_maxage.map(|time| format!("S-MaxAge{spaces}={spaces}{time}")));
            parts.extend(private.then(|| "private".to_owned()));
            let directives = parse(&parts.join(&format!("{spaces},{spaces}")));
            prop_assert_eq!((directives.max_age, directives.s_maxage, directives.private), (max_age, s_maxage, private));
        }
    }
}
