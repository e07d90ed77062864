//! An address that nobody listens on.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// Returns an address of the loopback that refuses connections until the process ends: its port is taken, so that no other test gets
/// it, and nobody listens.
pub fn nobody() -> SocketAddr {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind((Ipv4Addr::LOCALHOST, 0).into())
        .expect("a port");
    let address = socket.local_addr().expect("an address");
    // A port that is given back may be the next one that a server gets.
    std::mem::forget(socket);
    address
}
