//! Groups errors by fault: one group for each fault instead of one log line for each call that failed.
//!
//! Use it to see in the process itself which errors occur, since when, how often, and the IDs of an affected call; and to
//! get events for faults that are new or have regressed. It is not a log: each group keeps only its first and its latest
//! record, and a restart loses all of them. It does not redact either: keep secrets and personal data out of error
//! messages.
//!
//! # Place in the stack
//!
//! It is not a layer. A layer that classifies the end of calls, outside of everything that may panic, time out or fail,
//! passes an [`ErrorRecord`] to the [`ErrorTracker`]; [`Track`](crate::Track) does so. Other code can record errors as
//! well.
//!
//! # What happens
//!
//! | group of the record | effect |
//! |---|---|
//! | does not exist | creates the group; subscribers get [`ErrorEvent::New`] |
//! | open | counts the record, and stores it as the latest one |
//! | resolved | reopens the group; subscribers get [`ErrorEvent::Regressed`] |
//! | ignored | counts the record; subscribers get no event |
//! | was evicted, and its fingerprint is still known | creates the group again with its former status; subscribers get no event, or a regression |
//!
//! Records belong to the same group if their kind, route, message, last cause and location are equal after
//! [normalization](#normalization). [`ErrorGroup::grouping_key`] describes these for a group, and [`Fingerprint`]
//! identifies it on every machine. If errors of different faults share a group, make the kind
//! more precise. If there are too many groups, keep free text out of messages, or lower
//! [`max_variants`](ErrorTrackerBuilder::max_variants).
//!
//! Everything is bounded, whatever peers send: texts when a [record](ErrorRecord) is created, messages per kind and route,
//! groups in total, events per subscriber. Evictions are counted. The fingerprints of evicted groups are known for a while
//! (eight per group of the limit), so that more faults than the store has room for do not cause a flood of events.
//!
//! With the feature `serde`, groups, samples, events, statuses and fingerprints implement `Serialize`. Times are RFC 3339
//! in UTC with milliseconds (`2026-01-02T03:04:05.678Z`), and unknown values are `null`. Texts are not escaped: escape
//! them where they are displayed.
//!
//! # Normalization
//!
//! Messages and last causes are compared after their variable parts are replaced by placeholders:
//!
//! | placeholder | replaces |
//! |---|---|
//! | `<str>` | text in `"double"`, `'single'` or `“typographic”` quotes or `` `backticks` ``; the apostrophe of "can't" is not a quote |
//! | `<num>` | whole and decimal numbers, versions, with their sign; a unit stays: `3GiB` is `<num>GiB` |
//! | `<duration>` | numbers with a unit of time, one or more: `30ms`, `1m 30s` |
//! | `<hex>` | `0x…`, and eight or more hex digits with at least one letter |
//! | `<uuid>` | a UUID with its hyphens |
//! | `<id>` | words of 20 or more characters with digits in two places (ULIDs, nanoids, keys), any longer than 64, JSON web tokens, the suffix of a pod's name, `#A-1043` |
//! | `<ip>` | an IPv4 address with or without a port, an IPv6 address |
//! | `<mac>` | a MAC address |
//! | `<date>` | an ISO 8601 date, date and time, or time of day down to the second |
//! | `<email>` | an e-mail address |
//! | `<path>` | path, query and fragment of a URL; paths of files: absolute ones of two segments or more, relative ones with an extension |
//!
//! The scheme and host of a URL are kept, because they identify the peer that failed; user name and password are removed.
//! Numbers inside a host are replaced like any others. The path of `src/main.rs:12:5` is kept, because it identifies the
//! code that failed; the line numbers are replaced. Words that mix letters and digits, such as `utf8`, `E0308` or `4xx`,
//! are kept. A run of whitespace and control characters becomes one space.
//!
//! Three more things are kept because they identify the fault: a quoted name without digits after `constraint`,
//! `relation`, `column`, `table` or `missing field`, and the description of a gRPC code as tonic writes it
//! (`code: '..', message: `), both in double quotes in the result; and an HTTP status after `status`, `status code` or
//! `HTTP`. All other numbers are replaced, error codes included: put such a code into the kind of the record.
//!
//! The first 1,024 bytes of a message are read, in linear time. The result has at most 512 bytes, and ends in `…` if it is
//! truncated.
//!
//! # Clones
//!
//! All clones of an [`ErrorTracker`] share the groups. An [`ErrorGroup`] is a snapshot.
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
//! With settings and a subscriber:
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
//! let Some(ErrorEvent::Regressed(regressed)) = events.next().await else { panic!("not a regression") };
//! assert_eq!((regressed.fingerprint(), regressed.status(), regressed.regressions()), (group, GroupStatus::Open, 1));
//! # Ok(())
//! # }
//! ```

mod builder;
mod describe;
pub(crate) mod error_description;
mod event;
mod events;
mod fingerprint;
mod group;
mod group_status;
mod grouping_key;
#[cfg(feature = "serde")]
mod json;
mod normalize;
mod parse_fingerprint_error;
mod record;
mod sample;
mod store;
mod tracker;
mod type_name;

pub use self::{
    builder::ErrorTrackerBuilder, event::ErrorEvent, events::ErrorEvents, fingerprint::Fingerprint,
    group::ErrorGroup, group_status::GroupStatus, parse_fingerprint_error::ParseFingerprintError,
    record::ErrorRecord, sample::ErrorSample, tracker::ErrorTracker,
};
pub(crate) use self::{describe::kind_of, type_name::short_type_name};
pub use crate::util::panics::capture_panics;
// For the fuzz targets.
#[doc(hidden)]
pub use self::normalize::normalize_message;
