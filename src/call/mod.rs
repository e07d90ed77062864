//! Shared types: outcomes, rejections, how a call ended.
//!
//! A *call* is one request through a guarded service until its response **body** ends, fails or is dropped.
//! It has exactly one [`Outcome`], which metrics, logs, error groups and every guard share.
//!
//! Nothing here knows about services; the arrows point from the guards to this module.

mod classification;
mod classified_error;
mod classifier;
mod clock;
mod config_error;
mod elapsed;
mod end;
mod error;
mod evidence;
mod grpc_code;
#[cfg(feature = "serde")]
pub(crate) mod grpc_code_name;
#[cfg(any(feature = "logging", feature = "ops", feature = "prometheus"))]
mod install_error;
mod loser_drop;
mod not_sent;
mod outcome;
mod packed_option;
mod rejection;
mod shared_duration;
mod timeout_drop;
mod timeout_trailers;

pub use crate::util::hook::hook_panics;
pub use classification::ClassifyOutput;
pub use classifier::ClassifyInput;
pub use clock::CallClock;
pub use config_error::ConfigError;
pub use elapsed::{Elapsed, TimeoutKind};
pub use end::{CallEnd, Cause};
pub use error::{BoxError, find};
pub use evidence::Evidence;
pub use grpc_code::GrpcCode;
#[cfg(any(feature = "logging", feature = "ops", feature = "prometheus"))]
pub use install_error::InstallError;
pub use outcome::Outcome;
pub use rejection::{Label, Rejection, RejectionKind};

pub(crate) use crate::util::captured_panic::CapturedPanic;
pub(crate) use crate::util::error_chain::sources;
pub(crate) use crate::util::hook::{catch_hook, catch_nested_hook, panic_message};
pub(crate) use crate::util::panics::{
    CatchScope, PanicDetails, PanicPayload, call_depth, catch, catch_service,
};
pub(crate) use classification::Classification;
pub(crate) use classified_error::ClassifiedError;
pub(crate) use classifier::Classifier;
pub(crate) use config_error::{check_fraction, check_range, fraction_hint};
pub(crate) use end::Timings;
pub(crate) use error::{as_std_error, is_elapsed, is_overload, is_timeout};
pub(crate) use loser_drop::{drop_losers, is_dropping_losers};
pub(crate) use not_sent::{NotSent, not_sent};
pub(crate) use packed_option::PackedOption;
pub(crate) use shared_duration::SharedDuration;
pub(crate) use timeout_drop::{
    classify_drop, current_timeout, drop_on_timeout, mark_never_called, track_never_called,
};
pub(crate) use timeout_trailers::{
    GRPC_MESSAGE, GRPC_STATUS, classify_timeout_trailers, timeout_trailers,
};
