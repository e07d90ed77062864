use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::Body;
use tower_service::Service;

use super::{
    Failed, OtherFuture, Served,
    kept_request::KeptRequest,
    other::Its,
    settings::Unserved,
    source::{Made, Source, time_left},
};
use crate::{
    call::BoxError,
    retry::{AsIs, MapBody},
};

/// Another HTTP service, which is sent what was not begun, or may be done twice. Made by
/// [`FallbackLayer::service`](super::FallbackLayer::service).
#[derive(Clone, Copy, Debug)]
pub struct OtherHttp<T, M = AsIs> {
    pub(super) other: T,
    pub(super) map: M,
}

impl<T, M, B> Source<Request<B>> for OtherHttp<T, M>
where
    // The request's body, and what both services take in its stead.
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    M: MapBody<B>,
    // The other service.
    T: Service<Request<M::Body>> + Clone,
{
    type Response = T::Response;
    type Sent = Request<M::Body>;
    type Error = Its<T::Error>;
    type Kept = KeptRequest<B>;
    type Again = Request<M::Body>;
    type Future = OtherFuture<T, Request<M::Body>>;

    fn keep(
        &self,
        request: Request<B>,
        time_limit: Option<Duration>,
    ) -> (Self::Sent, KeptRequest<B>) {
        let (sent, kept) = KeptRequest::of(request, time_limit);
        (sent.map(|body| self.map.map_body(body)), kept)
    }

    fn make(&self, failed: &Failed<'_>, kept: KeptRequest<B>) -> Made<T::Response, Self::Again> {
        if !kept.may_go_again(failed) {
            return Made::Not(Unserved::NotRepeatable);
        }
        let Some(until) = time_left(kept.until()) else {
            return Made::Not(Unserved::Deadline);
        };
        match kept.again() {
            Some(again) => Made::Later(again.map(|body| self.map.map_body(body)), until),
            // Grew too long just now.
            None => Made::Not(Unserved::NotRepeatable),
        }
    }

    fn begin(&self, mut again: Self::Again, served: Served) -> Self::Future {
        again.extensions_mut().insert(served);
        OtherFuture::new(self.other.clone(), again)
    }
}
