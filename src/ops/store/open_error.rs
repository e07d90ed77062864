use std::{fmt, io};

use rusqlite::ErrorCode;

/// The reason why a file cannot be used.
#[derive(Debug)]
pub(super) enum OpenError {
    /// Another process, or another store of this one, has it.
    InUse,
    /// A later program has written it.
    Newer {
        source: &'static str,
        file: usize,
        program: usize,
    },
    /// Another program has made it.
    Foreign,
    Io(io::Error),
    Sqlite(rusqlite::Error),
}

impl OpenError {
    /// Returns whether the content is damaged.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            OpenError::Sqlite(error) => is_damage(error),
            _ => false,
        }
    }
}

/// Returns whether SQLite says that the content of the file is damaged.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(
        code,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

/// Returns whether the file is the reason, and not what was to be written.
pub(super) fn is_of_file(error: &rusqlite::Error) -> bool {
    let Some(code) = error.sqlite_error_code() else {
        return false;
    };
    !matches!(
        code,
        ErrorCode::ConstraintViolation
            | ErrorCode::TypeMismatch
            | ErrorCode::TooBig
            | ErrorCode::ApiMisuse
            | ErrorCode::ParameterOutOfRange
            | ErrorCode::Unknown
            | ErrorCode::InternalMalfunction
            | ErrorCode::NotFound
    )
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::InUse => {
                f.write_str("is in use: each process, and each Ops, needs a file of its own")
            }
            OpenError::Newer {
                source,
                file,
                program,
            } => write!(
                f,
                "was written by a later version of the program: {source} is at version {file}, this program knows {program}"
            ),
            OpenError::Foreign => f.write_str("is a database of another program"),
            OpenError::Io(error) => error.fmt(f),
            OpenError::Sqlite(error) => error.fmt(f),
        }
    }
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        OpenError::Sqlite(error)
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        OpenError::Io(error)
    }
}
