//! Requests over plain HTTP/1.1 to this machine: enough for WebDriver and for the stand-in of the console's server.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

/// Sends a request with a JSON body and returns the status and the JSON of the response, `null` if it has none.
pub fn request(
    server: SocketAddr,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> io::Result<(u16, Value)> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let body = body.map(Value::to_string).unwrap_or_default();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {server}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let (head, body) = read_response(&mut stream)?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no status in {head:?}")))?;
    // Chunks begin with their length; what is asked here has one object.
    let json = body
        .find('{')
        .zip(body.rfind('}'))
        .map(|(from, to)| &body[from..=to]);
    let json = json.and_then(|json| serde_json::from_str(json).ok());
    Ok((status, json.unwrap_or(Value::Null)))
}

/// Reads the head and the body of a response: chromedriver leaves connections open whatever it is asked for.
fn read_response(stream: &mut TcpStream) -> io::Result<(String, String)> {
    let mut response = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        let read = stream.read(&mut buffer)?;
        response.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&response);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            if read == 0 {
                return Ok((text.into_owned(), String::new()));
            }
            continue;
        };
        let lower = head.to_ascii_lowercase();
        let length = lower.lines().find_map(|line| {
            line.strip_prefix("content-length:")?
                .trim()
                .parse::<usize>()
                .ok()
        });
        let head_bytes = head.len() + 4;
        if read == 0 || length.is_some_and(|length| response.len() >= head_bytes + length) {
            return Ok((head.to_owned(), body.to_owned()));
        }
    }
}
