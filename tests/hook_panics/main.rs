//! Code that is not ours may panic: hooks of guards, classifiers, recorders, subscribers. No call is the worse for
//! it, every guard still settles exactly once, and the panic is counted.
//!
//! In a process of its own, in which nothing else adds to `hook_panics`.

#[path = "../support/callsites.rs"]
mod callsites;
mod guards;
mod recorder;
mod subscribers;

use std::{
    panic::resume_unwind,
    sync::{Mutex, PoisonError},
    task::Poll,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower::Service;
use tower_keep::{
    BoxError, hook_panics,
    testing::{CountingWaker, Reply, Script, ScriptedBody},
};

/// Panics without the panic hook, unlike `panic!`.
fn clumsy() -> ! {
    resume_unwind(Box::new("clumsy"))
}

fn good() -> Script {
    Script::always(|| Reply::ok().pending(1).data("hel").data("lo"))
}

/// Returns how many hooks panic meanwhile: one number for the process, so one test at a time.
fn counted(work: impl FnOnce()) -> u64 {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = hook_panics();
    work();
    hook_panics() - before
}

/// Plays one call to its end, and gives the body.
fn play<S, B>(mut service: S) -> String
where
    S: Service<Request<ScriptedBody>, Response = Response<B>, Error = BoxError>,
    B: Body<Data = Bytes, Error = BoxError>,
{
    let wakes = CountingWaker::new();
    let mut future = wakes.call(&mut service, Request::new(ScriptedBody::new()));
    let response = loop {
        if let Poll::Ready(result) = wakes.poll(future.as_mut()) {
            break result.expect("an answer");
        }
    };
    let (mut body, mut data) = (Box::pin(response.into_body()), Vec::new());
    while let Poll::Ready(Some(frame)) = wakes.poll_frame(body.as_mut()) {
        data.extend_from_slice(&frame.expect("a frame").into_data().expect("data"));
    }
    String::from_utf8(data).expect("text")
}
