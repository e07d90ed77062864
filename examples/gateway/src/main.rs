//! A reverse proxy for HTTP/1.1 and HTTP/2, guarded by this crate: `gateway --help` lists the options.
//!
//! Without any, it starts an upstream that is at times slow, failing or hanging, puts a small load on itself,
//! and shows every kind of outcome within ten seconds.

mod admin;
mod alert_receiver;
mod alerts;
mod args;
mod client;
mod demo_replies;
mod demo_upstream;
mod drain;
mod error_page;
mod guards;
mod headers;
mod histogram;
mod http2_unsupported;
mod load;
mod local_responses;
mod operations;
mod panicking_handler;
mod policy;
mod policy_file;
mod process;
mod proxy;
mod report;
mod resilience;
mod server;
mod upstream_url;

use std::convert::identity;
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::sleep;
use tower_keep::logging::FilterHandle;
use tower_keep::ops::Ops;
use tower_keep::track::RequestBodyLayer;
use tower_keep::{BoxError, ConfigError};
use tower_layer::Layer;
use tracing_subscriber::layer::SubscriberExt;

use alerts::Alerting;
use args::{Args, Asked};
use drain::{Drain, DrainToken};
use operations::Door;
use panicking_handler::PanickingHandler;
use policy::Policy;
use policy_file::{LivePolicy, PolicySource};
use process::{Signals, Wish, complain, say};
use proxy::Proxy;
use report::Window;
use resilience::Resilience;
use upstream_url::UpstreamUrl;

const CONNECTIONS: usize = 4096;
/// The console has up to 200 viewers, and probes must get through beside them and whoever holds connections for nothing.
const ADMIN_CONNECTIONS: usize = 1024;
/// For the last scrape to come through.
const ADMIN_GRACE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let args = match args::parse(std::env::args_os().skip(1)) {
        Ok(Asked::Run(args)) => args,
        Ok(Asked::Help) => {
            say(args::HELP.trim_end());
            return ExitCode::SUCCESS;
        }
        Err(error) => return complain(&format!("{error} (see --help)"), 2),
    };
    let log_filter = match process::log_to_stderr(args.log) {
        Ok(filter) => filter,
        Err(error) => return complain(&error, 2),
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&format!("cannot start: {error}"), 1),
    };
    let ended = runtime.block_on(run(*args, log_filter));
    // A name look-up that hangs in a thread must not hold up the exit.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error, 1),
    }
}

/// Runs the gateway from the first socket to the last; the error is one line.
async fn run(args: Args, log_filter: Option<FilterHandle>) -> Result<(), String> {
    // Before anything is announced, or an early signal would end the process the hard way.
    let mut signals = Signals::listen(args.policy.is_some())
        .map_err(|error| format!("cannot catch signals: {error}"))?;
    let source = PolicySource::new(&args);
    let policy = tokio::select! {
        policy = source.read() => policy?,
        name = signals.end() => return Err(format!("{name} before the policy was read")),
    };
    let door = Door::from_env()?;
    let (listener, gateway) = bind("--listen", args.listen).await?;
    let (admin_listener, admin_address) = bind("--admin", args.admin).await?;
    let (targets, embedded) = upstreams(&args).await?;
    let lines = announcement(gateway, admin_address, &targets, &args, &door);

    let resilience =
        Resilience::new(&policy, args.unprotected).map_err(|error| error.to_string())?;
    let alerting = Alerting::new(&args).await?;
    let options = operations::Options {
        url: format!("http://{}/ops/", load::reachable(admin_address)),
        log_filter,
        file: args.ops_file.clone(),
    };
    let ops = install(&targets, &args, &resilience, alerting, options)?;
    let window = Arc::new(Window::default());
    let (gateway_drain, ticket) = Drain::new();
    let balance = resilience.balance.clone();
    let live = serve_gateway(
        listener, ticket, targets, &args, &policy, resilience, &window,
    );
    let live = live.map_err(|error| error.to_string())?;
    let (admin_drain, ticket) = Drain::new();
    let pages = admin::router(&ops, door.access);
    tokio::spawn(server::serve(
        admin_listener,
        pages,
        ticket,
        ADMIN_CONNECTIONS,
    ));
    tokio::spawn(report::every_second(window, balance));
    let load = tokio::spawn(load::run(load::reachable(gateway), args.load));
    ops.health().started();
    // After all else: whoever reads it may ask or end the gateway at once.
    say(&lines);

    let mut time_is_up = pin!(after(args.duration));
    let why = loop {
        tokio::select! {
            wish = signals.next() => match wish {
                Wish::End(name) => break name,
                // A file that takes forever, such as a pipe without a writer, must not hold up the end.
                Wish::Reload => tokio::select! {
                    line = reload(&source, &live) => say(&line),
                    name = signals.end() => break name,
                    () = &mut time_is_up => break "time is up",
                },
            },
            () = &mut time_is_up => break "time is up",
        }
    };
    ops.health().begin_shutdown();
    say(&format!("{why}: draining"));
    load.abort();
    let in_time = gateway_drain.finish(async {
        tokio::select! {
            // Whoever asks twice is in a hurry.
            _ = signals.end() => {}
            () = sleep(args.grace) => {}
        }
    });
    let end = if in_time.await {
        "all calls finished"
    } else {
        "out of time: what was left is cut off"
    };
    if let Some(embedded) = embedded {
        embedded.finish(async {}).await;
    }
    admin_drain.finish(sleep(ADMIN_GRACE)).await;
    say(end);
    Ok(())
}

/// Reads the policy again and applies it to calls that begin from now on. Returns the line that says so.
async fn reload(source: &PolicySource, live: &LivePolicy) -> String {
    let applied = match source.read().await {
        Ok(policy) => live.apply(&policy).map_err(|error| error.to_string()),
        Err(error) => Err(error),
    };
    match applied {
        Ok(()) => format!("policy is that of {source}"),
        Err(error) => format!("policy stays as it was: {error}"),
    }
}

async fn bind(option: &str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), String> {
    let failed = |error| format!("{option}: cannot listen on {address}: {error}");
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// The upstreams that were asked for, or the embedded one.
async fn upstreams(args: &Args) -> Result<(Vec<UpstreamUrl>, Option<Drain>), String> {
    if !args.upstreams.is_empty() {
        return Ok((args.upstreams.clone(), None));
    }
    let failed = |error| format!("cannot start the embedded upstream: {error}");
    let (address, drain) = demo_upstream::start().await.map_err(failed)?;
    Ok((
        vec![UpstreamUrl::parse(&format!("http://{address}"))?],
        Some(drain),
    ))
}

/// The first lines, which tests and scripts read.
fn announcement(
    gateway: SocketAddr,
    admin: SocketAddr,
    targets: &[UpstreamUrl],
    args: &Args,
    door: &Door,
) -> String {
    let how = match args.unprotected {
        true => ", unprotected",
        false => "",
    };
    let console = match &door.login {
        Some(login) => format!(
            "console on http://{}/ops/{login} (once, within 15 minutes)",
            load::reachable(admin)
        ),
        None => format!("console on http://{}/ops/", load::reachable(admin)),
    };
    let all: Vec<String> = targets.iter().map(UpstreamUrl::to_string).collect();
    let all = all.join(", ");
    let lines = format!(
        "gateway listening on http://{gateway}\n\
         admin on http://{admin}\n\
         {console}\n\
         upstream {all}{how}"
    );
    if !args.upstreams.is_empty() {
        return lines;
    }
    let load = args.load;
    format!(
        "{lines} (embedded, with a load of {load} calls a second)\n\
         curl http://{gateway}/ lists what to call, http://{admin}/ what to look at"
    )
}

/// Installs the operations side: from here on, all that is recorded is seen.
fn install(
    targets: &[UpstreamUrl],
    args: &Args,
    resilience: &Resilience,
    alerting: Alerting,
    options: operations::Options,
) -> Result<Ops, String> {
    let is_embedded = args.upstreams.is_empty();
    let ops = operations::build(targets, is_embedded, &resilience.breaker, alerting, options);
    let ops = ops.map_err(|error| error.to_string())?;
    ops.install()
        .map_err(|error| format!("cannot record metrics: {error}"))?;
    if args.log == args::Log::Off {
        // The console has logs and traces also where nothing is written.
        let subscriber = tracing_subscriber::registry().with(ops.layer());
        tracing::subscriber::set_global_default(subscriber)
            .map_err(|error| format!("cannot keep what is logged: {error}"))?;
    }
    Ok(ops)
}

fn serve_gateway(
    listener: TcpListener,
    ticket: DrainToken,
    targets: Vec<UpstreamUrl>,
    args: &Args,
    policy: &Policy,
    resilience: Resilience,
    window: &Arc<Window>,
) -> Result<LivePolicy, ConfigError> {
    let demonstration = args.upstreams.is_empty();
    let track = guards::track(&policy.track)?;
    tokio::spawn(report::transitions(resilience.breaker.subscribe()));
    tokio::spawn(report::ejections());
    let client = resilience.layer(resilience.balancer(&targets));
    // Of several, the first stands for all until one is chosen: they have the same base path.
    let target = targets[0].clone();
    let proxy = error_page::page()?.layer(Proxy::new(client, target, args.protocol));
    let service =
        RequestBodyLayer::new(identity).layer(PanickingHandler::new(proxy, demonstration));
    let service = guards::inbound(track.clone(), window, demonstration)?.layer(service);
    tokio::spawn(server::serve(listener, service, ticket, CONNECTIONS));
    Ok(LivePolicy {
        timeouts: resilience.timeouts,
        retry: resilience.retry,
        breaker: resilience.breaker,
        balance: resilience.balance,
        track,
    })
}

async fn after(duration: Option<Duration>) {
    match duration {
        Some(duration) => sleep(duration).await,
        None => std::future::pending().await,
    }
}
