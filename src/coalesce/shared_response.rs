use std::sync::Arc;

use http::{Response, response};

use super::{CoalescedBody, shared_bytes::SharedBytes};

/// A whole response, of which each caller gets a copy: the head is cloned, the body shared.
#[derive(Clone, Debug)]
pub struct SharedResponse(Arc<Whole>);

#[derive(Debug)]
struct Whole {
    head: response::Parts,
    body: SharedBytes,
}

impl SharedResponse {
    pub(super) fn new(head: response::Parts, body: SharedBytes) -> Self {
        SharedResponse(Arc::new(Whole { head, body }))
    }

    pub(super) fn to_response<B>(&self) -> Response<CoalescedBody<B>> {
        let body = CoalescedBody::from_shared(self.0.body.clone());
        Response::from_parts(self.0.head.clone(), body)
    }
}
