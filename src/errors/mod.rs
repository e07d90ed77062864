//! Errors, gathered into groups: one line for each fault instead of one for each call that met it.
//!
//! Use it to see in the process itself what goes wrong, since when, how often, and the IDs of a call to
//! look at; and to be told of faults that are new or have come back. It is no log: of each group it keeps
//! the first and the latest record, and a restart forgets all. Nor does it redact: keep secrets and
//! personal data out of error messages, or out of records.
//!
//! Place in the stack: none of its own. Whoever judges how a call ended - once, outside of everything that
//! may panic, time out or fail - hands an [`ErrorRecord`] to the [`ErrorTracker`]; code that is no service
//! may do so, too.
//!
//! | a record whose group is | does |
//! |---|---|
//! | not known | begins a group; subscribers get [`ErrorEvent::New`] |
//! | open | counts, and becomes the group's latest sample |
//! | resolved | opens the group again; subscribers get [`ErrorEvent::Regressed`] |
//! | ignored | counts, and nobody is told |
//! | gone for want of room, and remembered | begins the group again, in the status that it had; subscribers hear nothing, or of a regression |
//!
//! Records are one group if kind, route, message, last cause and location are the same once the variable parts of the
//! texts are taken out, see [`normalize_message`]; [`ErrorGroup::grouping_key`] says it for each group, and [`Fingerprint`] is the name
//! of the group, the same on every machine. Too much in one group? Make the kind more precise. Too many
//! groups? Keep free text out of the message, or lower [`max_variants`](ErrorTrackerBuilder::max_variants).
//!
//! Everything is bounded, whatever comes over the wire: texts when a [record](ErrorRecord) is made,
//! messages per kind and route, groups in all, events per subscriber. What had to go is counted, and remembered by name
//! for a while (eight names for each group that there is room for), so that more faults than there is room for are no
//! storm of news.
//!
//! With the feature `serde`, groups, samples, events, statuses and fingerprints are `Serialize`: times are
//! RFC 3339 in UTC to the millisecond (`2026-01-02T03:04:05.678Z`), and what is not known is `null`. Texts
//! are as they came, so escape them where they are shown.
//!
//! # Clones
//!
//! All clones of an [`ErrorTracker`] are one tracker. A [`ErrorGroup`] is a snapshot.
//!
//! # Cancellation
//!
//! Recording does not wait. Dropping the future of [`ErrorEvents::next`] loses no event.
//!
//! # Example
//!
//! ```
//! use tower_keep::errors::{ErrorRecord, ErrorTracker};
//!
//! let errors = ErrorTracker::default();
//! for order in [17, 4711] {
//!     let record = ErrorRecord::new("NotFound", format!("no row for order {order}"))
//!         .with_route("/orders/{id}")
//!         .with_correlation_id(format!("call-for-{order}"));
//!     errors.record(record);
//! }
//!
//! let groups = errors.groups();
//! assert_eq!(groups.len(), 1);
//! assert_eq!(groups[0].message(), "no row for order <num>");
//! assert_eq!(groups[0].count(), 2);
//! assert_eq!(groups[0].latest().record().correlation_id(), Some("call-for-4711"));
//! ```
//!
//! With settings, and a subscriber:
//!
//! ```
//! use tower_keep::errors::{ErrorEvent, ErrorTracker, GroupStatus};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let errors = ErrorTracker::builder().max_groups(2048).max_variants(32).build()?;
//! let mut events = errors.subscribe();
//!
//! let error = "7x".parse::<u32>().unwrap_err();
//! let group = errors.capture(&error);
//! errors.resolve(group);
//! errors.capture(&error);
//!
//! assert!(matches!(events.next().await, Some(ErrorEvent::New(_))));
//! let Some(ErrorEvent::Regressed(again)) = events.next().await else { panic!("it came back") };
//! assert_eq!((again.fingerprint(), again.status(), again.regressions()), (group, GroupStatus::Open, 1));
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "serde")]
mod json;

mod describe;
pub(crate) mod error_description;
mod evicted;
mod fingerprint;
mod group;
mod normalize;
mod paths;
mod patterns;
mod quotes;
mod record;
mod store;
mod tracker;
mod type_name;

pub use crate::call::capture_panics;
pub(crate) use describe::kind_of;
pub use fingerprint::{Fingerprint, ParseFingerprintError, VERSION};
pub use group::{ErrorGroup, ErrorSample, GroupStatus, GroupingKey};
pub use normalize::{MAX_NORMALIZED, MAX_READ, normalize_message};
pub use record::{ErrorRecord, MAX_CAUSE, MAX_CAUSES, MAX_ID, MAX_MESSAGE, MAX_NAME};
pub use store::{GroupChange, GroupStore, RecordResult, StoreLimits};
pub use tracker::{ErrorEvent, ErrorEvents, ErrorTracker, ErrorTrackerBuilder};
pub use type_name::{MAX_TYPE_NAME, panic_message, short_type_name};
