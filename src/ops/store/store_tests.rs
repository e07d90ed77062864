//! The store with its file: stop, restart, other openers, other versions, damage.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use rusqlite::{Connection, Transaction};

use super::{Collection, Document, Store, StoreFile, WriteError, WriteSource, file::beside};

/// A folder of a test, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tower-keep-store-{}-{n}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("ops.db")
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("a folder");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<_> = names
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn open(path: &Path) -> Store {
    Store::open(StoreFile::new(path))
}

fn document(key: &str) -> Document {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    Document {
        key: key.to_owned(),
        at,
        json: format!("{{\"key\": {key:?}}}"),
    }
}

fn keys(store: &Store) -> Vec<String> {
    let found = store.load(Collection::Alerts, 100);
    found.into_iter().map(|document| document.key).collect()
}

fn reason(store: &Store) -> Option<Arc<str>> {
    store.trouble().expect("a file").reason()
}

/// Waits until what another thread does is done.
fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "it never happened");
        std::thread::yield_now();
    }
}

#[test]
fn store_without_a_file_keeps_nothing() {
    let store = Store::default();
    store.put(Collection::Alerts, document("a"));
    assert!(keys(&store).is_empty() && store.trouble().is_none());
    assert_eq!(store.dropped(), 0);
    assert!(store.read(|_| Ok(())).is_err());
}

#[test]
fn store_that_is_dropped_has_all_in_one_file_that_only_its_owner_may_read() {
    let folder = Folder::new();
    let store = open(&folder.file());
    (0..50).for_each(|n| store.put(Collection::Alerts, document(&n.to_string())));
    store.delete(Collection::Alerts, "7");
    drop(store);
    assert_eq!(folder.names(), ["ops.db", "ops.db.lock"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(folder.file()).expect("a file").permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
    }
    let store = open(&folder.file());
    let found = keys(&store);
    assert_eq!(found.len(), 49);
    assert!(!found.contains(&"7".to_owned()) && reason(&store).is_none());
}

#[test]
fn store_has_what_waits_before_it_is_in_the_file() {
    let folder = Folder::new();
    let store = open(&folder.file());
    store.put(Collection::Alerts, document("a"));
    assert_eq!(keys(&store), ["a"]);
    store.delete(Collection::Alerts, "a");
    assert!(keys(&store).is_empty());
}

#[test]
fn store_of_a_file_in_use_waits_for_its_end() {
    let folder = Folder::new();
    let first = open(&folder.file());
    let second = open(&folder.file());
    let expected = format!(
        "{}: is in use: each process, and each Ops, needs a file of its own",
        folder.file().display()
    );
    assert_eq!(reason(&second).as_deref(), Some(&*expected));
    first.put(Collection::Alerts, document("first"));
    second.put(Collection::Alerts, document("second"));
    assert_eq!(keys(&second), ["second"]);
    drop(first);
    eventually(|| reason(&second).is_none().then_some(()));
    let mut found = keys(&second);
    found.sort();
    assert_eq!(found, ["first", "second"]);
}

#[test]
fn store_does_not_touch_the_file_of_a_later_program() {
    let folder = Folder::new();
    drop(open(&folder.file()));
    let change = |sql| {
        let file = Connection::open(folder.file()).expect("opened");
        file.execute_batch(sql).expect("changed");
    };
    change("UPDATE schema SET version = 9 WHERE source = 'documents'");
    let store = open(&folder.file());
    let expected = format!(
        "{}: was written by a later version of the program: documents is at version 9, this program knows 1",
        folder.file().display()
    );
    assert_eq!(reason(&store).as_deref(), Some(&*expected));
    store.put(Collection::Alerts, document("a"));
    drop(store);
    change("UPDATE schema SET version = 1 WHERE source = 'documents'");
    assert!(keys(&open(&folder.file())).is_empty());
}

#[test]
fn store_does_not_touch_the_database_of_another_program() {
    let folder = Folder::new();
    let file = Connection::open(folder.file()).expect("opened");
    file.execute_batch("CREATE TABLE orders (id INTEGER)")
        .expect("made");
    drop(file);
    let before = fs::read(folder.file()).expect("a file");
    let store = open(&folder.file());
    let found = reason(&store).expect("a reason");
    assert!(
        found.ends_with("is a database of another program"),
        "{found}"
    );
    drop(store);
    assert_eq!(fs::read(folder.file()).expect("a file"), before);
}

#[test]
fn store_moves_a_damaged_file_aside_and_says_so() {
    let folder = Folder::new();
    fs::write(folder.file(), "this was a database".repeat(100)).expect("written");
    let store = open(&folder.file());
    assert_eq!(reason(&store), None);
    let notices = store.trouble().expect("a file").take_notices();
    assert_eq!(notices.len(), 1);
    assert!(
        notices[0].contains("is damaged: it was moved to"),
        "{notices:?}"
    );
    store.put(Collection::Alerts, document("a"));
    drop(store);
    let names = folder.names();
    assert!(names[1].starts_with("ops.db.corrupt-"), "{names:?}");
    let aside = fs::read_to_string(folder.0.join(&names[1])).expect("moved");
    assert!(aside.starts_with("this was a database"));
    assert_eq!(keys(&open(&folder.file())), ["a"]);
}

#[test]
fn store_begins_a_new_file_where_its_own_was_deleted() {
    let folder = Folder::new();
    let store = open(&folder.file());
    store.put(Collection::Alerts, document("a"));
    drop(store);
    let store = open(&folder.file());
    fs::remove_file(folder.file()).expect("removed");
    for end in ["-wal", "-shm"] {
        let _ = fs::remove_file(beside(&folder.file(), end));
    }
    store.put(Collection::Alerts, document("b"));
    eventually(|| {
        let notices = store.trouble().expect("a file").take_notices();
        notices
            .into_iter()
            .find(|text| text.contains("was deleted or replaced"))
    });
    drop(store);
    let mut found = keys(&open(&folder.file()));
    found.sort();
    assert_eq!(found, ["a", "b"]);
}

/// Documents were written once, and were lost with the file: a restart knew of no alert, of no silence, and of nothing to send.
#[test]
fn documents_of_what_is_still_true_are_in_the_file_after_a_damaged_one() {
    let folder = Folder::new();
    let store = open(&folder.file());
    let of_old_file = [
        Collection::Alerts,
        Collection::Silences,
        Collection::Outbox,
        Collection::Told,
    ];
    for collection in of_old_file {
        store.put(collection, document("a"));
    }
    let large = |n: usize| Document {
        json: "x".repeat(200_000),
        ..document(&format!("large {n:02}"))
    };
    let put = |store: &Store| (0..40).for_each(|n| store.put(Collection::Alerts, large(n)));
    put(&store);
    // All of it is in the file then, and nothing in the log of changes.
    drop(store);
    let store = open(&folder.file());
    let size = fs::metadata(folder.file()).expect("a file").len() as usize;
    fs::write(folder.file(), vec![0x55; size]).expect("written");
    // More than SQLite has in memory: to replace it, it reads the file.
    put(&store);
    eventually(|| {
        let notices = store.trouble().expect("a file").take_notices();
        notices
            .into_iter()
            .find(|text| text.contains("is damaged: it was moved to"))
    });
    drop(store);
    let store = open(&folder.file());
    for collection in of_old_file {
        let found = store.load(collection, 100);
        let is_there = found.iter().any(|document| document.key == "a");
        assert!(is_there, "{collection:?}: {}", found.len());
    }
    assert_eq!(keys(&store).len(), 41);
}

#[test]
fn store_in_a_folder_that_comes_later_is_written_then() {
    let folder = Folder::new();
    let path = folder.0.join("later/ops.db");
    let store = open(&path);
    assert!(reason(&store).is_some());
    store.put(Collection::Alerts, document("a"));
    fs::create_dir(folder.0.join("later")).expect("made");
    eventually(|| reason(&store).is_none().then_some(()));
    drop(store);
    assert_eq!(keys(&open(&path)), ["a"]);
}

/// A source of numbers, in the version that a test wants.
#[derive(Default)]
struct Numbers {
    steps: &'static [&'static str],
    waiting: Mutex<Vec<i64>>,
    results: Mutex<Vec<Result<(), WriteError>>>,
    panics: bool,
}

impl WriteSource for Numbers {
    fn name(&self) -> &'static str {
        "numbers"
    }

    fn migrations(&self) -> &'static [&'static str] {
        self.steps
    }

    fn write(&self, transaction: &Transaction<'_>) -> rusqlite::Result<usize> {
        assert!(!self.panics, "a bug");
        let waiting = self.waiting.lock().expect("no panic");
        for number in waiting.iter() {
            transaction.execute("INSERT INTO numbers (number) VALUES (?1)", [number])?;
        }
        Ok(waiting.len())
    }

    fn finished(&self, result: Result<(), WriteError>) {
        let mut waiting = self.waiting.lock().expect("no panic");
        if result != Err(WriteError::Later) && !(waiting.is_empty() && result.is_ok()) {
            waiting.clear();
            self.results.lock().expect("no panic").push(result);
        }
    }

    fn trim(&self, _connection: &Connection, _now: SystemTime) -> rusqlite::Result<bool> {
        Ok(false)
    }
}

const FIRST: &str = "CREATE TABLE numbers (number INTEGER UNIQUE)";

fn numbers(steps: &'static [&'static str], waiting: &[i64]) -> Arc<Numbers> {
    Arc::new(Numbers {
        steps,
        waiting: Mutex::new(waiting.to_vec()),
        ..Numbers::default()
    })
}

#[test]
fn tables_of_the_version_before_are_migrated() {
    let folder = Folder::new();
    let store = open(&folder.file());
    store.add_source(numbers(&[FIRST], &[1, 2]));
    drop(store);
    let store = open(&folder.file());
    let steps = &[
        FIRST,
        "ALTER TABLE numbers ADD COLUMN text TEXT DEFAULT 'none'",
    ];
    store.add_source(numbers(steps, &[3]));
    drop(store);
    let store = open(&folder.file());
    store.add_source(numbers(steps, &[]));
    let sql = "SELECT count(*), max(version) FROM numbers, schema WHERE text = 'none' AND source = 'numbers'";
    assert_eq!(reason(&store), None);
    let found = store.read(|file| {
        file.query_row(sql, [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        })
    });
    assert_eq!(found.expect("read"), (3, 2));
}

#[test]
fn step_that_fails_leaves_the_version_before() {
    let folder = Folder::new();
    let store = open(&folder.file());
    store.add_source(numbers(&[FIRST], &[1]));
    drop(store);
    let store = open(&folder.file());
    let steps = &[
        FIRST,
        "DELETE FROM numbers; CREATE TABLE numbers (number INTEGER)",
    ];
    store.add_source(numbers(steps, &[]));
    assert!(reason(&store).is_some());
    drop(store);
    let store = open(&folder.file());
    let found =
        store.read(|file| file.query_row("SELECT number FROM numbers", [], |row| row.get(0)));
    assert_eq!(found.ok(), Some(1));
}

#[test]
fn batch_that_the_file_never_takes_does_not_keep_others_from_it() {
    let folder = Folder::new();
    let store = open(&folder.file());
    let twice = numbers(&[FIRST], &[1, 1]);
    store.add_source(twice.clone());
    store.put(Collection::Alerts, document("a"));
    drop(store);
    let results = twice.results.lock().expect("no panic").clone();
    assert_eq!(results, [Err(WriteError::Never)]);
    assert_eq!(keys(&open(&folder.file())), ["a"]);
}

#[test]
fn source_that_panics_does_not_keep_others_from_the_file() {
    let folder = Folder::new();
    let store = open(&folder.file());
    store.add_source(Arc::new(Numbers {
        steps: &[FIRST],
        panics: true,
        ..Numbers::default()
    }));
    store.put(Collection::Alerts, document("a"));
    drop(store);
    assert_eq!(keys(&open(&folder.file())), ["a"]);
}

#[test]
fn file_that_is_full_keeps_what_waits_and_can_be_read() {
    let folder = Folder::new();
    let store = Store::open(StoreFile::new(folder.file()).max_bytes(1 << 20));
    store.put(Collection::Alerts, document("a"));
    eventually(|| {
        let found = store
            .read(|file| file.query_row("SELECT count(*) FROM documents", [], |row| row.get(0)));
        (found.ok() == Some(1_i64)).then_some(())
    });
    for n in 0..20 {
        let json = "x".repeat(100_000);
        store.put(
            Collection::Outbox,
            Document {
                json,
                ..document(&n.to_string())
            },
        );
    }
    let found = eventually(|| reason(&store));
    assert!(found.ends_with("database or disk is full"), "{found}");
    assert_eq!((keys(&store), store.dropped()), (vec!["a".to_owned()], 0));
    assert_eq!(store.load(Collection::Outbox, 100).len(), 20);
    drop(store);
    // More room, and it works again.
    assert_eq!(keys(&open(&folder.file())), ["a"]);
}

#[test]
fn query_that_takes_too_long_is_ended() {
    let folder = Folder::new();
    let store = open(&folder.file());
    let endless =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let read = store.read(|file| file.query_row(endless, [], |row| row.get::<_, i64>(0)));
    assert!(matches!(read, Err(super::ReadError::TimedOut)), "{read:?}");
    assert!(
        store
            .read(|file| file.execute_batch("DELETE FROM documents"))
            .is_err()
    );
    assert!(store.read(|_| Ok(())).is_ok());
}
