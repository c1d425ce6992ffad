//! `kwaainet.Vpk`, `kwaainet.VectorCollection` and `kwaainet.HostConsole`.

use std::sync::Arc;

use kwaai_ffi::vpk::{
    BenchmarkOptions, CollectionOptions, DiscoverOptions, HostOptions, Metadata, Payload, RecoverOptions,
};
use pyo3::prelude::*;

use crate::array::{row, rows};
use crate::error::parse;
use crate::operation::Operation;
use crate::reply::{Count, Object, Record, object};
use crate::stream::Stream;

#[pyclass(frozen, module = "kwaainet._native")]
pub(crate) struct Vpk(pub(crate) Arc<kwaai_ffi::Vpk>);

#[pyclass(frozen, module = "kwaainet._native")]
pub(crate) struct VectorCollection(pub(crate) Arc<kwaai_ffi::VectorCollection>);

#[pyclass(frozen, module = "kwaainet._native")]
pub(crate) struct HostConsole(kwaai_ffi::HostConsole);

impl From<kwaai_ffi::VectorCollection> for VectorCollection {
    fn from(collection: kwaai_ffi::VectorCollection) -> VectorCollection {
        VectorCollection(Arc::new(collection))
    }
}

#[pymethods]
impl Vpk {
    fn host(&self, py: Python<'_>, capacity_bytes: u64, options: &str) -> PyResult<Operation> {
        let (vpk, options): (_, HostOptions) = (self.0.clone(), parse(py, "", options)?);
        Ok(Operation::new(move |cancel| async move { vpk.host(capacity_bytes, options, cancel).await }))
    }

    fn stop_hosting(&self) -> Operation {
        let vpk = self.0.clone();
        Operation::new(move |cancel| async move { vpk.stop_hosting(cancel).await })
    }

    fn hosted(&self) -> Operation {
        let vpk = self.0.clone();
        Operation::new(move |cancel| async move { vpk.hosted(cancel).await.and_then(Record::of) })
    }

    fn evict(&self, owner: String) -> Operation {
        let vpk = self.0.clone();
        Operation::new(move |cancel| async move { vpk.evict(owner, cancel).await })
    }

    fn create(&self, py: Python<'_>, name: String, options: &str) -> PyResult<Operation> {
        let (vpk, options): (_, CollectionOptions) = (self.0.clone(), parse(py, "", options)?);
        Ok(Operation::new(move |cancel| async move {
            vpk.create(name, options, cancel).await.map(|made| Object(VectorCollection::from(made)))
        }))
    }

    fn discover(&self, py: Python<'_>, options: &str) -> PyResult<Operation> {
        let (vpk, options): (_, DiscoverOptions) = (self.0.clone(), parse(py, "", options)?);
        Ok(Operation::new(move |cancel| async move { vpk.discover(options, cancel).await.and_then(Record::of) }))
    }

    fn audit(&self, name: String) -> Operation {
        let vpk = self.0.clone();
        Operation::new(move |cancel| async move { vpk.audit(name, cancel).await.and_then(Record::of) })
    }

    fn open(&self, name: String) -> Operation {
        let vpk = self.0.clone();
        Operation::new(move |cancel| async move {
            vpk.open(name, cancel).await.map(|opened| Object(VectorCollection::from(opened)))
        })
    }

    fn benchmark(&self, py: Python<'_>, options: &str) -> PyResult<Operation> {
        let (vpk, options): (_, BenchmarkOptions) = (self.0.clone(), parse(py, "", options)?);
        Ok(Operation::new(move |cancel| async move {
            vpk.benchmark(options, cancel).await.map(|steps| Object(Stream::new(steps)))
        }))
    }

    fn device(&self) -> Operation {
        let vpk = self.0.clone();
        Operation::new(move |cancel| async move { vpk.device(cancel).await })
    }

    fn resolve(&self, collection_id: String) -> Operation {
        let vpk = self.0.clone();
        Operation::new(move |cancel| async move { vpk.resolve(collection_id, cancel).await })
    }

    fn recover(&self, py: Python<'_>, name: String, exported: String, options: &str) -> PyResult<Operation> {
        let (vpk, options): (_, RecoverOptions) = (self.0.clone(), parse(py, "", options)?);
        Ok(Operation::new(move |cancel| async move {
            vpk.recover(name, exported, options, cancel).await.map(|made| Object(VectorCollection::from(made)))
        }))
    }

    fn console(&self, port: Option<u64>) -> Operation {
        let vpk = self.0.clone();
        Operation::new(
            move |cancel| async move { vpk.console(port, cancel).await.map(|made| Object(HostConsole(made))) },
        )
    }

    fn collections(&self) -> Operation {
        let vpk = self.0.clone();
        Operation::new(move |cancel| async move { vpk.collections(cancel).await })
    }

    fn destroy(&self, name: String) -> Operation {
        let vpk = self.0.clone();
        Operation::new(move |cancel| async move { vpk.destroy(name, cancel).await })
    }

    fn is_open(&self) -> bool {
        self.0.is_open()
    }
}

#[pymethods]
impl VectorCollection {
    #[getter]
    fn name(&self) -> &str {
        self.0.name()
    }

    #[getter]
    fn id(&self) -> &str {
        self.0.id()
    }

    fn config<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        plain(py, &self.0.config())
    }

    fn leakage<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        plain(py, self.0.leakage())
    }

    fn stats(&self) -> Operation {
        let collection = self.0.clone();
        Operation::new(move |cancel| async move { collection.stats(cancel).await.and_then(Record::of) })
    }

    fn upsert(
        &self,
        py: Python<'_>,
        ids: Vec<u64>,
        vectors: &Bound<'_, PyAny>,
        payloads: Option<Vec<Option<Payload>>>,
        metadata: &str,
    ) -> PyResult<Operation> {
        let (collection, vectors) = (self.0.clone(), rows("vectors", vectors)?);
        let metadata: Option<Vec<Option<Metadata>>> = parse(py, "metadata", metadata)?;
        Ok(Operation::new(
            move |cancel| async move { collection.upsert(ids, vectors, payloads, metadata, cancel).await },
        ))
    }

    fn delete(&self, ids: Vec<u64>) -> Operation {
        let collection = self.0.clone();
        Operation::new(move |cancel| async move { collection.delete(ids, cancel).await.map(Count::of) })
    }

    fn search(&self, py: Python<'_>, vector: &Bound<'_, PyAny>, k: usize, filter: &str) -> PyResult<Operation> {
        let (collection, vector) = (self.0.clone(), row("vector", vector)?);
        let filter: Metadata = parse(py, "filter", filter)?;
        Ok(Operation::new(move |cancel| async move {
            collection.search(vector, k, filter, cancel).await.and_then(Record::of)
        }))
    }

    fn flush(&self) -> Operation {
        let collection = self.0.clone();
        Operation::new(move |cancel| async move { collection.flush(cancel).await })
    }

    fn verify(&self) -> Operation {
        let collection = self.0.clone();
        Operation::new(move |cancel| async move { collection.verify(cancel).await.and_then(Record::of) })
    }

    fn repair(&self, hosts: Option<Vec<String>>) -> Operation {
        let collection = self.0.clone();
        Operation::new(move |cancel| async move { collection.repair(hosts, cancel).await.and_then(Record::of) })
    }

    fn rotate(&self) -> Operation {
        let collection = self.0.clone();
        Operation::new(move |cancel| async move { collection.rotate(cancel).await })
    }

    fn export_key(&self, passphrase: String) -> Operation {
        let collection = self.0.clone();
        Operation::new(move |cancel| async move { collection.export_key(passphrase, cancel).await })
    }

    fn export_key_to(&self, device: String) -> Operation {
        let collection = self.0.clone();
        Operation::new(move |cancel| async move { collection.export_key_to(device, cancel).await })
    }

    fn is_open(&self) -> bool {
        self.0.is_open()
    }

    fn shutdown(&self) {
        self.0.shutdown();
    }

    fn destroy(&self) -> Operation {
        let collection = self.0.clone();
        Operation::new(move |cancel| async move { collection.destroy(cancel).await })
    }
}

#[pymethods]
impl HostConsole {
    #[getter]
    fn url(&self) -> &str {
        self.0.url()
    }

    fn is_open(&self) -> bool {
        self.0.is_open()
    }

    fn shutdown(&self) {
        self.0.shutdown();
    }
}

fn plain<'py>(py: Python<'py>, record: &impl serde::Serialize) -> PyResult<Bound<'py, PyAny>> {
    let value = kwaai_ffi::to_json(record).map_err(|error| crate::error::exception(py, &error))?;
    object(py, &value)
}
