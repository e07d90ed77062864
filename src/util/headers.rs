//! Looks up headers that every call is asked for, and removes stale ones.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The most headers that are walked. To hash a name takes as long as some ten comparisons, and most calls of this process's
/// own clients and of gRPC have fewer headers.
const MAX_WALKED: usize = 10;

/// Returns the first value of a header, as `HeaderMap::get` does.
#[inline]
pub(crate) fn find_header<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Option<&'a HeaderValue> {
    if headers.len() > MAX_WALKED {
        return headers.get(name);
    }
    let mut fields = headers.iter();
    fields.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// Removes a header that requests hardly ever have.
#[inline]
pub(crate) fn remove_rare_header(headers: &mut HeaderMap, name: &HeaderName) {
    if find_header(headers, name).is_some() {
        headers.remove(name);
    }
}

/// Sets a header, or removes a stale one where there is no value to send.
pub(crate) fn set_or_remove_header(
    headers: &mut HeaderMap,
    name: &HeaderName,
    value: Option<HeaderValue>,
) {
    match value {
        Some(value) => drop(headers.insert(name, value)),
        None => remove_rare_header(headers, name),
    }
}

/// Returns a copy of headers whose values are in memory of their own: those that were read are slices of a far larger buffer.
#[cfg(feature = "cache")]
pub(crate) fn copy_headers(headers: &HeaderMap) -> HeaderMap {
    let mut copies = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        copies.append(name.clone(), copy_value(value));
    }
    copies
}

/// Returns a copy of a value in memory of its own.
#[cfg(feature = "cache")]
pub(crate) fn copy_value(value: &HeaderValue) -> HeaderValue {
    let copy = HeaderValue::from_bytes(value.as_bytes());
    let mut copy = copy.expect("the bytes of a value are valid");
    copy.set_sensitive(value.is_sensitive());
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: HeaderName = HeaderName::from_static("x-searched");

    fn others(count: usize) -> HeaderMap {
        let other = |number: usize| {
            let name = HeaderName::try_from(format!("x-other-{number}")).expect("a name");
            (name, HeaderValue::from_static("other"))
        };
        (0..count).map(other).collect()
    }

    #[test]
    fn header_is_found_by_its_first_value_among_few_and_many_others() {
        for count in [0, 1, MAX_WALKED - 2, MAX_WALKED - 1, MAX_WALKED, 100] {
            let mut headers = others(count);
            assert_eq!(find_header(&headers, &NAME), None, "{count}");
            headers.append(NAME, HeaderValue::from_static("first"));
            headers.append(NAME, HeaderValue::from_static("second"));
            let found = find_header(&headers, &NAME);
            assert_eq!(found, Some(&HeaderValue::from_static("first")), "{count}");
        }
    }

    #[test]
    fn rare_header_is_removed_with_all_of_its_values_and_no_other() {
        for count in [0, 1, MAX_WALKED, 100] {
            let mut headers = others(count);
            remove_rare_header(&mut headers, &NAME);
            assert_eq!(headers, others(count));
            headers.append(NAME, HeaderValue::from_static("first"));
            headers.append(NAME, HeaderValue::from_static("second"));
            remove_rare_header(&mut headers, &NAME);
            assert_eq!(headers, others(count));
        }
    }
}
