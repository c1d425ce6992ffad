//! `kwaainet.HttpServer`.

use std::sync::Arc;

use kwaai_ffi::http::{Served, ServedEmbedder, ServedModel};
use pyo3::prelude::*;

use crate::error::{exception, parse};
use crate::operation::Operation;
use crate::provide::{Embedder, Writer};
use crate::rag::Rag;

#[pyclass(frozen, module = "kwaainet._native")]
pub(crate) struct HttpServer(Arc<kwaai_ffi::HttpServer>);

impl From<kwaai_ffi::HttpServer> for HttpServer {
    fn from(server: kwaai_ffi::HttpServer) -> HttpServer {
        HttpServer(Arc::new(server))
    }
}

/// A model of a server: an object, or an endpoint as JSON.
#[derive(FromPyObject)]
pub(crate) enum Model<'py> {
    Writer(PyRef<'py, Writer>),
    Endpoint(String),
}

/// An embedder of a server: an object, or the name of a BERT model.
#[derive(FromPyObject)]
pub(crate) enum Embedding<'py> {
    Own(PyRef<'py, Embedder>),
    Named(String),
}

/// What a server answers with.
pub(crate) fn served(
    py: Python<'_>,
    models: Vec<(String, Model<'_>)>,
    embedders: Vec<(String, Embedding<'_>)>,
    knowledge: Vec<(String, PyRef<'_, Rag>)>,
) -> PyResult<Served> {
    let models = models.into_iter().map(|(name, model)| {
        let model = match model {
            Model::Writer(writer) => ServedModel::Writer(writer.0.clone()),
            Model::Endpoint(endpoint) => ServedModel::Endpoint(parse(py, "endpoint", &endpoint)?),
        };
        Ok((name, model))
    });
    let embedders = embedders.into_iter().map(|(name, embedder)| match embedder {
        Embedding::Own(own) => (name, ServedEmbedder::Own(own.0.clone())),
        Embedding::Named(model) => (name, ServedEmbedder::Named(model)),
    });
    let knowledge = knowledge.into_iter().map(|(name, rag)| {
        let knowledge = rag.0.served().map_err(|error| exception(py, &error))?;
        Ok((name, knowledge))
    });
    Ok(Served {
        models: models.collect::<PyResult<_>>()?,
        embedders: embedders.collect(),
        knowledge: knowledge.collect::<PyResult<_>>()?,
    })
}

#[pymethods]
impl HttpServer {
    #[getter]
    fn address(&self) -> String {
        self.0.address()
    }

    #[getter]
    fn port(&self) -> u16 {
        self.0.port()
    }

    #[getter]
    fn base_url(&self) -> &str {
        self.0.base_url()
    }

    fn is_open(&self) -> bool {
        self.0.is_open()
    }

    fn shutdown(&self, grace_ms: Option<u64>) -> Operation {
        let server = self.0.clone();
        Operation::new(move |cancel| async move { server.shutdown(grace_ms, cancel).await })
    }
}
