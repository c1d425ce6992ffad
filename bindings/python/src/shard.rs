//! `kwaainet.ShardEngine` and `kwaainet.Model`.

use std::sync::Arc;

use kwaai_ffi::Matrix;
use pyo3::prelude::*;

use crate::array::bytes;
use crate::error::{exception, parse};
use crate::operation::Operation;
use crate::reply::{Count, Object, Record, Reply, object};
use crate::stream::Stream;

#[pyclass(frozen, module = "kwaainet._native")]
pub(crate) struct ShardEngine(pub(crate) Arc<kwaai_ffi::ShardEngine>);

#[pyclass(frozen, module = "kwaainet._native")]
pub(crate) struct Model(pub(crate) Arc<kwaai_ffi::Model>);

#[pymethods]
impl ShardEngine {
    #[staticmethod]
    fn open() -> Operation {
        Operation::new(|cancel| async {
            kwaai_ffi::ShardEngine::open(cancel).await.map(|engine| Object(ShardEngine(Arc::new(engine))))
        })
    }

    fn load(&self, py: Python<'_>, dir: String, blocks: &str) -> PyResult<Operation> {
        let (engine, blocks) = (self.0.clone(), parse(py, "blocks", blocks)?);
        Ok(Operation::new(move |cancel| async move {
            engine.load(dir, blocks, cancel).await.map(|model| Object(Model(Arc::new(model))))
        }))
    }

    fn download(&self, py: Python<'_>, model: String, blocks: &str) -> PyResult<Operation> {
        let (engine, blocks) = (self.0.clone(), parse(py, "blocks", blocks)?);
        Ok(Operation::new(move |cancel| async move {
            engine.download(model, blocks, cancel).await.map(|stream| Object(Stream::new(stream)))
        }))
    }

    fn downloaded(&self) -> Operation {
        let engine = self.0.clone();
        Operation::new(move |cancel| async move { engine.downloaded(cancel).await.and_then(Record::of) })
    }

    fn remove_download(&self, model: String) -> Operation {
        let engine = self.0.clone();
        Operation::new(move |cancel| async move { engine.remove_download(model, cancel).await.map(Count::of) })
    }

    fn serve(&self, dir: String, start_block: u32, end_block: u32) -> Operation {
        let engine = self.0.clone();
        Operation::new(move |cancel| async move {
            engine.serve(dir, start_block, end_block, cancel).await.and_then(Record::of)
        })
    }

    fn stop_serving(&self, model_id: String) -> Operation {
        let engine = self.0.clone();
        Operation::new(move |cancel| async move { engine.stop_serving(model_id, cancel).await })
    }

    fn served(&self) -> Operation {
        let engine = self.0.clone();
        Operation::new(move |cancel| async move { engine.served(cancel).await.and_then(Record::of) })
    }

    fn coverage(&self, model: &Model) -> Operation {
        let (engine, model) = (self.0.clone(), model.0.clone());
        Operation::new(move |cancel| async move { engine.coverage(&model, cancel).await.and_then(Record::of) })
    }

    fn calibrate(&self, py: Python<'_>, dir: String, options: &str) -> PyResult<Operation> {
        let (engine, options) = (self.0.clone(), parse(py, "", options)?);
        Ok(Operation::new(
            move |cancel| async move { engine.calibrate(dir, options, cancel).await.and_then(Record::of) },
        ))
    }

    fn benchmark(&self, py: Python<'_>, model: &Model, options: &str) -> PyResult<Operation> {
        let (engine, model, options) = (self.0.clone(), model.0.clone(), parse(py, "", options)?);
        Ok(Operation::new(
            move |cancel| async move { engine.benchmark(&model, options, cancel).await.and_then(Record::of) },
        ))
    }

    fn generate(&self, py: Python<'_>, model: &Model, request: &str, route: Option<String>) -> PyResult<Operation> {
        let (engine, model, request) = (self.0.clone(), model.0.clone(), parse(py, "", request)?);
        Ok(Operation::new(move |cancel| async move {
            engine.generate(&model, request, route, cancel).await.map(|stream| Object(Stream::new(stream)))
        }))
    }

    fn logits(&self, model: &Model, tokens: Vec<u32>, route: Option<String>) -> Operation {
        let (engine, model) = (self.0.clone(), model.0.clone());
        Operation::new(move |cancel| async move { engine.logits(&model, tokens, route, cancel).await.map(Rows) })
    }

    fn embed(&self, texts: Vec<String>, model: Option<String>, query: bool) -> Operation {
        let engine = self.0.clone();
        Operation::new(move |cancel| async move { engine.embed(texts, model, query, cancel).await.map(Rows) })
    }

    fn is_open(&self) -> bool {
        self.0.is_open()
    }

    fn shutdown(&self) {
        self.0.shutdown();
    }
}

#[pymethods]
impl Model {
    fn is_open(&self) -> bool {
        self.0.is_open()
    }

    fn info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let info = kwaai_ffi::to_json(self.0.info()).map_err(|error| exception(py, &error))?;
        object(py, &info)
    }

    fn shutdown(&self) {
        self.0.shutdown();
    }
}

/// Rows of numbers, as one buffer of 32-bit floats in this machine's byte order, with the number of rows and columns.
struct Rows(Matrix);

impl Reply for Rows {
    fn into_python(self: Box<Self>, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let (rows, columns) = (self.0.rows, self.0.columns);
        let bytes = bytes(py, &self.0.values)?;
        Ok((bytes, rows, columns).into_pyobject(py)?.into_any().unbind())
    }
}
