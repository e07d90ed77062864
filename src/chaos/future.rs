use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{body::WrapChaosBody, injection::Injection};
use crate::{
    protocol::{LocalFailure, Protocol, Respond},
    util::poll::POLLED_AFTER_COMPLETION,
};

/// The result of a service into whose calls faults are injected, whose own response is `Res` and whose own error is `E`.
type ChaosResult<P, Res, E> =
    Result<<P as Respond<Res, E>>::Response<WrapChaosBody>, <P as Respond<Res, E>>::Error>;

pin_project! {
    /// The future of a call into which faults may be injected. Named and unboxed.
    #[must_use = "futures do nothing unless polled"]
    pub struct ChaosFuture<F: Future, P: Protocol> {
        #[pin]
        state: ChaosState<F, P>,
    }
}

pin_project! {
    #[project = ChaosStateProj]
    enum ChaosState<F: Future, P: Protocol> {
        // With nothing to inject, for most calls.
        Calling { #[pin] future: F, injection: Option<Box<Injection>> },
        // The service has responded, and its response is late.
        Late { output: Option<F::Output>, injection: Box<Injection> },
        // The service is not called.
        InPlace { call: Option<Box<InPlaceCall<P>>> },
        Done,
    }
}

/// A call in which something else happens in the service's place.
struct InPlaceCall<P: Protocol> {
    injection: Box<Injection>,
    call: P::Call,
}

impl<F: Future, P: Protocol> ChaosFuture<F, P> {
    #[inline]
    pub(super) fn calling(future: F, injection: Option<Box<Injection>>) -> Self {
        ChaosFuture {
            state: ChaosState::Calling { future, injection },
        }
    }

    #[cold]
    pub(super) fn in_place(injection: Box<Injection>, call: P::Call) -> Self {
        ChaosFuture {
            state: ChaosState::InPlace {
                call: Some(Box::new(InPlaceCall { injection, call })),
            },
        }
    }
}

impl<F, P, Res, E> Future for ChaosFuture<F, P>
where
    F: Future<Output = Result<Res, E>>,
    P: Respond<Res, E>,
{
    type Output = ChaosResult<P, Res, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                ChaosStateProj::Calling { future, injection } => {
                    let output = ready!(future.poll(cx));
                    match injection.take() {
                        None => {
                            // Dropped now: the caller may hold this future for longer than it needs it.
                            state.set(ChaosState::Done);
                            return Poll::Ready(hand_on::<P, Res, E>(output, None));
                        }
                        Some(injection) => state.set(ChaosState::Late {
                            output: Some(output),
                            injection,
                        }),
                    }
                }
                ChaosStateProj::Late { output, injection } => {
                    ready!(injection.poll_wait(cx));
                    let output = output.take().expect("handed on once");
                    let output = hand_on::<P, Res, E>(output, Some(injection));
                    state.set(ChaosState::Done);
                    return Poll::Ready(output);
                }
                ChaosStateProj::InPlace { call } => {
                    let present = call.as_mut().expect("a call is there until it is done");
                    ready!(present.injection.poll_wait(cx));
                    let call = call.take().expect("a call is there until it is done");
                    // First, since the fault may be a panic.
                    state.set(ChaosState::Done);
                    return Poll::Ready(fail::<P, Res, E>(*call));
                }
                ChaosStateProj::Done => panic!("{POLLED_AFTER_COMPLETION}"),
            }
        }
    }
}

/// Hands the service's own result on, with what becomes of its body.
#[inline]
fn hand_on<P, Res, E>(
    output: Result<Res, E>,
    injection: Option<&mut Box<Injection>>,
) -> ChaosResult<P, Res, E>
where
    P: Respond<Res, E>,
{
    match output {
        Ok(response) => {
            let body = injection.and_then(|injection| injection.body());
            Ok(P::wrap_response::<WrapChaosBody>(response, body))
        }
        Err(error) => Err(P::convert_error(error)),
    }
}

/// Fails in the service's place.
fn fail<P, Res, E>(failed: InPlaceCall<P>) -> ChaosResult<P, Res, E>
where
    P: Respond<Res, E>,
{
    let (fault, failure) = failed.injection.failure();
    let mut message = P::local_response(&failed.call, LocalFailure::Injected(failure))?;
    // The cause of the failure, as outer layers report it.
    let cause: Arc<dyn Error + Send + Sync> = Arc::new(fault);
    let (head, _) = P::message_head(&mut message);
    head.extensions.insert(cause);
    Ok(P::message_response::<WrapChaosBody>(message))
}

impl<F: Future, P: Protocol> fmt::Debug for ChaosFuture<F, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChaosFuture").finish_non_exhaustive()
    }
}
