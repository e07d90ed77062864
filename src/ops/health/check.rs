use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use http::{Request, Response};
use tokio::net::TcpStream;
use tower_service::Service;

use super::{
    CheckOutput, CheckResult, breaker_check, component_config::ComponentConfig, http_get,
    runtime_lag, trigger::CheckTrigger,
};
use crate::{
    breaker::CircuitBreaker,
    call::{BoxError, ConfigError, Label},
    guard::Oneshot,
    ops::store::Trouble,
};

/// Default: 30 s, which costs the component next to nothing, and is what most monitors do.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);
/// Default: 5 s, since what takes longer helps no request.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
/// The interval of checks that only read a state of this process.
const LOCAL_INTERVAL: Duration = Duration::from_secs(5);
/// The shortest interval: more would be load.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
const MAX_INTERVAL: Duration = Duration::from_secs(24 * 3_600);
/// The longest name, in bytes: it is a label and a line.
const MAX_NAME: usize = 128;
const MAX_FAILURES: u32 = 1_000;
const MAX_GROUPS: usize = 16;

pub(super) type CheckFuture = Pin<Box<dyn Future<Output = CheckResult> + Send>>;
pub(super) type CheckFn = Arc<dyn Fn() -> CheckFuture + Send + Sync>;

/// A check of one component: how, how often, and what its result means.
///
/// The [module](super) says what happens.
pub struct Check {
    config: ComponentConfig,
    run: CheckFn,
    trigger: Option<CheckTrigger>,
    /// An argument that a constructor could not use; `build` returns it.
    error: Option<ConfigError>,
}

impl Check {
    /// Creates a check by a closure. Its future returns nothing, a status, a [`CheckResult`], or a `Result` of one of these.
    ///
    /// A future that panics has failed. One that does not end in time is dropped, and has failed too. One that blocks its
    /// thread is not started a second time: use [`Check::blocking`] for such code.
    ///
    /// ```
    /// use std::io;
    /// use tower_keep::ops::health::Check;
    ///
    /// # async fn ping() -> Result<(), io::Error> { Ok(()) }
    /// let check = Check::new("ledger-db", || async { ping().await });
    /// # let _ = check;
    /// ```
    pub fn new<F, Fut>(name: impl Into<Label>, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output: CheckOutput> + Send + 'static,
    {
        let check = Arc::new(check);
        let run = move || -> CheckFuture {
            let check = Arc::clone(&check);
            // Called inside of the future, so that a closure that panics is a failure as well.
            Box::pin(async move { check().await.into_check_result() })
        };
        Check {
            config: ComponentConfig {
                name: name.into(),
                kind: "custom".into(),
                is_critical: false,
                groups: Vec::new(),
                interval: DEFAULT_INTERVAL,
                timeout: DEFAULT_TIMEOUT,
                slower_than: None,
                failures: 1,
            },
            run: Arc::new(run),
            trigger: None,
            error: None,
        }
    }

    /// Creates a check by a closure that may block, which runs in a thread of the runtime's pool.
    ///
    /// One that does not return in time has failed; it is not started again before it has returned, so that it takes one
    /// thread at most.
    ///
    /// ```
    /// use std::fs;
    /// use tower_keep::ops::health::Check;
    ///
    /// let check = Check::blocking("spool", || fs::metadata("/var/spool/orders").map(drop));
    /// # let _ = check;
    /// ```
    pub fn blocking<F, T>(name: impl Into<Label>, check: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: CheckOutput,
    {
        let check = Arc::new(check);
        let run = super::blocking::single_thread(move || check().into_check_result());
        Check::new(name, run)
    }

    /// Creates a check that calls a tower service, such as a client of the application with its timeouts and breakers. Any
    /// response is healthy, an error is not.
    ///
    /// ```
    /// use tower::service_fn;
    /// use tower_keep::ops::health::Check;
    ///
    /// let cache = service_fn(async |key: &'static str| Ok::<_, std::io::Error>(format!("{key}: pong")));
    /// let check = Check::service("cache", cache, "ping").kind("cache");
    /// # let _ = check;
    /// ```
    pub fn service<S, Req>(name: impl Into<Label>, service: S, request: Req) -> Self
    where
        // Each run has a clone.
        S: Service<Req, Error: Into<BoxError>, Future: Send> + Clone + Send + Sync + 'static,
        Req: Clone + Send + Sync + 'static,
    {
        Check::new(name, move || {
            let call = Oneshot::new(service.clone(), request.clone());
            async { call.await.map(drop) }
        })
    }

    /// Creates a check that sends a request by an HTTP client of the application: one for TLS, say. The statuses 200 to 399
    /// are healthy.
    ///
    /// ```
    /// use std::convert::Infallible;
    /// use http::{Request, Response};
    /// use tower::service_fn;
    /// use tower_keep::ops::health::Check;
    ///
    /// let client = service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(())));
    /// let request = Request::get("https://ledger/healthz").body(())?;
    /// let check = Check::http_service("ledger", client, request);
    /// # let _ = check;
    /// # Ok::<_, http::Error>(())
    /// ```
    pub fn http_service<S, B, ResBody>(
        name: impl Into<Label>,
        client: S,
        request: Request<B>,
    ) -> Self
    where
        // Each run has a clone.
        S: Service<Request<B>, Response = Response<ResBody>, Error: Into<BoxError>, Future: Send>
            + Clone
            + Send
            + Sync
            + 'static,
        B: Clone + Send + Sync + 'static,
        ResBody: 'static,
    {
        let check = move || {
            let call = Oneshot::new(client.clone(), request.clone());
            async {
                call.await
                    .map(|response| http_get::judge(response.status()))
            }
        };
        Check::new(name, check).kind("external_api")
    }

    /// Creates a check that sends `GET` to an `http://` address, on a connection of its own. The statuses 200 to 399 are
    /// healthy; no body is read.
    ///
    /// It is a request in plain text, without a pool, proxy or TLS. For all else there is [`Check::http_service`], which
    /// takes the client that the application has.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::ops::health::Check;
    ///
    /// let check = Check::http("ledger", "http://ledger:8080/healthz")
    ///     .critical()
    ///     .slower_than(Duration::from_millis(250));
    /// # let _ = check;
    /// ```
    pub fn http(name: impl Into<Label>, url: &str) -> Self {
        let name = name.into();
        let target = http_get::HttpTarget::parse(url);
        let invalid = target.as_ref().err().map(|expected| {
            let component = format!("check {:?}", name.as_str());
            let url = super::error_text::safe_text(url);
            ConfigError::new(component, "url", format_args!("{url:?}"), *expected)
        });
        let target = target.ok().map(Arc::new);
        let mut check = Check::new(name, move || {
            let target = target.clone();
            async move {
                match target {
                    Some(target) => http_get::get(&target).await,
                    // `build` returns the error.
                    None => Ok(CheckResult::unknown("invalid address")),
                }
            }
        });
        check.error = invalid;
        check.kind("external_api")
    }

    /// Creates a check that connects to an address, `host:port`, and closes the connection again.
    ///
    /// ```
    /// use tower_keep::ops::health::Check;
    ///
    /// let check = Check::tcp("broker", "broker:5672").kind("broker");
    /// # let _ = check;
    /// ```
    pub fn tcp(name: impl Into<Label>, address: impl Into<String>) -> Self {
        let address: Arc<str> = address.into().into();
        let check = move || {
            let address = address.clone();
            // The first address of the host that accepts is enough.
            async move { TcpStream::connect(&*address).await.map(drop) }
        };
        Check::new(name, check).kind("tcp")
    }

    /// Creates a check of a circuit breaker, under its name: closed is healthy, half-open degraded, open unhealthy. It runs
    /// at each transition.
    ///
    /// Not critical unless set: while one dependency is down, the rest of the process works.
    ///
    /// ```
    /// use tower_keep::{CircuitBreaker, ops::health::Check};
    ///
    /// let payments = CircuitBreaker::new("payments");
    /// let check = Check::breaker(&payments);
    /// # let _ = check;
    /// ```
    pub fn breaker(breaker: &CircuitBreaker) -> Self {
        let name = breaker.name().to_owned();
        let trigger = CheckTrigger::transitions(breaker.subscribe());
        let breaker = breaker.clone();
        let mut check = Check::new(name, move || {
            let result = breaker_check::judge(breaker.state());
            async { result }
        });
        check.trigger = Some(trigger);
        check.kind("circuit_breaker").interval(LOCAL_INTERVAL)
    }

    /// Creates the check of the store of the operations side, which runs when its trouble changes. Not critical: the service works
    /// without it.
    pub(in crate::ops) fn store(trouble: Trouble) -> Self {
        let changed = CheckTrigger::Text(trouble.watch());
        let mut check = Check::new("ops_store", move || {
            let result = match trouble.reason() {
                Some(reason) => CheckResult::degraded(format!("kept in memory only: {reason}")),
                None => CheckResult::healthy(),
            };
            async { result }
        });
        check.trigger = Some(changed);
        check.kind("store").interval(LOCAL_INTERVAL)
    }

    /// Creates a check of how late the runtime wakes its tasks: degraded above `limit`, unhealthy above ten times that.
    ///
    /// Handlers that block their thread make a runtime late, and so does a machine with too little time for the process.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::ops::health::Check;
    ///
    /// let check = Check::runtime_lag(Duration::from_millis(100));
    /// # let _ = check;
    /// ```
    pub fn runtime_lag(limit: Duration) -> Self {
        Check::new("runtime", move || runtime_lag::measure(limit))
            .kind("runtime")
            .interval(LOCAL_INTERVAL)
    }

    /// Creates a check of the free space of the file system that holds a path: degraded below `min_free` bytes, unhealthy
    /// below a quarter of that.
    ///
    /// It runs in a thread of the runtime's pool, since a file system over a network may block.
    ///
    /// ```
    /// use tower_keep::ops::health::Check;
    ///
    /// let check = Check::disk_space("disk", "/var/lib/orders", 1 << 30);
    /// # let _ = check;
    /// ```
    #[cfg(all(feature = "ops-disk", unix))]
    #[cfg_attr(docsrs, doc(cfg(all(feature = "ops-disk", unix))))]
    pub fn disk_space(
        name: impl Into<Label>,
        path: impl Into<std::path::PathBuf>,
        min_free: u64,
    ) -> Self {
        let path = path.into();
        Check::blocking(name, move || super::disk_space::check(&path, min_free)).kind("disk")
    }

    /// Sets the name, for a check that has that of something else, as a [`breaker`](Check::breaker) has.
    pub fn name(mut self, name: impl Into<Label>) -> Self {
        self.config.name = name.into();
        self
    }

    /// Makes the component critical: the process cannot work without it, and is unhealthy while the component is.
    ///
    /// Default: not critical, since a process that can serve some requests should.
    pub fn critical(mut self) -> Self {
        self.config.is_critical = true;
        self
    }

    /// Sets the kind of the component, for people: `database`, `cache`, `external_api`, `authentication`, or any other word.
    ///
    /// Default: `custom`, or what the constructor knows.
    pub fn kind(mut self, kind: impl Into<Label>) -> Self {
        self.config.kind = kind.into();
        self
    }

    /// Sets the time between two runs, of which each is up to 10 % longer or shorter.
    ///
    /// Must be 100 ms to a day. Default: 30 s, which costs the component next to nothing.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.config.interval = interval;
        self
    }

    /// Sets the longest time that a run may take. One that takes longer has failed.
    ///
    /// Must be longer than zero. Default: 5 s, since what takes longer helps no request.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.config.timeout = timeout;
        self
    }

    /// Sets the duration from which on a run that succeeds makes the component degraded.
    ///
    /// Must be longer than zero and shorter than the timeout. Default: none.
    pub fn slower_than(mut self, limit: Duration) -> Self {
        self.config.slower_than = Some(limit);
        self
    }

    /// Sets how many failures in a row make the component unhealthy. Fewer make one degraded that has worked before.
    ///
    /// Must be 1 to 1,000. Default: 1; more suits a check that fails now and then for no reason of the component.
    pub fn failures(mut self, failures: u32) -> Self {
        self.config.failures = failures;
        self
    }

    /// Adds the component to a group, such as [`READINESS`](super::READINESS) or [`STARTUP`](super::STARTUP).
    ///
    /// At most 16. Default: none.
    pub fn group(mut self, group: impl Into<Label>) -> Self {
        self.config.groups.push(group.into());
        self
    }

    pub(super) fn config(&self) -> &ComponentConfig {
        &self.config
    }

    pub(super) fn into_parts(self) -> (ComponentConfig, CheckFn, Option<CheckTrigger>) {
        (self.config, self.run, self.trigger)
    }

    /// Checks the settings.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let config = &self.config;
        let name = config.name.as_str();
        if name.is_empty() || name.len() > MAX_NAME || name.contains(char::is_control) {
            let expected = "1 to 128 bytes without control characters";
            return Err(ConfigError::new(
                "check",
                "name",
                format_args!("{name:?}"),
                expected,
            ));
        }
        let invalid = |field, value: &dyn fmt::Debug, expected: &str| {
            let component = format!("check {name:?}");
            Err(ConfigError::new(
                component,
                field,
                format_args!("{value:?}"),
                expected,
            ))
        };
        if !(MIN_INTERVAL..=MAX_INTERVAL).contains(&config.interval) {
            return invalid("interval", &config.interval, "100ms to a day");
        }
        if config.timeout.is_zero() || config.timeout > MAX_INTERVAL {
            return invalid(
                "timeout",
                &config.timeout,
                "longer than zero and at most a day",
            );
        }
        if let Some(limit) = config.slower_than
            && (limit.is_zero() || limit >= config.timeout)
        {
            return invalid(
                "slower_than",
                &limit,
                "longer than zero and shorter than the timeout",
            );
        }
        if !(1..=MAX_FAILURES).contains(&config.failures) {
            return invalid("failures", &config.failures, "1 to 1000");
        }
        if config.groups.len() > MAX_GROUPS {
            return invalid("group", &config.groups.len(), "at most 16 groups");
        }
        Ok(())
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
