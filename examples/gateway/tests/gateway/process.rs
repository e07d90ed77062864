//! The gateway as a child process: started, asked, told to end, and killed whatever happens.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{interval, timeout};

use super::client::{Client, text};

/// For what takes a moment; a machine under load takes longer.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Looks again and again, since another process cannot be awaited.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let mut pause = interval(Duration::from_millis(10));
    let found = timeout(DEADLINE, async {
        loop {
            pause.tick().await;
            if let Some(found) = look().await {
                return found;
            }
        }
    });
    found
        .await
        .unwrap_or_else(|_| panic!("not within {DEADLINE:?}: {what}"))
}

/// A running gateway, killed when dropped.
pub struct Gateway {
    child: Child,
    out: Lines,
    log: Lines,
    client: Client,
    /// The address where clients come in, as in `http://127.0.0.1:8080`.
    pub url: String,
    pub admin: String,
}

impl Gateway {
    /// On free ports; returns when it listens.
    pub async fn start(args: &[&str]) -> Self {
        Self::with_env(args, &[]).await
    }

    /// The same, with variables of the environment.
    pub async fn with_env(args: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gateway"))
            .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(args)
            .env_remove("RUST_LOG")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the gateway starts");
        let mut out = Lines::of(child.stdout.take().expect("piped"));
        let log = Lines::of(child.stderr.take().expect("piped"));
        let mut announced = async |prefix: &str| {
            let line = out.find(|line| line.starts_with(prefix)).await;
            line[prefix.len()..].to_owned()
        };
        let url = announced("gateway listening on ").await;
        let admin = announced("admin on ").await;
        Gateway {
            child,
            out,
            log,
            client: Client::http1(),
            url,
            admin,
        }
    }

    /// In front of an upstream.
    pub async fn before(upstream: &str, args: &[&str]) -> Self {
        Gateway::start(&[&["--upstream", upstream], args].concat()).await
    }

    /// A path as a client asks for it.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// The next line of standard output that is as wanted.
    pub async fn line(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        self.out.find(wanted).await
    }

    /// The next line of the access log that is as wanted; needs `--log json`.
    pub async fn logged(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let parse = |line: &str| serde_json::from_str(line).expect("a line of JSON");
        parse(&self.log.find(|line| wanted(&parse(line))).await)
    }

    /// The lines on standard error that nobody has looked at yet.
    pub fn unread_log(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.log.0.try_recv().ok()).collect()
    }

    #[cfg(target_os = "linux")]
    pub fn id(&self) -> u32 {
        self.child.id().expect("still running")
    }

    pub async fn page(&self, path: &str) -> String {
        let url = format!("{}{path}", self.admin);
        text(self.client.get(&url).await).await
    }

    pub async fn is_ready(&self) -> bool {
        let url = format!("{}/readyz", self.admin);
        self.client.get(&url).await.status() == 200
    }

    /// The groups of `/errors`.
    pub async fn errors(&self) -> Vec<Value> {
        serde_json::from_str(&self.page("/errors").await).expect("JSON")
    }

    /// Returns the entry of one guard in `/guards`.
    pub async fn guard(&self, kind: &str) -> Value {
        let page = self.page("/guards").await;
        let guards: Vec<Value> = serde_json::from_str(&page).expect("JSON");
        let found = guards.into_iter().find(|guard| guard["kind"] == kind);
        found.unwrap_or_else(|| panic!("no {kind} in {page}"))
    }

    /// The sum over all series of a metric whose labels include these.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let metrics = self.page("/metrics").await;
        let series = metrics
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|r| r.starts_with('{')))
            .filter(|line| labels.iter().all(|label| line.contains(label)));
        let values = series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    }

    /// Returns how many inbound calls have ended so.
    pub async fn ended(&self, outcome: &str) -> f64 {
        let outcome = format!("outcome=\"{outcome}\"");
        let labels = ["kind=\"server\"", &outcome];
        self.metric("tower_keep_calls_total", &labels).await
    }

    /// `TERM` or `INT`.
    #[cfg(unix)]
    pub async fn signal(&self, name: &str) {
        let id = self.child.id().expect("still running").to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().await;
        assert!(sent.expect("kill").success());
    }

    #[cfg(unix)]
    pub async fn exit(mut self) -> std::process::ExitStatus {
        let ended = timeout(DEADLINE, self.child.wait()).await;
        ended.expect("an end in time").expect("a status")
    }
}

/// Lines as they come: a pipe that nobody empties would stop the process.
struct Lines(UnboundedReceiver<String>);

impl Lines {
    fn of(pipe: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let (sender, receiver) = unbounded_channel();
        tokio::spawn(async move {
            let mut lines = BufReader::new(pipe).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let _ = sender.send(line);
            }
        });
        Lines(receiver)
    }

    async fn find(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        let mut others = Vec::new();
        let found = timeout(DEADLINE, async {
            while let Some(line) = self.0.recv().await {
                if wanted(&line) {
                    return Some(line);
                }
                others.push(line);
            }
            None
        });
        let found = found.await.ok().flatten();
        found.unwrap_or_else(|| panic!("no such line, only: {others:#?}"))
    }
}
