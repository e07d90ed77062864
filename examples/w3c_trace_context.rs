//! The service that the W3C's trace-context validation suite calls: a request is a JSON list of `{url, arguments}`, and each
//! URL is called with its arguments, in the context of the request.
//!
//! `cargo run --example w3c_trace_context`, and in a checkout of <https://github.com/w3c/trace-context>
//! `STRICT_LEVEL=2 SPEC_LEVEL=2 python test/test.py http://127.0.0.1:5000/test`, which needs the package `aiohttp`.
//!
//! With `--features opentelemetry` the IDs are those of spans that `tracing-opentelemetry` exports.

use axum::{
    Json, Router,
    http::{Request, StatusCode, Uri, header},
    routing::post,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::Value;
use tower::{Layer, ServiceExt};
use tower_keep::{BoxError, observe};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    #[cfg(feature = "opentelemetry")]
    export_spans();
    let app = Router::new()
        .route("/test", post(follow))
        .layer(observe("service").server());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:5000").await?;
    println!("listening on http://{}/test", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

/// Makes a span of OpenTelemetry of each span of this process. They are dropped at their end.
#[cfg(feature = "opentelemetry")]
fn export_spans() {
    use opentelemetry::trace::TracerProvider;
    use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};

    let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder().build();
    let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("w3c"));
    tracing_subscriber::registry().with(spans).init();
    println!("spans are exported");
}

async fn follow(Json(steps): Json<Vec<Value>>) -> StatusCode {
    for step in steps {
        if let Err(error) = call(&step).await {
            eprintln!("{error}");
            return StatusCode::BAD_GATEWAY;
        }
    }
    StatusCode::OK
}

async fn call(step: &Value) -> Result<(), BoxError> {
    let url: Uri = step["url"].as_str().ok_or("no url")?.parse()?;
    let request = Request::post(url)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(step["arguments"].to_string())))?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let client = observe("harness").client().layer(client);
    client.oneshot(request).await?.into_body().collect().await?;
    Ok(())
}
