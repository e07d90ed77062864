//! Tower layers that make any service observable and hard to bring down.
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod call;
pub mod guard;
pub mod observe;
pub mod protocol;

pub use call::{BoxError, InvalidSetting, Outcome, Rejection, RejectionKind, hook_panics};
pub use context::Context;
pub use errors::ErrorTracker;
pub use guard::{Guard, GuardLayer, Guarded};
pub use observe::{context, errors, observe, operation::operation, track};
pub use track::Track;
