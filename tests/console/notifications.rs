//! The channels, their messages, the test button and dead letters.

use serde_json::json;

use crate::{open_live, start};

#[test]
fn notifications_show_how_channels_do_and_what_was_given_up() {
    let Some((server, browser)) = start(&["--scenario", "incident"]) else {
        return;
    };
    open_live(&server, &browser, "#notifications?channel=slack");
    browser.wait("document.querySelector('main').innerText.includes('Messages of slack')");
    browser.shot("notifications");
    let page = browser.text("main");
    for text in [
        "routing key …cdef",
        "1 dead letter",
        "2 failures",
        "not used yet",
        "responds 404: no_service",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    browser.click("main", "Dead letters");
    browser.wait("document.querySelectorAll('main section .row .pill.bad').length > 0 && !document.querySelector('main').innerText.includes('cancelled')");
    browser.click("main", "Send again…");
    browser.fill("dialog [name=reason]", "the webhook is new");
    browser.click("dialog", "Send");
    browser.wait("!document.querySelector('dialog')");
    browser.wait("document.querySelector('main').innerText.includes('no dead letters')");
}

#[test]
fn channel_test_stays_with_the_error_of_what_was_not_delivered() {
    let Some((server, browser)) = start(&["--scenario", "incident"]) else {
        return;
    };
    open_live(&server, &browser, "#notifications");
    browser.wait("document.querySelector('main .row .btn')");
    browser.click("main .row", "Test…");
    browser.fill("dialog [name=reason]", "a drill");
    browser.click("dialog", "Send");
    browser.wait("document.querySelector('dialog [role=alert]')?.innerText.includes('It was not delivered: responds 404')");
}

#[test]
fn viewer_of_notifications_has_no_buttons() {
    let Some((server, browser)) = start(&["--scenario", "calm", "--role", "viewer"]) else {
        return;
    };
    open_live(&server, &browser, "#notifications");
    browser.wait("document.querySelector('main .row')");
    let buttons = "return document.querySelectorAll('main .row .btn').length";
    assert_eq!(browser.run(buttons), json!(0));
}
