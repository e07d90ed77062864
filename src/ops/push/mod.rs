//! Live push: one stream of frames for all viewers, over WebSocket or as server-sent events.
//!
//! The driver makes one [`Update`](update::Update) per second while somebody looks, and one at once when a state changes. Its
//! sections are serialized once, whatever the number of viewers; each [`Viewer`](viewer::Viewer) only joins those that it has
//! asked for. A viewer that does not take its frames loses some, which are counted, then gets everything anew, and is
//! disconnected if it still takes none.

mod channel;
mod hub;
mod update;
mod viewer;

pub(super) use self::{
    channel::{Channels, PushChannel},
    hub::{Hub, NextUpdate, NoSeat, ViewerSeat},
    update::{FirstParts, Update, UpdateKind},
    viewer::{EVERY, Greeting, TAIL_PARAMS, Viewer, unknown_channel},
};
