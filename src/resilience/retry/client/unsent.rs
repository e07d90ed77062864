//! Which errors prove that nothing has come of a request.

use std::{error::Error, io};

use super::super::policy::Unsent;
use crate::call::chain;

/// Whether the error proves that the peer never began the request.
// INTEGRATE: `call::unsent(error).is_some()` once it is there.
pub(in crate::resilience) fn never_reached(error: &(dyn Error + 'static)) -> bool {
    proof(error).is_some()
}

/// What the error proves, if anything. One that only may mean it proves nothing.
pub(super) fn proof(error: &(dyn Error + 'static)) -> Option<Unsent> {
    chain(error).find_map(|error| {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            // No other kind is told by connecting alone: a host can become unreachable in the midst of an answer.
            let refused = error.kind() == io::ErrorKind::ConnectionRefused;
            return refused.then_some(Unsent::Unconnected);
        }
        by_tonic(error).or_else(|| by_hyper(error))
    })
}

#[cfg(feature = "tonic")]
fn by_tonic(error: &(dyn Error + 'static)) -> Option<Unsent> {
    error
        .is::<tonic::ConnectError>()
        .then_some(Unsent::Unconnected)
}
#[cfg(not(feature = "tonic"))]
fn by_tonic(_: &(dyn Error + 'static)) -> Option<Unsent> {
    None
}

#[cfg(feature = "hyper")]
fn by_hyper(error: &(dyn Error + 'static)) -> Option<Unsent> {
    if let Some(error) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
        return error.is_connect().then_some(Unsent::Unconnected);
    }
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        // Of a request that has been begun, hyper says otherwise.
        return error.is_canceled().then_some(Unsent::Unbegun);
    }
    let error = error.downcast_ref::<h2::Error>()?;
    // A stream is told of a peer's GOAWAY only if it is above the last one that the peer has looked at.
    let refused = error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM);
    (refused && error.is_remote()).then_some(Unsent::Refused)
}
#[cfg(not(feature = "hyper"))]
fn by_hyper(_: &(dyn Error + 'static)) -> Option<Unsent> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use io::ErrorKind;

    #[test]
    fn of_all_kinds_only_a_refused_connection_is_a_proof() {
        let refused = || io::Error::from(ErrorKind::ConnectionRefused);
        assert_eq!(proof(&refused()), Some(Unsent::Unconnected));
        let wrapped = io::Error::other(io::Error::other(refused()));
        assert_eq!(proof(&wrapped), Some(Unsent::Unconnected));
        for kind in [
            ErrorKind::ConnectionReset,
            ErrorKind::ConnectionAborted,
            ErrorKind::BrokenPipe,
            ErrorKind::HostUnreachable,
            ErrorKind::TimedOut,
            ErrorKind::UnexpectedEof,
        ] {
            assert_eq!(proof(&io::Error::from(kind)), None, "{kind}");
        }
    }

    #[cfg(feature = "tonic")]
    #[test]
    fn tonics_connect_error_is_a_proof_whatever_made_it() {
        let error = tonic::ConnectError("no such host".into());
        let wrapped = io::Error::other(error);
        assert_eq!(proof(&wrapped), Some(Unsent::Unconnected));
    }
}
