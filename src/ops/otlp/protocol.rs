/// A way in which messages are sent to a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// Protobuf over HTTP/1.1, to port 4318 unless the endpoint says otherwise.
    HttpProtobuf,
    /// gRPC, to port 4317 unless the endpoint says otherwise.
    Grpc,
}

impl Protocol {
    /// Returns the name that `OTEL_EXPORTER_OTLP_PROTOCOL` has for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::HttpProtobuf => "http/protobuf",
            Protocol::Grpc => "grpc",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        let all = [Protocol::HttpProtobuf, Protocol::Grpc];
        all.into_iter()
            .find(|protocol| name.eq_ignore_ascii_case(protocol.as_str()))
    }

    pub(super) fn default_endpoint(self) -> &'static str {
        match self {
            Protocol::HttpProtobuf => "http://localhost:4318",
            Protocol::Grpc => "http://localhost:4317",
        }
    }
}
