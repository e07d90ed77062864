//! Reads the framing of gRPC messages as they pass by, without keeping them.

mod base64;
mod flaw;
mod trailer;

use self::{base64::Base64, trailer::Trailer};

pub(crate) use flaw::Flaw;

/// Number of bytes before each message: its flag and its length.
const HEADER: usize = 5;

/// The flag of a compressed message.
const COMPRESSED: u8 = 0x01;

/// The flag of the message that holds the trailers of gRPC-Web.
const TRAILER: u8 = 0x80;

/// Follows the messages of one gRPC body, which may be cut into pieces anywhere.
///
/// Costs one look at the header of each message, whatever its length; only gRPC-Web's text form is read byte by byte.
/// Allocates nothing, but for the trailers of gRPC-Web: see [`Trailer`] for how much is kept of those.
#[derive(Clone, Debug)]
pub(crate) struct Frames {
    /// Decodes the text form of gRPC-Web.
    text: Option<Base64>,
    /// Whether a message may hold trailers.
    web: bool,
    at: At,
    messages: u64,
    trailer: Option<Box<Trailer>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum At {
    Header { bytes: [u8; HEADER], got: usize },
    Message { left: usize },
    Trailer { left: usize },
    AfterTrailer,
    Broken,
}

impl At {
    const START: At = At::Header {
        bytes: [0; HEADER],
        got: 0,
    };
}

impl Frames {
    /// Reads gRPC, and the requests of gRPC-Web, which are the same.
    pub(crate) fn new() -> Self {
        Frames {
            text: None,
            web: false,
            at: At::START,
            messages: 0,
            trailer: None,
        }
    }

    /// Reads the responses of gRPC-Web: their last message holds the trailers.
    pub(crate) fn with_trailer(mut self) -> Self {
        self.web = true;
        self
    }

    /// Reads the text form of gRPC-Web (`application/grpc-web-text`), which is base64.
    pub(crate) fn in_text(mut self) -> Self {
        self.text = Some(Base64::new());
        self
    }

    /// Reads on.
    pub(crate) fn feed(&mut self, data: &[u8]) {
        let Some(mut text) = self.text.take() else {
            return self.feed_bytes(data);
        };
        if !text.decode(data, |bytes| self.feed_bytes(bytes)) {
            self.at = At::Broken;
        }
        self.text = Some(text);
    }

    /// Returns how many messages were whole; trailers are none.
    #[cfg(test)]
    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    /// Returns what is wrong with the messages if nothing comes any more.
    pub(crate) fn flaw(&self) -> Option<Flaw> {
        if self.is_broken() {
            Some(Flaw::Broken)
        } else if self.is_inside() {
            Some(Flaw::CutShort)
        } else if self.messages == 0 {
            Some(Flaw::NoMessage)
        } else {
            None
        }
    }

    /// Returns whether what came is no gRPC.
    pub(crate) fn is_broken(&self) -> bool {
        self.at == At::Broken
    }

    /// Returns whether a message has begun that is not over.
    pub(crate) fn is_inside(&self) -> bool {
        let begun = match self.at {
            At::Header { got, .. } => got > 0,
            At::Message { .. } | At::Trailer { .. } => true,
            At::AfterTrailer | At::Broken => false,
        };
        begun || self.text.as_ref().is_some_and(Base64::is_inside)
    }

    /// The value of `grpc-status`, once gRPC-Web's trailers have brought it.
    pub(crate) fn status(&self) -> Option<&[u8]> {
        self.trailer.as_ref()?.status()
    }

    /// Returns whether gRPC-Web's trailers have come whole, and the status with them.
    pub(crate) fn has_ended(&self) -> bool {
        self.at == At::AfterTrailer && self.status().is_some()
    }

    /// The value of `grpc-message` as it was sent, percent-encoded. At most about a kibibyte.
    pub(crate) fn message(&self) -> Option<&[u8]> {
        self.trailer.as_ref()?.message()
    }

    fn feed_bytes(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            data = self.step(data);
        }
    }

    /// Reads up to the end of a header or of a message; returns what follows it. `data` is not empty.
    fn step<'a>(&mut self, data: &'a [u8]) -> &'a [u8] {
        match &mut self.at {
            At::Header { bytes, got } => {
                let (taken, rest) = data.split_at(data.len().min(HEADER - *got));
                bytes[*got..*got + taken.len()].copy_from_slice(taken);
                *got += taken.len();
                if *got == HEADER {
                    let [flag, length @ ..] = *bytes;
                    self.begin(flag, u32::from_be_bytes(length) as usize);
                } else if !flag_is_known(bytes[0], self.web) {
                    self.at = At::Broken;
                }
                rest
            }
            At::Message { left } => {
                let (taken, rest) = data.split_at(data.len().min(*left));
                *left -= taken.len();
                if *left == 0 {
                    self.end_message();
                }
                rest
            }
            At::Trailer { left } => {
                let (taken, rest) = data.split_at(data.len().min(*left));
                *left -= taken.len();
                let over = *left == 0;
                if let Some(trailer) = &mut self.trailer {
                    trailer.feed(taken);
                }
                if over {
                    self.end_trailer();
                }
                rest
            }
            // Trailers are the last message.
            At::AfterTrailer => {
                self.at = At::Broken;
                &[]
            }
            At::Broken => &[],
        }
    }

    fn begin(&mut self, flag: u8, left: usize) {
        if !flag_is_known(flag, self.web) {
            self.at = At::Broken;
            return;
        }
        if flag & TRAILER == 0 {
            self.at = At::Message { left };
            if left == 0 {
                self.end_message();
            }
            return;
        }
        // Compressed ones cannot be read here: they pass unseen.
        if flag & COMPRESSED == 0 {
            self.trailer = Some(Box::default());
        }
        self.at = At::Trailer { left };
        if left == 0 {
            self.end_trailer();
        }
    }

    fn end_message(&mut self) {
        self.messages = self.messages.saturating_add(1);
        self.at = At::START;
    }

    fn end_trailer(&mut self) {
        if let Some(trailer) = &mut self.trailer {
            trailer.end();
        }
        self.at = At::AfterTrailer;
    }
}

fn flag_is_known(flag: u8, web: bool) -> bool {
    let known = match web {
        true => COMPRESSED + TRAILER,
        false => COMPRESSED,
    };
    flag & !known == 0
}

#[cfg(test)]
mod tests;
