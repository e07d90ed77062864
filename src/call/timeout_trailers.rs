//! The trailers of a gRPC body whose time limit elapsed.

use http::{HeaderMap, HeaderValue, header::HeaderName};

use super::{Classification, Elapsed, Evidence, GrpcCode, Outcome};
use crate::util::headers::find_header;

// Statics: a name in text is parsed at each use, and a constant is made and dropped.
pub(crate) static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
pub(crate) static GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

// Trailers carry no extensions, so the message is recognized by its address, which no peer can send. The address stays the
// same when a layer holds trailers back or copies their values.
static PEER_TIMEOUT: &str = "the response took too long";
static DEADLINE_TIMEOUT: &str = "the response was not over at its deadline";
static CALLER_TIMEOUT: &str = "the request took too long";

/// Returns the trailers that end a gRPC body on a timeout.
pub(crate) fn timeout_trailers(why: &Elapsed) -> HeaderMap {
    let message = match why.classification() {
        Classification::CALLER_FAULT => CALLER_TIMEOUT,
        classification if classification.evidence == Evidence::Unhealthy => PEER_TIMEOUT,
        _ => DEADLINE_TIMEOUT,
    };
    let mut trailers = HeaderMap::with_capacity(2);
    let code = GrpcCode::DEADLINE_EXCEEDED.as_u8();
    trailers.insert(&GRPC_STATUS, HeaderValue::from(u16::from(code)));
    trailers.insert(&GRPC_MESSAGE, HeaderValue::from_static(message));
    trailers
}

/// Classifies a call by its trailers, if this process made them on a timeout.
pub(crate) fn classify_timeout_trailers(trailers: &HeaderMap) -> Option<Classification> {
    let message = find_header(trailers, &GRPC_MESSAGE)?.as_bytes();
    let made_here = |known: &&(&str, Classification)| std::ptr::eq(message, known.0.as_bytes());
    let known = [
        (
            PEER_TIMEOUT,
            Classification::new(Outcome::TimedOut, Evidence::Unhealthy),
        ),
        (
            DEADLINE_TIMEOUT,
            Classification::new(Outcome::TimedOut, Evidence::Inconclusive),
        ),
        (CALLER_TIMEOUT, Classification::CALLER_FAULT),
    ];
    known.iter().find(made_here).map(|known| known.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::TimeoutKind;

    #[test]
    fn late_trailers_are_known_again_and_cannot_be_imitated() {
        let limit = || Elapsed::new("limit".into(), TimeoutKind::BodyIdle, None);
        let deadline = Elapsed::new("limit".into(), TimeoutKind::Deadline, None);
        for why in [limit(), limit().blame_caller(), deadline] {
            let trailers = timeout_trailers(&why);
            assert_eq!(trailers["grpc-status"], "4");
            let fields = trailers.iter();
            let fields = fields.map(|(name, value)| (name.clone(), value.clone()));
            let copied: HeaderMap = fields.collect();
            assert_eq!(
                classify_timeout_trailers(&copied),
                Some(why.classification())
            );
            let mut wire = HeaderMap::new();
            for (name, value) in &trailers {
                let value = HeaderValue::from_bytes(value.as_bytes());
                wire.insert(name, value.expect("a value"));
            }
            assert_eq!(classify_timeout_trailers(&wire), None);
        }
        assert_eq!(classify_timeout_trailers(&HeaderMap::new()), None);
    }
}
