use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    vec,
};

use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

use super::address_policy::AddressPolicy;

type LookupFuture = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// A resolver whose addresses are checked: the connection is made to one of them, and no name is looked up a second time, so
/// that nobody can answer differently then.
#[derive(Clone, Debug)]
pub(super) struct CheckedResolver {
    policy: AddressPolicy,
    lookup: fn(String) -> LookupFuture,
}

impl CheckedResolver {
    pub(super) fn new(policy: AddressPolicy) -> Self {
        CheckedResolver {
            policy,
            lookup: |host| {
                Box::pin(async move {
                    let found = tokio::net::lookup_host((host, 0)).await?;
                    Ok(found.collect())
                })
            },
        }
    }
}

impl Service<Name> for CheckedResolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let policy = self.policy;
        let found = (self.lookup)(name.as_str().to_owned());
        Box::pin(async move {
            let addresses = found.await?;
            // One that is not allowed spoils all: no name belongs to both.
            for address in &addresses {
                policy
                    .check(address.ip())
                    .map_err(|what| refused(&name, address, what))?;
            }
            Ok(addresses.into_iter())
        })
    }
}

fn refused(name: &Name, address: &SocketAddr, what: &str) -> io::Error {
    let ip = address.ip();
    let hint = "see allow_private_addresses";
    io::Error::other(format!(
        "{name} is {ip}, {what}, which is not allowed: {hint}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolver(policy: AddressPolicy, lookup: fn(String) -> LookupFuture) -> CheckedResolver {
        CheckedResolver { policy, lookup }
    }

    fn answer(addresses: &[&str]) -> LookupFuture {
        let parse = |each: &&str| SocketAddr::new(each.parse().expect("an address"), 0);
        let addresses = addresses.iter().map(parse).collect();
        Box::pin(async move { Ok(addresses) })
    }

    async fn resolve(mut resolver: CheckedResolver) -> Result<usize, String> {
        let name = "hooks.example".parse().expect("a name");
        let found = resolver.call(name).await;
        found
            .map(|found| found.len())
            .map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn resolver_refuses_a_name_with_any_address_that_is_not_allowed() {
        let public = |_| answer(&["1.1.1.1", "2606:4700::1111"]);
        assert_eq!(
            resolve(resolver(AddressPolicy::Public, public)).await,
            Ok(2)
        );
        let mixed = |_| answer(&["1.1.1.1", "::ffff:169.254.169.254"]);
        let expected = "hooks.example is ::ffff:169.254.169.254, a link-local or reserved address, which is not allowed: \
                        see allow_private_addresses";
        let error = resolve(resolver(AddressPolicy::Public, mixed)).await;
        assert_eq!(error, Err(expected.to_owned()));
        let private = |_| answer(&["10.0.0.1"]);
        assert_eq!(
            resolve(resolver(AddressPolicy::Private, private)).await,
            Ok(1)
        );
        assert!(
            resolve(resolver(AddressPolicy::Public, private))
                .await
                .is_err()
        );
    }
}
