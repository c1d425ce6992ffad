//! Language models in blocks: on this machine, or spread over several peers.
//!
//! A [`ShardEngine`] loads models of the [families](Family) that it knows, from directories as Hugging Face lays them out
//! (`config.json`, safetensors, `tokenizer.json`), from single GGUF files, or by their ids from a [`Hub`], serves runs of their blocks to peers, and generates, either here or over the blocks of peers. The
//! caller keeps token embedding, final normalisation and output head; only hidden states travel. A host can still infer
//! much of a text from its hidden states, which is why hosts are chosen by trust.
//!
//! The same text gives bit-identical logits whole and over any path of blocks on machines with the same [`Backend`] and the
//! same processor features, since each block is computed by the same code on the same shapes.

pub mod backend;
mod benchmark;
pub mod block;
pub mod cache;
mod calibration;
mod calls;
pub mod chain;
mod choice;
pub mod config;
mod constraint;
mod generate;
#[cfg(feature = "ggml")]
mod ggml;
pub mod gguf;
mod hosts;
pub mod llama;
mod machine;
mod model;
mod part;
mod path;
mod placement;
pub mod plan;
mod prefix_cache;
mod probe;
pub mod sampler;
mod schema;
pub mod serve;
pub mod session;
mod sieve;
mod speech;
mod standby;
pub mod template;
pub mod tokens;
pub mod weights;
pub mod wire;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use libp2p::PeerId;
use tokio_util::sync::CancellationToken;

pub use backend::{Arithmetic, Backend, Batching, Compute, SpanState};
pub use benchmark::{Benchmark, BenchmarkOptions};
pub use calibration::{CalibrateOptions, Calibration};
pub use chain::{HostPolicy, Patience};
pub use config::{Family, ModelConfig, RopeScaling, SlidingWindow};
pub use llama::{Ends, Llama, Span};
pub use model::{Blocks, LoadOptions, Model};
pub use plan::{Coverage, HostView, Need, Plan, PlannedHop};
pub use prefix_cache::PrefixCache;
pub use probe::Probed;
pub use serve::{Amount, Announcement, Load, Offer};
pub use session::ServeLimits;
pub use wire::Precision;

use crate::clock::{Clock, SystemClock};
use crate::event::{self, Stream};
use crate::llm::hub::{self, CachedModel, Choose, FetchEvent, Hub};
use crate::llm::{
    BlockHolder, BlockStatus, ChatMessage, GenerateEvent, GenerateRequest, HostWishes, LanguageModel, Prompt,
};
use crate::net::Peers;
use crate::trust::{Minimum, Purpose};
use crate::{Error, ErrorCode, Result};
use calls::Format;
use chain::{Wanted, provider_key};
use choice::Chooser;
use generate::{Generation, PREFILL, blocking};
use hosts::{Hosts, soon_enough};
use model::{Files, Source};
use part::Part;
use path::{Dealing, Path};
use prefix_cache::{KeptTexts, Kind, Text};
use serve::{Chosen, Host, INFO, ServedSpan};
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
    prefix_cache: PrefixCache,
    /// Texts at hosts; those on this machine are their model's.
    kept: Arc<KeptTexts>,
    hub: Option<Hub>,
    /// Hashing gigabytes takes long, so that an id is kept while the files stay as they are.
    ids: Mutex<BTreeMap<PathBuf, (Stamp, String)>>,
    /// Serving starts and ends one at a time, so that handlers and announcements always fit the spans.
    serving: tokio::sync::Mutex<()>,
}

/// Other nodes, and which of them may compute for this one.
pub type Access = (Arc<dyn Peers>, Arc<dyn HostPolicy>);

/// So often a host is asked again that was to have more room.
const MORE_TRIES: usize = 3;
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
    /// What stays of texts for answers that begin alike. Texts on this machine are kept by themselves, those at hosts where an answer
    /// [wishes](HostWishes::keep_tokens) it.
    pub prefix_cache: PrefixCache,
    /// Where models that are named by an id are kept and fetched from; as the environment says unless set.
    pub hub: Option<Hub>,
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
            prefix_cache: PrefixCache::default(),
            hub: None,
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
            prefix_cache: options.prefix_cache,
            kept: Arc::default(),
            hub: options.hub,
            ids: Mutex::default(),
            serving: tokio::sync::Mutex::default(),
        }))
    }

    /// Loads a model directory, a GGUF file, or a model of a hub by its [id](crate::llm::hub::ModelId): embedding, head,
    /// tokenizer, and the blocks asked for. What exists on the disk is a path, whatever else it could mean. A model that is named
    /// by its id is fetched the first time, of its weights what is asked for here, and later taken from the cache without asking
    /// the hub.
    ///
    /// # Errors
    /// `not_found` for a missing file, `corrupt_data` for a broken one or one that does not fit the others,
    /// `unsupported` for a model that this version cannot compute; each names the file and what to do. For an id those of
    /// [`Hub::fetch`] as well.
    pub async fn load(&self, path: impl AsRef<FilePath>, options: impl Into<LoadOptions>) -> Result<Model> {
        let options = options.into();
        let path = self.locate(path.as_ref(), Part::of(&options.blocks)).await?;
        let engine = self.clone();
        blocking(move || Model::load(&options, &engine.files(&path)?)).await?
    }

    /// Fetches from its hub what [`load`](Self::load) needs for these blocks of a model, and is not in the cache. Other than there, the
    /// hub is asked what the model is now. A model that is a path is there already. Must be called in a runtime of tokio.
    ///
    /// # Errors
    /// Here `invalid_argument` for what is neither a path nor an id, and `not_found` without a folder for the cache; in the stream
    /// those of [`Hub::fetch`], and those of reading the heads of the files.
    pub fn download(&self, model: impl AsRef<FilePath>, blocks: &Blocks) -> Result<Stream<FetchEvent>> {
        let path = model.as_ref();
        if path.exists() {
            let (events, stream) = event::channel(1);
            events.send(FetchEvent::Finished { path: path.to_path_buf() });
            events.finish(Ok(()));
            return Ok(stream);
        }
        self.hub()?.fetch_part(&path.to_string_lossy(), Part::of(blocks))
    }

    /// The models in the cache of the hub, whole or in part, in the order of ids.
    ///
    /// # Errors
    /// `not_found` without a folder for the cache.
    pub async fn downloaded(&self) -> Result<Vec<CachedModel>> {
        self.hub()?.models().await
    }

    /// Takes a model, or a revision of it, out of the cache of the hub, and returns how many bytes that freed. What is loaded stays
    /// loaded.
    ///
    /// # Errors
    /// Those of [`Hub::remove`]; `not_found` without a folder for the cache.
    pub async fn remove_download(&self, model: &str) -> Result<u64> {
        self.hub()?.remove(model).await
    }

    fn hub(&self) -> Result<Hub> {
        self.0.hub.clone().map_or_else(Hub::from_env, Ok)
    }

    /// Loads a run of blocks and serves them to callers that meet the minimum tier of
    /// [`Purpose::ServeBlocks`]. A run whose place is not said begins where the hosts that this node would use have blocks
    /// least, and [`rebalance`](Self::rebalance) may move it.
    ///
    /// # Errors
    /// As [`load`](Self::load); `unsupported` without a network, `already_exists` for blocks that are served already;
    /// `invalid_argument` for blocks that the model has not; `resource_exhausted` with `needed_bytes` when not even one fits.
    pub async fn serve(&self, path: impl AsRef<FilePath>, amount: impl Into<Amount>) -> Result<Offer> {
        self.network()?;
        let _one_at_a_time = self.0.serving.lock().await;
        let (blocks, chosen) = self.run_of(path.as_ref(), amount.into()).await?;
        self.serve_run(path.as_ref(), blocks, chosen).await
    }

    /// Loads a run of a model, given as for [`load`](Self::load), and offers it.
    async fn serve_run(&self, model: &FilePath, blocks: Range<u32>, chosen: Option<Chosen>) -> Result<Offer> {
        let (peers, _) = self.network()?;
        let path = self.locate(model, Some(Part { blocks: Some(blocks.clone()), ends: false }.chosen())).await?;
        let engine = self.clone();
        let span = blocking(move || -> Result<ServedSpan> {
            let files = engine.files(&path)?;
            let span = files.load_span(&blocks, &engine.0.compute)?;
            let backend = Some(span.backend());
            Ok(ServedSpan {
                offer: Offer { model: files.id.clone(), start: blocks.start, end: blocks.end, backend },
                chosen,
                ending: AtomicBool::new(false),
                blocks: files.config.blocks as u32,
                hidden: files.config.hidden_size as u32,
                max_context: files.config.max_context as u32,
                cache_bytes_per_token: span.cache_bytes_per_token(),
                span,
            })
        })
        .await??;
        let offer = span.offer.clone();
        let first = self.0.host.models().is_empty();
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

    /// Which blocks an amount comes to, and by what they were chosen.
    async fn run_of(&self, model: &FilePath, amount: Amount) -> Result<(Range<u32>, Option<Chosen>)> {
        let options = match amount {
            Amount::Run(run) => return Ok((run, None)),
            Amount::Count(_) => None,
            Amount::Fitting { memory_bytes } => Some(CalibrateOptions { memory_bytes, ..CalibrateOptions::default() }),
        };
        let files_at = self.locate(model, Some(Part::HEADS.chosen())).await?;
        let (engine, model) = (self.clone(), hub::pinned(model, &files_at));
        let (id, blocks, sized) = blocking(move || -> Result<_> {
            let files = engine.files(&files_at)?;
            let sized = options.map(|options| calibration::sized(&files, &options, &engine.0.compute)).transpose()?;
            Ok((files.id, files.config.blocks as u32, sized))
        })
        .await??;
        let (length, cache_bytes) = match (amount, sized) {
            (Amount::Count(count), _) => (count, None),
            (_, Some((count, cache_bytes))) => (count, Some(cache_bytes as usize)),
            (_, None) => return Err(Error::internal("blocks were not sized")),
        };
        if length == 0 || length > blocks {
            return Err(Error::invalid_argument(format!("{length} blocks of a model with {blocks}")));
        }
        let (usable, claimed) = self.runs(&id, blocks, None).await?;
        let start = placement::place(&placement::counts(blocks, &usable), &placement::counts(blocks, &claimed), length);
        Ok((start..start + length, Some(Chosen { model, cache_bytes })))
    }

    /// The runs of a model that hosts offer which this node would use, and those of all hosts. This node's own are among them, but
    /// for the one that is left out.
    async fn runs(&self, model: &str, blocks: u32, but: Option<&Offer>) -> Result<(Vec<Range<u32>>, Vec<Range<u32>>)> {
        let (peers, policy) = self.network()?;
        let coverage = chain::coverage(peers.as_ref(), policy.as_ref(), model, blocks, &[], None).await?;
        let offers = self.0.host.offers();
        let own = offers.iter().filter(|offer| offer.model == model && Some(*offer) != but);
        let own: Vec<Range<u32>> = own.map(|offer| offer.start..offer.end).collect();
        let spans = |usable: bool| -> Vec<Range<u32>> {
            let hosts = coverage.hosts.iter().filter(|host| host.refused.is_none() || !usable);
            hosts.flat_map(|host| host.spans.clone()).chain(own.iter().cloned()).collect()
        };
        Ok((spans(true), spans(false)))
    }

    /// Moves those served runs whose place was chosen and for which the swarm has a better one: where its rarest block is there less
    /// than three quarters as often as the same runs could have it, and no block is nowhere meanwhile. Sessions on a run may end
    /// within `grace` first. Returns what was moved, and to where.
    ///
    /// # Errors
    /// `unsupported` without a network; failures of the network, after which everything is where it was; those of loading, after
    /// which the run that was to move is no longer served.
    pub async fn rebalance(&self, grace: Duration) -> Result<Vec<(Offer, Offer)>> {
        let (peers, _) = self.network()?;
        let _one_at_a_time = self.0.serving.lock().await;
        let mut moved = Vec::new();
        let spans = self.0.host.open_spans().into_iter();
        // The weights themselves are not held on to: those of the new place may have room only where they were.
        let movable = spans.filter_map(|span| Some((span.offer.clone(), span.chosen.clone()?, span.blocks)));
        for (offer, chosen, blocks) in movable.collect::<Vec<_>>() {
            let (mut runs, _) = self.runs(&offer.model, blocks, Some(&offer)).await?;
            runs.push(offer.start..offer.end);
            // In one order at every host, so that all of them have the same arrangement in mind.
            runs.sort_by_key(|run| (run.start, run.end));
            let own = runs.iter().position(|run| *run == (offer.start..offer.end)).unwrap_or_default();
            let Some(start) = blocking(move || placement::better(blocks, &runs, own)).await? else { continue };
            let run = start..start + (offer.end - offer.start);
            if self.0.host.offers().iter().any(|other| other.model == offer.model && (other.start..other.end) == run) {
                continue;
            }
            let this = |other: &ServedSpan| other.offer == offer;
            self.0.host.drain(this, grace).await;
            if !self.0.host.remove(this) {
                peers.stop_serving(wire::PROTOCOL);
                peers.stop_serving(INFO);
            }
            match self.serve_run(&chosen.model.clone(), run, Some(chosen)).await {
                Ok(there) => moved.push((offer, there)),
                Err(error) => {
                    if !self.0.host.offers().iter().any(|other| other.model == offer.model) {
                        peers.withdraw(&provider_key(&offer.model)).await?;
                    }
                    return Err(error);
                }
            }
        }
        Ok(moved)
    }

    /// Stops serving the blocks of a model; sessions on them end.
    ///
    /// # Errors
    /// `not_found` when no block of the model is served.
    pub async fn stop_serving(&self, model: &str) -> Result<()> {
        self.drain(model, Duration::ZERO).await
    }

    /// Takes no further sessions on the blocks of a model and stops serving them when those that are open have ended, or
    /// after `grace`.
    ///
    /// # Errors
    /// `not_found` when no block of the model is served.
    pub async fn drain(&self, model: &str, grace: Duration) -> Result<()> {
        let _one_at_a_time = self.0.serving.lock().await;
        if !self.0.host.models().contains(model) {
            return Err(Error::not_found("no block of this model is served here").with("model", model));
        }
        if !grace.is_zero() {
            self.0.host.drain(|span| span.offer.model == model, grace).await;
        }
        self.stop(model).await
    }

    /// [`drain`](Self::drain) for everything that is served, which may be nothing.
    pub(crate) async fn drain_all(&self, grace: Duration) -> Result<()> {
        let _one_at_a_time = self.0.serving.lock().await;
        let models = self.0.host.models();
        if !grace.is_zero() {
            self.0.host.drain(|_| true, grace).await;
        }
        for model in models {
            self.stop(&model).await?;
        }
        Ok(())
    }

    async fn stop(&self, model: &str) -> Result<()> {
        let (peers, _) = self.network()?;
        if !self.0.host.remove(|span| span.offer.model == model) {
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
        self.coverage_for(model, None).await
    }

    async fn coverage_for(&self, model: &Model, least: Option<Minimum>) -> Result<Coverage> {
        let (peers, policy) = self.network()?;
        let blocks = model.config().blocks as u32;
        let mut coverage = chain::coverage(peers.as_ref(), policy.as_ref(), model.id(), blocks, &[], least).await?;
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
        self.plan_for(model, tokens, &HostWishes::default()).await
    }

    /// [`plan`](Self::plan) over hosts that are as an answer wishes them.
    ///
    /// # Errors
    /// As there; `unreachable` with `expected_ms` when the fastest path is slower than wished; `invalid_argument` for a time that is none.
    pub async fn plan_for(&self, model: &Model, tokens: u32, wishes: &HostWishes) -> Result<Plan> {
        wishes.check()?;
        let plan = self.coverage_for(model, wishes.min_tier).await?.plan(&self.need(model, tokens as usize))?;
        soon_enough(plan.cost_ms, wishes)?;
        Ok(plan)
    }

    /// Generates an answer. Dropping the stream stops the work, here and at the peers. Where the prompt begins as one before it did,
    /// as far as the [cache](EngineOptions::prefix_cache) has kept that, it is read from there on; the answer is the same to the bit.
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
        request.hosts.check()?;
        let (engine, prepared, wishes) = (self.clone(), model.clone(), request.hosts);
        let generation = generate::blocking(move || engine.prepare(&prepared, &request)).await??;
        let max_tokens = generation.prompt.len() + generation.max_new;
        // Every token may become an event, and none may be lost to a slow reader.
        let (events, stream) = event::channel(generation.max_new + 16);
        let cancel = events.cancellation();
        let texts = self.texts(model, route, &wishes);
        let kind = Kind {
            model: model.id().to_string(),
            backend: model.backend(),
            // Here every wish is fulfilled.
            wishes: if route == Route::Peers { wishes } else { HostWishes::default() },
        };
        let paths = (route == Route::Peers).then_some(self.0.prefix_cache.texts);
        let kept = texts.as_ref().and_then(|texts| texts.take(&kind, &generation.prompt, max_tokens, paths));
        let (mut text, read) = match kept {
            Some((text, steps)) => self.taken_back(text, steps, model, (route, max_tokens, &wishes)).await?,
            None => (self.new_text(model, (route, max_tokens, &wishes), false).await?, 0),
        };
        let (engine, prompt) = (self.clone(), generation.prompt.clone());
        tokio::spawn(async move {
            let result = tokio::select! {
                result = generation.run(&mut text.path, read, &events) => result,
                () = cancel.cancelled() => Err(Error::cancelled("the generation was cancelled")),
            };
            engine.settle(&mut text.path).await;
            let failed = result.as_ref().is_err_and(|error| error.code() != ErrorCode::Cancelled);
            // An engine that nobody has any more is not kept for its texts.
            let weak = Arc::downgrade(&engine.0);
            let end = move |path: Path| async move {
                match weak.upgrade() {
                    Some(inner) => ShardEngine(inner).end(path).await,
                    None => drop(path.close().await),
                }
            };
            let gone = match texts.filter(|_| !failed) {
                Some(texts) => texts.put(&engine.0.prefix_cache, kind, (text, &prompt), end),
                None => vec![text],
            };
            // Whoever asks again when the answer is done finds what is kept of it.
            let result = result.map(|done| events.send(done));
            futures::future::join_all(gone.into_iter().map(|text| engine.end(text.path))).await;
            events.finish(result);
        });
        Ok(stream)
    }

    /// Where texts of such answers are kept, if they are.
    fn texts(&self, model: &Model, route: Route, wishes: &HostWishes) -> Option<Arc<KeptTexts>> {
        match route {
            Route::Local => Some(model.kept()),
            Route::Peers => wishes.keep_tokens.map(|_| self.0.kept.clone()),
        }
    }

    /// A kept text as it was after so many steps, or a new one where that is no more to be had; and how many tokens it has read.
    async fn taken_back(
        &self,
        mut text: Text,
        steps: usize,
        model: &Model,
        (route, max_tokens, wishes): (Route, usize, &HostWishes),
    ) -> Result<(Text, usize)> {
        match text.path.take_back(steps).await {
            Ok(()) => Ok((text, steps * PREFILL)),
            Err(error) => {
                tracing::debug!(code = %error.code(), "a text that was kept is of no use any more");
                // Before another session is opened: the hosts may have the room for one.
                self.end(text.path).await;
                Ok((self.new_text(model, (route, max_tokens, wishes), true).await?, 0))
            }
        }
    }

    /// A new text, if need be in the room of those that are kept. Hosts that were just told of an end, as the caller says of some, may
    /// take a moment to hear it.
    async fn new_text(
        &self,
        model: &Model,
        (route, max_tokens, wishes): (Route, usize, &HostWishes),
        mut ended: bool,
    ) -> Result<Text> {
        for _ in 0..MORE_TRIES {
            let full = match self.text(model, route, max_tokens, wishes).await {
                Err(full) if matches!(full.code(), ErrorCode::ResourceExhausted | ErrorCode::Busy) => full,
                text => return text,
            };
            let kept = if route == Route::Peers { self.0.kept.clear() } else { Vec::new() };
            match kept.is_empty() {
                true if !ended => return Err(full),
                true => tokio::time::sleep(chain::retry_after(&full)).await,
                false => ended = true,
            }
            futures::future::join_all(kept.into_iter().map(|text| self.end(text.path))).await;
        }
        self.text(model, route, max_tokens, wishes).await
    }

    /// A new text.
    async fn text(&self, model: &Model, route: Route, max_tokens: usize, wishes: &HostWishes) -> Result<Text> {
        let context = model.config().max_context;
        let room = match route {
            // Memory is taken as the text grows.
            Route::Local => context,
            Route::Peers => wishes.keep_tokens.map_or(0, |tokens| tokens as usize).min(context).max(max_tokens),
        };
        Ok(Text::new(self.path(model, route, room, wishes).await?, room))
    }

    /// [`reset_prefix_cache`](Self::reset_prefix_cache), after which nothing is kept at hosts any more.
    pub(crate) async fn close_prefix_cache(&self) {
        self.0.kept.close();
        self.reset_prefix_cache().await;
    }

    /// Ends the sessions that are kept at hosts for answers that may follow.
    pub async fn reset_prefix_cache(&self) {
        futures::future::join_all(self.0.kept.clear().into_iter().map(|text| self.end(text.path))).await;
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
        let mut path = self.path(model, route, tokens.len(), &HostWishes::default()).await?;
        let cancel = CancellationToken::new();
        let _stop_when_dropped = cancel.clone().drop_guard();
        let result = generate::logits(model, &mut path, tokens, &cancel).await;
        self.close(path).await;
        result
    }

    /// Tells the policy how the dealings went, and ends the sessions at the peers.
    async fn close(&self, mut path: Path) {
        self.settle(&mut path).await;
        self.end(path).await;
    }

    /// Ends the sessions of a path whose dealings were told.
    async fn end(&self, path: Path) {
        let dealings = path.close().await;
        self.tell(dealings).await;
    }

    /// Tells the policy how the dealings went.
    async fn settle(&self, path: &mut Path) {
        self.tell(path.settle()).await;
    }

    async fn tell(&self, dealings: Vec<Dealing>) {
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
        let calls = self.call_format(model, request)?;
        let forced = match calls {
            Some(calls) => {
                calls.forced(&request.tools, &request.tool_choice).map_err(|error| error.with("param", "tools"))?
            }
            None => None,
        };
        if forced.is_some() && request.format.is_some() {
            return Err(Error::invalid_argument("an answer that has to be a call can have no other format")
                .with("param", "format"));
        }
        let format = forced.as_ref().or(request.format.as_ref());
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
        let chooser = Chooser::new(model, request, &prompt, format).map_err(|error| {
            let of_call = forced.is_some() && error.context().get("param").is_some_and(|param| param == "format");
            if of_call { error.with("param", "tools") } else { error }
        })?;
        Ok(Generation {
            max_new: (request.max_tokens as usize).min(context - prompt.len()),
            chooser,
            speech: Speech::new(model.tokens()?, request, calls),
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
        Ok(Some(format))
    }

    async fn path(&self, model: &Model, route: Route, max_tokens: usize, wishes: &HostWishes) -> Result<Path> {
        match route {
            Route::Local => Path::local(model, max_tokens),
            Route::Peers => self.path_over_peers(model, max_tokens, wishes).await,
        }
    }

    async fn path_over_peers(&self, model: &Model, max_tokens: usize, wishes: &HostWishes) -> Result<Path> {
        let access = self.network()?.clone();
        let coverage = self.coverage_for(model, wishes.min_tier).await?;
        let wanted = Wanted {
            model: model.id().to_string(),
            max_tokens: max_tokens as u32,
            size: model.config().hidden_size as u32,
            patience: self.0.patience.clone(),
            wishes: *wishes,
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

    /// The path of a model, with what was chosen of it, or all of it, there.
    async fn locate(&self, model: &FilePath, choose: Option<Arc<dyn Choose>>) -> Result<PathBuf> {
        hub::locate(self.0.hub.as_ref(), model, choose).await
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

    async fn blocks(&self) -> Result<Option<BlockStatus>> {
        if self.route == Route::Local {
            let counts = vec![1; self.model.config().blocks];
            return Ok(Some(BlockStatus { counts, here: true, hosts: Vec::new() }));
        }
        let coverage = self.engine.coverage(&self.model).await?;
        let counts = coverage.counts();
        let hosts = coverage.hosts.into_iter().flat_map(|host| {
            let holder = BlockHolder {
                peer: host.peer.to_string(),
                start_block: 0,
                end_block: 0,
                refused: host.refused.map(|error| error.message().to_owned()),
                round_trip_ms: host.round_trip_ms,
                block_ms: host.block_ms,
                waiting: host.waiting,
            };
            let spans = host.spans.into_iter();
            spans.map(move |span| BlockHolder { start_block: span.start, end_block: span.end, ..holder.clone() })
        });
        Ok(Some(BlockStatus { counts, here: false, hosts: hosts.collect() }))
    }
}
