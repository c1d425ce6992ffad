//! Failures on demand, for the package's own tests. Not in the wheel.

use std::collections::BTreeMap;

use kwaai_ffi::testing;
use pyo3::prelude::*;

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
