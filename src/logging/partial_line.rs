use std::io::{self, ErrorKind, Write};

/// The rest of a partially written line, which must be written before the next line.
#[derive(Debug)]
pub(super) struct PartialLine(Vec<u8>);

impl PartialLine {
    pub(super) const fn new() -> Self {
        PartialLine(Vec::new())
    }

    /// Writes a line, completely or not at all from the reader's point of view. On an error the line is lost.
    pub(super) fn write_line(&mut self, out: &mut dyn Write, line: &[u8]) -> io::Result<()> {
        // Or this line would continue the one before.
        self.write_rest(out)?;
        let (written, result) = write_available(out, line);
        match result {
            Err(error) if written > 0 && error.kind() == ErrorKind::WouldBlock => {
                self.0.extend_from_slice(&line[written..]);
                Ok(())
            }
            // The line stays incomplete: end it before the next one.
            Err(error) if written > 0 => {
                self.0.push(b'\n');
                Err(error)
            }
            result => result,
        }
    }

    /// Writes the rest, and keeps what the stream does not accept.
    pub(super) fn write_rest(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let (written, result) = write_available(out, &self.0);
        self.0.drain(..written);
        if self.0.is_empty() {
            // Frees the memory: most processes never need it again.
            self.0 = Vec::new();
        }
        result
    }
}

/// Writes as much as possible. Returns the number of bytes written, and the error if that is not all.
fn write_available(out: &mut dyn Write, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match out.write(&bytes[written..]) {
            Ok(0) => return (written, Err(ErrorKind::WriteZero.into())),
            Ok(more) => written += more,
            // By a signal: try again.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    /// The reaction of a stream to a write.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Accepts(usize),
        Fails(ErrorKind),
    }

    struct Stream {
        steps: VecDeque<Step>,
        got: Vec<u8>,
    }

    impl Write for Stream {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.steps.pop_front() {
                Some(Step::Accepts(max)) => {
                    let accepted = max.min(bytes.len());
                    self.got.extend_from_slice(&bytes[..accepted]);
                    Ok(accepted)
                }
                Some(Step::Fails(kind)) => Err(kind.into()),
                None => {
                    self.got.extend_from_slice(bytes);
                    Ok(bytes.len())
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn step() -> impl Strategy<Value = Step> {
        use ErrorKind::{Interrupted, WouldBlock};
        prop_oneof![
            4 => (1..12_usize).prop_map(Step::Accepts),
            3 => Just(Step::Fails(WouldBlock)),
            1 => Just(Step::Fails(Interrupted)),
        ]
    }

    proptest! {
        #[test]
        fn lines_are_complete_or_lost_whatever_the_stream_accepts(
            steps in prop::collection::vec(step(), 0..60),
            lengths in prop::collection::vec(0..30_usize, 1..20),
        ) {
            let mut stream = Stream { steps: steps.into(), got: Vec::new() };
            let (mut rest, mut expected) = (PartialLine::new(), Vec::new());
            for (at, length) in lengths.into_iter().enumerate() {
                let line = format!("{at}:{}\n", "x".repeat(length));
                if rest.write_line(&mut stream, line.as_bytes()).is_ok() {
                    expected.extend(line.into_bytes());
                }
            }
            stream.steps.clear();
            rest.write_rest(&mut stream).expect("takes all");
            prop_assert_eq!(String::from_utf8(stream.got), String::from_utf8(expected));
        }
    }

    #[test]
    fn incomplete_line_is_lost_and_next_starts_on_new_line() {
        let steps = [Step::Accepts(3), Step::Fails(ErrorKind::StorageFull)];
        let mut stream = Stream {
            steps: steps.into(),
            got: Vec::new(),
        };
        let mut rest = PartialLine::new();
        assert!(rest.write_line(&mut stream, b"first\n").is_err());
        assert!(rest.write_line(&mut stream, b"second\n").is_ok());
        assert_eq!(stream.got, b"fir\nsecond\n");
    }

    #[test]
    fn line_is_lost_if_stream_accepts_nothing() {
        let mut stream = Stream {
            steps: [Step::Accepts(0)].into(),
            got: Vec::new(),
        };
        assert!(
            PartialLine::new()
                .write_line(&mut stream, b"lost\n")
                .is_err()
        );
        assert!(stream.got.is_empty());
    }
}
