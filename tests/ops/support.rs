use std::net::SocketAddr;

use axum::Router;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite};
use tower_keep::ops::{
    Access, Ops, OpsBuilder,
    notify::{Channel, Message, Receipt, SendFuture},
};

pub const VIEWER: &str = "the token of a viewer";
pub const OPERATOR: &str = "the token of an operator";

/// Returns the description of the API.
pub fn openapi() -> Value {
    serde_json::from_str(include_str!("../../src/ops/api/openapi.json")).expect("json")
}

pub fn access() -> Access {
    let access = Access::builder()
        .viewer_token(VIEWER)
        .operator_token(OPERATOR);
    access.build().expect("valid")
}

/// A channel that takes all that it gets.
pub struct Nobody;

impl Channel for Nobody {
    fn kind(&self) -> &str {
        "nobody"
    }

    fn send<'a>(&'a self, _: &'a Message) -> SendFuture<'a> {
        Box::pin(async { Ok(Receipt::new()) })
    }
}

/// Serves an application on a port of its own.
pub async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// A service with its console at `/ops/`.
pub struct Console {
    pub ops: Ops,
    pub address: SocketAddr,
}

impl Console {
    pub async fn start(builder: OpsBuilder) -> Self {
        Self::with_access(builder, access()).await
    }

    pub async fn with_access(builder: OpsBuilder, access: Access) -> Self {
        let ops = builder.build().expect("valid");
        ops.spawn();
        Self::of(ops, access).await
    }

    /// Starts one for whose history only the test ticks.
    pub async fn without_driver(builder: OpsBuilder) -> Self {
        Self::of(builder.build().expect("valid"), access()).await
    }

    async fn of(ops: Ops, access: Access) -> Self {
        let app = Router::new().nest_service("/ops", ops.console::<()>(access));
        let address = serve(app).await;
        Console { ops, address }
    }

    /// Sends a request for a path of the console with a token.
    pub async fn get(&self, token: &str, path: &str) -> Response<Bytes> {
        self.send(Method::GET, path, &[bearer(token).as_pair()], "")
            .await
    }

    /// Sends JSON with a token.
    pub async fn post(&self, token: &str, path: &str, json: &Value) -> Response<Bytes> {
        let bearer = bearer(token);
        let headers = [bearer.as_pair(), ("content-type", "application/json")];
        self.send(Method::POST, path, &headers, &json.to_string())
            .await
    }

    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response<Bytes> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/ops/{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        fetch(
            self.address,
            request.body(body.to_owned()).expect("a request"),
        )
        .await
    }

    /// Connects a viewer.
    pub async fn watch(&self, token: &str, query: &str) -> Socket {
        let uri = format!("ws://{}/ops/api/v1/live?{query}", self.address);
        let request = tungstenite::http::Request::get(uri);
        let request = request.header("authorization", format!("Bearer {token}"));
        let socket = connect(self.address, request).await;
        socket.expect("a WebSocket")
    }
}

pub struct Bearer(String);

pub fn bearer(token: &str) -> Bearer {
    Bearer(format!("Bearer {token}"))
}

impl Bearer {
    pub fn as_pair(&self) -> (&str, &str) {
        ("authorization", &self.0)
    }
}

/// Sends a request over a connection of its own.
pub async fn fetch(address: SocketAddr, request: Request<String>) -> Response<Bytes> {
    let stream = TcpStream::connect(address).await.expect("a connection");
    let connecting = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = connecting.await.expect("HTTP");
    tokio::spawn(connection);
    let (mut parts, body) = request.into_parts();
    let host = address.to_string().parse().expect("a value");
    parts.headers.entry(header::HOST).or_insert(host);
    let request = Request::from_parts(parts, Full::new(Bytes::from(body)));
    let response = sender.send_request(request).await.expect("a response");
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    Response::from_parts(parts, body)
}

pub type Socket = WebSocketStream<TcpStream>;

/// Opens a WebSocket, or returns the status that the server says instead.
pub async fn connect(
    address: SocketAddr,
    request: tungstenite::http::request::Builder,
) -> Result<Socket, StatusCode> {
    let stream = TcpStream::connect(address).await.expect("a connection");
    let request = request
        .header("host", address.to_string())
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header(
            "sec-websocket-key",
            tungstenite::handshake::client::generate_key(),
        );
    match client_async(request.body(()).expect("a request"), stream).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(response)) => Err(response.status()),
        Err(error) => panic!("{error}"),
    }
}

pub fn json(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body())
        .unwrap_or_else(|error| panic!("{error}: {:?} {:?}", response.status(), response.body()))
}

/// Asserts that a response is a problem document, and returns it.
#[track_caller]
pub fn problem(response: &Response<Bytes>, status: u16) -> Value {
    assert_eq!(response.status(), status, "{:?}", response.body());
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json",
        "{:?}",
        response.body()
    );
    let problem = json(response);
    assert_eq!(problem["status"], status);
    super::schema::check(&openapi(), "Problem", &problem);
    problem
}
