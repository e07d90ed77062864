use std::{any::Any, fmt, sync::Arc};

use crate::call::ClassifyOutput;

type ClassifyFn = dyn Fn(&dyn Any) -> Option<ClassifyOutput> + Send + Sync;

/// A classifier of errors of one type, for a pipeline whose work may have others too.
#[derive(Clone)]
pub(super) struct ErrorClassifier(Arc<ClassifyFn>);

impl ErrorClassifier {
    pub(super) fn new<E: 'static, O: Into<ClassifyOutput>>(
        classify: impl Fn(&E) -> O + Send + Sync + 'static,
    ) -> Self {
        ErrorClassifier(Arc::new(move |error| {
            error.downcast_ref().map(|error| classify(error).into())
        }))
    }

    /// Classifies an error; `None` if it is of another type.
    pub(super) fn classify(&self, error: &dyn Any) -> Option<ClassifyOutput> {
        (self.0)(error)
    }
}

impl fmt::Debug for ErrorClassifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ErrorClassifier").finish_non_exhaustive()
    }
}
