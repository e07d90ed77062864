//! Parses and writes the headers that carry a context.

mod baggage;
mod baggage_list;
mod baggage_member;
mod call_id;
mod error;
mod hex;
mod id_format;
mod invalid_call_id;
mod random;
mod trace_flags;
mod trace_id;
mod traceparent;
mod tracestate;
mod tracestate_list;

pub use baggage::Baggage;
pub use baggage_member::BaggageMember;
pub use call_id::CallId;
pub use error::{HeaderError, HeaderErrorKind};
pub(crate) use hex::hex_str;
pub use id_format::IdFormat;
pub use invalid_call_id::InvalidCallId;
pub use trace_flags::TraceFlags;
pub use trace_id::{SpanId, TraceId};
pub use traceparent::Traceparent;
pub use tracestate::Tracestate;
