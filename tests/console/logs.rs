//! The view of the log.

use serde_json::json;

use crate::{open_live, start};

#[test]
fn logs_are_searched_and_the_address_has_the_filters() {
    let Some((server, browser)) = start(&["--scenario", "incident"]) else {
        return;
    };
    open_live(&server, &browser, "#logs");
    browser.wait("document.querySelectorAll('#log-rows > [role=listitem]').length > 20");
    browser.shot("logs-light");
    browser.fill(".filter", "timeout payments");
    let all = "[...document.querySelectorAll('#log-rows .ms')].every((each) => each.innerText.includes('timeout while waiting'))";
    browser.wait(&format!(
        "{all} && document.querySelectorAll('#log-rows .ms').length === 8"
    ));
    assert_eq!(
        browser.run("return location.hash"),
        json!("#logs?q=timeout+payments")
    );
    let marks = browser
        .run("return [...document.querySelectorAll('#log-rows > [role=listitem]:nth-child(2) mark')].map((each) => each.innerText)");
    assert_eq!(marks, json!(["payments", "timeout"]));
    browser.click(".tools", "Errors");
    browser.wait("location.hash.includes('level=error')");
    // A row opens its fields, and leads to its trace.
    browser.run("document.querySelector('#log-rows .ms').click()");
    browser.wait("document.querySelector('.detail')?.innerText.includes('connection reset')");
    browser.click(".detail", "Trace");
    browser.wait("location.hash === '#traces/4bf92f3577b34da6a3ce929d0e0e4736'");
}

#[test]
fn logs_come_by_themselves_and_pause() {
    let Some((server, browser)) = start(&["--scenario", "incident"]) else {
        return;
    };
    open_live(&server, &browser, "#logs?tail=1");
    let newest = "Number(/at=(\\d+)/.exec(document.querySelector('#log-rows .ms')?.href)?.[1])";
    browser.wait(&format!("{newest} >= 42"));
    browser.press(" ");
    browser.wait("document.querySelector('main').innerText.includes('Tail, paused')");
    let paused = browser.run(&format!("return {newest}"));
    browser.press(" ");
    browser.wait(&format!("{newest} > {paused}"));
    // Leaving the view ends it.
    browser.press("1");
    browser.wait("location.hash === '#overview'");
}

#[test]
fn logs_by_the_thousand_have_few_rows_in_the_document() {
    let Some((server, browser)) = start(&["--scenario", "many"]) else {
        return;
    };
    open_live(&server, &browser, "#logs");
    browser.wait("document.querySelectorAll('#log-rows > [role=listitem]').length > 20");
    for _ in 0..4 {
        browser.run("window.before = document.querySelector('#log-rows').offsetHeight");
        browser.click(".card", "Older");
        browser.wait("document.querySelector('#log-rows').offsetHeight > window.before");
    }
    let rows =
        browser.run("return document.querySelectorAll('#log-rows > [role=listitem]').length");
    assert!(rows.as_u64().is_some_and(|rows| rows < 150), "{rows}");
    assert!(browser.text("main").contains("1,000+ of 5,000"));
    assert!(browser.text("main").contains("12 dropped"));
}

#[test]
fn address_of_a_line_shows_it_although_it_is_not_in_the_list() {
    let Some((server, browser)) = start(&["--scenario", "many"]) else {
        return;
    };
    open_live(&server, &browser, "#logs?q=attempt&at=23");
    browser.wait("document.querySelector('.detail')?.innerText.includes('timeout while waiting')");
}

#[test]
fn logs_for_an_id_are_found_by_pasting_it() {
    let Some((server, browser)) = start(&["--scenario", "hostile"]) else {
        return;
    };
    open_live(&server, &browser, "#logs");
    browser.run(
        "window.asked = []; const before = fetch; window.fetch = (path, ...rest) => { asked.push(String(path)); return before(path, ...rest); }",
    );
    browser.fill(".filter", "4bf92f3577b34da6a3ce929d0e0e4736");
    browser.wait("asked.some((path) => path.includes('id=4bf92f3577b34da6a3ce929d0e0e4736'))");
    assert_eq!(
        browser.run("return document.querySelectorAll('img').length"),
        json!(0)
    );
    assert_eq!(browser.run("return window.hacked ?? null"), json!(null));
}
