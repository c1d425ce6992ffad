//! The one thread that brings results into Python.
//!
//! Threads of the runtime never touch the interpreter: they would wait for its lock, and at the interpreter's end such a
//! wait hangs or kills the process. They hand results to this thread, which is joined before the interpreter ends.
//!
//! Its state is only touched while the interpreter lock is held, so `os.fork` never catches the mutex locked.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kwaai_ffi::{KwaaiError, rt};
use pyo3::prelude::*;

use crate::error::exception;
use crate::reply::Reply;

/// How long the end of the interpreter waits for work that cannot be interrupted.
const GRACE: Duration = Duration::from_secs(5);

type Errand = Box<dyn FnOnce(Python<'_>) -> PyResult<()> + Send>;

pub(crate) type Outcome = Result<Box<dyn Reply>, KwaaiError>;

enum Job {
    /// Call `callback(value, error)`.
    Deliver {
        callback: Py<PyAny>,
        outcome: Outcome,
    },
    /// Do something with the interpreter at hand.
    Run(Errand),
    Stop,
}

struct Delivery {
    jobs: Sender<Job>,
    thread: JoinHandle<()>,
    /// The process that has the thread; a forked child starts one of its own.
    process: u32,
}

static DELIVERY: Mutex<Option<Delivery>> = Mutex::new(None);

/// Python threads that wait for a result without the interpreter lock.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Where results go.
#[derive(Clone)]
pub(crate) struct Mailbox(Sender<Job>);

impl Mailbox {
    /// The mailbox of this process; its thread is started at the first use.
    pub(crate) fn open(_attached: Python<'_>) -> PyResult<Mailbox> {
        let mut delivery = DELIVERY.lock().unwrap_or_else(PoisonError::into_inner);
        let process = std::process::id();
        if let Some(ours) = delivery.as_ref().filter(|delivery| delivery.process == process) {
            return Ok(Mailbox(ours.jobs.clone()));
        }
        let (jobs, inbox) = channel();
        let thread = std::thread::Builder::new().name("kwaainet-python".into()).spawn(move || serve(&inbox))?;
        let parents = delivery.replace(Delivery { jobs: jobs.clone(), thread, process });
        // The parent's thread does not exist here, and what its queue holds is the parent's.
        std::mem::forget(parents);
        Ok(Mailbox(jobs))
    }

    /// Brings the outcome to `callback(value, error)`. Never blocks.
    pub(crate) fn post(&self, callback: Py<PyAny>, outcome: Outcome) {
        // After the end of the interpreter nobody is interested.
        drop(self.0.send(Job::Deliver { callback, outcome }));
    }

    /// Does something with the interpreter at hand, soon. Never blocks. After the end of the interpreter the errand is
    /// dropped undone.
    pub(crate) fn run(&self, errand: impl FnOnce(Python<'_>) -> PyResult<()> + Send + 'static) {
        drop(self.0.send(Job::Run(Box::new(errand))));
    }
}

fn serve(inbox: &Receiver<Job>) {
    while let Ok(first) = inbox.recv() {
        let served = Python::try_attach(|py| {
            // What else has arrived is served under the same lock.
            std::iter::once(first).chain(inbox.try_iter()).all(|job| deliver(py, job))
        });
        if served != Some(true) {
            return;
        }
    }
}

fn deliver(py: Python<'_>, job: Job) -> bool {
    let (callback, outcome) = match job {
        Job::Deliver { callback, outcome } => (callback, outcome),
        Job::Run(errand) => {
            if let Err(error) = errand(py) {
                error.write_unraisable(py, None);
            }
            return true;
        }
        Job::Stop => return false,
    };
    let value = outcome.map_err(|error| exception(py, &error)).and_then(|reply| reply.into_python(py));
    let result = match value {
        Ok(value) => callback.call1(py, (value, py.None())),
        Err(error) => callback.call1(py, (py.None(), error.into_value(py))),
    };
    if let Err(error) = result {
        error.write_unraisable(py, Some(callback.bind(py)));
    }
    true
}

/// Blocks without the interpreter lock until `receive` has an answer, waking up now and then to let Python handle
/// signals.
pub(crate) fn wait<T: Send>(py: Python<'_>, mut receive: impl FnMut(Duration) -> Option<T> + Send) -> PyResult<T> {
    /// How long Ctrl-C may go unnoticed.
    const TICK: Duration = Duration::from_millis(50);
    WAITING.fetch_add(1, Ordering::AcqRel);
    let answer = loop {
        if let Some(answer) = py.detach(|| receive(TICK)) {
            break Ok(answer);
        }
        if let Err(interrupt) = py.check_signals() {
            break Err(interrupt);
        }
    };
    WAITING.fetch_sub(1, Ordering::AcqRel);
    answer
}

/// Ends the library's threads. Called by Python's `atexit`, while the interpreter still works.
#[pyfunction]
pub(crate) fn shutdown(py: Python<'_>) {
    let delivery = DELIVERY.lock().unwrap_or_else(PoisonError::into_inner).take();
    py.detach(|| {
        rt::shutdown(GRACE);
        // A thread that comes back to a finished interpreter would be killed in the middle of Rust code.
        let deadline = Instant::now() + GRACE;
        while WAITING.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        match delivery {
            Some(ours) if ours.process == std::process::id() => {
                drop(ours.jobs.send(Job::Stop));
                drop(ours.thread.join());
            }
            parents => std::mem::forget(parents),
        }
    });
}
