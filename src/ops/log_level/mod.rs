//! The log filter of the process, which an operator changes for a time.

mod control;
mod log_filter;
mod temporary;

pub use self::log_filter::LogFilter;
use self::temporary::LogLevelChange;
pub(super) use self::{
    control::{end, set},
    temporary::TemporaryFilter,
};
