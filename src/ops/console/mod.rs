//! The console: the page that shows and controls what the process knows.

mod asset;
pub(crate) mod assets;
mod join;

pub(crate) use asset::Asset;
