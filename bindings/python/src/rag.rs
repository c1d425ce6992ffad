//! `kwaainet.Rag`.

use std::sync::Arc;

use kwaai_ffi::rag::{EmbedderName, Options, SearchOptions, SyncOptions};
use pyo3::prelude::*;

use crate::error::{exception, parse};
use crate::http::HttpServer;
use crate::operation::Operation;
use crate::provide::{Embedder, Reader, Writer, supplies};
use crate::reply::{Object, Record, Reply};
use crate::stream::Stream;
use crate::vpk::VectorCollection;

#[pyclass(frozen, module = "kwaainet._native")]
pub(crate) struct Rag(pub(crate) Arc<kwaai_ffi::Rag>);

impl From<kwaai_ffi::Rag> for Rag {
    fn from(rag: kwaai_ffi::Rag) -> Rag {
        Rag(Arc::new(rag))
    }
}

#[pymethods]
impl Rag {
    #[staticmethod]
    fn open(
        py: Python<'_>,
        dir: String,
        options: &str,
        embedder: Option<&Embedder>,
        writer: Option<&Writer>,
        readers: Vec<PyRef<'_, Reader>>,
    ) -> PyResult<Operation> {
        let options: Options = parse(py, "", options)?;
        let supplies = supplies(embedder, writer, &readers);
        Ok(Operation::new(|cancel| async {
            kwaai_ffi::Rag::open(dir, options, supplies, cancel).await.map(|rag| Object(Rag::from(rag)))
        }))
    }

    fn ingest_path(&self, py: Python<'_>, path: String, options: &str) -> PyResult<Operation> {
        let (rag, options) = (self.0.clone(), parse(py, "", options)?);
        Ok(Operation::new(move |cancel| async move {
            rag.ingest_path(path, options, cancel).await.map(|stream| Object(Stream::new(stream)))
        }))
    }

    fn ingest_bytes(&self, py: Python<'_>, name: String, bytes: Vec<u8>, options: &str) -> PyResult<Operation> {
        let (rag, options) = (self.0.clone(), parse(py, "", options)?);
        Ok(Operation::new(move |cancel| async move {
            rag.ingest_bytes(name, bytes, options, cancel).await.map(|stream| Object(Stream::new(stream)))
        }))
    }

    fn sync(&self, py: Python<'_>, folder: String, options: &str) -> PyResult<Operation> {
        let (rag, options): (_, SyncOptions) = (self.0.clone(), parse(py, "", options)?);
        Ok(Operation::new(move |cancel| async move {
            rag.sync(folder, options, cancel).await.map(|stream| Object(Stream::new(stream)))
        }))
    }

    fn reembed(&self, py: Python<'_>, chosen: &str, own: Option<&Embedder>) -> PyResult<Operation> {
        let (rag, chosen): (_, Option<EmbedderName>) = (self.0.clone(), parse(py, "embedder", chosen)?);
        let supplies = supplies(own, None, &[]);
        Ok(Operation::new(move |cancel| async move {
            rag.reembed(chosen, supplies, cancel).await.map(|stream| Object(Stream::new(stream)))
        }))
    }

    fn outsource(&self, collection: &VectorCollection, texts: bool) -> Operation {
        let (rag, collection) = (self.0.clone(), collection.0.clone());
        Operation::new(move |cancel| async move {
            rag.outsource(&collection, texts, cancel).await.map(|stream| Object(Stream::new(stream)))
        })
    }

    fn search(&self, py: Python<'_>, text: String, k: usize, options: &str) -> PyResult<Operation> {
        let (rag, options): (_, SearchOptions) = (self.0.clone(), parse(py, "", options)?);
        Ok(Operation::new(move |cancel| async move { rag.search(text, k, options, cancel).await.and_then(Record::of) }))
    }

    fn ask(&self, py: Python<'_>, question: String, options: &str) -> PyResult<Operation> {
        let (rag, options) = (self.0.clone(), parse(py, "", options)?);
        Ok(Operation::new(move |cancel| async move {
            rag.ask(question, options, cancel).await.map(|stream| Object(Stream::new(stream)))
        }))
    }

    fn calibrate(&self, py: Python<'_>, questions: &str, options: &str) -> PyResult<Operation> {
        let (rag, questions, options) = (self.0.clone(), parse(py, "questions", questions)?, parse(py, "", options)?);
        Ok(Operation::new(
            move |cancel| async move { rag.calibrate(questions, options, cancel).await.and_then(Record::of) },
        ))
    }

    fn evaluate(&self, py: Python<'_>, questions: &str, options: &str, judge: Option<&Writer>) -> PyResult<Operation> {
        let (rag, questions, options) = (self.0.clone(), parse(py, "questions", questions)?, parse(py, "", options)?);
        let supplies = supplies(None, judge, &[]);
        Ok(Operation::new(move |cancel| async move {
            rag.evaluate(questions, options, supplies, cancel).await.and_then(Record::of)
        }))
    }

    fn cache_stats(&self) -> Operation {
        let rag = self.0.clone();
        Operation::new(move |cancel| async move { rag.cache_stats(cancel).await.and_then(Record::of) })
    }

    fn cache_clear(&self) -> Operation {
        let rag = self.0.clone();
        Operation::new(move |cancel| async move { rag.cache_clear(cancel).await })
    }

    fn documents(&self) -> Operation {
        let rag = self.0.clone();
        Operation::new(move |cancel| async move { rag.documents(cancel).await.and_then(Record::of) })
    }

    fn document_text(&self, id: String) -> Operation {
        let rag = self.0.clone();
        Operation::new(move |cancel| async move { rag.document_text(id, cancel).await })
    }

    fn delete_document(&self, id: String) -> Operation {
        let rag = self.0.clone();
        Operation::new(move |cancel| async move { rag.delete_document(id, cancel).await })
    }

    fn stats(&self) -> Operation {
        let rag = self.0.clone();
        Operation::new(move |cancel| async move { rag.stats(cancel).await.and_then(Record::of) })
    }

    fn id(&self) -> Operation {
        let rag = self.0.clone();
        Operation::new(move |cancel| async move { rag.id(cancel).await })
    }

    fn revoke_share(&self, capability_id: String) -> Operation {
        let rag = self.0.clone();
        Operation::new(move |cancel| async move { rag.revoke_share(capability_id, cancel).await })
    }

    fn serve(&self, py: Python<'_>, name: Option<String>, options: &str) -> PyResult<Operation> {
        let (rag, options) = (self.0.clone(), parse(py, "", options)?);
        Ok(Operation::new(move |cancel| async move {
            rag.serve(name, options, cancel).await.map(|server| Object(HttpServer::from(server)))
        }))
    }

    fn is_open(&self) -> bool {
        self.0.is_open()
    }

    fn shutdown(&self) -> Operation {
        let rag = self.0.clone();
        Operation::new(move |cancel| async move { rag.shutdown(cancel).await })
    }

    fn destroy(&self) -> Operation {
        let rag = self.0.clone();
        Operation::new(move |cancel| async move { rag.destroy(cancel).await })
    }
}

/// What is wrong with the citations of an answer.
#[pyfunction]
pub(crate) fn check_citations(py: Python<'_>, text: &str, sources: Vec<String>) -> PyResult<Py<PyAny>> {
    let faults = py.detach(|| kwaai_ffi::rag::check_citations(text, &sources));
    at_once(py, Record::of(faults))
}

/// The mean difference of each score that two evaluations have.
#[pyfunction]
pub(crate) fn compare_evaluations(py: Python<'_>, evaluation: &str, other: &str) -> PyResult<Py<PyAny>> {
    let (own, other) = (parse(py, "evaluation", evaluation)?, parse(py, "other", other)?);
    at_once(py, kwaai_ffi::rag::compare_evaluations(&own, &other).and_then(Record::of))
}

/// An evaluation for people.
#[pyfunction]
pub(crate) fn evaluation_report(
    py: Python<'_>,
    evaluation: &str,
    beside: Option<&str>,
    form: &str,
) -> PyResult<String> {
    let beside = beside.map(|beside| parse(py, "beside", beside)).transpose()?;
    let form = parse(py, "form", &format!("\"{form}\""))?;
    Ok(kwaai_ffi::rag::evaluation_report(&parse(py, "evaluation", evaluation)?, beside.as_ref(), form))
}

/// What a calibration says where a share of unsupported answers is tolerated.
#[pyfunction]
pub(crate) fn calibration_at(py: Python<'_>, calibration: &str, alpha: f64) -> PyResult<Py<PyAny>> {
    let calibration = parse(py, "calibration", calibration)?;
    at_once(py, kwaai_ffi::rag::calibration_at(&calibration, alpha).and_then(Record::of))
}

pub(crate) fn at_once(py: Python<'_>, record: kwaai_ffi::Result<Record>) -> PyResult<Py<PyAny>> {
    match record {
        Ok(record) => Box::new(record).into_python(py),
        Err(error) => Err(exception(py, &error)),
    }
}
