//! Live push over real connections.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::tungstenite::{Message, http::Request as WsRequest};
use tower_keep::{
    CircuitBreaker,
    ops::{
        Access, Ops,
        alerts::Rule,
        journal::{Event, EventKind, Severity},
    },
};
use tracing_subscriber::layer::SubscriberExt;

use super::{callsites::ask_all_subscribers, schema, support::*};

/// Returns the next frame.
async fn frame(socket: &mut Socket) -> Value {
    let next = async {
        loop {
            match socket
                .next()
                .await
                .expect("not the end")
                .expect("a message")
            {
                Message::Text(text) => return text,
                Message::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    let text = timeout(Duration::from_secs(30), next)
        .await
        .expect("a frame");
    let frame: Value = serde_json::from_str(&text).expect("json");
    schema::check(&openapi(), "Frame", &frame);
    frame
}

/// Returns the next frame of a type.
async fn frame_of(socket: &mut Socket, kind: &str) -> Value {
    loop {
        let frame = frame(socket).await;
        if frame["type"] == kind {
            return frame;
        }
    }
}

/// Returns the code with which the connection ends.
async fn close_code(socket: &mut Socket) -> Option<u16> {
    let next = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(close))) => return close.map(|close| close.code.into()),
                Some(Ok(_)) => {}
                _ => return None,
            }
        }
    };
    timeout(Duration::from_secs(60), next)
        .await
        .expect("an end")
}

async fn say(socket: &mut Socket, message: Value) {
    let sent = socket.send(Message::text(message.to_string())).await;
    sent.expect("sent");
}

fn custom(text: &str) -> Event {
    Event::new(EventKind::Custom, Severity::Info, "orders", text)
}

#[tokio::test]
async fn viewer_gets_all_first_then_ticks_with_points() {
    let console = Console::start(Ops::builder("orders")).await;
    let mut socket = console.watch(VIEWER, "every=1").await;
    let hello = frame(&mut socket).await;
    assert_eq!(
        (&hello["type"], &hello["schema"], &hello["every"]),
        (&json!("hello"), &json!(1), &json!(1))
    );
    for section in [
        "status",
        "overview",
        "routes",
        "guards",
        "health",
        "errors",
        "alerts",
        "workflows",
        "journal",
    ] {
        assert!(hello[section].is_object(), "{section}");
    }
    assert_eq!(
        (&hello["status"]["role"], &hello["status"]["service"]),
        (&json!("viewer"), &json!("orders"))
    );
    let tick = frame_of(&mut socket, "tick").await;
    assert_eq!(tick["points"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn change_of_a_state_is_pushed_at_once() {
    let console = Console::start(Ops::builder("orders")).await;
    let mut socket = console.watch(VIEWER, "every=60").await;
    frame(&mut socket).await;
    let breaker = CircuitBreaker::new("push: at once");
    breaker.force_open();
    // No tick is due for a minute.
    let change = loop {
        let change = frame_of(&mut socket, "change").await;
        let journal = change["journal"].as_array().expect("events");
        if journal
            .iter()
            .any(|event| event["subject"] == "push: at once")
        {
            break change;
        }
    };
    let guards = change["guards"]["guards"].as_array().expect("guards");
    let guard = guards.iter().find(|guard| guard["name"] == "push: at once");
    assert_eq!(guard.expect("it is there")["state"], "forced_open");
    let attention = change["status"]["attention"].as_array().expect("a list");
    assert!(attention.iter().any(|each| each["name"] == "push: at once"));
}

/// A change that came soon after another one had to wait for the tick of the viewer, which is a minute.
#[tokio::test]
async fn workflow_is_pushed_when_it_begins_and_when_it_ends() {
    let console = Console::start(Ops::builder("orders")).await;
    let mut socket = console.watch(VIEWER, "every=60&channels=workflows").await;
    frame(&mut socket).await;
    for _ in 0..2 {
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let import = console
            .ops
            .workflow("import")
            .run_display(|flow| async move {
                let load = async { ended.await.map_err(|_| "no disk") };
                flow.step("load").run_display(load).await
            });
        let import = tokio::spawn(import);
        wait_for_state(&mut socket, "running").await;
        drop(end);
        import.await.expect("no panic").expect_err("failed");
        let change = wait_for_state(&mut socket, "failed").await;
        assert_eq!(change["workflows"]["counts"]["running"], 0);
        assert!(change.get("guards").is_none() && change.get("journal").is_none());
    }
}

/// Returns the change in which the workflow that began last is in a state.
async fn wait_for_state(socket: &mut Socket, state: &str) -> Value {
    loop {
        let change = frame_of(socket, "change").await;
        if change["workflows"]["workflows"][0]["state"] == state {
            return change;
        }
    }
}

/// No tick is due for a minute.
#[tokio::test]
async fn alert_is_pushed_when_it_begins_when_it_is_acknowledged_and_when_it_ends() {
    let rule = Rule::breaker_open().keep_firing_for(Duration::ZERO);
    let builder = Ops::builder("orders").allow_control(true).rule(rule);
    let console = Console::start(builder).await;
    let mut socket = console.watch(VIEWER, "every=60&channels=alerts").await;
    frame(&mut socket).await;
    let breaker = CircuitBreaker::new("push: alert");
    breaker.force_open();
    let alert = wait_for_alert(&mut socket, Some("active"))
        .await
        .expect("it");
    let path = format!(
        "api/v1/alerts/{}/acknowledge",
        alert["fingerprint"].as_str().expect("a text")
    );
    let reason = json!({"reason": "on it"});
    assert_eq!(console.post(OPERATOR, &path, &reason).await.status(), 200);
    let alert = wait_for_alert(&mut socket, Some("acknowledged")).await;
    assert_eq!(alert.expect("it")["acknowledged"]["reason"], "on it");
    breaker.reset();
    wait_for_alert(&mut socket, None).await;
}

/// Waits for the change in which the alert about "push: alert" is in a state, or has ended.
async fn wait_for_alert(socket: &mut Socket, state: Option<&str>) -> Option<Value> {
    loop {
        let change = frame_of(socket, "change").await;
        let Some(alerts) = change["alerts"]["alerts"].as_array() else {
            continue;
        };
        // Breakers of other tests are in the same process.
        let alert = alerts.iter().find(|alert| {
            let summary = alert["summary"].as_str().unwrap_or_default();
            summary.contains("push: alert")
        });
        if alert.and_then(|alert| alert["state"].as_str()) == state {
            return alert.cloned();
        }
    }
}

#[tokio::test]
async fn traces_are_pushed_when_they_have_changed() {
    let builder = Ops::builder("orders").traces(|traces| traces.sample_rate(1.0));
    let console = Console::start(builder).await;
    let mut socket = console.watch(VIEWER, "every=1&channels=traces").await;
    let hello = frame(&mut socket).await;
    assert_eq!(hello["traces"], json!({"traces": [], "last": 0}));
    ask_all_subscribers();
    let kept = tracing_subscriber::registry().with(console.ops.layer());
    let kept = tracing::Dispatch::new(kept);
    for (name, last) in [("first", 1), ("second", 2)] {
        tracing::dispatcher::with_default(&kept, || {
            tracing::info_span!("job", otel.name = name).in_scope(|| tracing::error!("disk full"));
        });
        let traces = loop {
            let mut tick = frame_of(&mut socket, "tick").await;
            // Not there while nothing is new.
            if tick.get("traces").is_some() {
                break tick["traces"].take();
            }
        };
        let newest = &traces["traces"][0];
        assert_eq!(
            (&newest["name"], &traces["last"]),
            (&json!(name), &json!(last))
        );
        assert_eq!(
            (&newest["reason"], &newest["errors"]),
            (&json!("error"), &json!(1))
        );
    }
    let tick = frame_of(&mut socket, "tick").await;
    assert!(tick.get("traces").is_none(), "{tick}");
}

#[tokio::test]
async fn events_of_the_application_are_pushed_each_once_and_in_order() {
    let console = Console::start(Ops::builder("orders")).await;
    let mut socket = console.watch(VIEWER, "every=60&channels=journal").await;
    frame(&mut socket).await;
    let mut seen = Vec::new();
    for n in 0..500 {
        console.ops.journal().record(custom(&n.to_string()));
        if n % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let last = console.ops.journal().last();
    // Breakers of other tests are in the same process: what they do is in the journal as well.
    while seen.last() < Some(&last) {
        let change = frame_of(&mut socket, "change").await;
        let events = change["journal"].as_array().expect("events");
        assert!(events.len() <= 100);
        seen.extend(
            events
                .iter()
                .map(|event| event["seq"].as_u64().expect("a number")),
        );
    }
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
}

#[tokio::test]
async fn viewer_asks_for_status_channels_and_rate() {
    let console = Console::start(Ops::builder("orders")).await;
    let mut socket = console.watch(VIEWER, "every=60&channels=health").await;
    let hello = frame(&mut socket).await;
    assert!(hello.get("guards").is_none() && hello["health"].is_object());
    say(&mut socket, json!({"action": "get_status"})).await;
    let status = frame_of(&mut socket, "tick").await;
    assert!(status["status"].is_object() && status["health"].is_object());
    say(
        &mut socket,
        json!({"action": "subscribe", "channels": ["guards"]}),
    )
    .await;
    let guards = frame_of(&mut socket, "tick").await;
    assert!(guards["guards"].is_object() && guards.get("health").is_none());
    say(&mut socket, json!({"action": "set_every", "every": 1})).await;
    frame_of(&mut socket, "tick").await;
    // That of the next second.
    frame_of(&mut socket, "tick").await;
    for wrong in [
        json!({"action": "set_every", "every": 61}),
        json!([]),
        json!({"action": "stop"}),
    ] {
        say(&mut socket, wrong).await;
        let problem = frame_of(&mut socket, "problem").await;
        assert!(problem["detail"].is_string());
    }
    // Longer than any message that means something.
    say(&mut socket, json!({"action": "x".repeat(5_000)})).await;
    close_code(&mut socket).await;
}

#[tokio::test]
async fn events_have_the_same_frames() {
    let console = Console::start(Ops::builder("orders")).await;
    let stream = TcpStream::connect(console.address)
        .await
        .expect("a connection");
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io)
        .await
        .expect("HTTP");
    tokio::spawn(connection);
    let request = http::Request::get("/ops/api/v1/events?every=1")
        .header("host", "localhost")
        .header("authorization", format!("Bearer {VIEWER}"))
        .body(http_body_util::Empty::<bytes::Bytes>::new());
    let response = sender
        .send_request(request.expect("a request"))
        .await
        .expect("a response");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    assert_eq!(response.headers()["cache-control"], "no-cache");
    let mut body = response.into_body();
    let mut text = String::new();
    let mut frames = Vec::new();
    while frames.len() < 2 {
        let data = body.frame().await.expect("not the end").expect("data");
        text.push_str(&String::from_utf8_lossy(
            &data.into_data().expect("no trailers"),
        ));
        while let Some((event, rest)) = text.split_once("\n\n") {
            if let Some(data) = event.strip_prefix("data: ") {
                let frame: Value = serde_json::from_str(data).expect("json");
                schema::check(&openapi(), "Frame", &frame);
                frames.push(frame["type"].clone());
            }
            text = rest.to_owned();
        }
    }
    assert_eq!(frames[0], "hello");
    drop((body, sender));
    // It leaves its place.
    let console = Console::start(Ops::builder("orders").max_viewers(1)).await;
    console.watch(VIEWER, "").await;
}

#[tokio::test]
async fn viewers_beyond_the_limit_are_turned_away() {
    let console = Console::start(Ops::builder("orders").max_viewers(2)).await;
    let mut first = console.watch(VIEWER, "").await;
    let _second = console.watch(VIEWER, "").await;
    let third = console.get(VIEWER, "api/v1/events").await;
    problem(&third, 429);
    // As the page asks before it tries again.
    let token = bearer(VIEWER);
    let headers = [token.as_pair()];
    let asked = console.send(Method::HEAD, "api/v1/events", &headers, "");
    assert_eq!(asked.await.status(), 429);
    // A browser does not tell its page the status of an upgrade that was rejected, but the code of a close.
    let mut third = console.watch(VIEWER, "").await;
    assert_eq!(close_code(&mut third).await, Some(4429));
    first.close(None).await.expect("closed");
    drop(first);
    // As soon as the server has noticed.
    for _ in 0..1_000 {
        let mut socket = console.watch(VIEWER, "").await;
        match socket
            .next()
            .await
            .expect("not the end")
            .expect("a message")
        {
            Message::Close(_) => tokio::task::yield_now().await,
            _ => return,
        }
    }
    panic!("the place stays taken");
}

#[tokio::test]
async fn viewers_are_sent_away_when_the_process_shuts_down() {
    let console = Console::start(Ops::builder("orders")).await;
    let mut socket = console.watch(VIEWER, "every=60").await;
    frame(&mut socket).await;
    console.ops.health().begin_shutdown();
    assert_eq!(close_code(&mut socket).await, Some(1001));
    problem(&console.get(VIEWER, "api/v1/events").await, 503);
    // The rest is there until the end.
    let status = json(&console.get(VIEWER, "api/v1/status").await);
    assert_eq!(status["ready"], false);
}

#[tokio::test]
async fn session_that_ends_ends_its_connections() {
    let access = Access::login_links();
    let link = access.login_link().expect("random numbers");
    let console = Console::with_access(Ops::builder("orders"), access).await;
    let login = console.send(Method::GET, &link, &[], "").await;
    let cookie = login.headers()["set-cookie"]
        .to_str()
        .expect("text")
        .to_owned();
    let pair = cookie.split(';').next().expect("a pair").to_owned();
    let request = WsRequest::get(format!("ws://{}/ops/api/v1/live?every=1", console.address));
    let socket = connect(console.address, request.header("cookie", &pair)).await;
    let mut socket = socket.expect("a WebSocket");
    frame(&mut socket).await;
    console
        .send(Method::POST, "logout", &[("cookie", &pair)], "")
        .await;
    assert_eq!(close_code(&mut socket).await, Some(4401));
}

#[tokio::test]
async fn viewers_are_sent_away_with_the_last_clone() {
    let ops = Ops::builder("orders").build().expect("valid");
    ops.spawn();
    let app = axum::Router::new().nest_service("/ops", ops.console::<()>(access()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = axum::serve(listener, app).with_graceful_shutdown(async { _ = stopped.await });
    let server = tokio::spawn(async move { server.await });
    let console = Console { ops, address };
    let mut socket = console.watch(VIEWER, "every=60").await;
    frame(&mut socket).await;
    drop(console);
    drop(stop);
    server.await.expect("no panic").expect("served");
    assert_eq!(close_code(&mut socket).await, Some(1001));
}
