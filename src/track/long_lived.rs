//! Tells streams that are meant to last from calls that are slow.

use http::{StatusCode, header};

use crate::guard::Head;

/// Returns whether a stream is meant to last: an upgrade, a tunnel, server-sent events.
pub(super) fn is_long_lived(connect: bool, head: &Head<'_>) -> bool {
    let tunnel = connect && head.status.is_success();
    let events = || {
        let content_type = head.headers.get(header::CONTENT_TYPE);
        content_type.is_some_and(|value| is_event_stream(value.as_bytes()))
    };
    head.status == StatusCode::SWITCHING_PROTOCOLS || tunnel || events()
}

/// Returns whether a content type is that of server-sent events, whatever its parameters.
fn is_event_stream(content_type: &[u8]) -> bool {
    let kind = content_type.split(|byte| *byte == b';').next();
    kind.is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_streams_are_known_by_their_content_type() {
        for stream in [
            "text/event-stream",
            "Text/Event-Stream; charset=utf-8",
            "text/event-stream ;x",
        ] {
            assert!(is_event_stream(stream.as_bytes()), "{stream}");
        }
        for other in [
            "text/event-streamish",
            "text/plain",
            "",
            ";text/event-stream",
        ] {
            assert!(!is_event_stream(other.as_bytes()), "{other}");
        }
    }
}
