//! The documents in the file, and the changes that wait.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use rusqlite::{Connection, Transaction};

use super::{
    Collection, Document, MAX_ROWS, WriteError, WriteSource,
    present::{Key, Present},
};
use crate::ops::time::{from_millis, to_millis};

/// The most changes that wait, of which each has a key of its own, and the most bytes in them.
const MAX_WAITING: usize = 10_000;
const MAX_WAITING_BYTES: usize = 32 << 20;
/// The longest key and document, in bytes.
const MAX_KEY: usize = 1_024;
const MAX_JSON: usize = 256 << 10;

const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE documents (
        collection TEXT NOT NULL,
        key TEXT NOT NULL,
        at INTEGER NOT NULL, -- milliseconds since 1970
        json TEXT NOT NULL,
        PRIMARY KEY (collection, key)
    ) WITHOUT ROWID;
    CREATE INDEX documents_by_time ON documents (collection, at);
"];

/// A change of a document: the new one, or none where it is removed.
type Change = Option<Document>;

/// The changes that wait: the newest of each key.
#[derive(Debug, Default)]
struct Changes {
    waiting: HashMap<Key, Change>,
    /// The keys of those, in the order in which they came.
    order: VecDeque<Key>,
    bytes: usize,
    /// The changes that the writer has taken.
    taken: Vec<(Key, Change)>,
    present: Present,
}

/// The source of documents.
#[derive(Debug, Default)]
pub(super) struct Documents {
    changes: Mutex<Changes>,
    dropped: AtomicU64,
    /// The number of times that a file was opened.
    opened: AtomicU64,
}

impl Documents {
    /// Lets a change wait, in place of one of the same key, and returns whether there is enough for a batch.
    pub(super) fn change(&self, collection: Collection, key: String, change: Change) -> bool {
        let bytes = change.as_ref().map_or(0, |document| document.json.len());
        let mut changes = self.lock();
        let fits = key.len() <= MAX_KEY && bytes <= MAX_JSON;
        if !fits || !changes.add((collection, key), change) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        changes.order.len() >= MAX_ROWS
    }

    /// Returns how many changes were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Returns how many times a file was opened. One that is opened later may have nothing of what was written before.
    pub(super) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Puts what waits over what was read, and returns the newest `limit`.
    pub(super) fn over(
        &self,
        collection: Collection,
        read: Vec<Document>,
        limit: usize,
    ) -> Vec<Document> {
        let changes = self.lock();
        let changed = |key: &str| {
            let key = (collection, key.to_owned());
            let taken = || changes.taken.iter().rfind(|(taken, _)| *taken == key);
            let waiting = changes.waiting.get(&key);
            waiting.is_some() || taken().is_some()
        };
        let mut all: Vec<_> = read
            .into_iter()
            .filter(|each| !changed(&each.key))
            .collect();
        let waits = changes.waiting.iter();
        let taken = changes.taken.iter().map(|(key, change)| (key, change));
        let taken = taken.filter(|(key, _)| !changes.waiting.contains_key(*key));
        let of_collection = waits.chain(taken).filter(|((of, _), _)| *of == collection);
        all.extend(of_collection.filter_map(|(_, change)| change.clone()));
        all.sort_by_key(|document| std::cmp::Reverse(document.at));
        all.truncate(limit);
        all
    }

    fn lock(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Changes {
    /// Returns whether there is room.
    fn add(&mut self, key: Key, change: Change) -> bool {
        let bytes = size(&change);
        let before = self.waiting.get(&key).map(size);
        let total = self.bytes - before.unwrap_or(0) + bytes;
        let is_full = before.is_none() && self.order.len() >= MAX_WAITING;
        if is_full || (total > MAX_WAITING_BYTES && bytes > before.unwrap_or(0)) {
            return false;
        }
        self.bytes = total;
        if self.waiting.insert(key.clone(), change).is_none() {
            self.order.push_back(key);
        }
        true
    }

    fn take(&mut self) -> &[(Key, Change)] {
        let rows = self.order.len().min(MAX_ROWS);
        // Before the changes, which are newer. Only where there is room, so that no more than a batch is ever given back.
        let again = self.present.take_again(MAX_ROWS - rows).into_iter();
        self.taken
            .extend(again.map(|(key, document)| (key, Some(document))));
        for key in self.order.drain(..rows) {
            if let Some(change) = self.waiting.remove(&key) {
                self.bytes -= size(&change);
                self.taken.push((key, change));
            }
        }
        &self.taken
    }

    /// Takes in that the file has what was taken.
    fn written(&mut self) {
        for (key, change) in std::mem::take(&mut self.taken) {
            self.present.set(&key, change.as_ref());
        }
    }

    /// Lets wait again what was taken, unless there is something newer.
    fn give_back(&mut self) {
        for (key, change) in std::mem::take(&mut self.taken).into_iter().rev() {
            if !self.waiting.contains_key(&key) {
                self.bytes += size(&change);
                self.waiting.insert(key.clone(), change);
                self.order.push_front(key);
            }
        }
    }
}

fn size(change: &Change) -> usize {
    change.as_ref().map_or(0, |document| document.json.len())
}

impl WriteSource for Documents {
    fn name(&self) -> &'static str {
        "documents"
    }

    fn migrations(&self) -> &'static [&'static str] {
        &MIGRATIONS
    }

    fn opened(&self, connection: &Connection) -> rusqlite::Result<()> {
        if self.opened() > 0 {
            self.lock().present.begin_again();
        } else {
            let all = load_present(connection)?;
            let mut changes = self.lock();
            for (collection, document) in all {
                let key = (collection, document.key.clone());
                changes.present.set(&key, Some(&document));
            }
        }
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn write(&self, transaction: &Transaction<'_>) -> rusqlite::Result<usize> {
        // A copy, since the disk may be slow: whoever has a document must not wait for it.
        let taken = self.lock().take().to_vec();
        if taken.is_empty() {
            return Ok(0);
        }
        let put = "INSERT INTO documents VALUES (?1, ?2, ?3, ?4)
                   ON CONFLICT DO UPDATE SET at = excluded.at, json = excluded.json";
        let mut put = transaction.prepare(put)?;
        let mut delete =
            transaction.prepare("DELETE FROM documents WHERE collection = ?1 AND key = ?2")?;
        for ((collection, key), change) in &taken {
            let collection = collection.as_str();
            match change {
                Some(document) => {
                    put.execute((collection, key, to_millis(document.at), &document.json))?
                }
                None => delete.execute((collection, key))?,
            };
        }
        Ok(taken.len())
    }

    fn finished(&self, result: Result<(), WriteError>) {
        let mut changes = self.lock();
        match result {
            Ok(()) => changes.written(),
            Err(WriteError::Later) => changes.give_back(),
            Err(WriteError::Never) => {
                let dropped = std::mem::take(&mut changes.taken).len() as u64;
                self.dropped.fetch_add(dropped, Ordering::Relaxed);
            }
        }
    }

    fn trim(&self, connection: &Connection, now: SystemTime) -> rusqlite::Result<bool> {
        let mut left = MAX_ROWS;
        for collection in Collection::ALL {
            let (documents, age) = collection.retention();
            let oldest = to_millis(now.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH));
            let old = "DELETE FROM documents WHERE (collection, key) IN
                (SELECT collection, key FROM documents WHERE collection = ?1 AND at < ?2 LIMIT ?3)";
            left -= connection.execute(old, (collection.as_str(), oldest, left as i64))?;
            let many = "DELETE FROM documents WHERE (collection, key) IN
                (SELECT collection, key FROM documents WHERE collection = ?1 ORDER BY at DESC LIMIT ?3 OFFSET ?2)";
            let parameters = (collection.as_str(), documents as i64, left as i64);
            left -= connection.execute(many, parameters)?;
        }
        Ok(left == 0)
    }
}

/// Reads the newest documents of what is still true.
fn load_present(connection: &Connection) -> rusqlite::Result<Vec<(Collection, Document)>> {
    let mut all = Vec::new();
    for collection in Collection::ALL {
        if collection.is_present() {
            let found = load(connection, collection, collection.retention().0)?;
            all.extend(found.into_iter().map(|document| (collection, document)));
        }
    }
    Ok(all)
}

/// Reads the newest documents of a collection.
pub(super) fn load(
    connection: &Connection,
    collection: Collection,
    limit: usize,
) -> rusqlite::Result<Vec<Document>> {
    let sql = "SELECT key, at, json FROM documents WHERE collection = ?1 ORDER BY at DESC LIMIT ?2";
    let mut statement = connection.prepare(sql)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map((collection.as_str(), limit), |row| {
        Ok(Document {
            key: row.get(0)?,
            at: from_millis(row.get(1)?),
            json: row.get(2)?,
        })
    })?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(key: &str, at: i64, json: &str) -> Document {
        Document {
            key: key.to_owned(),
            at: from_millis(at),
            json: json.to_owned(),
        }
    }

    fn put(documents: &Documents, document: Document) {
        documents.change(Collection::Alerts, document.key.clone(), Some(document));
    }

    fn connection(documents: &Documents) -> Connection {
        let mut connection = Connection::open_in_memory().expect("memory");
        super::super::migrations::migrate(&mut connection, documents).expect("migrated");
        connection
    }

    fn write(documents: &Documents, connection: &mut Connection) -> usize {
        let transaction = connection.transaction().expect("begun");
        let rows = documents.write(&transaction).expect("written");
        transaction.commit().expect("committed");
        documents.finished(Ok(()));
        rows
    }

    #[test]
    fn document_of_a_key_replaces_the_one_before_on_the_way_and_in_the_file() {
        let documents = Documents::default();
        let mut connection = connection(&documents);
        put(&documents, document("a", 1, "1"));
        put(&documents, document("b", 3, "2"));
        put(&documents, document("a", 2, "3"));
        assert_eq!(write(&documents, &mut connection), 2);
        put(&documents, document("b", 1, "4"));
        documents.change(Collection::Alerts, "a".to_owned(), None);
        assert_eq!(write(&documents, &mut connection), 2);
        let found = load(&connection, Collection::Alerts, 9).expect("read");
        assert_eq!(found, [document("b", 1, "4")]);
        assert!(
            load(&connection, Collection::Outbox, 9)
                .expect("read")
                .is_empty()
        );
    }

    #[test]
    fn batch_that_failed_is_written_later_unless_there_is_something_newer() {
        let documents = Documents::default();
        let mut connection = connection(&documents);
        put(&documents, document("a", 1, "1"));
        put(&documents, document("b", 1, "1"));
        let transaction = connection.transaction().expect("begun");
        documents.write(&transaction).expect("written");
        put(&documents, document("a", 2, "2"));
        drop(transaction);
        let over = documents.over(Collection::Alerts, Vec::new(), 9);
        assert_eq!(over, [document("a", 2, "2"), document("b", 1, "1")]);
        documents.finished(Err(WriteError::Later));
        assert_eq!(write(&documents, &mut connection), 2);
        let found = load(&connection, Collection::Alerts, 9).expect("read");
        assert_eq!(found, over);
        assert_eq!(documents.dropped(), 0);
    }

    #[test]
    fn changes_are_bounded_and_dropped_ones_counted() {
        let documents = Documents::default();
        for n in 0..MAX_WAITING + 3 {
            put(&documents, document(&n.to_string(), 1, "1"));
        }
        put(&documents, document("0", 1, "newer"));
        put(&documents, document(&"x".repeat(MAX_KEY + 1), 1, "1"));
        put(&documents, document("1", 1, &"x".repeat(MAX_JSON + 1)));
        assert_eq!(documents.dropped(), 5);
        let newest = documents.over(Collection::Alerts, Vec::new(), usize::MAX);
        assert_eq!(newest.len(), MAX_WAITING);
        assert!(newest.contains(&document("0", 1, "newer")));
    }

    #[test]
    fn documents_become_old_and_too_many() {
        let documents = Documents::default();
        let mut connection = connection(&documents);
        let day = 86_400_000;
        for n in 0..5 {
            let each = document(&n.to_string(), n * day, "1");
            documents.change(Collection::Outbox, each.key.clone(), Some(each.clone()));
            documents.change(Collection::Told, each.key.clone(), Some(each));
        }
        write(&documents, &mut connection);
        let now = from_millis(9 * day + 1);
        assert!(!documents.trim(&connection, now).expect("trimmed"));
        let found = load(&connection, Collection::Outbox, 9).expect("read");
        let keys: Vec<_> = found.iter().map(|each| each.key.as_str()).collect();
        assert_eq!(keys, ["4", "3"]);
        // An alert may fire for longer than a week before its end is told.
        let told = load(&connection, Collection::Told, 9).expect("read");
        assert_eq!(told.len(), 5);
        for n in 0..12_000 {
            put(&documents, document(&n.to_string(), n, "1"));
            if n % 1_000 == 999 {
                write(&documents, &mut connection);
            }
        }
        let more: Vec<_> = (0..3)
            .map(|_| {
                documents
                    .trim(&connection, from_millis(1))
                    .expect("trimmed")
            })
            .collect();
        assert_eq!(more, [true, true, false]);
        let found = load(&connection, Collection::Alerts, usize::MAX).expect("read");
        assert_eq!((found.len(), found[9_999].key.as_str()), (10_000, "2000"));
    }
}
