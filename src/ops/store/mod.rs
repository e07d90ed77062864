//! The file that survives a restart: documents of a few kinds, and what other parts write in batches.
//!
//! All of it is in one SQLite file, if there is one. One thread writes: each 250 ms, or when a [`WriteSource`] has enough, it
//! opens a transaction, lets every source write, and commits. Readers have connections of their own. Without a file, nothing is
//! kept: each part has its present in memory anyway.
//!
//! Nothing here waits for a disk but [`Store::load`] and `Store::read`, which are called at the start and on threads for blocking work.
//!
//! # A file that cannot be used
//!
//! The store then is one without a file, for a time: sources keep what waits, up to their bounds, and count what they drop. The
//! writer tries again, first after 250 ms, then ever later, up to each 30 s. [`Store::trouble`] says why.
//!
//! | what | then |
//! |---|---|
//! | the disk is full, read-only, or fails | tried again |
//! | the file was deleted or replaced | a new one, into which what is still true is written again |
//! | the file is damaged | it is moved aside, never deleted, and there is a new one, as above; after three times, tried again only |
//! | another process, or another `Ops`, has the file | tried again: the first one has it until it ends |
//! | the file was written by a later program, or is not one of this crate | it is not touched; tried again |
//!
//! # Clones
//!
//! Clones of a [`Store`] share the file. [`Store::close`], or the drop of the last one, writes what waits and closes the file, for which it
//! waits 2 s at most.

#[cfg(feature = "ops-sqlite")]
mod connect;
mod document;
#[cfg(feature = "ops-sqlite")]
mod documents;
#[cfg(feature = "ops-sqlite")]
mod file;
#[cfg(feature = "ops-sqlite")]
mod lock;
#[cfg(feature = "ops-sqlite")]
mod migrations;
#[cfg(feature = "ops-sqlite")]
mod open_error;
#[cfg(feature = "ops-sqlite")]
mod pace;
#[cfg(feature = "ops-sqlite")]
mod present;
#[cfg(feature = "ops-sqlite")]
mod readers;
#[cfg(feature = "ops-sqlite")]
mod signal;
// The type that the module is named after, as `breaker` has it.
#[allow(clippy::module_inception)]
mod store;
#[cfg(feature = "ops-sqlite")]
mod store_file;
#[cfg(all(test, feature = "ops-sqlite"))]
mod store_tests;
mod trouble;
#[cfg(feature = "ops-sqlite")]
mod write_source;
#[cfg(feature = "ops-sqlite")]
mod writer;

#[cfg(feature = "ops-sqlite")]
pub use self::store_file::StoreFile;
pub(crate) use self::{
    document::{Collection, Document},
    store::Store,
    trouble::Trouble,
};
#[cfg(feature = "ops-sqlite")]
pub(crate) use self::{
    readers::ReadError,
    signal::WriterSignal,
    write_source::{MAX_ROWS, WriteError, WriteSource},
};
