use crate::{
    call::ConfigError,
    hedge::{Hedge, HedgeBuilder},
    retry::Retry,
};

/// The hedge of a pipeline that is built.
#[derive(Clone, Debug)]
pub(super) enum HedgePart {
    Own(HedgeBuilder),
    Shared(Hedge),
}

impl HedgePart {
    /// Builds the hedge, which pays from the budget of the pipeline's retry unless it has one of its own.
    pub(super) fn build(self, retry: Option<&Retry>) -> Result<Hedge, ConfigError> {
        match self {
            HedgePart::Own(builder) => builder.or_retry_budget(retry).build(),
            HedgePart::Shared(hedge) => Ok(hedge),
        }
    }
}
