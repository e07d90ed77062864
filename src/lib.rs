//! Tower layers that make any service observable and hard to bring down.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod call;
pub mod guard;
pub mod protocol;

pub use call::{BoxError, InvalidSetting, Outcome, Rejection, RejectionKind, hook_panics};
pub use guard::{Guard, GuardLayer, Guarded};
