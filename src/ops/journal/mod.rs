//! The journal of what happened: one ordered, bounded, numbered list of events that can be subscribed to.
//!
//! Transitions of guards, changes of health, new error groups, actions of operators and the life of the process are in one
//! list, in the order in which they were recorded. [`Journal::after`] reads it from a number on, so that a reader who was
//! away misses nothing that is still there.
//!
//! Everything is bounded: the number of events (the oldest are dropped, and counted) and the length of each text. What operators
//! did stays longer than the rest, since an outage, or whoever can cause errors, fills the list.
//!
//! With the feature `ops-sqlite` and a file, events are written to it as well, and a journal goes on where the one of the process
//! before ended. Then only events that could not be written before they were dropped are counted as such.
//!
//! # Clones
//!
//! Clones of a [`Journal`] share the events.
//!
//! # Cancellation
//!
//! Recording does not wait. Dropping a future of [`JournalEvents::next`] loses no event.
//!
//! ```
//! use tower_keep::ops::journal::{Event, EventKind, Journal, Severity};
//!
//! let journal = Journal::new(1_000);
//! journal.record(Event::new(EventKind::Custom, Severity::Info, "orders", "deployed 2.14.0"));
//! let page = journal.after(0, 10, |_| true);
//! assert_eq!((page[0].seq(), page[0].text()), (1, "deployed 2.14.0"));
//! ```

mod event;
mod event_kind;
mod events;
mod list;
mod page;
#[cfg(feature = "ops-sqlite")]
mod record_file;
mod severity;

pub(in crate::ops) use self::page::{EventPage, PageStart};
#[cfg(feature = "ops-sqlite")]
pub(in crate::ops) use self::record_file::RecordFile;
pub use self::{
    event::Event, event_kind::EventKind, events::JournalEvents, list::Journal, severity::Severity,
};
