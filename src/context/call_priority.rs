use std::sync::atomic::{AtomicU16, Ordering};

use super::{Priority, PriorityClass, priority::ALL_LEVELS, scope};

/// The priority of a call, and where that stands among those of other calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CallPriority {
    pub(crate) priority: Priority,
    /// The share of recent calls that are shed before this one, from 0 up to 1.
    pub(crate) quantile: f32,
    /// True if a prioritizer has compared it with others, so that quantiles are uniform over all calls.
    pub(crate) is_compared: bool,
}

impl CallPriority {
    /// Returns a priority that no prioritizer has compared with others: as if all levels were equally frequent.
    pub(crate) fn uncompared(priority: Priority) -> Self {
        CallPriority {
            priority,
            quantile: (priority.index() as f32 + 0.5) / ALL_LEVELS as f32,
            is_compared: false,
        }
    }
}

/// Returns the quantile of the priority of the call that this thread works on, if it has one: from 0, which is shed first, up to 1.
#[inline]
pub(crate) fn current_quantile() -> Option<f32> {
    scope::call_priority().map(|call| call.quantile)
}

/// Returns the same if a prioritizer has compared the priority with others: then a part of the calls is below that part.
#[inline]
pub(crate) fn compared_quantile() -> Option<f32> {
    let call = scope::call_priority().filter(|call| call.is_compared);
    call.map(|call| call.quantile)
}

/// The priority of a context, which a prioritizer may set after the context was made.
///
/// 0 if there is none. Else 1 and a number of two digits to the base of 101: the class, and the level or 100.
#[derive(Debug, Default)]
pub(super) struct SharedPriority(AtomicU16);

const BASE: u16 = 101;
const NO_LEVEL: u16 = 100;

impl SharedPriority {
    pub(super) fn new(priority: Option<Priority>) -> Self {
        let shared = SharedPriority::default();
        if let Some(priority) = priority {
            shared.set(priority);
        }
        shared
    }

    #[inline]
    pub(super) fn get(&self) -> Option<Priority> {
        // Relaxed: one number, which says everything.
        let digits = self.0.load(Ordering::Relaxed).checked_sub(1)?;
        let class = *PriorityClass::ALL.get(usize::from(digits / BASE))?;
        let priority = Priority::new(class);
        Some(match digits % BASE {
            NO_LEVEL => priority,
            level => priority.with_level(level as u8),
        })
    }

    #[inline]
    pub(super) fn set(&self, priority: Priority) {
        let level = priority.level().map_or(NO_LEVEL, u16::from);
        let word = 1 + priority.class() as u16 * BASE + level;
        self.0.store(word, Ordering::Relaxed);
    }
}

impl Clone for SharedPriority {
    fn clone(&self) -> Self {
        SharedPriority(AtomicU16::new(self.0.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_priority_is_what_was_set_last() {
        let shared = SharedPriority::default();
        assert_eq!(shared.get(), None);
        for class in PriorityClass::ALL {
            let priority = Priority::new(class);
            let all = (0..100).map(|level| priority.with_level(level));
            for priority in all.chain([priority]) {
                shared.set(priority);
                assert_eq!(shared.get(), Some(priority));
                assert_eq!(shared.clone().get(), Some(priority));
            }
        }
    }

    #[test]
    fn uncompared_priority_stands_by_its_level() {
        let quantile = |priority| CallPriority::uncompared(priority).quantile;
        let lowest = quantile(Priority::new(PriorityClass::Bulk).with_level(0));
        let highest = quantile(Priority::new(PriorityClass::Critical).with_level(99));
        assert!(lowest > 0.0 && highest < 1.0 && lowest < highest);
        assert!((quantile(Priority::default()) - 0.5).abs() < 0.01);
    }
}
