//! Accepts the IDs of inbound requests.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::context::{CallId, malformed::count_malformed, trace_format::root_field};

/// Returns the ID of the first header that holds a valid one, else a new one.
///
/// Headers that came with another value are replaced: a handler that reads the header, or sends it on, must not take a
/// rejected value for the ID of the call.
pub(super) fn resolve_id(
    headers: &mut HeaderMap,
    names: &[HeaderName],
    is_trusted: bool,
    new_id: impl FnOnce() -> CallId,
) -> CallId {
    // Headers after the accepted one are not looked at, so only a single one is known to agree.
    let mut all_agree = names.len() == 1;
    let accepted = names.iter().find_map(|name| {
        let value = headers.get(name)?;
        let id = is_trusted.then(|| parse_id(name, value)).flatten();
        // A header further up that was rejected still has its value.
        all_agree &= id.is_some();
        // What an untrusted caller sends is not read, and so is not malformed.
        if is_trusted && id.is_none() {
            count_malformed("id");
        }
        id
    });
    let id = accepted.unwrap_or_else(new_id);
    if !all_agree {
        replace_other_ids(headers, names, &id);
    }
    id
}

fn replace_other_ids(headers: &mut HeaderMap, names: &[HeaderName], id: &CallId) {
    for name in names {
        let differs = |value| parse_id(name, value).as_ref() != Some(id);
        if headers.get(name).is_some_and(differs) {
            headers.insert(name, id.header_value().clone());
        }
    }
}

/// Returns the ID that a header holds. In the header of AWS it is the `Root` field, beside those that load balancers add.
fn parse_id(name: &HeaderName, value: &HeaderValue) -> Option<CallId> {
    CallId::parse(value).or_else(|| CallId::try_from(root_field(name, value)?).ok())
}
