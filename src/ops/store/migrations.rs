//! The versions of the tables.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::{WriteSource, open_error::OpenError};

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS schema (source TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID";

/// Makes sure that no table is of a later program. Nothing is changed.
pub(super) fn check(connection: &Connection, source: &dyn WriteSource) -> Result<usize, OpenError> {
    connection.execute_batch(SCHEMA)?;
    let sql = "SELECT version FROM schema WHERE source = ?1";
    let version = connection.query_row(sql, [source.name()], |row| row.get::<_, i64>(0));
    let file = version.optional()?.unwrap_or(0).max(0) as usize;
    let program = source.migrations().len();
    if file > program {
        let source = source.name();
        return Err(OpenError::Newer {
            source,
            file,
            program,
        });
    }
    Ok(file)
}

/// Takes the steps that the file has not seen, each in a transaction.
pub(super) fn migrate(
    connection: &mut Connection,
    source: &dyn WriteSource,
) -> Result<(), OpenError> {
    let from = check(connection, source)?;
    for (at, step) in source.migrations().iter().enumerate().skip(from) {
        let step_of = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        step_of.execute_batch(step)?;
        let sql = "INSERT INTO schema VALUES (?1, ?2) ON CONFLICT DO UPDATE SET version = excluded.version";
        step_of.execute(sql, (source.name(), at as i64 + 1))?;
        step_of.commit()?;
    }
    Ok(())
}
