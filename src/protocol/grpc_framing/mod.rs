//! Scans the framing of gRPC messages as they pass by, without keeping them.

mod base64;
mod framing_error;
mod web_trailers;

use self::{base64::Base64Decoder, web_trailers::WebTrailers};

pub(crate) use framing_error::FramingError;

/// Number of bytes before each message: its flag and its length.
const HEADER_LEN: usize = 5;

/// The flag of a compressed message.
const COMPRESSED_FLAG: u8 = 0x01;

/// The flag of the message that holds the trailers of gRPC-Web.
const TRAILER_FLAG: u8 = 0x80;

/// A scanner of the messages of one gRPC body, which may be cut into pieces anywhere.
///
/// Reads the header of each message, whatever its length; only gRPC-Web's text form is read byte by byte. Allocates nothing,
/// except for the trailers of gRPC-Web: see [`WebTrailers`] for how much is kept of those.
#[derive(Clone, Debug)]
pub(crate) struct FrameScanner {
    /// Decodes the text form of gRPC-Web.
    base64: Option<Base64Decoder>,
    /// True if a message may hold trailers.
    has_trailers: bool,
    state: FrameState,
    messages: u64,
    trailers: Option<Box<WebTrailers>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum FrameState {
    Header { bytes: [u8; HEADER_LEN], got: usize },
    Message { left: usize },
    Trailer { left: usize },
    AfterTrailers,
    Broken,
}

impl FrameState {
    const START: FrameState = FrameState::Header {
        bytes: [0; HEADER_LEN],
        got: 0,
    };
}

impl FrameScanner {
    /// Creates a scanner for gRPC, and for requests of gRPC-Web, which are the same.
    pub(crate) fn new() -> Self {
        FrameScanner {
            base64: None,
            has_trailers: false,
            state: FrameState::START,
            messages: 0,
            trailers: None,
        }
    }

    /// Sets that the last message holds the trailers, as in responses of gRPC-Web.
    pub(crate) fn with_trailers(mut self) -> Self {
        self.has_trailers = true;
        self
    }

    /// Sets that the body is base64, the text form of gRPC-Web (`application/grpc-web-text`).
    pub(crate) fn base64_encoded(mut self) -> Self {
        self.base64 = Some(Base64Decoder::new());
        self
    }

    /// Scans the next piece of the body.
    pub(crate) fn feed(&mut self, data: &[u8]) {
        // Taken out for the time of the call, since what it finds goes to `self`.
        let Some(mut text) = self.base64.take() else {
            return self.feed_bytes(data);
        };
        if !text.decode(data, |bytes| self.feed_bytes(bytes)) {
            self.state = FrameState::Broken;
        }
        self.base64 = Some(text);
    }

    /// Returns the number of complete messages, without trailers.
    #[cfg(test)]
    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    /// Returns what is wrong with the messages if nothing comes any more.
    pub(crate) fn framing_error(&self) -> Option<FramingError> {
        if self.is_invalid() {
            Some(FramingError::Invalid)
        } else if self.is_mid_frame() {
            Some(FramingError::Truncated)
        } else if self.messages == 0 {
            Some(FramingError::NoMessage)
        } else {
            None
        }
    }

    /// Returns whether what came is no gRPC.
    pub(crate) fn is_invalid(&self) -> bool {
        self.state == FrameState::Broken
    }

    /// Returns whether a message has begun that is not over.
    pub(crate) fn is_mid_frame(&self) -> bool {
        let begun = match self.state {
            FrameState::Header { got, .. } => got > 0,
            FrameState::Message { .. } | FrameState::Trailer { .. } => true,
            FrameState::AfterTrailers | FrameState::Broken => false,
        };
        begun
            || self
                .base64
                .as_ref()
                .is_some_and(Base64Decoder::is_mid_group)
    }

    /// Returns the value of `grpc-status`, once gRPC-Web's trailers have brought it.
    pub(crate) fn status(&self) -> Option<&[u8]> {
        self.trailers.as_ref()?.status()
    }

    /// Returns whether gRPC-Web's trailers have come whole, and the status with them.
    pub(crate) fn has_ended(&self) -> bool {
        self.state == FrameState::AfterTrailers && self.status().is_some()
    }

    /// Returns the value of `grpc-message` as it was sent, percent-encoded. At most about a kibibyte.
    pub(crate) fn message(&self) -> Option<&[u8]> {
        self.trailers.as_ref()?.message()
    }

    fn feed_bytes(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            data = self.step(data);
        }
    }

    /// Reads up to the end of a header or of a message; returns what follows it. `data` is not empty.
    fn step<'a>(&mut self, data: &'a [u8]) -> &'a [u8] {
        match &mut self.state {
            FrameState::Header { bytes, got } => {
                let (taken, rest) = data.split_at(data.len().min(HEADER_LEN - *got));
                bytes[*got..*got + taken.len()].copy_from_slice(taken);
                *got += taken.len();
                if *got == HEADER_LEN {
                    let [flag, length @ ..] = *bytes;
                    self.start_frame(flag, u32::from_be_bytes(length) as usize);
                // Known at the first byte: a body that is no gRPC is found out before its fifth.
                } else if !is_known_flag(bytes[0], self.has_trailers) {
                    self.state = FrameState::Broken;
                }
                rest
            }
            FrameState::Message { left } => {
                let (taken, rest) = data.split_at(data.len().min(*left));
                *left -= taken.len();
                if *left == 0 {
                    self.end_message();
                }
                rest
            }
            FrameState::Trailer { left } => {
                let (taken, rest) = data.split_at(data.len().min(*left));
                *left -= taken.len();
                let over = *left == 0;
                if let Some(trailer) = &mut self.trailers {
                    trailer.feed(taken);
                }
                if over {
                    self.end_trailers();
                }
                rest
            }
            // Trailers are the last message.
            FrameState::AfterTrailers => {
                self.state = FrameState::Broken;
                &[]
            }
            FrameState::Broken => &[],
        }
    }

    fn start_frame(&mut self, flag: u8, left: usize) {
        if !is_known_flag(flag, self.has_trailers) {
            self.state = FrameState::Broken;
            return;
        }
        if flag & TRAILER_FLAG == 0 {
            self.state = FrameState::Message { left };
            // An empty message has no data to end it.
            if left == 0 {
                self.end_message();
            }
            return;
        }
        // Compressed ones cannot be read here: they pass unseen.
        if flag & COMPRESSED_FLAG == 0 {
            self.trailers = Some(Box::default());
        }
        self.state = FrameState::Trailer { left };
        if left == 0 {
            self.end_trailers();
        }
    }

    fn end_message(&mut self) {
        self.messages = self.messages.saturating_add(1);
        self.state = FrameState::START;
    }

    fn end_trailers(&mut self) {
        if let Some(trailer) = &mut self.trailers {
            trailer.end_line();
        }
        self.state = FrameState::AfterTrailers;
    }
}

fn is_known_flag(flag: u8, web: bool) -> bool {
    let known = match web {
        true => COMPRESSED_FLAG + TRAILER_FLAG,
        false => COMPRESSED_FLAG,
    };
    flag & !known == 0
}

#[cfg(test)]
mod tests;
