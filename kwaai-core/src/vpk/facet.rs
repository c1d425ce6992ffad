//! Private knowledge of one node: what it keeps for others, and what others keep for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libp2p::PeerId;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::audit::AuditReport;
use super::collection::{Collection, CollectionConfig, Lost, RecoverConfig};
use super::console::Console;
use super::depot::{Depot, DepotPolicy};
use super::device::DeviceKey;
use super::directory::Directory;
use super::export::{self, Unlock};
use super::hosts::Hosts;
use super::placement::{HostOffer, Placement};
use super::{CollectionId, HostName, benchmark, collection, minimum, serve};
use crate::blocking::blocking;
use crate::clock::Clock;
use crate::identity::Did;
use crate::net::Peers;
use crate::store::Store;
use crate::trust::TrustGraph;
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
    clock: Arc<dyn Clock>,
    hosts: Arc<Hosts>,
    hosting: Mutex<Option<Hosting>>,
    open: tokio::sync::Mutex<BTreeMap<String, Collection>>,
    /// One benchmark at a time.
    benchmarking: Arc<tokio::sync::Mutex<()>>,
}

struct Hosting {
    depot: Arc<Depot>,
    /// Ends the announcements when it is dropped.
    _announcing: DropGuard,
}

impl Vpk {
    /// Over a data directory's database, for the identity of its node. Without peers there are no hosts but this one, and
    /// hosts must be named.
    pub fn new(
        store: Store,
        trust: TrustGraph,
        owner: Did,
        clock: Arc<dyn Clock>,
        peers: Option<Arc<dyn Peers>>,
    ) -> Vpk {
        let hosts = Hosts::new(owner, trust.clone(), peers, None);
        Vpk::over(store, trust, clock, hosts)
    }

    /// The same with peers, where hosts are found through a directory.
    pub fn with_directory(
        store: Store,
        trust: TrustGraph,
        owner: Did,
        clock: Arc<dyn Clock>,
        peers: Arc<dyn Peers>,
        directory: Arc<dyn Directory>,
    ) -> Vpk {
        let hosts = Hosts::new(owner, trust.clone(), Some(peers), Some(directory));
        Vpk::over(store, trust, clock, hosts)
    }

    fn over(store: Store, trust: TrustGraph, clock: Arc<dyn Clock>, hosts: Hosts) -> Vpk {
        let (hosting, open, benchmarking) = Default::default();
        if let Err(error) = minimum::put_back(&store, &trust) {
            tracing::warn!(code = %error.code(), "the minimum tier of an earlier host could not be taken back");
        }
        Vpk { inner: Arc::new(Inner { store, trust, clock, hosts: Arc::new(hosts), hosting, open, benchmarking }) }
    }

    /// Begins to keep collections for peers that reach the minimum tier of `store_vectors`, and for this node. Nothing is kept
    /// for anybody before; what was kept in an earlier run is there again. Others [discover](Vpk::discover) it in the DHT.
    ///
    /// # Errors
    /// `already_exists` when it does so already; `invalid_argument` for a policy that allows nothing; `closed`.
    pub async fn host(&self, policy: DepotPolicy) -> Result<()> {
        let (vpk, cancel) = (self.clone(), CancellationToken::new());
        let guard = cancel.clone().drop_guard();
        let work = tokio::task::spawn_blocking(move || vpk.inner.host(policy, guard)).await;
        let depot =
            work.unwrap_or_else(|error| Err(Error::internal("beginning to host did not finish").with_source(error)))?;
        let another = depot.another_record();
        let (hosts, depot) = (Arc::downgrade(&self.inner.hosts), Arc::downgrade(&depot));
        let announce = async move {
            let mut due = tokio::time::Instant::now();
            loop {
                // Nothing is held while it waits, so that the node ends with its last handle.
                let (Some(hosts), Some(depot)) = (hosts.upgrade(), depot.upgrade()) else { return };
                if due <= tokio::time::Instant::now() {
                    due = tokio::time::Instant::now() + hosts.advertise(&depot).await;
                }
                hosts.advertise_records(&depot).await;
                drop((hosts, depot));
                // Which of the two it was is looked at above.
                let _ = tokio::time::timeout_at(due, another.notified()).await;
            }
        };
        tokio::spawn(async move { cancel.run_until_cancelled(announce).await });
        Ok(())
    }

    /// Ends that. What is kept stays on the disk.
    ///
    /// # Errors
    /// Failures of the disk while the minimum tier is set to what it was.
    pub async fn stop_hosting(&self) -> Result<()> {
        let vpk = self.clone();
        let work = tokio::task::spawn_blocking(move || vpk.inner.stop_hosting()).await;
        let ended =
            work.unwrap_or_else(|error| Err(Error::internal("ending to host did not finish").with_source(error)))?;
        if ended {
            self.inner.hosts.withdraw().await;
        }
        Ok(())
    }

    /// Serves a page on this port of loopback, [`CONSOLE_PORT`](super::CONSOLE_PORT) as a rule and 0 for any, until what is returned is dropped: who keeps how
    /// much here, by tier, and how much room is left. It can be read only, by everybody on this machine.
    ///
    /// # Errors
    /// `busy` when the port is taken, `permission_denied` when it may not be used.
    pub async fn console(&self, port: u16) -> Result<Console> {
        Console::start(self.inner.hosts.clone(), port).await
    }

    /// The nodes that say in the DHT that they host, each as it answered when it was asked just now: how far it is trusted, how
    /// much room it has for this node, how fast it answers, and why it would not be used. Those that would are first, the
    /// fastest of them first. At most 128 are asked, and who is trusted too little is not asked.
    ///
    /// # Errors
    /// `unsupported` without a network; `closed`; failures of the disk.
    pub async fn discover(&self, placement: &Placement) -> Result<Vec<HostOffer>> {
        self.inner.hosts.discover(placement).await
    }

    /// What this node keeps for others, and for itself; `None` when it does not host.
    pub fn hosted(&self) -> Option<Arc<Depot>> {
        self.inner.hosting().as_ref().map(|hosting| hosting.depot.clone())
    }

    /// Makes a collection at its hosts, under a new key. Where none are named they are [discovered](Vpk::discover), and
    /// chosen by room, tier, independence and speed as [`CollectionConfig::placement`] says.
    ///
    /// # Errors
    /// `already_exists` when this node has one of that name; `invalid_argument` for a name or a configuration that cannot be;
    /// `not_found` when too few independent hosts are found, with how many there are and why the others were refused; what a
    /// host answers that does not take it, or cannot be reached.
    pub async fn create(&self, name: &str, config: CollectionConfig) -> Result<Collection> {
        check_name(name)?;
        self.make(name, config).await
    }

    pub(super) async fn make(&self, name: &str, mut config: CollectionConfig) -> Result<Collection> {
        let mut open = self.inner.open.lock().await;
        if config.hosts.is_empty() {
            config.check_but_hosts()?;
            config.hosts = self.inner.hosts.choose(config.mode, config.colluding, &config.placement).await?;
        }
        let collection = Collection::create(self.inner.store.clone(), name, config, self.inner.hosts.clone()).await?;
        open.insert(name.to_owned(), collection.clone());
        Ok(collection)
    }

    pub(super) fn benchmarking(&self) -> Arc<tokio::sync::Mutex<()>> {
        self.inner.benchmarking.clone()
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
        let collection = Collection::open(self.inner.store.clone(), name, self.inner.hosts.clone()).await?;
        open.insert(name.to_owned(), collection.clone());
        Ok(collection)
    }

    /// What this machine says of itself, so that the key of a collection can be [exported](Collection::export_key_to) to it. It is
    /// no secret.
    ///
    /// # Errors
    /// Failures of the disk.
    pub async fn device(&self) -> Result<String> {
        let inner = &self.inner;
        let store = inner.store.clone();
        blocking(move || DeviceKey::load(&store)).await?.statement(inner.trust.signer()).await
    }

    /// Makes a collection one of this node, of which another machine has exported the key, and which that machine may have lost. Its
    /// record is [found](Vpk::resolve) in the DHT, what its hosts keep is read and checked, and brought to them or to other hosts as this
    /// node's, under a key that no other machine has. A machine that has it still can search it as it was; what it changes is
    /// refused with `conflict` as soon as it tells the hosts.
    ///
    /// What was not [sealed](Collection::flush) yet was on the other machine alone.
    ///
    /// # Errors
    /// `permission_denied` when the passphrase is wrong, the key was exported to another machine, by somebody else, or a host does not
    /// admit this node; `not_found` when nobody has a record of it, or some payloads are at no host; `conflict` when the hosts
    /// hand out an older record than there was when the key was exported, or an older state than the record names;
    /// `corrupt_data` when what they hand out was made by somebody else or changed; `already_exists` when this node has it, or
    /// one of that name; `unreachable`, `timeout`.
    pub async fn recover(
        &self,
        name: &str,
        exported: &str,
        unlock: Unlock<'_>,
        config: RecoverConfig,
    ) -> Result<Collection> {
        check_name(name)?;
        let inner = &self.inner;
        let mut open = inner.open.lock().await;
        let here = inner.trust.did();
        let (store, text) = (inner.store.clone(), exported.to_owned());
        let unlock = unlock.owned();
        let (recovery, about) =
            blocking(move || export::open(&text, unlock.borrowed(), here, &DeviceKey::load(&store)?)).await?;
        let (header, topology) = inner.hosts.resolve(&recovery, &about.hosts).await?;
        if header.rank() < (about.epoch, about.sequence) {
            return Err(Error::conflict(
                "the hosts hand out an older record of the collection than there was when its key was exported",
            )
            .with("found", header.sequence)
            .with("expected", about.sequence)
            .with_remedy("try again when more of its hosts can be reached"));
        }
        let mut readers = Vec::with_capacity(topology.config.hosts.len());
        for host in &topology.config.hosts {
            let host = match host {
                HostName::Here => return Err(Error::corrupt_data("a host of the collection has no name")),
                HostName::Peer(peer) => Did::from_peer_id(peer)?,
            };
            readers.push(recovery.reader(inner.hosts.owner(), host, topology.site, inner.clock.now()).await?);
        }
        let lost = Lost { recovery, topology, readers };
        let collection = Collection::recover(inner.store.clone(), name, inner.hosts.clone(), lost, config).await?;
        open.insert(name.to_owned(), collection.clone());
        Ok(collection)
    }

    /// The nodes that say in the DHT that they have a record of a collection. What is in it, and that it is the collection's, only
    /// the collection's key shows.
    ///
    /// # Errors
    /// `unsupported` without a network; those of the DHT.
    pub async fn resolve(&self, collection: CollectionId) -> Result<Vec<PeerId>> {
        self.inner.hosts.keepers(collection).await
    }

    /// The names of the collections of this node.
    ///
    /// # Errors
    /// Failures of the disk.
    pub async fn collections(&self) -> Result<Vec<String>> {
        self.inner.store.read_async(collection::names).await
    }

    /// Attacks what the hosts keep of a collection of this node, as they hand it out, and says what they could learn: known pairs,
    /// a dictionary, scale, reuse and membership, at up to 2,048 of its vectors. In the same run it attacks copies that must fall,
    /// such as a rotated one, so that an attack that fails shows something. It takes minutes at the largest dimensions.
    ///
    /// # Errors
    /// Those of [`Vpk::open`]; `invalid_argument` when fewer than 128 vectors are sealed; `unreachable` when no host hands out
    /// what it keeps, or too few to know the vectors.
    pub async fn audit(&self, name: &str) -> Result<AuditReport> {
        self.open(name).await?.audit().await
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
}

impl Inner {
    fn hosting(&self) -> MutexGuard<'_, Option<Hosting>> {
        self.hosting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn host(&self, policy: DepotPolicy, announcing: DropGuard) -> Result<Arc<Depot>> {
        let mut hosting = self.hosting();
        if hosting.is_some() {
            return Err(Error::already_exists("this node hosts already").with_remedy("stop hosting first"));
        }
        let min_tier = policy.min_tier;
        let depot = Depot::open(self.store.clone(), self.trust.did(), self.clock.clone(), policy)?;
        let depot = Arc::new(depot);
        if let Some(tier) = min_tier {
            *self.hosts.minimum() = Some(minimum::replace(&self.store, &self.trust, tier.into())?);
        }
        if let Some(peers) = self.hosts.peers()
            && let Err(error) = serve::start(&**peers, &depot, &self.clock)
        {
            self.put_minimum_back()?;
            return Err(error);
        }
        *self.hosts.here() = Some(depot.clone());
        *hosting = Some(Hosting { depot: depot.clone(), _announcing: announcing });
        Ok(depot)
    }

    /// Whether it did.
    fn stop_hosting(&self) -> Result<bool> {
        if self.hosting().take().is_none() {
            return Ok(false);
        }
        *self.hosts.here() = None;
        if let Some(peers) = self.hosts.peers() {
            serve::stop(&**peers);
        }
        self.put_minimum_back()?;
        Ok(true)
    }

    fn put_minimum_back(&self) -> Result<()> {
        *self.hosts.minimum() = None;
        minimum::put_back(&self.store, &self.trust)
    }
}

fn check_name(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(allowed) {
        return Err(Error::invalid_argument(format!("{name:.80?} cannot be the name of a collection"))
            .with_remedy(format!("use at most {MAX_NAME} letters, digits, '-', '_' and '.'")));
    }
    if name.starts_with(benchmark::PREFIX) {
        return Err(Error::invalid_argument("collections of such names are a benchmark's, and deleted with it"));
    }
    Ok(())
}
