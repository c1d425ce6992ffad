//! `Vpk`, `VectorCollection` and `HostConsole`, for Kotlin and Swift.
#![allow(clippy::too_many_arguments, reason = "the packages hand over each option by itself")]

use std::sync::Arc;

use super::number::{maybe, whole};
use super::{Cancel, NativeBenchmark, NativeMatrix, Result, token};
use crate::vpk::{
    AuditReport, BenchmarkOptions, CollectionConfig, CollectionOptions, CollectionStats, DiscoverOptions, FoundVectors,
    HostOffer, HostOptions, HostReport, HostedVectors, Leakage, Metadata, Payload, RecoverOptions, Repair,
};
use crate::{HostConsole, VectorCollection, Vpk};

/// What a node keeps for others, and others for it.
#[derive(uniffi::Object)]
pub struct NativeVpk(pub(super) Arc<Vpk>);

/// Vectors at hosts that cannot read them.
#[derive(uniffi::Object)]
pub struct NativeCollection(pub(super) VectorCollection);

/// A page about this host.
#[derive(uniffi::Object)]
pub struct NativeConsole(HostConsole);

#[uniffi::export]
impl NativeVpk {
    /// Begins to keep collections for peers.
    pub async fn host(
        &self,
        capacity_bytes: i64,
        tenant_bytes: Option<i64>,
        tenant_collections: Option<i64>,
        memory_bytes: Option<i64>,
        min_tier: Option<String>,
        cancel: Cancel,
    ) -> Result<()> {
        let options = HostOptions {
            tenant_bytes: maybe("tenant_bytes", tenant_bytes)?,
            tenant_collections: maybe("tenant_collections", tenant_collections)?,
            memory_bytes: maybe("memory_bytes", memory_bytes)?,
            min_tier,
        };
        Ok(self.0.host(whole("capacity_bytes", capacity_bytes)?, options, token(cancel)).await?)
    }

    /// Ends that.
    pub async fn stop_hosting(&self, cancel: Cancel) -> Result<()> {
        Ok(self.0.stop_hosting(token(cancel)).await?)
    }

    /// What this node keeps, and for whom.
    pub async fn hosted(&self, cancel: Cancel) -> Result<Option<HostedVectors>> {
        Ok(self.0.hosted(token(cancel)).await?)
    }

    /// Forgets everything that is kept for one owner.
    pub async fn evict(&self, owner: String, cancel: Cancel) -> Result<()> {
        Ok(self.0.evict(owner, token(cancel)).await?)
    }

    /// The nodes that say that they host.
    pub async fn discover(
        &self,
        free_bytes: Option<i64>,
        min_tier: Option<String>,
        distinct_networks: Option<bool>,
        cancel: Cancel,
    ) -> Result<Vec<HostOffer>> {
        let options = DiscoverOptions { free_bytes: maybe("free_bytes", free_bytes)?, min_tier, distinct_networks };
        Ok(self.0.discover(options, token(cancel)).await?)
    }

    /// Attacks what the hosts keep of a collection.
    pub async fn audit(&self, name: String, cancel: Cancel) -> Result<AuditReport> {
        Ok(self.0.audit(name, token(cancel)).await?)
    }

    /// Measures searches here, at one host and at several.
    pub async fn benchmark(
        &self,
        sizes: Option<Vec<i64>>,
        dimension: Option<i64>,
        privacies: Option<Vec<String>>,
        hosts: Option<Vec<String>>,
        questions: Option<i64>,
        seed: Option<i64>,
        cancel: Cancel,
    ) -> Result<Arc<NativeBenchmark>> {
        let sizes = sizes.map(|sizes| sizes.into_iter().map(|size| whole("sizes", size)).collect::<crate::Result<_>>());
        let options = BenchmarkOptions {
            sizes: sizes.transpose()?,
            dimension: maybe("dimension", dimension)?,
            privacies,
            hosts,
            questions: maybe("questions", questions)?,
            seed: maybe("seed", seed)?,
        };
        Ok(NativeBenchmark::over(self.0.benchmark(options, token(cancel)).await?))
    }

    /// Makes a collection at its hosts.
    pub async fn create(
        &self,
        name: String,
        dimension: i64,
        privacy: String,
        hosts: Vec<String>,
        metric: Option<String>,
        colluding: Option<i64>,
        replicas: Option<i64>,
        free_bytes: Option<i64>,
        min_tier: Option<String>,
        distinct_networks: Option<bool>,
        cancel: Cancel,
    ) -> Result<Arc<NativeCollection>> {
        let options = CollectionOptions {
            dimension: whole("dimension", dimension)?,
            privacy,
            hosts,
            metric,
            colluding: maybe("colluding", colluding)?,
            replicas: maybe("replicas", replicas)?,
            free_bytes: maybe("free_bytes", free_bytes)?,
            min_tier,
            distinct_networks,
        };
        Ok(Arc::new(NativeCollection(self.0.create(name, options, token(cancel)).await?)))
    }

    /// Opens a collection that was made before.
    pub async fn open(&self, name: String, cancel: Cancel) -> Result<Arc<NativeCollection>> {
        Ok(Arc::new(NativeCollection(self.0.open(name, token(cancel)).await?)))
    }

    /// What this machine says of itself.
    pub async fn device(&self, cancel: Cancel) -> Result<String> {
        Ok(self.0.device(token(cancel)).await?)
    }

    /// The nodes that say that they have a record of a collection.
    pub async fn resolve(&self, collection_id: String, cancel: Cancel) -> Result<Vec<String>> {
        Ok(self.0.resolve(collection_id, token(cancel)).await?)
    }

    /// Makes a collection one of this node, whose key another machine has exported.
    pub async fn recover(
        &self,
        name: String,
        exported: String,
        passphrase: Option<String>,
        exported_by: Option<String>,
        hosts: Option<Vec<String>>,
        partial: Option<bool>,
        cancel: Cancel,
    ) -> Result<Arc<NativeCollection>> {
        let options = RecoverOptions { passphrase, exported_by, hosts, partial };
        Ok(Arc::new(NativeCollection(self.0.recover(name, exported, options, token(cancel)).await?)))
    }

    /// Serves a page about this host on a port of loopback.
    pub async fn console(&self, port: Option<i64>, cancel: Cancel) -> Result<Arc<NativeConsole>> {
        Ok(Arc::new(NativeConsole(self.0.console(maybe("port", port)?, token(cancel)).await?)))
    }

    /// The names of the collections of this node.
    pub async fn collections(&self, cancel: Cancel) -> Result<Vec<String>> {
        Ok(self.0.collections(token(cancel)).await?)
    }

    /// Forgets a collection, here and at its hosts.
    pub async fn destroy(&self, name: String, cancel: Cancel) -> Result<()> {
        Ok(self.0.destroy(name, token(cancel)).await?)
    }
}

#[uniffi::export]
impl NativeCollection {
    /// The name under which this node has it.
    pub fn name(&self) -> String {
        self.0.name().to_owned()
    }

    /// The id by which hosts know it.
    pub fn id(&self) -> String {
        self.0.id().to_owned()
    }

    /// What it is.
    pub fn config(&self) -> CollectionConfig {
        self.0.config()
    }

    /// What its hosts learn.
    pub fn leakage(&self) -> Leakage {
        self.0.leakage().clone()
    }

    /// How it stands.
    pub async fn stats(&self, cancel: Cancel) -> Result<CollectionStats> {
        Ok(self.0.stats(token(cancel)).await?)
    }

    /// Puts vectors in, all or none.
    pub async fn upsert(
        &self,
        ids: Vec<i64>,
        vectors: NativeMatrix,
        payloads: Option<Vec<Option<Payload>>>,
        metadata: Option<Vec<Option<Metadata>>>,
        cancel: Cancel,
    ) -> Result<()> {
        Ok(self.0.upsert(numbers(ids)?, vectors.try_into()?, payloads, metadata, token(cancel)).await?)
    }

    /// Takes vectors out.
    pub async fn delete(&self, ids: Vec<i64>, cancel: Cancel) -> Result<i64> {
        let count = self.0.delete(numbers(ids)?, token(cancel)).await?;
        Ok(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// The `k` vectors that are most like this one.
    pub async fn search(
        &self,
        vector: NativeMatrix,
        k: Option<i64>,
        filter: Option<Metadata>,
        cancel: Cancel,
    ) -> Result<FoundVectors> {
        let k = maybe("k", k)?.unwrap_or(crate::vpk::USUAL_HITS);
        let vector = crate::Matrix::try_from(vector)?.values;
        Ok(self.0.search(vector, k, filter.unwrap_or_default(), token(cancel)).await?)
    }

    /// Seals what is buffered and brings everything to the hosts.
    pub async fn flush(&self, cancel: Cancel) -> Result<()> {
        Ok(self.0.flush(token(cancel)).await?)
    }

    /// Fetches everything from the hosts and says what of it is right.
    pub async fn verify(&self, cancel: Cancel) -> Result<Vec<HostReport>> {
        Ok(self.0.verify(token(cancel)).await?)
    }

    /// Seals everything anew under a new key.
    pub async fn rotate(&self, cancel: Cancel) -> Result<()> {
        Ok(self.0.rotate(token(cancel)).await?)
    }

    /// Puts others in the place of hosts that are lost or lie.
    pub async fn repair(&self, hosts: Option<Vec<String>>, cancel: Cancel) -> Result<Repair> {
        Ok(self.0.repair(hosts, token(cancel)).await?)
    }

    /// The recovery key, as text that opens with a passphrase.
    pub async fn export_key(&self, passphrase: String, cancel: Cancel) -> Result<String> {
        Ok(self.0.export_key(passphrase, token(cancel)).await?)
    }

    /// The recovery key, as text that opens on one machine.
    pub async fn export_key_to(&self, device: String, cancel: Cancel) -> Result<String> {
        Ok(self.0.export_key_to(device, token(cancel)).await?)
    }

    /// Forgets the collection, here and at its hosts.
    pub async fn destroy(&self, cancel: Cancel) -> Result<()> {
        Ok(self.0.destroy(token(cancel)).await?)
    }

    /// Lets go of it.
    pub fn shutdown(&self) {
        self.0.shutdown();
    }
}

#[uniffi::export]
impl NativeConsole {
    /// Where a browser on this machine finds it.
    pub fn url(&self) -> String {
        self.0.url().to_owned()
    }

    /// Ends it.
    pub fn shutdown(&self) {
        self.0.shutdown();
    }
}

fn numbers(ids: Vec<i64>) -> crate::Result<Vec<u64>> {
    ids.into_iter().map(|id| whole("ids", id)).collect()
}
