use std::io::{self, IsTerminal, Write};

use tracing_subscriber::fmt::MakeWriter;

/// Where lines go that are given no writer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Standard output, the default.
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

/// A whole line at a time; see [`Output`].
#[derive(Debug)]
pub struct OutputWriter(Output);

impl Write for OutputWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_all(line).map(|()| line.len())
    }

    // Locked once, or the lines of two threads could mix.
    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        match self.0 {
            Output::Stdout => io::stdout().lock().write_all(line),
            Output::Stderr => io::stderr().lock().write_all(line),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0 {
            Output::Stdout => io::stdout().flush(),
            Output::Stderr => io::stderr().flush(),
        }
    }
}

impl MakeWriter<'_> for Output {
    type Writer = OutputWriter;

    fn make_writer(&self) -> OutputWriter {
        OutputWriter(*self)
    }
}
