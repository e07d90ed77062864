use std::{any::Any, error::Error, fmt, sync::Arc};

use http::{Extensions, HeaderMap, StatusCode};

use super::{Classification, ClassifyOutput, Evidence, GrpcCode, Outcome, catch_hook};

/// Input for classifying a call, with the protocol's default outcome.
#[derive(Debug)]
pub struct ClassifyInput<'a> {
    pub(crate) classification: Classification,
    pub(crate) status: Option<StatusCode>,
    pub(crate) grpc_code: Option<GrpcCode>,
    pub(crate) headers: Option<&'a HeaderMap>,
    pub(crate) extensions: Option<&'a Extensions>,
    pub(crate) error: Option<&'a (dyn Error + 'static)>,
    pub(crate) response: Option<&'a dyn Any>,
}

impl<'a> ClassifyInput<'a> {
    pub(crate) fn new(classification: Classification) -> Self {
        ClassifyInput {
            classification,
            status: None,
            grpc_code: None,
            headers: None,
            extensions: None,
            error: None,
            response: None,
        }
    }

    /// Returns the default outcome: the protocol's, or that of an inner classifier.
    pub fn outcome(&self) -> Outcome {
        self.classification.outcome
    }

    /// Returns the default evidence of the peer's health.
    pub fn evidence(&self) -> Evidence {
        self.classification.evidence
    }

    /// Returns the HTTP status.
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// Returns the gRPC code, from headers or trailers.
    pub fn grpc_code(&self) -> Option<GrpcCode> {
        self.grpc_code
    }

    /// Returns the headers; the trailers, if the gRPC code came in those.
    pub fn headers(&self) -> Option<&'a HeaderMap> {
        self.headers
    }

    /// Returns a value that the service left in the extensions of the response.
    pub fn extension<T: Clone + Send + Sync + 'static>(&self) -> Option<&'a T> {
        self.extensions?.get()
    }

    /// Returns the error, if there was no response or its body failed.
    pub fn error(&self) -> Option<&'a (dyn Error + 'static)> {
        self.error
    }

    /// Returns the response of a plain service, if it is of this type.
    pub fn response<T: 'static>(&self) -> Option<&'a T> {
        self.response?.downcast_ref()
    }
}

/// A closure of the user that classifies calls; set with `classify` on a layer.
///
/// It runs when something final is known: the head of an HTTP response, the status of a gRPC call wherever it comes, an
/// error, the response of a plain service; and again for a body that fails after its head. It should depend on its argument
/// only, since every layer of the stack may call it. A panic makes the call a failure.
///
/// The classifiers of one stack run in turn, the innermost first; each sees the result of the one before.
#[derive(Clone)]
pub struct Classifier(Arc<ClassifierNode>);

type BoxClassifyFn = Box<dyn Fn(&ClassifyInput<'_>) -> ClassifyOutput + Send + Sync>;

struct ClassifierNode {
    classify_fn: BoxClassifyFn,
    /// The classifier of an outer layer, which runs afterwards.
    outer: Option<Classifier>,
}

impl Classifier {
    pub(crate) fn new<V: Into<ClassifyOutput>>(
        classify: impl Fn(&ClassifyInput<'_>) -> V + Send + Sync + 'static,
    ) -> Self {
        let classify = Box::new(move |end: &ClassifyInput<'_>| classify(end).into());
        Classifier(Arc::new(ClassifierNode {
            classify_fn: classify,
            outer: None,
        }))
    }

    /// Returns a classifier that runs this one first, and then that of an outer layer.
    pub(crate) fn with_outer(&self, outer: Option<&Classifier>) -> Self {
        let Some(outer) = outer else {
            return self.clone();
        };
        let inner = self.clone();
        Classifier(Arc::new(ClassifierNode {
            classify_fn: Box::new(move |end| (inner.0.classify_fn)(end)),
            outer: Some(outer.clone()),
        }))
    }

    /// Replaces the classification of the input.
    pub(crate) fn classify(&self, input: &mut ClassifyInput<'_>) {
        let mut next = Some(self);
        while let Some(Classifier(link)) = next {
            let output = catch_hook(|| (link.classify_fn)(input));
            input.classification = match output {
                Some(output) => output.resolve(input.classification, input.error.is_some()),
                // It panicked: better a failure too many than one that nobody sees.
                None => Classification::FAILURE,
            };
            next = link.outer.as_ref();
        }
    }
}

impl fmt::Debug for Classifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Classifier").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classifier_debug_text_is_its_name() {
        let classifier = Classifier::new(|_: &ClassifyInput<'_>| Outcome::Success);
        assert_eq!(format!("{classifier:?}"), "Classifier { .. }");
    }

    fn classification(classifier: &Classifier, classification: Classification) -> Classification {
        let mut input = ClassifyInput::new(classification);
        classifier.classify(&mut input);
        input.classification
    }

    #[test]
    fn end_shows_what_the_call_was_classified_by() {
        let (error, mut headers) = (std::io::Error::other("torn"), HeaderMap::new());
        headers.insert("grpc-status", http::HeaderValue::from_static("13"));
        let mut extensions = Extensions::new();
        extensions.insert(7_u8);
        let input = ClassifyInput {
            classification: Classification::FAILURE,
            status: Some(StatusCode::OK),
            grpc_code: Some(GrpcCode::INTERNAL),
            headers: Some(&headers),
            extensions: Some(&extensions),
            error: Some(&error),
            response: Some(&"answer"),
        };
        assert_eq!(input.outcome(), Outcome::Failure);
        assert_eq!(input.evidence(), Evidence::Unhealthy);
        assert_eq!(input.status(), Some(StatusCode::OK));
        assert_eq!(input.grpc_code(), Some(GrpcCode::INTERNAL));
        assert_eq!(input.headers(), Some(&headers));
        assert_eq!(input.extension::<u8>(), Some(&7));
        assert_eq!(input.extension::<u16>(), None);
        assert_eq!(
            input.error().map(ToString::to_string).as_deref(),
            Some("torn")
        );
        assert_eq!(input.response::<&str>(), Some(&"answer"));
        assert_eq!(input.response::<u8>(), None);
    }

    #[test]
    fn classifier_keeps_the_evidence_of_an_outcome_that_it_does_not_change() {
        let same = Classifier::new(|end| end.outcome());
        let odd = Classification::new(Outcome::Failure, Evidence::Inconclusive);
        assert_eq!(classification(&same, odd), odd);
        let failure = Classifier::new(|_| Outcome::Failure);
        assert_eq!(
            classification(&failure, Classification::SUCCESS),
            Classification::FAILURE
        );
        let own = ClassifyOutput::from(Outcome::Success).with_evidence(Evidence::Unhealthy);
        let own = Classifier::new(move |_| own);
        let expected = Classification::new(Outcome::Success, Evidence::Unhealthy);
        assert_eq!(classification(&own, Classification::FAILURE), expected);
    }

    #[test]
    fn classifier_of_an_outer_layer_sees_what_the_inner_one_said() {
        let inner = Classifier::new(|_| Outcome::Overload);
        let outer = Classifier::new(|end| match end.outcome() {
            Outcome::Overload => Outcome::ClientError,
            outcome => outcome,
        });
        let both = inner.with_outer(Some(&outer));
        assert_eq!(
            classification(&both, Classification::SUCCESS).outcome,
            Outcome::ClientError
        );
        assert_eq!(
            classification(&outer, Classification::SUCCESS).outcome,
            Outcome::Success
        );
    }

    #[test]
    fn classifier_that_panics_makes_the_call_a_failure() {
        let panics = Classifier::new(|_| -> Outcome { std::panic::resume_unwind(Box::new(())) });
        assert_eq!(
            classification(&panics, Classification::SUCCESS),
            Classification::FAILURE
        );
    }

    #[test]
    fn client_error_is_healthy_as_an_answer_and_inconclusive_as_an_error() {
        let callers = Classifier::new(|_| Outcome::ClientError);
        assert_eq!(
            classification(&callers, Classification::FAILURE).evidence,
            Evidence::Healthy
        );
        let error = std::io::Error::other("bad input");
        let mut input = ClassifyInput::new(Classification::FAILURE);
        input.error = Some(&error);
        callers.classify(&mut input);
        assert_eq!(input.evidence(), Evidence::Inconclusive);
    }
}
