use std::{convert::Infallible, fmt};

use axum_core::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::{StatusCode, request::Parts};

use super::Context;

/// The rejection of a handler that extracts a [`Context`] although no layer of this crate wraps it. Responds with 500.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MissingContext;

impl fmt::Display for MissingContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no context: add `.layer(tower_keep::observe(..).server())` to the router")
    }
}

impl std::error::Error for MissingContext {}

impl IntoResponse for MissingContext {
    fn into_response(self) -> Response {
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

fn find_context(parts: &Parts) -> Option<Context> {
    // The extensions belong to this request; the current context may be that of a call around it.
    let found = parts.extensions.get::<Context>().cloned();
    found.or_else(Context::current)
}

impl<S: Sync> FromRequestParts<S> for Context {
    type Rejection = MissingContext;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, MissingContext> {
        find_context(parts).ok_or(MissingContext)
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Context {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(find_context(parts))
    }
}
