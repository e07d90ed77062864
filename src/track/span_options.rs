use std::{fmt, sync::Arc};

use tracing::Span;

/// The level of the span of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpanLevel {
    /// Disables the span.
    Off,
    /// A span at `DEBUG`.
    Debug,
    /// A span at `INFO`. The default, since spans at `DEBUG` are invisible with the usual filters.
    #[default]
    Info,
}

/// A hook that is called with each new span.
#[derive(Clone)]
pub(super) struct OnSpan(Arc<dyn Fn(&Span) + Send + Sync>);

impl OnSpan {
    pub(super) fn new(hook: impl Fn(&Span) + Send + Sync + 'static) -> Self {
        OnSpan(Arc::new(hook))
    }

    pub(super) fn call(&self, span: &Span) {
        (self.0)(span);
    }
}

impl fmt::Debug for OnSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnSpan")
    }
}
