use super::outbox::MessageEnd;

/// The state of a message, as the delivery log has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeliveryState {
    /// Waits for the first attempt.
    Queued,
    /// Waits for another attempt: the last has failed.
    Retrying,
    Delivered,
    /// Given up; an operator can send it again.
    Dead,
    /// A newer one of the same alerts is sent in its place.
    Superseded,
    /// Void: the alerts were resolved before the channel heard of them.
    Cancelled,
    /// The queue was full.
    Dropped,
}

impl DeliveryState {
    pub(crate) const ALL: [DeliveryState; 7] = [
        DeliveryState::Queued,
        DeliveryState::Retrying,
        DeliveryState::Delivered,
        DeliveryState::Dead,
        DeliveryState::Superseded,
        DeliveryState::Cancelled,
        DeliveryState::Dropped,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            DeliveryState::Queued => "queued",
            DeliveryState::Retrying => "retrying",
            DeliveryState::Delivered => "delivered",
            DeliveryState::Dead => "dead",
            DeliveryState::Superseded => "superseded",
            DeliveryState::Cancelled => "cancelled",
            DeliveryState::Dropped => "dropped",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut all = DeliveryState::ALL.into_iter();
        all.find(|state| state.as_str() == text)
    }

    /// Returns true for a message whose last word is spoken.
    pub(super) fn is_final(self) -> bool {
        !matches!(self, DeliveryState::Queued | DeliveryState::Retrying)
    }
}

impl From<MessageEnd> for DeliveryState {
    fn from(end: MessageEnd) -> Self {
        match end {
            MessageEnd::Delivered => DeliveryState::Delivered,
            MessageEnd::Dead => DeliveryState::Dead,
            MessageEnd::Superseded => DeliveryState::Superseded,
            MessageEnd::Cancelled => DeliveryState::Cancelled,
            MessageEnd::Dropped => DeliveryState::Dropped,
        }
    }
}
