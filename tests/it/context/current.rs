//! The context of a call is known everywhere below its layer.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context as Cx, Poll},
};

use axum::{
    Router,
    body::Body,
    extract::Request as AxumRequest,
    middleware::{Next, from_fn},
    routing::get as on_get,
};
use tokio::sync::{Barrier, oneshot};
use tower_keep::{Context, context::in_context, observe};

use super::{told, with, word};
use crate::support::{both_versions, get, header, http1, serve, text, within};

#[tokio::test]
async fn context_is_current_in_inner_middleware() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let see = {
        let seen = seen.clone();
        move |request: AxumRequest, next: Next| {
            let seen = seen.clone();
            async move {
                seen.lock().unwrap().push(Context::current());
                let response = next.run(request).await;
                seen.lock().unwrap().push(Context::current());
                response
            }
        }
    };
    let app = Router::new()
        .route("/", on_get(async || told()))
        .layer(from_fn(see))
        .layer(observe("shop").server());
    let response = http1().request(get(serve(app).await, "/")).await.unwrap();
    let id = header(&response, "x-request-id").unwrap();
    let seen = seen.lock().unwrap();
    let ids = seen.iter().map(|seen| seen.as_ref().unwrap().request_id());
    assert_eq!(ids.collect::<Vec<_>>(), [id, id]);
}

#[tokio::test]
async fn context_reaches_spawned_task_if_handed_on() {
    let app = Router::new()
        .route(
            "/",
            on_get(async || {
                let call = Context::current().unwrap();
                let lost = tokio::spawn(async { Context::current() }).await.unwrap();
                assert_eq!(lost, None);
                let kept = tokio::spawn(in_context(async {
                    tokio::task::yield_now().await;
                    // Another step down, by the context itself.
                    let call = Context::current().unwrap();
                    let below = call.scope(async { Context::current() });
                    tokio::spawn(below).await.unwrap()
                }));
                assert_eq!(kept.await.unwrap().as_ref(), Some(&call));
                let blocking = tokio::task::spawn_blocking(move || call.run(told));
                assert_eq!(blocking.await.unwrap(), told());
                told()
            }),
        )
        .layer(observe("shop").server());
    let address = serve(app).await;
    for (_, client) in both_versions() {
        let response = client.request(get(address, "/")).await.unwrap();
        assert_eq!(response.status(), 200);
    }
}

#[tokio::test]
async fn context_is_separate_for_interleaved_calls() {
    const CALLS: usize = 8;
    let all_here = Arc::new(Barrier::new(CALLS));
    let app = Router::new()
        .route(
            "/",
            on_get(move || {
                let all_here = all_here.clone();
                async move {
                    let before = told();
                    all_here.wait().await;
                    for _ in 0..10 {
                        tokio::task::yield_now().await;
                        assert_eq!(told(), before);
                    }
                    before
                }
            }),
        )
        .layer(observe("shop").server());
    let address = serve(app).await;
    for (_, client) in both_versions() {
        let calls = (0..CALLS).map(|n| {
            let id = format!("call-{n}");
            let request = with(get(address, "/"), [("x-correlation-id", &*id)]);
            let answer = client.request(request);
            tokio::spawn(async move {
                let told = text(answer.await.unwrap()).await;
                assert_eq!(word(&told, "correlation"), Some(&*id));
            })
        });
        for call in calls.collect::<Vec<_>>() {
            within(call).await.unwrap();
        }
        assert_eq!(Context::current(), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn context_moves_with_call_across_threads() {
    let app = Router::new()
        .route(
            "/",
            on_get(async || {
                let before = told();
                for _ in 0..20 {
                    tokio::spawn(in_context(tokio::task::yield_now()))
                        .await
                        .unwrap();
                    assert_eq!(told(), before);
                }
                before
            }),
        )
        .layer(observe("shop").server());
    let address = serve(app).await;
    for (_, client) in both_versions() {
        let calls = (0..50).map(|n| {
            let id = format!("call-{n}");
            let request = with(get(address, "/"), [("x-correlation-id", &*id)]);
            let answer = client.request(request);
            tokio::spawn(async move {
                let told = text(answer.await.unwrap()).await;
                assert_eq!(word(&told, "correlation"), Some(&*id));
                assert_eq!(Context::current(), None);
            })
        });
        for call in calls.collect::<Vec<_>>() {
            within(call).await.unwrap();
        }
    }
}

#[tokio::test]
async fn context_is_current_in_body_poll_and_drop() {
    struct Stream(Option<oneshot::Sender<Option<Context>>>, u32);
    impl tokio_stream::Stream for Stream {
        type Item = Result<String, Infallible>;
        fn poll_next(mut self: Pin<&mut Self>, _: &mut Cx<'_>) -> Poll<Option<Self::Item>> {
            self.1 += 1;
            match self.1 {
                1 => Poll::Ready(Some(Ok(told()))),
                _ => Poll::Pending,
            }
        }
    }
    impl Drop for Stream {
        fn drop(&mut self) {
            let _ = self.0.take().unwrap().send(Context::current());
        }
    }

    let (sender, dropped) = oneshot::channel();
    let stream = Arc::new(Mutex::new(Some(Stream(Some(sender), 0))));
    let app = Router::new()
        .route(
            "/",
            on_get(move || {
                let stream = stream.lock().unwrap().take().unwrap();
                async { Body::from_stream(stream) }
            }),
        )
        .layer(observe("shop").server());
    let request = with(get(serve(app).await, "/"), [("x-correlation-id", "mine")]);
    let mut body = http1().request(request).await.unwrap().into_body();
    let frame = within(http_body_util::BodyExt::frame(&mut body))
        .await
        .unwrap()
        .unwrap();
    let told = String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
    assert_eq!(word(&told, "correlation"), Some("mine"));
    drop(body);
    let seen = within(dropped).await.unwrap().unwrap();
    assert_eq!(seen.correlation_id(), "mine");
}
