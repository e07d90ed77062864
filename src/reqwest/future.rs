use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Extensions, Response};
use pin_project_lite::pin_project;
use reqwest::{Body, Client, Error, ResponseBuilderExt, Url};
use tower_service::Service;

use crate::util::poll::POLLED_AFTER_COMPLETION;

/// The future of reqwest's service; its type has no public name.
type Pending = <Client as Service<::reqwest::Request>>::Future;

pin_project! {
    /// The future of a [`ClientService`](super::ClientService). Named and unboxed.
    #[must_use = "futures do nothing unless polled"]
    pub struct ClientFuture {
        #[pin]
        state: ClientState,
    }
}

pin_project! {
    #[project = ClientStateProj]
    enum ClientState {
        Calling { #[pin] future: Pending },
        // The request could not be made.
        Failed { error: Option<Error> },
    }
}

impl ClientFuture {
    pub(super) fn pending(future: Pending) -> Self {
        ClientFuture {
            state: ClientState::Calling { future },
        }
    }

    pub(super) fn failed(error: Error) -> Self {
        ClientFuture {
            state: ClientState::Failed { error: Some(error) },
        }
    }
}

impl Future for ClientFuture {
    type Output = Result<Response<Body>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            ClientStateProj::Calling { future } => {
                let response = ready!(future.poll(cx)).map_err(without_secrets)?;
                let mut url = url_extension(response.url().clone());
                let mut response = Response::<Body>::from(response);
                std::mem::swap(response.extensions_mut(), &mut url);
                response.extensions_mut().extend(url);
                Poll::Ready(Ok(response))
            }
            ClientStateProj::Failed { error } => {
                let error = error.take().expect(POLLED_AFTER_COMPLETION);
                Poll::Ready(Err(without_secrets(error)))
            }
        }
    }
}

impl fmt::Debug for ClientFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientFuture").finish_non_exhaustive()
    }
}

/// Returns this error with the part of its URL that may be logged: without user, password, query and fragment.
fn without_secrets(mut error: Error) -> Error {
    if let Some(url) = error.url_mut() {
        url.set_query(None);
        url.set_fragment(None);
        // A URL that has no authority has no user either; that is its only error.
        let _ = url.set_username("");
        let _ = url.set_password(None);
    }
    error
}

/// Returns extensions from which `reqwest::Response::from` takes this URL.
pub(super) fn url_extension(url: Url) -> Extensions {
    // The type of the extension is reqwest's own, and only a builder makes it.
    let mut head = http::response::Builder::new().url(url);
    head.extensions_mut()
        .map(std::mem::take)
        .unwrap_or_default()
}
