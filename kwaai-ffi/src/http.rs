//! OpenAI's HTTP API, served by a node or a knowledge base, as an object.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};

use kwaai_core::http::{self, HttpConfig};
use kwaai_core::{Error, node};
use serde::Deserialize;

use crate::fork::MODELS;
use crate::handle::Handle;
use crate::provide::{Embedder, Writer};
use crate::rag::{self, Endpoint};
use crate::{CancelToken, Result, rt, validate};

/// A server that answers programs which speak OpenAI's HTTP API, until it is shut down.
pub struct HttpServer {
    handle: Arc<Handle<http::HttpServer>>,
    address: SocketAddr,
    base_url: String,
}

/// Where a server listens, and to whom; what is left out is as the core has it.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpOptions {
    /// The address to listen on; 127.0.0.1 unless set. Any that is not loopback needs a token.
    pub host: Option<String>,
    /// The port; 11435 unless set, 9090 where a knowledge base is served alone, and 0 takes any that is free.
    pub port: Option<u64>,
    /// What every request must carry as its bearer token.
    pub token: Option<String>,
    /// How many requests are answered at the same time; 8 unless set.
    pub max_requests: Option<usize>,
    /// The longest body of a request in bytes; 4 MiB unless set.
    pub max_body_bytes: Option<usize>,
    /// The longest document that is taken in bytes; 64 MiB unless set.
    pub max_upload_bytes: Option<usize>,
}

impl std::fmt::Debug for HttpOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpOptions").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

/// What a server answers with, under the names that requests call it by.
#[derive(Default)]
pub struct Served {
    /// Language models.
    pub models: Vec<(String, ServedModel)>,
    /// Embedders.
    pub embedders: Vec<(String, ServedEmbedder)>,
    /// Knowledge bases, which stay open while the server does.
    pub knowledge: Vec<(String, ServedKnowledge)>,
}

/// A knowledge base of a server; [`Rag::served`](crate::Rag::served) makes it.
pub struct ServedKnowledge(pub(crate) kwaai_core::rag::Rag);

/// A language model of a server.
pub enum ServedModel {
    /// One of a shard engine, or of the app.
    Writer(Writer),
    /// One behind another endpoint.
    Endpoint(Endpoint),
}

/// An embedder of a server.
pub enum ServedEmbedder {
    /// One of the app.
    Own(Embedder),
    /// The folder or the hub id of a BERT model.
    Named(String),
}

impl HttpServer {
    pub(crate) fn new(server: http::HttpServer) -> HttpServer {
        let (address, base_url) = (server.address(), server.base_url());
        HttpServer { handle: Arc::new(Handle::new("HTTP server", server)), address, base_url }
    }

    pub(crate) fn watched(&self) -> Weak<Handle<http::HttpServer>> {
        Arc::downgrade(&self.handle)
    }

    /// Lets go of the server, which ends it.
    pub(crate) fn close(&self) {
        self.handle.close();
    }

    /// Where it listens, such as `127.0.0.1:11435`. It stays readable after the end.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The port of that address.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What clients take for their base address, such as `http://127.0.0.1:11435/v1`. It stays readable after the end.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Whether it takes requests: not shut down, its node not either, and not another process's.
    pub fn is_open(&self) -> bool {
        self.handle.get().is_ok_and(|server| server.is_open())
    }

    /// Takes no further request, lets what is under way finish within `grace_ms`, five seconds unless set, and ends the rest.
    /// Idempotent. Cancelling stops the wait, not the shutdown.
    ///
    /// # Errors
    /// `invalid_argument` for a grace of more than 49 days.
    pub async fn shutdown(&self, grace_ms: Option<u64>, cancel: CancelToken) -> Result<()> {
        let grace = grace_ms.map_or(Ok(node::DEFAULT_GRACE), |ms| validate::millis("grace_ms", ms))?;
        let server = match self.handle.get() {
            Ok(server) => server,
            // It was shut down before.
            Err(_) if self.handle.is_ours() => return Ok(()),
            Err(parents) => return Err(parents),
        };
        let ended = rt::run(&cancel, async move {
            let ending = tokio::spawn(async move { server.shutdown(grace).await });
            ending.await.map_err(|error| Error::internal("the shutdown did not finish").with_source(error))
        })
        .await;
        self.handle.close();
        ended
    }
}

impl Served {
    /// Computing needs threads that a fork loses; what the app brings, or another endpoint, is not computed here.
    pub(crate) fn claim(&self) -> Result<()> {
        let computes = self.models.iter().any(|(_, model)| matches!(model, ServedModel::Writer(_)))
            || self.embedders.iter().any(|(_, embedder)| matches!(embedder, ServedEmbedder::Named(_)));
        if computes { MODELS.claim() } else { Ok(()) }
    }

    /// Fills in what `config` answers with. Embedders that are named are fetched and loaded.
    pub(crate) async fn fill(self, mut config: HttpConfig) -> kwaai_core::Result<HttpConfig> {
        for (name, model) in self.models {
            let model = match model {
                ServedModel::Writer(writer) => writer.0,
                ServedModel::Endpoint(endpoint) => endpoint.model()?,
            };
            config.models.push((name, model));
        }
        for (name, embedder) in self.embedders {
            let embedder = match embedder {
                ServedEmbedder::Own(own) => own.0,
                ServedEmbedder::Named(model) => rag::named_embedder(&model).await?,
            };
            config.embedders.push((name, embedder));
        }
        config.knowledge.extend(self.knowledge.into_iter().map(|(name, knowledge)| (name, knowledge.0)));
        Ok(config)
    }
}

impl HttpOptions {
    pub(crate) fn into_core(self) -> Result<HttpConfig> {
        let usual = HttpConfig::default();
        let host = self.host.map_or(Ok(usual.host), |host| {
            host.trim().parse::<IpAddr>().map_err(|_| {
                Error::invalid_argument(format!("{host:.60?} is no IP address"))
                    .with_remedy("listen on 127.0.0.1, or on 0.0.0.0 for every network, with a token")
            })
        })?;
        let port = self.port.map(|port| {
            u16::try_from(port).map_err(|_| Error::invalid_argument(format!("a port is at most 65535, not {port}")))
        });
        Ok(HttpConfig {
            host,
            port: port.transpose()?,
            token: self.token,
            max_requests: self.max_requests.unwrap_or(usual.max_requests),
            max_body_bytes: self.max_body_bytes.unwrap_or(usual.max_body_bytes),
            max_upload_bytes: self.max_upload_bytes.unwrap_or(usual.max_upload_bytes),
            ..usual
        })
    }
}

/// Ends the servers of a node that is gone without a shutdown.
pub(crate) fn close_all(servers: &mut Vec<Weak<Handle<http::HttpServer>>>) {
    for server in servers.drain(..).filter_map(|server| server.upgrade()) {
        server.close();
    }
}
