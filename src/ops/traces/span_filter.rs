use tracing::{Level, Metadata, level_filters::LevelFilter};

/// The spans and events that are kept: those of this crate, and those of all others of a level or above.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SpanFilter {
    pub(super) level: LevelFilter,
}

/// Lines that say what their spans say.
const SAID: [&str; 2] = ["tower_keep::access", "tower_keep::operation"];

impl SpanFilter {
    pub(in crate::ops) fn is_kept(self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        if metadata.is_event() && SAID.contains(&target) {
            return false;
        }
        // Operations are at `DEBUG`, so that they are few in logs.
        let is_own = metadata.is_span() && target.starts_with("tower_keep::");
        *metadata.level() <= self.level || is_own && *metadata.level() <= Level::DEBUG
    }

    /// Returns the lowest level of what is kept.
    pub(in crate::ops) fn max_level(self) -> LevelFilter {
        self.level.max(LevelFilter::DEBUG)
    }
}
