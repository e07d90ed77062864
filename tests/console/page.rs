//! The contents of the page.

use serde_json::json;

use crate::{VIEWS, open_live, start};

#[test]
fn overview_says_what_needs_attention_and_has_figures_and_charts() {
    let Some((server, browser)) = start(&["--scenario", "incident"]) else {
        return;
    };
    open_live(&server, &browser, "#overview");
    browser.wait("document.querySelectorAll('.chart canvas').length === 2");
    let attention = browser.text(".now");
    assert!(attention.contains("2 things need attention"), "{attention}");
    assert!(
        attention.contains("Circuit payments is open for another"),
        "{attention}"
    );
    let figures = browser
        .run("return [...document.querySelectorAll('.fig .v')].map((each) => each.innerText)");
    assert_eq!(figures, json!(["1,280/s", "2.41%", "184ms", "37"]));
    let names = browser
        .run("return [...document.querySelectorAll('.fig .k')].map((each) => each.innerText)");
    let expected = ["Calls", "Errors", "Latency p95"].map(|name| format!("{name} · last 10 s"));
    assert_eq!(
        names,
        json!([&expected[..], &["In flight".to_owned()]].concat())
    );
    let change = browser.run(
        r"return [...document.querySelectorAll('.fig .d')].slice(0, 2).map((each) => / since \d\d:\d\d$/.test(each.innerText))",
    );
    assert_eq!(change, json!([true, true]));
    assert_eq!(
        browser.run("return document.title"),
        json!("(2) Overview · orders")
    );
    browser.shot("overview-light");
    browser.press("t");
    browser.wait("document.documentElement.dataset.theme === 'dark'");
    browser.shot("overview-dark");
}

#[test]
fn overview_says_in_one_line_that_all_is_well() {
    let Some((server, browser)) = start(&["--scenario", "calm"]) else {
        return;
    };
    open_live(&server, &browser, "#overview");
    assert_eq!(
        browser.text(".now.ok"),
        "All is well. 5 components healthy, 13 guards."
    );
}

#[test]
fn views_without_data_say_so() {
    let Some((server, browser)) = start(&["--scenario", "empty"]) else {
        return;
    };
    open_live(&server, &browser, "#overview");
    assert!(browser.text("main").contains("No calls yet."));
    for (view, text) in [
        ("#routes", "No calls in this range."),
        ("#guards", "No guards are registered."),
        ("#errors", "No open errors."),
        ("#health", "No health checks are configured."),
        ("#calls", "No call is in flight."),
        ("#logs", "Nothing was logged yet"),
    ] {
        browser.open(&server.url(view));
        browser.wait(&format!(
            "document.querySelector('main').innerText.includes({})",
            json!(text)
        ));
    }
}

#[test]
fn views_load_nothing_from_elsewhere_and_break_no_policy() {
    let Some((server, browser)) = start(&["--prefix", "/a/b/ops/"]) else {
        return;
    };
    for view in VIEWS {
        open_live(&server, &browser, view);
        let elsewhere = browser.run(
            "return performance.getEntriesByType('resource').map((each) => each.name)
               .filter((name) => !name.startsWith(location.origin + '/a/b/ops/'))",
        );
        assert_eq!(elsewhere, json!([]), "{view}");
    }
    assert_eq!(browser.log(), Vec::<String>::new());
}

#[test]
fn chart_moves_within_two_ticks() {
    let Some((server, browser)) = start(&["--scenario", "incident"]) else {
        return;
    };
    open_live(&server, &browser, "#overview");
    let last = "document.querySelector('.chart')?.$chart?.data[0].at(-1)";
    let before = browser.wait(last);
    let after = browser.wait(&format!("{last} > {before} && {last}"));
    // A tick is two seconds by default: two of them bring four points at most.
    let moved = after.as_f64().expect("it is a time") - before.as_f64().expect("it is a time");
    assert!((1.0..=4.0).contains(&moved), "moved by {moved} s");
}

#[test]
fn breaker_card_turns_open_without_a_reload() {
    let Some((server, browser)) = start(&["--scenario", "calm"]) else {
        return;
    };
    open_live(&server, &browser, "#guards");
    browser.run("window.isSamePage = true");
    let state = "document.querySelector('.guard[aria-label$=quotes] .pill').innerText";
    browser.wait(&format!("{state} === 'closed'"));
    server.trip("quotes");
    browser.wait(&format!("{state} === 'open'"));
    assert_eq!(browser.run("return window.isSamePage"), json!(true));
    browser.open(&server.url("#journal"));
    browser.wait("document.querySelector('main').innerText.includes('quotes: closed → open')");
}

#[test]
fn text_from_elsewhere_stays_text() {
    let Some((server, browser)) = start(&["--scenario", "hostile"]) else {
        return;
    };
    for view in [
        "#overview",
        "#routes",
        "#guards",
        "#errors",
        "#traces",
        "#traces/4bf92f3577b34da6a3ce929d0e0e4736?at=0000000000000001",
        "#health",
        "#journal",
        "#journal?at=18",
    ] {
        open_live(&server, &browser, view);
        browser.wait("document.querySelector('main').innerText.includes('<img src=x onerror=')");
        assert_eq!(
            browser.run("return document.querySelectorAll('img').length"),
            json!(0),
            "{view}"
        );
        assert_eq!(
            browser.run("return window.hacked ?? null"),
            json!(null),
            "{view}"
        );
    }
}

#[test]
fn long_lists_have_only_the_rows_in_view_in_the_document() {
    let Some((server, browser)) = start(&["--scenario", "many"]) else {
        return;
    };
    for (view, total) in [
        ("#routes", "200 · last 5 minutes"),
        ("#guards", "500 guards"),
        ("#journal", "900 events"),
    ] {
        open_live(&server, &browser, view);
        browser.wait(&format!(
            "document.querySelector('main').innerText.includes({})",
            json!(total)
        ));
        // Each frame of a fast scroll through all of it: how much there is, and whether a row is in the middle of the window.
        let result = browser.run_async(
            "let elements = 0, blank = 0; const end = () => document.documentElement.scrollHeight - innerHeight;
             const times = []; let before = performance.now();
             for (let y = 0; y < end() && times.length < 200; y += 120) {
               scrollTo(0, y);
               await new Promise(requestAnimationFrame);
               times.push(performance.now() - before); before = performance.now();
               elements = Math.max(elements, document.querySelectorAll('*').length);
               const middle = document.elementFromPoint(700, 500);
               if (!middle || middle.closest('.spacer')) blank++;
             }
             times.sort((a, b) => a - b);
             return { elements, blank, frames: times.length, median: times[times.length >> 1], slowest: times.at(-1) };",
        );
        println!("{view}: {result}");
        assert!(
            result["elements"].as_u64().expect("it is a count") < 2_000,
            "{view}: {result}"
        );
        assert!(
            result["blank"].as_u64().expect("it is a count") <= 2,
            "{view}: {result}"
        );
    }
}

#[test]
fn calls_have_their_kind_and_those_that_were_missed_are_counted() {
    let Some((server, browser)) = start(&["--scenario", "many"]) else {
        return;
    };
    open_live(&server, &browser, "#calls?q=charge");
    browser.wait("document.querySelector('#call-rows')");
    assert!(browser.text("#call-rows").contains("client"));
    assert!(
        browser
            .text("main")
            .contains("Since the start 1,312 calls were not watched")
    );
    browser.fill("main .filter", "operation");
    browser.wait("document.querySelector('#call-rows')?.innerText.includes('reindex')");
}

#[test]
fn strip_begins_with_the_start_of_a_young_process() {
    let ends = "document.querySelector('.strip-ends').innerText.split(/\\s+/).map((each) => each.split(':')).map(([h, m]) => 60 * h + 1 * m)";
    let minutes = format!("(([from, to]) => (to - from + 1440) % 1440)({ends})");
    for (uptime, expected, label) in [("180", 2..=4, "Last 3"), ("100000", 60..=60, "Last 1 h")] {
        let Some((server, browser)) = start(&["--uptime", uptime]) else {
            return;
        };
        open_live(&server, &browser, "#guards");
        browser.wait("document.querySelector('.strip-ends')");
        let found = browser.run(&format!("return {minutes}"));
        assert!(
            expected.contains(&found.as_u64().expect("minutes")),
            "{uptime}: {found}"
        );
        let text = browser.run("return document.querySelector('.strip').title");
        assert!(text.as_str().expect("a text").starts_with(label), "{text}");
    }
}

#[test]
fn narrow_page_does_not_scroll_sideways() {
    let Some((server, browser)) = start(&["--scenario", "long"]) else {
        return;
    };
    browser.resize(320, 700);
    for view in VIEWS {
        open_live(&server, &browser, view);
        browser.wait("document.querySelector('main').innerText.length > 20");
        let too_wide = browser.run("return document.documentElement.scrollWidth - innerWidth");
        assert_eq!(too_wide, json!(0), "{view}");
        browser.shot(&format!(
            "narrow-{}",
            view.trim_start_matches('#')
                .split('?')
                .next()
                .unwrap_or_default()
                .replace('/', "-")
        ));
    }
}

#[test]
fn address_has_range_filter_and_selection() {
    let Some((server, browser)) = start(&["--scenario", "incident"]) else {
        return;
    };
    open_live(&server, &browser, "#routes");
    browser.click("header", "1 h");
    browser.fill("main .filter", "pay");
    browser.wait("document.querySelectorAll('#route-rows tr').length === 1");
    browser.run("document.querySelector('#route-rows a').click()");
    browser.wait("document.querySelector('.detail')");
    let address = browser.run("return location.hash");
    let address = address.as_str().expect("it is a text").to_owned();
    open_live(&server, &browser, &address);
    browser.wait("document.querySelector('.detail')");
    assert_eq!(
        browser.run("return document.querySelector('main .filter').value"),
        json!("pay")
    );
    assert!(browser.text("main").contains("last hour"));
    browser.press("\u{E00C}");
    browser.wait("!document.querySelector('.detail')");
}

#[test]
fn legend_has_a_dash_where_there_are_no_calls_now() {
    let Some((server, browser)) = start(&["--scenario", "idle"]) else {
        return;
    };
    open_live(&server, &browser, "#overview");
    browser.wait("document.querySelectorAll('.chart canvas').length === 2");
    let legend = browser.run(
        "return [...document.querySelectorAll('.legend')].at(-1).innerText.split(/\\s+/).join(' ')",
    );
    assert_eq!(legend, json!("p50 – p95 – p99 –"));
}

#[test]
fn marks_that_are_near_to_each_other_have_one_text() {
    let Some((server, browser)) = start(&["--scenario", "long"]) else {
        return;
    };
    open_live(&server, &browser, "#overview");
    browser.wait("document.querySelectorAll('.chart canvas').length === 2");
    // uPlot draws in a microtask: nothing that the server sends comes in between.
    let texts = browser.run_async(
        "const { prototype } = CanvasRenderingContext2D; const { fillText } = prototype; let count = 0;
         prototype.fillText = function (text, ...rest) {
           if (text === 'payments open') count++;
           return fillText.call(this, text, ...rest);
         };
         document.querySelector('.chart').$chart.redraw();
         for (let i = 0; i < 5; i++) await new Promise(queueMicrotask);
         prototype.fillText = fillText;
         return count;",
    );
    assert_eq!(texts, json!(1));
}

#[test]
fn routes_tell_those_that_are_not_shown_from_calls_that_are_missing() {
    let Some((server, browser)) = start(&["--scenario", "many"]) else {
        return;
    };
    open_live(&server, &browser, "#routes");
    let text = browser.text("main");
    for expected in [
        "There are more than are shown",
        "Calls are missing from these numbers: 12 series have no history",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn logins_are_found_and_examples_of_queries_have_names_that_there_are() {
    let Some((server, browser)) = start(&["--scenario", "calm"]) else {
        return;
    };
    open_live(&server, &browser, "#journal");
    browser.click(".tools", "Logins");
    browser.wait("location.hash.includes('kind=login')");
    open_live(&server, &browser, "#metrics?name=http_requests_total");
    browser.wait("document.querySelector('.query input')");
    let hints = browser.run(
        "return [...document.querySelectorAll('.query input')].map((each) => each.placeholder)",
    );
    assert_eq!(hints, json!(["http_route, outcome", "kind=server"]));
}
