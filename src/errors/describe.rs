//! Kinds and messages of errors: the same in metrics, spans, logs and groups.

use std::borrow::Cow;
use std::error::Error;

use super::record::MAX_NAME;
use super::type_name::type_name_from_debug;
use crate::{
    call::{Rejection, catch_hook, is_elapsed, sources},
    util::text::display_bounded,
};

/// The kind of an error whose type is unknown.
pub(super) const UNKNOWN_KIND: &str = "error";

/// A type name that does not identify the error.
const GENERIC_TYPE_NAME: &str = "Error";

/// Returns the kind of an error, a label of low cardinality.
///
/// The kind of a gRPC status is its code, of an `io::Error` its `ErrorKind`, of an elapsed timeout `timeout`, of a
/// rejection its kind, and of every other error its type name as far as `Debug` shows it. For a type called just
/// `Error`, such as the one axum wraps around errors of bodies, it is that of the first source with a name.
pub(crate) fn kind_of(error: &(dyn Error + 'static)) -> Cow<'static, str> {
    sources(error)
        .map(own_kind)
        .find(|kind| kind != GENERIC_TYPE_NAME)
        .unwrap_or(GENERIC_TYPE_NAME.into())
}

/// Returns the kind of an error without its sources.
fn own_kind(error: &(dyn Error + 'static)) -> Cow<'static, str> {
    if let Some((code, _)) = grpc_status(error) {
        return code.into();
    }
    // Before the type name: the `ErrorKind` says more than `io::Error`.
    if let Some(error) = error.downcast_ref::<std::io::Error>() {
        return io_kind(error);
    }
    if let Some(rejection) = error.downcast_ref::<Rejection>() {
        return rejection.kind().as_str().into();
    }
    // One kind for the timeouts of tokio, tower and this crate, whatever their types are called.
    if is_elapsed(error) {
        return "timeout".into();
    }
    // `Debug` of a foreign type may panic.
    let debug = catch_hook(|| display_bounded(format_args!("{error:?}"), MAX_NAME));
    let Some(name) = debug.as_deref().and_then(type_name_from_debug) else {
        return UNKNOWN_KIND.into();
    };
    // If `Debug` and `Display` both write just this word, it may be a message turned into an error, such as anyhow's.
    match Some(name) == debug.as_deref() && *error_text(error, MAX_NAME) == *name {
        true => UNKNOWN_KIND.into(),
        false => name.to_owned().into(),
    }
}

/// Returns the kind of the wrapped error for `ErrorKind::Other`, if that has one, else the `ErrorKind`.
fn io_kind(error: &std::io::Error) -> Cow<'static, str> {
    // Other kinds say more than the error that is wrapped in them.
    let inner = error
        .get_ref()
        .filter(|_| error.kind() == std::io::ErrorKind::Other)
        .map(|inner| kind_of(inner))
        .filter(|kind| kind != UNKNOWN_KIND && kind != GENERIC_TYPE_NAME);
    inner.unwrap_or_else(|| format!("io::{:?}", error.kind()).into())
}

/// Returns the message of an error. That of a gRPC status is without the code, which is its kind.
pub(super) fn message_of(error: &(dyn Error + 'static), max: usize) -> Box<str> {
    match grpc_status(error) {
        // Without a message there is only the code, which `Display` shows.
        Some((_, message)) if !message.is_empty() => display_bounded(message, max),
        _ => error_text(error, max),
    }
}

/// Returns the message of a cause. That of a gRPC status starts with the code.
pub(super) fn cause_text(error: &(dyn Error + 'static), max: usize) -> Box<str> {
    match grpc_status(error) {
        Some((code, message)) => display_bounded(format_args!("{code}: {message}"), max),
        None => error_text(error, max),
    }
}

/// Returns the `Display` text of an error, which may panic.
fn error_text(error: &(dyn Error + 'static), max: usize) -> Box<str> {
    catch_hook(|| display_bounded(error, max)).unwrap_or_else(|| "an error that panics".into())
}

/// Returns the code and message of a gRPC status.
#[cfg(feature = "tonic")]
fn grpc_status<'a>(error: &'a (dyn Error + 'static)) -> Option<(&'static str, &'a str)> {
    let status = error.downcast_ref::<tonic::Status>()?;
    let code = crate::call::GrpcCode::from_tonic(status.code()).as_str();
    Some((code, status.message()))
}
#[cfg(not(feature = "tonic"))]
fn grpc_status<'a>(_: &'a (dyn Error + 'static)) -> Option<(&'static str, &'a str)> {
    None
}

#[cfg(test)]
mod tests {
    use std::{fmt, io};

    use super::*;
    use crate::call::{Elapsed, TimeoutKind};

    #[derive(Debug)]
    struct Gone;
    impl fmt::Display for Gone {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("it is gone")
        }
    }
    impl Error for Gone {}

    #[derive(Debug)]
    struct Loud {
        #[expect(dead_code, reason = "for its `Debug`")]
        why: &'static str,
    }
    impl fmt::Display for Loud {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("loud")
        }
    }
    impl Error for Loud {}

    #[test]
    fn kind_is_grpc_code_io_kind_rejection_kind_or_type_name() {
        let elapsed = Elapsed::new("api".into(), TimeoutKind::Limit, None);
        let rejection = Rejection::overloaded("shed");
        let parse = "x".parse::<u32>().unwrap_err();
        let boxed: Box<dyn Error + Send + Sync> = "plain text".into();
        let wrapped = io::Error::other(Elapsed::new("api".into(), TimeoutKind::Limit, None));
        let table: [(&(dyn Error + 'static), &str); 9] = [
            (&wrapped, "timeout"),
            (&io::Error::other("torn"), "io::Other"),
            (&io::Error::from(io::ErrorKind::NotFound), "io::NotFound"),
            (&elapsed, "timeout"),
            (&rejection, rejection.kind().as_str()),
            (&parse, "ParseIntError"),
            (&Gone, "Gone"),
            (&Loud { why: "" }, "Loud"),
            (&*boxed, "error"),
        ];
        for (error, kind) in table {
            assert_eq!(kind_of(error), kind, "{error:?}");
        }
    }

    /// With a backtrace, which depends on the environment, `Debug` writes more. The kind must not depend on that.
    #[test]
    fn kind_of_error_made_from_single_word_is_error() {
        struct Word;
        impl fmt::Debug for Word {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("Timeout")
            }
        }
        impl fmt::Display for Word {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("Timeout")
            }
        }
        impl Error for Word {}
        assert_eq!(kind_of(&Word), "error");
    }

    #[test]
    fn message_of_panicking_error_is_replaced() {
        let error = Loud { why: "" };
        assert_eq!(&*message_of(&error, 100), "an error that panics");
        assert_eq!(&*cause_text(&error, 100), "an error that panics");
    }

    #[cfg(feature = "tonic")]
    #[test]
    fn grpc_status_has_code_as_kind_and_message_without_code() {
        let status = tonic::Status::internal("the table is locked");
        assert_eq!(kind_of(&status), "INTERNAL");
        assert_eq!(&*message_of(&status, 100), "the table is locked");
        assert_eq!(&*cause_text(&status, 100), "INTERNAL: the table is locked");
        let empty = tonic::Status::unavailable("");
        assert!(message_of(&empty, 200).contains("unavailable"));
    }
}
