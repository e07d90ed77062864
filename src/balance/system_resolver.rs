use std::{io, net::SocketAddr};

use super::Resolve;

/// The resolver of the operating system, which tokio asks in a thread for blocking work.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    async fn resolve(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host(name).await?.collect())
    }
}
