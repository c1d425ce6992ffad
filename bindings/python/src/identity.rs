//! `kwaainet.resolve_did`.

use pyo3::prelude::*;

use crate::error::exception;
use crate::reply::{Record, Reply};

/// What a DID or a PeerId says of itself.
#[pyfunction]
pub(crate) fn resolve_did(py: Python<'_>, did: &str) -> PyResult<Py<PyAny>> {
    match kwaai_ffi::resolve_did(did).and_then(Record::of) {
        Ok(resolved) => Box::new(resolved).into_python(py),
        Err(error) => Err(exception(py, &error)),
    }
}
