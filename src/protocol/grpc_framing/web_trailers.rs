/// The maximum length of a line that is kept: a `grpc-message` with a value of a kibibyte. The rest is cut off.
const MAX_LINE: usize = "grpc-message: ".len() + 1024;

/// A reader of the trailers of gRPC-Web, which are header lines as in HTTP/1.
///
/// Keeps the two values that matter and one line at a time, however many lines there are and however long.
#[derive(Clone, Debug, Default)]
pub(super) struct WebTrailers {
    line: Vec<u8>,
    status: Option<Vec<u8>>,
    message: Option<Vec<u8>>,
}

impl WebTrailers {
    pub(super) fn status(&self) -> Option<&[u8]> {
        self.status.as_deref()
    }

    pub(super) fn message(&self) -> Option<&[u8]> {
        self.message.as_deref()
    }

    pub(super) fn feed(&mut self, data: &[u8]) {
        let mut lines = data.split(|byte| *byte == b'\n');
        // The first part continues the line that the piece before began.
        if let Some(rest) = lines.next() {
            self.push(rest);
        }
        for line in lines {
            self.end_line();
            self.push(line);
        }
    }

    /// Ends the current line. Some servers send no line feed after the last.
    pub(super) fn end_line(&mut self) {
        let kept = self.line.split(|byte| *byte == b':').next();
        let name = kept.unwrap_or_default().trim_ascii();
        let place = if name.eq_ignore_ascii_case(b"grpc-status") {
            &mut self.status
        } else if name.eq_ignore_ascii_case(b"grpc-message") {
            &mut self.message
        } else {
            self.line.clear();
            return;
        };
        // As for headers, the first value counts.
        if place.is_none()
            && let Some(colon) = self.line.iter().position(|byte| *byte == b':')
        {
            *place = Some(self.line[colon + 1..].trim_ascii().to_vec());
        }
        self.line.clear();
    }

    fn push(&mut self, part: &[u8]) {
        // Never below zero: nothing but this function adds to the line.
        let room = MAX_LINE - self.line.len();
        self.line.extend_from_slice(&part[..part.len().min(room)]);
    }

    #[cfg(test)]
    pub(super) fn buffered_len(&self) -> usize {
        let values = self.status.iter().chain(&self.message);
        self.line.len() + values.map(Vec::len).sum::<usize>()
    }
}
