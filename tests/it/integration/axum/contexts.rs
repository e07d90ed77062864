//! The context of a call in its handler.

use axum::{Extension, Router, routing::get as on_get};
use tower::ServiceExt;
use tower_keep::{Context, observe};

use crate::support::{both_versions, get, local, serve, text};

#[tokio::test]
async fn context_extractors_in_handler_agree() {
    async fn below() -> Option<Context> {
        tokio::task::yield_now().await;
        Context::current()
    }
    let app = Router::new()
        .route(
            "/",
            on_get(
                async |Extension(extension): Extension<Context>,
                       extracted: Context,
                       optional: Option<Context>| {
                    assert_eq!(extension, extracted);
                    assert_eq!(optional.as_ref(), Some(&extracted));
                    assert_eq!(Context::current().as_ref(), Some(&extracted));
                    assert_eq!(below().await.as_ref(), Some(&extracted));
                    extracted.correlation_id().to_owned()
                },
            ),
        )
        .layer(observe("shop").server());
    let address = serve(app).await;
    for (_, client) in both_versions() {
        let mut request = get(address, "/");
        let id = "mine".parse().unwrap();
        request.headers_mut().insert("x-correlation-id", id);
        let response = client.request(request).await.unwrap();
        assert_eq!(text(response).await, "mine");
    }
}

#[tokio::test]
async fn context_extractor_without_layer_names_the_layer() {
    let app = Router::new()
        .route("/must", on_get(async |_: Context| ()))
        .route(
            "/may",
            on_get(async |call: Option<Context>| format!("{}", call.is_none())),
        );
    let response = app.clone().oneshot(local("/must")).await.unwrap();
    assert_eq!(response.status(), 500);
    assert_eq!(
        text(app.oneshot(local("/may")).await.unwrap()).await,
        "true"
    );
}
