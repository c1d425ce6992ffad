//! Language models, whole or in blocks, as objects.

mod download;
mod speed;

use std::ops::Range;
use std::sync::Arc;

use kwaai_core::Error;
use kwaai_core::llm::hub::{self, FetchEvent};
use kwaai_core::llm::{BertEmbedder, Embedder, GenerateEvent, GenerateRequest, Text, model_cache};
use kwaai_core::shard::{self, Blocks, Route};
use serde::{Deserialize, Serialize};

use crate::fork::MODELS;
use crate::handle::Handle;
use crate::provide::Writer;
use tokio::sync::Mutex;

use crate::{CancelToken, Matrix, Result, Stream, rt, validate};

pub use download::DownloadedModel;
pub use speed::{BenchmarkSettings, BlockCalibration, CalibrateOptions, ModelBenchmark};

/// Loads models, serves their blocks, and generates.
pub struct ShardEngine {
    handle: Handle<shard::ShardEngine>,
    /// The embedding model that was used last, and its name.
    embedder: Arc<Mutex<Option<Loaded>>>,
    /// Whether it belongs to a node, and so ends with that.
    of_node: bool,
}

/// A loaded embedding model, under the name that it was asked for by.
struct Loaded {
    name: Option<String>,
    embedder: Arc<BertEmbedder>,
}

/// A loaded model.
pub struct Model {
    handle: Handle<shard::Model>,
    info: ModelInfo,
}

/// What a model is.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct ModelInfo {
    /// The same on every machine that has the same weights.
    pub id: String,
    /// The name of its directory, for people.
    pub name: String,
    /// How many blocks it has.
    pub blocks: u32,
    /// The blocks that are held here.
    pub held_blocks: Option<Range<u32>>,
    /// The length of a hidden state.
    pub hidden_size: usize,
    /// The number of token ids.
    pub vocab_size: usize,
    /// The longest context in tokens.
    pub max_context: usize,
}

/// Blocks that this node serves.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct Offer {
    /// The model's id.
    pub model: String,
    /// The first block.
    pub start_block: u32,
    /// One past the last block.
    pub end_block: u32,
}

/// Which blocks of a model are up, and from whom.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct Coverage {
    /// How many blocks the model has.
    pub blocks: u32,
    /// For each block, how many hosts that this node would use have it.
    pub counts: Vec<u32>,
    /// Every run of blocks that a host offers, in the order of hosts and blocks.
    pub hosts: Vec<BlockHost>,
}

/// A run of blocks that a peer offers.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct BlockHost {
    /// The peer.
    pub peer: String,
    /// The first block.
    pub start_block: u32,
    /// One past the last block.
    pub end_block: u32,
    /// Whether this node uses it.
    pub usable: bool,
    /// Why not.
    pub why: Option<String>,
}

/// Which blocks to load.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockChoice {
    /// All of them: the model runs here.
    #[default]
    All,
    /// None: peers compute them.
    None,
    /// From the first up to and without the second.
    Span(u32, u32),
}

impl From<BlockChoice> for Blocks {
    fn from(choice: BlockChoice) -> Blocks {
        match choice {
            BlockChoice::All => Blocks::All,
            BlockChoice::None => Blocks::None,
            BlockChoice::Span(start, end) => Blocks::Span(start..end),
        }
    }
}

impl ShardEngine {
    /// The facet of a node.
    pub(crate) fn of_node(engine: shard::ShardEngine) -> ShardEngine {
        ShardEngine { handle: Handle::new("shard engine", engine), embedder: Arc::default(), of_node: true }
    }

    /// Lets go of the engine when its node ends.
    pub(crate) fn close(&self) {
        self.handle.close();
    }

    pub(crate) fn core(&self) -> Result<shard::ShardEngine> {
        self.handle.get()
    }

    /// An engine without a network: models run whole, here.
    pub async fn open(cancel: CancelToken) -> Result<ShardEngine> {
        let engine = rt::run(&cancel, async { Ok(shard::ShardEngine::local()) }).await?;
        Ok(ShardEngine { handle: Handle::new("shard engine", engine), embedder: Arc::default(), of_node: false })
    }

    /// Whether it can be used: not shut down, and not another process's.
    pub fn is_open(&self) -> bool {
        self.handle.is_open()
    }

    /// Loads a model from its directory, its GGUF file, or by its id from a hub.
    pub async fn load(&self, dir: String, blocks: BlockChoice, cancel: CancelToken) -> Result<Model> {
        let engine = self.handle.get()?;
        let dir = validate::path("model directory", &dir)?;
        MODELS.claim()?;
        let blocks = Blocks::from(blocks);
        rt::run(&cancel, async move { engine.load(dir, blocks).await }).await.map(Model::new)
    }

    /// Starts to fetch from its hub what [`ShardEngine::load`] needs for these blocks and is not here. The hub is asked what the model
    /// is now; one that is a path is there already.
    pub async fn download(
        &self,
        model: String,
        blocks: BlockChoice,
        cancel: CancelToken,
    ) -> Result<Stream<FetchEvent>> {
        let engine = self.handle.get()?;
        let model = validate::path("model", &model)?;
        rt::run(&cancel, async move { engine.download(model, &blocks.into()) }).await.map(Stream::new)
    }

    /// The models of a hub that are on this machine, whole or in part.
    pub async fn downloaded(&self, cancel: CancelToken) -> Result<Vec<DownloadedModel>> {
        let engine = self.handle.get()?;
        let models = rt::run(&cancel, async move { engine.downloaded().await }).await?;
        Ok(models.into_iter().map(DownloadedModel::from).collect())
    }

    /// Takes a model of a hub, or a revision of it, from this machine, and returns how many bytes that freed.
    pub async fn remove_download(&self, model: String, cancel: CancelToken) -> Result<u64> {
        let engine = self.handle.get()?;
        rt::run(&cancel, async move { engine.remove_download(&model).await }).await
    }

    /// Loads a run of blocks and serves them to peers that are trusted enough.
    pub async fn serve(&self, dir: String, start_block: u32, end_block: u32, cancel: CancelToken) -> Result<Offer> {
        let engine = self.handle.get()?;
        let dir = validate::path("model directory", &dir)?;
        MODELS.claim()?;
        rt::run(&cancel, async move { engine.serve(dir, start_block..end_block).await }).await.map(Offer::from)
    }

    /// Stops serving the blocks of a model.
    pub async fn stop_serving(&self, model_id: String, cancel: CancelToken) -> Result<()> {
        let engine = self.handle.get()?;
        rt::run(&cancel, async move { engine.stop_serving(&model_id).await }).await
    }

    /// What this node serves.
    pub async fn served(&self, cancel: CancelToken) -> Result<Vec<Offer>> {
        let engine = self.handle.get()?;
        let offers = rt::run(&cancel, async move { Ok(engine.served()) }).await?;
        Ok(offers.into_iter().map(Offer::from).collect())
    }

    /// Which blocks of a model are up, and from whom.
    pub async fn coverage(&self, model: &Model, cancel: CancelToken) -> Result<Coverage> {
        let (engine, model) = (self.handle.get()?, model.handle.get()?);
        rt::run(&cancel, async move { engine.coverage(&model).await }).await.map(Coverage::from)
    }

    /// How many blocks of a model this machine can serve, and how fast.
    pub async fn calibrate(
        &self,
        dir: String,
        options: CalibrateOptions,
        cancel: CancelToken,
    ) -> Result<BlockCalibration> {
        let engine = self.handle.get()?;
        let dir = validate::path("model directory", &dir)?;
        MODELS.claim()?;
        let options = options.into_core();
        rt::run(&cancel, async move { engine.calibrate(dir, options).await }).await.map(BlockCalibration::from)
    }

    /// How fast a model answers on the path that an answer would take now. The route is that of [`ShardEngine::generate`].
    pub async fn benchmark(
        &self,
        model: &Model,
        options: BenchmarkSettings,
        cancel: CancelToken,
    ) -> Result<ModelBenchmark> {
        let (engine, route) = (self.handle.get()?, model.route(options.route.as_deref())?);
        let (model, options) = (model.handle.get()?, options.into_core());
        rt::run(&cancel, async move { engine.benchmark(&model, options, route).await }).await.map(ModelBenchmark::from)
    }

    /// Starts a generation. `route` is `local` or `peers`; without it the model runs here when all its blocks are here.
    pub async fn generate(
        &self,
        model: &Model,
        request: GenerateRequest,
        route: Option<String>,
        cancel: CancelToken,
    ) -> Result<Stream<GenerateEvent>> {
        let (engine, route) = (self.handle.get()?, model.route(route.as_deref())?);
        let model = model.handle.get()?;
        rt::run(&cancel, async move { engine.generate(&model, request, route).await }).await.map(Stream::new)
    }

    /// The logits of every token of a text: one row for each token, as long as the vocabulary.
    pub async fn logits(
        &self,
        model: &Model,
        tokens: Vec<u32>,
        route: Option<String>,
        cancel: CancelToken,
    ) -> Result<Matrix> {
        let (engine, route) = (self.handle.get()?, model.route(route.as_deref())?);
        let model = model.handle.get()?;
        rt::run(&cancel, async move { engine.logits(&model, &tokens, route).await.map(Matrix::of) }).await
    }

    /// A unit vector for each text. `model` is the folder or the hub id of an embedding model; all-MiniLM-L6-v2 as it was
    /// fetched unless set. The last one stays loaded. Some models want something else before a question, which `query` says that
    /// the texts are, than before what is to be found.
    pub async fn embed(
        &self,
        texts: Vec<String>,
        model: Option<String>,
        query: bool,
        cancel: CancelToken,
    ) -> Result<Matrix> {
        self.handle.get()?;
        MODELS.claim()?;
        let loaded = self.embedder.clone();
        rt::run(&cancel, async move {
            let mut loaded = loaded.lock().await;
            let embedder = match &*loaded {
                Some(last) if last.name == model => last.embedder.clone(),
                _ => {
                    let folder = match &model {
                        Some(name) => hub::embedding_model(name).await?,
                        None => model_cache::find_all_minilm()?.ok_or_else(|| {
                            Error::not_found("all-MiniLM-L6-v2 has not been fetched")
                                .with_remedy("fetch it, or name the folder or hub id of an embedding model")
                        })?,
                    };
                    let embedder = Arc::new(BertEmbedder::open(folder).await?);
                    *loaded = Some(Loaded { name: model, embedder: embedder.clone() });
                    embedder
                }
            };
            drop(loaded);
            let texts = texts.into_iter().map(if query { Text::Query } else { Text::Document }).collect();
            let vectors = Matrix::of(embedder.embed(texts).await?);
            Ok(Matrix { columns: embedder.dimension(), ..vectors })
        })
        .await
    }

    /// The model as a writer of answers; the route is that of [`ShardEngine::generate`].
    pub fn writer(&self, model: &Model, route: Option<String>) -> Result<Writer> {
        let route = model.route(route.as_deref())?;
        Ok(Writer(Arc::new(self.core()?.language_model(&model.core()?, route))))
    }

    /// Lets go of the engine. That of a node stays open with the node.
    pub fn shutdown(&self) {
        if !self.of_node {
            self.close();
        }
    }
}

impl Model {
    fn new(model: shard::Model) -> Model {
        let config = model.config();
        let info = ModelInfo {
            id: model.id().to_string(),
            name: model.name().to_string(),
            blocks: u32::try_from(config.blocks).unwrap_or(u32::MAX),
            held_blocks: model.held_blocks(),
            hidden_size: config.hidden_size,
            vocab_size: config.vocab_size,
            max_context: config.max_context,
        };
        Model { handle: Handle::new("model", model), info }
    }

    /// Whether it can be used: not shut down, and not another process's.
    pub fn is_open(&self) -> bool {
        self.handle.is_open()
    }

    /// What it is.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Lets go of the weights.
    pub fn shutdown(&self) {
        self.handle.close();
    }

    pub(crate) fn core(&self) -> Result<shard::Model> {
        self.handle.get()
    }

    pub(crate) fn route(&self, name: Option<&str>) -> Result<Route> {
        match name {
            Some("local") => Ok(Route::Local),
            Some("peers") => Ok(Route::Peers),
            None if self.info.held_blocks == Some(0..self.info.blocks) => Ok(Route::Local),
            None => Ok(Route::Peers),
            Some(other) => {
                Err(Error::invalid_argument(format!("{other:.60?} is no route; routes are local and peers")).into())
            }
        }
    }
}

impl From<shard::Offer> for Offer {
    fn from(offer: shard::Offer) -> Offer {
        Offer { model: offer.model, start_block: offer.start, end_block: offer.end }
    }
}

impl From<shard::Coverage> for Coverage {
    fn from(coverage: shard::Coverage) -> Coverage {
        let counts = coverage.counts();
        let hosts = coverage.hosts.into_iter().flat_map(|host| {
            let peer = host.peer.to_string();
            let why = host.refused.map(|error| error.message().to_string());
            host.spans.into_iter().map(move |span| BlockHost {
                peer: peer.clone(),
                start_block: span.start,
                end_block: span.end,
                usable: why.is_none(),
                why: why.clone(),
            })
        });
        Coverage { blocks: coverage.blocks, counts, hosts: hosts.collect() }
    }
}
