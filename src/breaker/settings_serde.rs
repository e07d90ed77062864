//! How the settings of a breaker are written in a file.

use std::time::Duration;

use serde::Deserializer;

pub(super) use crate::util::setting_serde::{duration, optional, optional_duration};

/// Reads a duration that is there. One that is absent has a default which depends on others, and nothing switches it off.
pub(super) fn present_duration<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Duration>, D::Error> {
    duration::deserialize(from).map(Some)
}
