//! Keeping calls going when the other side is not at its best, and services standing when it is down.
//!
//! | module | what |
//! |---|---|
//! | [`breaker`] | stop calling what fails, and find out when it is well again |
//! | [`timeout`] | time limits and deadlines |
//! | [`fallback`] | another answer where a call fails |
//! | [`retry`] | another attempt after a failure: how long to wait, how many, and never too many at once |

pub mod breaker;
pub mod fallback;
mod hint;
pub mod retry;
pub mod timeout;
