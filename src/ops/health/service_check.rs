//! One call of a tower service.

use std::future::poll_fn;

use tower_service::Service;

/// Calls the service once it is ready.
pub(super) async fn call<S, Req>(mut service: S, request: Req) -> Result<S::Response, S::Error>
where
    S: Service<Req>,
{
    poll_fn(|cx| service.poll_ready(cx)).await?;
    service.call(request).await
}
