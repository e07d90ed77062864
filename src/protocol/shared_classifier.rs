//! Shares a classifier among all layers of a stack.

use crate::call::{Classification, Classifier};

use super::Side;

/// The classifier of outer layers, left in the extensions of a request. Ignored on the other side: a proxy's server may pass
/// its request on to a client with all that is in it.
#[derive(Clone, Debug)]
pub(super) struct OuterClassifier {
    pub(super) side: Side,
    pub(super) classifier: Classifier,
}

/// The classification of the head and its classifier, left in the extensions of a response for outer layers. Ignored on the
/// other side: a proxy's server may pass on the response of its client.
#[derive(Clone, Debug)]
pub(super) struct SharedClassification {
    pub(super) side: Side,
    pub(super) classification: Classification,
    pub(super) classifier: Classifier,
}
