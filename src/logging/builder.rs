use std::env;

use tracing::level_filters::LevelFilter;
use tracing_log::{AsLog, LogTracer};
use tracing_subscriber::{
    EnvFilter, Layer, fmt::MakeWriter, layer::SubscriberExt, registry::Registry, reload,
};

use super::{
    filter::{env_var, parse_filter},
    filter_handle::FilterHandle,
    format::LogFormat,
    late_layers::{BaseRegistry, LateLayers},
    layer::LogLayer,
    line_format::LineFormat,
    output::Output,
};
use crate::{
    call::{ConfigError, InstallError},
    errors::capture_panics,
};

/// The filter if neither `RUST_LOG` nor [`Logging::level`] is set.
const DEFAULT_LEVEL: &str = "info";
const ALREADY_INSTALLED: &str = "logging: another tracing subscriber is installed already; build its registry with the layer of \
                                 `logging::builder()` instead";

/// A builder for logging; see the [module](super). Created by [`builder`](super::builder).
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
    /// Sets the format of lines. Default: [`LogFormat::Auto`], so that the environment decides.
    #[must_use]
    pub fn format(mut self, format: LogFormat) -> Self {
        self.format = format;
        self
    }

    /// Sets the filter directives used when `RUST_LOG` is unset, such as `info,my_app=debug`. Default: `info`.
    #[must_use]
    pub fn level(mut self, directives: impl Into<String>) -> Self {
        self.level = directives.into();
        self
    }

    /// Sets whether [`install`](Logging::install) also calls [`capture_panics`]. Default: yes, so that a panic is logged once.
    #[must_use]
    pub fn capture_panics(mut self, capture: bool) -> Self {
        self.capture_panics = capture;
        self
    }

    /// Writes to standard output, which is the default.
    #[must_use]
    pub fn stdout(self) -> Logging<Output> {
        self.with_output(Output::Stdout)
    }

    /// Writes to standard error, for programs whose output is data.
    #[must_use]
    pub fn stderr(self) -> Logging<Output> {
        self.with_output(Output::Stderr)
    }

    fn with_output(self, output: Output) -> Logging<Output> {
        Logging {
            // `writer` has set it to `false`.
            is_terminal: output.is_terminal(),
            ..self.writer(output)
        }
    }

    /// Sets the writer, which gets one `write_all` per line: a file in a `Mutex`, or a non-blocking appender. It is not
    /// treated as a terminal.
    ///
    /// A buffer that a test reads:
    ///
    /// ```
    /// use std::sync::Mutex;
    /// use tower_keep::logging;
    ///
    /// let logging = logging::builder().writer(Mutex::new(Vec::<u8>::new()));
    /// # let _ = logging;
    /// ```
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

    /// Returns the filter that [`install`](Logging::install) would use, for a custom registry.
    ///
    /// It keeps the span of a call enabled even where only warnings are logged, because events of spawned tasks take their
    /// IDs from it. Directives that name `tower_keep` are not changed.
    ///
    /// # Errors
    ///
    /// Returns an error if `RUST_LOG`, or [`level`](Logging::level) if that is unset, cannot be parsed.
    pub fn filter(&self) -> Result<EnvFilter, InstallError> {
        let (source, directives) = self.directives()?;
        Ok(parse_filter(source, &directives)?)
    }

    /// Returns the same filter as [`filter`](Self::filter), with a handle that changes it while the process runs.
    ///
    /// Each event and each step of a span then takes one uncontended read lock.
    ///
    /// ```
    /// use tower_keep::logging;
    /// use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let logging = logging::builder();
    /// let (filter, handle) = logging.reloadable_filter()?;
    /// tracing_subscriber::registry().with(filter).with(logging.layer()?).try_init()?;
    /// handle.set("info,my_app=debug")?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if `RUST_LOG`, or [`level`](Logging::level) if that is unset, cannot be parsed.
    pub fn reloadable_filter<S: 'static>(
        &self,
    ) -> Result<(reload::Layer<EnvFilter, S>, FilterHandle), InstallError> {
        let (source, directives) = self.directives()?;
        let (filter, handle) = reload::Layer::new(parse_filter(source, &directives)?);
        Ok((filter, FilterHandle::new(handle, directives)))
    }

    /// Returns the directives, and the name of their setting.
    fn directives(&self) -> Result<(&'static str, String), InstallError> {
        Ok(match env_var("RUST_LOG")? {
            Some(directives) => ("RUST_LOG", directives),
            None => ("level", self.level.clone()),
        })
    }

    /// Returns the format from the setting and the environment.
    fn line_format(&self) -> Result<LineFormat, InstallError> {
        if !self.is_pretty()? {
            return Ok(LineFormat::Json);
        }
        let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Ok(LineFormat::Pretty {
            colors: self.is_terminal && !no_color,
        })
    }

    fn is_pretty(&self) -> Result<bool, InstallError> {
        match self.format {
            LogFormat::Json => Ok(false),
            LogFormat::Pretty => Ok(true),
            LogFormat::Auto => match env_var("LOG_FORMAT")?.as_deref() {
                None => Ok(self.is_terminal),
                Some("json") => Ok(false),
                Some("pretty") => Ok(true),
                Some(other) => {
                    let value = format!("{other:?}");
                    Err(ConfigError::new("logging", "LOG_FORMAT", value, "json or pretty").into())
                }
            },
        }
    }

    /// Builds the layer, for a custom registry. It does not filter.
    ///
    /// A registry to which other layers can be added:
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
    /// Returns an error if the format is [`LogFormat::Auto`] and `LOG_FORMAT` is neither `json` nor `pretty`.
    pub fn layer(self) -> Result<LogLayer<W>, InstallError> {
        Ok(LogLayer::new(self.line_format()?, self.writer))
    }

    /// Installs the subscriber of the process, forwards records of the `log` crate to it (unless that has a logger
    /// already), and [captures panics](capture_panics).
    ///
    /// # Errors
    ///
    /// Returns an error if `RUST_LOG`, `LOG_FORMAT` or the level is invalid, or if a subscriber is already installed.
    pub fn install(self) -> Result<(), InstallError>
    where
        W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
    {
        let filter = self.filter()?;
        self.install_with(filter)?;
        Ok(())
    }

    /// Installs the same subscriber as [`install`](Self::install), and returns a handle that changes its filter while the process
    /// runs. Each event and each step of a span then takes one uncontended read lock.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), tower_keep::BoxError> {
    /// let filter = tower_keep::logging::builder().install_reloadable()?;
    /// filter.set("info,my_app=debug")?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if `RUST_LOG`, `LOG_FORMAT` or the level is invalid, or if a subscriber is already installed.
    pub fn install_reloadable(self) -> Result<FilterHandle, InstallError>
    where
        W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
    {
        let (filter, handle) = self.reloadable_filter()?;
        handle.set_forwards_log(self.install_with(filter)?);
        Ok(handle)
    }

    /// Installs the subscriber, and returns whether it gets the records of the `log` crate.
    fn install_with<F>(self, filter: F) -> Result<bool, InstallError>
    where
        F: Layer<BaseRegistry> + Send + Sync + 'static,
        W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
    {
        // Whatever can be invalid is checked before anything is installed.
        let panics = self.capture_panics;
        let registry = Registry::default().with(LateLayers);
        let subscriber = registry.with(filter).with(self.layer()?);
        tracing::subscriber::set_global_default(subscriber)
            .map_err(|_| InstallError::already_installed(ALREADY_INSTALLED))?;
        // Fails if the program has another logger, which then stays.
        let log = LogTracer::builder().with_max_level(LevelFilter::current().as_log());
        let forwards_log = log.init().is_ok();
        // Last, since from here on panics are reported through the subscriber.
        if panics {
            capture_panics();
        }
        Ok(forwards_log)
    }
}
