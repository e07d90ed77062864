use std::time::SystemTime;

use rusqlite::{Connection, Transaction};

/// The most rows that a source writes or trims at once.
pub(crate) const MAX_ROWS: usize = 1_000;

/// A source of what is written to the file in batches: documents, records of the log, spans, the history of metrics.
///
/// All functions but the first two run on the writer's thread. A source keeps what waits in a bounded queue and counts what it
/// drops; it must not hold a [`Store`](super::Store), which would never end, but may hold its [`WriterSignal`](super::WriterSignal).
pub(crate) trait WriteSource: Send + Sync {
    /// Returns the name in the table of versions, which begins the names of the source's tables.
    fn name(&self) -> &'static str;

    /// Returns the steps that make the tables, in SQL, the oldest first. A step that was released never changes.
    fn migrations(&self) -> &'static [&'static str];

    /// Learns that a file was opened: the first one, or another one in its place. Its tables are there.
    ///
    /// # Errors
    ///
    /// Passes on what SQLite says.
    fn opened(&self, _connection: &Connection) -> rusqlite::Result<()> {
        Ok(())
    }

    /// Writes up to [`MAX_ROWS`] rows of what waits, and returns how many. As many as that means that more may wait.
    ///
    /// # Errors
    ///
    /// Passes on what SQLite says: nothing of the batch is in the file then.
    fn write(&self, transaction: &Transaction<'_>) -> rusqlite::Result<usize>;

    /// Learns what became of the batch. Is called after each `write`.
    fn finished(&self, result: Result<(), WriteError>);

    /// Deletes what is too old or too much, up to [`MAX_ROWS`] rows, and returns whether there is more.
    ///
    /// # Errors
    ///
    /// Passes on what SQLite says.
    fn trim(&self, connection: &Connection, now: SystemTime) -> rusqlite::Result<bool>;
}

/// The reason why a batch is not in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteError {
    /// The file cannot be written now: write the batch again.
    Later,
    /// The file does not take the batch, and never will: drop it, and count it.
    Never,
}
