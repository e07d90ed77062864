use std::env::{self, VarError};

use tracing::level_filters::LevelFilter;
use tracing_log::{AsLog, LogTracer};
use tracing_subscriber::{
    EnvFilter, filter::Directive, fmt::MakeWriter, layer::SubscriberExt, registry::Registry,
};

use super::{error::InitError, layer::LogLayer, line_buffer::LineFormat, output::Output};
use crate::call::capture_panics;

/// What a log shows when nobody has said anything.
const DEFAULT_LEVEL: &str = "info";
/// The span of a call, which carries the IDs into tasks.
const CALL_SPAN: &str = "tower_keep::call";

/// What lines look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogFormat {
    /// What `LOG_FORMAT` says, `json` or `pretty`; where it is not set, pretty on a terminal and else JSON.
    #[default]
    Auto,
    /// One flat JSON object per line.
    Json,
    /// One readable line, in colour on a terminal unless `NO_COLOR` is set.
    Pretty,
}

/// How events are logged: see the [module](super). Made by [`builder`](super::builder).
#[derive(Clone, Debug)]
pub struct Logging<W = Output> {
    format: LogFormat,
    level: String,
    capture_panics: bool,
    writer: W,
    is_terminal: bool,
}

impl Default for Logging {
    fn default() -> Self {
        Logging {
            format: LogFormat::Auto,
            level: DEFAULT_LEVEL.to_owned(),
            capture_panics: true,
            writer: Output::Stdout,
            is_terminal: Output::Stdout.is_terminal(),
        }
    }
}

impl<W> Logging<W> {
    /// What lines look like. Default: [`LogFormat::Auto`], which leaves it to the environment.
    #[must_use]
    pub fn format(mut self, format: LogFormat) -> Self {
        self.format = format;
        self
    }

    /// What is logged where `RUST_LOG` is not set, as directives: `info,my_app=debug`. Default: `info`.
    #[must_use]
    pub fn level(mut self, directives: impl Into<String>) -> Self {
        self.level = directives.into();
        self
    }

    /// Whether [`init`](Logging::init) also calls [`capture_panics`]. Default: yes.
    #[must_use]
    pub fn capture_panics(mut self, capture: bool) -> Self {
        self.capture_panics = capture;
        self
    }

    /// Writes to standard output. The default: a service's log is what it has to say.
    #[must_use]
    pub fn stdout(self) -> Logging<Output> {
        self.with_output(Output::Stdout)
    }

    /// Writes to standard error: for programs whose output is data.
    #[must_use]
    pub fn stderr(self) -> Logging<Output> {
        self.with_output(Output::Stderr)
    }

    fn with_output(self, output: Output) -> Logging<Output> {
        Logging {
            is_terminal: output.is_terminal(),
            ..self.writer(output)
        }
    }

    /// Writes to anything, one `write_all` per line: a file in a `Mutex`, a non-blocking appender. It counts as
    /// no terminal.
    #[must_use]
    pub fn writer<N>(self, writer: N) -> Logging<N> {
        Logging {
            format: self.format,
            level: self.level,
            capture_panics: self.capture_panics,
            writer,
            is_terminal: false,
        }
    }

    /// The filter that [`init`](Logging::init) would use, for a registry of one's own.
    ///
    /// The span of a call stays on where only warnings are logged, or events of tasks that have nothing but the
    /// span would lose their IDs. Directives that name `tower_keep` are taken as they are.
    ///
    /// # Errors
    ///
    /// If `RUST_LOG`, or else [`level`](Logging::level), is not understood.
    pub fn filter(&self) -> Result<EnvFilter, InitError> {
        match env_var("RUST_LOG")? {
            Some(directives) => parse_filter("RUST_LOG", &directives),
            None => parse_filter("level", &self.level),
        }
    }

    fn line_format(&self) -> Result<LineFormat, InitError> {
        let is_pretty = match self.format {
            LogFormat::Json => false,
            LogFormat::Pretty => true,
            LogFormat::Auto => match env_var("LOG_FORMAT")?.as_deref() {
                None => self.is_terminal,
                Some("json") => false,
                Some("pretty") => true,
                Some(other) => {
                    let got = format!("{other:?}");
                    return Err(InitError::config("LOG_FORMAT", got, "json or pretty"));
                }
            },
        };
        if !is_pretty {
            return Ok(LineFormat::Json);
        }
        let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Ok(LineFormat::Pretty {
            colors: self.is_terminal && !no_color,
        })
    }

    /// The layer alone, for a registry of one's own. It does not filter.
    ///
    /// ```
    /// use tower_keep::logging;
    /// use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let logging = logging::builder().level("info,my_app=debug");
    /// tracing_subscriber::registry()
    ///     .with(logging.filter()?)
    ///     .with(logging.layer()?)
    ///     .try_init()?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// If the format is [`LogFormat::Auto`] and `LOG_FORMAT` is neither `json` nor `pretty`.
    pub fn layer(self) -> Result<LogLayer<W>, InitError> {
        Ok(LogLayer::new(self.line_format()?, self.writer))
    }

    /// Installs a subscriber for the whole process, takes in what is logged with the `log` crate (unless that
    /// has a logger already), and [captures panics](capture_panics).
    ///
    /// # Errors
    ///
    /// If `RUST_LOG`, `LOG_FORMAT` or the level is not understood, or there is a subscriber already.
    pub fn init(self) -> Result<(), InitError>
    where
        W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
    {
        let (filter, panics) = (self.filter()?, self.capture_panics);
        let subscriber = Registry::default().with(filter).with(self.layer()?);
        tracing::subscriber::set_global_default(subscriber)?;
        let _ = LogTracer::builder()
            .with_max_level(LevelFilter::current().as_log())
            .init();
        if panics {
            capture_panics();
        }
        Ok(())
    }
}

/// A variable of the environment; blank is as good as none.
fn env_var(name: &'static str) -> Result<Option<String>, InitError> {
    match env::var(name) {
        Ok(value) if value.trim().is_empty() => Ok(None),
        Ok(value) => Ok(Some(value.trim().to_owned())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(value)) => {
            Err(InitError::config(name, format!("{value:?}"), "UTF-8"))
        }
    }
}

fn parse_filter(from: &'static str, directives: &str) -> Result<EnvFilter, InitError> {
    let Ok(filter) = EnvFilter::builder().parse(directives) else {
        let bad = directives
            .split(',')
            .find(|part| part.parse::<Directive>().is_err())
            // A comma inside of braces is part of the directive.
            .filter(|_| !directives.contains('['));
        let bad = bad.map(|bad| format!(" ({bad:?} is none)"));
        let must = format!(
            "directives such as info,my_app=debug{}",
            bad.unwrap_or_default()
        );
        return Err(InitError::config(from, format!("{directives:?}"), must));
    };
    let is_off = filter.max_level_hint() == Some(LevelFilter::OFF);
    let bare = directives
        .split(',')
        .find_map(|part| part.trim().parse::<LevelFilter>().ok());
    let hides_calls = bare.is_none_or(|level| level < LevelFilter::INFO);
    if is_off || !hides_calls || directives.contains("tower_keep") {
        return Ok(filter);
    }
    match format!("{CALL_SPAN}=info").parse() {
        Ok(directive) => Ok(filter.add_directive(directive)),
        Err(_) => Ok(filter),
    }
}
