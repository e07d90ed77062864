use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::ClientConfig;

use super::{
    OtlpProtocol,
    answer::{Answer, of_grpc, of_http},
    config::Destination,
};
use crate::{call::BoxError, util::text::display_bounded};

/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1_024;
/// The longest error of a connection that is shown, in bytes.
const MAX_ERROR: usize = 256;

type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A sender of messages over HTTP and gRPC. Works on the runtime that it is used on.
#[derive(Debug)]
pub(super) struct Transport {
    tls: ClientConfig,
    http: Mutex<HttpClient>,
    grpc: Mutex<HttpClient>,
}

impl Transport {
    pub(super) fn new(tls: ClientConfig) -> Self {
        Transport {
            http: Mutex::new(client(tls.clone(), OtlpProtocol::HttpProtobuf)),
            grpc: Mutex::new(client(tls.clone(), OtlpProtocol::Grpc)),
            tls,
        }
    }

    /// Makes one attempt to send a message.
    pub(super) async fn send(&self, to: &Destination, message: Bytes) -> Answer {
        match tokio::time::timeout(to.timeout, self.exchange(to, message)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Answer::try_again(connection_error(&*error)),
            Err(_) => {
                // The connection may be dead, and HTTP/2 would go on with it.
                *self.pool(to.protocol) = client(self.tls.clone(), to.protocol);
                Answer::try_again(format!("no answer within {:?}", to.timeout))
            }
        }
    }

    fn pool(&self, protocol: OtlpProtocol) -> MutexGuard<'_, HttpClient> {
        let pool = match protocol {
            OtlpProtocol::HttpProtobuf => &self.http,
            OtlpProtocol::Grpc => &self.grpc,
        };
        pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn exchange(&self, to: &Destination, message: Bytes) -> Result<Answer, BoxError> {
        let client = self.pool(to.protocol).clone();
        let request = match to.protocol {
            OtlpProtocol::HttpProtobuf => http_request(to, message),
            OtlpProtocol::Grpc => grpc_request(to, &message),
        };
        let (head, body) = client.request(request).await?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        let head = Response::from_parts(head, body.to_bytes());
        Ok(read(to.protocol, &head, &trailers))
    }
}

fn client(tls: ClientConfig, protocol: OtlpProtocol) -> HttpClient {
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http();
    let is_grpc = protocol == OtlpProtocol::Grpc;
    let connector = match is_grpc {
        true => connector.enable_http2().build(),
        false => connector.enable_http1().build(),
    };
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(1)
        .http2_only(is_grpc)
        .build(connector)
}

fn read(protocol: OtlpProtocol, response: &Response<Bytes>, trailers: &HeaderMap) -> Answer {
    let now = SystemTime::now();
    let (status, headers, body) = (response.status(), response.headers(), response.body());
    match protocol {
        OtlpProtocol::HttpProtobuf => of_http(status, headers, body, now),
        OtlpProtocol::Grpc => of_grpc(status, headers, body, trailers, now),
    }
}

fn http_request(to: &Destination, message: Bytes) -> Request<Full<Bytes>> {
    let mut request = request(to, Full::new(message));
    let content_type = HeaderValue::from_static("application/x-protobuf");
    request
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    request
}

fn grpc_request(to: &Destination, message: &Bytes) -> Request<Full<Bytes>> {
    let mut body = BytesMut::with_capacity(message.len() + 5);
    body.put_u8(0);
    // A batch has at most some MiB.
    body.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    body.put_slice(message);
    let mut request = request(to, Full::new(body.freeze()));
    let headers = request.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/grpc"),
    );
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    let timeout = format!("{}m", to.timeout.as_millis().min(99_999_999));
    if let Ok(timeout) = HeaderValue::from_str(&timeout) {
        headers.insert("grpc-timeout", timeout);
    }
    request
}

fn request(to: &Destination, body: Full<Bytes>) -> Request<Full<Bytes>> {
    let mut request = Request::new(body);
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = to.uri.clone();
    *request.headers_mut() = to.headers.clone();
    let agent = HeaderValue::from_static(concat!("tower-keep/", env!("CARGO_PKG_VERSION")));
    request
        .headers_mut()
        .entry(header::USER_AGENT)
        .or_insert(agent);
    request
}

/// Returns the innermost cause of an error, which says most: `connection refused`.
fn connection_error(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    format!("no connection: {}", display_bounded(innermost, MAX_ERROR))
}
