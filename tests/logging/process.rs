//! The settings of a whole process, each test in a child process.

use std::{
    io::{self, Write},
    panic,
    process::{Command, Output},
};

use axum::{Router, routing::get};
use serde_json::{Value, json};
use tower_keep::{logging, observe, operation};

use super::{ask, parsed};

const PART: &str = "TOWER_KEEP_PART";

/// Runs one part of [`child_process`] in a child process.
fn play(part: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = player(part);
    command.envs(variables.iter().copied());
    command.output().expect("a child")
}

fn player(part: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.args([
        "--exact",
        "process::child_process",
        "--nocapture",
        "--test-threads=1",
    ]);
    for name in ["RUST_LOG", "LOG_FORMAT", "NO_COLOR", "RUST_BACKTRACE"] {
        command.env_remove(name);
    }
    command.env(PART, part);
    command
}

fn json_lines(output: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(output);
    let lines = text.lines().filter(|line| line.starts_with('{'));
    lines.map(parsed).collect()
}

#[test]
fn child_process() {
    let Ok(part) = std::env::var(PART) else {
        return;
    };
    // The test harness has a hook of its own.
    let _ = panic::take_hook();
    let say = |result: Result<(), tower_keep::InstallError>| match result {
        Ok(()) => println!("installed"),
        Err(error) => println!(
            "said: {:?} {}: {error}",
            error.setting_name(),
            error.is_already_installed()
        ),
    };
    match &*part {
        "install" => say(logging::install()),
        "level" => say(logging::builder().level("info,loud=very").install()),
        "twice" => {
            say(logging::install());
            say(logging::install());
            tracing::info!("still here");
        }
        "speak" => {
            say(logging::install());
            tracing::info!(target: "shop", "information");
            log::warn!(target: "old_library", "an event of the log crate");
            tracing::debug!(target: "shop::deep", "detail");
            let span = tracing::info_span!(target: "tower_keep::call", "call");
            println!("call span: {}", !span.is_disabled());
        }
        "stderr" => {
            say(logging::builder().stderr().install());
            tracing::info!("over here");
        }
        "panics" => {
            say(logging::install());
            assert!(std::thread::spawn(|| panic!("in a thread")).join().is_err());
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            let app = Router::new()
                .route(
                    "/",
                    get(async || {
                        if true {
                            panic!("in a call")
                        }
                    }),
                )
                .layer(observe("front").server());
            runtime.expect("a runtime").block_on(ask(app, "/"));
        }
        "two panics" => {
            struct Sour;
            impl Drop for Sour {
                fn drop(&mut self) {
                    panic!("the second");
                }
            }
            say(logging::install());
            let _ = operation("sums").call(|| -> Result<(), io::Error> {
                let _sour = Sour;
                panic!("the first")
            });
        }
        "slow pipe" => {
            say(logging::install());
            let text = "x".repeat(9_000);
            for (written, count) in io::stdin().lines().enumerate() {
                let count: usize = count.expect("a line").parse().expect("a number");
                std::thread::scope(|scope| {
                    for thread in 0..3 {
                        let text = &text;
                        scope.spawn(move || {
                            for line in 0..count {
                                tracing::info!(thread, line, written, text, "hello");
                            }
                        });
                    }
                });
                eprintln!("{} {}", 3 * count, logging::lost_lines());
            }
        }
        other => panic!("no such part: {other}"),
    }
}

#[test]
fn init_writes_json_without_terminal() {
    let output = play("speak", &[]);
    let events = json_lines(&output.stdout);
    let told: Vec<_> = events
        .iter()
        .map(|event| (&event["target"], &event["message"]))
        .collect();
    assert_eq!(
        told,
        [
            (&json!("shop"), &json!("information")),
            (&json!("old_library"), &json!("an event of the log crate")),
        ]
    );
    assert!(events[1].get("log.target").is_none(), "{events:#?}");
}

#[test]
fn init_reads_format_and_level_from_environment() {
    let variables = [
        ("LOG_FORMAT", "pretty"),
        ("RUST_LOG", "warn,shop::deep=debug"),
    ];
    let output = play("speak", &variables);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("DEBUG shop::deep: detail"), "{text}");
    assert!(
        text.contains(" WARN old_library: an event of the log crate"),
        "{text}"
    );
    assert!(!text.contains("information"), "{text}");
    // Or tasks of a call had no IDs.
    assert!(text.contains("call span: true"), "{text}");
    let text = play("speak", &[("RUST_LOG", "off")]).stdout;
    assert!(json_lines(&text).is_empty());
    assert!(String::from_utf8_lossy(&text).contains("call span: false"));
}

#[test]
fn init_can_write_to_stderr() {
    let output = play("stderr", &[]);
    assert!(json_lines(&output.stdout).is_empty());
    assert_eq!(json_lines(&output.stderr)[0]["message"], "over here");
}

/// One writer of the pipe was `node`, which makes it non-blocking: of 9 KB lines, 114 were corrupt.
#[cfg(unix)]
#[tokio::test]
async fn nonblocking_pipe_gets_whole_lines_and_counts_lost() {
    use std::{
        fs::File,
        io::{BufRead, BufReader, Read},
        process::Stdio,
    };
    let (sender, receiver) = tokio::net::unix::pipe::pipe().expect("a pipe");
    let sender = sender.into_nonblocking_fd().expect("a descriptor");
    let receiver = receiver.into_nonblocking_fd().expect("a descriptor");
    let mut command = player("slow pipe");
    command.stdin(Stdio::piped()).stdout(sender);
    let mut child = command.stderr(Stdio::piped()).spawn().expect("a child");
    // It holds the other end of the pipe.
    drop(command);
    let mut orders = child.stdin.take().expect("piped");
    let mut replies = BufReader::new(child.stderr.take().expect("piped")).lines();
    let mut log = |count: usize| -> (usize, usize) {
        writeln!(orders, "{count}").expect("the child reads");
        let reply = replies.next().expect("a reply").expect("text");
        let (written, lost) = reply.split_once(' ').expect("two numbers");
        (written.parse().expect("one"), lost.parse().expect("other"))
    };
    let (mut pipe, mut read) = (File::from(receiver), Vec::new());
    let mut take = |most: usize| {
        let result = Read::by_ref(&mut pipe)
            .take(most as u64)
            .read_to_end(&mut read);
        result.map_err(|error| error.kind()).err()
    };
    let (mut written, mut lost) = (0, 0);
    // What the reader takes leaves room for a part of a line only, or for none.
    for most in [10_000, 4_096, 70_000, 0, 25_000, 8_192] {
        let (more, so_far) = log(10);
        (written, lost) = (written + more, so_far);
        take(most);
    }
    assert!(lost > 0, "the reader is slow");
    assert_eq!(take(usize::MAX >> 1), Some(io::ErrorKind::WouldBlock));
    // The rest of a line that was begun comes with the next.
    let (more, so_far) = log(1);
    (written, lost) = (written + more, so_far);
    drop(orders);
    assert!(child.wait().expect("a child").success());
    assert_eq!(take(usize::MAX >> 1), None);
    let text = String::from_utf8(read).expect("a log is text");
    let lines: Vec<_> = text.lines().filter(|line| line.contains("hello")).collect();
    for line in &lines {
        assert_eq!(parsed(line)["text"].as_str().map(str::len), Some(9_000));
    }
    assert_eq!(lines.len() + lost, written);
}

#[test]
fn init_names_invalid_setting() {
    let said = |part: &str, variables: &[(&str, &str)]| {
        let output = play(part, variables);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let found = text
            .lines()
            .find_map(|line| Some(line.split_once("said: ")?.1));
        found
            .unwrap_or_else(|| panic!("no error in {text}"))
            .to_owned()
    };
    assert_eq!(
        said("install", &[("RUST_LOG", "info,my_app=lots")]),
        "Some(\"RUST_LOG\") false: logging: RUST_LOG is \"info,my_app=lots\", must be directives such as \
         info,my_app=debug (\"my_app=lots\" is not a directive)"
    );
    assert_eq!(
        said("install", &[("LOG_FORMAT", "xml")]),
        "Some(\"LOG_FORMAT\") false: logging: LOG_FORMAT is \"xml\", must be json or pretty"
    );
    assert!(said("level", &[]).starts_with("Some(\"level\")"));
    let text = play("install", &[("RUST_LOG", " "), ("LOG_FORMAT", "")]).stdout;
    assert!(String::from_utf8_lossy(&text).contains("installed"));
}

#[test]
fn init_twice_is_an_error() {
    let output = play("twice", &[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("None true: logging: another tracing subscriber is installed already"),
        "{text}"
    );
    assert_eq!(json_lines(&output.stdout).len(), 1);
}

#[test]
fn init_replaces_panic_output_on_stderr() {
    let output = play("panics", &[]);
    let events = json_lines(&output.stdout);
    assert_eq!(events.len(), 2, "{events:#?}");
    assert_eq!(
        (&events[0]["message"], &events[0]["error"]),
        (&json!("panicked"), &json!("in a thread"))
    );
    assert_eq!(
        (&events[1]["message"], &events[1]["error"]),
        (&json!("call"), &json!("in a call"))
    );
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    // Somebody asked for it.
    let output = play("panics", &[("RUST_BACKTRACE", "1")]);
    assert_eq!(
        String::from_utf8_lossy(&output.stderr)
            .matches("stack backtrace")
            .count(),
        2
    );
    // Nobody listens.
    let output = play("panics", &[("RUST_LOG", "off")]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        text.lines()
            .filter(|line| line.contains("panicked at"))
            .count(),
        2,
        "{text}"
    );
}

#[test]
fn double_panic_is_logged_before_abort() {
    let output = play("two panics", &[]);
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        text.contains("\"the first\"") && text.contains("\"the second\""),
        "{text}"
    );
}
