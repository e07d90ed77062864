/// A base64 decoder that works on a group of four characters at a time.
///
/// Padding may come at any time: each frame of gRPC-Web's text form may be encoded on its own.
#[derive(Clone, Debug)]
pub(super) struct Base64Decoder {
    /// The bits of the current group of four.
    bits: u32,
    /// The number of its characters that were read, padding included.
    len: u8,
    /// The number of those that were padding.
    padding: u8,
}

impl Base64Decoder {
    pub(super) fn new() -> Self {
        Base64Decoder {
            bits: 0,
            len: 0,
            padding: 0,
        }
    }

    /// Returns whether a group is incomplete.
    pub(super) fn is_mid_group(&self) -> bool {
        self.len > 0
    }

    /// Decodes a piece of text. Returns `false` at the first invalid character.
    pub(super) fn decode(&mut self, text: &[u8], mut found: impl FnMut(&[u8])) -> bool {
        for &character in text {
            if !self.push(character) {
                return false;
            }
            if self.len == 4 {
                let bytes = self.bits.to_be_bytes();
                // Four characters are 24 bits, the lower three bytes; each padding character takes one from the end.
                found(&bytes[1..4 - usize::from(self.padding)]);
                *self = Base64Decoder::new();
            }
        }
        true
    }

    fn push(&mut self, character: u8) -> bool {
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            // A group encodes one byte at least, which takes two characters.
            b'=' if self.len >= 2 => {
                self.padding += 1;
                0
            }
            _ => return false,
        };
        // Nothing but padding comes after padding, up to the end of the group.
        if self.padding > 0 && character != b'=' {
            return false;
        }
        self.bits = (self.bits << 6) + u32::from(value);
        self.len += 1;
        true
    }
}
