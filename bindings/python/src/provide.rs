//! What an app brings, written in Python.
//!
//! The library calls foreign code on threads of its runtime, which never enter the interpreter. The call goes through
//! the [`Mailbox`] instead: its thread hands an [`Answer`] to the package's own Python code, which begins the app's work
//! elsewhere, on an event loop or on a thread, and returns at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use kwaai_ffi::provide::{self, ForeignEmbedder, ForeignModel, ForeignReader, ForeignSigner, Pieces, Supplies};
use kwaai_ffi::{ErrorCode, KwaaiError, rt};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::array::vectors;
use crate::delivery::Mailbox;
use crate::error::{exception, invalid, parse, wrong_answer};
use crate::reply::object;
use crate::shard::{Model, ShardEngine};

/// An embedder of the app.
#[pyclass(frozen, module = "kwaainet._native")]
pub(crate) struct Embedder(pub(crate) provide::Embedder);

/// What writes the answers of a knowledge base: a language model of the app, or a model of a shard engine.
#[pyclass(frozen, module = "kwaainet._native")]
pub(crate) struct Writer(pub(crate) provide::Writer);

/// A document reader of the app.
#[pyclass(frozen, module = "kwaainet._native")]
pub(crate) struct Reader(provide::Reader);

/// A signer of the app.
#[pyclass(frozen, module = "kwaainet._native")]
pub(crate) struct Signer(pub(crate) provide::Signer);

/// What the app brings to a knowledge base.
pub(crate) fn supplies(
    embedder: Option<&Embedder>,
    writer: Option<&Writer>,
    readers: &[PyRef<'_, Reader>],
) -> Supplies {
    Supplies {
        embedder: embedder.map(|embedder| embedder.0.clone()),
        writer: writer.map(|writer| writer.0.clone()),
        readers: readers.iter().map(|reader| reader.0.clone()).collect(),
    }
}

#[pymethods]
impl Embedder {
    /// `begin(answer, texts, query)` begins the work.
    #[new]
    fn new(py: Python<'_>, id: String, dimension: u32, deadline_ms: Option<u64>, begin: Py<PyAny>) -> PyResult<Self> {
        let code = EmbedderCode { code: Code::new(py, begin)?, dimension: dimension as usize };
        provide::Embedder::foreign(id, dimension, deadline_ms, Arc::new(code))
            .map(Embedder)
            .map_err(|error| exception(py, &error))
    }
}

#[pymethods]
impl Writer {
    /// `begin(answer, request)` begins the work.
    #[new]
    fn new(py: Python<'_>, name: String, deadline_ms: Option<u64>, begin: Py<PyAny>) -> PyResult<Self> {
        let code = Arc::new(Code::new(py, begin)?);
        provide::Writer::foreign(name, deadline_ms, code).map(Writer).map_err(|error| exception(py, &error))
    }

    #[staticmethod]
    fn of_model(py: Python<'_>, engine: &ShardEngine, model: &Model, route: Option<String>) -> PyResult<Self> {
        engine.0.writer(&model.0, route).map(Writer).map_err(|error| exception(py, &error))
    }
}

#[pymethods]
impl Reader {
    /// `begin(answer, name, bytes)` begins the work.
    #[new]
    fn new(py: Python<'_>, extensions: Vec<String>, deadline_ms: Option<u64>, begin: Py<PyAny>) -> PyResult<Self> {
        let code = Arc::new(Code::new(py, begin)?);
        provide::Reader::foreign(extensions, deadline_ms, code).map(Reader).map_err(|error| exception(py, &error))
    }
}

#[pymethods]
impl Signer {
    /// `begin(answer, message)` begins the work.
    #[new]
    fn new(py: Python<'_>, did: String, deadline_ms: Option<u64>, begin: Py<PyAny>) -> PyResult<Self> {
        let code = Arc::new(Code::new(py, begin)?);
        provide::Signer::foreign(did, deadline_ms, code).map(Signer).map_err(|error| exception(py, &error))
    }
}

/// A Python function that begins work for the library.
struct Code(Arc<Held>);

/// It is let go where the interpreter is at hand, whichever thread forgets it.
struct Held {
    function: Option<Py<PyAny>>,
    mailbox: Mailbox,
}

impl Drop for Held {
    fn drop(&mut self) {
        let function = self.function.take();
        self.mailbox.run(move |_| {
            drop(function);
            Ok(())
        });
    }
}

impl Code {
    fn new(py: Python<'_>, function: Py<PyAny>) -> PyResult<Code> {
        Ok(Code(Arc::new(Held { function: Some(function), mailbox: Mailbox::open(py)? })))
    }

    /// Calls the function with the answer that it owes. An answer that is dropped on the way fails the call.
    fn begin(
        &self,
        owed: Owed,
        arguments: impl for<'py> FnOnce(Python<'py>) -> PyResult<Bound<'py, PyTuple>> + Send + 'static,
    ) {
        let (held, mailbox) = (self.0.clone(), self.0.mailbox.clone());
        let answer = Answer { unwanted: Mutex::new(Some(owed.unwanted())), owed: Mutex::new(Some(owed)), mailbox };
        self.0.mailbox.run(move |py| {
            let Some(function) = held.function.as_ref() else { return Ok(()) };
            let answer = Py::new(py, answer)?.into_bound(py).into_any();
            let all: Vec<_> = std::iter::once(answer).chain(arguments(py)?.iter()).collect();
            function.call1(py, PyTuple::new(py, all)?).map(drop)
        });
    }
}

struct EmbedderCode {
    code: Code,
    dimension: usize,
}

impl ForeignEmbedder for EmbedderCode {
    fn embed(&self, texts: Vec<String>, query: bool, answer: provide::Answer<Vec<f32>>) {
        let owed = Owed::Vectors { answer, columns: self.dimension };
        self.code.begin(owed, move |py| (texts, query).into_pyobject(py));
    }
}

impl ForeignModel for Code {
    fn generate(&self, request: provide::GenerateRequest, pieces: Pieces) {
        self.begin(Owed::Pieces(pieces), move |py| {
            let request = kwaai_ffi::to_json(&request).map_err(|error| exception(py, &error))?;
            (object(py, &request)?,).into_pyobject(py)
        });
    }
}

impl ForeignReader for Code {
    fn read(&self, name: String, bytes: Vec<u8>, answer: provide::Answer<Vec<(Option<String>, String)>>) {
        self.begin(Owed::Parts(answer), move |py| (name, PyBytes::new(py, &bytes)).into_pyobject(py));
    }
}

impl ForeignSigner for Code {
    fn sign(&self, message: Vec<u8>, answer: provide::Answer<Vec<u8>>) {
        self.begin(Owed::Signature(answer), move |py| (PyBytes::new(py, &message),).into_pyobject(py));
    }
}

/// What the app's code owes the library. Forgotten unanswered, it fails the call.
#[pyclass(frozen, module = "kwaainet._native")]
pub(crate) struct Answer {
    owed: Mutex<Option<Owed>>,
    unwanted: Mutex<Option<BoxFuture<'static, ()>>>,
    mailbox: Mailbox,
}

enum Owed {
    Vectors { answer: provide::Answer<Vec<f32>>, columns: usize },
    Parts(provide::Answer<Vec<(Option<String>, String)>>),
    Signature(provide::Answer<Vec<u8>>),
    Pieces(Pieces),
}

impl Owed {
    fn unwanted(&self) -> BoxFuture<'static, ()> {
        match self {
            Owed::Vectors { answer, .. } => answer.unwanted(),
            Owed::Parts(answer) => answer.unwanted(),
            Owed::Signature(answer) => answer.unwanted(),
            Owed::Pieces(pieces) => pieces.unwanted(),
        }
    }
}

impl Answer {
    fn owed(&self) -> MutexGuard<'_, Option<Owed>> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Answer {
    /// Gives vectors, parts of a document, or a signature. Raises for what is none of these, and then still owes it.
    fn give(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let columns = match &*self.owed() {
            Some(Owed::Vectors { columns, .. }) => Some(*columns),
            _ => None,
        };
        // Converting may run Python code, which may come here again: the lock is not held meanwhile.
        let vectors = columns.map(|columns| vectors(value, columns)).transpose()?;
        let mut owed = self.owed();
        match (&*owed, vectors) {
            (Some(Owed::Vectors { .. }), Some(vectors)) => {
                if let Some(Owed::Vectors { answer, .. }) = owed.take() {
                    answer.give(vectors);
                }
            }
            (Some(Owed::Parts(_)), _) => {
                let parts = value.extract::<Vec<(Option<String>, String)>>();
                let wanted = "the document reader must give a text or its parts, each a text or a label and a text";
                let parts = parts.map_err(|_| wrong_answer(wanted, value))?;
                if let Some(Owed::Parts(answer)) = owed.take() {
                    answer.give(parts);
                }
            }
            (Some(Owed::Signature(_)), _) => {
                let signature = value.extract::<Vec<u8>>();
                let signature = signature.map_err(|_| wrong_answer("the signer must give 64 bytes", value))?;
                if let Some(Owed::Signature(answer)) = owed.take() {
                    answer.give(signature);
                }
            }
            _ => return Err(answered()),
        }
        Ok(())
    }

    /// Writes a piece of a language model's answer; false when nobody reads any more.
    fn write(&self, text: String) -> PyResult<bool> {
        match &mut *self.owed() {
            Some(Owed::Pieces(pieces)) => Ok(pieces.write(text)),
            _ => Err(answered()),
        }
    }

    /// Ends a language model's answer: `stop` or `length`, and the tokens read and written where they are known.
    fn finish(&self, py: Python<'_>, reason: &str, usage: Option<(u32, u32, u32)>) -> PyResult<()> {
        let reason = parse(py, "finish_reason", &serde_json::Value::from(reason).to_string())?;
        let usage = usage.map(|(prompt_tokens, completion_tokens, cached_tokens)| provide::Usage {
            prompt_tokens,
            completion_tokens,
            cached_tokens,
        });
        match self.owed().take() {
            Some(Owed::Pieces(pieces)) => pieces.finish(reason, usage),
            _ => return Err(answered()),
        }
        Ok(())
    }

    /// Says that there is no answer, and why. Does nothing when it was given.
    fn fail(&self, py: Python<'_>, code: &str, message: String, cause: Option<String>) -> PyResult<()> {
        let code = ErrorCode::ALL.iter().copied().find(|known| known.as_str() == code);
        let code = code.ok_or_else(|| invalid(py, "there is no such error code".into()))?;
        let error = KwaaiError::foreign(code, message, cause);
        match self.owed().take() {
            Some(Owed::Vectors { answer, .. }) => answer.fail(error),
            Some(Owed::Parts(answer)) => answer.fail(error),
            Some(Owed::Signature(answer)) => answer.fail(error),
            Some(Owed::Pieces(pieces)) => pieces.fail(error),
            None => {}
        }
        Ok(())
    }

    /// Calls `callback()` when nobody waits for the answer any more, or it was given. Only the first callback counts.
    fn unwanted(&self, py: Python<'_>, callback: Py<PyAny>) -> PyResult<()> {
        let unwanted = self.unwanted.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (Some(unwanted), mailbox) = (unwanted, self.mailbox.clone()) else { return Ok(()) };
        rt::start(
            async move {
                unwanted.await;
                Ok(())
            },
            move |_| mailbox.run(move |py| callback.call0(py).map(drop)),
        )
        .map_err(|error| exception(py, &error))
    }
}

fn answered() -> PyErr {
    PyRuntimeError::new_err("this answer was given already, or is of another kind")
}
