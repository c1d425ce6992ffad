//! `Vpk`, `VectorCollection` and `HostConsole`.

use std::sync::Arc;

use kwaai_ffi::Matrix;
use kwaai_ffi::vpk::{BenchmarkOptions, CollectionOptions, DiscoverOptions, HostOptions, Metadata, RecoverOptions};
use napi::bindgen_prelude::{Float32Array, Uint8Array};
use napi_derive::napi;

use crate::error::{Result, json, parse, thrown, whole};
use crate::operation::Operation;
use crate::stream::Stream;

/// What a node keeps for others, and others for it.
#[napi]
pub struct Vpk(pub(crate) Arc<kwaai_ffi::Vpk>);

/// Vectors at hosts that cannot read them.
#[napi]
pub struct VectorCollection(pub(crate) Arc<kwaai_ffi::VectorCollection>);

/// A page about this host.
#[napi]
pub struct HostConsole(kwaai_ffi::HostConsole);

impl From<kwaai_ffi::HostConsole> for HostConsole {
    fn from(console: kwaai_ffi::HostConsole) -> HostConsole {
        HostConsole(console)
    }
}

impl From<kwaai_ffi::VectorCollection> for VectorCollection {
    fn from(collection: kwaai_ffi::VectorCollection) -> VectorCollection {
        VectorCollection(Arc::new(collection))
    }
}

#[napi]
impl Vpk {
    #[napi]
    pub fn host(&self, capacity_bytes: f64, options: String) -> Result<Operation> {
        let (vpk, options): (_, HostOptions) = (self.0.clone(), parse("", &options)?);
        Ok(Operation::new(move |cancel| async move { vpk.host(whole(capacity_bytes), options, cancel).await }))
    }

    #[napi]
    pub fn stop_hosting(&self) -> Operation {
        let vpk = self.0.clone();
        Operation::new(move |cancel| async move { vpk.stop_hosting(cancel).await })
    }

    #[napi]
    pub fn hosted(&self) -> Operation {
        let vpk = self.0.clone();
        Operation::new(move |cancel| async move { vpk.hosted(cancel).await.and_then(json) })
    }

    #[napi]
    pub fn evict(&self, owner: String) -> Operation {
        let vpk = self.0.clone();
        Operation::new(move |cancel| async move { vpk.evict(owner, cancel).await })
    }

    #[napi]
    pub fn create(&self, name: String, options: String) -> Result<Operation> {
        let (vpk, options): (_, CollectionOptions) = (self.0.clone(), parse("", &options)?);
        Ok(Operation::new(
            move |cancel| async move { vpk.create(name, options, cancel).await.map(VectorCollection::from) },
        ))
    }

    #[napi]
    pub fn discover(&self, options: String) -> Result<Operation> {
        let (vpk, options): (_, DiscoverOptions) = (self.0.clone(), parse("", &options)?);
        Ok(Operation::new(move |cancel| async move { vpk.discover(options, cancel).await.and_then(json) }))
    }

    #[napi]
    pub fn audit(&self, name: String) -> Operation {
        let vpk = self.0.clone();
        Operation::new(move |cancel| async move { vpk.audit(name, cancel).await.and_then(json) })
    }

    #[napi]
    pub fn open(&self, name: String) -> Operation {
        let vpk = self.0.clone();
        Operation::new(move |cancel| async move { vpk.open(name, cancel).await.map(VectorCollection::from) })
    }

    #[napi]
    pub fn benchmark(&self, options: String) -> Result<Operation> {
        let (vpk, options): (_, BenchmarkOptions) = (self.0.clone(), parse("", &options)?);
        Ok(Operation::new(move |cancel| async move { vpk.benchmark(options, cancel).await.map(Stream::new) }))
    }

    #[napi]
    pub fn device(&self) -> Operation {
        let vpk = self.0.clone();
        Operation::new(move |cancel| async move { vpk.device(cancel).await })
    }

    #[napi]
    pub fn resolve(&self, collection_id: String) -> Operation {
        let vpk = self.0.clone();
        Operation::new(move |cancel| async move { vpk.resolve(collection_id, cancel).await })
    }

    #[napi]
    pub fn recover(&self, name: String, exported: String, options: String) -> Result<Operation> {
        let (vpk, options): (_, RecoverOptions) = (self.0.clone(), parse("", &options)?);
        Ok(Operation::new(move |cancel| async move {
            vpk.recover(name, exported, options, cancel).await.map(VectorCollection::from)
        }))
    }

    #[napi]
    pub fn console(&self, port: Option<f64>) -> Operation {
        let vpk = self.0.clone();
        Operation::new(move |cancel| async move { vpk.console(port.map(whole), cancel).await.map(HostConsole::from) })
    }

    #[napi]
    pub fn collections(&self) -> Operation {
        let vpk = self.0.clone();
        Operation::new(move |cancel| async move { vpk.collections(cancel).await })
    }

    #[napi]
    pub fn destroy(&self, name: String) -> Operation {
        let vpk = self.0.clone();
        Operation::new(move |cancel| async move { vpk.destroy(name, cancel).await })
    }
}

#[napi]
impl VectorCollection {
    #[napi]
    pub fn name(&self) -> String {
        self.0.name().to_owned()
    }

    #[napi]
    pub fn id(&self) -> String {
        self.0.id().to_owned()
    }

    #[napi]
    pub fn config(&self) -> Result<String> {
        json(self.0.config()).map_err(thrown)
    }

    #[napi]
    pub fn leakage(&self) -> Result<String> {
        json(self.0.leakage()).map_err(thrown)
    }

    #[napi]
    pub fn stats(&self) -> Operation {
        let collection = self.0.clone();
        Operation::new(move |cancel| async move { collection.stats(cancel).await.and_then(json) })
    }

    /// The numbers are copied once, and so are the payloads, of which `undefined` is none.
    #[napi]
    pub fn upsert(
        &self,
        ids: Vec<f64>,
        vectors: Float32Array,
        rows: u32,
        columns: u32,
        payloads: Option<Vec<Option<Uint8Array>>>,
        metadata: String,
    ) -> Result<Operation> {
        let collection = self.0.clone();
        let vectors = Matrix::new(rows as usize, columns as usize, vectors.to_vec()).map_err(thrown)?;
        let payloads = payloads.map(|all| all.into_iter().map(|one| one.map(|bytes| bytes.to_vec())).collect());
        let metadata: Option<Vec<Option<Metadata>>> = parse("metadata", &metadata)?;
        let ids = ids.into_iter().map(whole).collect();
        Ok(Operation::new(
            move |cancel| async move { collection.upsert(ids, vectors, payloads, metadata, cancel).await },
        ))
    }

    #[napi]
    pub fn delete(&self, ids: Vec<f64>) -> Operation {
        let (collection, ids) = (self.0.clone(), ids.into_iter().map(whole).collect());
        Operation::new(move |cancel| async move { collection.delete(ids, cancel).await.map(|count| count as f64) })
    }

    #[napi]
    pub fn search(&self, vector: Float32Array, k: u32, filter: String) -> Result<Operation> {
        let (collection, vector) = (self.0.clone(), vector.to_vec());
        let filter: Metadata = parse("filter", &filter)?;
        Ok(Operation::new(move |cancel| async move {
            collection.search(vector, k as usize, filter, cancel).await.and_then(json)
        }))
    }

    #[napi]
    pub fn flush(&self) -> Operation {
        let collection = self.0.clone();
        Operation::new(move |cancel| async move { collection.flush(cancel).await })
    }

    #[napi]
    pub fn verify(&self) -> Operation {
        let collection = self.0.clone();
        Operation::new(move |cancel| async move { collection.verify(cancel).await.and_then(json) })
    }

    #[napi]
    pub fn repair(&self, hosts: Option<Vec<String>>) -> Operation {
        let collection = self.0.clone();
        Operation::new(move |cancel| async move { collection.repair(hosts, cancel).await.and_then(json) })
    }

    #[napi]
    pub fn rotate(&self) -> Operation {
        let collection = self.0.clone();
        Operation::new(move |cancel| async move { collection.rotate(cancel).await })
    }

    #[napi]
    pub fn export_key(&self, passphrase: String) -> Operation {
        let collection = self.0.clone();
        Operation::new(move |cancel| async move { collection.export_key(passphrase, cancel).await })
    }

    #[napi]
    pub fn export_key_to(&self, device: String) -> Operation {
        let collection = self.0.clone();
        Operation::new(move |cancel| async move { collection.export_key_to(device, cancel).await })
    }

    #[napi]
    pub fn shutdown(&self) {
        self.0.shutdown();
    }

    #[napi]
    pub fn destroy(&self) -> Operation {
        let collection = self.0.clone();
        Operation::new(move |cancel| async move { collection.destroy(cancel).await })
    }
}

#[napi]
impl HostConsole {
    #[napi]
    pub fn url(&self) -> String {
        self.0.url().to_owned()
    }

    #[napi]
    pub fn shutdown(&self) {
        self.0.shutdown();
    }
}
