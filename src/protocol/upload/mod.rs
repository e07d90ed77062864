//! Watches the bodies of requests as they are read, to tell what the caller has done from what its peer has.
//!
//! | what was seen | whose doing |
//! |---|---|
//! | the body failed, was reset, or was shorter than it had promised to be | the caller's, whatever the answer: [`Upload::is_broken`] |
//! | its gRPC messages were no messages, or the last was cut short, or there was none | the caller's: [`Upload::is_malformed`] |
//! | time ran out while more of it was awaited, or had been for more than half of the time | the caller's: [`Upload::blames_caller_for_timeout`] |
//! | time ran out otherwise | the peer's |
//!
//! A caller that only wants an answer before it goes on with its body cannot be told from one that stalls: both are
//! waited for.
//!
//! # What it costs
//!
//! Nothing for a request without a body, or with one that is over before it is read. Any other body whose type can be
//! watched in place costs an `Arc` and a box, and each layer that judges the call another box, a look under the lock and
//! a clock reading when it begins. After that, the clock is read when the body has nothing ready, and when it has again;
//! the lock is taken then, and at the end. A frame that is there at once costs neither.

mod body;
mod handle;
mod progress;
mod reporter;
mod watch;

pub(crate) use body::WatchedBody;
pub(crate) use handle::Upload;
pub(crate) use reporter::UploadReporter;
pub(crate) use watch::watch_request;
