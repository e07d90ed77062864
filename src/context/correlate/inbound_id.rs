//! Accepts the IDs of inbound requests.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::context::{
    CallId, content::box_if_other, malformed::count_malformed, trace_format::root_field,
};

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
    let found = find_id(headers, names, is_trusted);
    let id = found.accepted.unwrap_or_else(new_id);
    if !found.all_agree {
        replace_other_ids(headers, names, &id);
    }
    id
}

/// Returns the correlation ID where it is not the request ID, by which a missing one is replaced.
pub(super) fn resolve_correlation_id(
    headers: &mut HeaderMap,
    names: &[HeaderName],
    is_trusted: bool,
    request_id: &CallId,
) -> Option<Box<CallId>> {
    let found = find_id(headers, names, is_trusted);
    if !found.all_agree {
        let id = found.accepted.as_ref().unwrap_or(request_id);
        replace_other_ids(headers, names, id);
    }
    box_if_other(found.accepted.as_ref()?, request_id)
}

struct FoundId {
    accepted: Option<CallId>,
    /// True if no header is known to have another value.
    all_agree: bool,
}

fn find_id(headers: &HeaderMap, names: &[HeaderName], is_trusted: bool) -> FoundId {
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
    FoundId {
        accepted,
        all_agree,
    }
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
