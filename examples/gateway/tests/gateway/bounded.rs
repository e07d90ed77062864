//! An upstream that can do so much and no more: a queue, and workers who do not know whether anybody still waits.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::client::{AnyBody, full};

const WORKERS: usize = 3;
const WORK: Duration = Duration::from_millis(50);
/// Calls a second that it can serve.
pub const CAPACITY: usize = 60;
const SLOWER: u32 = 10;
/// The length of the queue. The last one in a full queue waits for a second and a half, at full speed.
const QUEUE: usize = 90;

pub struct Bounded {
    pub url: String,
    /// True while work takes ten times as long.
    pub slow: Arc<AtomicBool>,
    counted: Arc<Counted>,
    /// Ends with it.
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Counted {
    arrived: AtomicUsize,
    done: AtomicUsize,
}

/// The way back of the answer, if somebody still waits for it.
type Job = oneshot::Sender<()>;

impl Bounded {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (slow, counted) = (Arc::<AtomicBool>::default(), Arc::<Counted>::default());
        let (queue, jobs) = channel(QUEUE);
        let jobs = Arc::new(Mutex::new(jobs));
        let mut tasks = JoinSet::new();
        for _ in 0..WORKERS {
            tasks.spawn(work(jobs.clone(), slow.clone(), counted.clone()));
        }
        tasks.spawn(serve(listener, queue, counted.clone()));
        Bounded {
            url,
            slow,
            counted,
            _tasks: tasks,
        }
    }

    /// Requests that have arrived, and work that is done, since the start.
    pub fn counted(&self) -> (usize, usize) {
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        (count(&self.counted.arrived), count(&self.counted.done))
    }
}

async fn work(jobs: Arc<Mutex<Receiver<Job>>>, slow: Arc<AtomicBool>, counted: Arc<Counted>) {
    loop {
        let Some(answer) = jobs.lock().await.recv().await else {
            return;
        };
        let slower = if slow.load(Ordering::Relaxed) {
            SLOWER
        } else {
            1
        };
        sleep(WORK * slower).await;
        counted.done.fetch_add(1, Ordering::Relaxed);
        // Nobody listens, most often, while it is down.
        let _ = answer.send(());
    }
}

async fn serve(listener: TcpListener, queue: Sender<Job>, counted: Arc<Counted>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let (queue, counted) = (queue.clone(), counted.clone());
        let answer = service_fn(move |_: Request<Incoming>| {
            counted.arrived.fetch_add(1, Ordering::Relaxed);
            let queue = queue.clone();
            async move { Ok::<_, Infallible>(answer(queue).await) }
        });
        connections.spawn(async move {
            // A caller who leaves is nothing new here.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

async fn answer(queue: Sender<Job>) -> Response<AnyBody> {
    let (job, done) = oneshot::channel();
    let mut response = Response::new(full("done"));
    if queue.try_send(job).is_err() || done.await.is_err() {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}
