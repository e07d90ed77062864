//! Workflows on the page.

use std::sync::PoisonError;

use serde_json::json;
use tokio::{runtime::Runtime, sync::oneshot};
use tower_keep::ops::workflow;

use crate::{browser::Browser, open_live, real::Real, start};

const ROWS: &str = "[...document.querySelectorAll('#workflow-rows tr:not(.spacer)')].map((each) => each.innerText)";

#[test]
fn overview_shows_workflows_only_while_some_run() {
    let Some((server, browser)) = start(&["--scenario", "incident"]) else {
        return;
    };
    open_live(&server, &browser, "#overview");
    browser.wait("document.querySelector('main').innerText.includes('Active workflows')");
    let text = browser.text("main");
    assert!(text.contains("load · orders.csv"), "{text}");
    browser.shot("overview-workflows");
    let Some((server, browser)) = start(&["--scenario", "calm"]) else {
        return;
    };
    open_live(&server, &browser, "#overview");
    browser.wait("document.querySelector('.now.ok')");
    assert!(!browser.text("main").contains("workflow"));
}

#[test]
fn workflows_that_run_come_first_and_a_failed_one_says_which_step_and_why() {
    let Some((server, browser)) = start(&["--scenario", "incident"]) else {
        return;
    };
    open_live(&server, &browser, "#workflows");
    browser.wait(&format!("{ROWS}.length === 5"));
    let states = browser.run(
        "return [...document.querySelectorAll('#workflow-rows .pill')].map((each) => each.innerText)",
    );
    assert_eq!(
        states,
        json!(["running", "running", "cancelled", "failed", "lost"])
    );
    browser.shot("workflows");
    browser.run("document.querySelectorAll('#workflow-rows a')[3].click()");
    browser.wait("document.querySelectorAll('.detail .step').length === 4");
    let detail = browser.text(".detail");
    for text in [
        "order\n4711",
        "Timeout: payment gateway did not answer within 10s",
        "└ client error (SendRequest)",
    ] {
        assert!(detail.contains(text), "{text}: {detail}");
    }
    let links = browser.run(
        "return [...document.querySelectorAll('.detail .links a')].map((each) => each.getAttribute('href'))",
    );
    let expected = [
        "#traces/4bf92f3577b34da6a3ce929d0e0e4736",
        "#logs?correlation_id=c2e003002aee7da3",
    ];
    assert_eq!(links, json!(expected));
    browser.shot("workflow-light");
    // A step leads to the workflow that began in it, which leads back.
    browser.run("document.querySelectorAll('.detail .step')[3].click()");
    browser.wait("document.querySelector('.detail h3 a')");
    browser.run("document.querySelector('.detail h3 a').click()");
    browser.wait("document.querySelector('.detail h2').innerText.startsWith('shipping')");
    assert!(browser.text(".detail").contains("ship 19d1b2c3d4e00002"));
    browser.press("\u{E00C}");
    browser.wait("!document.querySelector('.detail')");
}

#[test]
fn workflows_are_filtered_by_state_and_text_and_older_ones_are_pages() {
    let Some((server, browser)) = start(&["--scenario", "many"]) else {
        return;
    };
    open_live(&server, &browser, "#workflows");
    browser
        .wait("document.querySelector('main').innerText.includes('7 workflows are not recorded')");
    browser.click(".tools", "Lost");
    browser.wait(&format!("{ROWS}.length === 1"));
    browser.click(".tools", "All");
    browser.fill(".filter", "items.csv");
    browser.wait(&format!(
        "{ROWS}.length === 1 && {ROWS}[0].includes('lost')"
    ));
    browser.open(&server.url("#workflows"));
    browser.click("main", "Older");
    browser.wait("document.querySelector('main').innerText.includes('older ones')");
    browser.click("main", "Latest");
    browser.wait("document.querySelector('main').innerText.includes('latest first')");
}

#[test]
fn workflow_of_a_thousand_steps_draws_those_in_view() {
    let Some((server, browser)) = start(&["--scenario", "many"]) else {
        return;
    };
    open_live(&server, &browser, "#workflows?at=19d1b2c3d4e00384");
    browser.wait("document.querySelector('.detail .step')");
    let drawn = browser.run("return document.querySelectorAll('.step').length");
    assert!(drawn.as_u64().is_some_and(|drawn| drawn < 120), "{drawn}");
    browser.click(".detail", "Not done");
    browser.wait("document.querySelectorAll('.step').length === 10");
    assert!(browser.text(".detail").contains("12 parts are missing"));
}

#[test]
fn real_workflow_runs_and_ends_on_the_page_without_a_reload() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let real = Real::get();
    let _turn = real.turn.lock().unwrap_or_else(PoisonError::into_inner);
    real.open(&browser, "#workflows");
    browser.wait("document.querySelector('main').innerText.includes('No workflow has run yet.')");
    browser.run("window.isSamePage = true");
    let (end, ended) = oneshot::channel::<()>();
    let runtime = Runtime::new().expect("there is a runtime");
    let import = workflow("import").attribute("file", "<img src=x onerror=alert(1)>");
    let import = import.run_display(|flow| async move {
        let load = flow.step("load").text("line 3");
        load.run_display(async {
            let _ = ended.await;
            Err::<(), _>("no <b>disk</b>, token=hunter2")
        })
        .await
    });
    let task = runtime.spawn(import);
    browser.wait(&format!(
        "{ROWS}.some((row) => row.includes('running') && row.includes('line 3'))"
    ));
    browser.run("document.querySelector('#workflow-rows a').click()");
    browser.wait("document.querySelectorAll('.detail .step').length === 1");
    end.send(()).expect("it waits");
    let result = runtime.block_on(task).expect("no panic");
    assert!(result.is_err());
    browser.wait("document.querySelector('.detail pre')?.innerText.includes('no <b>disk</b>, token=REDACTED')");
    browser.wait(&format!("{ROWS}.some((row) => row.includes('failed'))"));
    assert!(
        browser
            .text(".detail")
            .contains("<img src=x onerror=alert(1)>")
    );
    assert_eq!(
        browser.run("return document.querySelectorAll('img').length"),
        json!(0)
    );
    assert_eq!(browser.run("return window.isSamePage"), json!(true));
    // The group of the error is one click away.
    browser.click(".detail", "error group");
    browser.wait("document.querySelector('main').innerText.includes('no <b>disk</b>')");
    assert_eq!(browser.log(), Vec::<String>::new());
}
