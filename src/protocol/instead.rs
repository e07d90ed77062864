use bytes::Bytes;
use http::Response;

use super::{
    HttpCall,
    refusal::{panic_answer, refusal_answer, timeout_answer},
};
use crate::call::{BoxError, Elapsed, Rejection};

/// The reason for an answer in the service's place. `R` is a refusal as the protocol hands it on.
#[derive(Debug)]
pub enum Instead<'a, R> {
    /// A guard of this process has refused it.
    Refused(R),
    /// It has taken too long.
    TimedOut(Elapsed),
    /// The service has panicked, with this message.
    Panicked(&'a str),
}

impl Instead<'_, Rejection> {
    /// A response as the call's wire has it.
    pub(super) fn into_answer(self, call: &HttpCall) -> Response<Bytes> {
        match self {
            Instead::Refused(why) => refusal_answer(call, why),
            Instead::TimedOut(why) => timeout_answer(call, why),
            Instead::Panicked(message) => panic_answer(call, message),
        }
    }
}

impl Instead<'_, Box<Rejection>> {
    pub(super) fn into_error(self) -> BoxError {
        match self {
            Instead::Refused(why) => why,
            Instead::TimedOut(why) => why.into(),
            Instead::Panicked(message) => message.into(),
        }
    }
}
