use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response};
use http_body::Body;

use super::{FallbackBody, FallbackInfo, classify::classify_response, wrap_body::WrapFallbackBody};
use crate::{
    call::{BoxError, Classification},
    protocol::{AnyService, CallState, HttpExchange, HttpKindFor, HttpProtocol, Respond, WrapBody},
};

/// Makes one response type of the service's and the fallback's. Implemented by the protocols only.
#[diagnostic::on_unimplemented(
    message = "a fallback that responds with `{Alt}` cannot stand in for a service that responds with `{Res}`",
    note = "for any service they must be of one type; over HTTP, both must be an `http::Response`"
)]
pub trait Merge<Res, E, Alt>: Respond<Res, E> {
    /// The wrapper of the bodies of responses.
    type BodyWrapper: WrapBody;

    fn from_service(response: Res) -> Self::Response<Self::BodyWrapper>;

    /// Marks the fallback's response with the info, and with the header if there is one.
    fn from_fallback(
        response: Alt,
        info: FallbackInfo,
        header: Option<&Header>,
    ) -> Self::Response<Self::BodyWrapper>;

    /// Classifies the response of a fallback service by its head.
    fn classify_fallback(&self, call: &mut Self::Call, response: &mut Alt);
}

type Header = (HeaderName, HeaderValue);

impl<Res: 'static, E: Into<BoxError>> Merge<Res, E, Res> for AnyService {
    type BodyWrapper = WrapFallbackBody<()>;

    fn from_service(response: Res) -> Res {
        response
    }

    fn from_fallback(response: Res, _: FallbackInfo, _: Option<&Header>) -> Res {
        response
    }

    fn classify_fallback(&self, call: &mut Classification, response: &mut Res) {
        classify_response::<Self, Res, E>(self, call, response);
    }
}

impl<B, E, A, K> Merge<Response<B>, E, Response<A>> for HttpProtocol<K>
where
    B: Body<Data = Bytes>,
    A: Body<Data = Bytes>,
    K: HttpKindFor<E>,
{
    type BodyWrapper = WrapFallbackBody<A>;

    fn from_service(response: Response<B>) -> Response<FallbackBody<B, A>> {
        response.map(FallbackBody::from_service)
    }

    fn from_fallback(
        mut response: Response<A>,
        info: FallbackInfo,
        header: Option<&Header>,
    ) -> Response<FallbackBody<B, A>> {
        // Replaces that of the fallback service, which may have a fallback, too.
        if let Some((name, value)) = header {
            response.headers_mut().insert(name.clone(), value.clone());
        }
        // For layers of this process, whether or not a header tells callers.
        response.extensions_mut().insert(info);
        response.map(FallbackBody::from_fallback)
    }

    fn classify_fallback(&self, call: &mut HttpExchange, response: &mut Response<A>) {
        // The same request, another response.
        call.reset();
        classify_response::<Self, Response<A>, E>(self, call, response);
    }
}
