//! `HttpServer`, for Kotlin and Swift.

use std::sync::Arc;

use super::number::maybe;
use super::{Cancel, EndpointOptions, NativeEmbedder, NativeRag, NativeWriter, Result, token};
use crate::HttpServer;
use crate::http::{HttpOptions, Served, ServedEmbedder, ServedModel};

/// A server that answers programs which speak OpenAI's HTTP API.
#[derive(uniffi::Object)]
pub struct NativeHttpServer(pub(super) HttpServer);

/// What a server answers with, where, and to whom; what is left out has the default of the library.
#[derive(uniffi::Record)]
pub struct ServerOptions {
    /// Models of the app or of a shard engine, by the names that requests call them.
    pub writers: Vec<NamedWriter>,
    /// Models behind endpoints.
    pub endpoints: Vec<NamedEndpoint>,
    /// Embedders of the app.
    pub own_embedders: Vec<NamedEmbedder>,
    /// BERT models.
    pub berts: Vec<NamedBert>,
    /// Knowledge bases.
    pub knowledge: Vec<NamedKnowledge>,
    /// The address to listen on.
    pub host: Option<String>,
    /// The port.
    pub port: Option<i64>,
    /// What every request must carry as its bearer token.
    pub token: Option<String>,
    /// How many requests are answered at the same time.
    pub max_requests: Option<i64>,
    /// The longest body of a request in bytes.
    pub max_body_bytes: Option<i64>,
    /// The longest document that is taken in bytes.
    pub max_upload_bytes: Option<i64>,
}

/// A knowledge base under its name.
#[derive(uniffi::Record)]
pub struct NamedKnowledge {
    /// What requests call it.
    pub name: String,
    /// The knowledge base.
    pub rag: Arc<NativeRag>,
}

/// A model under its name.
#[derive(uniffi::Record)]
pub struct NamedWriter {
    /// What requests call it.
    pub name: String,
    /// The model.
    pub writer: Arc<NativeWriter>,
}

/// A model behind an endpoint, under its name here.
#[derive(uniffi::Record)]
pub struct NamedEndpoint {
    /// What requests call it.
    pub name: String,
    /// Where it is.
    pub endpoint: EndpointOptions,
}

/// An embedder under its name.
#[derive(uniffi::Record)]
pub struct NamedEmbedder {
    /// What requests call it.
    pub name: String,
    /// The embedder.
    pub embedder: Arc<NativeEmbedder>,
}

/// A BERT model under its name.
#[derive(uniffi::Record)]
pub struct NamedBert {
    /// What requests call it.
    pub name: String,
    /// Its folder or its hub id.
    pub model: String,
}

impl ServerOptions {
    pub(super) fn into_parts(self) -> Result<(Served, HttpOptions)> {
        let writers = self.writers.into_iter().map(|named| (named.name, ServedModel::Writer(named.writer.0.clone())));
        let endpoints =
            self.endpoints.into_iter().map(|named| (named.name, ServedModel::Endpoint(named.endpoint.into())));
        let own =
            self.own_embedders.into_iter().map(|named| (named.name, ServedEmbedder::Own(named.embedder.0.clone())));
        let berts = self.berts.into_iter().map(|named| (named.name, ServedEmbedder::Named(named.model)));
        let knowledge = self.knowledge.into_iter().map(|named| Ok((named.name, named.rag.0.served()?)));
        let served = Served {
            models: writers.chain(endpoints).collect(),
            embedders: own.chain(berts).collect(),
            knowledge: knowledge.collect::<Result<_>>()?,
        };
        let options = HttpOptions {
            host: self.host,
            port: maybe("port", self.port)?,
            token: self.token,
            max_requests: maybe("max_requests", self.max_requests)?,
            max_body_bytes: maybe("max_body_bytes", self.max_body_bytes)?,
            max_upload_bytes: maybe("max_upload_bytes", self.max_upload_bytes)?,
        };
        Ok((served, options))
    }
}

#[uniffi::export]
impl NativeHttpServer {
    /// Where it listens.
    pub fn address(&self) -> String {
        self.0.address()
    }

    /// The port of that address.
    pub fn port(&self) -> i64 {
        self.0.port().into()
    }

    /// What clients take for their base address.
    pub fn base_url(&self) -> String {
        self.0.base_url().to_owned()
    }

    /// Ends it.
    pub async fn shutdown(&self, grace_ms: Option<i64>, cancel: Cancel) -> Result<()> {
        Ok(self.0.shutdown(maybe("grace_ms", grace_ms)?, token(cancel)).await?)
    }
}
