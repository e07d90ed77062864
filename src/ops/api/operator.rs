use axum::extract::FromRequestParts;
use http::request::Parts;

use super::{
    problem::{ApiResult, Problem},
    state::ApiState,
};
use crate::ops::{Identity, Role};

/// The identity of a caller who may change something: handlers that take it refuse everybody else.
pub(super) struct Operator(pub(super) Identity);

impl FromRequestParts<ApiState> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> ApiResult<Self> {
        if !state.core.allow_control {
            return Err(Problem::forbidden(
                "nothing can be changed here: see OpsBuilder::allow_control",
            ));
        }
        match parts.extensions.get::<Identity>() {
            Some(identity) if identity.role() == Role::Operator => Ok(Operator(identity.clone())),
            _ => Err(Problem::forbidden("only operators can change something")),
        }
    }
}
