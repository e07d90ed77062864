//! Requests, and replies to them.

use std::{error::Error, fmt, io, sync::Arc};

use http::{HeaderValue, Method, Request, Version};
use tower_keep::{
    BoxError, Rejection,
    testing::{Reply, Script, ScriptedBody},
};

pub fn scripted(reply: impl Fn() -> Reply + Send + Sync + 'static) -> Script {
    Script::always(reply)
}

pub fn get() -> Request<ScriptedBody> {
    Request::default()
}

pub fn with_method(method: Method) -> Request<ScriptedBody> {
    let mut request = get();
    *request.method_mut() = method;
    request
}

pub fn head() -> Request<ScriptedBody> {
    with_method(Method::HEAD)
}

pub fn connect() -> Request<ScriptedBody> {
    with_method(Method::CONNECT)
}

pub fn of_type(content_type: &'static str) -> Request<ScriptedBody> {
    let mut request = with_method(Method::POST);
    *request.version_mut() = Version::HTTP_2;
    let content_type = HeaderValue::from_static(content_type);
    request.headers_mut().insert("content-type", content_type);
    request
}

pub fn grpc() -> Request<ScriptedBody> {
    of_type("application/grpc")
}

pub fn grpc_web() -> Request<ScriptedBody> {
    of_type("application/grpc-web+proto")
}

pub fn grpc_within(timeout: &'static str) -> Request<ScriptedBody> {
    let mut request = grpc();
    let timeout = HeaderValue::from_static(timeout);
    request.headers_mut().insert("grpc-timeout", timeout);
    request
}

/// The head of a gRPC answer.
pub fn ok_grpc() -> Reply {
    Reply::ok().header("content-type", "application/grpc")
}

/// The head of a gRPC-Web answer.
pub fn ok_grpc_web() -> Reply {
    Reply::ok().header("content-type", "application/grpc-web+proto")
}

/// The last message of a gRPC-Web answer: its trailers.
pub fn web_status(code: u8) -> Vec<u8> {
    let text = format!("grpc-status: {code}\r\n");
    [&[0x80, 0, 0, 0, text.len() as u8], text.as_bytes()].concat()
}

/// A gRPC-Web answer: one message, and the code.
pub fn web(code: u8) -> Reply {
    let message = "\0\0\0\0\x02hi";
    ok_grpc_web().data(message).data(web_status(code))
}

pub fn in_headers(code: &'static str) -> Reply {
    Reply::ok().header("grpc-status", code)
}

pub fn sized(length: &'static str) -> Reply {
    Reply::ok().header("content-length", length)
}

pub fn body(body: ScriptedBody) -> Reply {
    Reply::ok().body(body)
}

pub fn no_size(data: &'static str) -> ScriptedBody {
    let body = ScriptedBody::new().without_size_hint();
    if data.is_empty() {
        body
    } else {
        body.data(data)
    }
}

pub const REJECTED: &str = r#"rejected by "inner": overloaded"#;

pub fn rejection() -> Rejection {
    Rejection::overloaded("inner")
}

/// Makes a response as a guard further in leaves it.
pub fn rejected() -> Reply {
    Reply::status(503).extension(rejection())
}

pub fn elapsed() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

/// An error left for whoever classifies the response.
pub fn left_behind() -> Arc<dyn Error + Send + Sync> {
    Arc::new(io::Error::other("no disk"))
}

#[derive(Debug)]
pub struct Wrapped(BoxError);

pub fn wrapped(source: impl Into<BoxError>) -> Wrapped {
    Wrapped(source.into())
}

impl fmt::Display for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("wrapped")
    }
}

impl Error for Wrapped {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}
