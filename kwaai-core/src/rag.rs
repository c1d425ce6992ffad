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
pub mod evaluate;
mod evidence;
mod expand;
mod generate;
mod ingest;
mod lexical;
mod links;
mod names;
mod retrieval;
mod sentence;
mod store;
mod sync;
mod terms;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
use crate::rag::ingest::{Ingestion, Preparer, blocking, embed};
use crate::rag::retrieval::Query;
use crate::rag::store::KnowledgeStore;
use crate::rag::sync::Sync;
use crate::vector::{IndexOptions, dot};
use crate::{Error, Result};

pub use answer::{Answer, AskEvent, AskOptions, Citation, REFUSAL};
pub use cache::{CacheOptions, CacheStats};
pub use calibration::{Calibration, CalibrationQuestion};
pub use evidence::Evidence;
pub use ingest::{IngestEvent, Source};
pub use retrieval::{Hit, Mode, Rank, SearchOptions, SearchResult};
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
    /// The language whose word forms are brought together. Changing it rebuilds the word index.
    pub language: Language,
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
            language: Language::default(),
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
}

struct Inner {
    dir: PathBuf,
    config: RagConfig,
    knowledge: Mutex<Option<Arc<KnowledgeStore>>>,
    /// One change at a time, in the order they were asked for.
    changing: Arc<tokio::sync::Mutex<()>>,
    closing: CancellationToken,
    tasks: TaskTracker,
    cache: Option<Arc<Cache>>,
}

impl Inner {
    fn slot(&self) -> MutexGuard<'_, Option<Arc<KnowledgeStore>>> {
        self.knowledge.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        config.chunking.check()?;
        let cache = config.cache.map(|options| options.check().map(|()| Arc::new(Cache::new(options)))).transpose()?;
        let embedder = config.embedder.as_ref();
        let embedder = embedder.map(|embedder| EmbedderInfo { id: embedder.id(), dimension: embedder.dimension() });
        let (path, language, index) = (dir.to_owned(), config.language, config.index);
        let knowledge = blocking(move || KnowledgeStore::open(&path, embedder, language, index)).await?;
        let inner = Inner {
            dir: dir.to_owned(),
            config,
            knowledge: Mutex::new(Some(Arc::new(knowledge))),
            changing: Arc::default(),
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
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
        let (events, stream) = event::channel(INGEST_EVENTS);
        let ingestion = Ingestion { preparer: self.preparer(events.cancellation())?, events };
        let changing = self.inner.changing.clone();
        self.inner.tasks.spawn(async move {
            let _turn = changing.lock().await;
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

    fn preparer(&self, unread: CancellationToken) -> Result<Preparer> {
        let config = &self.inner.config;
        Ok(Preparer {
            knowledge: self.knowledge()?,
            embedder: config.embedder.clone(),
            chunking: config.chunking,
            limits: config.limits,
            readers: config.readers.clone(),
            clock: config.clock.clone(),
            closing: self.inner.closing.clone(),
            unread,
        })
    }

    /// The `k` passages that fit a text best. For `options` a [`Mode`] will do.
    ///
    /// Nothing in the text is syntax. Where there is no embedder, [`Mode::Hybrid`] searches by words alone and says so.
    ///
    /// # Errors
    /// `unsupported` for [`Mode::Dense`] without an embedder, and for what only a language model can do without one; `invalid_argument` for a share that is not between 0 and 1; `not_found`
    /// for a document that is not stored; `closed` after the shutdown; what the embedder reports.
    pub async fn search(&self, text: &str, k: usize, options: impl Into<SearchOptions>) -> Result<SearchResult> {
        Ok(self.find(text, k, options.into()).await?.0)
    }

    /// The hits, and the vector of the text where there is one.
    async fn find(&self, text: &str, k: usize, options: SearchOptions) -> Result<(SearchResult, Option<Vec<f32>>)> {
        options.check()?;
        let (mode, mut note) = self.mode(options.mode)?;
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
        let wider = k.max(options.rerank);
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
        let mut rankings = Vec::with_capacity(texts.len());
        let mut of_text = None;
        for (number, asked) in texts.iter().enumerate() {
            let made_up = made_up.as_deref().filter(|_| number == 0);
            let (hits, vector) = self.look(asked, made_up, wider, &options).await?;
            rankings.push(hits);
            of_text = of_text.or(vector);
        }
        let mut hits = if rankings.len() == 1 { rankings.remove(0) } else { retrieval::merged(rankings) };
        hits.truncate(wider);
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
        hits.truncate(k);
        Ok((SearchResult { hits, mode, note }, of_text))
    }

    /// The hits for one text, and its vector where there is one.
    async fn look(
        &self,
        text: &str,
        made_up: Option<&str>,
        k: usize,
        options: &SearchOptions,
    ) -> Result<(Vec<Hit>, Option<Vec<f32>>)> {
        let knowledge = self.knowledge()?;
        let mode = options.mode;
        let within = match options.is_filter() {
            true => {
                let (knowledge, options) = (knowledge.clone(), options.clone());
                Some(blocking(move || retrieval::within(&knowledge, &options)).await?)
            }
            false => None,
        };
        let by_words = async {
            if mode == Mode::Dense {
                return Ok(Default::default());
            }
            let (knowledge, text, within) = (knowledge.clone(), text.to_owned(), within.clone());
            let made_up = made_up.map(str::to_owned);
            let pool = if k == 0 { 0 } else { retrieval::pool(k, options) };
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
                Ok((knowledge.lexical.search(&wanted, pool, within.as_deref())?, wanted))
            })
            .await
        };
        let embedded = async {
            let embedder = self.inner.config.embedder.as_ref().filter(|_| k > 0 && mode != Mode::Lexical);
            // Some embedders refuse an empty text; no passage is near to it anyhow.
            let Some(embedder) = embedder.filter(|_| !text.trim().is_empty()) else { return Ok((None, None)) };
            let mut texts = vec![Text::Query(text.to_owned())];
            texts.extend(made_up.map(|passage| Text::Document(passage.to_owned())));
            let mut vectors = embed(embedder.as_ref(), texts).await?.into_iter();
            Ok((vectors.next(), vectors.next()))
        };
        let ((words, wanted), (of_text, of_passage)) = futures::try_join!(by_words, embedded)?;
        let vector = match (&of_text, of_passage) {
            (Some(text), Some(passage)) => Some(mixed(text, &passage, options.hypothesis as f32)),
            _ => of_text.clone(),
        };
        let query = Query { text: text.to_owned(), wanted, k, options: options.clone(), within, words, vector };
        let hits = blocking(move || retrieval::hits(&knowledge, &query)).await?;
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
                // What stands in for a model that failed is not what it would say the next time.
                let whole = answer.note == usual && (answer.refused || answer.model.is_some() == expected);
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
        let knowledge = self.knowledge()?;
        let threshold = match options.max_unsupported {
            Some(tolerated) => {
                let (knowledge, mode) = (knowledge.clone(), self.mode(options.mode)?.0);
                let calibration = blocking(move || knowledge.calibration(mode)).await?.ok_or_else(|| {
                    Error::conflict("the knowledge base was not calibrated for this mode")
                        .with_remedy("calibrate it, or set min_support instead of max_unsupported")
                })?;
                Threshold::Calibrated { above: calibration.threshold(tolerated)?, tolerated }
            }
            None => Threshold::AtLeast(options.min_support),
        };
        let wider = options.k.saturating_mul(2).max(options.k.saturating_add(16));
        let documents = options.documents.clone();
        let AskOptions { links, wordings, hypothesis, rerank, .. } = options;
        let search = SearchOptions { links, documents, wordings, hypothesis, rerank, ..options.mode.into() };
        let searched = answer::searched(&knowledge, &text, &options.history);
        let (found, vector) = self.find(&searched, wider, search).await?;
        let mut hits = found.hits;
        hits.retain(keep);
        if options.hypothesis > 0.0 || options.wordings > 0 {
            // What a model made up decides what is read, not how much it says.
            let (knowledge, searched, vector) = (knowledge.clone(), searched.clone(), vector.clone());
            hits = blocking(move || retrieval::rescored(&knowledge, &searched, vector.as_deref(), hits)).await?;
        }
        let lead = answer::lead(&hits, options.k);
        hits.truncate(options.k);
        let reader = Reader { knowledge: knowledge.clone(), embedder: self.inner.config.embedder.clone() };
        let reading = reader.read(&searched, vector.as_deref(), &hits, lead).await?;
        let model = self.inner.config.language_model.clone();
        let found_in = hits.iter().map(|hit| hit.chunk_id.clone()).collect();
        let passages = blocking(move || knowledge.passages_of(found_in)).await?;
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

    /// Removes a document and every trace of it: its text, passages, words and vectors. Dropping the future stops the wait, not the
    /// removal.
    ///
    /// # Errors
    /// `not_found` for an id that is not stored; `closed` after the shutdown; those of the database.
    pub async fn delete_document(&self, id: &str) -> Result<()> {
        let (knowledge, id) = (self.knowledge()?, id.to_owned());
        let changing = self.inner.changing.clone();
        let work = self.inner.tasks.spawn(async move {
            let _turn = changing.lock().await;
            blocking(move || {
                if knowledge.document(&id)?.is_none() {
                    return Err(no_document(&id));
                }
                knowledge.commit(Vec::new(), &[id])
            })
            .await
        });
        work.await.unwrap_or_else(|error| Err(Error::internal("a removal did not finish").with_source(error)))
    }

    /// What it holds and how it searches.
    ///
    /// # Errors
    /// `closed` after the shutdown; those of the database.
    pub async fn stats(&self) -> Result<Stats> {
        let knowledge = self.knowledge()?;
        let (mode, note) = self.mode(Mode::Hybrid)?;
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
        let knowledge = self.inner.slot().take();
        // Closing the files may block.
        let _ = blocking(move || {
            drop(knowledge);
            Ok(())
        })
        .await;
    }

    /// Shuts the knowledge base down and deletes everything it stored. Files of others in its directory stay.
    ///
    /// # Errors
    /// Those of the operating system when a file cannot be deleted.
    pub async fn destroy(self) -> Result<()> {
        self.shutdown().await;
        let dir = self.inner.dir.clone();
        blocking(move || {
            let gone = |path: &Path, result: std::io::Result<()>| match result {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file("delete", path, error)),
                _ => Ok(()),
            };
            // The database goes first: without it nothing else counts.
            for name in [DATABASE, store::SEGMENT_FILE] {
                let path = dir.join(name);
                gone(&path, std::fs::remove_file(&path))?;
            }
            let lexical = dir.join(store::LEXICAL_DIR);
            gone(&lexical, std::fs::remove_dir_all(&lexical))?;
            // Fails when somebody else's files lie in it, which is then as it should be.
            let _ = std::fs::remove_dir(&dir);
            Ok(())
        })
        .await
    }

    /// Work that ends with the knowledge base, whose shutdown waits for it.
    pub(crate) fn until_closed<F: Future<Output = ()> + Send + 'static>(
        &self,
        work: impl FnOnce(CancellationToken) -> F,
    ) {
        self.inner.tasks.spawn(work(self.inner.closing.clone()));
    }

    /// Whether it was shut down.
    pub fn is_closed(&self) -> bool {
        self.inner.closing.is_cancelled()
    }

    fn knowledge(&self) -> Result<Arc<KnowledgeStore>> {
        if self.inner.closing.is_cancelled() {
            return Err(closed());
        }
        self.inner.slot().clone().ok_or_else(closed)
    }

    /// The mode that is possible, and why it is another than was asked for.
    fn mode(&self, asked: Mode) -> Result<(Mode, Option<String>)> {
        if self.inner.config.embedder.is_some() || asked == Mode::Lexical {
            return Ok((asked, None));
        }
        let remedy = "open it with an embedder to search by meaning too";
        if asked == Mode::Dense {
            return Err(Error::unsupported("this knowledge base was opened without an embedder").with_remedy(remedy));
        }
        Ok((
            Mode::Lexical,
            Some(format!("no embedder was given, so passages are found by their words alone; {remedy}")),
        ))
    }
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
