use std::{
    fmt,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode};

use super::connect;

/// The most connections that are kept for the next reader.
const MAX_IDLE: usize = 4;
/// The time after which a query is ended.
const MAX_TIME: Duration = Duration::from_secs(2);
/// The steps of SQLite's machine between two looks at the clock: some tens of microseconds.
const STEPS: i32 = 1_000;

/// The reason why something could not be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// Without a file, or with one that cannot be used.
    Unavailable,
    /// After 2 s.
    TimedOut,
    Failed(rusqlite::Error),
}

/// Connections that only read, each used by one reader at a time.
#[derive(Debug, Default)]
pub(super) struct Readers(Mutex<Idle>);

#[derive(Debug, Default)]
struct Idle {
    connections: Vec<Connection>,
    /// The number of the file that is open; 0 if there is none.
    file: u64,
    files: u64,
}

impl Readers {
    /// Lets readers in: a file is open.
    pub(super) fn open(&self) {
        let mut idle = self.lock();
        idle.files += 1;
        idle.file = idle.files;
    }

    /// Lets no reader in, and closes connections that nobody uses.
    pub(super) fn close(&self) {
        let mut idle = self.lock();
        idle.file = 0;
        idle.connections.clear();
    }

    /// Reads. Blocks, 2 s at most.
    pub(super) fn read<T>(
        &self,
        path: &Path,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, ReadError> {
        let (kept, file) = {
            let mut idle = self.lock();
            (idle.connections.pop(), idle.file)
        };
        if file == 0 {
            return Err(ReadError::Unavailable);
        }
        let connection = match kept {
            Some(connection) => connection,
            None => connect::reader(path)?,
        };
        let end = Instant::now() + MAX_TIME;
        connection.progress_handler(STEPS, Some(move || Instant::now() >= end))?;
        let result = read(&connection);
        connection.progress_handler(STEPS, None::<fn() -> bool>)?;
        let mut idle = self.lock();
        // One that has failed may be one of a file that is no longer there.
        if result.is_ok() && idle.file == file && idle.connections.len() < MAX_IDLE {
            idle.connections.push(connection);
        }
        Ok(result?)
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => ReadError::TimedOut,
            _ => ReadError::Failed(error),
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Unavailable => f.write_str("the file of the store is not available"),
            ReadError::TimedOut => f.write_str("the query took longer than 2 s"),
            ReadError::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReadError {}
