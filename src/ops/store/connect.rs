//! Connections to the file.

use std::{fs, io, path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags};

use super::{StoreFile, open_error::OpenError};

/// The number that tells our files from those of others: "tkop".
const APPLICATION_ID: i64 = 0x746b_6f70;
/// The time that a connection waits for another one's lock, which is held for moments.
const BUSY: Duration = Duration::from_secs(2);
/// The size to which the log of changes is cut when all of it is in the file.
const MAX_WAL: u64 = 16 << 20;

/// Opens the file for its only writer, and makes it if there is none.
pub(super) fn writer(file: &StoreFile) -> Result<Connection, OpenError> {
    create(file.path())?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file.path(), flags)?;
    connection.busy_timeout(BUSY)?;
    let id: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if id != APPLICATION_ID {
        let tables = "SELECT count(*) FROM sqlite_master";
        if connection.query_row(tables, [], |row| row.get::<_, i64>(0))? > 0 {
            return Err(OpenError::Foreign);
        }
        // Before the first table: it cannot be set later.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update_and_check(None, "journal_size_limit", MAX_WAL as i64, |_| Ok(()))?;
    let page: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
    let pages = (file.max_size() / page.max(512) as u64).min(u32::MAX.into()) as i64;
    connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    Ok(connection)
}

/// Opens the file to read it.
pub(super) fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}

/// Makes an empty file that only its owner may read, if there is none: it has what operators did, and the text of errors. SQLite
/// gives the files beside it the same mode.
pub(super) fn create(path: &Path) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// The identity of a file, which another that has taken its place does not have.
pub(super) type FileId = (u64, u64);

/// Returns the identity of the file that is at a path, where the system tells it.
pub(super) fn file_id(path: &Path) -> Option<FileId> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.dev(), metadata.ino()))
    }
    #[cfg(not(unix))]
    {
        // A file that is open cannot be deleted there.
        let _ = path;
        None
    }
}
