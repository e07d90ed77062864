//! The command line.

use std::ffi::OsString;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt};

use tower_keep::breaker::BreakerSettings;
use tower_keep::retry::{Backoff, RetrySettings};
use tower_keep::timeout::TimeoutSettings;
use tower_keep::track::{SlowThresholds, TrackSettings};

use super::policy::{self, Policy};
use super::upstream_url::{Protocol, UpstreamUrl};

pub const HELP: &str = "\
A reverse proxy for HTTP/1.1 and HTTP/2, guarded by tower-keep.

Usage: gateway [OPTIONS]

  --listen ADDR               where clients come in [default: 127.0.0.1:8080]
  --upstream URL              http://host:port[/base], where requests go; several, with the same base, share them by load
                              [default: an embedded upstream that is at times slow, failing or hanging]
  --upstream-protocol P       auto (HTTP/2 for gRPC, HTTP/1.1 for the rest), h1 or h2 [default: auto]
  --timeout SECONDS           how long one attempt may take to the head of the upstream's answer
                              [default: 10, the embedded upstream: 2]
  --total SECONDS             how long all attempts may take together [default: three times --timeout]
  --open SECONDS              how long the circuit breaker stays open the first time; twice as long each time that
                              it opens again soon, up to a minute, and at random half as long again
                              [default: 5, the embedded upstream: 2]
  --policy FILE               TOML with the sections timeouts, retry, breaker, balance and track, each in place of what
                              the options say; read again on SIGHUP, and a bad one changes nothing;
                              examples/gateway/policy.toml is one
  --alerts FILE               TOML with rules of alerts, in place of the gateway's own; examples/gateway/alerts.toml is one
  --webhook URL               where alerts are sent to, in Alertmanager's format: https, or http to this machine
                              [default: nowhere; with the embedded upstream a receiver that prints them]
  --ops-file FILE             an SQLite file in which logs, metrics, alerts and events of the console survive a restart
                              [default: none]
  --unprotected               many retries without a budget, and no circuit breaker: what not to do,
                              for comparison; the time limits stay
  --admin ADDR                the console at /ops/, and /metrics, /livez, /readyz, /startupz, /errors, /guards
                              [default: 127.0.0.1:9901]
  --log json|pretty|off       logs, on standard error, filtered by RUST_LOG, as are logs and traces of the console;
                              with off, nothing is written, and the console keeps what is INFO or above [default: off]
  --load N                    requests a second of the load that the gateway puts on itself, 0 to 1000;
                              only with the embedded upstream [default: 40]
  --grace SECONDS             how long calls in flight may take to finish at the end [default: 10]
  --duration SECONDS          end after so long [default: run until SIGINT or SIGTERM]
  --help                      this text

Port 0 takes a free port; the first lines of the output name it, and a link that opens the console once.
With OPS_OPERATOR_TOKEN in the environment, 16 to 512 bytes, that logs in instead, and there is no link;
OPS_VIEWER_TOKEN is for those who see all and change nothing.
";

const DEFAULT_LOAD: u32 = 40;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_OPEN: Duration = Duration::from_secs(5);
/// Of the embedded upstream, so that what hangs is soon seen to.
const SHORT_TIMEOUT: Duration = Duration::from_secs(2);
const SHORT_OPEN: Duration = Duration::from_secs(2);

/// So that the demonstration shows calls of both kinds.
const SLOW_CALLS: SlowThresholds =
    SlowThresholds::new(Duration::from_millis(400), Duration::from_secs(1));
/// Longer waits that an upstream asks for are left to the client.
const PATIENCE: Duration = Duration::from_millis(250);
/// Attempts of an unprotected gateway. Each on its own seems reasonable.
const TOO_MANY: u32 = 5;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Log {
    Json,
    Pretty,
    Off,
}

#[derive(Debug)]
pub struct Args {
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    /// Empty: the embedded one.
    pub upstreams: Vec<UpstreamUrl>,
    pub protocol: Protocol,
    /// For the head of the upstream's answer to one attempt.
    pub timeout: Duration,
    /// For all attempts.
    pub total: Duration,
    pub open: Duration,
    /// The file with sections that replace what the options say.
    pub policy: Option<PathBuf>,
    /// The file with rules of alerts.
    pub alerts: Option<PathBuf>,
    /// Where alerts are sent to.
    pub webhook: Option<String>,
    /// The file of the console.
    pub ops_file: Option<PathBuf>,
    /// Without what keeps an overload from outliving its cause.
    pub unprotected: bool,
    pub log: Log,
    /// Requests a second.
    pub load: u32,
    pub grace: Duration,
    pub duration: Option<Duration>,
}

impl Args {
    /// Returns the policy that the options say.
    pub fn policy(&self) -> Policy {
        let mut timeouts = TimeoutSettings::default();
        timeouts.attempt = Some(self.timeout);
        timeouts.total = self.total;
        let mut breaker = BreakerSettings::default();
        breaker.time_window = Duration::from_secs(10);
        breaker.consecutive_failures = Some(20);
        breaker.open_time = self.open;
        // Longer than an attempt: what a client stalls has then ended as its own fault, and is no probe that failed.
        breaker.probe_timeout = self.total;
        let mut track = TrackSettings::default();
        track.slow = Some(SLOW_CALLS);
        Policy {
            timeouts,
            retry: self.retry(),
            balance: policy::balance(&breaker),
            breaker,
            track,
        }
    }

    fn retry(&self) -> RetrySettings {
        let mut retry = RetrySettings::default();
        retry.backoff = Backoff::exponential(Duration::from_millis(20));
        retry.max_retry_after = PATIENCE;
        if self.unprotected {
            retry.max_attempts = TOO_MANY;
            retry.budget = None;
            return retry;
        }
        retry.max_attempts = 2;
        // One that hangs is not asked again: its client has waited long enough.
        retry.max_elapsed = Some(self.timeout);
        retry
    }
}

/// The wish of the command line.
pub enum Asked {
    Run(Box<Args>),
    Help,
}

/// The error is one line that names the option.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Asked, String> {
    let mut parser = Parser::from_args(args);
    let (mut load, mut timeout, mut total, mut open) = (None, None, None, None);
    let mut args = Args {
        listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
        admin: SocketAddr::from(([127, 0, 0, 1], 9901)),
        upstreams: Vec::new(),
        protocol: Protocol::Auto,
        timeout: DEFAULT_TIMEOUT,
        total: 3 * DEFAULT_TIMEOUT,
        open: DEFAULT_OPEN,
        policy: None,
        alerts: None,
        webhook: None,
        ops_file: None,
        unprotected: false,
        log: Log::Off,
        load: 0,
        grace: Duration::from_secs(10),
        duration: None,
    };
    while let Some(arg) = parser.next().map_err(|error| error.to_string())? {
        match arg {
            Arg::Long("listen") => args.listen = value(&mut parser, "--listen", address)?,
            Arg::Long("admin") => args.admin = value(&mut parser, "--admin", address)?,
            Arg::Long("upstream") => {
                let upstream = value(&mut parser, "--upstream", UpstreamUrl::parse)?;
                upstream.add_to(&mut args.upstreams)?;
            }
            Arg::Long("upstream-protocol") => {
                args.protocol = value(&mut parser, "--upstream-protocol", protocol)?;
            }
            Arg::Long("timeout") => timeout = Some(value(&mut parser, "--timeout", limit)?),
            Arg::Long("total") => total = Some(value(&mut parser, "--total", limit)?),
            Arg::Long("open") => open = Some(value(&mut parser, "--open", limit)?),
            Arg::Long("policy") => args.policy = Some(path(&mut parser, "--policy")?),
            Arg::Long("alerts") => args.alerts = Some(path(&mut parser, "--alerts")?),
            Arg::Long("ops-file") => args.ops_file = Some(path(&mut parser, "--ops-file")?),
            Arg::Long("webhook") => {
                args.webhook = Some(value(&mut parser, "--webhook", |url| Ok(url.to_owned()))?);
            }
            Arg::Long("unprotected") => args.unprotected = true,
            Arg::Long("log") => args.log = value(&mut parser, "--log", log)?,
            Arg::Long("load") => load = Some(value(&mut parser, "--load", rate)?),
            Arg::Long("grace") => args.grace = value(&mut parser, "--grace", seconds)?,
            Arg::Long("duration") => {
                args.duration = Some(value(&mut parser, "--duration", seconds)?);
            }
            Arg::Long("help") | Arg::Short('h') => return Ok(Asked::Help),
            other => return Err(other.unexpected().to_string()),
        }
    }
    if !args.upstreams.is_empty() && load.is_some_and(|rate| rate > 0) {
        return Err("--load: is for the embedded upstream only, not with --upstream".into());
    }
    if args.policy.is_some() && args.unprotected {
        return Err("--policy: not with --unprotected".into());
    }
    let embedded = args.upstreams.is_empty();
    if embedded {
        args.load = load.unwrap_or(DEFAULT_LOAD);
    }
    let (usual_timeout, usual_open) = match embedded {
        true => (SHORT_TIMEOUT, SHORT_OPEN),
        false => (DEFAULT_TIMEOUT, DEFAULT_OPEN),
    };
    args.timeout = timeout.unwrap_or(usual_timeout);
    args.open = open.unwrap_or(usual_open);
    args.total = total.unwrap_or(args.timeout.saturating_mul(3));
    if args.total < args.timeout {
        let (total, timeout) = (args.total, args.timeout);
        return Err(format!(
            "--total: {total:?} must be at least --timeout, {timeout:?}"
        ));
    }
    Ok(Asked::Run(Box::new(args)))
}

fn value<T>(
    parser: &mut Parser,
    option: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<T, String> {
    let text = parser
        .value()
        .and_then(ValueExt::string)
        .map_err(|error| format!("{option}: {error}"))?;
    read(&text).map_err(|error| format!("{option}: {error}"))
}

fn path(parser: &mut Parser, option: &str) -> Result<PathBuf, String> {
    let path = parser
        .value()
        .map_err(|error| format!("{option}: {error}"))?;
    Ok(path.into())
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong = || format!("{text:?} must be host:port, as in 127.0.0.1:8080");
    let mut found = text.to_socket_addrs().map_err(|_| wrong())?;
    found.next().ok_or_else(wrong)
}

fn protocol(text: &str) -> Result<Protocol, String> {
    match text {
        "auto" => Ok(Protocol::Auto),
        "h1" => Ok(Protocol::Http1),
        "h2" => Ok(Protocol::Http2),
        _ => Err(format!("{text:?} must be auto, h1 or h2")),
    }
}

fn log(text: &str) -> Result<Log, String> {
    match text {
        "json" => Ok(Log::Json),
        "pretty" => Ok(Log::Pretty),
        "off" => Ok(Log::Off),
        _ => Err(format!("{text:?} must be json, pretty or off")),
    }
}

fn rate(text: &str) -> Result<u32, String> {
    let rate = u32::from_str(text).ok().filter(|rate| *rate <= 1000);
    rate.ok_or_else(|| format!("{text:?} must be a whole number from 0 to 1000"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = f64::from_str(text)
        .ok()
        .filter(|s| (0.0..=86_400.0).contains(s));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("{text:?} must be seconds from 0 to 86400"))
}

fn limit(text: &str) -> Result<Duration, String> {
    let limit = seconds(text).ok().filter(|limit| !limit.is_zero());
    limit.ok_or_else(|| format!("{text:?} must be seconds above 0, at most 86400"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn args_have_defaults() {
        let args = run(&[]);
        assert_eq!(args.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(args.admin.to_string(), "127.0.0.1:9901");
        assert!(args.upstreams.is_empty());
        assert_eq!((args.load, args.log), (40, Log::Off));
        assert_eq!(args.timeout, Duration::from_secs(2));
        assert!(!args.unprotected);
    }

    #[test]
    fn unprotected_keeps_the_time_limits() {
        let args = run(&["--unprotected", "--timeout", "0.4"]);
        assert!(args.unprotected);
        assert_eq!(
            (args.timeout, args.total),
            (Duration::from_millis(400), Duration::from_millis(1200))
        );
    }

    #[test]
    fn custom_upstream_gets_no_load() {
        let args = run(&["--upstream=http://up:81/base/", "--log", "json"]);
        let upstreams: Vec<String> = args.upstreams.iter().map(|up| up.to_string()).collect();
        assert_eq!(upstreams, ["http://up:81/base"]);
        assert_eq!((args.load, args.log), (0, Log::Json));
        assert_eq!(args.timeout, Duration::from_secs(10));
    }

    #[test]
    fn error_names_the_option_and_its_values() {
        let wrong = [
            (
                &["--log", "xml"][..],
                "--log: \"xml\" must be json, pretty or off",
            ),
            (
                &["--listen", "8080"],
                "--listen: \"8080\" must be host:port",
            ),
            (
                &["--upstream", "https://up"],
                "--upstream: \"https://up\": https is not supported",
            ),
            (
                &["--upstream-protocol", "h3"],
                "--upstream-protocol: \"h3\" must be auto, h1 or h2",
            ),
            (
                &["--grace", "-1"],
                "--grace: \"-1\" must be seconds from 0 to 86400",
            ),
            (
                &["--timeout", "0"],
                "--timeout: \"0\" must be seconds above 0",
            ),
            (
                &["--duration", "NaN"],
                "--duration: \"NaN\" must be seconds",
            ),
            (
                &["--load", "1001"],
                "--load: \"1001\" must be a whole number from 0 to 1000",
            ),
            (
                &["--load", "9", "--upstream", "http://up"],
                "--load: is for the embedded upstream",
            ),
            (
                &["--unprotected=no"],
                "unexpected argument for option '--unprotected'",
            ),
            (
                &["--policy", "policy.toml", "--unprotected"],
                "--policy: not with --unprotected",
            ),
            (&["--policy"], "--policy: missing argument"),
            (&["--admin"], "--admin: missing argument"),
            (&["--lisen"], "invalid option '--lisen'"),
            (&["up"], "unexpected argument \"up\""),
        ];
        for (args, error) in wrong {
            let found = asked(args).err().unwrap_or_default();
            assert!(found.starts_with(error), "{args:?}: {found}");
        }
    }

    fn run(args: &[&str]) -> Args {
        match asked(args) {
            Ok(Asked::Run(args)) => *args,
            Ok(Asked::Help) => panic!("asked for help"),
            Err(error) => panic!("{error}"),
        }
    }

    fn asked(args: &[&str]) -> Result<Asked, String> {
        parse(args.iter().map(OsString::from))
    }
}
