//! How the end of a call is read, and how the two answers become one type.

use http::{HeaderName, HeaderValue, Request, Response};

use super::{Failed, FallbackBody, Served};
use crate::{
    call::{BoxError, Cause, Classifier, Elapsed, End, Ending, Moment, Outcome, Rejection},
    guard::Answer,
    protocol::{
        self, Any, Client, GrpcClient, Http, HttpCall, Notes, Protocol, Server, Side,
        timeout_answer,
    },
};

/// An HTTP protocol whose calls are judged by the head of their response. Part of a
/// [`FallbackLayer`](super::FallbackLayer)'s type.
#[derive(Clone, Copy, Debug)]
pub struct AtHead<P>(pub(super) P);

impl<P> AtHead<P> {
    pub(super) fn classified(self, classifier: Classifier) -> Self
    where
        P: Protocol,
    {
        AtHead(self.0.classified(classifier))
    }
}

/// How requests are read. Implemented by [`Any`] and [`AtHead`] only.
pub trait Read<Req> {
    #[doc(hidden)]
    type Notes: Notes;
    #[doc(hidden)]
    fn read(&self, request: &mut Req) -> Self::Notes;
}

impl<Req> Read<Req> for Any {
    type Notes = ();
    fn read(&self, _: &mut Req) {}
}

impl<B, P> Read<Request<B>> for AtHead<P>
where
    P: protocol::Read<Request<B>> + Protocol<Call = HttpCall>,
{
    type Notes = HttpCall;
    fn read(&self, request: &mut Request<B>) -> HttpCall {
        self.0.read(request)
    }
}

/// How what a service gives is judged. Implemented by [`Any`] and [`AtHead`] only.
pub trait Judge<Res, E, N> {
    /// The error of the layered service.
    type Error;
    #[doc(hidden)]
    fn convert(error: E) -> Self::Error;
    /// Hands the result back, and what `then` made of it if it is a failure.
    #[doc(hidden)]
    fn judge<R>(
        &self,
        notes: &mut N,
        result: Result<Res, Self::Error>,
        then: impl FnOnce(&Failed<'_>) -> R,
    ) -> (Result<Res, Self::Error>, Option<R>);
}

impl<Res: 'static, E: Into<BoxError>> Judge<Res, E, ()> for Any {
    type Error = BoxError;

    fn convert(error: E) -> BoxError {
        error.into()
    }

    fn judge<R>(
        &self,
        (): &mut (),
        result: Result<Res, BoxError>,
        then: impl FnOnce(&Failed<'_>) -> R,
    ) -> (Result<Res, BoxError>, Option<R>) {
        let ending = self.ending(result.as_ref());
        if ending.outcome() == Outcome::Success {
            return (result, None);
        }
        let rejection = ending.error.and_then(Rejection::find);
        let made = then(&Failed {
            ending,
            rejection,
            grpc: false,
            at_server: false,
        });
        (result, Some(made))
    }
}

impl<B, E, P> Judge<Response<B>, E, HttpCall> for AtHead<P>
where
    P: Http + Answer<Response<B>, E, Error: 'static>,
{
    type Error = P::Error;

    fn convert(error: E) -> P::Error {
        P::unready(error)
    }

    fn judge<R>(
        &self,
        notes: &mut HttpCall,
        result: Result<Response<B>, P::Error>,
        then: impl FnOnce(&Failed<'_>) -> R,
    ) -> (Result<Response<B>, P::Error>, Option<R>) {
        match result {
            Ok(response) => {
                let (response, made) = judge_response(&self.0, notes, response, then);
                (Ok(response), made)
            }
            Err(error) => {
                let made = judge_error(&self.0, notes, &error, then);
                (Err(error), made)
            }
        }
    }
}

fn judge_response<P: Http, B, R>(
    protocol: &P,
    notes: &mut HttpCall,
    response: Response<B>,
    then: impl FnOnce(&Failed<'_>) -> R,
) -> (Response<B>, Option<R>) {
    let (mut parts, body) = response.into_parts();
    // What was asked for: the answer may be another thing, and is judged as that.
    let grpc = notes.is_grpc();
    notes.judge_head(&parts, None, protocol.classify());
    notes.leave_verdict(&mut parts.extensions);
    let made = (notes.verdict() != Outcome::Success).then(|| {
        let mut ending = Ending::of(notes.judged());
        ending.status = Some(parts.status);
        ending.grpc_code = notes.grpc_code();
        ending.headers = Some(&parts.headers);
        ending.extensions = Some(&parts.extensions);
        with_rejection(notes, |rejection| {
            then(&Failed {
                ending,
                rejection,
                grpc,
                at_server: P::SIDE == Side::Server,
            })
        })
    });
    (Response::from_parts(parts, body), made)
}

fn judge_error<P: Http, E: 'static, R>(
    protocol: &P,
    notes: &mut HttpCall,
    error: &E,
    then: impl FnOnce(&Failed<'_>) -> R,
) -> Option<R> {
    let error = notes.judge_any_error(error, protocol.classify());
    (notes.verdict() != Outcome::Success).then(|| {
        let mut ending = Ending::of(notes.judged());
        ending.error = error;
        let rejection = error.and_then(Rejection::find);
        let grpc = notes.is_grpc();
        then(&Failed {
            ending,
            rejection,
            grpc,
            at_server: P::SIDE == Side::Server,
        })
    })
}

/// The refusal that a head says it is, wherever in the extensions it was left.
fn with_rejection<R>(notes: &HttpCall, then: impl FnOnce(Option<&Rejection>) -> R) -> R {
    let now = Moment::default();
    let mut end = End::new(notes.verdict(), &now);
    notes.fill(&mut end);
    match end.cause() {
        Some(Cause::Rejection(rejection)) => then(Some(rejection)),
        _ => then(None),
    }
}

/// How the service's answer and the fallback's become one type. Implemented by [`Any`] and [`AtHead`] only.
#[diagnostic::on_unimplemented(
    message = "a fallback that answers with `{Alt}` cannot stand in for a service that answers with `{Res}`",
    note = "for any service they must be of one type; over HTTP, both must be an `http::Response`"
)]
pub trait Join<Res, Alt> {
    /// What the layered service gives.
    type Response;
    #[doc(hidden)]
    type Notes;
    #[doc(hidden)]
    fn pass(response: Res) -> Self::Response;
    #[doc(hidden)]
    fn instead(response: Alt, served: Served, header: Option<&Header>) -> Self::Response;
    /// How the other service's answer ends.
    #[doc(hidden)]
    fn judge_other(&self, notes: &mut Self::Notes, response: Alt) -> (Alt, Outcome);
}

type Header = (HeaderName, HeaderValue);

impl<Res: 'static> Join<Res, Res> for Any {
    type Response = Res;
    type Notes = ();

    fn pass(response: Res) -> Res {
        response
    }

    fn instead(response: Res, _: Served, _: Option<&Header>) -> Res {
        response
    }

    fn judge_other(&self, (): &mut (), response: Res) -> (Res, Outcome) {
        let outcome = self.judge(Ok(&response)).outcome;
        (response, outcome)
    }
}

impl<B, A, P: Http> Join<Response<B>, Response<A>> for AtHead<P> {
    type Response = Response<FallbackBody<B, A>>;
    type Notes = HttpCall;

    fn pass(response: Response<B>) -> Self::Response {
        response.map(FallbackBody::service)
    }

    fn instead(
        mut response: Response<A>,
        served: Served,
        header: Option<&Header>,
    ) -> Self::Response {
        if let Some((name, value)) = header {
            response.headers_mut().insert(name.clone(), value.clone());
        }
        response.extensions_mut().insert(served);
        response.map(FallbackBody::fallback)
    }

    fn judge_other(&self, notes: &mut HttpCall, response: Response<A>) -> (Response<A>, Outcome) {
        // The same question, another answer.
        notes.begin_again();
        let (response, _) = judge_response(&self.0, notes, response, |_| ());
        (response, notes.verdict())
    }
}

/// How a call is answered whose time runs out while another service answers it.
// INTEGRATE: what the one protocol trait says in the place of a service.
pub trait Late<N, Res, E> {
    fn late(notes: &mut N, why: Elapsed) -> Result<Res, E>;
}

impl<Res> Late<(), Res, BoxError> for Any {
    fn late((): &mut (), why: Elapsed) -> Result<Res, BoxError> {
        Err(why.into())
    }
}

impl<B, A, E> Late<HttpCall, Response<FallbackBody<B, A>>, E> for AtHead<Server> {
    fn late(notes: &mut HttpCall, why: Elapsed) -> Result<Response<FallbackBody<B, A>>, E> {
        Ok(late_answer(notes, why))
    }
}

impl<B, A> Late<HttpCall, Response<FallbackBody<B, A>>, BoxError> for AtHead<Client> {
    fn late(_: &mut HttpCall, why: Elapsed) -> Result<Response<FallbackBody<B, A>>, BoxError> {
        Err(why.into())
    }
}

impl<B, A> Late<HttpCall, Response<FallbackBody<B, A>>, BoxError> for AtHead<GrpcClient> {
    fn late(notes: &mut HttpCall, why: Elapsed) -> Result<Response<FallbackBody<B, A>>, BoxError> {
        Ok(late_answer(notes, why))
    }
}

fn late_answer<B, A>(notes: &mut HttpCall, why: Elapsed) -> Response<FallbackBody<B, A>> {
    // Speaks as was asked, whatever the failed answer spoke.
    notes.begin_again();
    timeout_answer(notes, why).map(FallbackBody::message)
}
