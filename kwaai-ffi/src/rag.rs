//! A private knowledge base, as an object. Its records are those of the core, which are plain data.

use std::collections::BTreeMap;
use std::sync::Arc;

use kwaai_core::Error;
use kwaai_core::http::KNOWLEDGE_NAME;
use kwaai_core::llm::{
    BertEmbedder, Embedder, EmbeddingApi, LanguageModel, OpenAiConfig, OpenAiModel, RemoteEmbedder,
    RemoteEmbedderConfig, hub, model_cache,
};
use kwaai_core::rag::chunk::{Chunking, Strategy};
use kwaai_core::rag::evaluate::{self, Difference, Evaluation, EvaluationQuestion};
use kwaai_core::rag::{
    self, AskEvent, AskOptions, CacheOptions, CacheStats, Calibration, CalibrationQuestion, DocumentInfo, Fault,
    IngestEvent, Language, OutsourceEvent, OutsourceOptions, RagConfig, ReembedEvent, SearchResult, Source, Stats,
    SyncEvent,
};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::fork::MODELS;
use crate::handle::Handle;
use crate::http::{HttpOptions, ServedKnowledge};
use crate::provide::Supplies;
use crate::{CancelToken, HttpServer, Result, Stream, VectorCollection, rt, validate};

pub use kwaai_core::rag::{IngestOptions, SearchOptions};

/// A knowledge base over documents.
pub struct Rag(pub(crate) Handle<rag::Rag>);

/// How a knowledge base works; every part may be left out.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// `auto` takes all-MiniLM-L6-v2 when it has been fetched, and words alone otherwise; `none` takes words alone; any other name
    /// is the folder or the hub id of an embedding model.
    pub embedder: Option<EmbedderName>,
    /// A model behind an OpenAI-compatible endpoint that writes the answers.
    pub endpoint: Option<Endpoint>,
    /// How documents are cut.
    #[serde(deserialize_with = "validate::or_default")]
    pub chunking: ChunkingOptions,
    /// The language whose word forms are brought together; that of before unless set, English for one that is new.
    pub language: Option<Language>,
    /// Which answers are given again to the same question while nothing changes; none unless set.
    pub cache: Option<CacheOptions>,
    /// For a knowledge base of a node: the directory that it lies in, where that is not the node's.
    pub data_dir: Option<String>,
}

/// What to evaluate; every part may be left out.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluationOptions {
    /// What the report calls it.
    #[serde(deserialize_with = "validate::or_default")]
    pub name: String,
    /// How passages are looked for.
    #[serde(deserialize_with = "validate::or_default")]
    pub search: SearchOptions,
    /// How questions are asked; without it only what is found is judged.
    pub ask: Option<AskOptions>,
    /// A model behind an endpoint that judges answers, where the app brings none.
    pub judge: Option<Endpoint>,
}

/// An embedder that is not the app's.
#[derive(Debug, Clone)]
pub enum EmbedderName {
    /// `auto`, `none`, or the folder or hub id of an embedding model.
    Named(String),
    /// An embedding model behind an endpoint.
    Endpoint(EmbeddingEndpoint),
}

impl<'de> Deserialize<'de> for EmbedderName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<EmbedderName, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = EmbedderName;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the name of an embedding model, or an endpoint")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> std::result::Result<EmbedderName, E> {
                Ok(EmbedderName::Named(name.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<EmbedderName, A::Error> {
                EmbeddingEndpoint::deserialize(MapAccessDeserializer::new(map)).map(EmbedderName::Endpoint)
            }
        }

        deserializer.deserialize_any(Either)
    }
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

/// An embedding model behind an endpoint; what is left out has the library's default.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingEndpoint {
    /// For example `https://api.openai.com/v1`, or `http://localhost:11434` for Ollama.
    pub base_url: String,
    /// The model's name there.
    pub model: String,
    /// Sent as a bearer token.
    #[serde(default)]
    pub api_key: Option<String>,
    /// `openai` or `ollama`.
    #[serde(default, deserialize_with = "validate::or_default")]
    pub api: EmbeddingApi,
    /// The length of its vectors, which is asked for unless set.
    #[serde(default)]
    pub dimension: Option<usize>,
    /// Put before what is looked for; what models of its name want unless set.
    #[serde(default)]
    pub query_prompt: Option<String>,
    /// Put before what is found; what models of its name want unless set.
    #[serde(default)]
    pub document_prompt: Option<String>,
}

impl std::fmt::Debug for EmbeddingEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddingEndpoint")
            .field("base_url", &self.base_url)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

impl EmbeddingEndpoint {
    async fn open(self) -> kwaai_core::Result<Arc<dyn Embedder>> {
        let usual = match self.api {
            EmbeddingApi::OpenAi => RemoteEmbedderConfig::openai(self.base_url, self.model),
            EmbeddingApi::Ollama => RemoteEmbedderConfig::ollama(self.base_url, self.model),
        };
        let config = RemoteEmbedderConfig {
            api_key: self.api_key,
            dimension: self.dimension,
            query_prompt: self.query_prompt.unwrap_or_else(|| usual.query_prompt.clone()),
            document_prompt: self.document_prompt.unwrap_or_else(|| usual.document_prompt.clone()),
            ..usual
        };
        Ok(Arc::new(RemoteEmbedder::open(config).await?))
    }
}

/// Whether an embedder is computed in this process, by the library.
fn computes(chosen: Option<&EmbedderName>, supplies: &Supplies) -> bool {
    let elsewhere = match chosen {
        Some(EmbedderName::Named(name)) => name == "none",
        Some(EmbedderName::Endpoint(_)) => true,
        None => supplies.embedder.is_some(),
    };
    !elsewhere
}

/// The embedder that was chosen; `None` where words are to do.
async fn embedder_of(
    chosen: Option<EmbedderName>,
    own: Option<crate::provide::Embedder>,
) -> kwaai_core::Result<Option<Arc<dyn Embedder>>> {
    let name = match (chosen, own) {
        (Some(_), Some(_)) => {
            return Err(Error::invalid_argument("a knowledge base has one embedder, by its name or as an object"));
        }
        (None, Some(own)) => return Ok(Some(own.0)),
        (Some(EmbedderName::Endpoint(endpoint)), None) => return Ok(Some(endpoint.open().await?)),
        (Some(EmbedderName::Named(name)), None) => name,
        (None, None) => "auto".to_owned(),
    };
    match name.as_str() {
        "none" => Ok(None),
        "auto" => match model_cache::find_all_minilm()? {
            Some(folder) => Ok(Some(open_embedder(folder).await?)),
            None => Ok(None),
        },
        name => Ok(Some(named_embedder(name).await?)),
    }
}

impl Rag {
    pub(crate) fn new(rag: rag::Rag) -> Rag {
        Rag(Handle::new("knowledge base", rag))
    }

    /// Opens a knowledge base alone, without a node, in a directory that is made when it is missing.
    pub async fn open(dir: String, options: Options, supplies: Supplies, cancel: CancelToken) -> Result<Rag> {
        let dir = validate::path("directory", &dir)?;
        if options.data_dir.is_some() {
            let error = Error::invalid_argument("a knowledge base without a node is opened in its directory");
            return Err(error.with("argument", "data_dir").with_remedy("leave `data_dir` out").into());
        }
        options.claim(&supplies)?;
        rt::run(&cancel, async move { rag::Rag::open(&dir, options.config(supplies).await?).await }).await.map(Rag::new)
    }

    /// Whether it can be used: not shut down, and not another process's.
    pub fn is_open(&self) -> bool {
        self.0.is_open()
    }

    /// Starts to read a file, or every file of a folder.
    pub async fn ingest_path(
        &self,
        path: String,
        options: IngestOptions,
        cancel: CancelToken,
    ) -> Result<Stream<IngestEvent>> {
        self.ingest(Source::Path(validate::path("source", &path)?), options, cancel).await
    }

    /// Starts to read a document from memory; its name tells its format.
    pub async fn ingest_bytes(
        &self,
        name: String,
        bytes: Vec<u8>,
        options: IngestOptions,
        cancel: CancelToken,
    ) -> Result<Stream<IngestEvent>> {
        self.ingest(Source::Bytes { name, bytes }, options, cancel).await
    }

    async fn ingest(&self, source: Source, options: IngestOptions, cancel: CancelToken) -> Result<Stream<IngestEvent>> {
        let rag = self.0.get()?;
        rt::run(&cancel, async move { rag.ingest_with(source, options) }).await.map(Stream::new)
    }

    /// Starts to keep the documents of a folder as its files are.
    pub async fn sync(&self, folder: String, options: SyncOptions, cancel: CancelToken) -> Result<Stream<SyncEvent>> {
        let (rag, folder, options) = (self.0.get()?, validate::path("folder", &folder)?, options.into_core()?);
        rt::run(&cancel, async move { rag.sync(&folder, options) }).await.map(Stream::new)
    }

    /// Starts to give it another embedder, which is chosen as in [`Options::embedder`] or comes with the supplies: every passage is
    /// embedded again while the vectors of before answer.
    ///
    /// # Errors
    /// `invalid_argument` for no embedder and for several; `not_found` and the like for one that cannot be opened; `busy` while another
    /// change goes on.
    pub async fn reembed(
        &self,
        chosen: Option<EmbedderName>,
        supplies: Supplies,
        cancel: CancelToken,
    ) -> Result<Stream<ReembedEvent>> {
        let rag = self.0.get()?;
        if computes(chosen.as_ref(), &supplies) {
            MODELS.claim()?;
        }
        rt::run(&cancel, async move {
            let words = matches!(&chosen, Some(EmbedderName::Named(name)) if name == "none");
            if words || (chosen.is_none() && supplies.embedder.is_none()) {
                return Err(Error::invalid_argument("a change of the embedder needs one to change to"));
            }
            let embedder = embedder_of(chosen, supplies.embedder).await?.ok_or_else(|| {
                Error::not_found("all-MiniLM-L6-v2 has not been fetched")
                    .with_remedy("fetch it, or name the folder or hub id of an embedding model")
            })?;
            rag.reembed(embedder)
        })
        .await
        .map(Stream::new)
    }

    /// Starts to bring its vectors to a collection, which answers from then on; texts stay here, and go as well as sealed payloads when
    /// `texts` says so.
    pub async fn outsource(
        &self,
        collection: &VectorCollection,
        texts: bool,
        cancel: CancelToken,
    ) -> Result<Stream<OutsourceEvent>> {
        let (rag, collection) = (self.0.get()?, collection.get()?);
        let options = OutsourceOptions { texts };
        rt::run(&cancel, async move { rag.outsource_with(&collection, options) }).await.map(Stream::new)
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

    /// Asks questions whose answers are known, and scores what comes back. A judge is the writer of `supplies`, or the endpoint of the
    /// options.
    pub async fn evaluate(
        &self,
        questions: Vec<EvaluationQuestion>,
        options: EvaluationOptions,
        supplies: Supplies,
        cancel: CancelToken,
    ) -> Result<Evaluation> {
        let rag = self.0.get()?;
        let EvaluationOptions { name, search, ask, judge } = options;
        let judge = writer(supplies, judge)?;
        let options = evaluate::EvaluationOptions { name, search, ask, judge };
        rt::run(&cancel, async move { rag.evaluate(questions, options).await }).await
    }

    /// What became of the answers that are kept; all 0 where none are.
    pub async fn cache_stats(&self, cancel: CancelToken) -> Result<CacheStats> {
        let rag = self.0.get()?;
        rt::run(&cancel, async move { Ok(rag.cache_stats()) }).await
    }

    /// Forgets the answers that are kept.
    pub async fn cache_clear(&self, cancel: CancelToken) -> Result<()> {
        let rag = self.0.get()?;
        rt::run(&cancel, async move {
            rag.cache_clear();
            Ok(())
        })
        .await
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
        let computes = computes(self.embedder.as_ref(), supplies);
        if computes || supplies.writer.is_some() { MODELS.claim() } else { Ok(()) }
    }

    pub(crate) async fn config(self, supplies: Supplies) -> kwaai_core::Result<RagConfig> {
        // Before a model is fetched or loaded for a knowledge base that is refused.
        let chunking = self.chunking.into_core();
        chunking.check()?;
        let brought = Supplies { writer: supplies.writer, ..Supplies::default() };
        let language_model = writer(brought, self.endpoint)?;
        let embedder = embedder_of(self.embedder, supplies.embedder).await?;
        Ok(RagConfig {
            embedder,
            language_model,
            chunking,
            language: self.language,
            cache: self.cache,
            readers: supplies.readers.into_iter().map(|reader| reader.0).collect(),
            ..RagConfig::default()
        })
    }
}

/// The one language model of two that may be given.
fn writer(supplies: Supplies, endpoint: Option<Endpoint>) -> kwaai_core::Result<Option<Arc<dyn LanguageModel>>> {
    match (supplies.writer, endpoint) {
        (Some(_), Some(_)) => Err(Error::invalid_argument("one language model is taken, an endpoint or a model")),
        (Some(writer), None) => Ok(Some(writer.0)),
        (None, Some(endpoint)) => endpoint.model().map(Some),
        (None, None) => Ok(None),
    }
}

/// For each score that two evaluations of the same questions have, the mean difference, question by question: above 0 where the first
/// is better.
///
/// # Errors
/// `invalid_argument` when the questions are not the same.
pub fn compare_evaluations(evaluation: &Evaluation, other: &Evaluation) -> Result<BTreeMap<String, Difference>> {
    Ok(evaluation.compare(other)?)
}

/// A form in which people read an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportForm {
    /// The means as a table.
    Markdown,
    /// A page that needs nothing beside itself.
    Html,
}

/// An evaluation for people; a page has another one beside it, where that is given.
pub fn evaluation_report(evaluation: &Evaluation, beside: Option<&Evaluation>, form: ReportForm) -> String {
    match form {
        ReportForm::Markdown => evaluation.to_markdown(),
        ReportForm::Html => evaluation.to_html(beside),
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
