//! The calls of the process that are in flight, and the slow ones: see [`CallTable`].

mod entry;
mod kind;
mod shard;
mod slow_calls;
mod snapshot;
mod source;
mod table;
#[cfg(test)]
mod table_tests;
mod watched;

pub(crate) use self::{
    entry::{CallSubject, CallTarget, InFlightEntry},
    slow_calls::DEFAULT_SLOW,
    snapshot::CallText,
    source::CallSource,
    watched::WatchedCall,
};
pub use self::{kind::CallKind, snapshot::CallSnapshot, table::CallTable};
