//! Workflows in the file: restarts and kills.

use std::{
    future::pending,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use futures_util::FutureExt;
use serde_json::{Value, json};
use tower_keep::ops::{Ops, recorder::Format, workflow};

use crate::support::*;

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("workflows-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("ops.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn console(path: &Path) -> Console {
    Console::of(Ops::builder("orders").sqlite(path).build().expect("valid"))
}

async fn losses(console: &Console) -> Vec<Value> {
    let journal = console.get("journal?kind=workflow").await;
    journal["events"].as_array().expect("events").clone()
}

#[tokio::test]
async fn workflows_are_there_after_a_restart_and_those_that_ran_are_lost() {
    let folder = Folder::new("restart");
    let first = console(&folder.file());
    first
        .ops
        .workflow("done")
        .run(|flow| async move { flow.step("a").run(work(1)).await })
        .await
        .expect("done");
    first
        .ops
        .workflow("failed")
        .run(|_| fail("no disk"))
        .await
        .expect_err("failed");
    let mut running = Box::pin(
        first
            .ops
            .workflow("import")
            .attribute("file", "x.csv")
            .run_infallible(|flow| async move {
                flow.step("read").run_infallible(async {}).await;
                flow.step("load").run_infallible(pending::<()>()).await;
            }),
    );
    assert!((&mut running).now_or_never().is_none());
    let before = first.list("").await;
    // As if the process had ended: nobody drops it.
    std::mem::forget(running);
    drop(first);

    let second = console(&folder.file());
    let rows = second.list("").await;
    let states: Vec<_> = rows
        .iter()
        .map(|row| (row["name"].clone(), row["state"].clone()))
        .collect();
    let expected = [("import", "lost"), ("failed", "failed"), ("done", "done")];
    assert_eq!(
        states,
        expected.map(|(name, state)| (json!(name), json!(state)))
    );
    assert_eq!(rows[1..], before[1..]);
    let statistics = second.get("workflows/statistics").await;
    assert_eq!(statistics["workflows"][0]["lost"], 1);
    let metrics = second.ops.recorder().render(Format::Text);
    let line = r#"tower_keep_workflows_lost_total{workflow="import"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
    let events = losses(&second).await;
    assert_eq!((events.len(), &events[0]["subject"]), (1, &json!("import")));
    assert_eq!(events[0]["data"]["id"], rows[0]["id"]);
    let next = second
        .ops
        .workflow("next")
        .run_infallible(|flow| async move { flow.id() });
    let next = next.await.expect("recorded").to_string();
    assert!(
        rows.iter()
            .all(|row| row["id"].as_str().expect("an ID") < &*next)
    );
    drop(second);

    // Lost once; the journal is in the file as well.
    let third = console(&folder.file());
    assert_eq!(third.list("state=lost").await.len(), 1);
    assert_eq!(losses(&third).await.len(), 1);
}

const CHILD: &str = "TOWER_KEEP_TEST_WORKFLOWS";

/// Does nothing unless the test below starts it in a process of its own.
#[tokio::test]
async fn process_that_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else {
        return;
    };
    let ops = Ops::builder("orders")
        .sqlite(PathBuf::from(path))
        .build()
        .expect("valid");
    ops.install().expect("the only one");
    let import = workflow("import").run_infallible(|flow| async move {
        flow.step("read").run_infallible(async {}).await;
        flow.step("load")
            .text("x.csv")
            .run_infallible(pending::<()>())
            .await;
    });
    import.await;
}

#[tokio::test]
async fn workflow_of_a_process_that_was_killed_is_lost_in_its_step() {
    let folder = Folder::new("killed");
    let program = std::env::current_exe().expect("this program");
    let mut child = Command::new(program)
        .args(["--exact", "file::process_that_is_killed"])
        .env(CHILD, folder.file())
        .stdout(Stdio::null())
        .spawn()
        .expect("a process");
    // Until the file says in which step it is.
    while !has_step(&folder.file()).unwrap_or(false) {
        assert!(child.try_wait().expect("a child").is_none(), "it runs");
        std::thread::yield_now();
    }
    child.kill().expect("it runs");
    child.wait().expect("it was killed");

    let console = console(&folder.file());
    let found = console.only().await;
    assert_eq!(
        (&found["state"], &found["step"], &found["text"]),
        (&json!("lost"), &json!("load"), &json!("x.csv"))
    );
    let members = ["name", "state"];
    assert_eq!(
        of_steps(&found, members),
        [json!(["read", "done"]), json!(["load", "lost"])]
    );
    let events = losses(&console).await;
    assert_eq!(
        events[0]["text"],
        "lost in step load: the process ended while it ran"
    );
}

fn has_step(path: &Path) -> Option<bool> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = rusqlite::Connection::open_with_flags(path, flags).ok()?;
    let found = connection.query_row(
        "SELECT json FROM documents WHERE collection = 'workflows'",
        (),
        |row| row.get::<_, String>(0),
    );
    Some(found.ok()?.contains("x.csv"))
}
