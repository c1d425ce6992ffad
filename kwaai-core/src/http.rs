//! A server that speaks OpenAI's HTTP API, for programs that know no other.
//!
//! It answers `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings` and `/v1/models` as [OpenAI's reference] describes them,
//! and `/healthz` and `/metrics` beside. A knowledge base is one of the models, which answers from its documents; `/v1/knowledge` has
//! what else it does, and `/` a page for people. The server listens on loopback unless it is told otherwise, and elsewhere only with
//! a token. A page of somebody else that a browser on this machine has open is refused: by the name that it reached this machine
//! under (DNS rebinding), by its origin, and by the type of what it sends. What is asked and answered is never logged.
//!
//! [OpenAI's reference]: https://platform.openai.com/docs/api-reference

mod chat;
mod choices;
mod completions;
mod connection;
mod door;
mod embeddings;
mod fields;
mod knowledge;
mod meter;
mod page;
mod path;
mod reply;
mod route;
mod settings;
mod status;
mod wishes;

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Clock, SystemClock};
use crate::llm::{Embedder, LanguageModel};
use crate::metric::Measurement;
use crate::rag::Rag;
use crate::{Error, ErrorCode, Result};
use door::Door;
use meter::Meter;
use status::Status;

/// The port of KwaaiNet's own server.
pub const DEFAULT_PORT: u16 = 11435;
/// The port of KwaaiNet's server of a knowledge base, which [`Rag::serve`] takes.
pub const KNOWLEDGE_PORT: u16 = 9090;
/// What a knowledge base is called where nothing else was said.
pub const KNOWLEDGE_NAME: &str = "kwaainet-knowledge";

/// What a server offers, where, and to whom.
#[derive(Clone)]
pub struct HttpConfig {
    /// The address to listen on; 127.0.0.1 unless set. Any that is not loopback needs a token.
    pub host: IpAddr,
    /// The port; 11435 unless set, 9090 for [`Rag::serve`], and 0 takes any that is free.
    pub port: Option<u16>,
    /// What every request must carry as its bearer token, but for `/healthz` and the page itself. Never logged and never part of an
    /// error.
    pub token: Option<String>,
    /// Models by the names that requests call them.
    pub models: Vec<(String, Arc<dyn LanguageModel>)>,
    /// Embedders by the names that requests call them.
    pub embedders: Vec<(String, Arc<dyn Embedder>)>,
    /// Knowledge bases by their names, which are names of models too. They stay open while the server does.
    pub knowledge: Vec<(String, Rag)>,
    /// How many requests are answered at the same time, and how many uploads are taken beside them; further ones get 429. 8 unless set.
    pub max_requests: usize,
    /// The longest body of a request in bytes; longer ones get 413. 4 MiB unless set.
    pub max_body_bytes: usize,
    /// The longest document that is taken in bytes, and that may lie in memory for each request at the same time; longer ones get
    /// 413. 64 MiB unless set.
    pub max_upload_bytes: usize,
}

impl Default for HttpConfig {
    fn default() -> HttpConfig {
        HttpConfig {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: None,
            token: None,
            models: Vec::new(),
            embedders: Vec::new(),
            knowledge: Vec::new(),
            max_requests: 8,
            max_body_bytes: 4 << 20,
            max_upload_bytes: 64 << 20,
        }
    }
}

impl HttpConfig {
    /// Everything that a request can call a model.
    fn names(&self) -> impl Iterator<Item = &String> {
        let models = self.models.iter().map(|(name, _)| name);
        models.chain(self.embedders.iter().map(|(name, _)| name)).chain(self.knowledge.iter().map(|(name, _)| name))
    }
}

impl fmt::Debug for HttpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |names: Vec<&String>| names.into_iter().cloned().collect::<Vec<_>>();
        f.debug_struct("HttpConfig")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("token", &self.token.as_ref().map(|_| "***"))
            .field("models", &names(self.models.iter().map(|(name, _)| name).collect()))
            .field("embedders", &names(self.embedders.iter().map(|(name, _)| name).collect()))
            .field("knowledge", &names(self.knowledge.iter().map(|(name, _)| name).collect()))
            .field("max_requests", &self.max_requests)
            .field("max_body_bytes", &self.max_body_bytes)
            .field("max_upload_bytes", &self.max_upload_bytes)
            .finish()
    }
}

/// A server that listens, until it is shut down or its last clone is dropped.
#[derive(Clone)]
pub struct HttpServer(Arc<Running>);

pub(crate) struct Running {
    address: SocketAddr,
    /// No further request is taken.
    closing: CancellationToken,
    /// What is under way ends.
    aborted: CancellationToken,
    tasks: TaskTracker,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.closing.cancel();
        self.aborted.cancel();
    }
}

/// What a server takes from whoever it belongs to.
pub(crate) struct Backing {
    /// What the owner measures, shown at `/metrics` beside the server's own.
    pub metrics: Box<dyn Fn() -> Vec<Measurement> + Send + Sync>,
    /// What the owner shows of itself in the status; null where there is nothing.
    pub status: Box<dyn Fn() -> BoxFuture<'static, Value> + Send + Sync>,
    pub clock: Arc<dyn Clock>,
}

/// What the requests of a server share.
struct Shared {
    config: HttpConfig,
    door: Door,
    turns: Arc<Semaphore>,
    /// Apart from the others: an upload lasts as long as its line is slow.
    uploads: Arc<Semaphore>,
    meter: Arc<Meter>,
    status: Status,
    backing: Backing,
    /// Since when the models are there, in seconds.
    since: i64,
}

impl HttpServer {
    /// A server of its own, without a node.
    ///
    /// # Errors
    /// `busy` when the port is taken, `permission_denied` when the system refuses it; `invalid_argument` for an address that is
    /// not loopback without a token, a token that cannot stand in a header, or two models or knowledge bases of one name.
    pub async fn start(config: HttpConfig) -> Result<HttpServer> {
        let backing = Backing {
            metrics: Box::new(Vec::new),
            status: Box::new(|| Box::pin(std::future::ready(Value::Null))),
            clock: Arc::new(SystemClock),
        };
        HttpServer::start_for(config, backing).await
    }

    pub(crate) async fn start_for(config: HttpConfig, backing: Backing) -> Result<HttpServer> {
        check(&config)?;
        let port = config.port.unwrap_or(DEFAULT_PORT);
        let listener = TcpListener::bind((config.host, port)).await.map_err(|error| {
            let code = match error.kind() {
                std::io::ErrorKind::AddrInUse => ErrorCode::Busy,
                std::io::ErrorKind::PermissionDenied => ErrorCode::PermissionDenied,
                std::io::ErrorKind::AddrNotAvailable => ErrorCode::InvalidArgument,
                _ => ErrorCode::Io,
            };
            Error::new(code, format!("{}:{port} cannot be listened on", config.host))
                .with_source(error)
                .with_remedy("name another port, or 0 for any")
        })?;
        let address =
            listener.local_addr().map_err(|error| Error::internal("a port has no number").with_source(error))?;
        let running =
            Running { address, closing: Default::default(), aborted: Default::default(), tasks: TaskTracker::new() };
        let shared = Arc::new(Shared {
            door: Door::new(config.token.as_deref(), address),
            turns: Arc::new(Semaphore::new(config.max_requests)),
            uploads: Arc::new(Semaphore::new(config.max_requests)),
            meter: Arc::default(),
            status: Status::default(),
            since: backing.clock.now().as_second(),
            backing,
            config,
        });
        running.tasks.spawn(connection::accept(
            listener,
            shared,
            running.closing.clone(),
            running.aborted.clone(),
            running.tasks.clone(),
        ));
        Ok(HttpServer(Arc::new(running)))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// What clients take for their base address, such as `http://127.0.0.1:11435/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.0.address)
    }

    /// Whether it takes requests.
    pub fn is_open(&self) -> bool {
        !self.0.closing.is_cancelled()
    }

    /// Takes no further request, lets what is under way finish within `grace`, and ends the rest. Idempotent; returns when every
    /// connection is closed.
    pub async fn shutdown(&self, grace: Duration) {
        self.0.shutdown(grace).await;
    }

    /// Cancelled when it takes no further request.
    fn closing(&self) -> CancellationToken {
        self.0.closing.clone()
    }

    /// For the owner, who must not keep it open.
    pub(crate) fn downgrade(&self) -> std::sync::Weak<Running> {
        Arc::downgrade(&self.0)
    }
}

impl Running {
    pub(crate) async fn shutdown(&self, grace: Duration) {
        self.closing.cancel();
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_err() {
            self.aborted.cancel();
            self.tasks.wait().await;
        }
    }
}

impl fmt::Debug for HttpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpServer").field("address", &self.0.address).field("open", &self.is_open()).finish()
    }
}

fn check(config: &HttpConfig) -> Result<()> {
    match &config.token {
        Some(token) if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) => {
            return Err(Error::invalid_argument("the token is empty or has characters that no header takes")
                .with_remedy("use letters, digits and signs of ASCII, without spaces"));
        }
        None if !config.host.is_loopback() => {
            return Err(Error::invalid_argument(format!(
                "without a token, {} would answer everybody who can reach it",
                config.host
            ))
            .with_remedy("set a token, or listen on 127.0.0.1"));
        }
        _ => {}
    }
    if config.max_requests == 0 || config.max_body_bytes == 0 || config.max_upload_bytes == 0 {
        return Err(Error::invalid_argument("max_requests, max_body_bytes and max_upload_bytes are at least 1"));
    }
    let mut names = BTreeSet::new();
    for name in config.names() {
        if name.is_empty() || !names.insert(name) {
            return Err(Error::invalid_argument(format!("{name:.60?} is not the name of one model")));
        }
    }
    Ok(())
}
