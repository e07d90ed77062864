use std::sync::{
    PoisonError, RwLock,
    atomic::{AtomicBool, AtomicU8, Ordering::Relaxed},
};

use tracing::{Metadata, level_filters::LevelFilter};
use tracing_subscriber::filter::Targets;

use super::level::LogLevel;

/// The filter of the layer itself: a level, or for a time the directives of an operator.
#[derive(Debug)]
pub(super) struct OwnFilter {
    least: LevelFilter,
    /// The number of the least level that is kept; above all levels for none.
    level: AtomicU8,
    is_changed: AtomicBool,
    changed: RwLock<Targets>,
}

impl OwnFilter {
    pub(super) fn new(level: LevelFilter) -> Self {
        let least = level.into_level().map(LogLevel::from);
        OwnFilter {
            least: level,
            level: AtomicU8::new(least.map_or(u8::MAX, |level| level as u8)),
            is_changed: AtomicBool::new(false),
            changed: RwLock::default(),
        }
    }

    /// Returns whether an event is kept.
    pub(super) fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let level = LogLevel::from(*metadata.level());
        if level as u8 >= self.level.load(Relaxed) {
            return true;
        }
        // Events of a lower level wait for nobody who changes it.
        self.is_changed.load(Relaxed)
            && self
                .changed
                .try_read()
                .is_ok_and(|targets| targets.would_enable(metadata.target(), metadata.level()))
    }

    /// Follows directives such as `info,sqlx=debug` for a time: what they let through is kept as well. Of directives with
    /// spans or fields, which cost too much here, those that name targets count.
    pub(super) fn follow(&self, directives: &str) {
        let plain = directives
            .split(',')
            .filter_map(|directive| directive.parse::<Targets>().ok());
        let targets: Targets = plain.flatten().collect();
        *self.changed.write().unwrap_or_else(PoisonError::into_inner) = targets;
        self.is_changed.store(true, Relaxed);
        // They have been asked already.
        tracing::callsite::rebuild_interest_cache();
    }

    /// Goes back to the level.
    pub(super) fn unfollow(&self) {
        self.is_changed.store(false, Relaxed);
        tracing::callsite::rebuild_interest_cache();
    }

    /// Returns the lowest level of what may be kept.
    pub(super) fn max_level(&self) -> LevelFilter {
        match self.is_changed.load(Relaxed) {
            true => LevelFilter::TRACE,
            false => self.least,
        }
    }
}
