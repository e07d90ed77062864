//! Files that cannot be used, for a time or at all.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use tower_keep::ops::{Ops, StoreFile, health::HealthStatus, journal::EventKind};

use crate::support::*;

#[tokio::test]
async fn second_opener_keeps_in_memory_until_the_first_one_ends() {
    let folder = Folder::new();
    let first = ops(&folder.file());
    first.journal().record(event("of the first"));
    let second = ops(&folder.file());
    second.spawn();
    let store = store_when(&second, |store| store.status == HealthStatus::Degraded).await;
    let text = store.text.expect("a reason");
    assert!(text.contains("ops.db: is in use"), "{text}");
    second.journal().record(event("of the second"));
    drop(first);
    store_when(&second, |store| store.status == HealthStatus::Healthy).await;
    drop(second);
    let file = open(&folder.file());
    let texts = "SELECT group_concat(text, ', ') FROM (SELECT text FROM events WHERE kind = 'custom' ORDER BY seq)";
    let texts: String = file.query_row(texts, [], |row| row.get(0)).expect("read");
    assert_eq!(texts, "of the first, of the second");
}

#[tokio::test]
async fn file_of_a_later_program_is_named_with_both_versions_and_stays_as_it_is() {
    let folder = Folder::new();
    drop(ops(&folder.file()));
    let file = open(&folder.file());
    file.execute_batch("UPDATE schema SET version = 7 WHERE source = 'events'")
        .expect("changed");
    drop(file);
    let before = fs::read(folder.file()).expect("a file");
    let ops = ops(&folder.file());
    ops.spawn();
    ops.journal().record(event("in memory"));
    let store = store_when(&ops, |store| store.status == HealthStatus::Degraded).await;
    let text = store.text.expect("a reason");
    let expected = "ops.db: was written by a later version of the program: events is at version 7, this program knows 1";
    assert!(text.contains(expected), "{text}");
    drop(ops);
    assert_eq!(fs::read(folder.file()).expect("a file"), before);
}

#[tokio::test]
async fn damaged_file_is_moved_aside_and_the_journal_says_so() {
    let folder = Folder::new();
    fs::write(folder.file(), "no database".repeat(1_000)).expect("written");
    let ops = ops(&folder.file());
    let mut events = ops.journal().subscribe();
    ops.spawn();
    let event = loop {
        let event = events.next().await;
        if event.text().contains("is damaged") {
            break event;
        }
    };
    assert_eq!(event.kind(), EventKind::Lifecycle);
    let names = fs::read_dir(folder.path()).expect("a folder");
    let mut names = names.map(|entry| entry.expect("an entry").file_name());
    let is_aside = |name: std::ffi::OsString| name.to_string_lossy().contains(".corrupt-");
    assert!(names.any(is_aside));
    store_when(&ops, |store| store.status == HealthStatus::Healthy).await;
}

/// Silences and workflows were written once, or when they changed, and were lost with the file.
#[tokio::test]
async fn file_that_was_deleted_is_followed_by_one_with_what_is_still_true() {
    let folder = Folder::new();
    let first = ops(&folder.file());
    first.spawn();
    let work = |_| std::future::pending::<()>();
    let workflow = tokio::spawn(first.workflow("nightly").run_infallible(work));
    let silence =
        r#"{"matchers": ["alertname=backlog"], "seconds": 3600, "reason": "it is moved"}"#;
    post(&first, "/api/v1/silences", silence).await;
    file_has(&folder.file(), &["silences", "workflows"]).await;
    let mut events = first.journal().subscribe();
    fs::remove_file(folder.file()).expect("removed");
    while !events
        .next()
        .await
        .text()
        .contains("was deleted or replaced")
    {}
    file_has(&folder.file(), &["silences", "workflows"]).await;
    workflow.abort();
    drop(first);
    let second = ops(&folder.file());
    second.spawn();
    // What is in the file is read some time after it was opened.
    let silence = async {
        loop {
            let page = get(&second, "/api/v1/silences").await;
            if let Some(silence) = page["silences"].get(0) {
                break silence.clone();
            }
            tokio::task::yield_now().await;
        }
    };
    assert_eq!(in_time(silence).await["reason"], "it is moved");
}

/// Waits until a file has documents of these collections.
async fn file_has(file: &Path, collections: &[&str]) {
    let end = Instant::now() + Duration::from_secs(20);
    let has = |collection: &&str| {
        let sql = "SELECT count(*) > 0 FROM documents WHERE collection = ?1";
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let found = rusqlite::Connection::open_with_flags(file, flags)
            .and_then(|file| file.query_row(sql, [*collection], |row| row.get::<_, bool>(0)));
        found.unwrap_or(false)
    };
    while !collections.iter().all(has) {
        assert!(Instant::now() < end, "{collections:?} are not in the file");
        tokio::task::yield_now().await;
    }
}

#[test]
fn settings_of_the_file_are_checked() {
    let error = |file: StoreFile| {
        let built = Ops::builder("orders").sqlite(file).build();
        built.expect_err("invalid").to_string()
    };
    assert_eq!(
        error(StoreFile::new("/")),
        "ops \"orders\" sqlite: path is \"/\", must be that of a file"
    );
    assert_eq!(
        error(StoreFile::new("/x/ops.db").max_bytes(1)),
        "ops \"orders\" sqlite: max_bytes is 1, must be at least 1048576"
    );
    assert_eq!(
        error(StoreFile::new("/x/ops.db").max_events(0)),
        "ops \"orders\" sqlite: max_events is 0, must be 1 to 10000000"
    );
    assert!(!Path::new("/x").exists());
}

/// A small file system in memory, which goes with the test.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    /// Returns none where this process may not mount.
    fn mount(path: &'a Path) -> Option<Self> {
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"])
            .arg(path)
            .output();
        mount.ok()?.status.success().then_some(Disk(path))
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[tokio::test]
async fn full_disk_degrades_to_memory_and_loses_nothing_that_fits_there() {
    let folder = Folder::new();
    let Some(_disk) = Disk::mount(folder.path()) else {
        eprintln!("SKIPPED: full_disk_degrades_to_memory: this process may not mount a tmpfs");
        return;
    };
    let ops = ops(&folder.file());
    ops.spawn();
    store_when(&ops, |store| store.status == HealthStatus::Healthy).await;
    let ballast = folder.path().join("ballast");
    // As much as fits.
    let _ = fs::write(&ballast, vec![1; 8 << 20]);
    for n in 0..3_000 {
        ops.journal()
            .record(event(&format!("event {n} {}", "x".repeat(200))));
    }
    let store = store_when(&ops, |store| store.status == HealthStatus::Degraded).await;
    let text = store.text.expect("a reason");
    assert!(text.contains("kept in memory only: "), "{text}");
    let page = get(&ops, "/api/v1/journal?kind=custom&limit=1").await;
    assert!(
        page["events"][0]["text"]
            .as_str()
            .expect("a text")
            .starts_with("event 2999")
    );
    fs::remove_file(&ballast).expect("removed");
    store_when(&ops, |store| store.status == HealthStatus::Healthy).await;
    let file = open(&folder.file());
    let stored = || number(&file, "SELECT count(*) FROM events WHERE kind = 'custom'");
    // Batch by batch. A step that has begun may keep the operations side for a moment, so that its end does not say that all is there.
    in_time(async {
        while stored() < 3_000 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!((stored(), ops.journal().dropped()), (3_000, 0));
    drop(ops);
    assert_sound(&file);
    drop(file);
}
