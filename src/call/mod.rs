//! Shared types: how a call ended and what that says about the peer, who refused it, what time it is.
//!
//! A *call* is one request through a guarded service until its response **body** ends, fails or is dropped.
//! It has exactly one [`Outcome`], which metrics, logs, error groups and every guard share.
//!
//! Nothing here knows about services; the arrows point from the guards to this module.

mod classify;
mod elapsed;
mod end;
mod error;
mod evidence;
mod given_up;
mod grpc;
mod judged_error;
mod late_trailers;
mod moment;
mod outcome;
mod rejection;
mod setting;
mod small;
mod unsent;
mod verdict;

pub use crate::util::{panics::capture_panics, quiet::hook_panics};
pub use classify::Ending;
pub use elapsed::{Elapsed, TimeBound};
pub use end::{Cause, End};
pub use error::{BoxError, find};
pub use evidence::Evidence;
pub use grpc::GrpcCode;
pub use moment::Moment;
pub use outcome::Outcome;
pub use rejection::{Name, Rejection, RejectionKind};
pub use setting::InvalidSetting;
pub use verdict::Verdict;

pub(crate) use crate::util::panics::{
    Inside, Payload, Seen, Thrown, calls, caught, caught_service,
};
pub(crate) use crate::util::quiet::{hook_panicked, panic_message, quietly};
pub(crate) use classify::Classifier;
pub(crate) use end::Spent;
pub(crate) use error::{chain, is_elapsed, is_overload, is_timeout, view};
pub(crate) use given_up::{asking_whether_begun, given_up, giving_up, never_begun};
pub(crate) use judged_error::JudgedError;
pub(crate) use late_trailers::{judged_late, late_trailers};
pub(crate) use setting::fraction;
pub(crate) use small::Small;
pub(crate) use unsent::{Unsent, unsent};
pub(crate) use verdict::Judged;
