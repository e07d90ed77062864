/// The naming scheme of the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricNaming {
    /// OpenTelemetry's semantic conventions, spelled for Prometheus: `http_server_request_duration_seconds`,
    /// `rpc_server_call_duration_seconds` and so on. The default.
    #[default]
    SemConv,
    /// The names that many existing dashboards use.
    ///
    /// Servers have `http_requests_total` and `http_request_duration_seconds` with the labels `method`, `route` and
    /// `status` (for gRPC the name of the code), `active_connections` without labels, and `errors_total` with the label
    /// `type`, which is the kind of the error record, such as `http 500`. The metrics of clients begin with
    /// `http_client`, and their gauge is `http_client_active_requests` with the label `method`.
    Classic,
}
