//! A connection that is made and closed again.

use std::{io, sync::Arc};

use tokio::net::TcpStream;

/// Connects to `host:port`. The first address of the host that accepts is enough.
pub(super) async fn connect(address: Arc<str>) -> io::Result<()> {
    TcpStream::connect(&*address).await.map(drop)
}
