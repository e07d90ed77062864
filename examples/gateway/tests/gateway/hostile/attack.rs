//! The kinds of attacks.

use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attack {
    /// Promises more of a body than it sends, and closes.
    AbortedUpload,
    /// Sends what is no chunk.
    MalformedChunks,
    /// Sends a part of a body, and nothing more for longer than an attempt may take.
    StalledUpload,
    /// Ends its upload just before the limit of an attempt.
    LateUpload,
    /// Sends much where the answer comes at once.
    UnwantedUpload,
    /// Resets HTTP/2 streams after their headers.
    ResetStream,
    /// Allows no time, or next to none.
    TinyDeadline,
    /// Takes a large body byte by byte.
    SlowReader,
    /// Takes a head and little more.
    LeavingReader,
    /// Says gRPC, whatever the method and the version.
    GrpcHeader,
    /// Unknown methods, odd targets and hosts, long paths.
    OddRequest,
    /// HTTP/1.0, mostly without a host.
    OldVersion,
    /// Sends no HTTP at all.
    Garbage,
}

impl Attack {
    pub const ALL: [Attack; 13] = [
        Attack::AbortedUpload,
        Attack::MalformedChunks,
        Attack::StalledUpload,
        Attack::LateUpload,
        Attack::UnwantedUpload,
        Attack::ResetStream,
        Attack::TinyDeadline,
        Attack::SlowReader,
        Attack::LeavingReader,
        Attack::GrpcHeader,
        Attack::OddRequest,
        Attack::OldVersion,
        Attack::Garbage,
    ];

    /// Returns how many do it at once: more where one takes seconds.
    pub fn at_once(self) -> u32 {
        match self {
            Attack::StalledUpload | Attack::LateUpload | Attack::SlowReader => 12,
            Attack::UnwantedUpload => 1,
            _ => 2,
        }
    }

    /// Returns how long each of them rests in between, so that it is no test of the machine's speed.
    pub fn rest(self) -> Duration {
        let millis = match self {
            Attack::StalledUpload | Attack::LateUpload | Attack::SlowReader => 1,
            Attack::UnwantedUpload => 100,
            _ => 25,
        };
        Duration::from_millis(millis)
    }
}
