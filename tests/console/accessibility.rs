//! The page for people who cannot see colors, use a mouse or bear motion.

use std::path::Path;

use serde_json::{Value, json};

use crate::{VIEWS, browser::Browser, open_live, start};

/// Returns the source of axe-core: the file that `AXE_JS` names, or the one that `.ci/console` unpacks.
fn axe() -> Option<String> {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/console/package/axe.min.js");
    let path = std::env::var_os("AXE_JS").map_or(unpacked, Into::into);
    let source = std::fs::read_to_string(path).ok();
    if source.is_none() {
        assert!(
            std::env::var_os("CONSOLE_REQUIRED").is_none(),
            "there is no axe-core: .ci/console"
        );
        eprintln!("SKIPPED: there is no axe-core here (.ci/console)");
    }
    source
}

/// The findings of axe-core on pages, each with its name: all of it is reported at once.
struct Audit<'a> {
    browser: &'a Browser,
    axe: &'a str,
    found: Vec<Value>,
}

impl Audit<'_> {
    fn check(&mut self, page: &str) {
        self.browser.run(self.axe);
        let found = self.browser.run_async(
            "const { violations } = await axe.run(document, { resultTypes: ['violations'] });
             return violations.map((each) => [each.id, ...each.nodes.map((node) => node.html.slice(0, 200))]);",
        );
        let found = found.as_array().expect("a list of violations");
        self.found
            .extend(found.iter().map(|violation| json!([page, violation])));
    }

    fn finish(self) {
        assert_eq!(self.found, Vec::<Value>::new());
    }
}

#[test]
fn axe_finds_no_violation_in_light_and_dark() {
    let Some(axe) = axe() else { return };
    let Some((server, browser)) = start(&["--scenario", "incident"]) else {
        return;
    };
    let mut audit = Audit {
        browser: &browser,
        axe: &axe,
        found: Vec::new(),
    };
    for theme in ["light", "dark"] {
        for (view, width) in VIEWS
            .iter()
            .map(|view| (*view, 1280))
            .chain([("#overview", 320), ("#guards", 320)])
        {
            browser.resize(width, 800);
            open_live(&server, &browser, &format!("?theme={theme}{view}"));
            browser.wait("document.querySelector('main').innerText.length > 20");
            audit.check(&format!("{theme} {view} {width}"));
        }
        browser.resize(1280, 800);
        browser.press("?");
        browser.wait("document.querySelector('dialog[open]')");
        audit.check(&format!("{theme} help"));
        browser.press("\u{E00C}");
        browser.open(&server.url(&format!("?theme={theme}#guards")));
        browser.click(".guard", "Hold open…");
        audit.check(&format!("{theme} dialog"));
        browser.click("dialog", "Cancel");
        browser.click(".row", "Resize…");
        audit.check(&format!("{theme} setting"));
        browser.open(&server.url(&format!("login?theme={theme}")));
        audit.check(&format!("{theme} login"));
    }
    audit.finish();
}

#[test]
fn axe_finds_no_violation_without_data_and_with_much_of_it() {
    let Some(axe) = axe() else { return };
    for scenario in ["empty", "many", "long"] {
        let Some((server, browser)) = start(&["--scenario", scenario, "--role", "viewer"]) else {
            return;
        };
        let mut audit = Audit {
            browser: &browser,
            axe: &axe,
            found: Vec::new(),
        };
        for view in VIEWS {
            open_live(&server, &browser, view);
            audit.check(&format!("{scenario} {view}"));
        }
        audit.finish();
    }
}

#[test]
fn keyboard_alone_reaches_everything() {
    let Some((server, browser)) = start(&["--scenario", "incident"]) else {
        return;
    };
    open_live(&server, &browser, "#overview");
    // The first stop leads past the navigation.
    browser.press("\u{E004}");
    assert_eq!(browser.text(":focus"), "Skip to the content");
    browser.press("\u{E007}");
    browser.wait("document.activeElement.id === 'main'");
    browser.press("3");
    browser.wait("location.hash === '#guards' && document.querySelector('main .filter')");
    browser.press("/");
    browser.wait("document.activeElement.matches('.filter')");
    browser.press("\u{E00C}");
    browser.wait("document.activeElement === document.body");
    // Every control of the view is a stop, in the order of the document, and none is skipped or a trap.
    let stops = browser.run(
        "return [...document.querySelectorAll('a[href], button, input, select')].filter((each) => each.tabIndex < 0).length",
    );
    assert_eq!(stops, json!(0));
    browser.run("document.querySelector('.guard .btn').focus()");
    browser.press("\u{E007}");
    browser.wait("document.querySelector('dialog[open]')?.contains(document.activeElement)");
    browser.press("\u{E00C}");
    browser.wait("!document.querySelector('dialog')");
    // The focus stays where it is while the page is drawn again.
    browser.run(
        "const link = document.querySelector('.guard a'); link.focus(); window.focused = link;",
    );
    server.trip("quotes");
    browser.wait("document.querySelector('.guard[aria-label$=quotes] .pill').innerText === 'open'");
    assert_eq!(
        browser.run("return document.activeElement === window.focused"),
        json!(true)
    );
}

#[test]
fn reduced_motion_stops_what_moves() {
    let Some((server, browser)) = start(&["--scenario", "calm"]) else {
        return;
    };
    browser.prefer("prefers-reduced-motion", "reduce");
    open_live(&server, &browser, "#overview");
    assert_eq!(
        browser.run("return document.getAnimations().length"),
        json!(0)
    );
    browser.prefer("prefers-reduced-motion", "no-preference");
    browser.wait("document.getAnimations().length > 0");
}
