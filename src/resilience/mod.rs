//! Keeping calls going when the other side is not at its best.
//!
//! | module | what |
//! |---|---|
//! | [`retry`] | another attempt after a failure: how long to wait, how many, and never too many at once |

pub mod retry;
//! Keeping services standing when what they call does not.
//! | [`breaker`] | stop calling what fails, and find out when it is well again |
pub mod breaker;
