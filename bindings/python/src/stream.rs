//! Streams, pulled in batches.

use std::sync::Arc;

use kwaai_ffi::JsonStream;
use pyo3::prelude::*;

use crate::operation::Operation;

/// Values that come over time. `kwaainet.streams` makes iterators of it.
#[pyclass(frozen, module = "kwaainet._native")]
pub(crate) struct Stream(Arc<dyn JsonStream>);

impl Stream {
    pub(crate) fn new(stream: impl JsonStream + 'static) -> Stream {
        Stream(Arc::new(stream))
    }
}

#[pymethods]
impl Stream {
    /// Waits for the next value and takes with it what else is ready; an empty list at the end.
    fn next_batch(&self, max: usize) -> Operation {
        let stream = self.0.clone();
        Operation::new(move |cancel| stream.next_json(max, cancel))
    }

    /// Stops the work behind the stream.
    fn cancel(&self) {
        self.0.stop();
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // A read under way holds the stream too; without its Python object nobody wants what comes.
        self.0.stop();
    }
}
