//! Records in the file of the store.

use serde_json::json;
use tower_keep::ops::Ops;

use super::support::*;

/// A folder of a test, which goes with it.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("tower-keep-logs-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    fn kept(&self) -> Kept {
        Kept::new(Ops::builder("orders").sqlite(self.0.join("ops.db")))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn records_in_the_file_survive_a_restart_and_their_numbers_go_on() {
    let folder = Folder::new("restart");
    let first = folder.kept();
    first.log(|| {
        (0..2_500).for_each(|n| tracing::info!("line {n}"));
        tracing::error!(
            password = "hunter2",
            order_id = 7,
            "the last one, Bearer hunter2"
        );
    });
    let before = first.find("limit=1").await;
    assert_eq!(
        (&before["source"], &before["kept"]),
        (&json!("file"), &json!(2_501))
    );
    let last = before["records"][0]["id"].as_u64().expect("a number");
    drop(first);
    for entry in std::fs::read_dir(&folder.0).expect("a folder") {
        let bytes = std::fs::read(entry.expect("an entry").path()).expect("readable");
        assert!(!bytes.windows(7).any(|window| window == b"hunter2"));
    }

    let second = folder.kept();
    second.log(|| tracing::info!("line after the restart"));
    let found = second.find("q=line&limit=2").await;
    assert_eq!(found["records"][0]["message"], "line after the restart");
    assert!(found["records"][0]["id"].as_u64().expect("a number") > last);
    assert_eq!(
        (
            &found["records"][1]["message"],
            &found["stored"],
            &found["kept"]
        ),
        (&json!("line 2499"), &json!(1), &json!(2_502))
    );
    let errors = second.find("level=error&q=%22order_id+7%22").await;
    assert_eq!(errors["records"][0]["id"], last);
    assert_eq!(
        errors["records"][0]["fields"],
        json!({"order_id": 7, "password": "REDACTED"})
    );
}

/// Pages go from what waits for the file into the file, without a gap and without a record twice.
#[tokio::test]
async fn pages_go_on_in_the_file() {
    let folder = Folder::new("pages");
    let kept = folder.kept();
    for part in 0..20 {
        kept.log(|| (0..50).for_each(|n| tracing::info!("line {}", part * 50 + n)));
        let page = kept.messages("q=line&limit=500").await;
        let expected: Vec<_> = (0..(part + 1) * 50)
            .rev()
            .take(500)
            .map(|n| format!("line {n}"))
            .collect();
        assert_eq!(page, expected);
    }
}

#[tokio::test]
async fn search_is_in_memory_if_the_file_cannot_be_used() {
    let folder = Folder::new("broken");
    // It belongs to somebody else.
    let _first = folder.kept();
    let second = folder.kept();
    second.log(|| tracing::info!("kept nevertheless"));
    let found = second.find("q=kept").await;
    assert_eq!(
        (&found["source"], &found["records"][0]["message"]),
        (&json!("memory"), &json!("kept nevertheless"))
    );
}
