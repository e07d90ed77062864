//! Alerts in the page: who takes care of one, for how long another is silent, and what rules saw.

use serde_json::json;

use crate::{open_live, start};

#[test]
fn operator_acknowledges_an_alert() {
    let Some((server, browser)) = start(&["--scenario", "incident"]) else {
        return;
    };
    open_live(&server, &browser, "#alerts");
    browser.wait(
        "document.querySelector('#alert-rows').innerText.includes('9.8 % of the payments fail')",
    );
    browser.shot("alerts");
    let detail = ".detail[aria-label='Alert payments_errors']";
    browser.wait(&format!(
        "document.querySelector(\"{detail}\")?.innerText.includes('What happened')"
    ));
    browser.click(detail, "Acknowledge");
    browser.wait("document.querySelector('dialog[open]')");
    // Without a reason nothing is sent.
    browser.click("dialog", "Acknowledge");
    let missing = browser.run("return document.querySelector('dialog input:invalid').name");
    assert_eq!(missing, json!("reason"));
    browser.fill(
        "dialog [name=reason]",
        "the provider is down, I have called them",
    );
    browser.click("dialog", "Acknowledge");
    browser.wait("!document.querySelector('dialog')");
    browser.wait(&format!(
        "document.querySelector(\"{detail}\").innerText.includes('I have called them')"
    ));
    browser
        .wait("document.querySelector('#alert-rows').innerText.includes('acknowledged by mira')");
    let buttons = browser.text(&format!("{detail} .acts"));
    assert!(!buttons.contains("Acknowledge"), "{buttons}");
}

#[test]
fn operator_silences_and_resolves_an_alert() {
    let Some((server, browser)) = start(&["--scenario", "incident"]) else {
        return;
    };
    open_live(&server, &browser, "#alerts?at=00000000000000a1");
    browser.click(".detail", "Silence…");
    browser.wait("document.querySelector('dialog[open] [name=matcher-1]')");
    let matchers = browser.run(
        "return [...document.querySelectorAll('dialog [name^=matcher]')].map((each) => each.value)",
    );
    assert_eq!(
        matchers,
        json!([
            "alertname=payments_errors",
            "route=POST /pay",
            "team=payments"
        ])
    );
    browser.fill("dialog [name=matcher-1]", "");
    browser.fill("dialog [name=seconds]", "3600");
    browser.fill("dialog [name=reason]", "a deployment");
    browser.click("dialog", "Silence");
    browser.wait("!document.querySelector('dialog')");
    browser.wait("document.querySelector('main').innerText.includes('alertname=payments_errors, team=payments')");
    browser.wait("document.querySelector('.detail h2').innerText.includes('silenced')");
    browser.shot("silence");
    browser.click("main", "End");
    browser.fill("dialog [name=reason]", "it is done");
    browser.click("dialog", "End");
    browser.wait("!document.querySelector('main').innerText.includes('alertname=payments_errors, team=payments')");
    browser.click(".detail", "Resolve");
    browser.fill("dialog [name=reason]", "fixed");
    browser.click("dialog", "Resolve");
    browser.wait("!document.querySelector('#alert-rows').innerText.includes('9.8 %')");
    browser.click(".tools", "Resolved");
    browser.wait("document.querySelector('#alert-rows')?.innerText.includes('9.8 %')");
}

#[test]
fn rules_are_shown_with_their_last_value() {
    let Some((server, browser)) = start(&["--scenario", "incident"]) else {
        return;
    };
    open_live(&server, &browser, "#alerts");
    browser.wait("document.querySelector('#rule-rows')");
    let rules = browser.text("#rule-rows");
    for part in [
        "payments_errors",
        "error_ratio{route=\"POST /pay\"} > 5% for 2 min",
        "9.8 %",
        "412 ms",
        "ledger > 0.25",
    ] {
        assert!(rules.contains(part), "{part}: {rules}");
    }
}

#[test]
fn alerts_of_many_rules_are_windowed_and_filtered() {
    let Some((server, browser)) = start(&["--scenario", "many"]) else {
        return;
    };
    open_live(&server, &browser, "#alerts");
    browser.wait("document.querySelectorAll('#alert-rows > a').length > 10");
    let rows = browser.run("return document.querySelectorAll('#alert-rows > a').length");
    assert!(rows.as_u64().is_some_and(|rows| rows < 100), "{rows}");
    browser.open(&server.url("#alerts?q=rule_77&severity=warning"));
    browser.wait("document.querySelectorAll('#alert-rows > a').length === 1");
}

#[test]
fn viewer_may_look_at_alerts_and_do_nothing() {
    let Some((server, browser)) = start(&["--role", "viewer"]) else {
        return;
    };
    open_live(&server, &browser, "#alerts");
    browser.wait("document.querySelector('.detail')?.innerText.includes('What happened')");
    let buttons = browser.run("return document.querySelectorAll('main .acts button').length");
    assert_eq!(buttons, json!(0));
}
