//! Shares a classifier among all layers of a stack.

use http::Extensions;

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

impl SharedClassification {
    #[cold]
    pub(super) fn insert(
        side: Side,
        classification: Classification,
        classifier: &Classifier,
        extensions: &mut Extensions,
    ) {
        extensions.insert(SharedClassification {
            side,
            classification,
            classifier: classifier.clone(),
        });
    }
}

/// Returns the classifier of the stack, with that of this layer in it, and leaves it with the request for inner layers.
#[inline]
pub(super) fn shared_classifier(
    side: Side,
    own: Option<&Classifier>,
    extensions: &mut Extensions,
) -> Option<Classifier> {
    // Most requests have none when they come, and need no lookup.
    let outer = match extensions.is_empty() {
        true => None,
        false => extensions.get::<OuterClassifier>(),
    };
    let outer = outer
        .filter(|outer| outer.side == side)
        .map(|outer| &outer.classifier);
    let Some(own) = own else {
        // Left where it is: inner layers find the same one.
        return outer.cloned();
    };
    let classifier = own.with_outer(outer);
    extensions.insert(OuterClassifier {
        side,
        classifier: classifier.clone(),
    });
    Some(classifier)
}
