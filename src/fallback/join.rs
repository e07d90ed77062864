use std::marker::PhantomData;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, response};
use http_body::Body;

use super::{FallbackBody, Served, judge::judge_response};
use crate::{
    call::{BoxError, Judged},
    protocol::{Any, HttpCall, HttpProtocol, KindOver, Notes, Respond, Wrap},
};

/// Makes one type of the service's answer and the fallback's. Not meant to be implemented elsewhere.
#[diagnostic::on_unimplemented(
    message = "a fallback that answers with `{Alt}` cannot stand in for a service that answers with `{Res}`",
    note = "for any service they must be of one type; over HTTP, both must be an `http::Response`"
)]
pub trait Join<Res, E, Alt>: Respond<Res, E> {
    /// Wrapper of the bodies of responses.
    #[doc(hidden)]
    type Bodies: Wrap;
    #[doc(hidden)]
    fn pass(response: Res) -> Self::Response<Self::Bodies>;
    /// The fallback's answer.
    #[doc(hidden)]
    fn join(
        alternative: Alt,
        served: Served,
        header: Option<&Header>,
    ) -> Self::Response<Self::Bodies>;
    /// Judges how the other service's answer ends.
    #[doc(hidden)]
    fn judge_other(&self, notes: &mut Self::Call, alternative: &mut Alt);
}

type Header = (HeaderName, HeaderValue);

/// Wraps the service's bodies in a [`FallbackBody`] whose other kind is `A`.
#[derive(Debug)]
pub struct WithAlternative<A>(PhantomData<fn() -> A>);

impl<A> Wrap for WithAlternative<A> {
    type Body<B> = FallbackBody<B, A>;
    type With<'a>
        = ()
    where
        Self: 'a;

    fn wrap<B: Body<Data = Bytes>>((): (), _: &mut response::Parts, body: B) -> FallbackBody<B, A> {
        FallbackBody::service(body)
    }

    fn message<B>(message: Bytes) -> FallbackBody<B, A> {
        FallbackBody::message(message)
    }
}

impl<Res: 'static, E: Into<BoxError>> Join<Res, E, Res> for Any {
    type Bodies = WithAlternative<()>;

    fn pass(response: Res) -> Res {
        response
    }

    fn join(alternative: Res, _: Served, _: Option<&Header>) -> Res {
        alternative
    }

    fn judge_other(&self, notes: &mut Judged, alternative: &mut Res) {
        judge_response::<Self, Res, E>(self, notes, alternative);
    }
}

impl<B, E, A, K> Join<Response<B>, E, Response<A>> for HttpProtocol<K>
where
    B: Body<Data = Bytes>,
    A: Body<Data = Bytes>,
    K: KindOver<E>,
{
    type Bodies = WithAlternative<A>;

    fn pass(response: Response<B>) -> Response<FallbackBody<B, A>> {
        response.map(FallbackBody::service)
    }

    fn join(
        mut alternative: Response<A>,
        served: Served,
        header: Option<&Header>,
    ) -> Response<FallbackBody<B, A>> {
        if let Some((name, value)) = header {
            let headers = alternative.headers_mut();
            headers.insert(name.clone(), value.clone());
        }
        alternative.extensions_mut().insert(served);
        alternative.map(FallbackBody::fallback)
    }

    fn judge_other(&self, notes: &mut HttpCall, alternative: &mut Response<A>) {
        // The same question, another answer.
        notes.begin_again();
        judge_response::<Self, Response<A>, E>(self, notes, alternative);
    }
}
