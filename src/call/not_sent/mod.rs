//! Finds errors that prove that the peer never began a request. Shared by classification and retry.

use std::{error::Error, io};

use super::sources;

/// A proof that the peer never began a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "hyper"),
    expect(dead_code, reason = "only hyper's errors tell so much")
)]
pub(crate) enum NotSent {
    /// The request had no connection to be sent over.
    NoConnection,
    /// The peer is not trusted, for example since its certificate is invalid. That will not change a moment later.
    UntrustedPeer,
    /// The connection was closed before the request was begun.
    ClosedIdle,
    /// The request was sent, and the peer reports that it has not begun to process it.
    RefusedByPeer,
    /// The request cannot be sent as it is: nothing tried to reach the peer.
    Unsendable,
}

impl NotSent {
    /// Returns whether another attempt at the same request may succeed.
    pub(crate) fn is_retryable(self) -> bool {
        !matches!(self, NotSent::Unsendable | NotSent::UntrustedPeer)
    }
}

/// Returns the proof that the request was not sent, if the error is one.
///
/// The proof covers the last request: a service that sends more than one may have completed others.
pub(crate) fn not_sent(error: &(dyn Error + 'static)) -> Option<NotSent> {
    // One iterator for both: the cause of a failed connection is below the proof of it.
    let mut chain = sources(error);
    match chain.find_map(proof_of)? {
        // The cause tells why there was no connection.
        NotSent::NoConnection => chain
            .find_map(connect_failure)
            .or(Some(NotSent::NoConnection)),
        proof => Some(proof),
    }
}

fn proof_of(error: &(dyn Error + 'static)) -> Option<NotSent> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        // No other kind occurs on connecting alone: a host can become unreachable in the middle of a response.
        let refused = error.kind() == io::ErrorKind::ConnectionRefused;
        return refused.then_some(NotSent::NoConnection);
    }
    by_tonic(error)
        .or_else(|| by_reqwest(error))
        .or_else(|| by_hyper(error))
}

/// Returns why a connection failed, if that will not change.
fn connect_failure(error: &(dyn Error + 'static)) -> Option<NotSent> {
    match error.downcast_ref::<io::Error>() {
        // The kind that rustls uses for all that is wrong with the peer.
        Some(error) => {
            (error.kind() == io::ErrorKind::InvalidData).then_some(NotSent::UntrustedPeer)
        }
        None => is_connector_uri_error(error).then_some(NotSent::Unsendable),
    }
}

/// Returns whether hyper-util's connector found the URI invalid, by the message: its error has no name and no accessor.
fn is_connector_uri_error(error: &(dyn Error + 'static)) -> bool {
    let says = error.to_string();
    // A wrapper may quote the text in its own; the error itself has no source.
    error.source().is_none() && says.starts_with("invalid URL, ")
}

#[cfg(feature = "tonic")]
fn by_tonic(error: &(dyn Error + 'static)) -> Option<NotSent> {
    error
        .is::<tonic::ConnectError>()
        .then_some(NotSent::NoConnection)
}
#[cfg(not(feature = "tonic"))]
fn by_tonic(_: &(dyn Error + 'static)) -> Option<NotSent> {
    None
}

#[cfg(feature = "reqwest")]
fn by_reqwest(error: &(dyn Error + 'static)) -> Option<NotSent> {
    let error = error.downcast_ref::<reqwest::Error>()?;
    // An invalid URL, or one that a redirect leads to. Of other kinds the source tells more.
    error.is_builder().then_some(NotSent::Unsendable)
}
#[cfg(not(feature = "reqwest"))]
fn by_reqwest(_: &(dyn Error + 'static)) -> Option<NotSent> {
    None
}

#[cfg(feature = "hyper")]
fn by_hyper(error: &(dyn Error + 'static)) -> Option<NotSent> {
    if let Some(error) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
        return by_hyper_util(error);
    }
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        if error.is_canceled() {
            // hyper reports a request that was begun as another kind.
            return Some(NotSent::ClosedIdle);
        }
        let unsendable = error.is_user() && says_one_of(error, &[HYPER_UNSENDABLE]);
        return unsendable.then_some(NotSent::Unsendable);
    }
    let error = error.downcast_ref::<h2::Error>()?;
    // A peer's GOAWAY is reported only to streams above the last one that the peer has processed.
    let refused = error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM);
    if refused && error.is_remote() {
        return Some(NotSent::RefusedByPeer);
    }
    // Errors of the user's have no reason; one that has is about a stream or a connection.
    let unsendable = error.reason().is_none() && says_one_of(error, &H2_UNSENDABLE);
    unsendable.then_some(NotSent::Unsendable)
}
#[cfg(not(feature = "hyper"))]
fn by_hyper(_: &(dyn Error + 'static)) -> Option<NotSent> {
    None
}

#[cfg(feature = "hyper")]
fn by_hyper_util(error: &hyper_util::client::legacy::Error) -> Option<NotSent> {
    if error.is_connect() {
        return Some(NotSent::NoConnection);
    }
    // Its kinds have names but no accessors: a relative URI, a version or a method that it does not support.
    let says = error.to_string();
    let unsendable = says.starts_with("client error (User");
    unsendable.then_some(NotSent::Unsendable)
}

/// Messages of hyper and h2 about requests that cannot be sent. Other errors of the user's, such as that of a body,
/// come of requests that have begun.
#[cfg(feature = "hyper")]
const HYPER_UNSENDABLE: &str = "user sent CONNECT request with non-zero body";
#[cfg(feature = "hyper")]
const H2_UNSENDABLE: [&str; 2] = [
    "user error: request URI missing scheme and authority",
    "user error: malformed headers",
];

#[cfg(feature = "hyper")]
fn says_one_of(error: &dyn Error, complaints: &[&str]) -> bool {
    let says = error.to_string();
    complaints.contains(&&*says)
}

#[cfg(all(test, feature = "hyper"))]
mod hyper_error_tests;

#[cfg(test)]
mod tests {
    use super::*;
    use io::ErrorKind;

    #[test]
    fn refused_connection_is_the_only_kind_of_io_error_that_proves_it() {
        let refused = || io::Error::from(ErrorKind::ConnectionRefused);
        assert_eq!(not_sent(&refused()), Some(NotSent::NoConnection));
        let wrapped = io::Error::other(io::Error::other(refused()));
        assert_eq!(not_sent(&wrapped), Some(NotSent::NoConnection));
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
            assert_eq!(not_sent(&io::Error::from(kind)), None, "{kind}");
        }
    }

    #[cfg(feature = "tonic")]
    #[test]
    fn tonics_connect_error_proves_it_whatever_made_it() {
        let error = tonic::ConnectError("no such host".into());
        let wrapped = io::Error::other(error);
        assert_eq!(not_sent(&wrapped), Some(NotSent::NoConnection));
        let certificate = io::Error::new(ErrorKind::InvalidData, "invalid peer certificate");
        let error = tonic::ConnectError(io::Error::other(certificate).into());
        assert_eq!(not_sent(&error), Some(NotSent::UntrustedPeer));
    }
}
