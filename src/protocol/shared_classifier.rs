//! Hands a classifier on, so that all layers of a stack judge by it.

use crate::call::{Classification, Classifier};

use super::Side;

/// Left in the extensions of a request, for layers further in. Those of the other side are not meant: a proxy's server
/// may pass its request on to a client with all that is in it.
#[derive(Clone, Debug)]
pub(super) struct OuterClassifier {
    pub(super) side: Side,
    pub(super) classifier: Classifier,
}

/// Left in the extensions of a response, for layers further out: what the head was judged as, and by whom. As above,
/// not for the other side: a proxy's server may pass on what its client was answered.
#[derive(Clone, Debug)]
pub(super) struct SharedClassification {
    pub(super) side: Side,
    pub(super) classification: Classification,
    pub(super) classifier: Classifier,
}
