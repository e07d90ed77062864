/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogFormat {
    /// The format named by `LOG_FORMAT`, `json` or `pretty`. If it is not set, pretty on a terminal and JSON otherwise.
    #[default]
    Auto,
    /// Flat JSON, one object per line.
    Json,
    /// Readable text on one line, with colors on a terminal unless `NO_COLOR` is set.
    Pretty,
}
