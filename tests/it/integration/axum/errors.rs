//! Errors that become responses.

use std::{error::Error, fmt, sync::Arc};

use axum::{
    Router,
    extract::Path,
    response::{IntoResponse, Response},
    routing::get as on_get,
};
use http::StatusCode;
use tower_keep::observe;

use super::{TornPage, fails};
use crate::{
    integration::tracked,
    support::{both_versions, get, serve, text},
};

#[tokio::test]
async fn response_error_extension_is_recorded_with_sources() {
    #[derive(Debug)]
    struct NoInvoice(TornPage);
    impl fmt::Display for NoInvoice {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("no invoice was printed")
        }
    }
    impl Error for NoInvoice {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }
    /// Responds as an application's own error type would.
    impl IntoResponse for NoInvoice {
        fn into_response(self) -> Response {
            let mut response = StatusCode::BAD_GATEWAY.into_response();
            let error: Arc<dyn Error + Send + Sync> = Arc::new(self);
            response.extensions_mut().insert(error);
            response
        }
    }

    let (track, errors) = tracked("shop");
    let app = Router::new()
        .route(
            "/invoices/{id}",
            on_get(|Path(id): Path<u32>| async move { Err::<(), _>(NoInvoice(TornPage(id))) }),
        )
        .layer(observe(track).server());
    let address = serve(app).await;
    for (_, client) in both_versions() {
        let request = get(address, "/invoices/7");
        assert_eq!(client.request(request).await.unwrap().status(), 502);
    }
    let [group] = &errors.groups()[..] else {
        panic!("{:#?}", errors.groups())
    };
    let record = group.latest().record();
    assert_eq!((group.kind(), group.count()), ("NoInvoice", 2));
    assert_eq!(record.message(), "no invoice was printed");
    assert_eq!(record.causes().collect::<Vec<_>>(), ["page 7 is torn"]);
    assert_eq!(record.route(), Some("/invoices/{id}"));
    assert_eq!(record.service(), Some("shop"));
}

#[tokio::test]
async fn error_status_is_grouped_by_route_and_status() {
    let (track, errors) = tracked("shop");
    let app = Router::new()
        .route("/fails", on_get(fails))
        .layer(observe(track).server());
    let address = serve(app).await;
    for (_, client) in both_versions() {
        text(client.request(get(address, "/fails")).await.unwrap()).await;
    }
    let [group] = &errors.groups()[..] else {
        panic!("{:#?}", errors.groups())
    };
    assert_eq!((group.kind(), group.count()), ("500", 2));
    assert_eq!(group.message(), "Internal Server Error");
}
