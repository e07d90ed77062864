//! The lock that keeps a second process, or a second store, off the file.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::open_error::OpenError;

/// An empty database beside the file, with a transaction that never ends: the operating system releases it with the process,
/// however that ends. In a file of its own, since one on the file itself would keep its readers out.
#[derive(Debug)]
pub(super) struct FileLock {
    _connection: Connection,
}

impl FileLock {
    pub(super) fn take(path: &Path) -> Result<Self, OpenError> {
        super::connect::create(path)?;
        match begin(path) {
            Ok(connection) => Ok(FileLock {
                _connection: connection,
            }),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                Err(OpenError::InUse)
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn begin(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::ZERO)?;
    // No file of a journal: nothing is written.
    connection.pragma_update(None, "journal_mode", "MEMORY")?;
    connection.execute_batch("BEGIN EXCLUSIVE")?;
    Ok(connection)
}
