//! The page of a process that goes on where another one ended: its journal and its metrics are in a file.

use std::time::{Duration, SystemTime};

use axum::Router;
use tokio::runtime::Runtime;
use tower_keep::ops::{
    Access, Ops,
    journal::{Event, EventKind, Severity},
};

use crate::browser::Browser;

fn ops(file: &std::path::Path) -> Ops {
    Ops::builder("shop").sqlite(file).build().expect("valid")
}

/// Does what an earlier process has done, two days ago.
fn live_before(file: &std::path::Path) {
    let before = ops(file);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let began = now.expect("after 1970").as_secs() - 2 * 86_400;
    for minute in 0..180 {
        let metrics = before.recorder().metrics();
        metrics.increment("orders_total", 60, &[]);
        before.recorder().tick(began + minute * 60);
    }
    for n in 1..=1_500 {
        let text = format!("deployed {n}");
        let event = Event::new(EventKind::Custom, Severity::Info, "shop", text);
        before.journal().record(event);
    }
}

#[test]
fn journal_and_metrics_of_an_earlier_process_are_shown() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let folder = std::env::temp_dir().join(format!("tower-keep-console-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("ops.db");
    live_before(&file);
    let runtime = Runtime::new().expect("a runtime");
    let ops = ops(&file);
    let access = Access::login_links();
    let address = runtime.block_on(async {
        ops.spawn();
        ops.recorder().metrics().increment("orders_total", 1, &[]);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port");
        let address = listener.local_addr().expect("an address");
        let app: Router = Router::new().nest("/ops/", ops.console(access.clone()));
        tokio::spawn(async move { axum::serve(listener, app).await });
        address
    });
    let url = |rest: &str| format!("http://{address}/ops/{rest}");
    let link = access.login_link().expect("random numbers");
    browser.open(&url(&link));
    browser.wait("document.querySelector('.live.on')");

    browser.open(&url("#journal"));
    browser.wait("document.querySelector('main').textContent.includes('deployed 1500')");
    // The frames have the latest 100; then a thousand at once.
    for (way, text) in [
        ("Earlier events", "deployed 1399"),
        ("Earlier events", "deployed 399"),
        ("Latest events", "deployed 1500"),
    ] {
        browser.click("main", way);
        let has = format!("document.querySelector('main').textContent.includes({text:?})");
        browser.wait(&has);
    }

    browser.open(&url("#metrics?name=orders_total&range=7d"));
    browser.wait("document.querySelector('header .seg').textContent.includes('90 d')");
    browser.wait("document.querySelector('main .chart canvas')");
    browser.shot("metrics-of-a-week");
    assert!(browser.log().is_empty(), "{:?}", browser.log());
    drop(ops);
    runtime.shutdown_timeout(Duration::from_secs(5));
    let _ = std::fs::remove_dir_all(folder);
}
