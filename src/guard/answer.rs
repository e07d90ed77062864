//! Carries out what the protocol has judged: settles the call and hands on the response.

use bytes::Bytes;
use http::Response;
use http_body::Body;

use super::{Guard, GuardedBody, Held, future::TWICE};
use crate::{
    call::{BoxError, Cause, Judged, Moment, Payload, Rejection, caught},
    protocol::{
        Any, Client, ClientKind, GrpcClient, GrpcClientKind, Http, HttpCall, HttpProtocol, Kind,
        Protocol, Server, Step, panic_answer, refusal_answer,
    },
};

/// How a protocol turns the result of a service that gives `Result<Res, E>` into that of the guarded one.
///
/// Implemented for the four [protocols](crate::protocol); not meant to be called or implemented elsewhere.
#[diagnostic::on_unimplemented(
    message = "the `{Self}` protocol cannot answer for a service that gives `Result<{Res}, {E}>`",
    note = "`Any` and the clients need an error that converts into `BoxError`",
    note = "HTTP and gRPC need `http::Response<B>` with `B: http_body::Body<Data = Bytes>`"
)]
pub trait Answer<Res, E>: Protocol + Sized {
    /// What the guarded service gives.
    type Response<G: Guard>;
    /// The error of the guarded service.
    type Error;

    #[doc(hidden)]
    fn finish<G: Guard>(
        held: &mut Option<Held<G, Self>>,
        result: Result<Res, E>,
    ) -> Result<Self::Response<G>, Self::Error>;
    #[doc(hidden)]
    fn refuse<G: Guard>(
        held: &mut Held<G, Self>,
        why: Self::Refusal,
    ) -> Result<Self::Response<G>, Self::Error>;
    #[doc(hidden)]
    fn panicked<G: Guard>(
        held: &mut Held<G, Self>,
        payload: Payload,
    ) -> Result<Self::Response<G>, Self::Error>;
    #[doc(hidden)]
    fn unready(error: E) -> Self::Error;
}

impl<Res: 'static, E: Into<BoxError>> Answer<Res, E> for Any {
    type Response<G: Guard> = Res;
    type Error = BoxError;

    #[inline]
    fn finish<G: Guard>(
        held: &mut Option<Held<G, Self>>,
        result: Result<Res, E>,
    ) -> Result<Res, BoxError> {
        let held = held.as_mut().expect(TWICE);
        let result = result.map_err(Into::into);
        let judged = held.protocol().judge(result.as_ref());
        let cause = result.as_ref().err().map(|error| Cause::of(&**error));
        held.settle(judged, cause, &Moment::default());
        result.map_err(|error| held.protocol().leave(judged, error))
    }

    fn refuse<G: Guard>(held: &mut Held<G, Self>, why: Box<Rejection>) -> Result<Res, BoxError> {
        refuse_with_error(held, why)
    }

    fn panicked<G: Guard>(held: &mut Held<G, Self>, payload: Payload) -> Result<Res, BoxError> {
        pass_on(held, payload)
    }

    fn unready(error: E) -> BoxError {
        error.into()
    }
}

impl<B, E> Answer<Response<B>, E> for Server
where
    B: Body<Data = Bytes>,
    E: 'static,
{
    type Response<G: Guard> = Response<GuardedBody<B, G, Self>>;
    type Error = E;

    #[inline]
    fn finish<G: Guard>(
        held: &mut Option<Held<G, Self>>,
        result: Result<Response<B>, E>,
    ) -> Result<Self::Response<G>, E> {
        match result {
            Ok(response) => match Told::by(response.body()) {
                Ok(told) => Ok(respond(held, response, told)),
                Err(payload) => Self::panicked::<G>(held.as_mut().expect(TWICE), payload),
            },
            Err(error) => {
                let held = held.as_mut().expect(TWICE);
                let (call, protocol) = held.judge();
                let cause = match call.judge_any_error(&error, protocol.classify()) {
                    Some(error) => Cause::of(error),
                    None => Cause::Opaque {
                        type_name: std::any::type_name::<E>(),
                        message: None,
                    },
                };
                let judged = call.judged();
                held.settle(judged, Some(cause), &Moment::default());
                Err(error)
            }
        }
    }

    fn refuse<G: Guard>(held: &mut Held<G, Self>, why: Rejection) -> Result<Self::Response<G>, E> {
        Ok(refuse_with_response(held, why))
    }

    fn panicked<G: Guard>(
        held: &mut Held<G, Self>,
        payload: Payload,
    ) -> Result<Self::Response<G>, E> {
        let answer = panic_answer(held.notes(), payload.message());
        let settle = |held: &mut Held<G, Self>, now: &Moment| held.settle_panicked(&payload, now);
        Ok(answer_instead(held, answer, Judged::PANICKED, settle))
    }

    fn unready(error: E) -> E {
        error
    }
}

/// A client of either kind, which differ in how they refuse.
impl<B, E, K> Answer<Response<B>, E> for HttpProtocol<K>
where
    B: Body<Data = Bytes>,
    E: Into<BoxError>,
    K: ClientSide,
{
    type Response<G: Guard> = Response<GuardedBody<B, G, Self>>;
    type Error = BoxError;

    #[inline]
    fn finish<G: Guard>(
        held: &mut Option<Held<G, Self>>,
        result: Result<Response<B>, E>,
    ) -> Result<Self::Response<G>, BoxError> {
        match result {
            Ok(response) => match Told::by(response.body()) {
                Ok(told) => Ok(respond(held, response, told)),
                Err(payload) => pass_on(held.as_mut().expect(TWICE), payload),
            },
            Err(error) => Err(failed(held.as_mut().expect(TWICE), error.into())),
        }
    }

    fn refuse<G: Guard>(
        held: &mut Held<G, Self>,
        why: Self::Refusal,
    ) -> Result<Self::Response<G>, BoxError> {
        K::refuse(held, why)
    }

    fn panicked<G: Guard>(
        held: &mut Held<G, Self>,
        payload: Payload,
    ) -> Result<Self::Response<G>, BoxError> {
        pass_on(held, payload)
    }

    fn unready(error: E) -> BoxError {
        error.into()
    }
}

/// How a client is told of a refusal.
pub trait ClientSide: Kind {
    #[doc(hidden)]
    fn refuse<B: Body<Data = Bytes>, G: Guard>(
        held: &mut Held<G, HttpProtocol<Self>>,
        why: Self::Refusal,
    ) -> Result<Response<GuardedBody<B, G, HttpProtocol<Self>>>, BoxError>
    where
        Self: Sized;
}

impl ClientSide for ClientKind {
    fn refuse<B: Body<Data = Bytes>, G: Guard>(
        held: &mut Held<G, Client>,
        why: Box<Rejection>,
    ) -> Result<Response<GuardedBody<B, G, Client>>, BoxError> {
        refuse_with_error(held, why)
    }
}

impl ClientSide for GrpcClientKind {
    fn refuse<B: Body<Data = Bytes>, G: Guard>(
        held: &mut Held<G, GrpcClient>,
        why: Rejection,
    ) -> Result<Response<GuardedBody<B, G, GrpcClient>>, BoxError> {
        Ok(refuse_with_response(held, why))
    }
}

/// A client's call has no response.
fn failed<G: Guard, P: Http>(held: &mut Held<G, P>, error: BoxError) -> BoxError {
    let (call, protocol) = held.judge();
    call.judge_error(&*error, protocol.classify());
    held.excuse_lateness();
    let judged = held.notes().judged();
    held.settle(judged, Some(Cause::of(&*error)), &Moment::default());
    held.notes().leave_verdict_with(error)
}

/// What a body says of itself before it is polled. It may panic.
struct Told {
    exact: Option<u64>,
    ended: bool,
}

impl Told {
    #[inline]
    fn by(body: &impl Body) -> Result<Told, Payload> {
        let ask = || Told {
            exact: body.size_hint().exact(),
            ended: body.is_end_stream(),
        };
        caught(ask).map_err(Payload::new)
    }
}

/// Judges the head, shows it to the guards, and ends the call if there is nothing to come; else the body holds it.
#[inline]
fn respond<B, G, P>(
    all: &mut Option<Held<G, P>>,
    response: Response<B>,
    told: Told,
) -> Response<GuardedBody<B, G, P>>
where
    B: Body<Data = Bytes>,
    G: Guard,
    P: Http,
{
    let held = all.as_mut().expect(TWICE);
    let (mut parts, body) = response.into_parts();
    let (call, protocol) = held.judge();
    let step = call.judge_head(&parts, told.exact, protocol.classify());
    held.excuse_lateness();
    held.notes().leave_verdict(&mut parts.extensions);
    let judged = held.notes().judged();
    let now = Moment::default();
    held.show(&mut parts, judged, &now);
    if step == Step::Over || told.ended {
        if step == Step::GoesOn {
            held.judge().0.judge_clean_end();
        }
        let judged = held.notes().judged();
        held.settle(judged, None, &now);
        *all = None;
    }
    Response::from_parts(parts, GuardedBody::new(body, all.take()))
}

/// Answers in the service's place.
fn answer_instead<B, G, P>(
    held: &mut Held<G, P>,
    answer: Response<Bytes>,
    judged: Judged,
    settle: impl FnOnce(&mut Held<G, P>, &Moment),
) -> Response<GuardedBody<B, G, P>>
where
    G: Guard,
    P: Protocol<Call = HttpCall> + Http,
{
    let (mut parts, message) = answer.into_parts();
    let now = Moment::default();
    held.judge()
        .0
        .answered_instead(&parts, message.len() as u64);
    held.show(&mut parts, judged, &now);
    settle(held, &now);
    Response::from_parts(parts, GuardedBody::message(message))
}

fn refuse_with_response<B, G: Guard, P: Http>(
    held: &mut Held<G, P>,
    why: Rejection,
) -> Response<GuardedBody<B, G, P>>
where
    B: Body<Data = Bytes>,
{
    let answer = refusal_answer(held.notes(), why.clone());
    let settle = |held: &mut Held<G, P>, now: &Moment| {
        held.settle(Judged::REJECTED, Some(Cause::Rejection(&why)), now);
    };
    answer_instead(held, answer, Judged::REJECTED, settle)
}

fn refuse_with_error<T, G: Guard, P: Protocol>(
    held: &mut Held<G, P>,
    why: Box<Rejection>,
) -> Result<T, BoxError> {
    held.settle_refused(&why);
    Err(why)
}

fn pass_on<T, G: Guard, P: Protocol>(held: &mut Held<G, P>, payload: Payload) -> T {
    held.settle_panicked(&payload, &Moment::default());
    payload.resume()
}
