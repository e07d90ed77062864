//! Finds errors that prove that the peer never began a request. Shared by judgement and retry.

use std::{error::Error, io};

use super::chain;

/// A proof that the peer never began a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "hyper"),
    expect(dead_code, reason = "only hyper's errors tell so much")
)]
pub(crate) enum Unsent {
    /// There was no connection to send it over.
    Unconnected,
    /// A connection came about, but not to a peer that is trusted: a certificate that is not valid, say. It will not be
    /// a moment later either.
    Untrusted,
    /// The connection was closed before it was begun.
    Unbegun,
    /// It has left, and the peer says that it has done nothing about it.
    Refused,
    /// It cannot be sent as it is: nothing ever tried to reach the peer.
    NeverLeft,
}

impl Unsent {
    /// Returns whether the same request may fare better at another attempt.
    pub(crate) fn may_pass_later(self) -> bool {
        !matches!(self, Unsent::NeverLeft | Unsent::Untrusted)
    }
}

/// Returns what the error proves, if anything. An error that only may mean it proves nothing.
///
/// It proves so much about the last thing that failed: a service that does more than send one request may have done
/// some of it.
pub(crate) fn unsent(error: &(dyn Error + 'static)) -> Option<Unsent> {
    let mut chain = chain(error);
    match chain.find_map(proof)? {
        // Why there was no connection is told by what it was caused by.
        Unsent::Unconnected => chain.find_map(cause).or(Some(Unsent::Unconnected)),
        proof => Some(proof),
    }
}

fn proof(error: &(dyn Error + 'static)) -> Option<Unsent> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        // No other kind is told by connecting alone: a host can become unreachable in the midst of an answer.
        let refused = error.kind() == io::ErrorKind::ConnectionRefused;
        return refused.then_some(Unsent::Unconnected);
    }
    by_tonic(error).or_else(|| by_hyper(error))
}

/// Returns why a connection did not come about, if that will not change.
fn cause(error: &(dyn Error + 'static)) -> Option<Unsent> {
    match error.downcast_ref::<io::Error>() {
        // What rustls makes of whatever it does not like about the peer.
        Some(error) => (error.kind() == io::ErrorKind::InvalidData).then_some(Unsent::Untrusted),
        None => is_connectors_complaint(error).then_some(Unsent::NeverLeft),
    }
}

/// hyper-util's connector has no name for its error, and no accessor.
fn is_connectors_complaint(error: &(dyn Error + 'static)) -> bool {
    let says = error.to_string();
    error.source().is_none() && says.starts_with("invalid URL, ")
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
        return by_hyper_util(error);
    }
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        if error.is_canceled() {
            // Of a request that has been begun, hyper says otherwise.
            return Some(Unsent::Unbegun);
        }
        let unsendable = error.is_user() && says_one_of(error, &[HYPER_COMPLAINT]);
        return unsendable.then_some(Unsent::NeverLeft);
    }
    let error = error.downcast_ref::<h2::Error>()?;
    // A stream is told of a peer's GOAWAY only if it is above the last one that the peer has looked at.
    let refused = error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM);
    if refused && error.is_remote() {
        return Some(Unsent::Refused);
    }
    let unsendable = error.reason().is_none() && says_one_of(error, &H2_COMPLAINTS);
    unsendable.then_some(Unsent::NeverLeft)
}
#[cfg(not(feature = "hyper"))]
fn by_hyper(_: &(dyn Error + 'static)) -> Option<Unsent> {
    None
}

#[cfg(feature = "hyper")]
fn by_hyper_util(error: &hyper_util::client::legacy::Error) -> Option<Unsent> {
    if error.is_connect() {
        return Some(Unsent::Unconnected);
    }
    // Its kinds have names but no accessors: a relative URI, a version or a method that it does not support.
    let says = error.to_string();
    let unsendable = says.starts_with("client error (User");
    unsendable.then_some(Unsent::NeverLeft)
}

/// Messages of hyper and h2 about requests that cannot be sent. Other errors of the user's, such as that of a body,
/// come of requests that have begun.
#[cfg(feature = "hyper")]
const HYPER_COMPLAINT: &str = "user sent CONNECT request with non-zero body";
#[cfg(feature = "hyper")]
const H2_COMPLAINTS: [&str; 2] = [
    "user error: request URI missing scheme and authority",
    "user error: malformed headers",
];

#[cfg(feature = "hyper")]
fn says_one_of(error: &dyn Error, complaints: &[&str]) -> bool {
    let says = error.to_string();
    complaints.contains(&&*says)
}

#[cfg(all(test, feature = "hyper"))]
mod hyper_errors;

#[cfg(test)]
mod tests {
    use super::*;
    use io::ErrorKind;

    #[test]
    fn refused_connection_is_the_only_kind_of_io_error_that_proves_it() {
        let refused = || io::Error::from(ErrorKind::ConnectionRefused);
        assert_eq!(unsent(&refused()), Some(Unsent::Unconnected));
        let wrapped = io::Error::other(io::Error::other(refused()));
        assert_eq!(unsent(&wrapped), Some(Unsent::Unconnected));
        for kind in [
            ErrorKind::ConnectionReset,
            ErrorKind::ConnectionAborted,
            ErrorKind::BrokenPipe,
            ErrorKind::HostUnreachable,
            ErrorKind::TimedOut,
            ErrorKind::UnexpectedEof,
            // A certificate, but only where a connection was being made.
            ErrorKind::InvalidData,
        ] {
            assert_eq!(unsent(&io::Error::from(kind)), None, "{kind}");
        }
    }

    #[cfg(feature = "tonic")]
    #[test]
    fn tonics_connect_error_proves_it_whatever_made_it() {
        let error = tonic::ConnectError("no such host".into());
        let wrapped = io::Error::other(error);
        assert_eq!(unsent(&wrapped), Some(Unsent::Unconnected));
        let certificate = io::Error::new(ErrorKind::InvalidData, "invalid peer certificate");
        let error = tonic::ConnectError(io::Error::other(certificate).into());
        assert_eq!(unsent(&error), Some(Unsent::Untrusted));
    }
}
