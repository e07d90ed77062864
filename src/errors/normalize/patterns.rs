//! Patterns of variable parts. Each looks ahead a bounded distance, or only at bytes that it then matches.
//!
//! All of them take a text and a byte offset at an ASCII letter, digit or colon, and return the offset where the match
//! ends. That is always after an ASCII byte, so slicing there is safe.

use std::net::Ipv6Addr;

/// The longest IPv6 address, with an embedded IPv4 address, in bytes.
const MAX_IPV6: usize = 45;

/// The shortest generated identifier, in bytes: an xid has 20, a nanoid 21, a Stripe key 24, a ULID 26.
const MIN_ID: usize = 20;

const UNITS: &[&str] = &[
    "b", "kb", "mb", "gb", "tb", "kib", "mib", "gib", "tib", "k", "px", "hz", "khz", "mhz", "ghz",
    "bps", "rps", "rpm",
];

/// The first two are `\u{b5}` and `\u{3bc}`, which look the same.
const TIME_UNITS: &[&str] = &[
    "µs", "μs", "ns", "us", "ms", "s", "sec", "secs", "m", "min", "mins", "h", "hr", "hrs", "d",
];

fn byte_at(text: &str, at: usize) -> Option<u8> {
    text.as_bytes().get(at).copied()
}

/// Returns the end of the run of bytes from `at` on that `accepts` is true for.
pub(super) fn span_while(text: &str, at: usize, accepts: impl Fn(u8) -> bool) -> usize {
    let tail = text.as_bytes().get(at..).unwrap_or_default();
    at + tail.iter().take_while(|byte| accepts(**byte)).count()
}

/// Returns the end of a word, a run of ASCII letters and digits. An underscore ends it, so that `user_17` contains a
/// number.
pub(super) fn word_end(text: &str, at: usize) -> usize {
    span_while(text, at, |byte| byte.is_ascii_alphanumeric())
}

/// Returns whether a match may end at `at`.
///
/// It may not before `<`, which begins a placeholder when a result is read again, nor before `…`, which stands for text
/// that was cut off: a text that does not match must not match after it was cut.
pub(super) fn at_boundary(text: &str, at: usize) -> bool {
    let next = text.get(at..).and_then(|rest| rest.chars().next());
    !next.is_some_and(|next| next.is_alphanumeric() || matches!(next, '<' | '…'))
}

/// Returns whether the text at `at` matches `pattern`: `d` is a decimal digit, `x` a hex digit, any other byte itself.
fn matches_pattern(text: &str, at: usize, pattern: &str) -> bool {
    let Some(bytes) = text.as_bytes().get(at..at + pattern.len()) else {
        return false;
    };
    bytes
        .iter()
        .zip(pattern.bytes())
        .all(|(byte, wanted)| match wanted {
            b'd' => byte.is_ascii_digit(),
            b'x' => byte.is_ascii_hexdigit(),
            other => *byte == other,
        })
}

pub(super) fn uuid(text: &str, at: usize) -> Option<usize> {
    const PATTERN: &str = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    let end = at + PATTERN.len();
    (matches_pattern(text, at, PATTERN) && at_boundary(text, end)).then_some(end)
}

/// Matches an ISO 8601 date with or without a time, or a time of day with seconds.
pub(super) fn date(text: &str, at: usize) -> Option<usize> {
    const BASIC: &str = "ddddddddTdddddd";
    // Part numbers look like dates, but rarely have a month and a day.
    let end = if matches_pattern(text, at, "dddd-dd-dd") && is_valid_month_and_day(text, at) {
        let day = at + "dddd-dd-dd".len();
        let separated = matches!(byte_at(text, day), Some(b'T' | b't' | b' '));
        separated
            .then(|| time_of_day(text, day + 1))
            .flatten()
            .unwrap_or(day)
    } else if matches_pattern(text, at, BASIC) {
        zone_end(text, at + BASIC.len())
    } else if matches_pattern(text, at, "dd:dd:dd") {
        time_of_day(text, at)?
    } else {
        return None;
    };
    at_boundary(text, end).then_some(end)
}

fn is_valid_month_and_day(text: &str, at: usize) -> bool {
    let part = |from: usize| {
        text.get(at + from..at + from + 2)
            .and_then(|digits| digits.parse::<u8>().ok())
    };
    part(5).is_some_and(|month| (1..=12).contains(&month))
        && part(8).is_some_and(|day| (1..=31).contains(&day))
}

fn time_of_day(text: &str, at: usize) -> Option<usize> {
    if !matches_pattern(text, at, "dd:dd") {
        return None;
    }
    let minute = at + "dd:dd".len();
    if !matches_pattern(text, minute, ":dd") {
        return Some(zone_end(text, minute));
    }
    let second = minute + ":dd".len();
    let fraction = match byte_at(text, second) {
        Some(b'.' | b',') => span_while(text, second + 1, |byte| byte.is_ascii_digit()),
        _ => second,
    };
    // A full stop without digits after it ends the sentence.
    Some(zone_end(
        text,
        if fraction == second + 1 {
            second
        } else {
            fraction
        },
    ))
}

/// Returns the end of an optional time zone at `at`.
fn zone_end(text: &str, at: usize) -> usize {
    let zones = ["Z", "z", "+dd:dd", "-dd:dd", "+dddd", "-dddd", "+dd", "-dd"];
    at + zones
        .into_iter()
        .find(|zone| matches_pattern(text, at, zone))
        .map_or(0, str::len)
}

/// Matches an IPv4 address with or without a port.
pub(super) fn ipv4(text: &str, at: usize) -> Option<usize> {
    let mut end = octet(text, at)?;
    for _ in 0..3 {
        end = octet(text, (byte_at(text, end) == Some(b'.')).then_some(end + 1)?)?;
    }
    // More than four numbers are a version.
    if byte_at(text, end) == Some(b'.')
        && byte_at(text, end + 1).is_some_and(|next| next.is_ascii_digit())
    {
        return None;
    }
    let port = span_while(text, end + 1, |byte| byte.is_ascii_digit());
    let has_port = byte_at(text, end) == Some(b':')
        && (end + 2..=end + 6).contains(&port)
        && at_boundary(text, port);
    let end = if has_port { port } else { end };
    at_boundary(text, end).then_some(end)
}

fn octet(text: &str, at: usize) -> Option<usize> {
    let end = word_end(text, at);
    (end <= at + 3 && text[at..end].parse::<u8>().is_ok()).then_some(end)
}

/// Matches an IPv6 address with at least one digit: `abc::def` is more likely the path of a Rust item.
pub(super) fn ipv6(text: &str, at: usize) -> Option<usize> {
    // Rejects most words early: an address begins with up to four hex digits and a colon.
    let first = span_while(text, at, |byte| byte.is_ascii_hexdigit());
    if first > at + 4 || byte_at(text, first) != Some(b':') {
        return None;
    }
    let window = text.as_bytes().get(at..)?.iter().take(MAX_IPV6);
    let length = window
        .take_while(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
        .count();
    if !at_boundary(text, at + length) {
        return None;
    }
    // A full stop ends the sentence.
    let mut address = text[at..at + length].trim_end_matches('.');
    // A colon after an address belongs to the sentence.
    if address.ends_with(':') && !address.ends_with("::") {
        address = &address[..address.len() - 1];
    }
    let has_digit = address.bytes().any(|byte| byte.is_ascii_digit());
    (has_digit && address.contains(':') && address.parse::<Ipv6Addr>().is_ok())
        .then_some(at + address.len())
}

/// Returns whether a word is `0x` and hex digits, or eight or more hex digits with at least one letter.
pub(super) fn is_hex(word: &str) -> bool {
    let all_hex = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some(digits) = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        return !digits.is_empty() && all_hex(digits);
    }
    word.len() >= 8 && all_hex(word) && word.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// Returns whether a word is a generated identifier: long, with digits in two or more places. `Sha256DigestMismatch` has
/// them in one.
pub(super) fn is_generated_id(word: &str) -> bool {
    let starts_digits = |pair: &[u8]| !pair[0].is_ascii_digit() && pair[1].is_ascii_digit();
    // Digits at the very beginning follow nothing, so the windows below do not see them.
    let first = usize::from(
        word.bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_digit()),
    );
    word.len() >= MIN_ID
        && first
            + word
                .as_bytes()
                .windows(2)
                .filter(|pair| starts_digits(pair))
                .count()
            >= 2
}

pub(super) fn is_unit(letters: &str) -> bool {
    UNITS.iter().any(|unit| unit.eq_ignore_ascii_case(letters))
}

/// Matches a number without its sign, and returns the end of its digits and the end of its unit.
///
/// Groups of digits joined by single full stops or commas are one number, such as `1,234.5` and the version `1.2.3`.
pub(super) fn number(text: &str, at: usize) -> Option<(usize, usize)> {
    let (mut digits, mut end) = magnitude(text, at)?;
    // A unit ends the number.
    while digits == end && matches!(byte_at(text, end), Some(b'.' | b',')) {
        let Some(next) = magnitude(text, end + 1) else {
            break;
        };
        (digits, end) = next;
    }
    Some((digits, end))
}

fn magnitude(text: &str, at: usize) -> Option<(usize, usize)> {
    let end = word_end(text, at);
    let digits = span_while(text, at, |byte| byte.is_ascii_digit());
    if digits == at {
        return None;
    }
    let tail = &text[digits..end];
    if tail.is_empty() || is_unit(tail) {
        return Some((digits, end));
    }
    if let Some(exponent) = tail.strip_prefix(['e', 'E']) {
        // `1e5` is one word.
        if !exponent.is_empty() && exponent.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some((end, end));
        }
        // `1e-5` is two, since the sign ends the first.
        let signed = exponent.is_empty() && matches!(byte_at(text, end), Some(b'+' | b'-'));
        let power = word_end(text, end + 1);
        if signed
            && power > end + 1
            && text[end + 1..power]
                .bytes()
                .all(|byte| byte.is_ascii_digit())
        {
            return Some((power, power));
        }
    }
    None
}

/// Matches one or more durations in a row: `30ms`, `1.5s`, `1h30m`, `1m 30s`.
pub(super) fn duration(text: &str, at: usize) -> Option<usize> {
    let mut end = single_duration(text, at)?;
    loop {
        // `1m 30s` is one duration.
        let space = usize::from(byte_at(text, end) == Some(b' '));
        match single_duration(text, end + space) {
            Some(next) => end = next,
            None => return at_boundary(text, end).then_some(end),
        }
    }
}

fn single_duration(text: &str, at: usize) -> Option<usize> {
    let is_digit = |byte: u8| byte.is_ascii_digit();
    let mut digits = span_while(text, at, is_digit);
    if digits == at {
        return None;
    }
    if matches!(byte_at(text, digits), Some(b'.' | b',')) {
        digits = span_while(text, digits + 1, is_digit);
    }
    let unit = &text[digits..];
    let letters = unit.find(|next: char| !next.is_alphabetic());
    let unit = &unit[..letters.unwrap_or(unit.len())];
    let is_time = TIME_UNITS
        .iter()
        .any(|known| known.eq_ignore_ascii_case(unit));
    is_time.then_some(digits + unit.len())
}

/// Matches a MAC address: six pairs of hex digits.
pub(super) fn mac_address(text: &str, at: usize) -> Option<usize> {
    let patterns = ["xx:xx:xx:xx:xx:xx", "xx-xx-xx-xx-xx-xx"];
    let pattern = patterns
        .into_iter()
        .find(|pattern| matches_pattern(text, at, pattern))?;
    let end = at + pattern.len();
    // More pairs are not a MAC address.
    let goes_on = byte_at(text, end) == pattern.as_bytes().get(2).copied()
        && byte_at(text, end + 1).is_some_and(|next| next.is_ascii_hexdigit());
    (at_boundary(text, end) && !goes_on).then_some(end)
}

/// Matches the suffix that Kubernetes adds to the name of a deployment for a pod: `7d9f8b6c5-x2x4z`.
pub(super) fn pod_suffix(text: &str, at: usize) -> Option<usize> {
    let is_lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let hash = span_while(text, at, is_lower);
    let end = span_while(text, hash + 1, is_lower);
    // A hash has letters and digits. Without either, it is a name or a number.
    let mixed = text[at..hash].bytes().any(|byte| byte.is_ascii_digit())
        && text[at..hash].bytes().any(|byte| byte.is_ascii_lowercase());
    let is_pod = (8..=10).contains(&(hash - at))
        && mixed
        && byte_at(text, hash) == Some(b'-')
        && end == hash + 1 + "x2x4z".len();
    (is_pod && at_boundary(text, end)).then_some(end)
}

/// Matches a JSON web token or its beginning: base64 that decodes to `{"…`.
pub(super) fn web_token(text: &str, at: usize) -> Option<usize> {
    if !text[at..].starts_with("eyJ") {
        return None;
    }
    let belongs = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let end = span_while(text, at, belongs);
    let token = text[at..end].trim_end_matches('.');
    (token.len() >= MIN_ID && at_boundary(text, end)).then_some(at + token.len())
}

/// Matches an identifier after a `#` that has letters and digits: `A-1043-X`. A plain number is left to [`number`].
pub(super) fn hash_id(text: &str, at: usize) -> Option<usize> {
    let belongs = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let end = span_while(text, at, belongs);
    let name = &text.as_bytes()[at..end];
    let is_name = name.iter().any(u8::is_ascii_digit) && name.iter().any(u8::is_ascii_alphabetic);
    (is_name && at_boundary(text, end)).then_some(end)
}

/// Returns whether there is an HTTP status: three digits, the first 1 to 5. Quoted text or its placeholder may follow
/// directly.
pub(super) fn is_http_status(text: &str, at: usize, is_cut: bool) -> bool {
    let is_one = matches_pattern(text, at, "ddd") && matches!(byte_at(text, at), Some(b'1'..=b'5'));
    // `404.5` and `404,000` are not statuses.
    let goes_on = matches!(byte_at(text, at + 3), Some(b'.' | b','))
        && byte_at(text, at + 4).is_some_and(|next| next.is_ascii_digit());
    let next = text.get(at + 3..).and_then(|rest| rest.chars().next());
    let ends = match next {
        Some(next) => !next.is_alphanumeric() && next != '…',
        None => !is_cut,
    };
    is_one && !goes_on && ends
}

/// Matches the domain of an e-mail address: labels joined by full stops, the last one of letters only.
pub(super) fn email_domain(text: &str, at: usize) -> Option<usize> {
    let end = span_while(text, at, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-')
    });
    if !at_boundary(text, end) {
        return None;
    }
    // A full stop at the end belongs to the sentence.
    let domain = text[at..end].trim_end_matches(['.', '-']);
    let (name, top) = domain.rsplit_once('.')?;
    let plausible =
        !name.is_empty() && top.len() >= 2 && top.bytes().all(|byte| byte.is_ascii_alphabetic());
    plausible.then_some(at + domain.len())
}
