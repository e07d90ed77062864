//! HTTP/2 to an upstream that has never spoken it. Any caller's gRPC brings that about, and it must not open the circuit
//! of an upstream that does well without.

use std::error::Error;
use std::fmt;

use tower_keep::call::{ClassifyInput, ClassifyOutput, Evidence, find};

use super::BoxError;

/// A connection has come about, and an exchange over HTTP/2 never has.
#[derive(Debug)]
pub struct Http2Unsupported(pub BoxError);

impl fmt::Display for Http2Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the upstream has not spoken HTTP/2 so far")
    }
}

impl Error for Http2Unsupported {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

/// A failure all the same, but none that says anything of the upstream's health.
pub fn classify(end: &ClassifyInput<'_>) -> ClassifyOutput {
    let classified = ClassifyOutput::from(end.outcome());
    match end.error().and_then(find::<Http2Unsupported>) {
        Some(_) => classified.with_evidence(Evidence::Inconclusive),
        None => classified,
    }
}
