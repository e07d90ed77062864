//! Keeping calls going when the other side is not at its best.
//!
//! | module | what |
//! |---|---|
//! | [`retry`] | another attempt after a failure: how long to wait, how many, and never too many at once |

pub mod retry;
