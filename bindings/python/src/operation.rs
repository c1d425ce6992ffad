//! A call that takes time: nothing happens until it is started or waited for.

use std::future::Future;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use kwaai_ffi::{CancelToken, KwaaiError, rt};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::delivery::{Mailbox, Outcome, wait};
use crate::error::exception;
use crate::reply::Reply;

/// A call that takes time. `kwaainet._bridge` makes an awaitable of it, `kwaainet.sync` waits for it.
#[pyclass(frozen, generic, module = "kwaainet._native")]
pub(crate) struct Operation {
    work: Mutex<Option<BoxFuture<'static, Outcome>>>,
    cancel: CancelToken,
}

impl Operation {
    /// The operation that makes `call` with the token that cancels it.
    pub(crate) fn new<T, F>(call: impl FnOnce(CancelToken) -> F + Send + 'static) -> Operation
    where
        F: Future<Output = Result<T, KwaaiError>> + Send + 'static,
        T: Reply,
    {
        let cancel = CancelToken::new();
        let token = cancel.clone();
        let work = async move { call(token).await.map(|value| Box::new(value) as Box<dyn Reply>) }.boxed();
        Operation { work: Mutex::new(Some(work)), cancel }
    }

    fn take(&self) -> PyResult<BoxFuture<'static, Outcome>> {
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner).take();
        work.ok_or_else(|| PyRuntimeError::new_err("this call was made already"))
    }
}

#[pymethods]
impl Operation {
    /// Starts the call; `callback(value, error)` is called on another thread when it is done.
    fn start(&self, py: Python<'_>, callback: Py<PyAny>) -> PyResult<()> {
        let mailbox = Mailbox::open(py)?;
        let work = self.take()?;
        rt::start(async move { Ok(work.await) }, move |outcome| {
            mailbox.post(callback, outcome.and_then(std::convert::identity));
        })
        .map_err(|error| exception(py, &error))
    }

    /// Makes the call and blocks until it is done; a signal handler that raises cancels it.
    fn wait(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let work = self.take()?;
        let (sender, receiver) = sync_channel(1);
        rt::start(async move { Ok(work.await) }, move |outcome| {
            // Nobody receives any more when Ctrl-C ended the wait.
            drop(sender.send(outcome.and_then(std::convert::identity)));
        })
        .map_err(|error| exception(py, &error))?;
        let answer = wait(py, move |limit| match receiver.recv_timeout(limit) {
            Ok(outcome) => Some(Some(outcome)),
            Err(RecvTimeoutError::Disconnected) => Some(None),
            Err(RecvTimeoutError::Timeout) => None,
        });
        match answer {
            Ok(Some(Ok(reply))) => reply.into_python(py),
            Ok(Some(Err(error))) => Err(exception(py, &error)),
            Ok(None) => Err(exception(py, &rt::gone())),
            Err(interrupt) => {
                self.cancel.cancel();
                Err(interrupt)
            }
        }
    }

    /// Cancels the call.
    fn cancel(&self) {
        self.cancel.cancel();
    }
}
