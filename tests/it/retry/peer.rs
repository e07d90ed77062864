//! A peer that answers by a script, and keeps what it was asked.

use std::{
    collections::VecDeque,
    future::Future,
    io::Error,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tower::Service;
use tower_keep::retry::{Attempt, ReplayBody};

/// Headers, of which `:status` is the status; or an error.
pub type Scripted = Result<Vec<(&'static str, &'static str)>, &'static str>;

pub fn status(status: u16) -> Scripted {
    status_with_header(status, "x-peer", "scripted")
}

pub fn status_with_header(status: u16, name: &'static str, value: &'static str) -> Scripted {
    let status = match status {
        200 => "200",
        204 => "204",
        404 => "404",
        500 => "500",
        502 => "502",
        _ => "503",
    };
    Ok(vec![(":status", status), (name, value)])
}

/// Panics when called on a handle that was not itself polled ready; clones start out not ready.
pub struct Peer {
    shared: Arc<Mutex<Shared>>,
    /// Held by every body of an answer.
    pub held: Arc<()>,
    ready: bool,
}

#[derive(Default)]
struct Shared {
    answers: VecDeque<Scripted>,
    bodies: Vec<Bytes>,
    attempts: Vec<Option<u32>>,
    heads: Vec<http::HeaderMap>,
}

impl Peer {
    pub fn answering<const N: usize>(answers: [Scripted; N]) -> Self {
        let shared = Shared {
            answers: answers.into(),
            ..Shared::default()
        };
        Peer {
            shared: Arc::new(Mutex::new(shared)),
            held: Arc::new(()),
            ready: false,
        }
    }

    pub fn bodies(&self) -> Vec<Bytes> {
        self.shared.lock().unwrap().bodies.clone()
    }

    /// Returns the value that each request had there, or nothing.
    pub fn header(&self, name: &str) -> Vec<String> {
        let shared = self.shared.lock().unwrap();
        let values = shared.heads.iter().map(|head| head.get(name));
        let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
        values
            .map(|value| value.map(text).unwrap_or_default())
            .collect()
    }

    pub fn attempts(&self) -> Vec<Option<u32>> {
        self.shared.lock().unwrap().attempts.clone()
    }
}

impl Clone for Peer {
    fn clone(&self) -> Self {
        Peer {
            shared: self.shared.clone(),
            held: self.held.clone(),
            ready: false,
        }
    }
}

impl Service<Request<ReplayBody<Full<Bytes>>>> for Peer {
    type Response = Response<TrackedBody>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<TrackedBody>, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReplayBody<Full<Bytes>>>) -> Self::Future {
        assert!(
            std::mem::take(&mut self.ready),
            "called without being ready"
        );
        let (shared, held) = (self.shared.clone(), Arc::downgrade(&self.held));
        Box::pin(async move {
            let attempt = request.extensions().get::<Attempt>().map(Attempt::number);
            let head = request.headers().clone();
            let body = request.into_body().collect().await.map_err(Error::other)?;
            let mut shared = shared.lock().unwrap();
            shared.bodies.push(body.to_bytes());
            shared.attempts.push(attempt);
            shared.heads.push(head);
            let answer = shared.answers.pop_front().expect("an answer");
            let mut response = Response::new(TrackedBody(held.upgrade()));
            for (name, value) in answer.map_err(Error::other)? {
                match name {
                    ":status" => *response.status_mut() = value.parse().unwrap(),
                    _ => drop(response.headers_mut().insert(name, value.parse().unwrap())),
                }
            }
            Ok(response)
        })
    }
}

/// The body of an answer, which shows how long it is held.
#[derive(Debug)]
pub struct TrackedBody(#[allow(dead_code)] Option<Arc<()>>);

impl Body for TrackedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Poll::Ready(None)
    }
}
