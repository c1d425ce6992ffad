//! Log records, fetched by a thread of Python.
//!
//! The library's own thread for log records must not enter the interpreter. It puts them into a short queue and waits
//! when that is full; what comes meanwhile is counted and dropped before it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use kwaai_ffi::{LogRecord, LogSink};
use pyo3::prelude::*;

use crate::delivery::wait;
use crate::error::exception;
use crate::reply::object;

const QUEUE: usize = 256;

/// Log records that wait for Python.
#[pyclass(frozen, module = "kwaainet._native")]
pub(crate) struct LogQueue {
    records: Mutex<Receiver<LogRecord>>,
    closed: AtomicBool,
}

struct Forward(SyncSender<LogRecord>);

impl LogSink for Forward {
    fn log(&self, record: LogRecord) {
        // Without a reader there is no sink.
        drop(self.0.send(record));
    }
}

/// Begins to log; the queue must be read.
#[pyfunction]
pub(crate) fn init_logging(py: Python<'_>, filter: &str) -> PyResult<LogQueue> {
    let (sender, records) = sync_channel(QUEUE);
    kwaai_ffi::init_logging(filter, Arc::new(Forward(sender))).map_err(|error| exception(py, &error))?;
    Ok(LogQueue { records: Mutex::new(records), closed: AtomicBool::new(false) })
}

#[pymethods]
impl LogQueue {
    /// Blocks until there are records; none means the end.
    fn next_batch<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let batch = wait(py, |limit| {
            let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
            match records.recv_timeout(limit) {
                Ok(first) => Some(std::iter::once(first).chain(records.try_iter()).take(QUEUE).collect()),
                Err(RecvTimeoutError::Timeout) if !self.closed.load(Ordering::Acquire) => None,
                Err(_) => Some(Vec::new()),
            }
        })?;
        batch
            .iter()
            .map(|record| {
                let record = kwaai_ffi::to_json(record).map_err(|error| exception(py, &error))?;
                object(py, &record)
            })
            .collect()
    }

    /// Lets the reader come to its end once nothing is left.
    fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}
