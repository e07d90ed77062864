use std::{error::Error, fmt, marker::PhantomData};

use bytes::Bytes;
use http::{Extensions, HeaderMap, Request, Response, response};
use http_body::Body;

use super::{
    BodyExpected, BodyInfo, ClientKind, GrpcClientKind, HttpExchange, HttpKind, HttpKindFor,
    LocalFailure, Protocol, ReadRequest, Respond, ResponseHead, ServerKind, Side, WrapBody, sealed,
};
use crate::call::{Classifier, ClassifyInput, PanicPayload, catch};

/// The protocol of HTTP and gRPC: see the [module](super). `K` chooses the side, and how local failures are reported.
pub struct HttpProtocol<K> {
    classifier: Option<Classifier>,
    kind: PhantomData<fn() -> K>,
}

/// The protocol of HTTP and gRPC servers: see the [module](super).
pub type Server = HttpProtocol<ServerKind>;
/// The protocol of HTTP clients: see the [module](super).
pub type Client = HttpProtocol<ClientKind>;
/// The protocol of gRPC clients: see the [module](super).
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

impl<K: HttpKind> Protocol for HttpProtocol<K> {
    type Call = HttpExchange;
    type Rejection = K::Rejection;
    type Message = (response::Parts, Bytes);
    const SIDE: Side = K::SIDE;
    const RESPONDS_LOCALLY: bool = K::RESPONDS_LOCALLY;

    fn with_classifier(self, classifier: Classifier) -> Self {
        HttpProtocol {
            classifier: Some(classifier),
            kind: PhantomData,
        }
    }

    #[inline]
    fn classifier(&self) -> Option<&Classifier> {
        self.classifier.as_ref()
    }

    fn message_head((parts, message): &mut Self::Message) -> (&mut response::Parts, u64) {
        (parts, message.len() as u64)
    }
}

impl<B: 'static, K: HttpKind> ReadRequest<Request<B>> for HttpProtocol<K> {
    #[inline]
    fn read(&self, request: &mut Request<B>) -> HttpExchange {
        HttpExchange::from_request::<K, B>(request, self.classifier.as_ref())
    }

    #[inline]
    fn extensions(request: &Request<B>) -> Option<&Extensions> {
        Some(request.extensions())
    }

    #[inline]
    fn extensions_mut(request: &mut Request<B>) -> Option<&mut Extensions> {
        Some(request.extensions_mut())
    }

    #[inline]
    fn headers_mut(request: &mut Request<B>) -> Option<&mut HeaderMap> {
        Some(request.headers_mut())
    }
}

impl<B, E, K> Respond<Response<B>, E> for HttpProtocol<K>
where
    B: Body<Data = Bytes>,
    K: HttpKindFor<E>,
{
    type Response<W: WrapBody> = Response<W::Body<B>>;
    type Error = K::Error;

    #[inline]
    fn convert_error(error: E) -> K::Error {
        K::convert_error(error)
    }

    #[inline]
    fn body_info(response: &Response<B>) -> Result<BodyInfo, PanicPayload> {
        let body = response.body();
        catch(|| BodyInfo {
            exact_len: body.size_hint().exact(),
            is_end: body.is_end_stream(),
        })
    }

    #[inline]
    fn response_head(response: &Response<B>) -> Option<ResponseHead<'_>> {
        Some(response.into())
    }

    #[inline]
    fn classify_response(
        &self,
        call: &mut HttpExchange,
        response: &Response<B>,
        exact: Option<u64>,
    ) -> BodyExpected {
        call.on_head(response.into(), exact, self.classifier.as_ref())
    }

    fn classify_error<'a>(
        &self,
        call: &mut HttpExchange,
        error: &'a K::Error,
    ) -> Option<&'a (dyn Error + 'static)> {
        call.on_any_error(error, self.classifier.as_ref())
    }

    #[inline]
    fn share_classification(call: &HttpExchange, response: &mut Response<B>) {
        call.share_classification(response.extensions_mut());
    }

    fn wrap_error(&self, call: &HttpExchange, error: K::Error) -> K::Error {
        K::wrap_error(call, error)
    }

    fn classify_input<'a>(call: &HttpExchange, response: &'a Response<B>) -> ClassifyInput<'a> {
        call.classify_input(response.into())
    }

    #[inline]
    fn wrap_response<W: WrapBody>(
        response: Response<B>,
        with: W::With<'_>,
    ) -> Response<W::Body<B>> {
        let (mut parts, body) = response.into_parts();
        let body = W::wrap_body(with, &mut parts, body);
        Response::from_parts(parts, body)
    }

    fn local_response(
        call: &HttpExchange,
        why: LocalFailure<'_, K::Rejection>,
    ) -> Result<Self::Message, K::Error> {
        K::local_response(call, why).map(Response::into_parts)
    }

    fn message_response<W: WrapBody>((parts, message): Self::Message) -> Response<W::Body<B>> {
        Response::from_parts(parts, W::message_body(message))
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
