use std::{
    io::{self, Write},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{output::Output, partial_line::PartialLine};

/// A writer of complete lines to an [`Output`].
///
/// If another process has made the stream non-blocking and it is full, a line is lost if nothing of it was written.
/// Otherwise its rest is written before the next line.
#[derive(Debug)]
pub struct OutputWriter(Output);

static STDOUT_PARTIAL: Mutex<PartialLine> = Mutex::new(PartialLine::new());
static STDERR_PARTIAL: Mutex<PartialLine> = Mutex::new(PartialLine::new());

impl OutputWriter {
    pub(super) fn new(output: Output) -> Self {
        OutputWriter(output)
    }

    /// Runs `write` with the stream and the rest of a partial line, both locked so that lines of two threads cannot mix.
    fn with_stream(
        &self,
        write: impl FnOnce(&mut dyn Write, &mut PartialLine) -> io::Result<()>,
    ) -> io::Result<()> {
        fn lock(rest: &'static Mutex<PartialLine>) -> MutexGuard<'static, PartialLine> {
            rest.lock().unwrap_or_else(PoisonError::into_inner)
        }
        // The stream first: a thread that holds its lock may write a line as well.
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
