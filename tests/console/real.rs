//! The page with the real server, an application under load and an upstream that dies.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::Path,
    routing::{get, post},
};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use serde_json::json;
use tokio::runtime::Runtime;
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{
    Bulkhead, CircuitBreaker, RateLimit, observe,
    ops::{Access, Ops, health::Check},
};
use tracing_subscriber::layer::SubscriberExt;

use crate::browser::Browser;

const VIEWER: &str = "viewer-token-of-the-test";
const HOSTILE: &str = "<img src=x onerror=\"window.hacked=true\">";
/// Behind a proxy, as it were.
const PREFIX: &str = "/a/b/ops/";

/// An application with its console. One for all tests: the recorder is that of the process.
pub struct Real {
    address: SocketAddr,
    access: Access,
    app: Router,
    is_upstream_dead: Arc<AtomicBool>,
    /// Listed, and used by nobody.
    _limits: (Bulkhead, RateLimit),
    /// Held by a test: one of them stops the server.
    pub turn: Mutex<()>,
    /// The runtime that serves the application; the rest lives on without it.
    serving: Mutex<Option<Runtime>>,
}

impl Real {
    pub fn get() -> &'static Self {
        static REAL: OnceLock<Real> = OnceLock::new();
        REAL.get_or_init(Self::start)
    }

    fn start() -> Self {
        let is_upstream_dead = Arc::new(AtomicBool::new(false));
        let breaker = CircuitBreaker::builder("payments")
            .consecutive_failures(3)
            .open_time(Duration::from_secs(60))
            .build()
            .expect("the settings are valid");
        let access = Access::builder()
            .viewer_token(VIEWER)
            .build()
            .expect("the token is long enough");
        let ops = Ops::builder("shop")
            .check(Check::breaker(&breaker))
            .allow_control(true)
            .build()
            .expect("the settings are valid");
        // Of the process: whatever thread logs.
        let subscriber = tracing_subscriber::registry().with(ops.layer());
        tracing::subscriber::set_global_default(subscriber).expect("there is no other subscriber");
        let pay = {
            let is_dead = is_upstream_dead.clone();
            async move || pay(&breaker, &is_dead).await
        };
        let app = Router::new()
            .route("/orders/{id}", get(async || "an order"))
            .route("/said/{word}", get(say))
            .route("/pay", post(pay))
            .layer(observe("shop").server())
            .nest(PREFIX, ops.console(access.clone()));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let real = Real {
            address,
            access,
            app,
            is_upstream_dead,
            _limits: (Bulkhead::new("uploads"), RateLimit::new("searches")),
            turn: Mutex::default(),
            serving: Mutex::default(),
        };
        real.serve(listener);
        std::thread::spawn(move || {
            let runtime = Runtime::new().expect("there is a runtime");
            runtime.block_on(async move {
                ops.install().expect("there is no other recorder");
                load(address).await;
            });
        });
        real
    }

    fn serve(&self, listener: std::net::TcpListener) {
        listener
            .set_nonblocking(true)
            .expect("sockets can be nonblocking");
        let runtime = Runtime::new().expect("there is a runtime");
        let app = self.app.clone();
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("it is nonblocking");
            axum::serve(listener, app).await
        });
        *self.serving.lock().expect("no test panics with it") = Some(runtime);
    }

    /// Ends all connections and accepts no more.
    fn stop(&self) {
        let runtime = self.serving.lock().expect("no test panics with it").take();
        runtime
            .expect("it is serving")
            .shutdown_timeout(Duration::from_secs(10));
    }

    fn restart(&self) {
        self.serve(std::net::TcpListener::bind(self.address).expect("the port is still ours"));
    }

    fn url(&self, rest: &str) -> String {
        format!("http://{}{PREFIX}{rest}", self.address)
    }

    /// Logs an operator in and opens a view.
    pub fn open(&self, browser: &Browser, view: &str) {
        let link = self.access.login_link().expect("there are random numbers");
        browser.open(&self.url(&link));
        browser.wait("document.querySelector('.live.on')");
        browser.open(&self.url(view));
        browser.wait("document.querySelector('.live.on')");
    }
}

/// Logs a word in a call.
async fn say(Path(word): Path<String>) -> &'static str {
    tracing::warn!(target: "shop::said", password = "hunter2", html = HOSTILE, "somebody said {word}");
    "said"
}

/// Calls the upstream, guarded by the breaker.
async fn pay(breaker: &CircuitBreaker, is_dead: &Arc<AtomicBool>) -> StatusCode {
    let is_dead = is_dead.clone();
    let upstream = service_fn(move |_: Request<Empty<Bytes>>| {
        let result = if is_dead.load(Relaxed) {
            Err(io::Error::new(io::ErrorKind::ConnectionRefused, HOSTILE))
        } else {
            Ok(Response::new(Full::new(Bytes::from("paid"))))
        };
        std::future::ready(result)
    });
    let guarded = observe("payments")
        .client()
        .layer(breaker.layer().client().layer(upstream));
    let request = Request::post("http://payments/charge")
        .body(Empty::new())
        .expect("it is a request");
    match guarded.oneshot(request).await {
        Ok(response) => match response.into_body().collect().await {
            Ok(_) => StatusCode::OK,
            Err(_) => StatusCode::BAD_GATEWAY,
        },
        Err(_) => StatusCode::BAD_GATEWAY,
    }
}

/// Calls the application for as long as the process lives; while it is stopped the calls fail.
async fn load(address: SocketAddr) {
    let client = reqwest::Client::builder()
        .user_agent(HOSTILE)
        .build()
        .expect("there is a client");
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    loop {
        ticks.tick().await;
        let order = client.get(format!("http://{address}/orders/7")).send();
        let payment = client.post(format!("http://{address}/pay")).send();
        let _ = tokio::join!(order, payment);
    }
}

#[test]
fn real_console_moves_under_load_in_a_sub_path() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let real = Real::get();
    let _turn = real.turn.lock().unwrap_or_else(PoisonError::into_inner);
    real.open(&browser, "#overview");
    let last = "document.querySelector('.chart')?.$chart?.data[0].at(-1)";
    let before = browser.wait(last);
    browser.wait(&format!("{last} > {before}"));
    browser.wait("/^[\\d,.]+\\/s$/.test(document.querySelector('.fig .v').innerText)");
    for view in [
        "#routes", "#guards", "#errors", "#health", "#journal", "#calls", "#metrics",
    ] {
        browser.open(&real.url(view));
        browser.wait("document.querySelector('main').innerText.length > 20");
        browser.shot(&format!("real-{}", &view[1..]));
    }
    browser.open(&real.url("#guards"));
    browser.wait("document.querySelector('#guard-limits')");
    let limits = browser.text("#guard-limits");
    for text in ["bulkhead · 0 running", "0/25", "rate limit · 100/s", "/100"] {
        assert!(limits.contains(text), "{text}: {limits}");
    }
    let elsewhere = browser.run(&format!(
        "return performance.getEntriesByType('resource').map((each) => each.name)
           .filter((name) => !name.startsWith(location.origin + '{PREFIX}'))"
    ));
    assert_eq!(elsewhere, json!([]));
    assert_eq!(browser.log(), Vec::<String>::new());
}

#[test]
fn real_breaker_opens_when_its_upstream_dies_and_operators_alone_control_it() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let real = Real::get();
    let _turn = real.turn.lock().unwrap_or_else(PoisonError::into_inner);
    let state = "document.querySelector('.guard[aria-label$=payments] .pill').innerText";
    real.open(&browser, "#guards");
    browser.run("window.isSamePage = true");
    browser.wait(&format!("{state} === 'closed'"));
    real.is_upstream_dead.store(true, Relaxed);
    browser.wait(&format!("{state} === 'open'"));
    assert_eq!(browser.run("return window.isSamePage"), json!(true));
    browser.shot("real-open");

    let viewer = Browser::start().expect("there was one before");
    viewer.open(&real.url("login"));
    viewer.fill("input", VIEWER);
    viewer.click("form", "Sign in");
    viewer.wait("document.querySelector('.live.on')");
    viewer.open(&real.url("#guards"));
    viewer.wait(&format!("{state} === 'open'"));
    assert_eq!(
        viewer.run("return document.querySelectorAll('.acts').length"),
        json!(0)
    );
    // Nor by asking the server itself.
    let status = viewer.run_async(
        "const body = JSON.stringify({ action: 'hold_closed', seconds: 60, reason: 'a try' });
         const headers = { 'content-type': 'application/json' };
         return (await fetch('api/v1/guards/circuit_breaker/payments/control', { method: 'POST', headers, body })).status;",
    );
    assert_eq!(status, json!(403));

    browser.click(".guard[aria-label$=payments]", "Hold closed…");
    browser.fill("dialog [name=reason]", "the upstream is on its way back");
    browser.click("dialog", "Hold closed");
    browser.wait(&format!("{state} === 'disabled'"));
    viewer.wait(&format!("{state} === 'disabled'"));
    real.is_upstream_dead.store(false, Relaxed);
    browser.click(".guard[aria-label$=payments]", "Release");
    browser.fill("dialog [name=reason]", "it is back");
    browser.click("dialog", "Release");
    browser.wait(&format!("{state} === 'closed'"));
    browser.open(&real.url("#journal?kind=control"));
    browser.wait(
        "document.querySelector('main').innerText.includes('the upstream is on its way back')",
    );

    // The message of the upstream, which tries to be markup.
    browser.open(&real.url("#errors?status=all"));
    let group = "[...document.querySelectorAll('a.group')].find((each) => each.innerText.includes('ConnectionRefused'))";
    browser.wait(group);
    browser.run(&format!("{group}.click()"));
    browser.wait("document.querySelector('main').innerText.includes('<img src=x onerror=')");
    assert_eq!(
        browser.run("return document.querySelectorAll('img').length"),
        json!(0)
    );
    assert_eq!(browser.run("return window.hacked ?? null"), json!(null));
}

#[test]
fn real_operator_changes_a_setting_and_the_journal_has_both_values() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let real = Real::get();
    let _turn = real.turn.lock().unwrap_or_else(PoisonError::into_inner);
    real.open(&browser, "#guards?kind=circuit_breaker&name=payments");
    for (from, to) in [("3", "4"), ("4", "3")] {
        let shows = |value: &str| {
            let rows =
                "[...document.querySelectorAll('.settings .row')].map((each) => each.innerText)";
            let text = format!("consecutive failures\n1 to 10,000, or off\n{value}\nChange…");
            browser.wait(&format!("{rows}.includes({})", json!(text)));
        };
        shows(from);
        browser.run("document.querySelector('[aria-label=\"Change… consecutive failures of payments\"]').click()");
        browser.wait("document.querySelector('dialog[open]')");
        browser.fill("dialog [name=value]", to);
        browser.fill("dialog [name=reason]", "a test");
        browser.click("dialog", "Change");
        browser.wait("!document.querySelector('dialog')");
        shows(to);
    }
    browser.open(&real.url("#journal?kind=control&q=consecutive_failures"));
    browser.wait("document.querySelector('main').innerText.includes('consecutive_failures is 4, was 3: a test')");
    browser.run("document.querySelector('#journal-rows a').click()");
    browser.wait("document.querySelector('.detail')?.innerText.includes('4 → 3')");
}

#[test]
fn real_page_reconnects_when_the_server_is_back() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let real = Real::get();
    let _turn = real.turn.lock().unwrap_or_else(PoisonError::into_inner);
    real.open(&browser, "#overview");
    browser.wait("document.querySelector('.fig .v')");
    real.stop();
    browser.wait("document.querySelector('main.stale') && document.querySelector('.banner')");
    real.restart();
    browser.wait(
        "document.querySelector('.live.on') && !document.querySelector('main.stale, .banner')",
    );
}

#[test]
fn real_line_of_the_log_is_found_by_a_word_and_leads_to_its_trace() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let real = Real::get();
    let _turn = real.turn.lock().unwrap_or_else(PoisonError::into_inner);
    real.open(&browser, "#logs?tail=1&level=warn");
    browser.wait("document.querySelector('.tools')");
    let address = real.address;
    browser.run_async(&format!("await fetch('http://{address}/said/abracadabra')"));
    // It comes by itself.
    let messages = "[...document.querySelectorAll('#log-rows .ms')].map((each) => each.innerText)";
    browser.wait(&format!(
        "{messages}.some((each) => each.includes('somebody said abracadabra'))"
    ));
    browser.shot("real-logs");
    // It is found among the lines of all calls.
    browser.open(&real.url("#logs?q=abracadabra+-get"));
    browser.wait(&format!("{messages}.length === 1"));
    browser.run("document.querySelector('#log-rows .ms').click()");
    browser.wait("document.querySelector('.detail')?.innerText.includes('REDACTED')");
    let detail = browser.text(".detail");
    assert!(
        !detail.contains("hunter2") && detail.contains("<img src=x"),
        "{detail}"
    );
    assert_eq!(
        browser.run("return document.querySelectorAll('img').length"),
        json!(0)
    );
    browser.click(".detail", "Trace");
    browser.wait("location.hash.startsWith('#traces/')");
    browser.wait("document.querySelector('main').innerText.includes('/said/{word}')");
}
