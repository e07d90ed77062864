//! A headless Chromium, driven by Debian's `chromium-driver` over WebDriver.

use std::{
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::http::request;

/// The longest that a condition on the page is waited for.
const MAX_WAIT_MS: u64 = 20_000;
/// The time for which one script looks at a page, which may be left meanwhile.
const LOOK_MS: u64 = 1_000;

/// The drivers that are started at most until one has its port.
const MAX_DRIVERS: usize = 10;

/// A browser with one page. It ends when it is dropped.
pub struct Browser {
    driver: Child,
    server: SocketAddr,
    session: String,
}

impl Browser {
    /// Starts a browser, or returns `None` where there is none: not in CI, which must have one.
    pub fn start() -> Option<Self> {
        let Some((driver, server)) = start_driver() else {
            assert!(
                std::env::var_os("CONSOLE_REQUIRED").is_none(),
                "there is no chromedriver: apt-get install chromium-driver"
            );
            eprintln!("SKIPPED: there is no chromedriver here (Debian: chromium, chromium-driver)");
            return None;
        };
        let mut browser = Browser {
            driver,
            server,
            session: String::new(),
        };
        browser.open_session();
        browser.resize(1280, 800);
        Some(browser)
    }

    fn open_session(&mut self) {
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
        ];
        let capabilities = json!({
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "script": 2 * LOOK_MS },
        });
        let body = json!({ "capabilities": { "alwaysMatch": capabilities } });
        let (status, answer) =
            request(self.server, "POST", "/session", Some(&body)).expect("chromedriver answers");
        assert_eq!(status, 200, "{answer}");
        self.session = answer["value"]["sessionId"]
            .as_str()
            .expect("a session has an ID")
            .to_owned();
    }

    fn post(&self, command: &str, body: &Value) -> Value {
        let (status, mut answer) = self.send(command, body);
        assert_eq!(status, 200, "{command}: {}", answer["value"]["message"]);
        answer["value"].take()
    }

    fn send(&self, command: &str, body: &Value) -> (u16, Value) {
        let path = format!("/session/{}/{command}", self.session);
        request(self.server, "POST", &path, Some(body)).expect("chromedriver answers")
    }

    fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post(
            "goog/cdp/execute",
            &json!({ "cmd": command, "params": parameters }),
        )
    }

    /// Sets the size of the window in CSS pixels; headless windows themselves cannot be as narrow as telephones are.
    pub fn resize(&self, width: u32, height: u32) {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// Pretends that the user asked for something, as `("prefers-reduced-motion", "reduce")`.
    pub fn prefer(&self, feature: &str, value: &str) {
        let features = json!([{ "name": feature, "value": value }]);
        self.devtools(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        );
    }

    /// Opens an address and waits until it is loaded. Another part after `#` alone does not load anything.
    pub fn open(&self, url: &str) {
        self.post("url", &json!({ "url": url }));
    }

    /// Runs the body of a function and returns what it returns.
    pub fn run(&self, script: &str) -> Value {
        self.post("execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits, in the page, until an expression is true, and returns its value.
    ///
    /// # Panics
    ///
    /// If it does not become true in time; with what the page shows then.
    pub fn wait(&self, expression: &str) -> Value {
        let script = format!(
            "const done = arguments[0]; const until = performance.now() + {LOOK_MS};
             const look = () => {{
               let value; try {{ value = {expression}; }} catch (error) {{ value = undefined; }}
               if (value) done(value); else if (performance.now() > until) done(null); else setTimeout(look, 20);
             }};
             look();"
        );
        // A page that is left takes the script with it, and the next one is looked at anew.
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(MAX_WAIT_MS) {
            let look = json!({ "script": script, "args": [] });
            let (status, mut answer) = self.send("execute/async", &look);
            let value = answer["value"].take();
            if status == 200 && !value.is_null() {
                return value;
            }
        }
        panic!(
            "never true: {expression}\n{}\n{:#?}",
            self.text("body"),
            self.log()
        );
    }

    /// Runs an async function and returns what it resolves to.
    pub fn run_async(&self, script: &str) -> Value {
        let script = format!(
            "const done = arguments[0]; (async () => {{ {script} }})().then(done, (error) => done({{ error: String(error) }}));"
        );
        self.set_script_timeout(MAX_WAIT_MS);
        let value = self.post("execute/async", &json!({ "script": script, "args": [] }));
        self.set_script_timeout(2 * LOOK_MS);
        value
    }

    fn set_script_timeout(&self, millis: u64) {
        self.post("timeouts", &json!({ "script": millis }));
    }

    /// Returns the visible text of the first element that a selector finds.
    pub fn text(&self, selector: &str) -> String {
        let value = self.run(&format!(
            "return document.querySelector({})?.innerText ?? ''",
            json!(selector)
        ));
        value.as_str().unwrap_or_default().to_owned()
    }

    /// Waits for a button or link with this text below a selector, and clicks on it.
    pub fn click(&self, below: &str, text: &str) {
        let find = format!(
            "[...document.querySelectorAll({})].find((each) => each.innerText.trim() === {})",
            json!(format!("{below} :is(button, a)")),
            json!(text)
        );
        self.wait(&find);
        self.run(&format!("{find}.click()"));
    }

    /// Sets the value of a field as typing does.
    pub fn fill(&self, selector: &str, value: &str) {
        let (selector, value) = (json!(selector), json!(value));
        self.run(&format!(
            "const field = document.querySelector({selector}); field.value = {value};
             for (const name of ['input', 'change']) field.dispatchEvent(new Event(name, {{ bubbles: true }}));"
        ));
    }

    /// Presses a key and releases it.
    pub fn press(&self, key: &str) {
        let keys = json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        self.post(
            "actions",
            &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": keys }] }),
        );
    }

    /// Returns the errors and warnings that the browser wrote since the last call, violations of the policy among them.
    pub fn log(&self) -> Vec<String> {
        let entries = self.post("se/log", &json!({ "type": "browser" }));
        let entries = entries.as_array().cloned().unwrap_or_default();
        entries
            .iter()
            .map(|entry| entry["message"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// Writes a picture of the window into the folder that `CONSOLE_SHOTS` names, if it does.
    pub fn shot(&self, name: &str) {
        let Some(folder) = std::env::var_os("CONSOLE_SHOTS") else {
            return;
        };
        let picture = self.devtools("Page.captureScreenshot", json!({ "format": "png" }));
        let bytes = from_base64(picture["data"].as_str().unwrap_or_default());
        std::fs::create_dir_all(&folder).expect("the folder can be made");
        std::fs::write(Path::new(&folder).join(format!("{name}.png")), bytes)
            .expect("the folder can be written");
    }
}

/// Starts a driver, or returns `None` where none is installed.
///
/// A driver listens on one port of IPv4 and IPv6 and exits if either is taken, which a free port of IPv4 alone
/// does not rule out. Another port is tried then.
fn start_driver() -> Option<(Child, SocketAddr)> {
    let mut printed = Vec::new();
    for _ in 0..MAX_DRIVERS {
        let server = free_address();
        let mut driver = Command::new("chromedriver")
            .arg(format!("--port={}", server.port()))
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .ok()?;
        let output = driver.stdout.take().expect("it is piped");
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if line.contains("started successfully on port") {
                return Some((driver, server));
            }
            printed.push(line);
        }
        printed.push(format!("{:?}", driver.wait()));
    }
    panic!("no chromedriver started:\n{}", printed.join("\n"));
}

/// Returns an address of loopback that nothing listens on at this moment.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listener.local_addr().expect("it is bound")
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser first: it would outlive its driver.
        let _ = request(
            self.server,
            "DELETE",
            &format!("/session/{}", self.session),
            None,
        );
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Decodes what chromedriver encoded.
fn from_base64(text: &str) -> Vec<u8> {
    let value = |byte| match byte {
        b'A'..=b'Z' => u32::from(byte - b'A'),
        b'a'..=b'z' => u32::from(byte - b'a') + 26,
        b'0'..=b'9' => u32::from(byte - b'0') + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u32> = text.trim_end_matches('=').bytes().map(value).collect();
    let group = |group: &[u32]| {
        let bits = group.iter().fold(0, |bits, digit| bits << 6 | digit) << (6 * (4 - group.len()));
        bits.to_be_bytes()[1..group.len()].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}
