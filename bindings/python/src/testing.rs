//! Failures on demand, for the package's own tests. Not in the wheel.

use std::collections::BTreeMap;

use kwaai_ffi::testing;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::array::{bytes, with_rows};
use crate::error::exception;
use crate::operation::Operation;
use crate::stream::Stream;

/// Raises the error with this number.
#[pyfunction]
pub(crate) fn raise_error(number: u16) -> Operation {
    Operation::new(move |cancel| testing::raise(number, cancel))
}

/// Panics.
#[pyfunction]
pub(crate) fn panic() -> Operation {
    Operation::new(testing::panic)
}

/// Never finishes.
#[pyfunction]
pub(crate) fn hang() -> Operation {
    Operation::new(testing::hang)
}

/// A stream of numbers.
#[pyfunction]
pub(crate) fn numbers(count: u32, capacity: usize, open: bool) -> Stream {
    Stream::new(testing::numbers(count, capacity, open))
}

/// The objects that are alive, by kind.
#[pyfunction]
pub(crate) fn live_handles() -> BTreeMap<&'static str, usize> {
    testing::live_handles()
}

/// The length of each row of a two-dimensional array, as 32-bit floats.
#[pyfunction]
pub(crate) fn norms<'py>(py: Python<'py>, array: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let norms = with_rows(array, testing::norms)?.map_err(|error| exception(py, &error))?;
    bytes(py, &norms)
}

/// The DID of the identity that a seed gives.
#[pyfunction]
pub(crate) fn seed_did(py: Python<'_>, seed: u64) -> PyResult<String> {
    testing::seed_did(seed).map_err(|error| exception(py, &error))
}

/// The signature of that identity.
#[pyfunction]
pub(crate) fn seed_sign(seed: u64, message: Vec<u8>) -> Operation {
    Operation::new(move |cancel| testing::seed_sign(seed, message, cancel))
}
