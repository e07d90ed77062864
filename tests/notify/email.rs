//! A real SMTP server: aiosmtpd, which `.ci/notify` installs. Python's own parser reads what it got.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::ChildStdout;
use tower_keep::ops::{
    Ops,
    notify::{Email, EventNotice},
};

use super::{nobody::nobody, support::*};

/// Returns a program, or says loudly that a test is skipped. In CI it must be there.
pub fn installed(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    if found.is_none() {
        assert!(
            std::env::var_os("TOWER_KEEP_NOTIFY").is_none(),
            "{name} is missing: see .ci/notify"
        );
        eprintln!("SKIPPED: {name} is not installed, see .ci/notify");
    }
    found
}

/// Returns a Python that has aiosmtpd: first the one of the system, for which Debian has it.
fn python() -> Option<&'static str> {
    let has_it = |python: &&str| {
        let mut check = Command::new(python);
        let check = check.args(["-c", "import aiosmtpd"]);
        let status = check.stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    ["/usr/bin/python3", "python3"].into_iter().find(has_it)
}

/// A server that prints each mail that it gets as a line of JSON.
const SERVER: &str = r#"
import asyncio, email, email.policy, json, ssl, sys
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

class Handler:
    seen = 0
    async def handle_DATA(self, server, session, envelope):
        Handler.seen += 1
        if Handler.seen == 1 and "fail-first" in sys.argv:
            return "451 try again"
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        print(json.dumps({
            "from": envelope.mail_from, "to": envelope.rcpt_tos, "headers": dict(mail.items()),
            "tls": session.ssl is not None, "user": getattr(session, "user", None),
            "parts": [{"type": part.get_content_type(), "content": part.get_content()} for part in mail.iter_parts()],
            "kind": mail.get_content_type(), "defects": [str(defect) for defect in mail.defects],
        }), flush=True)
        return "250 OK"

def authenticator(server, session, envelope, mechanism, data):
    session.user = data.login.decode()
    return AuthResult(success=data.password == b"hunter2hunter2")

async def main():
    context = None
    if "tls" in sys.argv:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[2], sys.argv[3])
    loop = asyncio.get_running_loop()
    make = lambda: SMTP(Handler(), tls_context=context, require_starttls=context is not None, authenticator=authenticator if context else None, auth_required=context is not None)
    server = await loop.create_server(make, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"#;

struct Server {
    child: tokio::process::Child,
    lines: Lines<BufReader<ChildStdout>>,
    port: u16,
}

impl Server {
    async fn start(args: &[&str]) -> Option<Self> {
        let Some(python) = python() else {
            let is_ci = std::env::var_os("TOWER_KEEP_NOTIFY").is_some();
            assert!(!is_ci, "aiosmtpd is missing: see .ci/notify");
            eprintln!("SKIPPED: aiosmtpd is not installed, see .ci/notify");
            return None;
        };
        let mut child = tokio::process::Command::new(python)
            .args(["-c", SERVER])
            .args(args)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let port = within(lines.next_line())
            .await
            .expect("a line")
            .expect("a port");
        let port = port.parse().expect("a port");
        Some(Server { child, lines, port })
    }

    async fn mail(&mut self) -> Value {
        let line = within(self.lines.next_line())
            .await
            .expect("a line")
            .expect("a mail");
        serde_json::from_str(&line).expect("JSON")
    }
}

fn email(port: u16) -> tower_keep::ops::notify::ChannelBuilder<Email> {
    let email = Email::unencrypted("127.0.0.1")
        .port(port)
        .from("Orders <orders@example.org>");
    eager(
        email
            .to("oncall@example.org")
            .to("Mira Büro <mira@example.org>"),
    )
}

#[tokio::test]
async fn mail_has_two_parts_and_is_in_the_thread_of_its_alerts() {
    let Some(mut server) = Server::start(&["plain"]).await else {
        return;
    };
    let bench = Bench::start(
        Ops::builder("orders")
            .external_url("https://ops.example/ops")
            .notify(email(server.port)),
    );
    bench.ops.notify(firing("größe"));
    let first = server.mail().await;
    bench.delivery("email", "delivered").await;
    bench.ops.notify(resolved("größe"));
    let second = server.mail().await;
    assert_eq!(
        first["to"],
        serde_json::json!(["oncall@example.org", "mira@example.org"])
    );
    assert_eq!(
        (&first["from"], &first["kind"]),
        (
            &"orders@example.org".into(),
            &"multipart/alternative".into()
        )
    );
    assert_eq!(first["defects"], serde_json::json!([]));
    let headers = &first["headers"];
    assert_eq!(headers["Subject"], "[CRITICAL] größe is firing on orders");
    assert_eq!(headers["Auto-Submitted"], "auto-generated");
    let types: Vec<_> = first["parts"]
        .as_array()
        .expect("parts")
        .iter()
        .map(|part| part["type"].clone())
        .collect();
    assert_eq!(types, ["text/plain", "text/html"]);
    let text = first["parts"][0]["content"].as_str().expect("a text");
    assert!(
        text.contains("error ratio of POST /pay is 0.12") && text.contains("route: POST /pay"),
        "{text}"
    );
    let html = first["parts"][1]["content"].as_str().expect("a text");
    assert!(
        html.contains("größe is firing</h1>") && html.contains("https:&#x2f;&#x2f;wiki.example"),
        "{html}"
    );
    assert_eq!(headers["References"], second["headers"]["References"]);
    assert_eq!(headers["In-Reply-To"], second["headers"]["In-Reply-To"]);
    assert_ne!(headers["Message-ID"], second["headers"]["Message-ID"]);
    assert_eq!(
        second["headers"]["Subject"],
        "[RESOLVED] größe is resolved on orders"
    );
    let _ = server.child.start_kill();
}

#[tokio::test]
async fn mail_that_is_refused_for_now_is_sent_again_under_its_id() {
    let Some(mut server) = Server::start(&["fail-first"]).await else {
        return;
    };
    let bench = Bench::start(Ops::builder("orders").notify(email(server.port)));
    bench.ops.notify(EventNotice::deployment_started("2.14.0"));
    let mail = server.mail().await;
    let delivery = bench.delivery("email", "delivered").await;
    assert_eq!(
        (&delivery["attempts"], &delivery["tries"][0]["status"]),
        (&2.into(), &451.into())
    );
    let id = delivery["id"].as_str().expect("an ID");
    assert_eq!(mail["headers"]["Message-ID"], format!("<{id}@example.org>"));
    assert_eq!(
        mail["headers"].get("References"),
        None,
        "events have no thread"
    );
}

#[tokio::test]
async fn server_that_is_not_there_is_tried_again() {
    let bench = Bench::start(Ops::builder("orders").notify(email(nobody().port())));
    bench.ops.notify(firing("pay"));
    let delivery = bench.delivery("email", "retrying").await;
    let error = delivery["error"].as_str().expect("an error");
    assert!(error.to_lowercase().contains("connection"), "{error}");
    // Nobody has heard of it.
    bench.ops.notify(resolved("pay"));
    bench.delivery("email", "cancelled").await;
}

/// The certificate is made by `.ci/notify`, which sets `SSL_CERT_FILE` to its authority.
#[tokio::test]
async fn credentials_are_sent_over_starttls_to_a_server_that_is_trusted() {
    let folder = std::env::var("TOWER_KEEP_NOTIFY")
        .ok()
        .filter(|folder| folder.contains('/'));
    let Some(folder) = folder else {
        eprintln!("SKIPPED: there is no certificate, see .ci/notify");
        return;
    };
    let (cert, key) = (
        format!("{folder}/server.pem"),
        format!("{folder}/server.key"),
    );
    let Some(mut server) = Server::start(&["tls", &cert, &key]).await else {
        return;
    };
    let channel = |host: &str| {
        let email = Email::starttls(host)
            .port(server.port)
            .credentials("orders", "hunter2hunter2");
        eager(email.from("orders@example.org").to("oncall@example.org"))
    };
    let builder = Ops::builder("orders")
        .notify(channel("localhost"))
        // Not the name in the certificate.
        .notify(channel("127.0.0.1").named("stranger"));
    let bench = Bench::start(builder);
    bench.ops.notify(EventNotice::deployment_started("2"));
    let mail = server.mail().await;
    assert_eq!(
        (&mail["tls"], &mail["user"]),
        (&true.into(), &"orders".into())
    );
    let delivery = bench.delivery("stranger", "retrying").await;
    let error = delivery["error"].as_str().expect("an error");
    assert!(
        !error.contains("hunter2") && error.to_lowercase().contains("certificate"),
        "{error}"
    );
    // One that offers no TLS gets nothing, and no password.
    let Some(plain) = Server::start(&["plain"]).await else {
        return;
    };
    let email = Email::starttls("localhost")
        .port(plain.port)
        .credentials("orders", "hunter2hunter2");
    let bench = Bench::start(
        Ops::builder("orders").notify(eager(email.from("a@example.org").to("b@example.org"))),
    );
    bench.ops.notify(EventNotice::deployment_started("2"));
    within(async {
        while bench.channel("email").await["failures"] == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
