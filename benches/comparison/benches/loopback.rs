//! Hello-world in axum over the loopback: bare, with this crate's server stack, with the baseline (tower-http and
//! axum-prometheus). Prints a Markdown table.
//!
//! `cargo bench --manifest-path benches/comparison/Cargo.toml --bench loopback`
//!
//! Each server is a process of its own, so that its processor time can be told from the load's; a closed loop of
//! keep-alive connections asks them in turns, five rounds of some seconds. Linux only: it reads `/proc`.

use std::{
    error::Error,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use axum::{Router, routing::get};
use axum_prometheus::PrometheusMetricLayer;
use metrics_exporter_prometheus::PrometheusBuilder;
use tower::ServiceBuilder;
use tower_http::{
    ServiceBuilderExt,
    request_id::MakeRequestUuid,
    trace::{DefaultMakeSpan, DefaultOnResponse, TraceLayer},
};
use tower_keep::observe;
use tracing::Level;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);
const CONNECTIONS: usize = 8;
const REQUEST: &[u8] = b"GET /hello HTTP/1.1\r\nhost: localhost\r\n\r\n";
const KINDS: [&str; 3] = ["bare", "tower-keep", "baseline"];

type AnyError = Box<dyn Error + Send + Sync>;

fn router(kind: &str) -> Result<Router, AnyError> {
    let bare = Router::new().route("/hello", get(|| async { "hello" }));
    Ok(match kind {
        "bare" => bare,
        "tower-keep" => {
            PrometheusBuilder::new().install_recorder()?;
            bare.layer(observe("hello").server())
        }
        _ => {
            let trace = TraceLayer::new_for_http()
                .make_span_with(DefaultMakeSpan::new().level(Level::INFO))
                .on_response(DefaultOnResponse::new().level(Level::INFO));
            let (metrics, _) = PrometheusMetricLayer::pair();
            bare.layer(
                ServiceBuilder::new()
                    .set_x_request_id(MakeRequestUuid)
                    .layer(trace)
                    .propagate_x_request_id()
                    .layer(metrics),
            )
        }
    })
}

/// The child: says where it listens, and serves until it is killed.
fn serve(kind: &str) -> Result<(), AnyError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        axum::serve(listener, router(kind)?).await?;
        Ok(())
    })
}

struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(kind: &str) -> Result<Self, AnyError> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", kind])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let out = child.stdout.take().ok_or("no output")?;
        BufReader::new(out).read_line(&mut line)?;
        let address = line.trim().parse()?;
        Ok(Server { child, address })
    }

    /// Processor time so far, in ticks of a hundredth of a second.
    fn ticks(&self) -> Result<u64, AnyError> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The second field is a name that may hold anything; those after it are numbers.
        let fields = stat.rsplit(')').next().ok_or("no fields")?;
        let mut fields = fields.split_whitespace().skip(11);
        let mut next = || {
            fields
                .next()
                .ok_or("too few fields")?
                .parse::<u64>()
                .map_err(AnyError::from)
        };
        Ok(next()? + next()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks again and again on one connection; how long each answer took.
fn ask(address: SocketAddr, until: Instant) -> Result<Vec<u32>, std::io::Error> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let (mut times, mut buffer) = (Vec::new(), [0; 4096]);
    while Instant::now() < until {
        let began = Instant::now();
        stream.write_all(REQUEST)?;
        let mut read = 0;
        // The answer is short, and its body is known.
        while !buffer[..read].ends_with(b"hello") {
            match stream.read(&mut buffer[read..])? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                more => read += more,
            }
        }
        times.push(u32::try_from(began.elapsed().as_nanos()).unwrap_or(u32::MAX));
    }
    Ok(times)
}

#[derive(Clone, Copy, Default)]
struct Round {
    per_second: f64,
    p50: f64,
    p99: f64,
    /// Microseconds of processor time for each request.
    cpu: f64,
}

fn round(server: &Server) -> Result<Round, AnyError> {
    let (before, began) = (server.ticks()?, Instant::now());
    let until = began + ROUND;
    let asking: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let address = server.address;
            thread::spawn(move || ask(address, until))
        })
        .collect();
    let mut times = Vec::new();
    for thread in asking {
        times.extend(thread.join().map_err(|_| "a connection panicked")??);
    }
    let (took, ticks) = (began.elapsed(), server.ticks()? - before);
    times.sort_unstable();
    let at = |fraction: f64| f64::from(times[(times.len() as f64 * fraction) as usize]) / 1e3;
    Ok(Round {
        per_second: times.len() as f64 / took.as_secs_f64(),
        p50: at(0.5),
        p99: at(0.99),
        cpu: ticks as f64 * 1e4 / times.len() as f64,
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> Result<(), AnyError> {
    let mut args = std::env::args().skip(1);
    if let (Some(mode), Some(kind)) = (args.next(), args.next())
        && mode == "serve"
    {
        return serve(&kind);
    }
    let servers = KINDS.iter().map(|kind| Server::start(kind));
    let servers = servers.collect::<Result<Vec<_>, _>>()?;
    let mut rounds = vec![Vec::new(); KINDS.len()];
    // The first round warms up.
    for number in 0..=ROUNDS {
        for (server, rounds) in servers.iter().zip(&mut rounds) {
            let round = round(server)?;
            if number > 0 {
                rounds.push(round);
            }
        }
    }
    println!("\n### Hello-world in axum over the loopback, {CONNECTIONS} connections\n");
    println!(
        "| | requests/s | against bare | p50 µs | p99 µs | CPU µs per request | against bare |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    let of = |rounds: &[Round], what: fn(&Round) -> f64| median(rounds.iter().map(what).collect());
    for (kind, own) in KINDS.iter().zip(&rounds) {
        let against = |what: fn(&Round) -> f64| of(own, what) / of(&rounds[0], what);
        println!(
            "| {kind} | {:.0} | {:.2} | {:.0} | {:.0} | {:.1} | {:.2} |",
            of(own, |round| round.per_second),
            against(|round| round.per_second),
            of(own, |round| round.p50),
            of(own, |round| round.p99),
            of(own, |round| round.cpu),
            against(|round| round.cpu),
        );
    }
    Ok(())
}
