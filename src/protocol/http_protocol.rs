use std::{error::Error, fmt, marker::PhantomData};

use bytes::Bytes;
use http::{Extensions, HeaderMap, Request, Response, response};
use http_body::Body;

use super::{
    BodyInfo, ClientKind, GrpcClientKind, HttpCall, Instead, Kind, KindOver, Protocol, Read,
    Respond, ResponseHead, ServerKind, Side, Step, Wrap, sealed,
};
use crate::call::{Classifier, Ending, Thrown, caught};

/// HTTP and gRPC: see the [module](super). `K` says on which side, and how a call is answered for.
pub struct HttpProtocol<K> {
    classifier: Option<Classifier>,
    kind: PhantomData<fn() -> K>,
}

/// HTTP and gRPC servers: see the [module](super).
pub type Server = HttpProtocol<ServerKind>;
/// HTTP clients: see the [module](super).
pub type Client = HttpProtocol<ClientKind>;
/// gRPC clients: see the [module](super).
pub type GrpcClient = HttpProtocol<GrpcClientKind>;

impl<K> HttpProtocol<K> {
    pub(crate) const fn new() -> Self {
        HttpProtocol {
            classifier: None,
            kind: PhantomData,
        }
    }
}

impl<K> sealed::Sealed for HttpProtocol<K> {}

impl<K: Kind> Protocol for HttpProtocol<K> {
    type Call = HttpCall;
    type Refusal = K::Refusal;
    type Message = (response::Parts, Bytes);
    const SIDE: Side = K::SIDE;
    const ANSWERS: bool = K::ANSWERS;

    fn classified(self, classifier: Classifier) -> Self {
        HttpProtocol {
            classifier: Some(classifier),
            kind: PhantomData,
        }
    }

    #[inline]
    fn classifier(&self) -> Option<&Classifier> {
        self.classifier.as_ref()
    }

    fn head_of((parts, message): &mut Self::Message) -> (&mut response::Parts, u64) {
        (parts, message.len() as u64)
    }
}

impl<B: 'static, K: Kind> Read<Request<B>> for HttpProtocol<K> {
    #[inline]
    fn read(&self, request: &mut Request<B>) -> HttpCall {
        HttpCall::of::<K, B>(request, self.classifier.as_ref())
    }

    #[inline]
    fn extensions(request: &Request<B>) -> Option<&Extensions> {
        Some(request.extensions())
    }

    #[inline]
    fn headers_mut(request: &mut Request<B>) -> Option<&mut HeaderMap> {
        Some(request.headers_mut())
    }
}

impl<B, E, K> Respond<Response<B>, E> for HttpProtocol<K>
where
    B: Body<Data = Bytes>,
    K: KindOver<E>,
{
    type Response<W: Wrap> = Response<W::Body<B>>;
    type Error = K::Error;

    #[inline]
    fn error(error: E) -> K::Error {
        K::error(error)
    }

    #[inline]
    fn body_info(response: &Response<B>) -> Result<BodyInfo, Thrown> {
        let body = response.body();
        caught(|| BodyInfo {
            exact: body.size_hint().exact(),
            ended: body.is_end_stream(),
        })
    }

    #[inline]
    fn head(response: &Response<B>) -> Option<ResponseHead<'_>> {
        Some(response.into())
    }

    #[inline]
    fn judge(&self, call: &mut HttpCall, response: &Response<B>, exact: Option<u64>) -> Step {
        call.judge_head(response.into(), exact, self.classifier.as_ref())
    }

    fn judge_error<'a>(
        &self,
        call: &mut HttpCall,
        error: &'a K::Error,
    ) -> Option<&'a (dyn Error + 'static)> {
        call.judge_any_error(error, self.classifier.as_ref())
    }

    #[inline]
    fn leave(call: &HttpCall, response: &mut Response<B>) {
        call.leave_verdict(response.extensions_mut());
    }

    fn leave_with(&self, call: &HttpCall, error: K::Error) -> K::Error {
        K::leave_with(call, error)
    }

    fn ending<'a>(call: &HttpCall, response: &'a Response<B>) -> Ending<'a> {
        call.ending(response.into())
    }

    #[inline]
    fn wrap<W: Wrap>(response: Response<B>, with: W::With<'_>) -> Response<W::Body<B>> {
        let (mut parts, body) = response.into_parts();
        let body = W::wrap(with, &mut parts, body);
        Response::from_parts(parts, body)
    }

    fn instead(call: &HttpCall, why: Instead<'_, K::Refusal>) -> Result<Self::Message, K::Error> {
        K::instead(call, why).map(Response::into_parts)
    }

    fn say<W: Wrap>((parts, message): Self::Message) -> Response<W::Body<B>> {
        Response::from_parts(parts, W::message(message))
    }
}

impl<K> Clone for HttpProtocol<K> {
    fn clone(&self) -> Self {
        HttpProtocol {
            classifier: self.classifier.clone(),
            kind: PhantomData,
        }
    }
}

impl<K> Default for HttpProtocol<K> {
    fn default() -> Self {
        HttpProtocol::new()
    }
}

impl<K> fmt::Debug for HttpProtocol<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpProtocol")
            .field("classifier", &self.classifier)
            .finish_non_exhaustive()
    }
}
