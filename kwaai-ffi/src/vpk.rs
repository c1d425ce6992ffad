//! Private knowledge of a node, as an object: what it keeps for others, and what others keep for it.

mod audit;
mod benchmark;
mod collection;
mod console;
mod offer;
mod record;
mod recover;

use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use kwaai_core::Error;
use kwaai_core::trust::Tier;
use kwaai_core::vpk;
use serde::Deserialize;

use crate::handle::Handle;
use crate::{CancelToken, Result, Stream, rt, validate};

pub use audit::{AuditFinding, AuditReport, HostAudit};
pub use benchmark::{BenchmarkOptions, BenchmarkRow, BenchmarkStep};
pub use collection::{Metadata, Payload, VectorCollection};
pub use console::HostConsole;
pub use offer::{DiscoverOptions, HostOffer};
pub use record::{
    CollectionConfig, CollectionOptions, CollectionStats, FoundVector, FoundVectors, HostReport, HostedVectors,
    Leakage, Repair, Tenant,
};
pub use recover::RecoverOptions;

/// How many hits a search has unless it says so.
pub const USUAL_HITS: usize = 10;

/// Vectors on other people's machines that these cannot read, and such vectors of others on this one.
pub struct Vpk {
    handle: Handle<vpk::Vpk>,
    /// The handles of collections that were given out, so that they end with the node and with their collection.
    open: Mutex<Vec<Weak<Handle<vpk::Collection>>>>,
    /// Those of its pages, so that they end with the node.
    consoles: Mutex<Vec<Weak<Handle<console::Served>>>>,
}

/// How much a node keeps for others, and for whom; what is left out is as the core has it for so many bytes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostOptions {
    /// The bytes on the disk for one owner; a quarter of all unless set.
    pub tenant_bytes: Option<u64>,
    /// The collections of one owner; 64 unless set.
    pub tenant_collections: Option<u32>,
    /// The bytes of memory for answering; as many as on the disk, up to 1 GiB, unless set.
    pub memory_bytes: Option<u64>,
    /// The lowest tier that may keep something here; the policy's minimum unless set.
    pub min_tier: Option<String>,
}

impl Vpk {
    pub(crate) fn of_node(vpk: vpk::Vpk) -> Vpk {
        Vpk { handle: Handle::new("private knowledge", vpk), open: Mutex::default(), consoles: Mutex::default() }
    }

    /// Whether it can be used: its node was not shut down, and is not another process's.
    pub fn is_open(&self) -> bool {
        self.handle.is_open()
    }

    /// Begins to keep collections for peers, and for this node.
    pub async fn host(&self, capacity_bytes: u64, options: HostOptions, cancel: CancelToken) -> Result<()> {
        let vpk = self.handle.get()?;
        let policy = options.policy(capacity_bytes)?;
        rt::run(&cancel, async move { vpk.host(policy).await }).await
    }

    /// Ends that. What is kept stays on the disk.
    pub async fn stop_hosting(&self, cancel: CancelToken) -> Result<()> {
        let vpk = self.handle.get()?;
        rt::run(&cancel, async move { vpk.stop_hosting().await }).await
    }

    /// What this node keeps, and for whom; nothing when it does not host.
    pub async fn hosted(&self, cancel: CancelToken) -> Result<Option<HostedVectors>> {
        let Some(depot) = self.handle.get()?.hosted() else { return Ok(None) };
        rt::blocking(&cancel, move || HostedVectors::of(&depot)).await.map(Some)
    }

    /// Forgets everything that is kept for one owner.
    ///
    /// # Errors
    /// `not_found` when nothing is; `unsupported` when this node does not host.
    pub async fn evict(&self, owner: String, cancel: CancelToken) -> Result<()> {
        let (vpk, owner) = (self.handle.get()?, validate::did(&owner)?);
        let none = || Error::unsupported("this node hosts nothing").with_remedy("begin to host first");
        let depot = vpk.hosted().ok_or_else(none)?;
        rt::blocking(&cancel, move || depot.evict(owner)).await
    }

    /// The nodes that say that they host, each as it answered just now; those that would be used first.
    pub async fn discover(&self, options: DiscoverOptions, cancel: CancelToken) -> Result<Vec<HostOffer>> {
        let (vpk, placement) = (self.handle.get()?, options.placement(None)?);
        let offers = rt::run(&cancel, async move { vpk.discover(&placement).await }).await?;
        Ok(offers.into_iter().map(HostOffer::from).collect())
    }

    /// Attacks what the hosts keep of a collection, and copies that must fall to the same attacks.
    pub async fn audit(&self, name: String, cancel: CancelToken) -> Result<AuditReport> {
        let vpk = self.handle.get()?;
        Ok(rt::run(&cancel, async move { vpk.audit(&name).await }).await?.into())
    }

    /// Measures searches here, at one host and at several. Ending the stream ends it, and what it made is deleted.
    pub async fn benchmark(&self, options: BenchmarkOptions, cancel: CancelToken) -> Result<Stream<BenchmarkStep>> {
        let (vpk, config) = (self.handle.get()?, options.into_core()?);
        let steps = rt::run(&cancel, async move { vpk.benchmark(config) }).await?;
        Ok(Stream::mapped(steps, BenchmarkStep::from))
    }

    /// Makes a collection at its hosts, under a new key.
    pub async fn create(
        self: &Arc<Self>,
        name: String,
        options: CollectionOptions,
        cancel: CancelToken,
    ) -> Result<VectorCollection> {
        let (vpk, config) = (self.handle.get()?, options.into_core()?);
        let made = rt::run(&cancel, async move { vpk.create(&name, config).await }).await?;
        Ok(self.hand_out(made))
    }

    /// Opens a collection that was made before.
    pub async fn open(self: &Arc<Self>, name: String, cancel: CancelToken) -> Result<VectorCollection> {
        let vpk = self.handle.get()?;
        let opened = rt::run(&cancel, async move { vpk.open(&name).await }).await?;
        Ok(self.hand_out(opened))
    }

    /// What this machine says of itself, so that the key of a collection can be exported to it. It is no secret.
    pub async fn device(&self, cancel: CancelToken) -> Result<String> {
        let vpk = self.handle.get()?;
        rt::run(&cancel, async move { vpk.device().await }).await
    }

    /// The PeerIds of the nodes that say in the DHT that they have a record of a collection.
    ///
    /// # Errors
    /// `invalid_argument` for what is no id of a collection.
    pub async fn resolve(&self, collection_id: String, cancel: CancelToken) -> Result<Vec<String>> {
        let (vpk, collection) = (self.handle.get()?, vpk::CollectionId::from_str(&collection_id)?);
        let keepers = rt::run(&cancel, async move { vpk.resolve(collection).await }).await?;
        Ok(keepers.iter().map(ToString::to_string).collect())
    }

    /// Makes a collection one of this node, whose key another machine has exported.
    ///
    /// # Errors
    /// `invalid_argument` unless exactly one thing is given that opens the key, beside what the core says.
    pub async fn recover(
        self: &Arc<Self>,
        name: String,
        exported: String,
        options: RecoverOptions,
        cancel: CancelToken,
    ) -> Result<VectorCollection> {
        let (vpk, (opener, config)) = (self.handle.get()?, options.into_core()?);
        let recovered = rt::run(&cancel, async move { vpk.recover(&name, &exported, opener.unlock(), config).await });
        Ok(self.hand_out(recovered.await?))
    }

    /// Serves a page about this host on a port of loopback; the usual one unless set, 0 for any.
    ///
    /// # Errors
    /// `invalid_argument` for a port above 65535, beside what the core says.
    pub async fn console(&self, port: Option<u64>, cancel: CancelToken) -> Result<HostConsole> {
        let vpk = self.handle.get()?;
        let port = port.map_or(Ok(vpk::CONSOLE_PORT), |port| {
            u16::try_from(port).map_err(|_| Error::invalid_argument(format!("a port is at most 65535, not {port}")))
        })?;
        let made = HostConsole::new(rt::run(&cancel, async move { vpk.console(port).await }).await?);
        let mut consoles = self.consoles.lock().unwrap_or_else(PoisonError::into_inner);
        consoles.retain(|handle| handle.strong_count() > 0);
        consoles.push(made.watched());
        drop(consoles);
        if !self.handle.is_open() {
            // The node ended meanwhile.
            made.shutdown();
        }
        Ok(made)
    }

    /// The names of the collections of this node.
    pub async fn collections(&self, cancel: CancelToken) -> Result<Vec<String>> {
        let vpk = self.handle.get()?;
        rt::run(&cancel, async move { vpk.collections().await }).await
    }

    /// Forgets a collection, here and at its hosts. Whoever has it open finds it closed.
    pub async fn destroy(&self, name: String, cancel: CancelToken) -> Result<()> {
        let (vpk, gone) = (self.handle.get()?, name.clone());
        rt::run(&cancel, async move { vpk.destroy(&gone).await }).await?;
        self.close_those(|collection| collection.name() == name);
        Ok(())
    }

    /// Lets go of the database, also where a program still has a collection.
    pub(crate) fn close(&self) {
        self.close_those(|_| true);
        for console in self.consoles.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            if let Some(console) = console.upgrade() {
                console.close();
            }
        }
        self.handle.close();
    }

    fn hand_out(self: &Arc<Self>, collection: vpk::Collection) -> VectorCollection {
        let made = VectorCollection::new(collection, self.clone());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|handle| handle.strong_count() > 0);
        open.push(made.watched());
        drop(open);
        if !self.handle.is_open() {
            // The node ended meanwhile.
            made.shutdown();
        }
        made
    }

    fn close_those(&self, which: impl Fn(&vpk::Collection) -> bool) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|handle| {
            let Some(handle) = handle.upgrade() else { return false };
            let goes = handle.get().map_or(true, |collection| which(&collection));
            if goes {
                handle.close();
            }
            !goes
        });
    }
}

impl HostOptions {
    fn policy(self, capacity_bytes: u64) -> Result<vpk::DepotPolicy> {
        let usual = vpk::DepotPolicy::of(capacity_bytes);
        Ok(vpk::DepotPolicy {
            capacity_bytes,
            tenant_bytes: self.tenant_bytes.unwrap_or(usual.tenant_bytes),
            tenant_collections: self.tenant_collections.unwrap_or(usual.tenant_collections),
            memory_bytes: self.memory_bytes.unwrap_or(usual.memory_bytes),
            min_tier: self.min_tier.as_deref().map(Tier::from_str).transpose()?,
        })
    }
}
