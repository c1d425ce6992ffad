//! Errors become the exceptions of `kwaainet.errors`.

use kwaai_ffi::{KwaaiError, Spelling};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde::de::DeserializeOwned;

/// The exception for an error. Its class is chosen in Python, where the classes are.
pub(crate) fn exception(py: Python<'_>, error: &KwaaiError) -> PyErr {
    match build(py, error) {
        Ok(exception) => PyErr::from_value(exception),
        Err(failure) => failure,
    }
}

/// A record that the facade wrote as JSON; `what` is empty where its fields are arguments themselves.
pub(crate) fn parse<T: DeserializeOwned>(py: Python<'_>, what: &str, json: &str) -> PyResult<T> {
    kwaai_ffi::from_json(what, json, Spelling::Snake).map_err(|error| exception(py, &error))
}

/// An argument that cannot be, for what only this module can check.
pub(crate) fn invalid(py: Python<'_>, message: String) -> PyErr {
    exception(py, &KwaaiError::foreign(kwaai_ffi::ErrorCode::InvalidArgument, message, None))
}

/// An answer of the app's code that cannot be.
pub(crate) fn wrong_answer(wanted: &str, given: &Bound<'_, PyAny>) -> PyErr {
    let kind = given.get_type().name().map_or_else(|_| "something else".into(), |name| name.to_string());
    invalid(given.py(), format!("{wanted}, not {kind}"))
}

fn build<'py>(py: Python<'py>, error: &KwaaiError) -> PyResult<Bound<'py, PyAny>> {
    let context = PyDict::new(py);
    for (key, value) in &error.context {
        context.set_item(key, value)?;
    }
    let arguments = (error.code.as_str(), error.message.as_str(), context, error.cause.as_deref());
    py.import("kwaainet.errors")?.getattr("from_native")?.call1(arguments)
}
