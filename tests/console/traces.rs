//! Traces: the list, the waterfall, what a span carries.

use serde_json::json;

use crate::{browser::Browser, open_live, start};

const MOCK: &str = "#traces/4bf92f3577b34da6a3ce929d0e0e4736";
const ROWS: &str = "document.querySelectorAll('#spans .span')";

fn names(browser: &Browser) -> Vec<String> {
    let names = browser.run(&format!(
        "return [...{ROWS}].map((each) => each.querySelector('.clip').innerText)"
    ));
    let names = names.as_array().expect("a list").clone();
    names
        .iter()
        .map(|name| name.as_str().expect("a text").to_owned())
        .collect()
}

#[test]
fn trace_is_a_waterfall_with_spans_that_collapse() {
    let Some((server, browser)) = start(&["--scenario", "incident"]) else {
        return;
    };
    open_live(&server, &browser, "#traces");
    browser.wait("document.querySelectorAll('#trace-rows tr').length === 3");
    browser.shot("traces-light");
    browser.run("[...document.querySelectorAll('#trace-rows a')].find((each) => each.innerText.includes('POST /pay')).click()");
    browser.wait(&format!("{ROWS}.length === 7"));
    browser.shot("trace-light");
    let expected = [
        "POST /pay",
        "authorize",
        "load_order",
        "payments",
        "POST payments",
        "POST payments",
        "refund_hold",
    ];
    assert_eq!(names(&browser), expected);
    assert!(browser.text("#spans").contains("attempt 2"));
    assert!(browser.text("#spans").contains("5 s · timed out"));
    browser.run(&format!("{ROWS}[3].querySelector('.fold').click()"));
    browser.wait(&format!("{ROWS}.length === 5"));
    assert_eq!(
        browser.run(&format!("return {ROWS}[3].getAttribute('aria-expanded')")),
        json!("false")
    );
    // Bars are where the times are: the second attempt begins after half of the time.
    browser.run(&format!("{ROWS}[3].querySelector('.fold').click()"));
    browser.wait(&format!("{ROWS}.length === 7"));
    let left = browser.run(&format!("return {ROWS}[5].querySelector('i').style.left"));
    assert_eq!(left.as_str().map(|left| &left[..4]), Some("53.4"), "{left}");
}

#[test]
fn span_shows_what_it_carries_and_leads_to_logs_and_errors() {
    let Some((server, browser)) = start(&["--scenario", "incident"]) else {
        return;
    };
    open_live(&server, &browser, MOCK);
    browser.wait(&format!("{ROWS}.length === 7"));
    browser.run(&format!("{ROWS}[4].click()"));
    browser
        .wait("document.querySelector('.detail')?.innerText.includes('http.response.status_code')");
    let detail = browser.text(".detail");
    for text in [
        "timed out",
        "504",
        "no answer yet",
        "waited=3",
        "src/pay.rs:118",
        "(not kept)",
    ] {
        assert!(detail.contains(text), "{text}: {detail}");
    }
    let links = browser.run("return [...document.querySelectorAll('.detail a')].map((each) => each.getAttribute('href'))");
    let links = links.to_string();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    for link in [
        format!("#logs?trace={trace}&span=0000000000000005"),
        "#errors?status=all&at=aaaa000000000001".to_owned(),
        format!("#traces/{}?at=0000000000000001", "d".repeat(32)),
    ] {
        assert!(links.contains(&link), "{link}: {links}");
    }
    assert_eq!(
        browser.run("return document.activeElement.className"),
        json!("card detail")
    );
    browser.shot("trace-detail");
    browser.press("\u{E00C}");
    browser.wait("!document.querySelector('.detail')");
}

#[test]
fn trace_is_walked_with_the_keyboard() {
    let Some((server, browser)) = start(&["--scenario", "incident"]) else {
        return;
    };
    open_live(&server, &browser, MOCK);
    browser.wait(&format!("{ROWS}.length === 7"));
    browser.run("document.querySelector('.waterfall').focus()");
    let selected = |index: usize| {
        browser.wait(&format!(
            "{ROWS}[{index}]?.getAttribute('aria-selected') === 'true'"
        ))
    };
    let [down, left, right] = ["\u{E015}", "\u{E012}", "\u{E014}"];
    for index in 0..=3 {
        browser.press(down);
        selected(index);
    }
    browser.press(left);
    browser.wait(&format!("{ROWS}.length === 5"));
    browser.press(right);
    browser.wait(&format!("{ROWS}.length === 7"));
    browser.press(right);
    selected(4);
    browser.press(left);
    selected(3);
    assert!(browser.run("return document.activeElement.matches('.waterfall')") == json!(true));
}

#[test]
fn trace_of_10000_spans_opens_in_a_second_with_few_rows() {
    let Some((server, browser)) = start(&["--scenario", "incident"]) else {
        return;
    };
    open_live(&server, &browser, "#traces");
    browser.wait("document.querySelectorAll('#trace-rows tr').length === 3");
    let opened = browser.run_async(&format!(
        "const begin = performance.now(); location.hash = '#traces/{}';
         while (!{ROWS}.length) await new Promise(requestAnimationFrame);
         return performance.now() - begin;",
        "b".repeat(32)
    ));
    println!("opened after {opened} ms");
    assert!(opened.as_f64().expect("a time") < 1_000.0, "{opened}");
    assert!(browser.text("main").contains("12 spans more did not fit"));
    browser.click("main", "Expand all");
    browser.wait("document.querySelector('.waterfall').getAttribute('aria-rowcount') === '10000'");
    // In parts, each of which a busy machine does in time: two frames for each step.
    let (mut most, mut blank) = (0, 0);
    for part in 0..5 {
        let scrolled = browser.run_async(&format!(
            "let most = 0, blank = 0; const end = () => document.documentElement.scrollHeight - innerHeight;
             for (let y = {part} * 30 * 1900, n = 0; y < end() && n < 30; y += 1900, n++) {{
               scrollTo(0, y);
               await new Promise(requestAnimationFrame); await new Promise(requestAnimationFrame);
               most = Math.max(most, {ROWS}.length);
               if (!document.elementFromPoint(700, 500)?.closest('.span')) blank++;
             }}
             return {{ most, blank }};"
        ));
        println!("{scrolled}");
        most = most.max(scrolled["most"].as_u64().expect("a count"));
        blank += scrolled["blank"].as_u64().expect("a count");
    }
    assert!((1..=200).contains(&most), "{most}");
    assert!(blank <= 2, "{blank}");
    // To the last row.
    browser.run("document.querySelector('.waterfall').focus()");
    browser.press("\u{E010}");
    browser
        .wait("document.querySelector('.span.sel')?.getBoundingClientRect().bottom < innerHeight");
    browser.shot("trace-10000");
}

#[test]
fn deep_trace_keeps_its_layout() {
    let Some((server, browser)) = start(&["--scenario", "incident"]) else {
        return;
    };
    for width in [1280, 320] {
        browser.resize(width, 800);
        open_live(&server, &browser, &format!("#traces/{}", "d".repeat(32)));
        browser.wait(&format!("{ROWS}.length > 20"));
        browser.run("scrollTo(0, document.documentElement.scrollHeight)");
        browser.wait(&format!(
            "[...{ROWS}].at(-1).innerText.includes('level 149')"
        ));
        let name = format!("[...{ROWS}].at(-1).querySelector('.clip').clientWidth");
        let width = browser.run(&format!(
            "return [{name}, document.documentElement.scrollWidth - innerWidth]"
        ));
        assert!(
            width[0].as_u64() > Some(20) && width[1] == json!(0),
            "{width}"
        );
    }
}

#[test]
fn zoom_is_in_the_address() {
    let Some((server, browser)) = start(&["--scenario", "incident"]) else {
        return;
    };
    open_live(&server, &browser, MOCK);
    browser.wait(&format!("{ROWS}.length === 7"));
    browser.run("document.querySelector('[aria-label=\"Zoom in\"]').click()");
    browser.wait("location.hash.includes('from=2512500') && location.hash.includes('to=7537500')");
    browser.wait("document.querySelector('.axis').innerText.includes('2.51 s')");
    browser.click("main", "Whole trace");
    browser.wait("!location.hash.includes('from=')");
}
