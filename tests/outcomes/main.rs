//! Every way a call can end: exactly one record, with the right outcome, and nothing left in flight.

mod ask;
mod bodies;
mod clock;
mod drops;
mod evidence;
mod panics;
mod play;
mod refusals;
mod verdicts;
