//! `ShardEngine` and `Model`, for Kotlin and Swift.

use std::sync::Arc;

use super::number::{maybe, whole};
use super::{Cancel, ChatOptions, NativeDownload, NativeGeneration, NativeWriter, Result, token};
use crate::shard::{
    BenchmarkSettings, BlockCalibration, BlockChoice, CalibrateOptions, Coverage, DownloadedModel, ModelBenchmark,
    ModelInfo, Offer,
};
use crate::{Matrix, Model, ShardEngine};

/// Loads models, serves their blocks, and generates.
#[derive(uniffi::Object)]
pub struct NativeShardEngine(pub(super) Arc<ShardEngine>);

/// A loaded model.
#[derive(uniffi::Object)]
pub struct NativeModel(pub(super) Arc<Model>);

/// Which blocks to load.
#[derive(Debug, uniffi::Enum)]
pub enum BlockSelection {
    /// All of them: the model runs here.
    All,
    /// None: peers compute them.
    None,
    /// From the first up to and without the last.
    Span {
        /// The first.
        start: i64,
        /// One past the last.
        end: i64,
    },
}

impl BlockSelection {
    fn choice(self) -> Result<BlockChoice> {
        Ok(match self {
            BlockSelection::All => BlockChoice::All,
            BlockSelection::None => BlockChoice::None,
            BlockSelection::Span { start, end } => {
                BlockChoice::Span(whole("start_block", start)?, whole("end_block", end)?)
            }
        })
    }
}

/// Numbers in rows and columns. They cross as one buffer of bytes: a list would box each of them.
#[derive(Debug, uniffi::Record)]
pub struct NativeMatrix {
    /// How many rows.
    pub rows: i32,
    /// How many numbers a row has.
    pub columns: i32,
    /// `rows * columns` 32-bit floats, little-endian, row by row.
    pub values: Vec<u8>,
}

impl TryFrom<Matrix> for NativeMatrix {
    type Error = crate::KwaaiError;

    fn try_from(matrix: Matrix) -> crate::Result<NativeMatrix> {
        let bytes = matrix.values.len().saturating_mul(size_of::<f32>());
        if i32::try_from(bytes).is_err() {
            let message = format!("{} rows of {} numbers are too many to be handed over", matrix.rows, matrix.columns);
            return Err(kwaai_core::Error::resource_exhausted(message).with_remedy("ask for fewer at once").into());
        }
        Ok(NativeMatrix {
            rows: i32::try_from(matrix.rows).unwrap_or(i32::MAX),
            columns: i32::try_from(matrix.columns).unwrap_or(i32::MAX),
            values: matrix.values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        })
    }
}

impl TryFrom<NativeMatrix> for Matrix {
    type Error = crate::KwaaiError;

    fn try_from(matrix: NativeMatrix) -> crate::Result<Matrix> {
        let (rows, columns) = (whole("rows", matrix.rows.into())?, whole("columns", matrix.columns.into())?);
        let (numbers, rest) = matrix.values.as_chunks();
        if !rest.is_empty() {
            return Err(kwaai_core::Error::invalid_argument("a number is cut off").into());
        }
        Matrix::new(rows, columns, numbers.iter().copied().map(f32::from_le_bytes).collect())
    }
}

#[uniffi::export]
impl NativeShardEngine {
    /// An engine without a network.
    #[uniffi::constructor]
    pub async fn open(cancel: Cancel) -> Result<Arc<NativeShardEngine>> {
        Ok(Arc::new(NativeShardEngine(Arc::new(ShardEngine::open(token(cancel)).await?))))
    }

    /// Loads a model from its directory, its GGUF file, or by its id from a hub.
    pub async fn load(&self, model: String, blocks: BlockSelection, cancel: Cancel) -> Result<Arc<NativeModel>> {
        let loaded = self.0.load(model, blocks.choice()?, token(cancel)).await?;
        Ok(Arc::new(NativeModel(Arc::new(loaded))))
    }

    /// Starts to fetch from its hub what loading these blocks needs and is not here.
    pub async fn download(&self, model: String, blocks: BlockSelection, cancel: Cancel) -> Result<Arc<NativeDownload>> {
        Ok(NativeDownload::over(self.0.download(model, blocks.choice()?, token(cancel)).await?))
    }

    /// The models of a hub that are on this machine.
    pub async fn downloaded(&self, cancel: Cancel) -> Result<Vec<DownloadedModel>> {
        Ok(self.0.downloaded(token(cancel)).await?)
    }

    /// Takes a model of a hub from this machine, and returns how many bytes that freed.
    pub async fn remove_download(&self, model: String, cancel: Cancel) -> Result<i64> {
        let freed = self.0.remove_download(model, token(cancel)).await?;
        Ok(i64::try_from(freed).unwrap_or(i64::MAX))
    }

    /// Serves a run of blocks.
    pub async fn serve(&self, model: String, start_block: i64, end_block: i64, cancel: Cancel) -> Result<Offer> {
        let (start, end) = (whole("start_block", start_block)?, whole("end_block", end_block)?);
        Ok(self.0.serve(model, start, end, token(cancel)).await?)
    }

    /// Stops serving the blocks of a model.
    pub async fn stop_serving(&self, model_id: String, cancel: Cancel) -> Result<()> {
        Ok(self.0.stop_serving(model_id, token(cancel)).await?)
    }

    /// What is served.
    pub async fn served(&self, cancel: Cancel) -> Result<Vec<Offer>> {
        Ok(self.0.served(token(cancel)).await?)
    }

    /// Which blocks of a model are up, and from whom.
    pub async fn coverage(&self, model: Arc<NativeModel>, cancel: Cancel) -> Result<Coverage> {
        Ok(self.0.coverage(&model.0, token(cancel)).await?)
    }

    /// How many blocks of a model this machine can serve, and how fast.
    pub async fn calibrate(
        &self,
        model: String,
        memory_bytes: Option<i64>,
        sessions: Option<i64>,
        tokens: Option<i64>,
        cancel: Cancel,
    ) -> Result<BlockCalibration> {
        let options = CalibrateOptions {
            memory_bytes: maybe("memory_bytes", memory_bytes)?,
            sessions: maybe("sessions", sessions)?,
            tokens: maybe("tokens", tokens)?,
        };
        Ok(self.0.calibrate(model, options, token(cancel)).await?)
    }

    /// How fast a model answers on the path that an answer would take now.
    #[allow(clippy::too_many_arguments, reason = "options are arguments where languages name them")]
    pub async fn benchmark(
        &self,
        model: Arc<NativeModel>,
        prompt_tokens: Option<i64>,
        warm_up: Option<i64>,
        steps: Option<i64>,
        sessions: Option<i64>,
        seed: Option<i64>,
        route: Option<String>,
        cancel: Cancel,
    ) -> Result<ModelBenchmark> {
        let options = BenchmarkSettings {
            prompt_tokens: maybe("prompt_tokens", prompt_tokens)?,
            warm_up: maybe("warm_up", warm_up)?,
            steps: maybe("steps", steps)?,
            sessions: maybe("sessions", sessions)?,
            seed: maybe("seed", seed)?,
            route,
        };
        Ok(self.0.benchmark(&model.0, options, token(cancel)).await?)
    }

    /// Starts a generation.
    pub async fn chat(
        &self,
        model: Arc<NativeModel>,
        options: ChatOptions,
        cancel: Cancel,
    ) -> Result<Arc<NativeGeneration>> {
        let (request, route) = options.request()?;
        Ok(NativeGeneration::over(self.0.generate(&model.0, request, route, token(cancel)).await?))
    }

    /// The logits of every token.
    pub async fn logits(
        &self,
        model: Arc<NativeModel>,
        tokens: Vec<i64>,
        route: Option<String>,
        cancel: Cancel,
    ) -> Result<NativeMatrix> {
        let tokens = tokens.into_iter().map(|token| whole("tokens", token)).collect::<crate::Result<_>>()?;
        Ok(self.0.logits(&model.0, tokens, route, token(cancel)).await?.try_into()?)
    }

    /// A unit vector for each text.
    pub async fn embed(
        &self,
        texts: Vec<String>,
        model: Option<String>,
        query: bool,
        cancel: Cancel,
    ) -> Result<NativeMatrix> {
        Ok(self.0.embed(texts, model, query, token(cancel)).await?.try_into()?)
    }

    /// The model as a writer of answers.
    pub fn writer(&self, model: Arc<NativeModel>, route: Option<String>) -> Result<Arc<NativeWriter>> {
        Ok(Arc::new(NativeWriter(self.0.writer(&model.0, route)?)))
    }

    /// Lets go of the engine.
    pub fn shutdown(&self) {
        self.0.shutdown();
    }
}

#[uniffi::export]
impl NativeModel {
    /// What it is.
    pub fn info(&self) -> ModelInfo {
        self.0.info().clone()
    }

    /// Lets go of the weights.
    pub fn shutdown(&self) {
        self.0.shutdown();
    }
}
