//! Language models in blocks: on this machine, or spread over several peers.
//!
//! A [`ShardEngine`] loads models of the [families](Family) that it knows, from directories as Hugging Face lays them out
//! (`config.json`, safetensors, `tokenizer.json`) or from single GGUF files, serves runs of their blocks to peers, and generates, either here or over the blocks of peers. The
//! caller keeps token embedding, final normalisation and output head; only hidden states travel. A host can still infer
//! much of a text from its hidden states, which is why hosts are chosen by trust.
//!
//! The same text gives bit-identical logits whole and over any path of blocks on machines with the same [`Backend`] and the
//! same processor features, since each block is computed by the same code on the same shapes.

pub mod backend;
pub mod block;
pub mod cache;
mod calls;
pub mod chain;
mod choice;
pub mod config;
mod generate;
#[cfg(feature = "ggml")]
mod ggml;
pub mod gguf;
mod hosts;
pub mod llama;
mod model;
mod path;
pub mod plan;
mod probe;
pub mod sampler;
pub mod serve;
pub mod session;
mod sieve;
mod speech;
pub mod template;
pub mod tokens;
pub mod weights;
pub mod wire;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use libp2p::PeerId;
use tokio_util::sync::CancellationToken;

pub use backend::{Arithmetic, Backend, Compute, SpanState};
pub use chain::{HostPolicy, Patience};
pub use config::{Family, ModelConfig, RopeScaling, SlidingWindow};
pub use llama::{Ends, Llama, Span};
pub use model::{Blocks, LoadOptions, Model};
pub use plan::{Coverage, HostView, Need, Plan, PlannedHop};
pub use probe::Probed;
pub use serve::{Announcement, Load, Offer};
pub use session::ServeLimits;
pub use wire::Precision;

use crate::clock::{Clock, SystemClock};
use crate::event::{self, Stream};
use crate::llm::{ChatMessage, GenerateEvent, GenerateRequest, LanguageModel, Prompt, ToolChoice};
use crate::net::Peers;
use crate::trust::Purpose;
use crate::{Error, Result};
use calls::Format;
use chain::{Wanted, provider_key};
use choice::Chooser;
use generate::{Generation, blocking};
use hosts::Hosts;
use model::{Files, Source};
use path::Path;
use serve::{Host, INFO, ServedSpan};
use speech::Speech;

/// Where the blocks of a generation are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Route {
    /// All on this machine; the model must have been loaded whole.
    #[default]
    Local,
    /// All at peers that the policy lets this node use.
    Peers,
}

/// Language models, whole or in blocks. Clones are the same engine.
#[derive(Clone)]
pub struct ShardEngine(Arc<Inner>);

struct Inner {
    network: Option<Access>,
    host: Arc<Host>,
    clock: Arc<dyn Clock>,
    precision: Precision,
    mixed_backends: bool,
    patience: Patience,
    /// Milliseconds that each host took for one token and one block lately.
    measured: Mutex<BTreeMap<PeerId, f64>>,
    compute: Compute,
    /// Hashing gigabytes takes long, so that an id is kept while the files stay as they are.
    ids: Mutex<BTreeMap<PathBuf, (Stamp, String)>>,
    /// Serving starts and ends one at a time, so that handlers and announcements always fit the spans.
    serving: tokio::sync::Mutex<()>,
}

/// Other nodes, and which of them may compute for this one.
pub type Access = (Arc<dyn Peers>, Arc<dyn HostPolicy>);

/// Of so many hosts it is kept how fast they were.
const MAX_MEASURED: usize = 1024;

type Stamp = (String, Vec<(PathBuf, u64, SystemTime)>);

/// What an engine is made of.
#[derive(Clone)]
pub struct EngineOptions {
    /// What this node gives to its callers.
    pub limits: ServeLimits,
    /// How this node sends hidden states.
    pub precision: Precision,
    /// Whether hosts of different backends may compute one answer; not unless set, for the text could change where one takes the
    /// place of another.
    pub mixed_backends: bool,
    /// How long this node waits for its hosts.
    pub patience: Patience,
    /// Decides when a session has been idle for too long.
    pub clock: Arc<dyn Clock>,
    /// How the blocks that it serves are computed.
    pub compute: Compute,
}

impl Default for EngineOptions {
    fn default() -> EngineOptions {
        EngineOptions {
            limits: ServeLimits::default(),
            precision: Precision::default(),
            mixed_backends: false,
            patience: Patience::default(),
            clock: Arc::new(SystemClock),
            compute: Compute::default(),
        }
    }
}

impl ShardEngine {
    /// An engine without a network: models run whole, here.
    pub fn local() -> ShardEngine {
        ShardEngine::new(None, EngineOptions::default())
    }

    /// An engine over a network, using those peers that the policy lets it use.
    pub fn over(peers: Arc<dyn Peers>, policy: Arc<dyn HostPolicy>) -> ShardEngine {
        ShardEngine::new(Some((peers, policy)), EngineOptions::default())
    }

    /// An engine with options.
    pub fn new(network: Option<Access>, options: EngineOptions) -> ShardEngine {
        let policy = network.as_ref().map(|(_, policy)| policy.clone());
        ShardEngine(Arc::new(Inner {
            network,
            host: Host::new(options.limits, options.clock.clone(), policy),
            clock: options.clock,
            precision: options.precision,
            mixed_backends: options.mixed_backends,
            patience: options.patience,
            measured: Mutex::default(),
            compute: options.compute,
            ids: Mutex::default(),
            serving: tokio::sync::Mutex::default(),
        }))
    }

    /// Loads a model directory or a GGUF file: embedding, head, tokenizer, and the blocks asked for.
    ///
    /// # Errors
    /// `not_found` for a missing file, `corrupt_data` for a broken one or one that does not fit the others,
    /// `unsupported` for a model that this version cannot compute; each names the file and what to do.
    pub async fn load(&self, path: impl AsRef<FilePath>, options: impl Into<LoadOptions>) -> Result<Model> {
        let (engine, path, options) = (self.clone(), path.as_ref().to_path_buf(), options.into());
        blocking(move || Model::load(&options, &engine.files(&path)?)).await?
    }

    /// Loads a run of blocks and serves them to callers that meet the minimum tier of
    /// [`Purpose::ServeBlocks`].
    ///
    /// # Errors
    /// As [`load`](Self::load); `unsupported` without a network, `already_exists` for blocks that are served already.
    pub async fn serve(&self, path: impl AsRef<FilePath>, blocks: Range<u32>) -> Result<Offer> {
        let (peers, _) = self.network()?;
        let _one_at_a_time = self.0.serving.lock().await;
        let (engine, path) = (self.clone(), path.as_ref().to_path_buf());
        let span = blocking(move || -> Result<ServedSpan> {
            let files = engine.files(&path)?;
            let span = files.load_span(&blocks, &engine.0.compute)?;
            let backend = Some(span.backend());
            Ok(ServedSpan {
                offer: Offer { model: files.id.clone(), start: blocks.start, end: blocks.end, backend },
                hidden: files.config.hidden_size as u32,
                max_context: files.config.max_context as u32,
                cache_bytes_per_token: span.cache_bytes_per_token(),
                span,
            })
        })
        .await??;
        let offer = span.offer.clone();
        let first = self.0.host.offers().is_empty();
        self.0.host.add(span)?;
        let started = async {
            if first {
                peers.serve_unary(INFO, Purpose::Open, self.0.host.clone())?;
                peers.serve_streams(wire::PROTOCOL, Purpose::ServeBlocks, self.0.host.clone())?;
            }
            peers.announce(&provider_key(&offer.model)).await
        };
        if let Err(error) = started.await {
            self.stop(&offer.model).await?;
            return Err(error);
        }
        Ok(offer)
    }

    /// Stops serving the blocks of a model; sessions on them end.
    ///
    /// # Errors
    /// `not_found` when no block of the model is served.
    pub async fn stop_serving(&self, model: &str) -> Result<()> {
        let _one_at_a_time = self.0.serving.lock().await;
        if !self.0.host.offers().iter().any(|offer| offer.model == model) {
            return Err(Error::not_found("no block of this model is served here").with("model", model));
        }
        self.stop(model).await
    }

    async fn stop(&self, model: &str) -> Result<()> {
        let (peers, _) = self.network()?;
        if !self.0.host.remove(model) {
            peers.stop_serving(wire::PROTOCOL);
            peers.stop_serving(INFO);
        }
        peers.withdraw(&provider_key(model)).await
    }

    /// What this node serves, in the order of models and blocks.
    pub fn served(&self) -> Vec<Offer> {
        self.0.host.offers()
    }

    /// How many sessions callers have open here.
    pub fn open_sessions(&self) -> usize {
        self.0.host.open_sessions()
    }

    /// How much this node has computed for others since it began: tokens times blocks.
    pub fn served_block_tokens(&self) -> u64 {
        self.0.host.computed()
    }

    /// Which blocks of a model are up, from whom, and whom this node would not use.
    pub async fn coverage(&self, model: &Model) -> Result<Coverage> {
        let (peers, policy) = self.network()?;
        let blocks = model.config().blocks as u32;
        let mut coverage = chain::coverage(peers.as_ref(), policy.as_ref(), model.id(), blocks, &[]).await?;
        let measured = self.0.measured.lock().unwrap_or_else(PoisonError::into_inner);
        for host in &mut coverage.hosts {
            host.block_ms = measured.get(&host.peer).copied().or(host.block_ms);
        }
        Ok(coverage)
    }

    /// The path that a generation of so many tokens, the prompt included, would take now, and why.
    ///
    /// # Errors
    /// Those of [`Coverage::plan`].
    pub async fn plan(&self, model: &Model, tokens: u32) -> Result<Plan> {
        self.coverage(model).await?.plan(&self.need(model, tokens as usize))
    }

    /// Generates an answer. Dropping the stream stops the work, here and at the peers.
    ///
    /// # Errors
    /// Before the stream: `invalid_argument` for a request that cannot be, `unreachable` with the `gap` when blocks are
    /// missing. In the stream: when a host fails and nobody can take its blocks over, its failure with `peer` and `blocks`, the
    /// `gap`, and how many tokens were read and written; the text before it stays.
    pub async fn generate(
        &self,
        model: &Model,
        request: GenerateRequest,
        route: Route,
    ) -> Result<Stream<GenerateEvent>> {
        let generation = self.prepare(model, &request)?;
        let max_tokens = generation.prompt.len() + generation.max_new;
        // Every token may become an event, and none may be lost to a slow reader.
        let (events, stream) = event::channel(generation.max_new + 16);
        let cancel = events.cancellation();
        let mut path = self.path(model, route, max_tokens).await?;
        let engine = self.clone();
        tokio::spawn(async move {
            let result = tokio::select! {
                result = generation.run(&mut path, &events) => result,
                () = cancel.cancelled() => Err(Error::cancelled("the generation was cancelled")),
            };
            engine.close(path).await;
            events.finish(result);
        });
        Ok(stream)
    }

    /// Answers a conversation with the default settings.
    pub async fn chat(&self, model: &Model, messages: Vec<ChatMessage>, route: Route) -> Result<Stream<GenerateEvent>> {
        self.generate(model, GenerateRequest { messages, ..GenerateRequest::default() }, route).await
    }

    /// The logits of every token of a text: `tokens` rows of `vocab_size` values.
    pub async fn logits(&self, model: &Model, tokens: &[u32], route: Route) -> Result<Vec<Vec<f32>>> {
        if tokens.is_empty() || tokens.len() > model.config().max_context {
            return Err(Error::invalid_argument(format!(
                "{} tokens, where 1 to {} fit the model",
                tokens.len(),
                model.config().max_context
            )));
        }
        let mut path = self.path(model, route, tokens.len()).await?;
        let cancel = CancellationToken::new();
        let _stop_when_dropped = cancel.clone().drop_guard();
        let result = generate::logits(model, &mut path, tokens, &cancel).await;
        self.close(path).await;
        result
    }

    /// Ends the sessions at the peers and tells the policy how the dealings went.
    async fn close(&self, path: Path) {
        let dealings = path.close().await;
        let Some((peers, policy)) = &self.0.network else { return };
        for dealing in dealings {
            if let Some((ms, blocks)) = dealing.token_ms {
                let way = peers.round_trip(dealing.peer).map_or(0.0, |way| way.as_secs_f64() * 1000.0);
                self.measured(dealing.peer, (ms - way).max(0.0) / blocks as f64);
            }
            if let Some(outcome) = dealing.outcome {
                policy.observed(dealing.peer, outcome, dealing.latency_ms).await;
            }
        }
    }

    fn measured(&self, peer: PeerId, block_ms: f64) {
        let mut measured = self.0.measured.lock().unwrap_or_else(PoisonError::into_inner);
        if measured.len() >= MAX_MEASURED && !measured.contains_key(&peer) {
            measured.pop_first();
        }
        measured.insert(peer, block_ms);
    }

    /// The model as something that continues conversations, for a knowledge base for example.
    pub fn language_model(&self, model: &Model, route: Route) -> ShardModel {
        ShardModel { engine: self.clone(), model: model.clone(), route }
    }

    fn prepare(&self, model: &Model, request: &GenerateRequest) -> Result<Generation> {
        if request.max_tokens == 0 {
            return Err(Error::invalid_argument("max_tokens is 0; at least one token is generated"));
        }
        if request.format.is_some() {
            return Err(Error::unsupported("the text of a model in blocks cannot be held to a format yet")
                .with("param", "format")
                .with_remedy("ask for the format in words, and check what comes"));
        }
        let format = self.call_format(model, request)?;
        let prompt = self.prompt(model, request)?;
        let context = model.config().max_context;
        if prompt.is_empty() {
            return Err(Error::invalid_argument("the prompt has no tokens"));
        }
        if prompt.len() >= context {
            return Err(Error::invalid_argument(format!(
                "the prompt has {} tokens; with the answer, {context} fit the model",
                prompt.len()
            ))
            .with("max_context", context)
            .with_remedy("shorten the conversation"));
        }
        Ok(Generation {
            max_new: (request.max_tokens as usize).min(context - prompt.len()),
            chooser: Chooser::new(model, request, &prompt)?,
            speech: Speech::new(model.tokens()?, request, format),
            prompt,
            model: model.clone(),
        })
    }

    /// The tokens to continue.
    fn prompt(&self, model: &Model, request: &GenerateRequest) -> Result<Vec<u32>> {
        match &request.prompt {
            Some(_) if !request.messages.is_empty() => {
                Err(Error::invalid_argument("there are both messages and a prompt, of which one can be continued"))
            }
            Some(Prompt::Text(text)) => model.tokens()?.encode(text, true),
            Some(Prompt::Tokens(tokens)) => Ok(tokens.clone()),
            None => {
                let prompt = model.template().render_with(&request.messages, &request.tools, self.0.clock.now())?;
                model.tokens()?.encode(&prompt.text, prompt.add_special_tokens)
            }
        }
    }

    /// How the model writes calls, if it may make any.
    fn call_format(&self, model: &Model, request: &GenerateRequest) -> Result<Option<Format>> {
        if request.tools.is_empty() {
            return Ok(None);
        }
        let unsupported = |why: &str| Error::unsupported(format!("{} {why}", model.name())).with("param", "tools");
        let format = model.template().calls().ok_or_else(|| {
            unsupported("has a chat template that describes no calls of functions, or in a way that is not known")
                .with_remedy("use a model that was trained to call functions, or leave the tools out")
        })?;
        if request.tool_choice != ToolChoice::Auto {
            return Err(unsupported("decides by itself whether it calls a function, and cannot be made to")
                .with("param", "tool_choice"));
        }
        Ok(Some(format))
    }

    async fn path(&self, model: &Model, route: Route, max_tokens: usize) -> Result<Path> {
        match route {
            Route::Local => Path::local(model, max_tokens),
            Route::Peers => self.path_over_peers(model, max_tokens).await,
        }
    }

    async fn path_over_peers(&self, model: &Model, max_tokens: usize) -> Result<Path> {
        let access = self.network()?.clone();
        let coverage = self.coverage(model).await?;
        let wanted = Wanted {
            model: model.id().to_string(),
            max_tokens: max_tokens as u32,
            size: model.config().hidden_size as u32,
            patience: self.0.patience.clone(),
        };
        Path::over(Hosts::new(access, wanted, self.need(model, max_tokens), coverage), self.precision()).await
    }

    fn need(&self, model: &Model, tokens: usize) -> Need {
        Need {
            tokens: tokens as u32,
            cache_bytes_per_token: model.config().cache_bytes_per_token() as u64,
            mixed_backends: self.0.mixed_backends,
        }
    }

    fn precision(&self) -> Precision {
        self.0.precision
    }

    fn network(&self) -> Result<&Access> {
        self.0.network.as_ref().ok_or_else(|| {
            Error::unsupported("this engine was opened without a network").with_remedy("use the engine of a node")
        })
    }

    /// Reads the headers of a model and finds its id; blocks the thread.
    fn files(&self, path: &FilePath) -> Result<Files> {
        let source = Source::open(path)?;
        let config = source.config()?;
        let weights = source.weights(&config)?;
        let stamp = (config.fingerprint(), weights.stamp()?);
        let known = self.0.ids.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned();
        let id = match known {
            Some((old, id)) if old == stamp => id,
            _ => {
                let id = Files::id_of(&config, &weights.digest(&config)?);
                let mut ids = self.0.ids.lock().unwrap_or_else(PoisonError::into_inner);
                ids.insert(path.to_path_buf(), (stamp, id.clone()));
                id
            }
        };
        Ok(Files { source, config, weights, id })
    }
}

/// A model on a route, behind the trait that knowledge bases use.
#[derive(Clone)]
pub struct ShardModel {
    engine: ShardEngine,
    model: Model,
    route: Route,
}

#[async_trait]
impl LanguageModel for ShardModel {
    fn name(&self) -> String {
        self.model.id().to_string()
    }

    async fn generate(&self, request: GenerateRequest) -> Result<Stream<GenerateEvent>> {
        self.engine.generate(&self.model, request, self.route).await
    }
}
