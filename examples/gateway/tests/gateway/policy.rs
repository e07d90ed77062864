//! The policy file, read at the start and again on SIGHUP.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http::StatusCode;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;

use super::client::{Client, text};
use super::process::{Gateway, eventually};
use super::upstream::Upstream;

const CALLS: usize = 10_000;
const CALLERS: usize = 8;
const CHANGES: usize = 50;

/// A file in the directory of temporary files, removed when dropped.
struct PolicyFile(PathBuf);

impl PolicyFile {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("tower-keep-{name}-{}.toml", std::process::id());
        let file = PolicyFile(std::env::temp_dir().join(name));
        file.write(text);
        file
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a path in UTF-8")
    }

    /// Makes it a pipe, which can be opened to read only together with a writer.
    fn become_pipe(&self) {
        std::fs::remove_file(&self.0).expect("the file was there");
        let made = std::process::Command::new("mkfifo").arg(&self.0).status();
        assert!(made.expect("mkfifo").success());
    }

    /// Opens the pipe once the gateway reads it.
    async fn writer(&self) -> pipe::Sender {
        let open = async || pipe::OpenOptions::new().open_sender(&self.0).ok();
        eventually("the gateway reads its policy", open).await
    }

    fn write(&self, text: &str) {
        std::fs::write(&self.0, text).expect("the file is written");
    }
}

impl Drop for PolicyFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(Path::new(&self.0));
    }
}

/// Writes the file, and returns what the gateway says of it.
async fn reload(gateway: &mut Gateway, file: &PolicyFile, text: &str) -> String {
    file.write(text);
    gateway.signal("HUP").await;
    gateway.line(|line| line.starts_with("policy ")).await
}

fn assert_unchanged(line: &str, error: &str) {
    assert!(line.starts_with("policy stays as it was: "), "{line}");
    assert!(line.contains(error), "{error} is not in {line}");
}

/// Policies that are good and bad in turn, and all of them others.
fn policy(change: usize) -> (String, Option<&'static str>) {
    let good = format!(
        "[timeouts]\nattempt = \"{}s\"\ntotal = \"60s\"\n\
         [retry]\nmax_attempts = {}\nbudget = {{ ratio = 0.{} }}\n\
         [breaker]\nfailure_rate = 0.{}\ntime_window = \"{}s\"\nopen_time = \"{}ms\"\n\
         [track]\nsample = 0.{}\n",
        10 + change % 7,
        1 + change % 4,
        1 + change % 9,
        2 + change % 7,
        5 + change % 11,
        100 + change,
        1 + change % 9,
    );
    let bad = [
        ("[breaker]\nopen = \"5s\"\n", "open_time"),
        ("[retry]\nmax_attempts = 0\n", "must be 1 to 100"),
        ("[timeouts]\nattempt = 5\n", "a duration with its unit"),
        ("[track]\nsample = 50\n", "must be 0 to 1"),
        ("[breaker", "line 1"),
    ];
    match change % 2 {
        0 => (good, None),
        _ => {
            let (text, error) = bad[change / 2 % bad.len()];
            (text.to_owned(), Some(error))
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policy_that_changes_under_load_fails_no_call() {
    let upstream = Upstream::start().await;
    let file = PolicyFile::new("load", &policy(0).0);
    let args = ["--policy", file.path()];
    let mut gateway = Gateway::before(&upstream.url(), &args).await;
    let url = gateway.at("/");
    let changed = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (url, changed, done) = (url.clone(), changed.clone(), done.clone());
            tokio::spawn(async move {
                let client = Client::http1();
                // At least as many as are asked for, and until the last change.
                while done.fetch_add(1, Ordering::Relaxed) < CALLS
                    || !changed.load(Ordering::Relaxed)
                {
                    let answer = client.get(&url).await;
                    assert_eq!(answer.status(), StatusCode::OK);
                    assert_eq!(text(answer).await, "from upstream");
                }
            })
        })
        .collect();
    for change in 0..CHANGES {
        let (text, error) = policy(change);
        let line = reload(&mut gateway, &file, &text).await;
        match error {
            None => assert!(line.starts_with("policy is that of "), "{line}"),
            Some(error) => assert_unchanged(&line, error),
        }
    }
    changed.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.expect("every call succeeds");
    }
    assert!(gateway.ended("success").await >= CALLS as f64);
    let breaker = gateway.guard("circuit_breaker").await;
    assert_eq!(breaker["state"], "closed", "{breaker}");
}

#[tokio::test]
async fn policy_takes_effect_and_a_bad_one_changes_nothing() {
    let upstream = Upstream::start().await;
    let file = PolicyFile::new("effect", "");
    let mut gateway = Gateway::before(&upstream.url(), &["--policy", file.path()]).await;
    let attempt = async |gateway: &Gateway| {
        let page = gateway.page("/guards").await;
        let guards: Vec<serde_json::Value> = serde_json::from_str(&page).expect("JSON");
        let limit = guards
            .iter()
            .find(|guard| guard["name"] == "upstream.attempt");
        limit.expect("a limit")["stats"]["limit_seconds"]
            .as_f64()
            .expect("seconds")
    };
    assert_eq!(attempt(&gateway).await, 10.0);
    let line = reload(&mut gateway, &file, "[timeouts]\nattempt = \"1s\"\n").await;
    assert!(line.starts_with("policy is that of "), "{line}");
    assert_eq!(attempt(&gateway).await, 1.0);

    // One bad section: the good one beside it is not applied either.
    let half = "[timeouts]\nattempt = \"3s\"\n[breaker]\nopen_backoff = 0.5\n";
    for (text, error) in [
        (half, "open_backoff is 0.5, must be"),
        (
            "[breakers]",
            "`timeouts`, `retry`, `breaker`, `balance`, `track`",
        ),
        ("[retry]\nattempts = 3", "max_attempts"),
    ] {
        assert_unchanged(&reload(&mut gateway, &file, text).await, error);
        assert_eq!(attempt(&gateway).await, 1.0, "{text}");
    }

    // Without its sections, the options count again.
    reload(&mut gateway, &file, "").await;
    assert_eq!(attempt(&gateway).await, 10.0);
}

#[tokio::test]
async fn policy_that_cannot_be_read_does_not_hold_up_the_end() {
    let upstream = Upstream::start().await;
    let file = PolicyFile::new("hangs", "");
    let gateway = Gateway::before(&upstream.url(), &["--policy", file.path()]).await;
    file.become_pipe();
    gateway.signal("HUP").await;
    // Open, and without a word.
    let _writer = file.writer().await;
    gateway.signal("TERM").await;
    assert!(gateway.exit().await.success());
}

#[tokio::test]
async fn policy_is_read_again_if_a_signal_came_while_it_was_read() {
    let upstream = Upstream::start().await;
    let file = PolicyFile::new("again", "");
    let mut gateway = Gateway::before(&upstream.url(), &["--policy", file.path()]).await;
    file.become_pipe();
    gateway.signal("HUP").await;
    let mut writer = file.writer().await;
    // Its file has been replaced since it was opened.
    gateway.signal("HUP").await;
    let former = b"[retry]\nmax_attempts = 0\n";
    writer.write_all(former).await.expect("a reader");
    drop(writer);
    let line = gateway.line(|line| line.starts_with("policy ")).await;
    assert_unchanged(&line, "must be 1 to 100");

    let mut writer = file.writer().await;
    let latter = b"[retry]\nmax_attempts = 5\n";
    writer.write_all(latter).await.expect("a reader");
    drop(writer);
    let line = gateway.line(|line| line.starts_with("policy ")).await;
    assert!(line.starts_with("policy is that of "), "{line}");
}
