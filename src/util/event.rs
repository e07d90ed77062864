//! Events whose level is known at run time.

/// Emits an event at `WARN` if the condition holds, else at `INFO`.
// A macro, since the level of an event must be a constant.
macro_rules! warn_or_info {
    ($is_warning:expr, $($event:tt)+) => {
        match $is_warning {
            true => tracing::warn!($($event)+),
            false => tracing::info!($($event)+),
        }
    };
}

pub(crate) use warn_or_info;
