//! The errors of outputs, as they are recorded.

use std::{any::type_name, error::Error, fmt};

use crate::{
    call::{as_std_error, catch_hook},
    errors::{ErrorRecord, short_type_name},
    util::text::display_bounded,
};

/// The longest message that is read, in bytes.
const MAX_READ: usize = 2_048;

pub(super) fn of_error<T, E: Error + 'static>(output: &Result<T, E>) -> Option<ErrorRecord> {
    let error = output.as_ref().err()?;
    Some(ErrorRecord::from_error(None, error))
}

pub(super) fn of_display<T, E: fmt::Display + 'static>(
    output: &Result<T, E>,
) -> Option<ErrorRecord> {
    let error = output.as_ref().err()?;
    // Some of these implement `Error` after all.
    Some(match as_std_error(error) {
        Some(error) => ErrorRecord::from_error(None, error),
        None => {
            // The alternate form contains the causes of errors such as anyhow's.
            let message = catch_hook(|| display_bounded(format_args!("{error:#}"), MAX_READ));
            let message = message.unwrap_or_else(|| "an error without a message".into());
            ErrorRecord::new(short_type_name(type_name::<E>()).to_owned(), message)
        }
    })
}

pub(super) fn none<T>(_: &T) -> Option<ErrorRecord> {
    None
}
