//! The invariant of the fuzz target `ops_query`: whatever is asked of the console, the answer is not a failure of the server,
//! and a problem document if it is a problem.

use std::{cell::OnceCell, future::poll_fn, task::Poll};

use http::{Request, header};
use tower_keep::ops::{Access, Identity, Ops, Role};
use tower_service::Service;

/// Resources that answer at once; `{}` is where the input goes.
const RESOURCES: [(&str, &str); 20] = [
    ("GET", "/api/v1/status?{}"),
    ("GET", "/api/v1/overview?{}"),
    ("GET", "/api/v1/routes?{}"),
    ("GET", "/api/v1/operations?{}"),
    ("GET", "/api/v1/guards/{}"),
    ("GET", "/api/v1/health/{}"),
    ("GET", "/api/v1/errors?{}"),
    ("GET", "/api/v1/errors/{}"),
    ("GET", "/api/v1/calls?{}"),
    ("GET", "/api/v1/metrics/query?name=a&{}"),
    ("GET", "/api/v1/metrics/{}"),
    ("GET", "/api/v1/journal?{}"),
    ("GET", "/api/v1/live?{}"),
    ("GET", "/health?{}"),
    ("GET", "/{}"),
    ("POST", "/api/v1/guards/circuit_breaker/a/control"),
    ("POST", "/api/v1/guards/{}/control"),
    ("POST", "/api/v1/errors/0"),
    ("POST", "/api/v1/log-level"),
    ("GET", "/api/v1/logs?{}"),
];

/// Asks the console: the first byte chooses what, the rest is the query, the path or the body.
pub fn ops_query(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else {
        return;
    };
    let (method, resource) = RESOURCES[usize::from(*first) % RESOURCES.len()];
    let text = String::from_utf8_lossy(rest);
    // What no HTTP server would let through is not asked.
    let uri = resource.replace("{}", &text);
    let request = Request::builder().method(method).uri(uri);
    let request = request.header(header::CONTENT_TYPE, "application/json");
    let Ok(request) = request.body(text.into_owned()) else {
        return;
    };
    let (status, content_type) = ask(request);
    assert!(status < 500 || status == 503, "{status}");
    if status >= 400 {
        assert_eq!(
            content_type.as_deref(),
            Some("application/problem+json"),
            "{status}"
        );
    }
}

/// Returns the status and the content type of the answer.
fn ask(request: Request<String>) -> (u16, Option<String>) {
    thread_local! {
        static CONSOLE: OnceCell<(tokio::runtime::Runtime, Ops, Access)> = const { OnceCell::new() };
    }
    CONSOLE.with(|console| {
        let (runtime, ops, access) = console.get_or_init(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build();
            let ops = Ops::builder("orders").allow_control(true).build();
            let access = Access::builder().by(|_| Some(Identity::new(Role::Operator)));
            let access = access.build().expect("valid");
            (runtime.expect("a runtime"), ops.expect("valid"), access)
        });
        let mut router = ops.console::<()>(access.clone());
        runtime.block_on(async {
            poll_fn(
                |context| match Service::<Request<String>>::poll_ready(&mut router, context) {
                    Poll::Ready(Ok(())) => Poll::Ready(()),
                    _ => Poll::Pending,
                },
            )
            .await;
            let response = router.call(request).await.expect("infallible");
            let content_type = response.headers().get(header::CONTENT_TYPE);
            let content_type = content_type.and_then(|value| value.to_str().ok());
            (response.status().as_u16(), content_type.map(str::to_owned))
        })
    })
}
