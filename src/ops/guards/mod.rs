//! Guards beyond their present state: their transitions, and what an operator holds for a time.

mod history;
mod hold;
mod holds;
mod state_text;

pub(super) use self::{
    history::{GuardHistory, SeenTransition},
    hold::{Hold, HoldEnd},
    holds::{HoldAction, Holds},
    state_text::state_text,
};
