//! Private knowledge of one node: what it keeps for others, and what others keep for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::collection::{Collection, CollectionConfig};
use super::depot::{Depot, DepotPolicy};
use super::keeper::{HostName, Keeper, LocalKeeper, RemoteKeeper};
use super::{collection, serve};
use crate::clock::Clock;
use crate::identity::Did;
use crate::net::Peers;
use crate::store::Store;
use crate::trust::{Minimum, Purpose, TrustGraph};
use crate::{Error, Result};

const MAX_NAME: usize = 64;

/// Private knowledge of one node. Cheap to clone; every clone is the same.
#[derive(Clone)]
pub struct Vpk {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    trust: TrustGraph,
    /// Who owns what this node makes at hosts: the identity that its connections authenticate.
    owner: Did,
    clock: Arc<dyn Clock>,
    peers: Option<Arc<dyn Peers>>,
    hosting: Mutex<Option<Hosting>>,
    open: tokio::sync::Mutex<BTreeMap<String, Collection>>,
}

struct Hosting {
    depot: Arc<Depot>,
    /// The minimum tier before, where the policy named another.
    before: Option<Minimum>,
}

impl Vpk {
    /// Over a data directory's database, for the identity of its node. Without peers there are no hosts but this one.
    pub fn new(
        store: Store,
        trust: TrustGraph,
        owner: Did,
        clock: Arc<dyn Clock>,
        peers: Option<Arc<dyn Peers>>,
    ) -> Vpk {
        let inner =
            Inner { store, trust, owner, clock, peers, hosting: Mutex::default(), open: tokio::sync::Mutex::default() };
        Vpk { inner: Arc::new(inner) }
    }

    /// Begins to keep collections for peers that reach the minimum tier of `store_vectors`, and for this node. Nothing is kept
    /// for anybody before; what was kept in an earlier run is there again.
    ///
    /// # Errors
    /// `already_exists` when it does so already; `invalid_argument` for a policy that allows nothing; `closed`.
    pub async fn host(&self, policy: DepotPolicy) -> Result<()> {
        let vpk = self.clone();
        let work = tokio::task::spawn_blocking(move || vpk.inner.host(policy)).await;
        work.unwrap_or_else(|error| Err(Error::internal("beginning to host did not finish").with_source(error)))
    }

    /// Ends that. What is kept stays on the disk.
    ///
    /// # Errors
    /// Failures of the disk while the minimum tier is set to what it was.
    pub async fn stop_hosting(&self) -> Result<()> {
        let vpk = self.clone();
        let work = tokio::task::spawn_blocking(move || vpk.inner.stop_hosting()).await;
        work.unwrap_or_else(|error| Err(Error::internal("ending to host did not finish").with_source(error)))
    }

    /// What this node keeps for others, and for itself; `None` when it does not host.
    pub fn hosted(&self) -> Option<Arc<Depot>> {
        self.inner.hosting().as_ref().map(|hosting| hosting.depot.clone())
    }

    /// Makes a collection at its hosts, under a new key.
    ///
    /// # Errors
    /// `already_exists` when this node has one of that name; `invalid_argument` for a name or a configuration that cannot be;
    /// what a host answers that does not take it, or cannot be reached.
    pub async fn create(&self, name: &str, config: CollectionConfig) -> Result<Collection> {
        let keepers = self.inner.keepers(&config)?;
        self.create_with(name, config, keepers).await
    }

    /// Opens a collection that was made before. While it is open, the same name returns the same collection.
    ///
    /// # Errors
    /// `not_found` when there is none of that name; `unsupported` when this node hosts a part and does not host now.
    pub async fn open(&self, name: &str) -> Result<Collection> {
        let mut open = self.inner.open.lock().await;
        if let Some(collection) = open.get(name).filter(|collection| !collection.is_gone()) {
            return Ok(collection.clone());
        }
        let collection = Collection::open(self.inner.store.clone(), name, |config| self.inner.keepers(config)).await?;
        open.insert(name.to_owned(), collection.clone());
        Ok(collection)
    }

    /// The names of the collections of this node.
    ///
    /// # Errors
    /// Failures of the disk.
    pub async fn collections(&self) -> Result<Vec<String>> {
        self.inner.store.read_async(collection::names).await
    }

    /// Forgets a collection, here and at its hosts; see [`Collection::destroy`].
    ///
    /// # Errors
    /// Those of [`Vpk::open`] and [`Collection::destroy`].
    pub async fn destroy(&self, name: &str) -> Result<()> {
        let collection = self.open(name).await?;
        collection.destroy().await?;
        self.inner.open.lock().await.remove(name);
        Ok(())
    }

    async fn create_with(
        &self,
        name: &str,
        config: CollectionConfig,
        keepers: Vec<Arc<dyn Keeper>>,
    ) -> Result<Collection> {
        check_name(name)?;
        let mut open = self.inner.open.lock().await;
        let collection = Collection::create(self.inner.store.clone(), name, config, keepers).await?;
        open.insert(name.to_owned(), collection.clone());
        Ok(collection)
    }
}

impl Inner {
    fn hosting(&self) -> MutexGuard<'_, Option<Hosting>> {
        self.hosting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn host(&self, policy: DepotPolicy) -> Result<()> {
        let mut hosting = self.hosting();
        if hosting.is_some() {
            return Err(Error::already_exists("this node hosts already").with_remedy("stop hosting first"));
        }
        let minimum = policy.min_tier;
        let depot = Depot::open(self.store.clone(), self.trust.did(), self.clock.clone(), policy)?;
        let depot = Arc::new(depot);
        let before = match minimum {
            Some(tier) => Some(self.set_minimum(tier.into())?),
            None => None,
        };
        if let Some(peers) = &self.peers
            && let Err(error) = serve::start(&**peers, &depot)
        {
            if let Some(before) = before {
                self.set_minimum(before)?;
            }
            return Err(error);
        }
        *hosting = Some(Hosting { depot, before });
        Ok(())
    }

    fn stop_hosting(&self) -> Result<()> {
        let Some(hosting) = self.hosting().take() else { return Ok(()) };
        if let Some(peers) = &self.peers {
            serve::stop(&**peers);
        }
        hosting.before.map_or(Ok(()), |before| self.set_minimum(before).map(drop))
    }

    /// Sets the least that lets a peer keep something here, and returns what it was before.
    fn set_minimum(&self, minimum: Minimum) -> Result<Minimum> {
        let policy = self.trust.policy()?;
        let before = policy.minimum(Purpose::StoreVectors);
        self.trust.set_policy(policy.with_minimum(Purpose::StoreVectors, minimum)?)?;
        Ok(before)
    }

    fn keepers(&self, config: &CollectionConfig) -> Result<Vec<Arc<dyn Keeper>>> {
        config.hosts.iter().map(|host| self.keeper(*host)).collect()
    }

    fn keeper(&self, host: HostName) -> Result<Arc<dyn Keeper>> {
        match (host, &self.peers) {
            (HostName::Here, _) => {
                let depot = self.hosting().as_ref().map(|hosting| hosting.depot.clone());
                let none = || Error::unsupported("this node hosts nothing").with_remedy("begin to host first");
                Ok(Arc::new(LocalKeeper { depot: depot.ok_or_else(none)?, caller: self.owner }))
            }
            (HostName::Peer(peer), Some(peers)) if peer != peers.local_peer() => {
                Ok(Arc::new(RemoteKeeper { peers: peers.clone(), peer }))
            }
            (HostName::Peer(_), Some(_)) => {
                Err(Error::invalid_argument("a node is not its own peer").with_remedy("name it `here`"))
            }
            (HostName::Peer(_), None) => Err(Error::unsupported("there is no network")),
        }
    }
}

fn check_name(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(allowed) {
        return Err(Error::invalid_argument(format!("{name:.80?} cannot be the name of a collection"))
            .with_remedy(format!("use at most {MAX_NAME} letters, digits, '-', '_' and '.'")));
    }
    Ok(())
}
