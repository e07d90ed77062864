use std::borrow::Cow;

/// Returns a state of a transition as people read it: a limit, if that is what has changed.
pub(crate) fn state_text(state: &'static str, limit: Option<u32>) -> Cow<'static, str> {
    match limit {
        Some(limit) => format!("limit {limit}").into(),
        None => state.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_text_is_the_limit_if_that_has_changed() {
        assert_eq!(state_text("available", Some(20)), "limit 20");
        assert_eq!(state_text("half_open", None), "half_open");
    }
}
