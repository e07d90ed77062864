//! The log filter of the process, which an operator changes for a time.

mod change;
mod control;
mod log_filter;
mod temporary;

use self::change::LogLevelChange;
pub use self::log_filter::LogFilter;
pub(super) use self::{
    control::{end, set},
    temporary::TemporaryFilter,
};
