//! Logs that are kept in the process: events of `tracing` and records of the `log` crate, to be searched in the console and
//! watched as they come.
//!
//! Use it where nobody wants to log in to a machine, or to wait for a log pipeline, to see what a process has just said. It
//! does not replace what collects the logs of all processes.
//!
//! It is on with the feature `ops-logs`: [`Ops::install`](super::Ops::install) adds its layer to the subscriber that
//! [`logging::install`](mod@crate::logging) has set up. A program with a registry of its own adds
//! [`Ops::layer`](super::Ops::layer), below the same filter as the rest:
//!
//! ```
//! use tower_keep::ops::Ops;
//! use tracing_subscriber::{layer::SubscriberExt, registry};
//!
//! let ops = Ops::builder("orders").build()?;
//! let subscriber = registry().with(ops.layer());
//! tracing::subscriber::with_default(subscriber, || tracing::info!(port = 3000, "listening"));
//! # Ok::<_, tower_keep::ConfigError>(())
//! ```
//!
//! # What is kept
//!
//! Of an event: time, level, target, message, up to 32 fields, and the IDs of the call: request ID, correlation ID, trace ID
//! and span ID, of the call that the thread works on, or of the innermost span that was created in one. A message has at
//! most 8 KiB, a value 4 KiB and all of them 16 KiB; what is longer ends in `…`.
//!
//! Events of at least [`level`](LogsBuilder::level) are kept, as far as the filter of the subscriber lets them through. While
//! an operator has changed the filter of the log, its directives count instead.
//!
//! | what | bound | what happens beyond it |
//! |---|---|---|
//! | events that wait to be stored | 8 MiB | the new one is dropped, and counted |
//! | records in memory | 10,000 records, 16 MiB | the oldest go |
//! | records in one answer | 500, about 2 MiB | the answer has a cursor for the next page |
//! | lines for one viewer in one frame | 200, about 256 KiB | the newest are sent, the others are counted |
//!
//! With the feature `ops-sqlite` and [`OpsBuilder::sqlite`](super::OpsBuilder), records are in the file as well, from where they are searched:
//!
//! | what | bound | what happens beyond it |
//! |---|---|---|
//! | records in the file | 7 days, 5,000,000 records, about 1 GiB | the oldest go, up to 1,000 at once |
//! | records that wait for the file | 100,000 records, 32 MiB | the oldest are not in the file, and are counted |
//! | the time of a search | 2 s | the answer has what was found, and a cursor to go on |
//!
//! A record takes about 320 bytes of the file. While the file cannot be used, the records in memory are searched.
//!
//! # Search
//!
//! All words must be in the message, in the names of the fields or in their values. `"two words"` must follow each other,
//! `pay*` is the beginning of a word, and `-retry` must not be there. Words consist of letters and digits, whatever stands
//! in between: `order_id=7` is the same as `"order id 7"`. Upper and lower case are the same, accents are not. No text is
//! an error.
//!
//! # Secrets
//!
//! The value of a field that is called like a credential (`password`, `api_key`, `x-auth-token`) is never copied. From
//! other texts, what looks like a credential is removed before they are stored: `Bearer …`, `password=…`, the password of a
//! URL. A secret without any such mark cannot be recognized.
//!
//! # Cost
//!
//! An event takes less than a microsecond of the thread that logs: it copies the texts, and puts them in one of several
//! queues whose lock it never waits for. The rest happens once per second, or as soon as many wait, on a thread for blocking
//! work. Logging of that work itself is not kept, so that it cannot feed itself. At `TRACE`, the connections of those who look
//! log as well: some lines for each frame.
//!
//! # Clones
//!
//! Clones of a layer share everything with its [`Ops`](super::Ops). When the last clone of the `Ops` is dropped, the
//! layer keeps nothing any more.
//!
//! # Cancellation
//!
//! Logging waits for nothing. A search whose request is cancelled ends by itself, within two seconds.

mod builder;
mod capture;
mod field_role;
#[cfg(feature = "ops-sqlite")]
mod file;
#[cfg(feature = "ops-sqlite")]
mod file_id;
#[cfg(feature = "ops-sqlite")]
mod file_marks;
#[cfg(feature = "ops-sqlite")]
mod file_read;
#[cfg(all(test, feature = "ops-sqlite"))]
mod file_tests;
#[cfg(feature = "ops-sqlite")]
mod file_trim;
#[cfg(feature = "ops-sqlite")]
mod file_write;
mod kept;
mod layer;
mod level;
mod memory;
mod metrics;
mod muted;
mod own_filter;
mod page;
mod query;
mod queue;
mod raw_record;
mod record;
mod search_text;
mod shared;
mod store;
mod tail;
#[cfg(feature = "ops-sqlite")]
mod waiting;
mod words;

pub use self::builder::LogsBuilder;
pub(super) use self::{
    layer::LogStoreLayer,
    page::{LogPage, MAX_LIMIT},
    query::LogQuery,
    store::LogStore,
    tail::{Tail, TailChunk},
};
