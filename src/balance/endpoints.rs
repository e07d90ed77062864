use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::future::{Either, select};
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};

use super::{EndpointChange, Resolve, endpoint_table::EndpointTable, lookup::Lookup};
use crate::call::ConfigError;

/// The endpoints of a [`Balancer`](super::Balancer), to be changed while it is in use.
///
/// It does not keep the balancer: without one, changes do nothing. There are at most 1,000 endpoints; more are ignored, and logged.
///
/// # Clones
///
/// Clones are the same endpoints.
pub struct Endpoints<K> {
    table: Weak<dyn EndpointTable<K>>,
    alive: watch::Receiver<()>,
}

impl<K> Endpoints<K> {
    pub(super) fn new(table: Weak<dyn EndpointTable<K>>, alive: watch::Receiver<()>) -> Self {
        Endpoints { table, alive }
    }

    /// Adds an endpoint, which begins with a slow start. Returns `false` if it is there already, which keeps its state, or if there are
    /// too many.
    pub fn insert(&self, key: K) -> bool {
        self.table().is_some_and(|table| table.insert(key))
    }

    /// Removes an endpoint with its state. Its calls in flight end as they would. Returns `false` if there is none.
    pub fn remove(&self, key: &K) -> bool {
        self.table().is_some_and(|table| table.remove(key))
    }

    /// Makes these the endpoints: those that are there already keep their state, and those that are not among them are removed.
    ///
    /// ```
    /// use tower::service_fn;
    /// use tower_keep::Balance;
    ///
    /// let shards = Balance::new("shards").any(|shard: &u32| {
    ///     let shard = *shard;
    ///     service_fn(move |row: u32| async move { Ok::<_, std::io::Error>((shard, row)) })
    /// });
    /// shards.endpoints().set([1, 2, 3]);
    /// shards.endpoints().set([2, 3, 4]);
    /// assert_eq!(shards.endpoints().keys(), [2, 3, 4]);
    /// ```
    pub fn set(&self, keys: impl IntoIterator<Item = K>) {
        if let Some(table) = self.table() {
            table.set(&mut keys.into_iter());
        }
    }

    /// Returns the keys, in the order in which they came.
    pub fn keys(&self) -> Vec<K> {
        self.table().map_or_else(Vec::new, |table| table.keys())
    }

    /// Returns a future that applies the changes of a channel until that is closed, or the balancer is dropped. Spawn it.
    ///
    /// ```
    /// use tokio::sync::mpsc;
    /// use tower::service_fn;
    /// use tower_keep::{Balance, balance::EndpointChange};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
    /// let shards = Balance::new("shards").any(|shard: &u32| {
    ///     let shard = *shard;
    ///     service_fn(move |row: u32| async move { Ok::<_, std::io::Error>((shard, row)) })
    /// });
    /// let (changes, receiver) = mpsc::channel(16);
    /// let follow = tokio::spawn(shards.endpoints().follow(receiver));
    /// changes.send(EndpointChange::Insert(7)).await?;
    /// drop(changes);
    /// follow.await?;
    /// assert_eq!(shards.endpoints().keys(), [7]);
    /// # Ok(()) }
    /// ```
    pub fn follow(
        &self,
        mut changes: mpsc::Receiver<EndpointChange<K>>,
    ) -> impl Future<Output = ()> + Send + use<K>
    where
        K: Send,
    {
        let endpoints = self.clone();
        async move {
            while let Some(Some(change)) = endpoints.while_alive(changes.recv()).await {
                match change {
                    EndpointChange::Insert(key) => endpoints.insert(key),
                    EndpointChange::Remove(key) => endpoints.remove(&key),
                };
            }
        }
    }

    fn table(&self) -> Option<Arc<dyn EndpointTable<K>>> {
        self.table.upgrade()
    }

    /// Waits for work; `None` if the balancer is dropped first.
    async fn while_alive<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut alive = self.alive.clone();
        let dropped = pin!(async move { while alive.changed().await.is_ok() {} });
        match select(pin!(work), dropped).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(_) => None,
        }
    }
}

impl Endpoints<SocketAddr> {
    /// Returns a future that looks a name up at an interval and makes its addresses the endpoints, until the balancer is dropped.
    /// Spawn it. The first look-up is at once.
    ///
    /// A look-up that fails, takes more than 10 s or finds no address keeps the endpoints. The first one of a row is logged, all
    /// are counted in `tower_keep_balance_lookup_failures_total`.
    ///
    /// A name that gives some of its addresses only, others each time, replaces endpoints at each look-up. One that has more addresses
    /// than the maximum keeps those that are endpoints already.
    ///
    /// `name` is `host:port`. `interval` must be 100 ms to 1 h; system resolvers tell nobody for how long an address holds, and 30 s is
    /// usual.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower::service_fn;
    /// use tower_keep::{Balance, balance::SystemResolver};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
    /// let ledger = Balance::new("ledger").any(|address: &std::net::SocketAddr| {
    ///     let address = *address;
    ///     service_fn(move |_: ()| async move { Ok::<_, std::io::Error>(address) })
    /// });
    /// let follow = ledger.endpoints().follow_dns("ledger.internal:8080", Duration::from_secs(30), SystemResolver)?;
    /// tokio::spawn(follow);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that names what is wrong with the name or the interval.
    pub fn follow_dns<R: Resolve + 'static>(
        &self,
        name: &str,
        interval: Duration,
        resolver: R,
    ) -> Result<impl Future<Output = ()> + Send + use<R>, ConfigError> {
        let lookup = Lookup::new(name, interval, resolver)?;
        let endpoints = self.clone();
        Ok(async move {
            let mut had_failed = false;
            while let Some(found) = endpoints.while_alive(lookup.run()).await {
                let Some(table) = endpoints.table() else {
                    return;
                };
                lookup.log(&table.name(), &found, &mut had_failed);
                match found {
                    Ok(addresses) => table.set(&mut addresses.into_iter()),
                    Err(_) => table.count_lookup_failure(),
                }
                drop(table);
                if endpoints.while_alive(sleep(interval)).await.is_none() {
                    return;
                }
            }
        })
    }
}

impl<K> Clone for Endpoints<K> {
    fn clone(&self) -> Self {
        Endpoints {
            table: self.table.clone(),
            alive: self.alive.clone(),
        }
    }
}

impl<K: fmt::Debug> fmt::Debug for Endpoints<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoints").field(&self.keys()).finish()
    }
}
