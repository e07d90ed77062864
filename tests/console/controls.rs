//! The controls that operators have, and viewers do not.

use serde_json::json;

use crate::{open_live, start};

#[test]
fn operator_holds_a_circuit_open_with_a_reason_and_for_a_time() {
    let Some((server, browser)) = start(&["--scenario", "calm"]) else {
        return;
    };
    open_live(&server, &browser, "#guards?q=quotes");
    let card = ".guard[aria-label$=quotes]";
    browser.click(card, "Hold open…");
    browser.wait("document.querySelector('dialog[open]')");
    browser.shot("dialog");
    // Without a reason nothing is sent.
    browser.click("dialog", "Hold open");
    assert_eq!(
        browser.run("return document.querySelector('dialog input:invalid').name"),
        json!("reason")
    );
    browser.fill("dialog [name=reason]", "the upstream is being moved");
    browser.fill("dialog [name=seconds]", "300");
    browser.click("dialog", "Hold open");
    browser.wait("!document.querySelector('dialog')");
    browser.wait(&format!(
        "document.querySelector('{card} .pill').innerText === 'forced open'"
    ));
    browser.wait(&format!(
        "document.querySelector('{card}').innerText.includes('held by an operator for another')"
    ));
    browser.click(card, "Release");
    browser.fill("dialog [name=reason]", "it is done");
    browser.click("dialog", "Release");
    browser.wait(&format!(
        "document.querySelector('{card} .pill').innerText === 'closed'"
    ));
    browser.open(&server.url("#journal?kind=control"));
    browser
        .wait("document.querySelector('main').innerText.includes('the upstream is being moved')");
    assert!(browser.text("main").contains("mira"));
}

#[test]
fn operator_resolves_an_error_group() {
    let Some((server, browser)) = start(&["--scenario", "incident"]) else {
        return;
    };
    open_live(&server, &browser, "#errors");
    browser.click("main", "Resolve");
    browser.fill("dialog [name=reason]", "fixed in 2.14.1");
    browser.click("dialog", "Resolve");
    browser.wait("document.querySelector('main h2.name').innerText.startsWith('PoolTimedOut')");
    browser.click(".tools", "Resolved");
    browser.wait("document.querySelector('#error-rows').innerText.includes('Timeout')");
}

#[test]
fn operator_sets_the_log_level() {
    let Some((server, browser)) = start(&["--scenario", "calm"]) else {
        return;
    };
    open_live(&server, &browser, "#journal");
    browser.click(".foot", "log level…");
    browser.wait("document.querySelector('dialog [name=filter]')?.value === 'info,sqlx=debug'");
    browser.fill("dialog [name=filter]", "debug");
    browser.fill("dialog [name=reason]", "looking for slow queries");
    browser.click("dialog", "Set");
    browser.wait("document.querySelector('main').innerText.includes('set to debug for 600 s')");
}

#[test]
fn problem_of_the_server_stays_in_the_dialog() {
    let Some((server, browser)) = start(&["--scenario", "calm"]) else {
        return;
    };
    open_live(&server, &browser, "#guards?q=quotes");
    browser.click(".guard", "Reset");
    browser.fill("dialog [name=reason]", "a try");
    server.make("sign-out", json!({ "on": true }));
    browser.click("dialog", "Reset");
    browser.wait("document.querySelector('dialog [role=alert]').innerText === 'sign in first'");
}

#[test]
fn viewer_has_no_controls() {
    let Some((server, browser)) = start(&["--role", "viewer"]) else {
        return;
    };
    for view in ["#guards?name=payments", "#errors"] {
        open_live(&server, &browser, view);
        browser.wait("document.querySelector('main .kv')");
        let buttons = browser.run(
            "return [...document.querySelectorAll('main button')].map((each) => each.innerText)",
        );
        let buttons = buttons.as_array().expect("it is a list").clone();
        for word in [
            "Reset",
            "Hold closed…",
            "Hold open…",
            "Shadow…",
            "Resolve",
            "Ignore",
        ] {
            assert!(!buttons.contains(&json!(word)), "{view}: {buttons:?}");
        }
    }
    assert!(!browser.text(".foot").contains("log level"));
}

#[test]
fn operator_has_no_controls_while_they_are_off() {
    let Some((server, browser)) = start(&["--controls", "off"]) else {
        return;
    };
    open_live(&server, &browser, "#guards");
    browser.wait(
        "document.querySelector('main').innerText.includes('Controls are off in this process')",
    );
    assert_eq!(
        browser.run("return document.querySelectorAll('.acts').length"),
        json!(0)
    );
}

#[test]
fn dialog_says_what_is_done_and_whose_name_is_written() {
    for (user, placeholder) in [
        ("mira", "It is written into the journal with your name"),
        ("none", "It is written into the journal"),
    ] {
        let Some((server, browser)) = start(&["--user", user]) else {
            return;
        };
        open_live(&server, &browser, "#guards?kind=rate_limit&name=searches");
        browser.click(".detail", "Admit all…");
        browser.wait("document.querySelector('dialog[open]')");
        let found =
            browser.run("return document.querySelector('dialog [name=reason]').placeholder");
        assert_eq!(found, json!(placeholder));
        let text = browser.text("dialog");
        assert!(text.contains("Admits all calls, however many"), "{text}");
    }
}
