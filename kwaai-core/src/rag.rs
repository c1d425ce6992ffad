//! A private knowledge base over documents.
//!
//! [`Rag`] reads documents, finds passages in them by words and by meaning, and answers questions by quoting them with
//! numbered citations, or says that they hold no answer. Nothing leaves the machine, unless the embedder or the language
//! model that it was given does so.
//!
//! ```no_run
//! # async fn example() -> kwaai_core::Result<()> {
//! use kwaai_core::rag::{AskOptions, Rag, RagConfig, Source};
//!
//! let rag = Rag::open("knowledge".as_ref(), RagConfig::default()).await?;
//! let mut progress = rag.ingest(Source::Path("docs".into()))?;
//! while let Some(event) = progress.next().await? {
//!     println!("{event:?}");
//! }
//! let answer = rag.answer("Which file holds the key?", AskOptions::default()).await?;
//! println!("{}", answer.text);
//! # Ok(()) }
//! ```

mod answer;
mod balance;
mod cache;
mod calibration;
pub mod chunk;
pub mod document;
mod elsewhere;
pub mod evaluate;
mod evidence;
mod expand;
mod federation;
mod filter;
mod generate;
mod glob;
mod ingest;
mod lexical;
mod links;
mod names;
#[cfg(feature = "vpk")]
mod outsource;
mod provenance;
mod reembed;
mod retrieval;
mod sentence;
mod sharing;
mod statistics;
mod store;
mod sync;
mod terms;
mod traces;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Clock, SystemClock};
use crate::event::{self, Item, Stream};
use crate::llm::{Embedder, LanguageModel, Text};
use crate::rag::answer::{Question, Reader, Threshold};
use crate::rag::cache::{Cache, Remembered};
use crate::rag::chunk::Chunking;
use crate::rag::document::{DocumentReader, Limits};
use crate::rag::elsewhere::Cosines;
use crate::rag::filter::Within;
use crate::rag::ingest::{Ingestion, Preparer, blocking, embed};
use crate::rag::reembed::{Open, Opened, Reembedding};
use crate::rag::retrieval::{Query, ms_since};
use crate::rag::store::KnowledgeStore;
use crate::rag::sync::Sync;
use crate::rag::traces::Traces;
use crate::vector::{IndexOptions, dot};
use crate::{Error, Result};

pub use answer::{Answer, AskEvent, AskOptions, Citation, REFUSAL};
pub use cache::{CacheOptions, CacheStats};
pub use calibration::{Calibration, CalibrationQuestion};
pub use evidence::Evidence;
pub use federation::{FederatedHit, FederatedOptions, FederatedResult, Federation, Member, MemberFailure};
pub use filter::Metadata;
pub(crate) use filter::check_metadata;
pub use ingest::{IngestEvent, IngestOptions, Source};
#[cfg(feature = "vpk")]
pub use outsource::{OutsourceEvent, OutsourceOptions};
pub use provenance::{Proven, Provenance};
pub use reembed::ReembedEvent;
pub use retrieval::{Around, Hit, Mode, Rank, SearchOptions, SearchResult, Timings};
pub(crate) use sharing::Shares;
pub use sharing::{KnowledgeCapability, MAX_KNOWLEDGE_CAPABILITY_BYTES, ProvenHit, ShareTerms, SharedKnowledge};
pub(crate) use store::Expected;
pub use store::{DocumentInfo, EmbedderInfo};
pub use sync::{SyncEvent, SyncOptions};
pub use terms::Language;
pub use verify::{Fault, FaultKind, check_citations};

/// Progress of an ingestion that is not read yet; older events are dropped beyond it.
const INGEST_EVENTS: usize = 4096;
/// Pieces of an answer that are not read yet.
const ASK_EVENTS: usize = 16_384;
/// The name of the database file, for [`Rag::destroy`].
const DATABASE: &str = "kwaainet.redb";

/// How a knowledge base works.
#[derive(Clone)]
pub struct RagConfig {
    /// Turns texts into vectors. Without one the knowledge base finds passages by their words alone, and says so.
    pub embedder: Option<Arc<dyn Embedder>>,
    /// Writes answers. Without one an answer is made of the best sentences of the documents.
    pub language_model: Option<Arc<dyn LanguageModel>>,
    /// How documents are cut.
    pub chunking: Chunking,
    /// How much a single file may cost.
    pub limits: Limits,
    /// Read the formats that the library does not; the first that is for a file's extension reads it.
    pub readers: Vec<Arc<dyn DocumentReader>>,
    /// The language whose word forms are brought together: the one of before unless it is set, and [`Language::English`] for a
    /// knowledge base that is new. Another one rebuilds the word index.
    pub language: Option<Language>,
    /// When the vectors get a graph.
    pub index: IndexOptions,
    /// Answers are kept in memory, and given again to the same question while nothing changes. None are unless this is set.
    pub cache: Option<CacheOptions>,
    /// Where times of ingestion come from.
    pub clock: Arc<dyn Clock>,
}

impl Default for RagConfig {
    fn default() -> RagConfig {
        RagConfig {
            embedder: None,
            language_model: None,
            chunking: Chunking::default(),
            limits: Limits::default(),
            readers: Vec::new(),
            language: None,
            index: IndexOptions::default(),
            cache: None,
            clock: Arc::new(SystemClock),
        }
    }
}

impl RagConfig {
    /// The defaults, with the embedding model all-MiniLM-L6-v2 if it has been fetched into the model cache; without it
    /// passages are found by their words alone.
    ///
    /// # Errors
    /// `corrupt_data` and the like when the model is there and cannot be used.
    pub async fn with_cached_embedder() -> Result<RagConfig> {
        let embedder: Option<Arc<dyn Embedder>> = match crate::llm::model_cache::find_all_minilm()? {
            Some(dir) => Some(Arc::new(crate::llm::BertEmbedder::open(dir).await?)),
            None => None,
        };
        Ok(RagConfig { embedder, ..RagConfig::default() })
    }
}

/// What a knowledge base holds and how it searches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Documents.
    pub documents: u64,
    /// Passages.
    pub chunks: u64,
    /// Passages with a vector.
    pub vectors: u64,
    /// Passages in the word index; equal to `chunks`.
    pub indexed: u64,
    /// Vectors that are reached through a graph.
    pub sealed_vectors: u64,
    /// How often the knowledge base was changed.
    pub generation: u64,
    /// The embedder whose vectors it holds.
    pub embedder: Option<EmbedderInfo>,
    /// The language model that writes answers.
    pub language_model: Option<String>,
    /// How it searches unless told otherwise.
    pub mode: Mode,
    /// How much meaning counts against words in a hybrid search, 0 to 1: 0.29, until 128 passages are embedded, of which some then
    /// tell how well either finds them.
    pub dense_weight: f64,
    /// Why the mode is not hybrid, or why some passages are found by words alone.
    pub note: Option<String>,
    /// Where the vectors are, or are brought, if that is not here.
    #[serde(default)]
    pub outsourced: Option<Outsourced>,
}

/// A knowledge base whose vectors are in a collection at other people's nodes, or on their way there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outsourced {
    /// The id of the collection.
    pub collection: String,
    /// Whether the collection was given since the knowledge base was opened, so that it is searched.
    pub attached: bool,
    /// Whether all vectors are there, and nothing of them is left where the knowledge base lies. The collection's owner keeps those that
    /// came since, until they make a segment.
    pub complete: bool,
    /// What the collection was not told yet: passages that came or went.
    pub waiting: u64,
}

/// Whoever keeps a knowledge base by a name, and is told when it is destroyed.
pub(crate) trait Keeper: Send + std::marker::Sync {
    /// From here on it counts no more, whatever is left of it after a crash.
    fn begins_to_go(&self) -> Result<()>;

    /// Nothing is left of it.
    fn has_gone(&self) -> Result<()>;
}

struct Inner {
    dir: PathBuf,
    keeper: Option<Arc<dyn Keeper>>,
    config: RagConfig,
    opened: Arc<Opened>,
    /// One change at a time, in the order they were asked for.
    changing: Arc<tokio::sync::Mutex<()>>,
    /// One change of the embedder at a time.
    reembedding: Arc<tokio::sync::Mutex<()>>,
    closing: CancellationToken,
    tasks: TaskTracker,
    traces: Arc<Traces>,
    cache: Option<Arc<Cache>>,
}

/// A private knowledge base. Cheap to clone; every clone is the same knowledge base.
///
/// It runs on the caller's tokio runtime, with everything that blocks off the async workers. The directory is locked
/// until [`shutdown`](Rag::shutdown), or until the last clone and the last stream are dropped.
#[derive(Clone)]
pub struct Rag {
    inner: Arc<Inner>,
}

impl Rag {
    /// Opens the knowledge base in a directory, which is made when it is missing.
    ///
    /// After a crash it holds every document that was reported done, and none in part.
    ///
    /// # Errors
    /// `invalid_argument` for a chunking that [`Chunking::check`] refuses, or a cache that keeps nothing, before anything is made; `busy` when it is open
    /// already, in this process or another; `conflict` when it was embedded with another embedder;
    /// `corrupt_data` when its database is damaged (a damaged index beside it is rebuilt); `unsupported` when a newer
    /// version wrote it.
    pub async fn open(dir: &Path, config: RagConfig) -> Result<Rag> {
        Rag::open_as(dir, config, None, None).await
    }

    /// Opens what is expected in a directory, or makes it; its keeper is told when it is destroyed.
    pub(crate) async fn open_kept(
        dir: &Path,
        config: RagConfig,
        expected: Expected,
        keeper: Arc<dyn Keeper>,
    ) -> Result<Rag> {
        Rag::open_as(dir, config, Some(expected), Some(keeper)).await
    }

    async fn open_as(
        dir: &Path,
        config: RagConfig,
        expected: Option<Expected>,
        keeper: Option<Arc<dyn Keeper>>,
    ) -> Result<Rag> {
        config.chunking.check()?;
        let cache = config.cache.map(|options| options.check().map(|()| Arc::new(Cache::new(options)))).transpose()?;
        let given = config.embedder.clone();
        let embedder =
            given.as_ref().map(|embedder| EmbedderInfo { id: embedder.id(), dimension: embedder.dimension() });
        let (path, language, index) = (dir.to_owned(), config.language, config.index);
        let opened = move || KnowledgeStore::open(&path, embedder, language, index, expected.as_ref());
        let knowledge = blocking(opened).await?;
        let opened = Open { knowledge: Arc::new(knowledge), embedder: given, attached: None, claimed: None };
        let (opened, closing, tasks) = (Arc::new(Opened::new(opened)), CancellationToken::new(), TaskTracker::new());
        let traces = Traces::new(&opened, closing.clone(), tasks.clone());
        let inner = Inner {
            dir: dir.to_owned(),
            keeper,
            config,
            opened,
            changing: Arc::default(),
            reembedding: Arc::default(),
            closing,
            tasks,
            traces,
            cache,
        };
        Ok(Rag { inner: Arc::new(inner) })
    }

    /// Reads, cuts, embeds and stores a file, or every file of a folder; the stream tells how it gets on.
    ///
    /// A document replaces the one of the same name; the same bytes again are left alone. What cannot be read is reported by
    /// [`IngestEvent::DocumentFailed`], and the rest goes on. Cancelling the stream, or dropping it, stops between documents.
    ///
    /// # Errors
    /// `closed` after the shutdown. The stream ends with an error when the source cannot be listed (`not_found`,
    /// `permission_denied`, ...), when it was cancelled (`cancelled`), or when the knowledge base cannot be written.
    pub fn ingest(&self, source: Source) -> Result<Stream<IngestEvent>> {
        self.ingest_with(source, IngestOptions::default())
    }

    /// [`ingest`](Rag::ingest), with what the app says about the documents.
    ///
    /// # Errors
    /// `invalid_argument` for metadata that is too much; those of [`ingest`](Rag::ingest).
    pub fn ingest_with(&self, source: Source, options: IngestOptions) -> Result<Stream<IngestEvent>> {
        options.metadata.as_ref().map_or(Ok(()), check_metadata)?;
        let (events, stream) = event::channel(INGEST_EVENTS);
        let mut ingestion =
            Ingestion { preparer: self.preparer(events.cancellation())?, options, events, taken: Arc::default() };
        let changing = self.inner.changing.clone();
        self.inner.tasks.spawn(async move {
            let _turn = changing.lock().await;
            ingestion.preparer.renew();
            ingestion.run(source).await;
        });
        Ok(stream)
    }

    /// Keeps the documents of a folder as its files are: new ones are added, changed ones replaced, moved ones renamed; with
    /// [`SyncOptions::delete`] those whose files are gone are deleted. With [`SyncOptions::watch`] it goes on until the stream is
    /// dropped or cancelled.
    ///
    /// Files are compared by the hash of their contents. Only documents that came from this folder are touched, also where another
    /// one has files of the same names; a file that cannot be read keeps its old version. Each document is replaced, moved or
    /// deleted in one commit. Names that begin with a dot, symbolic links, and the knowledge base's own directory are left out.
    ///
    /// # Errors
    /// `invalid_argument` for an interval of zero, or an extension that nothing reads; `closed` after the shutdown. The stream
    /// ends with an error when the folder cannot be listed at first (`not_found`, `permission_denied`, ...), when it was cancelled
    /// (`cancelled`), or when the knowledge base cannot be written.
    pub fn sync(&self, folder: &Path, options: SyncOptions) -> Result<Stream<SyncEvent>> {
        sync::check(&options, &self.inner.config.readers)?;
        let (events, stream) = event::channel(INGEST_EVENTS);
        let home = std::fs::canonicalize(&self.inner.dir).unwrap_or_else(|_| self.inner.dir.clone());
        let sync = Sync {
            preparer: self.preparer(events.cancellation())?,
            events,
            folder: folder.to_owned(),
            home,
            options,
            changing: self.inner.changing.clone(),
        };
        self.inner.tasks.spawn(sync.run());
        Ok(stream)
    }

    /// Gives the knowledge base another embedder, or its first: every passage is embedded again, while the vectors of before go on to
    /// answer. Then one commit exchanges them, and [`Stats::embedder`] is the new one; calibrations are gone, and kept answers too.
    ///
    /// Documents may come and go meanwhile; until the exchange they are embedded by both embedders. What is embedded is durable, by its
    /// text: after a crash, a cancellation or an error, opening the knowledge base with the embedder of before and calling this again
    /// goes on from there. Calling it with a third embedder gives up what was made of the second. The embedder of before is not asked
    /// for anything once the exchange is made, and [`open`](Rag::open) refuses it from then on.
    ///
    /// # Errors
    /// `busy` while another change of the embedder goes on; `closed` after the shutdown. The stream ends with an error when it was cancelled
    /// (`cancelled`), when the embedder fails, and when the knowledge base cannot be written; the vectors of before answer then.
    pub fn reembed(&self, embedder: Arc<dyn Embedder>) -> Result<Stream<ReembedEvent>> {
        let (events, stream) = event::channel(INGEST_EVENTS);
        let preparer = self.preparer(events.cancellation())?;
        let turn = self.inner.reembedding.clone().try_lock_owned().map_err(|_| {
            Error::busy("the embedder of this knowledge base is being changed already")
                .with_remedy("wait until that is finished, or cancel it")
        })?;
        let reembedding = Reembedding { preparer, embedder, events, changing: self.inner.changing.clone(), turn };
        self.inner.tasks.spawn(reembedding.run());
        Ok(stream)
    }

    /// Brings the vectors to a collection at other people's nodes, which under [`Seal`](crate::vpk::Mode::Seal) and
    /// [`Split`](crate::vpk::Mode::Split) cannot read them, while those at home go on to answer. When the collection and its hosts have
    /// all of them, it answers instead, and those at home are deleted and overwritten. Texts, words, calibrations and answers stay here;
    /// a search by meaning is one question to the hosts, of which they learn [what the mode says](crate::vpk::Leakage).
    ///
    /// Documents may come and go meanwhile and afterwards. The collection is told of them when an ingestion or a pass over a folder ends,
    /// and after each deletion; what it could not be told waits, without its vector on this disk, and is told with the next change. What
    /// is fewer than a segment it keeps at its owner, this node, until this is called again or the collection is flushed.
    ///
    /// After a crash, a cancellation or an error, calling this again goes on from there. A knowledge base that is opened later searches by
    /// words until it is called with the same collection. The way home is [`reembed`](Rag::reembed), also with the same embedder. How much
    /// meaning counts against words is not found out anew while the vectors are elsewhere.
    ///
    /// From the first vector on the collection is for this knowledge base alone, as its owner's record says; the app puts nothing in and
    /// takes nothing out. When the vectors come home, or the knowledge base is [destroyed](Rag::destroy), it is emptied and may be
    /// another's; one that the knowledge base was not given since it was opened is to be destroyed by whoever made it.
    ///
    /// # Errors
    /// `busy` while vectors are brought there already, or another embedder comes; `closed` after the shutdown. The stream ends with
    /// `invalid_argument` for a collection of another dimension, or that does not compare cosines; `unsupported` for a knowledge base
    /// that has no embedder, or compares otherwise; `conflict` for another collection than the one that has the vectors, one that is
    /// another knowledge base's or holds something else, and passages without vectors; `cancelled`; what the collection and its hosts answer, such as `unreachable`.
    #[cfg(feature = "vpk")]
    pub fn outsource(&self, collection: &crate::vpk::Collection) -> Result<Stream<OutsourceEvent>> {
        self.outsource_with(collection, OutsourceOptions::default())
    }

    /// [`outsource`](Rag::outsource), with the texts if they are to go too.
    ///
    /// # Errors
    /// Those of [`outsource`](Rag::outsource); the stream ends with `invalid_argument` for texts under `plain`, and for one that is
    /// too long.
    #[cfg(feature = "vpk")]
    pub fn outsource_with(
        &self,
        collection: &crate::vpk::Collection,
        options: OutsourceOptions,
    ) -> Result<Stream<OutsourceEvent>> {
        let (events, stream) = event::channel(INGEST_EVENTS);
        let preparer = self.preparer(events.cancellation())?;
        let turn = self.inner.reembedding.clone().try_lock_owned().map_err(|_| {
            Error::busy("the vectors of this knowledge base are being made or brought somewhere already")
                .with_remedy("wait until that is finished, or cancel it")
        })?;
        let (collection, changing) = (collection.clone(), self.inner.changing.clone());
        self.inner.tasks.spawn(outsource::Outsourcing { preparer, collection, options, events, changing, turn }.run());
        Ok(stream)
    }

    fn preparer(&self, unread: CancellationToken) -> Result<Preparer> {
        let config = &self.inner.config;
        let Open { knowledge, embedder, .. } = self.open_now()?;
        Ok(Preparer {
            opened: self.inner.opened.clone(),
            knowledge,
            embedder,
            chunking: config.chunking,
            limits: config.limits,
            readers: config.readers.clone(),
            clock: config.clock.clone(),
            closing: self.inner.closing.clone(),
            traces: self.inner.traces.clone(),
            unread,
        })
    }

    /// The `k` passages that fit a text best. For `options` a [`Mode`] will do.
    ///
    /// Nothing in the text is syntax. Where there is no embedder, [`Mode::Hybrid`] searches by words alone and says so.
    ///
    /// # Errors
    /// `unsupported` for [`Mode::Dense`] without an embedder, and for what only a language model can do without one; `conflict` where the
    /// vectors are elsewhere and their collection was not given since the knowledge base was opened; what the hosts of the collection
    /// answer, such as `unreachable`; `invalid_argument` for a text of more than 32 KiB, for a share that is not between 0 and 1, and for
    /// a filter that means nothing; `not_found` for a document that is not stored; `closed` after the shutdown; what the embedder reports.
    pub async fn search(&self, text: &str, k: usize, options: impl Into<SearchOptions>) -> Result<SearchResult> {
        if text.len() > answer::LONGEST_QUESTION {
            let most = answer::LONGEST_QUESTION;
            return Err(Error::invalid_argument(format!("what is searched for has at most {most} bytes")));
        }
        let open = self.open_now()?;
        Ok(self.find(&open, text, k, options.into()).await?.0)
    }

    /// The hits, and the vector of the text where there is one.
    async fn find(
        &self,
        open: &Open,
        text: &str,
        k: usize,
        options: SearchOptions,
    ) -> Result<(SearchResult, Option<Vec<f32>>)> {
        options.check()?;
        let started = Instant::now();
        let mut timings = Timings::default();
        let knowledge = open.knowledge.clone();
        let (mode, mut note) = possible(open, options.mode)?;
        let options = SearchOptions { mode, ..options };
        let model = self.inner.config.language_model.as_deref();
        if options.asks_a_model() && model.is_none() {
            return Err(Error::unsupported("this knowledge base was opened without a language model")
                .with_remedy("open it with one, or search without wordings, hypothesis and rerank"));
        }
        let model = model.filter(|_| k > 0 && !text.trim().is_empty());
        // What the model does not do is said, and the search goes on without it.
        let mut told = |what: &str, error: Error| {
            note = Some(match note.take() {
                Some(note) => format!("{note}; {what}: {error}"),
                None => format!("{what}: {error}"),
            });
        };
        let within = match options.is_filter() {
            true => {
                let (knowledge, options) = (knowledge.clone(), options.clone());
                Some(Arc::new(blocking(move || filter::within(&knowledge, &options)).await?))
            }
            false => None,
        };
        let wider = k.max(options.rerank);
        // What is to differ is chosen from more, and from all wordings together.
        let looked_at = if options.diversity > 0.0 { wider.saturating_mul(retrieval::WIDER) } else { wider };
        let asking = Instant::now();
        let mut texts = vec![text.to_owned()];
        let mut made_up = None;
        if let Some(model) = model.filter(|_| options.wordings > 0) {
            match expand::wordings(model, text, options.wordings).await {
                Ok(wordings) => texts.extend(wordings),
                Err(error) => told("only the text itself was looked for", error),
            }
        }
        if let Some(model) = model.filter(|_| options.hypothesis > 0.0) {
            match expand::hypothesis(model, text).await {
                Ok(passage) => made_up = Some(passage),
                Err(error) => told("no passage was made up", error),
            }
        }
        timings.model_ms += if model.is_some() && options.asks_a_model() { ms_since(asking) } else { 0.0 };
        let mut rankings = Vec::with_capacity(texts.len());
        let mut of_text = None;
        for (number, asked) in texts.iter().enumerate() {
            let made_up = made_up.as_deref().filter(|_| number == 0);
            let (hits, vector) = Rag::look(open, asked, made_up, looked_at, &options, &within, &mut timings).await?;
            rankings.push(hits);
            of_text = of_text.or(vector);
        }
        let fusing = Instant::now();
        let mut hits = if rankings.len() == 1 { rankings.remove(0) } else { retrieval::merged(rankings) };
        if options.diversity > 0.0 {
            hits.truncate(looked_at);
            let made = elsewhere::again(open, &hits).await?;
            let knowledge = knowledge.clone();
            hits = blocking(move || retrieval::differing(&knowledge, hits, made, wider, options.diversity)).await?;
        }
        hits.truncate(wider);
        timings.fusing_ms += ms_since(fusing);
        let asking = Instant::now();
        if let Some(model) = model.filter(|_| options.rerank > 0 && hits.len() > 1) {
            let first = options.rerank.min(hits.len());
            match expand::order(model, text, &hits[..first]).await {
                Ok(order) => {
                    let ordered: Vec<Hit> = order.into_iter().map(|place| hits[place].clone()).collect();
                    hits.splice(..first, ordered);
                }
                Err(error) => told("the passages were not put in order", error),
            }
        }
        timings.model_ms += if model.is_some() && options.rerank > 0 { ms_since(asking) } else { 0.0 };
        hits.truncate(k);
        if options.neighbours > 0 {
            hits = blocking(move || retrieval::with_neighbours(&knowledge, hits, options.neighbours)).await?;
        }
        timings.total_ms = ms_since(started);
        Ok((SearchResult { hits, mode, note, timings: options.timed.then_some(timings) }, of_text))
    }

    /// The hits for one text, and its vector where there is one.
    async fn look(
        open: &Open,
        text: &str,
        made_up: Option<&str>,
        k: usize,
        options: &SearchOptions,
        within: &Option<Arc<Within>>,
        timings: &mut Timings,
    ) -> Result<(Vec<Hit>, Option<Vec<f32>>)> {
        let Open { knowledge, embedder, .. } = open.clone();
        let mode = options.mode;
        let by_words = async {
            if mode == Mode::Dense {
                return Ok((Default::default(), 0.0));
            }
            let started = Instant::now();
            let (knowledge, text, within) = (knowledge.clone(), text.to_owned(), within.clone());
            let made_up = made_up.map(str::to_owned);
            let pool = if k == 0 { 0 } else { retrieval::pool(k) };
            let share = options.hypothesis;
            blocking(move || {
                let mut wanted = knowledge.lexical.wanted(&text);
                if let Some(made_up) = made_up {
                    // All of its words together count as much as the share says against those of the text.
                    let more = knowledge.lexical.wanted(&made_up);
                    let total = |wanted: &lexical::Wanted| wanted.values().sum::<f64>();
                    let each = share * total(&wanted) / total(&more).max(1.0);
                    for (term, count) in more {
                        *wanted.entry(term).or_default() += count * each;
                    }
                }
                let documents = within.as_ref().map(|within| within.documents.as_slice());
                let found = (knowledge.lexical.search(&wanted, pool, documents)?, wanted);
                Ok((found, ms_since(started)))
            })
            .await
        };
        let by_meaning = async {
            let embedder = embedder.as_ref().filter(|_| k > 0 && mode != Mode::Lexical);
            // Some embedders refuse an empty text; no passage is near to it anyhow.
            let Some(embedder) = embedder.filter(|_| !text.trim().is_empty()) else {
                return Ok((None, None, None, 0.0));
            };
            let started = Instant::now();
            // An app's embedder is told once for a call whether its texts are looked for or found.
            let of_text = embed(embedder.as_ref(), vec![Text::Query(text.to_owned())]).await?.pop();
            let of_passage = match made_up {
                Some(passage) => embed(embedder.as_ref(), vec![Text::Document(passage.to_owned())]).await?.pop(),
                None => None,
            };
            let vector = match (&of_text, of_passage) {
                (Some(text), Some(passage)) => Some(mixed(text, &passage, options.hypothesis as f32)),
                _ => of_text.clone(),
            };
            let cosines = Cosines::ask(open, vector.as_deref()).await?;
            Ok((of_text, vector, cosines, ms_since(started)))
        };
        let (((words, wanted), words_ms), (of_text, vector, cosines, asking_ms)) =
            futures::try_join!(by_words, by_meaning)?;
        let (options, within) = (options.clone(), within.clone());
        let query = Query { text: text.to_owned(), wanted, k, options, within, words, vector, cosines };
        let (hits, took) = blocking(move || retrieval::hits(&knowledge, &query)).await?;
        timings.words_ms += words_ms;
        timings.meaning_ms += asking_ms + took.meaning_ms;
        timings.links_ms += took.links_ms;
        timings.fusing_ms += took.fusing_ms;
        Ok((hits, of_text))
    }

    /// Answers a question from the documents, as a stream: pieces of text, then [`AskEvent::Done`] with the sources.
    ///
    /// Without a language model the answer quotes the best sentences. What a model writes counts when its citations
    /// [hold](check_citations); else it is asked once more with what is wrong, and then the answer quotes. When the
    /// documents do not support an answer it says [`REFUSAL`] and why; that is decided from [`Evidence`], before any
    /// model is asked, and again from what it cites.
    ///
    /// # Errors
    /// `invalid_argument` for an empty question, `k` 0, or a share outside 0 to 1; `closed` after the shutdown. The stream ends with
    /// `conflict` for [`AskOptions::max_unsupported`] without a calibration, and with what [`search`](Rag::search) reports.
    pub fn ask(&self, question: &str, options: AskOptions) -> Result<Stream<AskEvent>> {
        answer::check(question, &options)?;
        self.knowledge()?;
        let (events, stream) = event::channel(ASK_EVENTS);
        let (rag, text) = (self.clone(), question.to_owned());
        let closing = self.inner.closing.clone();
        self.inner.tasks.spawn(async move {
            let work = async {
                let cache = rag.inner.cache.clone();
                let remembered = match &cache {
                    Some(cache) => rag.remembered(cache, &text, &options).await?,
                    None => None,
                };
                let asked = match remembered {
                    Some(Remembered::Answer(answer)) => {
                        events.send(AskEvent::Text { text: answer.text.clone() });
                        events.send(AskEvent::Done { answer });
                        return Ok(());
                    }
                    Some(Remembered::Not(asked, generation)) => Some((asked, generation)),
                    None => None,
                };
                let usual = rag.mode(options.mode)?.1;
                let question = rag.question(text, options, |_| true).await?;
                let (clock, expected) = (rag.inner.config.clock.clone(), rag.inner.config.language_model.is_some());
                // The worker is not to keep the knowledge base open while a model writes.
                drop(rag);
                let answer = question.answer(&events).await?;
                // What stands in for a model that failed, or was cut off, is not what it would say the next time.
                let whole =
                    answer.note == usual && !answer.is_cut() && (answer.refused || answer.model.is_some() == expected);
                if let (Some(cache), Some((asked, generation)), true) = (cache, asked, whole) {
                    cache.keep(asked, answer.clone(), generation, clock.now().as_millisecond());
                }
                events.send(AskEvent::Done { answer: Box::new(answer) });
                Ok(())
            };
            let result = tokio::select! {
                result = work => result,
                () = closing.cancelled() => Err(closed()),
                () = events.cancellation().cancelled_owned() => Err(Error::cancelled("the question was withdrawn")),
            };
            events.finish(result);
        });
        Ok(stream)
    }

    /// The answer to a question, whole.
    ///
    /// # Errors
    /// Those of [`ask`](Rag::ask).
    pub async fn answer(&self, question: &str, options: AskOptions) -> Result<Answer> {
        let mut stream = self.ask(question, options)?;
        while let Some(item) = stream.next().await? {
            if let Item::Value(AskEvent::Done { answer }) = item {
                return Ok(*answer);
            }
        }
        Err(Error::internal("an answer ended without its last event"))
    }

    /// How well the documents support an answer to a question, without writing one; `keep` leaves passages out, for example those
    /// that are known to hold the answer, to measure refusal.
    ///
    /// # Errors
    /// Those of [`ask`](Rag::ask).
    pub async fn evidence(&self, question: &str, options: AskOptions, keep: impl Fn(&Hit) -> bool) -> Result<Evidence> {
        answer::check(question, &options)?;
        Ok(self.question(question.to_owned(), options, keep).await?.reading.evidence)
    }

    async fn question(&self, text: String, options: AskOptions, keep: impl Fn(&Hit) -> bool) -> Result<Question> {
        let open = self.open_now()?;
        let knowledge = open.knowledge.clone();
        let threshold = match options.max_unsupported {
            Some(tolerated) => {
                let (knowledge, mode) = (knowledge.clone(), possible(&open, options.mode)?.0);
                let calibration = blocking(move || knowledge.calibration(mode)).await?.ok_or_else(|| {
                    Error::conflict("the knowledge base was not calibrated for this mode")
                        .with_remedy("calibrate it, or set min_support instead of max_unsupported")
                })?;
                Threshold::Calibrated { above: calibration.threshold(tolerated)?, tolerated }
            }
            None => Threshold::AtLeast(options.min_support),
        };
        let wider = options.k.saturating_mul(2).max(options.k.saturating_add(16));
        // More are found than are read.
        let search = SearchOptions { neighbours: 0, ..options.search() };
        let searched = answer::searched(&knowledge, &text, &options.history);
        let (found, vector) = self.find(&open, &searched, wider, search).await?;
        let mut hits = found.hits;
        hits.retain(keep);
        if options.hypothesis > 0.0 || options.wordings > 0 {
            // What a model made up decides what is read, not how much it says.
            let cosines = Cosines::ask(&open, vector.as_deref()).await?;
            let (knowledge, searched, vector) = (knowledge.clone(), searched.clone(), vector.clone());
            let rescored =
                move || retrieval::rescored(&knowledge, &searched, vector.as_deref(), cosines.as_deref(), hits);
            hits = blocking(rescored).await?;
        }
        let lead = answer::lead(&hits, options.k);
        hits.truncate(options.k);
        let reader = Reader { knowledge: knowledge.clone(), embedder: open.embedder.clone() };
        let reading = reader.read(&searched, vector.as_deref(), &hits, lead).await?;
        let model = self.inner.config.language_model.clone();
        let found_in = hits.iter().map(|hit| hit.chunk_id.clone()).collect();
        let read = if model.is_some() && options.neighbours > 0 { hits.clone() } else { Vec::new() };
        let neighbours = options.neighbours;
        let known = move || Ok((knowledge.passages_of(found_in)?, knowledge.surroundings(&read, neighbours)?));
        let (passages, around) = blocking(known).await?;
        let (mode, note) = (found.mode, found.note);
        Ok(Question {
            text,
            search: searched,
            vector,
            options,
            threshold,
            hits,
            mode,
            note,
            reader,
            reading,
            model,
            passages,
            around,
        })
    }

    /// Every document, in the order of the names.
    ///
    /// # Errors
    /// `closed` after the shutdown; those of the database.
    pub async fn documents(&self) -> Result<Vec<DocumentInfo>> {
        let knowledge = self.knowledge()?;
        blocking(move || knowledge.documents()).await
    }

    /// A document.
    ///
    /// # Errors
    /// `not_found` for an id that is not stored; `closed` after the shutdown; those of the database.
    pub(crate) async fn document(&self, id: &str) -> Result<DocumentInfo> {
        let (knowledge, id) = (self.knowledge()?, id.to_owned());
        blocking(move || knowledge.document(&id)?.ok_or_else(|| no_document(&id))).await
    }

    /// The text of a document, in which spans of hits and citations count their bytes.
    ///
    /// # Errors
    /// `not_found` for an id that is not stored; `closed` after the shutdown; those of the database.
    pub async fn document_text(&self, id: &str) -> Result<String> {
        let (knowledge, id) = (self.knowledge()?, id.to_owned());
        blocking(move || knowledge.text(&id)?.ok_or_else(|| no_document(&id))).await
    }

    /// Removes a document with its text, passages, words and vectors. Its bytes in the database's file are overwritten a few seconds
    /// after, at most every ten minutes, or with the shutdown. Of vectors that are elsewhere the collection hears as soon as it can,
    /// finds them no more, and is rid of their numbers when all of their segment are gone, or it is rotated. Dropping the future stops the wait, not the removal.
    ///
    /// # Errors
    /// `not_found` for an id that is not stored; `closed` after the shutdown; those of the database.
    pub async fn delete_document(&self, id: &str) -> Result<()> {
        self.knowledge()?;
        let (opened, id) = (self.inner.opened.clone(), id.to_owned());
        let (changing, closing) = (self.inner.changing.clone(), self.inner.closing.clone());
        let traces = self.inner.traces.clone();
        let work = self.inner.tasks.spawn(async move {
            let turn = changing.lock().await;
            let open = opened.get().ok_or_else(closed)?;
            let knowledge = open.knowledge.clone();
            blocking(move || {
                if knowledge.document(&id)?.is_none() {
                    return Err(no_document(&id));
                }
                knowledge.commit(Vec::new(), &[id])
            })
            .await?;
            drop(turn);
            traces.later();
            closing.run_until_cancelled(elsewhere::follow(open)).await;
            Ok(())
        });
        work.await.unwrap_or_else(|error| Err(Error::internal("a removal did not finish").with_source(error)))
    }

    /// What it holds and how it searches.
    ///
    /// # Errors
    /// `closed` after the shutdown; those of the database.
    pub async fn stats(&self) -> Result<Stats> {
        let open = self.open_now()?;
        let (mode, note) = match possible(&open, Mode::Hybrid) {
            Ok(possible) => possible,
            Err(error) => (Mode::Lexical, Some(error.to_string())),
        };
        let Open { knowledge, attached, .. } = open;
        let language_model = self.inner.config.language_model.as_ref().map(|model| model.name());
        blocking(move || {
            let sizes = knowledge.sizes()?;
            let bare = sizes.chunks.saturating_sub(sizes.vectors);
            let partly = (mode == Mode::Hybrid && bare > 0).then(|| {
                format!(
                    "{bare} passages were ingested without an embedder and are found by words alone; ingest them again"
                )
            });
            Ok(Stats {
                documents: sizes.documents,
                chunks: sizes.chunks,
                vectors: sizes.vectors,
                indexed: knowledge.lexical.len(),
                sealed_vectors: knowledge.vectors.as_ref().map_or(0, |vectors| vectors.sealed_len() as u64),
                generation: sizes.generation,
                embedder: knowledge.embedder().cloned(),
                language_model,
                mode,
                dense_weight: knowledge.dense_weight()?,
                note: note.or(partly),
                outsourced: knowledge.standing_away()?.map(|standing| Outsourced {
                    collection: standing.record.collection,
                    attached: attached.is_some(),
                    complete: standing.clean,
                    waiting: standing.waiting,
                }),
            })
        })
        .await
    }

    /// Stops what is under way, waits for the commit that is being made, and unlocks the directory. Every handle answers `closed`
    /// from then on. Calling it again does nothing.
    pub async fn shutdown(&self) {
        self.inner.closing.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        let open = self.inner.opened.take();
        // Closing the files may block.
        let _ = blocking(move || {
            if let Some(vectors) = open.as_ref().and_then(|open| open.knowledge.vectors.as_ref()) {
                vectors.close();
            }
            if let Some(error) = open.as_ref().and_then(|open| open.knowledge.wipe().err()) {
                tracing::warn!(code = %error.code(), "what was deleted could not be overwritten");
            }
            drop(open);
            Ok(())
        })
        .await;
    }

    /// Shuts the knowledge base down and deletes everything it stored. Files of others in its directory stay. A collection that it was
    /// given by `outsource` since it was opened is emptied and may be another's then; one that it was not given is
    /// to be destroyed by whoever made it.
    ///
    /// # Errors
    /// Those of the operating system when a file cannot be deleted.
    pub async fn destroy(self) -> Result<()> {
        let claimed = self.inner.opened.get().and_then(|open| open.claimed);
        self.shutdown().await;
        let (dir, keeper) = (self.inner.dir.clone(), self.inner.keeper.clone());
        blocking(move || {
            keeper.as_ref().map_or(Ok(()), |keeper| keeper.begins_to_go())?;
            erase(&dir)?;
            keeper.map_or(Ok(()), |keeper| keeper.has_gone())
        })
        .await?;
        // Last, so that no knowledge base is left whose vectors are nowhere.
        if let Some(collection) = claimed
            && let Err(error) = collection.release().await
        {
            tracing::warn!(code = %error.code(), "the collection of a knowledge base that is destroyed could not be emptied");
        }
        Ok(())
    }

    /// Work that ends with the knowledge base, whose shutdown waits for it.
    pub(crate) fn until_closed<F: Future<Output = ()> + Send + 'static>(
        &self,
        work: impl FnOnce(CancellationToken) -> F,
    ) {
        self.inner.tasks.spawn(work(self.inner.closing.clone()));
    }

    /// The directory that it lies in.
    pub(crate) fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// Whether both are handles of one knowledge base.
    pub(crate) fn is(&self, other: &Rag) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Whether it was shut down.
    pub fn is_closed(&self) -> bool {
        self.inner.closing.is_cancelled()
    }

    fn knowledge(&self) -> Result<Arc<KnowledgeStore>> {
        Ok(self.open_now()?.knowledge)
    }

    /// The knowledge base as it is now. What belongs together, such as a question's vector and those it is compared with, is of one.
    fn open_now(&self) -> Result<Open> {
        if self.inner.closing.is_cancelled() {
            return Err(closed());
        }
        self.inner.opened.get().ok_or_else(closed)
    }

    /// The mode that is possible, and why it is another than was asked for.
    fn mode(&self, asked: Mode) -> Result<(Mode, Option<String>)> {
        possible(&self.open_now()?, asked)
    }
}

/// Deletes what a knowledge base stored in a directory, and the directory if nothing else is in it.
pub(crate) fn erase(dir: &Path) -> Result<()> {
    let gone = |path: &Path, result: std::io::Result<()>| match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file("delete", path, error)),
        _ => Ok(()),
    };
    // The database goes first: without it nothing else counts.
    let database = dir.join(DATABASE);
    gone(&database, std::fs::remove_file(&database))?;
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten().filter(|entry| is_own(&entry.file_name())) {
        let path = entry.path();
        let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        gone(&path, removed)?;
    }
    // Fails when somebody else's files lie in it, which is then as it should be.
    let _ = std::fs::remove_dir(dir);
    Ok(())
}

/// Whether a knowledge base calls one of its files so.
pub(crate) fn is_own(name: &std::ffi::OsStr) -> bool {
    let (begin, end) = store::SEGMENT_FILES;
    let is_segment = name.to_str().is_some_and(|name| name.starts_with(begin) && name.ends_with(end));
    is_segment || name == DATABASE || name == store::LEXICAL_DIR
}

/// The mode that is possible, and why it is another than was asked for.
fn possible(open: &Open, asked: Mode) -> Result<(Mode, Option<String>)> {
    if open.embedder.is_some() && asked != Mode::Lexical && open.knowledge.is_away() && open.attached.is_none() {
        return Err(elsewhere::detached());
    }
    if open.embedder.is_some() || asked == Mode::Lexical {
        return Ok((asked, None));
    }
    let remedy = "open it with an embedder to search by meaning too";
    if asked == Mode::Dense {
        return Err(Error::unsupported("this knowledge base was opened without an embedder").with_remedy(remedy));
    }
    let note = format!("no embedder was given, so passages are found by their words alone; {remedy}");
    Ok((Mode::Lexical, Some(note)))
}

/// A direction between two, `share` of the way from the first.
fn mixed(from: &[f32], to: &[f32], share: f32) -> Vec<f32> {
    let sum: Vec<f32> = from.iter().zip(to).map(|(from, to)| (1.0 - share) * from + share * to).collect();
    let norm = dot(&sum, &sum).sqrt();
    // Opposite directions have none between them.
    if norm < f32::EPSILON { from.to_vec() } else { sum.into_iter().map(|value| value / norm).collect() }
}

fn closed() -> Error {
    Error::closed("the knowledge base was shut down").with_remedy("open it again")
}

fn no_document(id: &str) -> Error {
    Error::not_found(format!("no document has the id {id}")).with_remedy("take an id from documents()")
}
