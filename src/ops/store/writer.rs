//! The thread that writes.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant, SystemTime},
};

use rusqlite::Connection;

use super::{
    MAX_ROWS, StoreFile, Trouble, WriteError, WriteSource, WriterSignal,
    file::{File, OpenFile},
    open_error::{OpenError, is_damage, is_of_file},
    pace::{Pace, Round},
    readers::Readers,
};
use crate::call::catch_hook;

/// The time that the end of a process waits for what is still to be written.
const STOP_LIMIT: Duration = Duration::from_secs(2);
/// The least share of empty pages, and the least number of them, that is given back to the disk.
const MIN_EMPTY_SHARE: i64 = 10;
const MIN_EMPTY_PAGES: i64 = 1_000;

/// The writer, with what readers and sources need of it. Ends when it is dropped.
pub(super) struct Writer(Arc<Shared>);

/// The state that the thread shares with others.
pub(super) struct Shared {
    pub(super) settings: StoreFile,
    /// Held while a batch is written: by the thread, or at the start by whoever builds.
    file: Mutex<File>,
    pub(super) readers: Readers,
    pub(super) signal: WriterSignal,
    pub(super) trouble: Trouble,
}

impl Writer {
    /// Opens the file, if it can be opened now, and starts the thread.
    pub(super) fn start(settings: StoreFile, sources: Vec<Arc<dyn WriteSource>>) -> Self {
        let trouble = Trouble::new();
        let mut file = File::new(settings.clone(), trouble.clone());
        for source in sources {
            // Nothing is open yet.
            let _ = file.add(source);
        }
        let shared = Arc::new(Shared {
            settings,
            file: Mutex::new(file),
            readers: Readers::default(),
            signal: WriterSignal::default(),
            trouble,
        });
        shared.open_first();
        let of_thread = shared.clone();
        let thread = thread::Builder::new().name("ops-store".to_owned());
        let spawned = thread.spawn(move || {
            // However it ends: whoever waits for that must not wait in vain.
            let stopped = Stopped(of_thread);
            stopped.0.run();
        });
        if let Err(error) = spawned {
            shared.fail(&format_args!("no thread can be started: {error}"));
            shared.signal.stopped();
        }
        Writer(shared)
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }

    /// Adds a source. Makes its tables, and so may block for the time of a batch.
    pub(super) fn add(&self, source: Arc<dyn WriteSource>) {
        let mut file = self.0.file();
        if let Err(error) = file.add(source) {
            self.0.on_open_error(&mut file, &error);
        }
    }

    /// Writes what waits, ends the thread and closes the file. Waits for that, up to a limit.
    pub(super) fn close(&self) {
        self.0.readers.close();
        if !self.0.signal.stop(STOP_LIMIT) {
            let path = self.0.settings.path().display();
            catch_hook(|| {
                tracing::warn!(target: "tower_keep::ops", %path, "operations store: the last changes may be lost, since the disk takes too long");
            });
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

/// A guard that tells that the writer has stopped.
struct Stopped(Arc<Shared>);

impl Drop for Stopped {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.readers.close();
            self.0.fail(&"the writer has panicked");
        }
        self.0.signal.stopped();
    }
}

impl Shared {
    fn open_first(&self) {
        let mut file = self.file();
        match file.open() {
            Ok(_) => self.readers.open(),
            Err(error) => self.on_open_error(&mut file, &error),
        }
    }

    fn run(&self) {
        let mut pace = Pace::new(Instant::now());
        loop {
            let is_last = self
                .signal
                .wait(pace.wait(Instant::now()), pace.is_in_haste());
            if is_last {
                break;
            }
            let round = self.round(&mut pace);
            pace.round(Instant::now(), round);
        }
        let deadline = Instant::now() + STOP_LIMIT;
        // Nothing is deleted any more.
        pace.trimmed(Instant::now(), false);
        while self.round(&mut pace) == Round::More && Instant::now() < deadline {}
        self.readers.close();
        self.file().release();
    }

    /// Writes what waits, a batch of each source, and deletes what is too old.
    fn round(&self, pace: &mut Pace) -> Round {
        let mut file = self.file();
        let OpenFile {
            connection,
            sources,
            is_new,
        } = match file.open() {
            Ok(open) => open,
            Err(error) => {
                self.on_open_error(&mut file, &error);
                return Round::Failed;
            }
        };
        if is_new {
            self.readers.open();
        }
        let mut trim = || -> rusqlite::Result<bool> {
            let now = Instant::now();
            if !pace.is_trim_due(now) {
                return Ok(false);
            }
            let has_more = trim(connection, sources, SystemTime::now())?;
            pace.trimmed(now, has_more);
            Ok(has_more)
        };
        // First, since a file that is full needs it.
        let trimmed = trim();
        let written = write(connection, sources);
        match written.and_then(|more| Ok(more | trimmed?)) {
            Ok(has_more) => {
                self.succeed();
                match has_more {
                    true => Round::More,
                    false => Round::Done,
                }
            }
            Err(error) => {
                self.on_error(&mut file, &error);
                Round::Failed
            }
        }
    }

    fn on_error(&self, file: &mut File, error: &rusqlite::Error) {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull};
        self.fail(error);
        if is_damage(error) {
            self.readers.close();
            file.close_damaged();
        } else if !matches!(
            error.sqlite_error_code(),
            Some(DiskFull | DatabaseBusy | DatabaseLocked)
        ) {
            // Whatever it is, a new connection knows nothing of it. What is full can still be read.
            self.readers.close();
            file.close();
        }
    }

    fn on_open_error(&self, file: &mut File, error: &OpenError) {
        self.fail(error);
        self.readers.close();
        file.close();
    }

    fn fail(&self, error: &dyn std::fmt::Display) {
        let path = self.settings.path().display();
        let reason = format!("{path}: {error}");
        if self.trouble.set(Some(reason.clone())) {
            catch_hook(|| {
                tracing::warn!(target: "tower_keep::ops", reason, "operations store: kept in memory only");
            });
        }
    }

    fn succeed(&self) {
        if self.trouble.set(None) {
            let path = self.settings.path().display();
            catch_hook(|| {
                tracing::info!(target: "tower_keep::ops", %path, "operations store: written again");
            });
        }
    }

    fn file(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes a batch of each source in one transaction, and returns whether more waits.
fn write(connection: &mut Connection, sources: &[Arc<dyn WriteSource>]) -> rusqlite::Result<bool> {
    let mut results = Vec::with_capacity(sources.len());
    let written = write_all(connection, sources, &mut results);
    let mut has_more = false;
    // The one that has failed is not among the results, but has written as well.
    let begun = results.len() + usize::from(written.is_err());
    let all = results.into_iter().map(Some).chain([None]);
    for (source, result) in sources.iter().zip(all).take(begun) {
        let result = match result {
            Some(Err(error)) => Err(error),
            Some(Ok(rows)) if written.is_ok() => {
                has_more |= rows >= MAX_ROWS;
                Ok(())
            }
            _ => Err(WriteError::Later),
        };
        catch_hook(|| source.finished(result));
    }
    written.map(|()| has_more)
}

/// Writes a batch of each source. What one of them cannot write does not keep the others from it.
fn write_all(
    connection: &mut Connection,
    sources: &[Arc<dyn WriteSource>],
    results: &mut Vec<Result<usize, WriteError>>,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for source in sources {
        transaction.execute_batch("SAVEPOINT source")?;
        let result = match catch_hook(|| source.write(&transaction)) {
            Some(Ok(rows)) => Ok(rows),
            Some(Err(error)) if is_of_file(&error) => return Err(error),
            failed => {
                let error = failed.and_then(Result::err);
                let error =
                    error.map_or_else(|| "it panicked".to_owned(), |error| error.to_string());
                catch_hook(|| {
                    tracing::error!(target: "tower_keep::ops", source = source.name(), error, "operations store: a batch is lost");
                });
                transaction.execute_batch("ROLLBACK TO source")?;
                Err(WriteError::Never)
            }
        };
        transaction.execute_batch("RELEASE source")?;
        results.push(result);
    }
    transaction.commit()
}

/// Deletes a part of what is too old, and returns whether there is more.
fn trim(
    connection: &mut Connection,
    sources: &[Arc<dyn WriteSource>],
    now: SystemTime,
) -> rusqlite::Result<bool> {
    let mut has_more = false;
    for source in sources {
        let transaction = connection.transaction()?;
        match catch_hook(|| source.trim(&transaction, now)) {
            Some(Ok(more)) => {
                has_more |= more;
                transaction.commit()?;
            }
            Some(Err(error)) if is_of_file(&error) => return Err(error),
            // Rolled back.
            _ => {}
        }
    }
    Ok(has_more || give_back(connection)?)
}

/// Gives empty pages back to the disk, a part of them, and returns whether there are more.
fn give_back(connection: &Connection) -> rusqlite::Result<bool> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let is_much = || -> rusqlite::Result<bool> {
        let empty = number("freelist_count")?;
        Ok(empty >= MIN_EMPTY_PAGES && empty * 100 >= number("page_count")? * MIN_EMPTY_SHARE)
    };
    if !is_much()? {
        return Ok(false);
    }
    // Each step gives back a page.
    let mut statement = connection.prepare("PRAGMA incremental_vacuum(500)")?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    drop(rows);
    is_much()
}
