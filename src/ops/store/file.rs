use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use rusqlite::Connection;

use super::{
    StoreFile, Trouble, WriteSource,
    connect::{self, FileId},
    lock::FileLock,
    migrations,
    open_error::OpenError,
};
use crate::ops::time::to_millis;

/// The most files that are moved aside: a disk that damages each of them would be filled with them.
const MAX_ASIDE: u32 = 3;

/// The file as its only writer has it, open or not.
pub(super) struct File {
    settings: StoreFile,
    sources: Vec<Arc<dyn WriteSource>>,
    lock: Option<FileLock>,
    open: Option<(Connection, Option<FileId>)>,
    /// True if what SQLite said of the open file is that it is damaged.
    is_damaged: bool,
    aside: u32,
    trouble: Trouble,
}

/// A file that is open, with what writes into it.
pub(super) struct OpenFile<'a> {
    pub(super) connection: &'a mut Connection,
    pub(super) sources: &'a [Arc<dyn WriteSource>],
    /// True if it was opened now.
    pub(super) is_new: bool,
}

impl File {
    pub(super) fn new(settings: StoreFile, trouble: Trouble) -> Self {
        File {
            settings,
            sources: Vec::new(),
            lock: None,
            open: None,
            is_damaged: false,
            aside: 0,
            trouble,
        }
    }

    /// Adds a source, and makes its tables if the file is open.
    pub(super) fn add(&mut self, source: Arc<dyn WriteSource>) -> Result<(), OpenError> {
        self.sources.push(source.clone());
        match &mut self.open {
            Some((connection, _)) => {
                migrations::migrate(connection, &*source)?;
                Ok(source.opened(connection)?)
            }
            None => Ok(()),
        }
    }

    /// Returns the file as it is open. Opens it if it is not, or no longer the one at its path.
    pub(super) fn open(&mut self) -> Result<OpenFile<'_>, OpenError> {
        if let Some((_, id)) = &self.open
            && *id != connect::file_id(self.settings.path())
        {
            let path = self.settings.path().display();
            self.trouble
                .notice(format!("{path} was deleted or replaced: a new file begins"));
            self.close();
        }
        let is_new = self.open.is_none();
        let (connection, _) = match self.open.take() {
            Some(open) => self.open.insert(open),
            None => {
                let open = self.connect()?;
                self.open.insert(open)
            }
        };
        Ok(OpenFile {
            connection,
            sources: &self.sources,
            is_new,
        })
    }

    pub(super) fn close(&mut self) {
        self.open = None;
    }

    /// Closes the file for good, and lets others have it.
    pub(super) fn release(&mut self) {
        self.close();
        self.lock = None;
    }

    /// Closes a file that SQLite says is damaged: it is moved aside before the next one is opened.
    pub(super) fn close_damaged(&mut self) {
        self.is_damaged = true;
        self.close();
    }

    fn connect(&mut self) -> Result<(Connection, Option<FileId>), OpenError> {
        if self.lock.is_none() {
            let path = beside(self.settings.path(), ".lock");
            self.lock = Some(FileLock::take(&path)?);
        }
        if self.is_damaged {
            self.move_aside()?;
        }
        match self.connect_to_tables() {
            Err(error) if error.is_damage() => {
                self.is_damaged = true;
                self.move_aside()?;
                self.connect_to_tables()
            }
            result => result,
        }
    }

    fn connect_to_tables(&self) -> Result<(Connection, Option<FileId>), OpenError> {
        let mut connection = connect::writer(&self.settings)?;
        // All before any is changed: a file of a later program stays as it is.
        for source in &self.sources {
            migrations::check(&connection, &**source)?;
        }
        for source in &self.sources {
            migrations::migrate(&mut connection, &**source)?;
            source.opened(&connection)?;
        }
        Ok((connection, connect::file_id(self.settings.path())))
    }

    fn move_aside(&mut self) -> Result<(), OpenError> {
        if self.aside == MAX_ASIDE {
            let detail = "the file is damaged again and again; it was moved aside three times";
            return Err(std::io::Error::other(detail).into());
        }
        let path = self.settings.path();
        let to = free_name(path, SystemTime::now());
        // With its log of changes: together they are what was there.
        for end in ["-wal", "-shm"] {
            match fs::rename(beside(path, end), beside(&to, end)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error.into());
                }
                _ => {}
            }
        }
        fs::rename(path, &to)?;
        self.aside += 1;
        self.is_damaged = false;
        let (path, to) = (path.display(), to.display());
        let text = format!("{path} is damaged: it was moved to {to}, and a new file begins");
        self.trouble.notice(text);
        Ok(())
    }
}

/// Returns a path with more at its end.
pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}

/// Returns a path for a damaged file that nothing has.
fn free_name(path: &Path, now: SystemTime) -> PathBuf {
    let second = to_millis(now) / 1_000;
    let name = |n| beside(path, &format!(".corrupt-{}", second + n));
    (0..)
        .map(name)
        .find(|path| !path.exists())
        .unwrap_or_else(|| name(0))
}
