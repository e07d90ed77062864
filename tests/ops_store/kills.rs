//! A process that is killed while it writes.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use rusqlite::{Connection, OpenFlags};

use crate::support::*;

/// The variable with the file for the child.
const FILE: &str = "TOWER_KEEP_STORE_OF_CHILD";

/// Records events for as long as it lives, and prints the number of the last one and of the last one that is in the file.
#[test]
#[ignore = "the child of other tests"]
fn child() {
    let Some(file) = std::env::var_os(FILE) else {
        return;
    };
    let file = Path::new(&file);
    let ops = ops(file);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let stored = Connection::open_with_flags(file, flags).expect("a database");
    loop {
        let mut recorded = 0;
        for n in 0..200 {
            recorded = ops.journal().record(event(&format!("event {n}")));
        }
        // Not faster than the writer: more than the journal holds would be dropped.
        let written = loop {
            let written = number(&stored, "SELECT coalesce(max(seq), 0) FROM events");
            if recorded as i64 <= written + 5_000 {
                break written;
            }
            std::thread::yield_now();
        };
        println!("child {recorded} {written}");
    }
}

/// Logs records in spans for as long as it lives, and prints how many, and how many of each are in the file.
#[test]
#[ignore = "the child of other tests"]
#[cfg(feature = "ops-logs")]
fn child_that_logs() {
    use tracing_subscriber::layer::SubscriberExt;

    let Some(file) = std::env::var_os(FILE) else {
        return;
    };
    let file = Path::new(&file);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let builder = tower_keep::ops::Ops::builder("orders").sqlite(file);
    let ops = builder.traces(|traces| traces.sample_rate(1.0)).build();
    let ops = ops.expect("valid");
    ops.spawn();
    let kept = tracing_subscriber::registry().with(ops.layer());
    let _kept = tracing::subscriber::set_default(kept);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let stored = Connection::open_with_flags(file, flags).expect("a database");
    // Spans have the numbers of their traces.
    let last = "SELECT coalesce(max(seq), 0) FROM traces_kept";
    let mut recorded = number(&stored, last);
    loop {
        for _ in 0..200 {
            recorded += 1;
            tracing::info_span!("job", recorded).in_scope(|| tracing::info!("line {recorded}"));
        }
        let written = loop {
            let written = number(&stored, NEWEST);
            if recorded <= written + 5_000 {
                break written;
            }
            std::thread::yield_now();
        };
        println!("child {recorded} {written}");
    }
}

/// The number of the last line that is in the file with its span.
#[cfg(feature = "ops-logs")]
const NEWEST: &str = "SELECT min(
    coalesce((SELECT CAST(substr(message, 6) AS INTEGER) FROM logs_records ORDER BY id DESC LIMIT 1), 0),
    coalesce((SELECT max(seq) FROM traces_kept), 0)
)";

struct Writing {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Writing {
    fn start(file: &Path) -> Self {
        Self::of("kills::child", file)
    }

    fn of(child: &str, file: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", child, "--ignored", "--nocapture"])
            .env(FILE, file)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let output = child.stdout.take().expect("piped");
        let lines = BufReader::new(output).lines();
        Writing { child, lines }
    }

    /// Waits for the next line, and returns the numbers of the last event and of the last one in the file.
    fn next(&mut self) -> (i64, i64) {
        loop {
            let line = self.lines.next().expect("it lives").expect("a line");
            let mut words = line.split_once("child ").map(|(_, rest)| rest.split(' '));
            let mut number = || words.as_mut()?.next()?.parse().ok();
            if let (Some(recorded), Some(written)) = (number(), number()) {
                return (recorded, written);
            }
        }
    }

    fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }
}

#[test]
fn kill_loses_the_last_batch_at_most() {
    let folder = Folder::new();
    let mut writing = Writing::start(&folder.file());
    // The second batch is in the file.
    let (_, first) = std::iter::repeat_with(|| writing.next())
        .find(|(_, written)| *written > 0)
        .expect("endless");
    let (_, seen) = std::iter::repeat_with(|| writing.next())
        .find(|(_, written)| *written > first)
        .expect("endless");
    writing.kill();
    let file = open(&folder.file());
    assert_sound(&file);
    let last = number(&file, "SELECT max(seq) FROM events");
    assert!(last >= seen, "{last} after {seen}");
    assert_eq!(number(&file, "SELECT count(*) FROM events"), last, "no gap");
    drop(file);
    assert_eq!(ops(&folder.file()).journal().last(), last as u64);
}

#[test]
fn fifty_kills_damage_nothing() {
    let folder = Folder::new();
    let mut before = 0;
    for n in 0..50 {
        let mut writing = Writing::start(&folder.file());
        // At any moment: at the start, before the first batch, in the middle of one.
        let mut seen = 0;
        for _ in 0..(n * 37) % 50 {
            seen = writing.next().1;
        }
        writing.kill();
        let file = open(&folder.file());
        assert_sound(&file);
        let tables = number(
            &file,
            "SELECT count(*) FROM sqlite_master WHERE name = 'events'",
        );
        if tables == 0 {
            continue;
        }
        let last = number(&file, "SELECT coalesce(max(seq), 0) FROM events");
        assert!(last >= before.max(seen), "{last} after {before} and {seen}");
        assert_eq!(number(&file, "SELECT count(*) FROM events"), last, "no gap");
        before = last;
    }
    assert!(before > 0);
}

#[test]
#[cfg(feature = "ops-logs")]
fn kills_lose_the_last_batch_of_logs_and_traces_at_most() {
    let folder = Folder::new();
    let mut before = 0;
    for n in 0..20 {
        let mut writing = Writing::of("kills::child_that_logs", &folder.file());
        let mut seen = 0;
        for _ in 0..(n * 37) % 50 {
            seen = writing.next().1;
        }
        writing.kill();
        let file = open(&folder.file());
        assert_sound(&file);
        let tables =
            "SELECT count(*) FROM sqlite_master WHERE name IN ('logs_records', 'traces_kept')";
        if number(&file, tables) < 2 {
            continue;
        }
        file.execute_batch("INSERT INTO logs_words (logs_words) VALUES ('integrity-check')")
            .expect("sound words");
        let last = number(&file, NEWEST);
        assert!(last >= before.max(seen), "{last} after {before} and {seen}");
        for sql in [
            "SELECT coalesce(max(seq) - min(seq) + 1, 0) - count(*) FROM traces_kept",
            "SELECT count(*) FROM logs_records WHERE id NOT IN (SELECT id FROM logs_words_docsize)",
            "SELECT count(*) FROM logs_words_docsize WHERE id NOT IN (SELECT id FROM logs_records)",
        ] {
            assert_eq!(number(&file, sql), 0, "no gap, and words of each: {sql}");
        }
        // Records of each process have numbers of their own.
        let gaps = "SELECT count(*) FROM (SELECT id - lag(id) OVER (ORDER BY id) AS step FROM logs_records) WHERE step > 1";
        assert!(number(&file, gaps) <= n);
        before = last;
    }
    assert!(before > 0);
}
