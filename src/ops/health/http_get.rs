//! One `GET` by HTTP/1.1, of which only the status is read.
//!
//! A client of hyper would be two crates more for a request line and a status line.

use std::{io, str};

use http::{StatusCode, Uri};
use tokio::{io::Interest, net::TcpStream};

use super::CheckResult;

/// The longest answer that is read, in bytes: interim responses and the status line.
const MAX_ANSWER: usize = 8_192;

/// An address of an `http://` URL.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HttpTarget {
    /// `host:port`, to connect to.
    address: String,
    request: String,
}

impl HttpTarget {
    /// Parses a URL. The error says what is expected.
    pub(super) fn parse(url: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "an address such as \"http://ledger:8080/healthz\"";
        let uri: Uri = url.parse().map_err(|_| EXPECTED)?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err("plain http; for TLS give the client to Check::http_service");
            }
            _ => return Err(EXPECTED),
        }
        let authority = uri.authority().ok_or(EXPECTED)?;
        if authority.as_str().contains('@') {
            return Err("without user name and password; Check::http_service sends headers");
        }
        let host = authority.host();
        if host.is_empty() {
            return Err(EXPECTED);
        }
        let port = authority.port_u16().unwrap_or(80);
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let agent = concat!("tower-keep/", env!("CARGO_PKG_VERSION"));
        Ok(HttpTarget {
            address: format!("{host}:{port}"),
            request: format!(
                "GET {path} HTTP/1.1\r\nhost: {authority}\r\nuser-agent: {agent}\r\naccept: */*\r\nconnection: close\r\n\r\n"
            ),
        })
    }
}

/// Sends the request on a new connection and reads the status.
pub(super) async fn get(target: &HttpTarget) -> io::Result<CheckResult> {
    let stream = TcpStream::connect(&*target.address).await?;
    write_all(&stream, target.request.as_bytes()).await?;
    let mut answer = Vec::with_capacity(512);
    loop {
        if let Some(status) = parse_status(&answer)? {
            return Ok(judge(status));
        }
        if answer.len() >= MAX_ANSWER {
            return Err(not_http());
        }
        read_some(&stream, &mut answer).await?;
    }
}

/// Returns the result for a status.
pub(super) fn judge(status: StatusCode) -> CheckResult {
    match status.as_u16() {
        // As Kubernetes has it.
        200..400 => CheckResult::healthy(),
        code => CheckResult::unhealthy(format!("responds {code}")),
    }
}

// By readiness, since tokio's `AsyncReadExt` would be one more of its features.
async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.ready(Interest::WRITABLE).await?;
        match stream.try_write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn read_some(stream: &TcpStream, answer: &mut Vec<u8>) -> io::Result<()> {
    let mut buffer = [0; 512];
    loop {
        stream.ready(Interest::READABLE).await?;
        match stream.try_read(&mut buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                answer.extend_from_slice(&buffer[..count]);
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Returns the status of the first response that is not an interim one; `None` if more has to come.
fn parse_status(mut answer: &[u8]) -> io::Result<Option<StatusCode>> {
    loop {
        let Some(line_end) = find(answer, b"\n") else {
            return Ok(None);
        };
        let status = parse_status_line(&answer[..line_end]).ok_or_else(not_http)?;
        if !status.is_informational() {
            return Ok(Some(status));
        }
        match find(answer, b"\r\n\r\n") {
            Some(end) => answer = &answer[end + 4..],
            None => return Ok(None),
        }
    }
}

/// Parses `HTTP/1.1 200 OK`.
fn parse_status_line(line: &[u8]) -> Option<StatusCode> {
    let line = line.strip_prefix(b"HTTP/1.")?;
    let (code, rest) = line.get(1..)?.strip_prefix(b" ")?.split_at_checked(3)?;
    let is_whole = rest.first().is_none_or(|byte| matches!(byte, b' ' | b'\r'));
    is_whole
        .then(|| StatusCode::from_bytes(code).ok())
        .flatten()
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn not_http() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP/1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::health::HealthStatus;

    #[test]
    fn target_has_address_and_request() {
        let target = |url| HttpTarget::parse(url).map(|target| (target.address, target.request));
        let agent = concat!("user-agent: tower-keep/", env!("CARGO_PKG_VERSION"));
        let rest = format!("\r\n{agent}\r\naccept: */*\r\nconnection: close\r\n\r\n");
        let request = |first: &str| format!("{first}{rest}");
        assert_eq!(
            target("http://ledger/healthz?full=1"),
            Ok((
                "ledger:80".into(),
                request("GET /healthz?full=1 HTTP/1.1\r\nhost: ledger")
            ))
        );
        assert_eq!(
            target("http://[::1]:8080"),
            Ok((
                "[::1]:8080".into(),
                request("GET / HTTP/1.1\r\nhost: [::1]:8080")
            ))
        );
        let plain = "an address such as \"http://ledger:8080/healthz\"";
        for (url, expected) in [
            ("", plain),
            ("ledger", plain),
            ("/healthz", plain),
            ("ftp://ledger/", plain),
            ("http://a b/", plain),
            (
                "https://ledger/",
                "plain http; for TLS give the client to Check::http_service",
            ),
            (
                "http://me:secret@ledger/",
                "without user name and password; Check::http_service sends headers",
            ),
        ] {
            assert_eq!(target(url), Err(expected), "{url}");
        }
    }

    #[test]
    fn status_is_that_of_the_first_final_response() {
        let parse = |text: &str| {
            let status = parse_status(text.as_bytes());
            status
                .map(|status| status.map(|status| status.as_u16()))
                .map_err(|error| error.to_string())
        };
        let not_http = || Err("the answer is not HTTP/1".to_owned());
        assert_eq!(parse(""), Ok(None));
        assert_eq!(parse("HTTP/1.1 20"), Ok(None));
        assert_eq!(parse("HTTP/1.1 200 OK\r\n"), Ok(Some(200)));
        assert_eq!(parse("HTTP/1.0 404\n"), Ok(Some(404)));
        assert_eq!(parse("HTTP/1.1 503\r\n\r\nbody"), Ok(Some(503)));
        assert_eq!(parse("HTTP/1.1 103 Early Hints\r\nlink: a\r\n"), Ok(None));
        assert_eq!(
            parse("HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n"),
            Ok(None)
        );
        assert_eq!(
            parse("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n"),
            Ok(Some(204))
        );
        for text in [
            "SSH-2.0-OpenSSH\r\n",
            "HTTP/2 200\r\n",
            "HTTP/1.1 2000 OK\r\n",
            "HTTP/1.1200 OK\r\n",
            "HTTP/1.1 abc \r\n",
            "\n",
        ] {
            assert_eq!(parse(text), not_http(), "{text}");
        }
    }

    /// Sends a request to a server that answers so, and returns what that has read.
    async fn exchange(answer: &'static [u8]) -> (String, io::Result<CheckResult>) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                assert_ne!(stream.read_buf(&mut request).await.expect("bytes"), 0);
            }
            let _ = stream.write_all(answer).await;
            String::from_utf8(request).expect("text")
        });
        let target = HttpTarget::parse(&format!("http://{address}/healthz")).expect("valid");
        let result = get(&target).await;
        (server.await.expect("no panic"), result)
    }

    #[tokio::test]
    async fn get_sends_its_request_and_reads_the_status() {
        let (request, result) = exchange(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        assert!(
            request.starts_with("GET /healthz HTTP/1.1\r\n"),
            "{request}"
        );
        assert_eq!(result.expect("a status"), CheckResult::healthy());
        // Closed before the line is whole.
        let (_, result) = exchange(b"HTTP/1.1 2").await;
        let error = result.expect_err("no status");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn get_reads_a_bounded_answer() {
        let (_, result) = exchange(&[b'x'; 2 * MAX_ANSWER]).await;
        let error = result.expect_err("no line");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn response_is_healthy_from_200_to_399() {
        let result = |code| judge(StatusCode::from_u16(code).expect("a status"));
        for code in [200, 204, 302, 399] {
            assert_eq!(result(code), CheckResult::healthy(), "{code}");
        }
        for code in [199, 400, 503] {
            assert_eq!(result(code).status(), HealthStatus::Unhealthy, "{code}");
        }
        assert_eq!(result(503).text(), Some("responds 503"));
    }
}
