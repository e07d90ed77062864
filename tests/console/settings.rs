//! Guards of all kinds with what they count, and the numbers of theirs that operators change.

use serde_json::json;

use crate::{open_live, start};

const DETAIL: &str = ".detail";

#[test]
fn operator_resizes_a_bulkhead_with_the_keyboard() {
    let Some((server, browser)) = start(&["--scenario", "calm"]) else {
        return;
    };
    open_live(&server, &browser, "#guards?q=uploads");
    browser.wait("document.querySelector('main .row .btn')");
    assert!(browser.text("main .row").contains("9/25"));
    browser.run("document.querySelector('main .row .btn').focus()");
    browser.press("\u{E007}");
    browser.wait("document.querySelector('dialog[open]')?.contains(document.activeElement)");
    browser.shot("setting");
    let field = "document.querySelector('dialog [name=value]')";
    assert_eq!(
        browser.run(&format!(
            "return [{field}.value, {field}.min, {field}.max, {field}.step]"
        )),
        json!(["25", "1", "10000", "1"])
    );
    // What is not allowed is not sent.
    browser.fill("dialog [name=reason]", "more uploads than usual");
    for wrong in ["0", "10001", "1.5", ""] {
        browser.fill("dialog [name=value]", wrong);
        browser.click("dialog", "Change");
        assert_eq!(
            browser.run("return document.querySelector('dialog input:invalid')?.name"),
            json!("value"),
            "{wrong}"
        );
    }
    browser.fill("dialog [name=value]", "40");
    browser.run("document.querySelector('dialog [name=reason]').focus()");
    browser.press("\u{E007}");
    browser.wait("!document.querySelector('dialog')");
    browser.wait("document.querySelector('main .row').innerText.includes('9/40')");
    browser.open(&server.url("#journal?kind=control"));
    browser
        .wait("document.querySelector('main').innerText.includes('limit is 40, was 25: more uploads than usual')");
    browser.run("document.querySelector('#journal-rows a').click()");
    browser.wait("document.querySelector('.detail')");
    let detail = browser.text(DETAIL);
    for text in ["mira", "setting\nlimit", "Changed\n25 → 40"] {
        assert!(detail.contains(text), "{text}: {detail}");
    }
}

#[test]
fn setting_is_typed_in_its_unit_and_may_be_off() {
    let Some((server, browser)) = start(&["--scenario", "calm"]) else {
        return;
    };
    open_live(
        &server,
        &browser,
        "#guards?kind=circuit_breaker&name=quotes",
    );
    let change = |name: &str, value: &str| {
        browser.run(&format!(
            "document.querySelector('.settings [aria-label=\"Change… {name} of quotes\"]').click()"
        ));
        browser.wait("document.querySelector('dialog[open]')");
        let label = browser.text("dialog label");
        browser.fill("dialog [name=value]", value);
        browser.fill("dialog [name=reason]", "a test");
        browser.click("dialog", "Change");
        browser.wait("!document.querySelector('dialog')");
        label
    };
    let shows = |text: &str| {
        browser.wait(&format!(
            "document.querySelector('.settings').innerText.includes({})",
            json!(text)
        ));
    };
    browser.wait("document.querySelector('.settings')");
    shows("failure rate\n0.1 % to 100 %, or off\n50 %");
    let label = change("failure rate", "29");
    assert_eq!(label, "failure rate, percent: 0.1 % to 100 %, or off");
    shows("29 %");
    assert_eq!(
        change("slow call", "0.25"),
        "slow call, seconds: 1 ms to 1 d, or off"
    );
    shows("250 ms");
    change("failure rate", "");
    shows("failure rate\n0.1 % to 100 %, or off\noff");
    browser.open(&server.url("#journal?q=failure_rate"));
    browser
        .wait("document.querySelector('main').innerText.includes('failure_rate is 0.29, was 0.5')");
    browser
        .wait("document.querySelector('main').innerText.includes('failure_rate is off, was 0.29')");
}

#[test]
fn setting_that_the_server_refuses_stays_in_the_dialog() {
    let Some((server, browser)) = start(&["--scenario", "calm"]) else {
        return;
    };
    open_live(&server, &browser, "#guards?kind=bulkhead&name=uploads");
    browser.wait("document.querySelector('.settings')");
    browser.run(
        "document.querySelector('.settings [aria-label=\"Change… queue limit of uploads\"]').click()",
    );
    browser.fill("dialog [name=value]", "2000");
    browser.fill("dialog [name=reason]", "a test");
    browser.click("dialog", "Change");
    browser.wait("document.querySelector('dialog [role=alert]').innerText === 'queue_limit is too large for the limit'");
    assert_eq!(
        browser.run("return document.querySelector('dialog [name=value]').value"),
        json!("2000")
    );
}

#[test]
fn viewer_sees_settings_and_changes_none() {
    for options in [["--role", "viewer"], ["--controls", "off"]] {
        let Some((server, browser)) = start(&options) else {
            return;
        };
        open_live(&server, &browser, "#guards?kind=bulkhead&name=uploads");
        browser.wait("document.querySelector('.settings')?.innerText.includes('1 to 10,000')");
        let buttons = browser.run(
            "return [...document.querySelectorAll('main .btn')].map((each) => each.innerText)",
        );
        assert_eq!(buttons, json!(["×"]));
    }
}

#[test]
fn guards_of_every_kind_say_what_they_do() {
    let Some((server, browser)) = start(&["--scenario", "incident"]) else {
        return;
    };
    open_live(&server, &browser, "#guards");
    browser.wait("document.querySelector('#guard-limits')");
    let text = browser.text("main");
    for expected in [
        "probing with up to 3 calls",
        "bulkhead · 9 running, 0 queued, waits 200 µs, runs 31 ms",
        "9/25",
        "keyed rate limit · 14 rejected, 50/s for each key, 1,204 of 10,000 keys",
        "rate limit · 20/s",
        "31/40\nshadow",
        "chaos · error rate 5 %",
        "12/100",
        // One that the page does not know.
        "object pool · connections 5, wait 12.3 ms, hit ratio 93 %",
        "10 s",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    browser.open(&server.url("#guards?kind=object_pool&name=orders-db"));
    browser.wait("document.querySelector('.detail')");
    let detail = browser.text(DETAIL);
    for expected in [
        "connections\n5",
        "wait\n12.3 ms",
        "hit ratio\n93 %",
        "reads\n1,230/s",
        "memory\n52.4 MB",
        "mode\nwarm up",
    ] {
        assert!(detail.contains(expected), "{expected}: {detail}");
    }
    // What has no value has no row.
    assert!(!detail.contains("last error"), "{detail}");
    browser.open(&server.url("#guards?kind=chaos&name=game+day"));
    browser.wait("document.querySelector('.detail .pill.warn')?.innerText === 'on'");
    let detail = browser.text(DETAIL);
    for expected in ["errors injected\n12", "delays injected\n3", "bodies cut\n0"] {
        assert!(detail.contains(expected), "{expected}: {detail}");
    }
    assert!(!detail.contains("on for"), "{detail}");
    // What operators do to it has words for what it is; what the page does not know has the name that the server gave.
    for (guard, control) in [
        ("kind=chaos&name=game+day", "Switch on…"),
        ("kind=rate_limit&name=searches", "Admit all…"),
        ("kind=object_pool&name=orders-db", "drain…"),
    ] {
        browser.open(&server.url(&format!("#guards?{guard}")));
        browser.click(DETAIL, control);
        browser.wait("document.querySelector('dialog [name=seconds]')");
        browser.press("\u{E00C}");
        browser.wait("!document.querySelector('dialog')");
    }
}

#[test]
fn sentence_of_a_guard_is_not_cut() {
    let Some((server, browser)) = start(&["--scenario", "long"]) else {
        return;
    };
    browser.resize(320, 700);
    open_live(&server, &browser, "#guards");
    browser.wait("document.querySelector('#guard-limits .row .s')");
    let cut = browser.run(
        "return [...document.querySelectorAll('.rows .row .s')].filter((each) => each.scrollWidth > each.clientWidth).map((each) => each.innerText)",
    );
    assert_eq!(cut, json!([]));
}

#[test]
fn breaker_that_failures_in_a_row_opened_says_so() {
    let Some((server, browser)) = start(&["--scenario", "long"]) else {
        return;
    };
    open_live(&server, &browser, "#guards?q=search");
    browser
        .wait("document.querySelector('.guard')?.innerText.includes('20 of 20 failures in a row')");
}
