//! The callsites of spans and events in a process of several tests.

use std::sync::OnceLock;

use tracing::{Dispatch, subscriber::NoSubscriber};

/// Makes each callsite ask all subscribers of the process, from now on. To be called before a test subscribes to what code says that
/// tests without a subscriber run as well.
///
/// With a single subscriber in the process, `tracing` asks only that of the thread which reaches a callsite first: where that thread has
/// none, the callsite is off for all. Beside these two, which never go, none is a single one.
pub fn ask_all_subscribers() {
    static OTHERS: OnceLock<[Dispatch; 2]> = OnceLock::new();
    OTHERS.get_or_init(|| [(); 2].map(|()| Dispatch::new(NoSubscriber::default())));
}
