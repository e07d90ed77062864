//! A server that speaks HTTP/2 frame by frame, to say what no well-behaved server says.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::listen;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const REFUSED_STREAM: u32 = 7;
const INTERNAL_ERROR: u32 = 2;

const SPEAKS_GRPC: (&str, &str) = ("content-type", "application/grpc");

/// The answer of the server to a request.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// Answers 200, once the whole request is there.
    Answer,
    /// Answers, and neither reads nor writes on that connection ever again.
    AnswerAndVanish,
    /// Answers with a gRPC status in the head.
    Grpc(u8),
    /// Answers in gRPC with this HTTP status and no gRPC status, and ends the stream with the head.
    NoStatus(u16),
    /// Answers in gRPC with this HTTP status, and has this gRPC status in trailers.
    Trailers(u16, u8),
    /// Resets the stream and says that it has done nothing about it.
    Refuse,
    /// Resets the stream without such a promise.
    Reset,
    /// Goes away, and has looked at no request.
    GoAway,
    /// Says that it goes away after this request, and closes the connection.
    GoAwayLater,
    /// Does nothing about it for now.
    Hold,
    /// Says that it goes away and has looked at no request, and closes the connection.
    Leave,
}

/// The frames that came, and what is still to be done.
#[derive(Clone)]
pub struct Frames(Arc<Mutex<State>>);

struct State {
    acts: VecDeque<Act>,
    bodies: Vec<Vec<u8>>,
}

impl Frames {
    /// One act for each request, whatever the connection.
    pub async fn serve(acts: impl IntoIterator<Item = Act>) -> (Frames, SocketAddr) {
        let (listener, address) = listen().await;
        let state = State {
            acts: acts.into_iter().collect(),
            bodies: Vec::new(),
        };
        let frames = Frames(Arc::new(Mutex::new(state)));
        let server = frames.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                // A client that leaves is no error.
                tokio::spawn(async move { drop(server.talk(stream).await) });
            }
        });
        (frames, address)
    }

    /// Shuts down when so many requests are under way, and has looked at none; then answers as many.
    pub async fn leave_politely(calls: usize) -> (Frames, SocketAddr) {
        let held = std::iter::repeat_n(Act::Hold, calls - 1);
        let answered = std::iter::repeat_n(Act::Answer, calls);
        Frames::serve(held.chain([Act::Leave]).chain(answered)).await
    }

    /// The bodies of all requests that came, as far as they came.
    pub fn bodies(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap().bodies.clone()
    }

    async fn talk(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.read_exact(&mut [0; 24]).await?;
        write(&mut stream, SETTINGS, 0, 0, &[]).await?;
        let mut open = HashMap::<u32, (Act, Vec<u8>)>::new();
        loop {
            let (kind, flags, id, payload) = read(&mut stream).await?;
            match kind {
                SETTINGS if flags & ACK == 0 => write(&mut stream, SETTINGS, ACK, 0, &[]).await?,
                PING if flags & ACK == 0 => write(&mut stream, PING, ACK, 0, &payload).await?,
                HEADERS => {
                    let act = self.0.lock().unwrap().acts.pop_front().expect("an act");
                    open.insert(id, (act, Vec::new()));
                }
                // Of a stream that was reset, some may still be on its way.
                DATA => {
                    if let Some((_, body)) = open.get_mut(&id) {
                        body.extend(payload);
                    }
                }
                _ => continue,
            }
            let whole = matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0;
            if !whole {
                continue;
            }
            if let Some((act, body)) = open.remove(&id) {
                self.0.lock().unwrap().bodies.push(body);
                if !answer(&mut stream, id, act).await? {
                    return Ok(());
                }
            }
        }
    }
}

/// Answers, and returns whether the connection stays.
async fn answer(stream: &mut TcpStream, id: u32, act: Act) -> std::io::Result<bool> {
    let end = END_STREAM | END_HEADERS;
    let away = |last: u32| [last.to_be_bytes(), 0_u32.to_be_bytes()].concat();
    match act {
        // `:status: 200`, from HPACK's static table.
        Act::Answer => write(stream, HEADERS, end, id, &[0x88]).await?,
        Act::AnswerAndVanish => {
            write(stream, HEADERS, end, id, &[0x88]).await?;
            std::future::pending::<()>().await;
        }
        Act::Grpc(code) => {
            let code = code.to_string();
            let block = block(&[(":status", "200"), SPEAKS_GRPC, ("grpc-status", &code)]);
            write(stream, HEADERS, end, id, &block).await?;
        }
        Act::NoStatus(status) => {
            let block = block(&[(":status", &status.to_string()), SPEAKS_GRPC]);
            write(stream, HEADERS, end, id, &block).await?;
        }
        Act::Trailers(status, code) => {
            let head = block(&[(":status", &status.to_string()), SPEAKS_GRPC]);
            write(stream, HEADERS, END_HEADERS, id, &head).await?;
            let trailers = block(&[("grpc-status", &code.to_string())]);
            write(stream, HEADERS, end, id, &trailers).await?;
        }
        Act::Refuse => {
            write(stream, RST_STREAM, 0, id, &REFUSED_STREAM.to_be_bytes()).await?;
        }
        Act::Reset => write(stream, RST_STREAM, 0, id, &INTERNAL_ERROR.to_be_bytes()).await?,
        Act::GoAway => write(stream, GOAWAY, 0, 0, &away(0)).await?,
        Act::GoAwayLater => {
            write(stream, GOAWAY, 0, 0, &away(id)).await?;
            stream.shutdown().await?;
            return Ok(false);
        }
        Act::Hold => {}
        Act::Leave => {
            write(stream, GOAWAY, 0, 0, &away(0)).await?;
            stream.shutdown().await?;
            return Ok(false);
        }
    }
    Ok(true)
}

/// Encodes a block of headers in HPACK, without its tables.
fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(0);
        for text in [name, value] {
            block.push(text.len() as u8);
            block.extend(text.as_bytes());
        }
    }
    block
}

async fn read(stream: &mut TcpStream) -> std::io::Result<(u8, u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).await?;
    Ok((head[3], head[4], id, payload))
}

async fn write(
    stream: &mut TcpStream,
    kind: u8,
    flags: u8,
    id: u32,
    payload: &[u8],
) -> std::io::Result<()> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(id.to_be_bytes());
    frame.extend(payload);
    stream.write_all(&frame).await
}
