//! One attempt to send a message: in a task of its own, through the breaker and within its time limit.

use std::{sync::Arc, time::Duration};

use tokio::task::{JoinError, JoinHandle};

use super::{Channel, Message, Receipt, SendError};
use crate::{
    Outcome, Pipeline, PipelineError,
    breaker::CircuitBreaker,
    call::{ConfigError, panic_message},
};

/// The reason for which an attempt brought no receipt.
#[derive(Debug)]
pub(super) enum NoReceipt {
    /// The breaker is open.
    Rejected(Option<Duration>),
    Failed(SendError),
}

/// Returns what guards the attempts of a channel. Retries are not in it: they take a day, and survive a restart.
pub(super) fn pipeline(breaker: &CircuitBreaker, limit: Duration) -> Result<Pipeline, ConfigError> {
    Pipeline::builder(breaker.name().to_owned())
        .untracked()
        .shared_breaker(breaker)
        .attempt_limit(limit)
        .build()
}

/// Sends a message. One that panics or blocks its thread leaves the task of the channel alone.
pub(super) async fn send(
    pipeline: &Pipeline,
    channel: &Arc<dyn Channel>,
    message: Message,
) -> Result<Receipt, NoReceipt> {
    let (pipeline, channel) = (pipeline.clone(), channel.clone());
    let work = move || {
        let (channel, message) = (channel.clone(), message.clone());
        async move { channel.send(&message).await }
    };
    let mut task = OwnTask(tokio::spawn(async move {
        pipeline.run_classified(work, classify).await
    }));
    match (&mut task.0).await {
        Ok(sent) => sent.map_err(not_sent),
        Err(error) => Err(NoReceipt::Failed(panicked(error))),
    }
}

/// Classifies a result: the fault of a message says nothing about the peer.
fn classify(result: &Result<Receipt, SendError>) -> Outcome {
    match result {
        Ok(_) => Outcome::Success,
        Err(error) if !error.is_retryable() => Outcome::ClientError,
        Err(_) => Outcome::Failure,
    }
}

fn not_sent(error: PipelineError<SendError>) -> NoReceipt {
    match error {
        PipelineError::Rejected(rejection) => NoReceipt::Rejected(rejection.retry_after()),
        PipelineError::TimedOut(elapsed) => {
            let limit = elapsed.limit().map(|limit| format!(" within {limit:?}"));
            let text = format!("no answer{}", limit.unwrap_or_default());
            NoReceipt::Failed(SendError::retryable(text).uncertain())
        }
        PipelineError::Failed(error) => NoReceipt::Failed(error),
    }
}

fn panicked(error: JoinError) -> SendError {
    let text = match error.try_into_panic() {
        Ok(payload) => format!("panicked: {}", panic_message(&*payload)),
        Err(_) => "cancelled: the runtime shuts down".to_owned(),
    };
    SendError::retryable(text).uncertain()
}

/// A task that ends with whoever waits for it.
struct OwnTask<T>(JoinHandle<T>);

impl<T> Drop for OwnTask<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
