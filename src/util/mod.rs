//! Helpers that every module may use. Nothing here imports another module of the crate.

pub(crate) mod family;
pub(crate) mod late;
pub(crate) mod listener;
pub(crate) mod panics;
pub(crate) mod quiet;
pub(crate) mod shown;
pub(crate) mod sync;
pub(crate) mod table;
pub(crate) mod text;
