//! The console: the page that shows and controls what the process knows.

#![allow(
    dead_code,
    reason = "the API's router, which is not there yet, serves the page"
)]

mod asset;
pub(crate) mod assets;
mod join;
