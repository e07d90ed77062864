/// A way in which messages are sent to a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OtlpProtocol {
    /// Protobuf over HTTP/1.1, to port 4318 unless the endpoint says otherwise.
    HttpProtobuf,
    /// gRPC, to port 4317 unless the endpoint says otherwise.
    Grpc,
}

impl OtlpProtocol {
    /// Returns the name that `OTEL_EXPORTER_OTLP_PROTOCOL` has for it.
    pub fn as_str(self) -> &'static str {
        match self {
            OtlpProtocol::HttpProtobuf => "http/protobuf",
            OtlpProtocol::Grpc => "grpc",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        let all = [OtlpProtocol::HttpProtobuf, OtlpProtocol::Grpc];
        all.into_iter()
            .find(|protocol| name.eq_ignore_ascii_case(protocol.as_str()))
    }

    pub(super) fn default_endpoint(self) -> &'static str {
        match self {
            OtlpProtocol::HttpProtobuf => "http://localhost:4318",
            OtlpProtocol::Grpc => "http://localhost:4317",
        }
    }
}
