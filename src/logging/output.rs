use std::{
    io::{self, ErrorKind, IsTerminal, Write},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tracing_subscriber::fmt::MakeWriter;

/// The standard stream that lines are written to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Standard output, which is the default.
    #[default]
    Stdout,
    /// Standard error.
    Stderr,
}

impl Output {
    pub(super) fn is_terminal(self) -> bool {
        match self {
            Output::Stdout => io::stdout().is_terminal(),
            Output::Stderr => io::stderr().is_terminal(),
        }
    }
}

/// A writer of complete lines to an [`Output`].
///
/// If another process has made the stream non-blocking and it is full, a line is lost if nothing of it was written.
/// Otherwise its rest is written before the next line.
#[derive(Debug)]
pub struct OutputWriter(Output);

static STDOUT_PARTIAL: Mutex<PartialLine> = Mutex::new(PartialLine::new());
static STDERR_PARTIAL: Mutex<PartialLine> = Mutex::new(PartialLine::new());

impl OutputWriter {
    /// Runs `write` with the stream and the rest of a partial line, both locked so that lines of two threads cannot mix.
    fn with_stream(
        &self,
        write: impl FnOnce(&mut dyn Write, &mut PartialLine) -> io::Result<()>,
    ) -> io::Result<()> {
        fn lock(rest: &'static Mutex<PartialLine>) -> MutexGuard<'static, PartialLine> {
            rest.lock().unwrap_or_else(PoisonError::into_inner)
        }
        match self.0 {
            Output::Stdout => write(&mut io::stdout().lock(), &mut lock(&STDOUT_PARTIAL)),
            Output::Stderr => write(&mut io::stderr().lock(), &mut lock(&STDERR_PARTIAL)),
        }
    }
}

impl Write for OutputWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_all(line).map(|()| line.len())
    }

    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        // The layer adds this after a failure, for writers that do not complete partial lines.
        let line = line.strip_prefix(b"\n").unwrap_or(line);
        self.with_stream(|out, rest| rest.write_line(out, line))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.with_stream(|out, rest| {
            rest.write_rest(out)?;
            out.flush()
        })
    }
}

impl MakeWriter<'_> for Output {
    type Writer = OutputWriter;

    fn make_writer(&self) -> OutputWriter {
        OutputWriter(*self)
    }
}

/// The rest of a partially written line, which must be written before the next line.
#[derive(Debug)]
struct PartialLine(Vec<u8>);

impl PartialLine {
    const fn new() -> Self {
        PartialLine(Vec::new())
    }

    /// Writes a line, completely or not at all from the reader's point of view. On an error the line is lost.
    fn write_line(&mut self, out: &mut dyn Write, line: &[u8]) -> io::Result<()> {
        self.write_rest(out)?;
        let (taken, result) = write_available(out, line);
        match result {
            Err(error) if taken > 0 && error.kind() == ErrorKind::WouldBlock => {
                self.0.extend_from_slice(&line[taken..]);
                Ok(())
            }
            // The line stays incomplete: end it before the next one.
            Err(error) if taken > 0 => {
                self.0.push(b'\n');
                Err(error)
            }
            result => result,
        }
    }

    fn write_rest(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let (taken, result) = write_available(out, &self.0);
        self.0.drain(..taken);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        result
    }
}

/// Writes as much as possible. Returns the number of bytes written, and the error if that is not all.
fn write_available(out: &mut dyn Write, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut taken = 0;
    while taken < bytes.len() {
        match out.write(&bytes[taken..]) {
            Ok(0) => return (taken, Err(ErrorKind::WriteZero.into())),
            Ok(more) => taken += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (taken, Err(error)),
        }
    }
    (taken, Ok(()))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    /// The reaction of a stream to a write.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Takes(usize),
        Fails(ErrorKind),
    }

    struct Stream {
        steps: VecDeque<Step>,
        got: Vec<u8>,
    }

    impl Write for Stream {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.steps.pop_front() {
                Some(Step::Takes(most)) => {
                    let taken = most.min(bytes.len());
                    self.got.extend_from_slice(&bytes[..taken]);
                    Ok(taken)
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
            4 => (1..12_usize).prop_map(Step::Takes),
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
            let (mut rest, mut kept) = (PartialLine::new(), Vec::new());
            for (at, length) in lengths.into_iter().enumerate() {
                let line = format!("{at}:{}\n", "x".repeat(length));
                if rest.write_line(&mut stream, line.as_bytes()).is_ok() {
                    kept.extend(line.into_bytes());
                }
            }
            stream.steps.clear();
            rest.write_rest(&mut stream).expect("takes all");
            prop_assert_eq!(String::from_utf8(stream.got), String::from_utf8(kept));
        }
    }

    #[test]
    fn incomplete_line_is_lost_and_next_starts_on_new_line() {
        let steps = [Step::Takes(3), Step::Fails(ErrorKind::StorageFull)];
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
            steps: [Step::Takes(0)].into(),
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
