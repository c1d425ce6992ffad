//! `HttpServer`.

use std::sync::{Arc, Mutex, PoisonError};

use kwaai_ffi::http::{self, ServedEmbedder, ServedModel};
use napi_derive::napi;

use crate::error::{Result, parse, thrown, whole};
use crate::operation::Operation;
use crate::provide::Supplies;
use crate::rag::Rag;

/// A server that answers programs which speak OpenAI's HTTP API.
#[napi]
pub struct HttpServer(Arc<kwaai_ffi::HttpServer>);

impl From<kwaai_ffi::HttpServer> for HttpServer {
    fn from(server: kwaai_ffi::HttpServer) -> HttpServer {
        HttpServer(Arc::new(server))
    }
}

/// What a server answers with.
#[napi]
#[derive(Default)]
pub struct Served(Mutex<http::Served>);

impl Served {
    /// What was collected. It is used once.
    pub(crate) fn take(&self) -> http::Served {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn model(&self, name: String, model: ServedModel) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).models.push((name, model));
    }

    fn embedder(&self, name: String, embedder: ServedEmbedder) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).embedders.push((name, embedder));
    }
}

#[napi]
impl Served {
    #[napi(constructor)]
    #[allow(clippy::new_without_default, reason = "the constructor of JavaScript")]
    pub fn new() -> Served {
        Served::default()
    }

    /// The model or the embedder that was collected.
    #[napi]
    pub fn supplied(&self, name: String, supplies: &Supplies) {
        let supplies = supplies.take();
        if let Some(writer) = supplies.writer {
            self.model(name, ServedModel::Writer(writer));
        } else if let Some(embedder) = supplies.embedder {
            self.embedder(name, ServedEmbedder::Own(embedder));
        }
    }

    /// A model behind an endpoint.
    #[napi]
    pub fn endpoint(&self, name: String, endpoint: String) -> Result<()> {
        self.model(name, ServedModel::Endpoint(parse("endpoint", &endpoint)?));
        Ok(())
    }

    /// A knowledge base.
    #[napi]
    pub fn knowledge(&self, name: String, rag: &Rag) -> Result<()> {
        let knowledge = rag.0.served().map_err(thrown)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).knowledge.push((name, knowledge));
        Ok(())
    }

    /// The folder or the hub id of a BERT model.
    #[napi]
    pub fn bert(&self, name: String, model: String) {
        self.embedder(name, ServedEmbedder::Named(model));
    }
}

#[napi]
impl HttpServer {
    #[napi]
    pub fn address(&self) -> String {
        self.0.address()
    }

    #[napi]
    pub fn port(&self) -> u32 {
        self.0.port().into()
    }

    #[napi]
    pub fn base_url(&self) -> String {
        self.0.base_url().to_owned()
    }

    #[napi]
    pub fn shutdown(&self, grace_ms: Option<f64>) -> Operation {
        let server = self.0.clone();
        Operation::new(move |cancel| async move { server.shutdown(grace_ms.map(whole), cancel).await })
    }
}
