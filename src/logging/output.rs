use std::io::{self, IsTerminal};

use tracing_subscriber::fmt::MakeWriter;

use super::output_writer::OutputWriter;

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

impl MakeWriter<'_> for Output {
    type Writer = OutputWriter;

    fn make_writer(&self) -> OutputWriter {
        OutputWriter::new(*self)
    }
}
