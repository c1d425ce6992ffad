//! From files to passages that can be found.
//!
//! A document is committed whole or not at all; several small ones share a commit. One that cannot be read is reported
//! and the rest goes on. Text that was embedded before is not embedded again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::event::Sender;
use crate::llm::{Embedder, Text};
use crate::rag::balance;
use crate::rag::chunk::{self, Chunking, Prefix};
use crate::rag::document::{self, Document, DocumentReader, Format, Limits, SectionKind};
use crate::rag::store::{DocumentInfo, KnowledgeStore, NewDocument, Passage, Standing};
use crate::{Error, Result};

/// So many texts are embedded between two looks at progress and cancellation.
const EMBED_BATCH: usize = 32;
/// A commit is worth its cost from about this many documents or passages on.
const FEW: (usize, usize) = (16, 64);
/// It holds no more than about so many, whatever it costs.
const MANY: (usize, usize) = (1024, 4096);
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
    /// A document is stored already, as it is.
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
    pub knowledge: Arc<KnowledgeStore>,
    pub embedder: Option<Arc<dyn Embedder>>,
    pub chunking: Chunking,
    pub limits: Limits,
    pub readers: Vec<Arc<dyn DocumentReader>>,
    pub clock: Arc<dyn Clock>,
    pub closing: CancellationToken,
    /// Cancelled when nobody wants the documents any more.
    pub unread: CancellationToken,
}

/// One run of ingestion over a source.
pub(super) struct Ingestion {
    pub preparer: Preparer,
    pub events: Sender<IngestEvent>,
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
}

impl Pace {
    /// Whether it is time for documents with so many passages each; the next time counts from then.
    pub fn is_due(&mut self, ready: impl ExactSizeIterator<Item = usize>) -> bool {
        let (documents, passages) = (ready.len(), ready.sum::<usize>());
        let beyond = |(most, of_passages): (usize, usize)| documents >= most || passages >= of_passages;
        let rested = self.committed.is_none_or(|committed| committed.elapsed() >= APART);
        let due = beyond(MANY) || (beyond(FEW) && rested);
        if due {
            self.committed = Some(Instant::now());
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
        let mut pending: Vec<(NewDocument, Instant)> = Vec::new();
        let mut pace = Pace::default();
        // The next documents are prepared meanwhile.
        let mut committing = None;
        for candidate in candidates {
            if committing.as_ref().is_some_and(|committing: &Committing| committing.work.is_finished()) {
                self.committed(committing.take(), &mut tally).await?;
            }
            if self.preparer.stopped() {
                break;
            }
            let started = Instant::now();
            let name = candidate.name.clone();
            self.events.send(IngestEvent::Reading { name: name.clone() });
            match self.prepare(candidate).await {
                Ok(Some(document)) => pending.push((document, started)),
                Ok(None) => {
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
            if pace.is_due(pending.iter().map(|(document, _)| document.passages.len())) {
                self.committed(committing.take(), &mut tally).await?;
                committing = Some(self.commit(&mut pending));
            }
        }
        self.committed(committing, &mut tally).await?;
        if !pending.is_empty() {
            // What was prepared is whole, so it is kept even when the reader has gone.
            let last = self.commit(&mut pending);
            self.committed(Some(last), &mut tally).await?;
        }
        self.preparer.settle().await;
        if self.preparer.stopped() {
            return Err(Error::cancelled("the ingestion was cancelled; what was reported done is stored"));
        }
        let Tally { ingested, unchanged, failed, chunks } = tally;
        self.events.send(IngestEvent::Finished { ingested, unchanged, failed, chunks });
        Ok(())
    }

    /// Begins to commit what is ready.
    fn commit(&self, pending: &mut Vec<(NewDocument, Instant)>) -> Committing {
        let mut done = Vec::with_capacity(pending.len());
        let mut documents = Vec::with_capacity(pending.len());
        for (document, started) in pending.drain(..) {
            done.push((document.info.clone(), started));
            documents.push(document);
        }
        let knowledge = self.preparer.knowledge.clone();
        Committing { work: tokio::spawn(blocking(move || knowledge.commit(documents, &[]))), done }
    }

    /// Waits for a commit, and tells what it holds.
    async fn committed(&self, committing: Option<Committing>, tally: &mut Tally) -> Result<()> {
        let Some(Committing { work, done }) = committing else { return Ok(()) };
        work.await.unwrap_or_else(|error| Err(Error::internal("a commit did not finish").with_source(error)))?;
        for (info, started) in done {
            let DocumentInfo { name, id: document_id, chunks, warnings, .. } = info;
            tally.ingested += 1;
            tally.chunks += chunks;
            let ms = started.elapsed().as_millis() as u64;
            self.events.send(IngestEvent::DocumentDone { name, document_id, chunks, ms, warnings });
        }
        Ok(())
    }

    /// Reads, cuts and embeds a file; `None` when it is stored as it is.
    async fn prepare(&self, candidate: Candidate) -> Result<Option<NewDocument>> {
        let Preparer { chunking, limits, .. } = self.preparer;
        let knowledge = self.preparer.knowledge.clone();
        let (embedding, now) = (self.preparer.embedder.is_some(), self.preparer.now());
        let tell = |name: &str, done: usize, total: usize| {
            self.events.send(IngestEvent::Embedded { name: name.to_owned(), done, total })
        };
        if self.preparer.reader(&candidate.name).is_some() {
            let loaded = blocking(move || load(&knowledge, candidate, chunking, &limits, embedding, now)).await?;
            let Some(loaded) = loaded else { return Ok(None) };
            return self.preparer.prepare(loaded, &tell).await.map(Some);
        }
        let cut = move || {
            let Some(loaded) = load(&knowledge, candidate, chunking, &limits, embedding, now)? else { return Ok(None) };
            cut(&knowledge, loaded, None, chunking, &limits).map(Some)
        };
        let Some(mut document) = blocking(cut).await? else { return Ok(None) };
        self.preparer.embed(&mut document, &tell).await?;
        Ok(Some(document))
    }
}

/// Documents that are being committed.
struct Committing {
    work: tokio::task::JoinHandle<Result<()>>,
    done: Vec<(DocumentInfo, Instant)>,
}

impl Preparer {
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

    /// What is done when documents have come or gone: nothing that they need to be found.
    pub async fn settle(&self) {
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

    /// Reads, cuts and embeds a file.
    pub async fn prepare(&self, mut loaded: Loaded, tell: &Tell<'_>) -> Result<NewDocument> {
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
        let mut document = blocking(move || cut(&knowledge, loaded, read, chunking, &limits)).await?;
        self.embed(&mut document, tell).await?;
        Ok(document)
    }

    /// Embeds the passages that were not embedded before.
    async fn embed(&self, document: &mut NewDocument, tell: &Tell<'_>) -> Result<()> {
        let Some(embedder) = self.embedder.as_deref() else { return Ok(()) };
        let texts: Vec<String> = document.passages.iter().map(|(passage, _)| passage.indexed()).collect();
        let (name, total) = (document.info.name.clone(), texts.len());
        // The same text twice in a document is embedded once.
        let mut missing: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let mut order: Vec<&str> = Vec::new();
        for index in (0..total).filter(|index| document.passages[*index].1.is_none()) {
            let same = missing.entry(&texts[index]).or_default();
            if same.is_empty() {
                order.push(&texts[index]);
            }
            same.push(index);
        }
        let mut done = total - missing.values().map(Vec::len).sum::<usize>();
        for batch in order.chunks(EMBED_BATCH) {
            let input = batch.iter().map(|text| Text::Document((*text).to_owned())).collect();
            let vectors = self.unless_stopped(embed(embedder, input)).await?;
            for (text, vector) in batch.iter().zip(vectors) {
                for index in missing.get(text).into_iter().flatten() {
                    document.passages[*index].1 = Some(vector.clone());
                    done += 1;
                }
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

/// The contents of a file; `None` when it is stored as it is.
fn load(
    knowledge: &KnowledgeStore,
    candidate: Candidate,
    chunking: Chunking,
    limits: &Limits,
    embedding: bool,
    now: i64,
) -> Result<Option<Loaded>> {
    let Candidate { name, path, bytes } = candidate;
    let source = path.as_deref().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    let bytes = match (bytes, &path) {
        (Some(bytes), _) => bytes,
        (None, Some(path)) => read_bytes(path, limits)?,
        (None, None) => return Err(Error::internal("a document without contents")),
    };
    let source = source.map(|source| source.to_string_lossy().into_owned());
    let (id, name) = identify(knowledge, name, source.as_deref())?;
    let content_hash = content_hash(&bytes);
    let manner = manner(&chunking)?;
    if let Standing::Unchanged = knowledge.standing(&id, &content_hash, &manner, embedding)? {
        return Ok(None);
    }
    Ok(Some(loaded(id, name, source, bytes, content_hash, manner, now)))
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
    let texts: Vec<String> = passages.iter().map(Passage::indexed).collect();
    let passages = passages.into_iter().zip(knowledge.known_vectors(&texts)?).collect();
    Ok(NewDocument { info, text: document.text, chunking: manner, passages })
}

/// The id and the name a document goes by. Its name gives its id, so that a changed file replaces its old version. A
/// file of the same name from another place, where the first still exists, is another document: `notes (2).md`.
fn identify(knowledge: &KnowledgeStore, name: String, source: Option<&str>) -> Result<(String, String)> {
    first_free(&name, |id| {
        let Some(stored) = knowledge.document(id)? else { return Ok(true) };
        Ok(match (&stored.source, source) {
            (Some(there), Some(here)) => there == here || !Path::new(there).exists(),
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
