//! `kwaainet.Rag`.

use std::sync::Arc;

use kwaai_ffi::rag::{Options, SyncOptions};
use pyo3::prelude::*;

use crate::error::parse;
use crate::http::HttpServer;
use crate::operation::Operation;
use crate::provide::{Embedder, Reader, Writer, supplies};
use crate::reply::{Object, Record};
use crate::stream::Stream;

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

    fn ingest_path(&self, path: String) -> Operation {
        let rag = self.0.clone();
        Operation::new(move |cancel| async move {
            rag.ingest_path(path, cancel).await.map(|stream| Object(Stream::new(stream)))
        })
    }

    fn ingest_bytes(&self, name: String, bytes: Vec<u8>) -> Operation {
        let rag = self.0.clone();
        Operation::new(move |cancel| async move {
            rag.ingest_bytes(name, bytes, cancel).await.map(|stream| Object(Stream::new(stream)))
        })
    }

    fn sync(&self, py: Python<'_>, folder: String, options: &str) -> PyResult<Operation> {
        let (rag, options): (_, SyncOptions) = (self.0.clone(), parse(py, "", options)?);
        Ok(Operation::new(move |cancel| async move {
            rag.sync(folder, options, cancel).await.map(|stream| Object(Stream::new(stream)))
        }))
    }

    fn search(&self, py: Python<'_>, text: String, k: usize, mode: &str) -> PyResult<Operation> {
        let (rag, mode) = (self.0.clone(), parse(py, "mode", mode)?);
        Ok(Operation::new(move |cancel| async move { rag.search(text, k, mode, cancel).await.and_then(Record::of) }))
    }

    fn ask(&self, py: Python<'_>, question: String, options: &str) -> PyResult<Operation> {
        let (rag, options) = (self.0.clone(), parse(py, "", options)?);
        Ok(Operation::new(move |cancel| async move {
            rag.ask(question, options, cancel).await.map(|stream| Object(Stream::new(stream)))
        }))
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
