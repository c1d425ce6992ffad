//! A call that takes time: nothing happens until it is started or waited for.

use std::future::Future;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use kwaai_ffi::{CancelToken, ErrorCode, KwaaiError, rt};
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

    /// Makes the call and blocks until it is done. A call that is not done in time is cancelled, and so is one whose wait a
    /// signal handler ends. One that had succeeded just before is not lost.
    #[pyo3(signature = (limit_ms=None))]
    fn wait(&self, py: Python<'_>, limit_ms: Option<u64>) -> PyResult<Py<PyAny>> {
        let work = self.take()?;
        let limit = limit_ms.map(Duration::from_millis);
        // A limit beyond what this machine's clock can count to is none.
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        if limit_ms == Some(0) {
            self.cancel.cancel();
        }
        let (sender, receiver) = sync_channel(1);
        rt::start(async move { Ok(work.await) }, move |outcome| {
            // Nobody receives any more when Ctrl-C ended the wait.
            drop(sender.send(outcome.and_then(std::convert::identity)));
        })
        .map_err(|error| exception(py, &error))?;
        let (cancel, mut overdue) = (self.cancel.clone(), false);
        let is_overdue = &mut overdue;
        let answer = wait(py, move |tick| {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) && !*is_overdue {
                *is_overdue = true;
                cancel.cancel();
            }
            let tick = left.filter(|left| !left.is_zero()).map_or(tick, |left| left.min(tick));
            match receiver.recv_timeout(tick) {
                Ok(outcome) => Some(Some(outcome)),
                Err(RecvTimeoutError::Disconnected) => Some(None),
                Err(RecvTimeoutError::Timeout) => None,
            }
        });
        match (answer, limit.filter(|_| overdue)) {
            (Ok(Some(Err(error))), Some(limit)) if error.code == ErrorCode::Cancelled => {
                Err(exception(py, &rt::overdue(limit)))
            }
            (answer, _) => self.end(py, answer),
        }
    }

    /// Cancels the call.
    fn cancel(&self) {
        self.cancel.cancel();
    }
}

impl Operation {
    fn end(&self, py: Python<'_>, answer: PyResult<Option<Outcome>>) -> PyResult<Py<PyAny>> {
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
}
