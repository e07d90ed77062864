//! What happened: one ordered, bounded, numbered list of events that can be subscribed to.
