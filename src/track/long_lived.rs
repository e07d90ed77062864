//! Tells long-lived streams from slow calls.

use http::{StatusCode, header};

use crate::{guard::Head, util::headers::find_header};

/// The kind of stream that a call is, if it is meant to last. Such a call is never slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LongLived {
    No,
    /// Server-sent events: a body, and so a duration.
    Events,
    /// An upgrade or a tunnel. The call ends with its head, and nobody sees how long the tunnel lasts.
    Tunnel,
}

impl LongLived {
    /// Reads the kind from the head of the response.
    pub(super) fn from_head(is_connect: bool, head: &Head<'_>) -> Self {
        // A CONNECT that fails is an ordinary call.
        let is_tunnel = is_connect && head.status.is_success();
        let is_events = || {
            let content_type = find_header(head.headers, &header::CONTENT_TYPE);
            content_type.is_some_and(|value| is_event_stream(value.as_bytes()))
        };
        match head.status == StatusCode::SWITCHING_PROTOCOLS || is_tunnel {
            true => LongLived::Tunnel,
            false if is_events() => LongLived::Events,
            false => LongLived::No,
        }
    }
}

/// Returns whether a content type is that of server-sent events, with any parameters.
fn is_event_stream(content_type: &[u8]) -> bool {
    let media_type = content_type.split(|byte| *byte == b';').next();
    media_type.is_some_and(|media_type| {
        media_type
            .trim_ascii()
            .eq_ignore_ascii_case(b"text/event-stream")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_stream_is_recognized_by_content_type() {
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
