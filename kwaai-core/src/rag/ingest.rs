//! From files to passages that can be found.
//!
//! A document is committed whole or not at all; several small ones share a commit. One that cannot be read is reported
//! and the rest goes on. Text that was embedded before is not embedded again.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use futures::stream::{FuturesOrdered, StreamExt};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::event::Sender;
use crate::llm::{Embedder, Text};
use crate::rag::balance;
use crate::rag::chunk::{self, Chunking, Prefix};
use crate::rag::document::{self, Document, DocumentReader, Format, Limits, SectionKind};
use crate::rag::elsewhere;
use crate::rag::filter::Metadata;
use crate::rag::reembed::{Open, Opened};
use crate::rag::store::{DocumentInfo, KnowledgeStore, NewDocument, NewPassage, Passage, Standing};
use crate::rag::traces::Traces;
use crate::{Error, Result};

/// So many texts are embedded between two looks at progress and cancellation.
const EMBED_BATCH: usize = 64;
/// So many documents are read, cut and embedded at the same time, where there are as many cores.
const MOST_AT_ONCE: usize = 4;
/// A commit is worth its cost from about this many documents or passages on.
const FEW: (usize, usize) = (16, 64);
/// It holds no more than about so many documents or bytes in memory, whatever it costs.
const MANY: usize = 4096;
const HEAVY: usize = 32 << 20;
/// So many commits are under way when the next begins, at most.
const MOST_COMMITS: usize = 3;
/// Commits that would come closer together become one.
const APART: Duration = Duration::from_millis(500);
/// More than so many documents of one name and different origin are refused.
const NAMESAKES: usize = 1000;

/// What to ingest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file, or a folder with everything in it.
    Path(PathBuf),
    /// A file's contents, under the name that tells its format.
    Bytes {
        /// The name, for example `notes.md`.
        name: String,
        /// The contents.
        bytes: Vec<u8>,
    },
}

/// How to ingest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IngestOptions {
    /// What the app says about each document of the source, in place of what it said before, also where the bytes are the same as
    /// before. Without it what was said before stays, whatever becomes of the text; with an empty map nothing is said any more. It goes
    /// with a file that [`sync`](crate::rag::Rag::sync) sees move, and with the document when that is deleted.
    pub metadata: Option<Metadata>,
}

/// How an ingestion gets on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum IngestEvent {
    /// First of all: how many files there are.
    Found {
        /// Files that will be read.
        files: usize,
    },
    /// A file is being read and cut.
    Reading {
        /// The document's name.
        name: String,
    },
    /// Passages of a document were embedded. Not sent by a knowledge base without an embedder.
    Embedded {
        /// The document's name.
        name: String,
        /// Passages done, those that were known from before included.
        done: usize,
        /// Passages of the document.
        total: usize,
    },
    /// A document is durable and can be found.
    DocumentDone {
        /// Its name.
        name: String,
        /// Its id.
        document_id: String,
        /// How many passages it has.
        chunks: usize,
        /// Milliseconds from opening its file to the commit.
        ms: u64,
        /// What of it could not be read although the rest could, for people.
        warnings: Vec<String>,
    },
    /// A document is stored already, with the same text; what the app says about it now is stored as well.
    Unchanged {
        /// Its name.
        name: String,
    },
    /// A document could not be ingested; what was stored under its name stays.
    DocumentFailed {
        /// Its name.
        name: String,
        /// The code of the error, for example `corrupt_data`.
        code: String,
        /// What went wrong and what can be done.
        message: String,
    },
    /// Last of all.
    Finished {
        /// Documents that are new or replaced.
        ingested: usize,
        /// Documents that were stored already.
        unchanged: usize,
        /// Documents that could not be ingested.
        failed: usize,
        /// Passages of the ingested documents.
        chunks: usize,
    },
}

/// A file before it is read.
struct Candidate {
    name: String,
    path: Option<PathBuf>,
    bytes: Option<Vec<u8>>,
}

/// A file whose contents are at hand and were not stored before.
pub(super) struct Loaded {
    /// Everything that is known of it before it is read.
    pub info: DocumentInfo,
    pub bytes: Vec<u8>,
    pub manner: String,
}

/// Hears the name of a document, how many of its passages are embedded, and how many it has.
pub(super) type Tell<'t> = dyn Fn(&str, usize, usize) + Send + Sync + 't;

/// What makes documents of files: everything but where they come from and who is told.
pub(super) struct Preparer {
    /// Where the next two come from.
    pub opened: Arc<Opened>,
    pub knowledge: Arc<KnowledgeStore>,
    pub embedder: Option<Arc<dyn Embedder>>,
    pub chunking: Chunking,
    pub limits: Limits,
    pub readers: Vec<Arc<dyn DocumentReader>>,
    pub clock: Arc<dyn Clock>,
    pub closing: CancellationToken,
    pub traces: Arc<Traces>,
    /// Cancelled when nobody wants the documents any more.
    pub unread: CancellationToken,
}

/// Who a document is.
struct Identity {
    id: String,
    name: String,
    /// Where it comes from, unless it was given as bytes.
    source: Option<String>,
}

/// What became of a file.
enum Looked<T> {
    New(T),
    /// It is stored as it is, under this id.
    Same(String),
}

/// One run of ingestion over a source.
pub(super) struct Ingestion {
    pub preparer: Preparer,
    pub options: IngestOptions,
    pub events: Sender<IngestEvent>,
    /// The ids of the documents that it has met.
    pub taken: Arc<Mutex<BTreeSet<String>>>,
}

#[derive(Default)]
struct Tally {
    ingested: usize,
    unchanged: usize,
    failed: usize,
    chunks: usize,
}

/// When documents that are ready are to be committed.
#[derive(Default)]
pub(super) struct Pace {
    /// The first commit waits for nothing, so that something can be found soon.
    committed: Option<Instant>,
    documents: usize,
    passages: usize,
    bytes: usize,
}

impl Pace {
    /// Whether it is time, now that this document is ready as well; what is ready and the next time count from then.
    pub fn is_due(&mut self, ready: &NewDocument) -> bool {
        self.documents += 1;
        self.passages += ready.passages.len();
        self.bytes += ready.weight();
        let worth_it = self.documents >= FEW.0 || self.passages >= FEW.1;
        let rested = self.committed.is_none_or(|committed| committed.elapsed() >= APART);
        let due = self.documents >= MANY || self.bytes >= HEAVY || (worth_it && rested);
        if due {
            *self = Pace { committed: Some(Instant::now()), ..Pace::default() };
        }
        due
    }
}

impl Ingestion {
    /// Runs to the end of the source, a cancellation, or a failure of the knowledge base itself, and ends the stream.
    pub async fn run(self, source: Source) {
        let result = self.ingest(source).await;
        self.events.finish(result);
    }

    async fn ingest(&self, source: Source) -> Result<()> {
        let readers = self.preparer.readers.clone();
        let candidates = blocking(move || list(source, &readers)).await?;
        self.events.send(IngestEvent::Found { files: candidates.len() });
        let mut tally = Tally::default();
        let mut commits = Commits::default();
        let mut kept = self.keep(candidates, &mut commits, &mut tally).await;
        // Nothing is left at work, whatever became of it.
        while let Some(commit) = commits.next() {
            let committed = self.committed(commit, &mut tally).await;
            kept = kept.and(committed);
        }
        kept?;
        self.preparer.settle().await;
        if self.preparer.stopped() {
            return Err(Error::cancelled("the ingestion was cancelled; what was reported done is stored"));
        }
        let Tally { ingested, unchanged, failed, chunks } = tally;
        self.events.send(IngestEvent::Finished { ingested, unchanged, failed, chunks });
        Ok(())
    }

    /// Prepares documents, while those before them are committed.
    async fn keep(&self, candidates: Vec<Candidate>, commits: &mut Commits, tally: &mut Tally) -> Result<()> {
        let mut pending: Vec<(NewDocument, Instant)> = Vec::new();
        let mut same: Vec<(String, String)> = Vec::new();
        let mut pace = Pace::default();
        let at_once = std::thread::available_parallelism().map_or(1, usize::from).clamp(1, MOST_AT_ONCE);
        // Small documents keep one core busy each; they come out in their order.
        let (mut waiting, mut preparing) = (candidates.into_iter(), FuturesOrdered::new());
        loop {
            while preparing.len() < at_once
                && let Some(candidate) = waiting.next()
            {
                preparing.push_back(self.begin(self.identified(candidate).await));
            }
            let Some((name, started, looked)) = preparing.next().await else { break };
            while let Some(commit) = commits.finished() {
                self.committed(commit, tally).await?;
            }
            match looked {
                Ok(Looked::New(document)) => {
                    let due = pace.is_due(&document);
                    pending.push((document, started));
                    if due {
                        // What waits to be indexed is in memory.
                        while let Some(commit) = commits.beyond(MOST_COMMITS) {
                            self.committed(commit, tally).await?;
                        }
                        commits.begin(&self.preparer.knowledge, &mut pending);
                    }
                }
                Ok(Looked::Same(id)) if self.options.metadata.is_some() => same.push((id, name)),
                Ok(Looked::Same(_)) => {
                    tally.unchanged += 1;
                    self.events.send(IngestEvent::Unchanged { name });
                }
                Err(error) if self.preparer.stopped() && error.code() == crate::ErrorCode::Cancelled => break,
                Err(error) => {
                    tally.failed += 1;
                    let (code, message) = (error.code().to_string(), error.to_string());
                    self.events.send(IngestEvent::DocumentFailed { name, code, message });
                }
            }
        }
        if !pending.is_empty() {
            // What was prepared is whole, so it is kept even when the reader has gone.
            commits.begin(&self.preparer.knowledge, &mut pending);
        }
        self.describe(same, tally).await
    }

    /// Finds out what a document is called, one after the other: what comes later gives way.
    async fn identified(&self, candidate: Candidate) -> (Candidate, Result<Identity>) {
        let (knowledge, taken) = (self.preparer.knowledge.clone(), self.taken.clone());
        let (name, path) = (candidate.name.clone(), candidate.path.clone());
        let identity = blocking(move || {
            let source = path.as_deref().map(|path| place(path).to_string_lossy().into_owned());
            let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
            let (id, name) = identify(&knowledge, name, source.as_deref(), &taken)?;
            taken.insert(id.clone());
            Ok(Identity { id, name, source })
        });
        let identity = identity.await;
        (candidate, identity)
    }

    /// Prepares a document, unless nobody wants it any more.
    async fn begin(
        &self,
        (candidate, identity): (Candidate, Result<Identity>),
    ) -> (String, Instant, Result<Looked<NewDocument>>) {
        let (name, started) = (candidate.name.clone(), Instant::now());
        if self.preparer.stopped() {
            return (name, started, Err(Error::cancelled("the ingestion was cancelled")));
        }
        self.events.send(IngestEvent::Reading { name: name.clone() });
        let looked = match identity {
            Ok(identity) => self.prepare(candidate, identity).await,
            Err(error) => Err(error),
        };
        (name, started, looked)
    }

    /// Stores what the app says about documents whose text stays.
    async fn describe(&self, same: Vec<(String, String)>, tally: &mut Tally) -> Result<()> {
        let Some(metadata) = self.options.metadata.clone().filter(|_| !same.is_empty()) else { return Ok(()) };
        let (ids, names): (Vec<String>, Vec<String>) = same.into_iter().unzip();
        let knowledge = self.preparer.knowledge.clone();
        blocking(move || knowledge.describe(&ids, &metadata)).await?;
        for name in names {
            tally.unchanged += 1;
            self.events.send(IngestEvent::Unchanged { name });
        }
        Ok(())
    }

    /// Waits for a commit, and tells what it holds.
    async fn committed(&self, commit: Commit, tally: &mut Tally) -> Result<()> {
        let Commit { work, done } = commit;
        work.await.unwrap_or_else(|error| Err(Error::internal("a commit did not finish").with_source(error)))?;
        for (info, started) in done {
            let DocumentInfo { name, id: document_id, chunks, warnings, .. } = info;
            tally.ingested += 1;
            tally.chunks += chunks;
            let ms = started.elapsed().as_millis() as u64;
            self.events.send(IngestEvent::DocumentDone { name, document_id, chunks, ms, warnings });
        }
        self.preparer.follow_many().await;
        Ok(())
    }

    /// Reads, cuts and embeds a file, unless it is stored as it is.
    async fn prepare(&self, candidate: Candidate, identity: Identity) -> Result<Looked<NewDocument>> {
        let Preparer { chunking, limits, .. } = self.preparer;
        let knowledge = self.preparer.knowledge.clone();
        let (embedding, now) = (self.preparer.embedder.is_some(), self.preparer.now());
        let tell = |name: &str, done: usize, total: usize| {
            self.events.send(IngestEvent::Embedded { name: name.to_owned(), done, total })
        };
        if self.preparer.reader(&candidate.name).is_some() {
            let loaded =
                blocking(move || load(&knowledge, candidate, identity, chunking, &limits, embedding, now)).await?;
            let loaded = match loaded {
                Looked::New(loaded) => loaded,
                Looked::Same(id) => return Ok(Looked::Same(id)),
            };
            let mut document = self.preparer.read(loaded).await?;
            self.preparer.embed(&mut document, &tell).await?;
            return Ok(Looked::New(self.described(document)));
        }
        let cut = move || match load(&knowledge, candidate, identity, chunking, &limits, embedding, now)? {
            Looked::New(loaded) => cut(&knowledge, loaded, None, chunking, &limits).map(Looked::New),
            Looked::Same(id) => Ok(Looked::Same(id)),
        };
        let mut document = match blocking(cut).await? {
            Looked::New(document) => document,
            Looked::Same(id) => return Ok(Looked::Same(id)),
        };
        self.preparer.embed(&mut document, &tell).await?;
        Ok(Looked::New(self.described(document)))
    }

    fn described(&self, document: NewDocument) -> NewDocument {
        NewDocument { metadata: self.options.metadata.clone(), ..document }
    }
}

/// Documents that are being committed.
struct Commit {
    work: tokio::task::JoinHandle<Result<()>>,
    done: Vec<(DocumentInfo, Instant)>,
}

/// Commits in their order. While the words of one are indexed, the next is written to the database, and one more may wait for that.
#[derive(Default)]
struct Commits {
    running: VecDeque<Commit>,
    /// Ends when the last is written.
    written: Option<oneshot::Receiver<()>>,
}

impl Commits {
    /// Begins to commit what is ready, once the one before is written.
    fn begin(&mut self, knowledge: &Arc<KnowledgeStore>, ready: &mut Vec<(NewDocument, Instant)>) {
        let mut done = Vec::with_capacity(ready.len());
        let mut documents = Vec::with_capacity(ready.len());
        for (document, started) in ready.drain(..) {
            done.push((document.info.clone(), started));
            documents.push(document);
        }
        let (tell, written) = oneshot::channel();
        let (before, knowledge) = (self.written.replace(written), knowledge.clone());
        let work = tokio::spawn(async move {
            if let Some(before) = before {
                let _ = before.await;
            }
            blocking(move || knowledge.commit_telling(documents, &[], move || drop(tell))).await
        });
        self.running.push_back(Commit { work, done });
    }

    /// The first, if it is at its end.
    fn finished(&mut self) -> Option<Commit> {
        self.running.pop_front_if(|first| first.work.is_finished())
    }

    /// The first, if there are so many.
    fn beyond(&mut self, most: usize) -> Option<Commit> {
        (self.running.len() >= most).then(|| self.running.pop_front()).flatten()
    }

    fn next(&mut self) -> Option<Commit> {
        self.running.pop_front()
    }
}

impl Preparer {
    /// Takes the knowledge base as it is now: since the last time its embedder may have changed. Nothing changes it while
    /// documents are changed.
    pub fn renew(&mut self) {
        if let Some(Open { knowledge, embedder, .. }) = self.opened.get() {
            (self.knowledge, self.embedder) = (knowledge, embedder);
        }
    }

    pub fn now(&self) -> i64 {
        self.clock.now().as_millisecond()
    }

    /// Readers and embedders of an app take as long as they like; nobody waits for them once the ingestion is stopped.
    pub async fn unless_stopped<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.unread.cancelled() => Err(Error::cancelled("the work was cancelled")),
            () = self.closing.cancelled() => Err(Error::cancelled("the work was cancelled")),
            result = work => result,
        }
    }

    /// Tells the collection of the vectors, where they are elsewhere, once many wait.
    pub async fn follow_many(&self) {
        if let Some(open) = self.opened.get() {
            self.closing.run_until_cancelled(elsewhere::follow_many(open)).await;
        }
    }

    /// What is done when documents have come or gone: nothing that they need to be found.
    pub async fn settle(&self) {
        self.traces.later();
        if let Some(open) = self.opened.get() {
            self.closing.run_until_cancelled(elsewhere::follow(open)).await;
        }
        let Some(vectors) = &self.knowledge.vectors else { return };
        vectors.seal_in_background();
        let Some(embedder) = &self.embedder else { return };
        // Whoever read the progress may have gone; the knowledge base stays.
        let kept = balance::keep(self.knowledge.clone(), embedder.as_ref());
        let Some(kept) = self.closing.run_until_cancelled(kept).await else { return };
        if let Err(error) = kept {
            tracing::warn!(%error, "how much meaning counts against words could not be found out");
        }
    }

    pub fn stopped(&self) -> bool {
        self.unread.is_cancelled() || self.closing.is_cancelled()
    }

    /// The app's own reader for files of this name, if it has one.
    fn reader(&self, name: &str) -> Option<&Arc<dyn DocumentReader>> {
        self.readers.iter().find(|reader| document::reads(reader.as_ref(), name))
    }

    /// Reads and cuts a file.
    pub async fn read(&self, mut loaded: Loaded) -> Result<NewDocument> {
        let (chunking, limits) = (self.chunking, self.limits);
        let read = match self.reader(&loaded.info.name) {
            Some(reader) => {
                let bytes = std::mem::take(&mut loaded.bytes);
                let read = document::read_with(reader.as_ref(), &loaded.info.name, bytes, &limits);
                Some(self.unless_stopped(read).await?)
            }
            None => None,
        };
        let knowledge = self.knowledge.clone();
        blocking(move || cut(&knowledge, loaded, read, chunking, &limits)).await
    }

    /// Embeds the passages that were not embedded before.
    pub async fn embed(&self, document: &mut NewDocument, tell: &Tell<'_>) -> Result<()> {
        let Some(embedder) = self.embedder.as_deref() else { return Ok(()) };
        let name = document.info.name.clone();
        let total = document.passages.len();
        let NewDocument { passages, .. } = document;
        // The same text twice in a document is embedded once.
        let mut first: HashMap<&str, usize> = HashMap::new();
        let mut places: Vec<Vec<usize>> = Vec::new();
        for (index, new) in passages.iter().enumerate().filter(|(_, new)| new.vector.is_none() && !new.kept) {
            let place = *first.entry(&new.indexed).or_insert(places.len());
            match places.get_mut(place) {
                Some(same) => same.push(index),
                None => places.push(vec![index]),
            }
        }
        let mut done = total - places.iter().map(Vec::len).sum::<usize>();
        for batch in places.chunks(EMBED_BATCH) {
            let input = batch.iter().map(|places| Text::Document(passages[places[0]].indexed.clone())).collect();
            let vectors = self.unless_stopped(embed(embedder, input)).await?;
            for (places, vector) in batch.iter().zip(vectors) {
                done += places.len();
                let (first, more) = (places[0], &places[1..]);
                more.iter().for_each(|index| passages[*index].vector = Some(vector.clone()));
                passages[first].vector = Some(vector);
            }
            tell(&name, done, total);
        }
        Ok(())
    }
}

/// Embeds texts and checks that what comes back can be stored.
pub(super) async fn embed(embedder: &dyn Embedder, texts: Vec<Text>) -> Result<Vec<Vec<f32>>> {
    let (count, dimension) = (texts.len(), embedder.dimension());
    let vectors = embedder.embed(texts).await?;
    let sound = |vector: &Vec<f32>| vector.len() == dimension && vector.iter().all(|value| value.is_finite());
    if vectors.len() != count || !vectors.iter().all(sound) {
        return Err(Error::corrupt_data(format!(
            "the embedder {} gave something else than {count} vectors of {dimension} finite numbers",
            embedder.id()
        ))
        .with_remedy("check the embedder and its weights"));
    }
    Ok(vectors)
}

/// Runs blocking work off the async workers.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Error::internal("a task of a knowledge base did not finish").with_source(error)))
}

fn list(source: Source, readers: &[Arc<dyn DocumentReader>]) -> Result<Vec<Candidate>> {
    match source {
        Source::Bytes { name, bytes } => {
            if name.trim().is_empty() {
                return Err(Error::invalid_argument("a document needs a name, such as notes.md"));
            }
            Ok(vec![Candidate { name, path: None, bytes: Some(bytes) }])
        }
        Source::Path(path) => {
            let metadata = std::fs::metadata(&path).map_err(|error| Error::file("read", &path, error))?;
            if metadata.is_dir() {
                let also: Vec<String> = readers.iter().flat_map(|reader| reader.extensions()).collect();
                let found = document::walk(&path, &also)?;
                return Ok(found
                    .into_iter()
                    .map(|found| Candidate { name: found.name, path: Some(found.path), bytes: None })
                    .collect());
            }
            let name =
                path.file_name().ok_or_else(|| Error::invalid_argument("the path names no file").with_file(&path))?;
            Ok(vec![Candidate { name: name.to_string_lossy().into_owned(), path: Some(path), bytes: None }])
        }
    }
}

/// The contents of a regular file within the limit on sizes.
pub(super) fn read_bytes(path: &Path, limits: &Limits) -> Result<Vec<u8>> {
    let failed = |error| Error::file("read", path, error);
    // Looked at before opening, since opening a named pipe would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(Error::unsupported(format!("{} is not a regular file", path.display())).with_file(path));
    }
    let too_large = || {
        let limit = limits.file_bytes;
        Error::resource_exhausted(format!(
            "{} is too large; files of {limit} bytes or more are not read",
            path.display()
        ))
        .with_file(path)
        .with("limit", limit)
        .with_remedy("split the file, or raise the limit file_bytes")
    };
    if metadata.len() >= limits.file_bytes {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(failed)?.take(limits.file_bytes).read_to_end(&mut bytes).map_err(failed)?;
    // It may have grown since.
    if bytes.len() as u64 >= limits.file_bytes { Err(too_large()) } else { Ok(bytes) }
}

/// The contents of a file, unless it is stored as it is.
fn load(
    knowledge: &KnowledgeStore,
    candidate: Candidate,
    identity: Identity,
    chunking: Chunking,
    limits: &Limits,
    embedding: bool,
    now: i64,
) -> Result<Looked<Loaded>> {
    let (Candidate { path, bytes, .. }, Identity { id, name, source }) = (candidate, identity);
    let bytes = match (bytes, &path) {
        (Some(bytes), _) => bytes,
        (None, Some(path)) => read_bytes(path, limits)?,
        (None, None) => return Err(Error::internal("a document without contents")),
    };
    let content_hash = content_hash(&bytes);
    let manner = manner(&chunking)?;
    if let Standing::Unchanged = knowledge.standing(&id, &content_hash, &manner, embedding)? {
        return Ok(Looked::Same(id));
    }
    Ok(Looked::New(loaded(id, name, source, bytes, content_hash, manner, now)))
}

pub(super) fn loaded(
    id: String,
    name: String,
    source: Option<String>,
    bytes: Vec<u8>,
    content_hash: String,
    manner: String,
    now: i64,
) -> Loaded {
    let info = DocumentInfo {
        id,
        name,
        source,
        format: Format::Text,
        content_hash,
        bytes: bytes.len() as u64,
        chunks: 0,
        warnings: Vec::new(),
        ingested_at_ms: now,
        metadata: Metadata::new(),
    };
    Loaded { info, bytes, manner }
}

/// SHA-256 of a file's bytes, in hexadecimal digits.
pub(super) fn content_hash(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

/// How documents are cut, to tell whether a stored one was cut in the same way.
pub(super) fn manner(chunking: &Chunking) -> Result<String> {
    serde_json::to_string(chunking)
        .map_err(|error| Error::internal("a chunking could not be written down").with_source(error))
}

/// Reads a file, unless that was done already, and cuts its text into passages, with the vectors of those that were embedded before.
fn cut(
    knowledge: &KnowledgeStore,
    loaded: Loaded,
    read: Option<Document>,
    chunking: Chunking,
    limits: &Limits,
) -> Result<NewDocument> {
    let Loaded { info, bytes, manner } = loaded;
    let document = match read {
        Some(document) => document,
        None => document::read(&info.name, &bytes, limits)?,
    };
    let passages = passages(&document, &info.id, &chunking)?;
    if passages.is_empty() {
        return Err(Error::invalid_argument(format!("{} contains no text", info.name))
            .with_remedy("a scanned document needs text recognition before it can be searched"));
    }
    let info = DocumentInfo { format: document.format, chunks: passages.len(), warnings: document.warnings, ..info };
    let mut passages = NewPassage::all(&passages)?;
    knowledge.recall(&mut passages)?;
    Ok(NewDocument { info, text: document.text, chunking: manner, passages, metadata: None })
}

/// The place of a file by the one name that it has whichever way leads there.
fn place(path: &Path) -> PathBuf {
    path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned())
}

/// The id and the name a document goes by. Its name gives its id, so that a changed file replaces its old version. A
/// file of the same name from another place, where the first still exists, is another document: `notes (2).md`, which the same place
/// finds again. `taken` are ids of documents that come with it.
fn identify(
    knowledge: &KnowledgeStore,
    name: String,
    source: Option<&str>,
    taken: &BTreeSet<String>,
) -> Result<(String, String)> {
    if let Some(here) = source {
        for number in 1..=NAMESAKES {
            let name = numbered(&name, number);
            let id = document_id(&name);
            let Some(stored) = knowledge.document(&id)? else { break };
            let is_here = |there: &String| there == here || place(Path::new(there)) == Path::new(here);
            if stored.source.as_ref().is_some_and(is_here) && !taken.contains(&id) {
                return Ok((id, name));
            }
        }
    }
    first_free(&name, |id| {
        if taken.contains(id) {
            return Ok(false);
        }
        let Some(stored) = knowledge.document(id)? else { return Ok(true) };
        Ok(match (&stored.source, source) {
            (Some(there), Some(_)) => !Path::new(there).exists(),
            _ => true,
        })
    })
}

/// The id and the name of a file of a synchronised folder that was not stored before. What lies elsewhere, or was given as bytes,
/// keeps its name; `taken` are ids that are about to be stored.
pub(super) fn free_name(
    knowledge: &KnowledgeStore,
    name: &str,
    source: &str,
    taken: &BTreeSet<String>,
) -> Result<(String, String)> {
    first_free(name, |id| {
        let own = knowledge.document(id)?.is_none_or(|stored| stored.source.as_deref() == Some(source));
        Ok(own && !taken.contains(id))
    })
}

/// The first of a name's numbers whose id is free.
fn first_free(name: &str, is_free: impl Fn(&str) -> Result<bool>) -> Result<(String, String)> {
    for number in 1..=NAMESAKES {
        let name = numbered(name, number);
        let id = document_id(&name);
        if is_free(&id)? {
            return Ok((id, name));
        }
    }
    Err(Error::resource_exhausted(format!("more than {NAMESAKES} documents are called {name}")))
}

/// `notes (2).md` for 2; the name itself for 1.
fn numbered(name: &str, number: usize) -> String {
    if number == 1 {
        return name.to_owned();
    }
    let file = name.rfind('/').map_or(0, |slash| slash + 1);
    match name[file..].rfind('.') {
        Some(dot) if dot > 0 => format!("{} ({number}){}", &name[..file + dot], &name[file + dot..]),
        _ => format!("{name} ({number})"),
    }
}

/// The id of the document of a name.
pub(super) fn document_id(name: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(b"kwaainet document\0");
    hash.update(name.as_bytes());
    HEXLOWER.encode(&hash.finalize()[..16])
}

fn passages(document: &Document, id: &str, chunking: &Chunking) -> Result<Vec<Passage>> {
    let mut passages = Vec::new();
    for chunk in chunk::split(document, chunking)? {
        let text = chunk.text(document)?.to_owned();
        if text.trim().is_empty() {
            continue;
        }
        let context = context(document, chunking.prefix, chunk.range.start, &text);
        passages.push(Passage {
            document: id.to_owned(),
            name: document.name.clone(),
            index: chunk.index,
            places: document.places(&chunk.range),
            range: chunk.range,
            section: chunk.section,
            context,
            text,
        });
    }
    Ok(passages)
}

/// What is put before a passage where it is embedded and searched, as far as it does not say so itself.
fn context(document: &Document, prefix: Prefix, start: usize, text: &str) -> Option<String> {
    let title = match prefix {
        Prefix::Title => Some(document.title.clone().unwrap_or_else(|| plain_name(&document.name))),
        _ => None,
    };
    let section = document.section_at(start).filter(|section| section.kind == SectionKind::Heading);
    let headings =
        section.filter(|_| prefix != Prefix::None).map(|section| section.path.as_slice()).unwrap_or_default();
    let mut parts: Vec<&str> = Vec::new();
    for part in title.iter().chain(headings) {
        if !text.contains(part.as_str()) && parts.last() != Some(&part.as_str()) {
            parts.push(part);
        }
    }
    (!parts.is_empty()).then(|| parts.join(" > "))
}

/// The name of a document without folders and extension.
fn plain_name(name: &str) -> String {
    Path::new(name).file_stem().map_or_else(|| name.to_owned(), |stem| stem.to_string_lossy().into_owned())
}
