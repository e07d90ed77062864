#[cfg(feature = "ops-sqlite")]
use std::sync::Arc;

use super::{Collection, Document, Trouble};
#[cfg(feature = "ops-sqlite")]
use super::{
    ReadError, StoreFile, WriteSource, WriterSignal, documents, documents::Documents,
    writer::Writer,
};

/// A store of documents, and of what sources write. Clones share it.
///
/// Without a file it keeps nothing: each part has its present in memory anyway.
#[derive(Clone, Default)]
pub(crate) struct Store {
    #[cfg(feature = "ops-sqlite")]
    open: Option<Arc<Open>>,
}

#[cfg(feature = "ops-sqlite")]
struct Open {
    documents: Arc<Documents>,
    writer: Writer,
}

impl Store {
    /// Opens a file, and starts its writer. Where that fails, the store is as one without a file until it works.
    #[cfg(feature = "ops-sqlite")]
    pub(crate) fn open(file: StoreFile) -> Self {
        let documents = Arc::new(Documents::default());
        let writer = Writer::start(file, vec![documents.clone()]);
        let open = Some(Arc::new(Open { documents, writer }));
        Store { open }
    }

    /// Keeps a document, in place of one of the same key. Returns at once: it is in the file some time later.
    pub(crate) fn put(&self, collection: Collection, document: Document) {
        self.change(collection, document.key.clone(), Some(document));
    }

    /// Removes a document.
    pub(crate) fn delete(&self, collection: Collection, key: &str) {
        self.change(collection, key.to_owned(), None);
    }

    /// Reads up to `limit` documents, the newest first, with the changes that wait. Blocks, 2 s at most. There are none without a
    /// file.
    pub(crate) fn load(&self, collection: Collection, limit: usize) -> Vec<Document> {
        self.documents(collection, limit)
    }

    /// Returns how many changes of documents were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        #[cfg(feature = "ops-sqlite")]
        if let Some(open) = &self.open {
            return open.documents.dropped();
        }
        0
    }

    /// Returns how many times a file was opened. One that is opened later may have nothing of what was written before; what is still
    /// true is written again, but for workflows.
    pub(crate) fn opened(&self) -> u64 {
        #[cfg(feature = "ops-sqlite")]
        if let Some(open) = &self.open {
            return open.documents.opened();
        }
        0
    }

    /// Returns what is wrong with the file, if there is to be one.
    pub(crate) fn trouble(&self) -> Option<&Trouble> {
        #[cfg(feature = "ops-sqlite")]
        if let Some(open) = &self.open {
            return Some(&open.writer.shared().trouble);
        }
        None
    }

    /// Writes what waits and closes the file, whoever else has a clone. Waits 2 s at most. What comes later is in no file.
    pub(crate) fn close(&self) {
        #[cfg(feature = "ops-sqlite")]
        if let Some(open) = &self.open {
            open.writer.close();
        }
    }

    /// Lets the writer write at once what waits, and does not wait for it.
    pub(crate) fn flush(&self) {
        #[cfg(feature = "ops-sqlite")]
        if let Some(open) = &self.open {
            open.writer.shared().signal.notify();
        }
    }
}

#[cfg(feature = "ops-sqlite")]
impl Store {
    /// Adds what writes in batches of its own. May block for the time of a batch. Does nothing without a file.
    pub(crate) fn add_source(&self, source: Arc<dyn WriteSource>) {
        if let Some(open) = &self.open {
            open.writer.add(source);
        }
    }

    /// Returns what wakes the writer, if there is a file: for a source that has enough for a batch.
    pub(crate) fn signal(&self) -> Option<WriterSignal> {
        let open = self.open.as_ref()?;
        Some(open.writer.shared().signal.clone())
    }

    /// Reads, on a connection that only reads. Blocks, 2 s at most.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no file, if it takes longer, or what SQLite says.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T>,
    ) -> Result<T, ReadError> {
        let open = self.open.as_ref().ok_or(ReadError::Unavailable)?;
        let shared = open.writer.shared();
        shared.readers.read(shared.settings.path(), read)
    }

    fn change(&self, collection: Collection, key: String, change: Option<Document>) {
        if let Some(open) = &self.open
            && open.documents.change(collection, key, change)
        {
            open.writer.shared().signal.notify();
        }
    }

    fn documents(&self, collection: Collection, limit: usize) -> Vec<Document> {
        let Some(open) = &self.open else {
            return Vec::new();
        };
        // What waits may replace some of them.
        let read = self.read(|connection| documents::load(connection, collection, limit));
        open.documents
            .over(collection, read.unwrap_or_default(), limit)
    }
}

#[cfg(not(feature = "ops-sqlite"))]
impl Store {
    fn change(&self, _collection: Collection, _key: String, _change: Option<Document>) {}

    fn documents(&self, _collection: Collection, _limit: usize) -> Vec<Document> {
        Vec::new()
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}
