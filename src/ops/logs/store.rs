use std::sync::Arc;

use super::{
    LogStoreLayer,
    kept::Kept,
    metrics,
    page::{FoundLogs, LogPage, PageFill},
    query::LogQuery,
    shared::Shared,
    tail::TailChunk,
};
use crate::ops::{recorder::Recorder, store::Store};

/// The records of the log. When it is dropped, its layers keep nothing any more.
#[derive(Debug)]
pub(in crate::ops) struct LogStore {
    kept: Arc<Kept>,
    #[cfg(feature = "ops-sqlite")]
    store: Store,
}

impl LogStore {
    /// Creates one of what is kept, which is in the file as well, if there is one.
    pub(super) fn new(kept: Kept, store: &Store) -> Self {
        let kept = Arc::new(kept);
        #[cfg(feature = "ops-sqlite")]
        store.add_source(kept.clone());
        #[cfg(not(feature = "ops-sqlite"))]
        let _ = store;
        LogStore {
            kept,
            #[cfg(feature = "ops-sqlite")]
            store: store.clone(),
        }
    }

    pub(in crate::ops) fn layer(&self) -> LogStoreLayer {
        LogStoreLayer::new(self.kept.shared.clone())
    }

    /// Follows the directives of an operator, or goes back to the level of its own.
    pub(in crate::ops) fn follow(&self, directives: Option<&str>) {
        match directives {
            Some(directives) => self.kept.shared.filter.follow(directives),
            None => self.kept.shared.filter.unfollow(),
        }
    }

    /// Returns where events wait, without the store.
    pub(in crate::ops) fn waiting(&self) -> WaitingLogs {
        WaitingLogs(self.kept.shared.clone())
    }

    /// Stores what waits. Takes about a microsecond for each event.
    pub(in crate::ops) fn store(&self) {
        self.kept.store();
    }

    /// Adds to the metrics what was stored and dropped since it was called last.
    pub(in crate::ops) fn count(&self, recorder: &Recorder) {
        metrics::count(recorder, &self.kept.take_uncounted());
    }

    /// Returns a page of what a search finds. Takes some milliseconds, 2 s at most.
    pub(in crate::ops) fn search(&self, query: &LogQuery, page: LogPage) -> FoundLogs {
        self.kept.store();
        #[cfg(feature = "ops-sqlite")]
        if let Some(found) = self.search_file(query, page) {
            return found;
        }
        let mut fill = PageFill::new(query, page);
        self.kept.fill_from_memory(&mut fill);
        fill.into_found()
    }

    /// Searches what waits, and the file; `None` if the file cannot be read.
    #[cfg(feature = "ops-sqlite")]
    fn search_file(&self, query: &LogQuery, page: LogPage) -> Option<FoundLogs> {
        self.store.signal()?;
        let mut fill = PageFill::new(query, page);
        // First: what is written meanwhile is in the file then, and not read there once more.
        let before = self.kept.fill_from_waiting(&mut fill);
        let read = |connection: &_| super::file_read::read(connection, &mut fill, before);
        let read = super::muted::muted(|| self.store.read(read));
        read.is_ok().then(|| {
            fill.set_from_file();
            fill.into_found()
        })
    }

    /// Returns the newest records after a number, for viewers, and the number of the last record.
    pub(in crate::ops) fn tail(&self, after: u64) -> (TailChunk, u64) {
        self.kept.tail(after)
    }

    /// Returns how many records were stored since the start, and how many events were dropped, or did not get into the file.
    pub(in crate::ops) fn figures(&self) -> (u64, u64) {
        self.kept.figures()
    }
}

impl Drop for LogStore {
    fn drop(&mut self) {
        self.kept.shared.queue.close();
    }
}

/// The events that wait to be stored.
#[derive(Clone, Debug)]
pub(in crate::ops) struct WaitingLogs(Arc<Shared>);

impl WaitingLogs {
    /// Waits until so many wait that they should be stored at once. Cancel safe.
    pub(in crate::ops) async fn many(&self) {
        self.0.queue.many().await;
    }
}
