//! The trailers of a gRPC body that ran out of time.

use http::{HeaderMap, HeaderValue, header::HeaderName};

use super::{Elapsed, Evidence, GrpcCode, Judged, Outcome};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

// Trailers carry no extensions, so the message is the mark as well: by its address, which no peer can send. Layers may
// hold trailers back or copy their values, and the mark stays.
static BY_PEER: &str = "the response took too long";
static BY_NOBODY: &str = "the response was not over at its deadline";
static BY_CALLER: &str = "the request took too long";

/// Returns the trailers that end a gRPC body in the place of those that did not come in time.
pub(crate) fn late_trailers(why: &Elapsed) -> HeaderMap {
    let message = match why.judged() {
        Judged::CALLERS => BY_CALLER,
        judged if judged.evidence == Evidence::Unhealthy => BY_PEER,
        _ => BY_NOBODY,
    };
    let mut trailers = HeaderMap::with_capacity(2);
    let code = GrpcCode::DEADLINE_EXCEEDED.number();
    trailers.insert(STATUS, HeaderValue::from(u16::from(code)));
    trailers.insert(MESSAGE, HeaderValue::from_static(message));
    trailers
}

/// Returns how a call ends with these trailers, if this process made them because time ran out.
pub(crate) fn judged_late(trailers: &HeaderMap) -> Option<Judged> {
    let message = trailers.get(MESSAGE)?.as_bytes();
    let made_here = |known: &&(&str, Judged)| std::ptr::eq(message, known.0.as_bytes());
    let known = [
        (BY_PEER, Judged::new(Outcome::TimedOut, Evidence::Unhealthy)),
        (
            BY_NOBODY,
            Judged::new(Outcome::TimedOut, Evidence::Inconclusive),
        ),
        (BY_CALLER, Judged::CALLERS),
    ];
    known.iter().find(made_here).map(|known| known.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::TimeBound;

    #[test]
    fn late_trailers_are_known_again_and_cannot_be_imitated() {
        let limit = || Elapsed::new("limit".into(), TimeBound::BodyIdle, None);
        let deadline = Elapsed::new("limit".into(), TimeBound::Deadline, None);
        for why in [limit(), limit().blaming_caller(), deadline] {
            let trailers = late_trailers(&why);
            assert_eq!(trailers["grpc-status"], "4");
            let fields = trailers.iter();
            let fields = fields.map(|(name, value)| (name.clone(), value.clone()));
            let copied: HeaderMap = fields.collect();
            assert_eq!(judged_late(&copied), Some(why.judged()));
            let mut wire = HeaderMap::new();
            for (name, value) in &trailers {
                let value = HeaderValue::from_bytes(value.as_bytes());
                wire.insert(name, value.expect("a value"));
            }
            assert_eq!(judged_late(&wire), None);
        }
        assert_eq!(judged_late(&HeaderMap::new()), None);
    }
}
