use tracing::{Level, Metadata, level_filters::LevelFilter, subscriber::Interest};
use tracing_subscriber::layer::{Context, Filter};

use super::own_thread;

/// A filter of what is exported: down to a level, and nothing of the exporter's own threads.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExportFilter {
    pub(super) spans: LevelFilter,
    pub(super) events: LevelFilter,
}

impl ExportFilter {
    /// Creates the filter of spans. Events become logs; the errors among them are in their spans too, which are failed by them.
    pub(super) fn of_spans(spans: LevelFilter, has_logs: bool) -> Self {
        let error = LevelFilter::ERROR;
        ExportFilter {
            spans,
            events: if has_logs { error.min(spans) } else { spans },
        }
    }

    fn takes(self, metadata: &Metadata<'_>) -> bool {
        let level: &Level = metadata.level();
        *level
            <= if metadata.is_span() {
                self.spans
            } else {
                self.events
            }
    }
}

impl<S> Filter<S> for ExportFilter {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.takes(metadata) && !own_thread::is_own()
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        match self.takes(metadata) {
            // Threads differ.
            true => Interest::sometimes(),
            false => Interest::never(),
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.spans.max(self.events))
    }
}
