//! Watches the bodies of requests as they are read, to tell the caller's faults from the peer's.
//!
//! | what happened | fault |
//! |---|---|
//! | the body failed, was reset, or was shorter than announced | the caller's, whatever the response: [`Upload::is_broken`] |
//! | its gRPC messages had a framing error | the caller's: [`Upload::is_malformed`] |
//! | a timeout while more of it was waited for, or had been for more than half of the time | the caller's: [`Upload::blames_caller_for_timeout`] |
//! | another timeout | the peer's |
//!
//! A caller that waits for the response before it goes on with its body cannot be told from one that stalls.
//!
//! # What it costs
//!
//! Nothing for a request without a body, or with one that has ended before it is read. Any other body whose type can be
//! watched in place costs an `Arc` and a box, and each layer that classifies the call another box, a lock and a reading of the
//! clock when it begins. After that, the clock is read when the body has nothing ready, and when it has again; the lock is
//! taken then, and at the end. A frame that is ready at once costs neither.

mod body;
mod handle;
mod progress;
mod reporter;
mod watch;

pub(crate) use body::WatchedBody;
pub(crate) use handle::Upload;
pub(crate) use reporter::UploadReporter;
pub(crate) use watch::watch_request;
