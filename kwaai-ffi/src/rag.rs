//! A private knowledge base, as an object. Its records are those of the core, which are plain data.

use std::sync::Arc;

use kwaai_core::Error;
use kwaai_core::http::KNOWLEDGE_NAME;
use kwaai_core::llm::{BertEmbedder, Embedder, LanguageModel, OpenAiConfig, OpenAiModel, hub, model_cache};
use kwaai_core::rag::chunk::{Chunking, Strategy};
use kwaai_core::rag::{
    self, AskEvent, AskOptions, Calibration, CalibrationQuestion, DocumentInfo, Fault, IngestEvent, Language,
    RagConfig, SearchResult, Source, Stats, SyncEvent,
};
use serde::{Deserialize, Serialize};

use crate::fork::MODELS;
use crate::handle::Handle;
use crate::http::{HttpOptions, ServedKnowledge};
use crate::provide::Supplies;
use crate::{CancelToken, HttpServer, Result, Stream, rt, validate};

pub use kwaai_core::rag::SearchOptions;

/// A knowledge base over documents.
pub struct Rag(Handle<rag::Rag>);

/// How a knowledge base works; every part may be left out.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// `auto` takes all-MiniLM-L6-v2 when it has been fetched, and words alone otherwise; `none` takes words alone; anything else
    /// is the folder of a BERT model.
    pub embedder: Option<String>,
    /// A model behind an OpenAI-compatible endpoint that writes the answers.
    pub endpoint: Option<Endpoint>,
    /// How documents are cut.
    #[serde(deserialize_with = "validate::or_default")]
    pub chunking: ChunkingOptions,
    /// The language whose word forms are brought together.
    #[serde(deserialize_with = "validate::or_default")]
    pub language: Language,
}

/// How documents are cut; sizes count characters, and what is left out keeps its default.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChunkingOptions {
    /// Where passages may end: `sentence`, `paragraph`, `fixed` or `heading`.
    pub strategy: Strategy,
    /// The longest passage.
    pub size: Option<usize>,
    /// How much of a passage is repeated at the start of the next.
    pub overlap: Option<usize>,
    /// A shorter rest is joined to the passage before it.
    pub min: Option<usize>,
}

/// How a folder and a knowledge base are kept alike; what is left out is off, or has the default of the library.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SyncOptions {
    /// Whether to go on after the first pass, until the stream is closed.
    #[serde(deserialize_with = "validate::or_default")]
    pub watch: bool,
    /// While watching: the folder is looked through at least this often, in milliseconds.
    pub interval_ms: Option<u64>,
    /// While watching: do without the file system's events.
    #[serde(deserialize_with = "validate::or_default")]
    pub polling: bool,
    /// Only files with these extensions; none for every file that can be read.
    #[serde(deserialize_with = "validate::or_default")]
    pub extensions: Vec<String>,
    /// Whether a document is deleted when its file is gone.
    #[serde(deserialize_with = "validate::or_default")]
    pub delete: bool,
}

/// A language model behind an OpenAI-compatible endpoint.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// For example `http://localhost:11434/v1`.
    pub base_url: String,
    /// The model's name there.
    pub model: String,
    /// Sent as a bearer token.
    pub api_key: Option<String>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("base_url", &self.base_url).field("model", &self.model).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// The language model behind it.
    pub(crate) fn model(self) -> kwaai_core::Result<Arc<dyn LanguageModel>> {
        let config = OpenAiConfig { api_key: self.api_key, ..OpenAiConfig::new(self.base_url, self.model) };
        Ok(Arc::new(OpenAiModel::new(config)?))
    }
}

impl Rag {
    pub(crate) fn new(rag: rag::Rag) -> Rag {
        Rag(Handle::new("knowledge base", rag))
    }

    /// Opens a knowledge base alone, without a node, in a directory that is made when it is missing.
    pub async fn open(dir: String, options: Options, supplies: Supplies, cancel: CancelToken) -> Result<Rag> {
        let dir = validate::path("directory", &dir)?;
        options.claim(&supplies)?;
        rt::run(&cancel, async move { rag::Rag::open(&dir, options.config(supplies).await?).await }).await.map(Rag::new)
    }

    /// Whether it can be used: not shut down, and not another process's.
    pub fn is_open(&self) -> bool {
        self.0.is_open()
    }

    /// Starts to read a file, or every file of a folder.
    pub async fn ingest_path(&self, path: String, cancel: CancelToken) -> Result<Stream<IngestEvent>> {
        self.ingest(Source::Path(validate::path("source", &path)?), cancel).await
    }

    /// Starts to read a document from memory; its name tells its format.
    pub async fn ingest_bytes(&self, name: String, bytes: Vec<u8>, cancel: CancelToken) -> Result<Stream<IngestEvent>> {
        self.ingest(Source::Bytes { name, bytes }, cancel).await
    }

    async fn ingest(&self, source: Source, cancel: CancelToken) -> Result<Stream<IngestEvent>> {
        let rag = self.0.get()?;
        rt::run(&cancel, async move { rag.ingest(source) }).await.map(Stream::new)
    }

    /// Starts to keep the documents of a folder as its files are.
    pub async fn sync(&self, folder: String, options: SyncOptions, cancel: CancelToken) -> Result<Stream<SyncEvent>> {
        let (rag, folder, options) = (self.0.get()?, validate::path("folder", &folder)?, options.into_core()?);
        rt::run(&cancel, async move { rag.sync(&folder, options) }).await.map(Stream::new)
    }

    /// The `k` passages that fit a text best.
    pub async fn search(
        &self,
        text: String,
        k: usize,
        options: impl Into<SearchOptions>,
        cancel: CancelToken,
    ) -> Result<SearchResult> {
        let (rag, options) = (self.0.get()?, options.into());
        rt::run(&cancel, async move { rag.search(&text, k, options).await }).await
    }

    /// Starts to answer a question from the documents.
    pub async fn ask(&self, question: String, options: AskOptions, cancel: CancelToken) -> Result<Stream<AskEvent>> {
        let rag = self.0.get()?;
        rt::run(&cancel, async move { rag.ask(&question, options) }).await.map(Stream::new)
    }

    /// Learns from questions when to refuse; without any, from sentences of the documents.
    pub async fn calibrate(
        &self,
        questions: Vec<CalibrationQuestion>,
        options: AskOptions,
        cancel: CancelToken,
    ) -> Result<Calibration> {
        let rag = self.0.get()?;
        rt::run(&cancel, async move { rag.calibrate(questions, options).await }).await
    }

    /// Every document, in the order of the names.
    pub async fn documents(&self, cancel: CancelToken) -> Result<Vec<DocumentInfo>> {
        let rag = self.0.get()?;
        rt::run(&cancel, async move { rag.documents().await }).await
    }

    /// The text of a document, in which spans count bytes.
    pub async fn document_text(&self, id: String, cancel: CancelToken) -> Result<String> {
        let rag = self.0.get()?;
        rt::run(&cancel, async move { rag.document_text(&id).await }).await
    }

    /// Removes a document and every trace of it.
    pub async fn delete_document(&self, id: String, cancel: CancelToken) -> Result<()> {
        let rag = self.0.get()?;
        rt::run(&cancel, async move { rag.delete_document(&id).await }).await
    }

    /// What it holds and how it searches.
    pub async fn stats(&self, cancel: CancelToken) -> Result<Stats> {
        let rag = self.0.get()?;
        rt::run(&cancel, async move { rag.stats().await }).await
    }

    /// Serves it by HTTP under a name, `kwaainet-knowledge` unless set, on port 9090 of this machine alone unless the options say
    /// otherwise. The server ends with it.
    ///
    /// # Errors
    /// `invalid_argument` for what is no IP address and for a port above 65535, beside what the core says.
    pub async fn serve(&self, name: Option<String>, options: HttpOptions, cancel: CancelToken) -> Result<HttpServer> {
        let (rag, config) = (self.0.get()?, options.into_core()?);
        let name = name.unwrap_or_else(|| KNOWLEDGE_NAME.to_owned());
        rt::run(&cancel, async move { rag.serve(&name, config).await }).await.map(HttpServer::new)
    }

    /// It, for a server that answers from several.
    ///
    /// # Errors
    /// `closed` after the shutdown.
    pub fn served(&self) -> Result<ServedKnowledge> {
        self.0.get().map(ServedKnowledge)
    }

    /// Stops what is under way and unlocks the directory.
    pub async fn shutdown(&self, cancel: CancelToken) -> Result<()> {
        let Ok(rag) = self.0.get() else { return Ok(()) };
        rt::run(&cancel, async move {
            rag.shutdown().await;
            Ok(())
        })
        .await?;
        self.0.close();
        Ok(())
    }

    /// Shuts down and deletes everything that was stored.
    pub async fn destroy(&self, cancel: CancelToken) -> Result<()> {
        let rag = self.0.get()?;
        rt::run(&cancel, async move { rag.destroy().await }).await?;
        self.0.close();
        Ok(())
    }
}

impl SyncOptions {
    fn into_core(self) -> Result<rag::SyncOptions> {
        let usual = rag::SyncOptions::default();
        Ok(rag::SyncOptions {
            extensions: self.extensions,
            delete: self.delete,
            watch: self.watch,
            interval: self.interval_ms.map_or(Ok(usual.interval), |ms| validate::millis("interval_ms", ms))?,
            polling: self.polling,
        })
    }
}

impl ChunkingOptions {
    fn into_core(self) -> Chunking {
        let usual = Chunking::default();
        Chunking {
            strategy: self.strategy,
            size: self.size.unwrap_or(usual.size),
            overlap: self.overlap.unwrap_or(usual.overlap),
            min: self.min.unwrap_or(usual.min),
            ..usual
        }
    }
}

impl Options {
    /// Computing needs threads that a fork loses; finding passages by their words does not, and what the app brings is
    /// its own matter.
    pub(crate) fn claim(&self, supplies: &Supplies) -> Result<()> {
        let computes = supplies.embedder.is_none() && self.embedder.as_deref() != Some("none");
        if computes || supplies.writer.is_some() { MODELS.claim() } else { Ok(()) }
    }

    pub(crate) async fn config(self, supplies: Supplies) -> kwaai_core::Result<RagConfig> {
        // Before a model is fetched or loaded for a knowledge base that is refused.
        let chunking = self.chunking.into_core();
        chunking.check()?;
        let language_model: Option<Arc<dyn LanguageModel>> = match (supplies.writer, self.endpoint) {
            (Some(_), Some(_)) => {
                return Err(Error::invalid_argument("a knowledge base has one language model, an endpoint or a model"));
            }
            (Some(writer), None) => Some(writer.0),
            (None, Some(endpoint)) => Some(endpoint.model()?),
            (None, None) => None,
        };
        let embedder = match (supplies.embedder, self.embedder.as_deref()) {
            (Some(_), Some(_)) => {
                return Err(Error::invalid_argument("a knowledge base has one embedder, by its name or as an object"));
            }
            (Some(own), None) => Some(own.0),
            (None, Some("none")) => None,
            (None, None | Some("auto")) => match model_cache::find_all_minilm()? {
                Some(folder) => Some(open_embedder(folder).await?),
                None => None,
            },
            (None, Some(name)) => Some(named_embedder(name).await?),
        };
        Ok(RagConfig {
            embedder,
            language_model,
            chunking,
            language: self.language,
            readers: supplies.readers.into_iter().map(|reader| reader.0).collect(),
            ..RagConfig::default()
        })
    }
}

/// What a calibration says where a share of unsupported answers is tolerated.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Tolerance {
    /// The support above which a question is answered; `None` when all must be refused.
    pub threshold: Option<f64>,
    /// The share of the answerable questions that get an answer.
    pub answered: f64,
    /// How often an answerable question has more support than another, whatever is tolerated; `None` without one of either.
    pub auroc: Option<f64>,
}

/// Asks a calibration, which may come from anywhere, what holds where the share `alpha` is tolerated.
///
/// # Errors
/// `invalid_argument` for a share or a support that is not between 0 and 1.
pub fn calibration_at(calibration: &Calibration, alpha: f64) -> Result<Tolerance> {
    let sound = Calibration::new(calibration.answerable.clone(), calibration.unanswerable.clone())?;
    Ok(Tolerance { threshold: sound.threshold(alpha)?, answered: sound.answered(alpha)?, auroc: sound.auroc() })
}

/// Compares an answer with the texts of its sources, of which the first is `[1]`; nothing for an answer whose citations hold.
pub fn check_citations(text: &str, sources: &[String]) -> Vec<Fault> {
    let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
    rag::check_citations(text, &sources)
}

/// The embedder of a folder or a hub id, from where it is fetched the first time.
pub(crate) async fn named_embedder(name: &str) -> kwaai_core::Result<Arc<dyn Embedder>> {
    open_embedder(hub::embedding_model(name).await?).await
}

async fn open_embedder(folder: std::path::PathBuf) -> kwaai_core::Result<Arc<dyn Embedder>> {
    Ok(Arc::new(BertEmbedder::open(folder).await?))
}
