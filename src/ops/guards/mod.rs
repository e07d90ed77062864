//! Guards beyond their present state: their transitions, and what an operator holds for a time.

mod history;
mod hold;
mod holds;

pub(super) use self::{
    history::{GuardHistory, SeenTransition},
    hold::{Hold, HoldEnd},
    holds::{HoldAction, Holds},
};
