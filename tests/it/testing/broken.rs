//! Layers with the bugs that layers have, and what the contract says of them.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use tower::{Service, layer::layer_fn};
use tower_keep::{
    BoxError, Guard, Rejection,
    call::{CallClock, CallEnd},
    guard::Admit,
    testing::{ReadyChecked, Script, ScriptedBody, contract},
};

type Inner = ReadyChecked<Script>;
type Answer = Result<Response<ScriptedBody>, BoxError>;
type Boxed = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A service that hands its calls to a function, and is ready when the wrapped service is.
#[derive(Clone)]
struct Calls(Inner, fn(&mut Inner, Request<ScriptedBody>) -> Boxed);

impl Service<Request<ScriptedBody>> for Calls {
    type Response = Response<ScriptedBody>;
    type Error = BoxError;
    type Future = Boxed;
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Service::<Request<ScriptedBody>>::poll_ready(&mut self.0, cx)
    }
    fn call(&mut self, request: Request<ScriptedBody>) -> Boxed {
        (self.1)(&mut self.0, request)
    }
}

fn sign(call: fn(&mut Inner, Request<ScriptedBody>) -> Boxed) {
    contract::check_http(|| layer_fn(move |inner| Calls(inner, call)));
}

#[test]
fn contract_accepts_correct_layer() {
    sign(|inner, request| Box::pin(inner.call(request)));
}

#[test]
#[should_panic(expected = "not itself polled ready")]
fn contract_rejects_call_on_unready_clone() {
    sign(|inner, request| Box::pin(inner.clone().call(request)));
}

#[test]
#[should_panic(expected = "the layer has woken its own task")]
fn contract_rejects_self_waking_layer() {
    sign(|inner, request| {
        let mut call = inner.call(request);
        Box::pin(std::future::poll_fn(move |cx| {
            let poll = Pin::new(&mut call).poll(cx);
            cx.waker().wake_by_ref();
            poll
        }))
    });
}

#[test]
#[should_panic(expected = "outlives the call")]
fn contract_rejects_work_after_drop() {
    sign(|inner, request| {
        let task = tokio::spawn(inner.call(request));
        Box::pin(async { task.await? })
    });
}

#[test]
#[should_panic(expected = "nothing wakes its task")]
fn contract_rejects_pending_without_wake() {
    sign(|inner, request| {
        let mut call = inner.call(request);
        let mut first = true;
        Box::pin(std::future::poll_fn(move |cx| {
            if std::mem::take(&mut first) {
                return Pin::new(&mut call).poll(cx);
            }
            Poll::Pending
        }))
    });
}

#[test]
#[should_panic(expected = "the service does not become ready")]
fn contract_rejects_slot_leaked_by_dropped_handle() {
    #[derive(Clone)]
    struct Slots(Inner, Arc<AtomicUsize>, bool);
    impl Service<Request<ScriptedBody>> for Slots {
        type Response = Response<ScriptedBody>;
        type Error = BoxError;
        type Future = Boxed;
        fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            if !self.2 && self.1.fetch_add(1, SeqCst) >= 10 {
                self.1.fetch_sub(1, SeqCst);
                return Poll::Pending;
            }
            self.2 = true;
            Service::<Request<ScriptedBody>>::poll_ready(&mut self.0, cx)
        }
        fn call(&mut self, request: Request<ScriptedBody>) -> Boxed {
            self.2 = false;
            self.1.fetch_sub(1, SeqCst);
            Box::pin(self.0.call(request))
        }
    }
    let slots = Arc::new(AtomicUsize::new(0));
    contract::check_http(|| {
        let slots = slots.clone();
        layer_fn(move |inner| Slots(inner, slots.clone(), false))
    });
}

#[test]
#[should_panic(expected = "its end before its last frame")]
fn contract_rejects_body_end_before_trailers() {
    struct Hasty(ScriptedBody);
    impl Body for Hasty {
        type Data = Bytes;
        type Error = BoxError;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            Pin::new(&mut self.0).poll_frame(cx)
        }
        fn is_end_stream(&self) -> bool {
            self.0.size_hint().exact() == Some(0)
        }
        fn size_hint(&self) -> SizeHint {
            self.0.size_hint()
        }
    }
    contract::check_http(|| {
        tower::util::MapResponseLayer::new(|response: Response<ScriptedBody>| response.map(Hasty))
    });
}

#[test]
#[should_panic(expected = "did not reach the service")]
fn contract_rejects_guard_that_rejects_second_call() {
    struct Once(AtomicUsize);
    impl Guard for Once {
        type Permit = ();
        fn on_end(&self, (): (), _: &CallEnd<'_>) {}
    }
    impl<Req> Admit<Req> for Once {
        fn admit(&self, _: &mut Req, _: &CallClock) -> Result<(), Rejection> {
            match self.0.fetch_add(1, SeqCst) {
                0 => Ok(()),
                _ => Err(Rejection::rate_limited("once")),
            }
        }
    }
    contract::check_guard(|| Once(AtomicUsize::new(0)));
}
