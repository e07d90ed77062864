//! The page when the connection or the session ends, and while it is paused.

use serde_json::json;

use crate::{open_live, start};

#[test]
fn page_keeps_old_data_greyed_with_its_age_until_the_server_is_back() {
    let Some((mut server, browser)) = start(&["--scenario", "incident"]) else {
        return;
    };
    open_live(&server, &browser, "#overview");
    server.kill();
    browser.wait("document.querySelector('main.stale')");
    browser.wait("/Disconnected\\..*This data is \\d+(\\.\\d)? s old\\./s.test(document.querySelector('.banner').innerText)");
    assert!(browser.text(".fig").contains("1,280"));
    browser.shot("disconnected");
    server.restart();
    browser.wait(
        "document.querySelector('.live.on') && !document.querySelector('main.stale, .banner')",
    );
}

#[test]
fn page_notices_a_connection_on_which_nothing_comes() {
    let Some((server, browser)) = start(&["--scenario", "calm"]) else {
        return;
    };
    browser.open(&server.url("login"));
    browser.run("localStorage.setItem('tower-keep.every', '1')");
    open_live(&server, &browser, "#overview");
    server.make("silence", json!({ "on": true }));
    browser.wait("document.querySelector('.banner')?.innerText.includes('Nothing was received')");
    server.make("silence", json!({ "on": false }));
    browser.wait("document.querySelector('.live.on')");
}

#[test]
fn page_takes_server_sent_events_where_web_sockets_do_not_get_through() {
    let Some((server, browser)) = start(&["--no-websocket", "yes"]) else {
        return;
    };
    open_live(&server, &browser, "#overview");
    assert_eq!(
        browser.run("return document.querySelector('.live').title"),
        json!("by server-sent events")
    );
    let last = "document.querySelector('.chart')?.$chart?.data[0].at(-1)";
    let before = browser.wait(last);
    browser.wait(&format!("{last} > {before}"));
}

#[test]
fn page_says_why_the_server_closed_the_connection() {
    let Some((server, browser)) = start(&["--scenario", "calm"]) else {
        return;
    };
    for (code, text) in [(1001, "shutting down"), (4408, "too slow")] {
        open_live(&server, &browser, "#overview");
        browser.run(
            "window.said = ''; new MutationObserver(() => { window.said += document.querySelector('.banner')?.innerText ?? ''; })
               .observe(document.body, { subtree: true, childList: true, characterData: true })",
        );
        server.make("drop", json!({ "code": code }));
        browser.wait(&format!("window.said.includes({})", json!(text)));
        browser.wait("document.querySelector('.live.on')");
    }
}

#[test]
fn page_that_finds_no_place_says_so_and_tries_again_later() {
    for options in [["--scenario", "calm"], ["--no-websocket", "yes"]] {
        let Some((server, browser)) = start(&options) else {
            return;
        };
        server.make("full", json!({ "on": true }));
        browser.open(&server.url("#overview"));
        browser.wait("/Too many pages are open.*Connecting again in [12]\\d s/s.test(document.querySelector('.banner')?.innerText)");
        server.make("full", json!({ "on": false }));
        browser.click(".banner", "Connect now");
        browser.wait("document.querySelector('.live.on') && !document.querySelector('.banner')");
    }
}

#[test]
fn session_that_ended_leads_to_the_login_page() {
    let Some((server, browser)) = start(&["--scenario", "calm"]) else {
        return;
    };
    open_live(&server, &browser, "#guards");
    server.make("sign-out", json!({ "on": true }));
    server.make("drop", json!({ "code": 4401 }));
    browser.click(".banner", "Sign in");
    browser.wait("document.querySelector('form')?.elements.token");
    browser.shot("login");
    browser.fill("input", "wrong");
    browser.click("form", "Sign in");
    browser.wait("document.getElementById('problem').innerText === 'the token is not valid'");
    browser.fill("input", "secret");
    browser.click("form", "Sign in");
    browser.wait("document.querySelector('.live.on')");
}

#[test]
fn paused_page_stands_still_and_shows_the_newest_when_it_goes_on() {
    let Some((server, browser)) = start(&["--scenario", "calm"]) else {
        return;
    };
    open_live(&server, &browser, "#guards");
    let state = "document.querySelector('.guard[aria-label$=quotes] .pill').innerText";
    browser.press(" ");
    browser.wait("document.querySelector('.notes')?.innerText.includes('Paused')");
    browser.run(
        "window.frames_ = 0; const parse = JSON.parse; JSON.parse = (text) => { window.frames_++; return parse(text); };",
    );
    server.trip("quotes");
    browser.wait("window.frames_ > 0");
    assert_eq!(browser.run(&format!("return {state}")), json!("closed"));
    browser.press(" ");
    browser.wait(&format!("{state} === 'open'"));
}
