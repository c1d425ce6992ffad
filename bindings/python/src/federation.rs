//! `kwaainet.SharedKnowledge` and `kwaainet.Federation`.

use std::sync::Arc;

use kwaai_ffi::federation::{FederatedOptions, KnowledgeCapability, Members, ProvenHit, SharedSearch};
use pyo3::prelude::*;

use crate::error::{exception, parse};
use crate::operation::Operation;
use crate::rag::{Rag, at_once};
use crate::reply::Record;

#[pyclass(frozen, module = "kwaainet._native")]
pub(crate) struct SharedKnowledge(Arc<kwaai_ffi::SharedKnowledge>);

#[pyclass(frozen, module = "kwaainet._native")]
pub(crate) struct Federation(Arc<kwaai_ffi::Federation>);

#[pymethods]
impl SharedKnowledge {
    fn capability(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        at_once(py, Record::of(self.0.capability()))
    }

    fn search(&self, py: Python<'_>, text: String, k: usize, options: &str) -> PyResult<Operation> {
        let (shared, options): (_, SharedSearch) = (self.0.clone(), parse(py, "", options)?);
        Ok(Operation::new(
            move |cancel| async move { shared.search(text, k, options, cancel).await.and_then(Record::of) },
        ))
    }
}

#[pymethods]
impl Federation {
    fn members(&self) -> Vec<String> {
        self.0.members().to_vec()
    }

    fn search(&self, py: Python<'_>, text: String, k: usize, options: &str) -> PyResult<Operation> {
        let (federation, options): (_, FederatedOptions) = (self.0.clone(), parse(py, "", options)?);
        Ok(Operation::new(move |cancel| async move {
            federation.search(text, k, options, cancel).await.and_then(Record::of)
        }))
    }
}

/// The knowledge bases of a federation.
pub(crate) fn members(
    py: Python<'_>,
    own: Vec<(String, PyRef<'_, Rag>)>,
    shared: &[PyRef<'_, SharedKnowledge>],
) -> PyResult<Members> {
    let mut members = Members::default();
    let gather = || {
        own.into_iter().try_for_each(|(name, rag)| members.own(name, &rag.0))?;
        shared.iter().try_for_each(|shared| members.shared(&shared.0))
    };
    gather().map_err(|error| exception(py, &error))?;
    Ok(members)
}

impl From<kwaai_ffi::SharedKnowledge> for SharedKnowledge {
    fn from(shared: kwaai_ffi::SharedKnowledge) -> SharedKnowledge {
        SharedKnowledge(Arc::new(shared))
    }
}

impl From<kwaai_ffi::Federation> for Federation {
    fn from(federation: kwaai_ffi::Federation) -> Federation {
        Federation(Arc::new(federation))
    }
}

/// What a proven hit proves.
#[pyfunction]
pub(crate) fn check_provenance(py: Python<'_>, proven: &str) -> PyResult<Py<PyAny>> {
    let ProvenHit { hit, provenance } = parse(py, "", proven)?;
    at_once(py, kwaai_ffi::federation::check_provenance(&hit, &provenance).and_then(Record::of))
}

/// What a capability says.
#[pyfunction]
pub(crate) fn read_knowledge_capability(py: Python<'_>, capability: &str) -> PyResult<Py<PyAny>> {
    at_once(py, KnowledgeCapability::read(capability).and_then(Record::of))
}
