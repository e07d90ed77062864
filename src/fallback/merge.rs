use std::marker::PhantomData;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, response};
use http_body::Body;

use super::{FallbackBody, FallbackInfo, classify::classify_response};
use crate::{
    call::{BoxError, Classification},
    protocol::{AnyService, CallState, HttpExchange, HttpKindFor, HttpProtocol, Respond, WrapBody},
};

/// Makes one type of the service's answer and the fallback's. Not meant to be implemented elsewhere.
#[diagnostic::on_unimplemented(
    message = "a fallback that answers with `{Alt}` cannot stand in for a service that answers with `{Res}`",
    note = "for any service they must be of one type; over HTTP, both must be an `http::Response`"
)]
pub trait Merge<Res, E, Alt>: Respond<Res, E> {
    /// Wrapper of the bodies of responses.
    #[doc(hidden)]
    type Bodies: WrapBody;
    #[doc(hidden)]
    fn from_service(response: Res) -> Self::Response<Self::Bodies>;
    /// The fallback's answer.
    #[doc(hidden)]
    fn from_fallback(
        alternative: Alt,
        served: FallbackInfo,
        header: Option<&Header>,
    ) -> Self::Response<Self::Bodies>;
    /// Judges how the other service's answer ends.
    #[doc(hidden)]
    fn classify_fallback(&self, notes: &mut Self::Call, alternative: &mut Alt);
}

type Header = (HeaderName, HeaderValue);

/// Wraps the service's bodies in a [`FallbackBody`] whose other kind is `A`.
#[derive(Debug)]
pub struct WrapFallbackBody<A>(PhantomData<fn() -> A>);

impl<A> WrapBody for WrapFallbackBody<A> {
    type Body<B> = FallbackBody<B, A>;
    type With<'a>
        = ()
    where
        Self: 'a;

    fn wrap_body<B: Body<Data = Bytes>>(
        (): (),
        _: &mut response::Parts,
        body: B,
    ) -> FallbackBody<B, A> {
        FallbackBody::from_service(body)
    }

    fn message_body<B>(message: Bytes) -> FallbackBody<B, A> {
        FallbackBody::from_bytes(message)
    }
}

impl<Res: 'static, E: Into<BoxError>> Merge<Res, E, Res> for AnyService {
    type Bodies = WrapFallbackBody<()>;

    fn from_service(response: Res) -> Res {
        response
    }

    fn from_fallback(alternative: Res, _: FallbackInfo, _: Option<&Header>) -> Res {
        alternative
    }

    fn classify_fallback(&self, notes: &mut Classification, alternative: &mut Res) {
        classify_response::<Self, Res, E>(self, notes, alternative);
    }
}

impl<B, E, A, K> Merge<Response<B>, E, Response<A>> for HttpProtocol<K>
where
    B: Body<Data = Bytes>,
    A: Body<Data = Bytes>,
    K: HttpKindFor<E>,
{
    type Bodies = WrapFallbackBody<A>;

    fn from_service(response: Response<B>) -> Response<FallbackBody<B, A>> {
        response.map(FallbackBody::from_service)
    }

    fn from_fallback(
        mut alternative: Response<A>,
        served: FallbackInfo,
        header: Option<&Header>,
    ) -> Response<FallbackBody<B, A>> {
        if let Some((name, value)) = header {
            let headers = alternative.headers_mut();
            headers.insert(name.clone(), value.clone());
        }
        alternative.extensions_mut().insert(served);
        alternative.map(FallbackBody::from_fallback)
    }

    fn classify_fallback(&self, notes: &mut HttpExchange, alternative: &mut Response<A>) {
        // The same question, another answer.
        notes.reset();
        classify_response::<Self, Response<A>, E>(self, notes, alternative);
    }
}
