//! A collection of vectors at its hosts, as an object.

use std::sync::{Arc, Weak};

use kwaai_core::Error;
use kwaai_core::vpk::{self, Item};
use serde_json::{Map, Value};

use super::record::{Repair, host_name};
use super::{CollectionConfig, CollectionStats, FoundVectors, HostReport, Leakage, Vpk};
use crate::handle::Handle;
use crate::{CancelToken, Matrix, Result, rt};

/// The bytes that come back with a vector.
pub type Payload = Vec<u8>;

/// The values by which vectors are chosen.
pub type Metadata = Map<String, Value>;

/// The largest id that every language can show.
const MAX_ID: u64 = (1 << 53) - 1;

/// Vectors with ids and payloads, at hosts that cannot read them.
pub struct VectorCollection {
    handle: Arc<Handle<vpk::Collection>>,
    vpk: Arc<Vpk>,
    name: String,
    id: String,
    config: CollectionConfig,
    leakage: Leakage,
}

impl VectorCollection {
    pub(super) fn new(collection: vpk::Collection, vpk: Arc<Vpk>) -> VectorCollection {
        VectorCollection {
            name: collection.name().to_owned(),
            id: collection.id().to_string(),
            config: collection.config().into(),
            leakage: collection.leakage().into(),
            handle: Arc::new(Handle::new("collection of vectors", collection)),
            vpk,
        }
    }

    pub(super) fn watched(&self) -> Weak<Handle<vpk::Collection>> {
        Arc::downgrade(&self.handle)
    }

    pub(crate) fn get(&self) -> Result<vpk::Collection> {
        self.handle.get()
    }

    /// The name under which this node has it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id by which hosts know it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it is, and who its hosts are now; of one that was let go of, who they were when it was taken.
    pub fn config(&self) -> CollectionConfig {
        self.handle.get().map_or_else(|_| self.config.clone(), |collection| collection.config().into())
    }

    /// What its hosts learn.
    pub fn leakage(&self) -> &Leakage {
        &self.leakage
    }

    /// Whether it can be used: not let go of, not destroyed, and not another process's.
    pub fn is_open(&self) -> bool {
        self.handle.is_open()
    }

    /// How it stands.
    pub async fn stats(&self, cancel: CancelToken) -> Result<CollectionStats> {
        let collection = self.handle.get()?;
        rt::blocking(&cancel, move || Ok(collection.stats().into())).await
    }

    /// Puts vectors in, all or none. There are as many rows as ids; `payloads` and `metadata` are as many too, or left out.
    ///
    /// # Errors
    /// `invalid_argument` for lists of different lengths and ids above 2^53 - 1, beside what the core refuses.
    pub async fn upsert(
        &self,
        ids: Vec<u64>,
        vectors: Matrix,
        payloads: Option<Vec<Option<Payload>>>,
        metadata: Option<Vec<Option<Metadata>>>,
        cancel: CancelToken,
    ) -> Result<()> {
        let collection = self.handle.get()?;
        let count = ids.len();
        same_length("vectors", vectors.rows, count)?;
        payloads.as_ref().map_or(Ok(()), |payloads| same_length("payloads", payloads.len(), count))?;
        metadata.as_ref().map_or(Ok(()), |metadata| same_length("metadata", metadata.len(), count))?;
        if let Some(id) = ids.iter().find(|id| **id > MAX_ID) {
            return Err(Error::invalid_argument("an id is a whole number from 0 to 2^53 - 1").with("id", *id).into());
        }
        if count > 0 && vectors.columns != self.config.dimension {
            let message = format!(
                "a vector has {} numbers; the collection has {} dimensions",
                vectors.columns, self.config.dimension
            );
            return Err(Error::invalid_argument(message).into());
        }
        let mut payloads = payloads.unwrap_or_default().into_iter();
        let mut metadata = metadata.unwrap_or_default().into_iter();
        let rows = vectors.values.chunks_exact(vectors.columns.max(1));
        let items = ids.into_iter().zip(rows).map(|(id, vector)| Item {
            id,
            vector: vector.to_vec(),
            payload: payloads.next().flatten(),
            metadata: metadata.next().flatten().unwrap_or_default(),
        });
        let items: Vec<Item> = items.collect();
        rt::run(&cancel, async move { collection.upsert(items).await }).await
    }

    /// Takes vectors out, with their payloads, and answers how many there were.
    pub async fn delete(&self, ids: Vec<u64>, cancel: CancelToken) -> Result<usize> {
        let collection = self.handle.get()?;
        rt::run(&cancel, async move { collection.delete(ids).await }).await
    }

    /// The `k` vectors that are most like this one, among those whose metadata have all the values of `filter`.
    ///
    /// # Errors
    /// `unsupported` when one was found whose id a Rust program made larger than 2^53 - 1, beside what the core says.
    pub async fn search(
        &self,
        vector: Vec<f32>,
        k: usize,
        filter: Metadata,
        cancel: CancelToken,
    ) -> Result<FoundVectors> {
        let collection = self.handle.get()?;
        rt::run(&cancel, async move { FoundVectors::of(collection.search(&vector, k, &filter).await?) }).await
    }

    /// Seals what is buffered and brings everything to the hosts.
    pub async fn flush(&self, cancel: CancelToken) -> Result<()> {
        let collection = self.handle.get()?;
        rt::run(&cancel, async move { collection.flush().await }).await
    }

    /// Fetches everything from the hosts and says what of it is right.
    pub async fn verify(&self, cancel: CancelToken) -> Result<Vec<HostReport>> {
        let collection = self.handle.get()?;
        let reports = rt::run(&cancel, async move { collection.verify().await }).await?;
        Ok(reports.into_iter().map(HostReport::from).collect())
    }

    /// Seals everything anew, under the key of the next epoch.
    pub async fn rotate(&self, cancel: CancelToken) -> Result<()> {
        let collection = self.handle.get()?;
        rt::run(&cancel, async move { collection.rotate().await }).await
    }

    /// Puts others in the place of hosts that are lost or lie: those that are named, or ones that are found.
    pub async fn repair(&self, hosts: Option<Vec<String>>, cancel: CancelToken) -> Result<Repair> {
        let collection = self.handle.get()?;
        let hosts = hosts.unwrap_or_default().iter().map(|host| host_name(host)).collect::<Result<_>>()?;
        Ok(rt::run(&cancel, async move { collection.repair(hosts).await }).await?.into())
    }

    /// The recovery key, as text that opens with a passphrase.
    pub async fn export_key(&self, passphrase: String, cancel: CancelToken) -> Result<String> {
        let collection = self.handle.get()?;
        rt::run(&cancel, async move { collection.export_key(&passphrase).await }).await
    }

    /// The recovery key, as text that opens on the machine that said by `device` who it is.
    pub async fn export_key_to(&self, device: String, cancel: CancelToken) -> Result<String> {
        let collection = self.handle.get()?;
        rt::run(&cancel, async move { collection.export_key_to(&device).await }).await
    }

    /// Forgets the collection, here and at its hosts. Whoever has it open finds it closed.
    pub async fn destroy(&self, cancel: CancelToken) -> Result<()> {
        self.handle.get()?;
        self.vpk.destroy(self.name.clone(), cancel).await
    }

    /// Lets go of it. The collection stays, here and at its hosts. Idempotent.
    pub fn shutdown(&self) {
        self.handle.close();
    }
}

fn same_length(what: &str, found: usize, wanted: usize) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    Err(Error::invalid_argument(format!("there are {wanted} ids and {found} {what}")).into())
}
