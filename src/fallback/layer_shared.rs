use std::sync::Arc;

use super::{
    FailedCall, Fallback, alternative::Alternative, error::FallbackError,
    layer_error::IntoLayerError, merge::Merge, produced::Produced, shared::is_failure_by_default,
};
use crate::{
    call::Outcome,
    protocol::{CallState, Respond},
};

/// State that a layer shares with its services and calls: one reference for each call.
pub(super) struct LayerShared<P, A> {
    pub(super) fallback: Fallback,
    // In references of their own, so that a setter of the layer can replace one of them.
    pub(super) protocol: Arc<P>,
    pub(super) alternative: Arc<A>,
}

/// The response of a service with a fallback.
pub(super) type MergedResponse<P, Res, E, Alt> =
    <P as Respond<Res, E>>::Response<<P as Merge<Res, E, Alt>>::BodyWrapper>;

/// The result of a service with a fallback.
pub(super) type MergedResult<P, Res, E, Alt> =
    Result<MergedResponse<P, Res, E, Alt>, <P as Respond<Res, E>>::Error>;

/// The outcome of the failed call, and what an alternative produced.
type ProducedFor<A, Req> = (
    Outcome,
    Produced<<A as Alternative<Req>>::Response, <A as Alternative<Req>>::FallbackRequest>,
);

impl<P, A> LayerShared<P, A> {
    /// Has the alternative respond to a failed call, if the fallback applies to it.
    pub(super) fn produce<Req>(
        &self,
        failed: &FailedCall<'_>,
        retained: &mut Option<A::Retained>,
    ) -> Option<ProducedFor<A, Req>>
    where
        A: Alternative<Req>,
    {
        if !self.fallback.shared.applies_to(failed) {
            return None;
        }
        // Taken only now: a call that keeps its failure drops it with the future.
        let retained = retained.take()?;
        Some((failed.outcome(), self.alternative.respond(failed, retained)))
    }

    /// Completes a call with a response that was produced at once.
    pub(super) fn finish_value<Res, E, Alt>(
        &self,
        response: Alt,
        outcome: Outcome,
    ) -> MergedResponse<P, Res, E, Alt>
    where
        P: Merge<Res, E, Alt>,
    {
        self.fallback.shared.report_served(outcome, None);
        self.tag::<Res, E, Alt>(response, outcome)
    }

    /// Completes a call with the result of the fallback service, even if that is a failure too.
    pub(super) fn finish_service<Res, E, Alt, X>(
        &self,
        call: &mut P::Call,
        result: Result<Alt, (FallbackError, X)>,
        outcome: Outcome,
    ) -> Result<MergedResponse<P, Res, E, Alt>, P::Error>
    where
        P: Merge<Res, E, Alt>,
        X: IntoLayerError<P::Error>,
    {
        let fallback = &self.fallback.shared;
        match result {
            Ok(mut response) => {
                // Classified anew: layers further out see what the caller gets, not what it was spared.
                self.protocol.classify_fallback(call, &mut response);
                if is_failure_by_default(call.classification().outcome) {
                    fallback.report_failed(outcome, FallbackError::Failed);
                } else {
                    fallback.report_served(outcome, None);
                }
                Ok(self.tag::<Res, E, Alt>(response, outcome))
            }
            Err((reason, error)) => {
                fallback.report_failed(outcome, reason);
                Err(error.into_layer_error())
            }
        }
    }

    fn tag<Res, E, Alt>(&self, response: Alt, outcome: Outcome) -> MergedResponse<P, Res, E, Alt>
    where
        P: Merge<Res, E, Alt>,
    {
        let fallback = &self.fallback.shared;
        P::from_fallback(response, fallback.info(outcome), fallback.header.as_ref())
    }
}
