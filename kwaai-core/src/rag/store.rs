//! What a knowledge base stores, and the one point where it is committed.
//!
//! Documents, passages and vectors are written in one redb transaction, which raises the generation. The word index is
//! brought to that generation afterwards, by the same code whether the transaction was committed a moment ago or before
//! the machine lost power: it applies the changes that it has missed, or is rebuilt.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use redb::{
    MultimapTableDefinition, ReadOnlyMultimapTable, ReadTransaction, ReadableTable, ReadableTableMetadata,
    TableDefinition, TableHandle, WriteTransaction,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::rag::balance::Balance;
use crate::rag::calibration::Calibration;
use crate::rag::document::{Format, Places};
use crate::rag::filter::Metadata;
use crate::rag::lexical::{Entry, Lexical};
use crate::rag::names::{Name, Namer};
use crate::rag::provenance::{Tree, leaf};
use crate::rag::retrieval::{Around, Hit, Mode, chunk};
use crate::rag::terms::Language;
use crate::store::{self, Store, existing, tables};
use crate::vector::{IndexOptions, Metric, Staged, VectorIndex};
use crate::{Error, Result};

mod away;
mod pending;

pub(crate) use away::Waiting;
pub(crate) use pending::{Batch, Made, Missing, Pending};

const SETTINGS: TableDefinition<&str, &str> = TableDefinition::new("rag.settings");
const COUNTERS: TableDefinition<&str, u64> = TableDefinition::new("rag.counters");
const DOCUMENTS: TableDefinition<&str, &[u8]> = TableDefinition::new("rag.documents");
const TEXTS: TableDefinition<&str, &str> = TableDefinition::new("rag.texts");
const CHUNKS: TableDefinition<u64, &[u8]> = TableDefinition::new("rag.chunks");
const PASSAGES: MultimapTableDefinition<&[u8], u64> = MultimapTableDefinition::new("rag.passages");
/// What the app says about documents, by their ids; it outlives their versions.
const METADATA: TableDefinition<&str, &[u8]> = TableDefinition::new("rag.metadata");
const CHANGES: TableDefinition<u64, &[u8]> = TableDefinition::new("rag.changes");
const REVOKED: TableDefinition<&str, ()> = TableDefinition::new("rag.revoked");

const GENERATION: &str = "generation";
const EMBEDDER: &str = "embedder";
/// A random name, by which an index of another knowledge base is told from its own.
const OWNER: &str = "owner";
const BALANCE: &str = "balance";
/// The name by which a node keeps it in a directory that is not the node's.
const NAME: &str = "name";
/// The language whose word forms are brought together.
const LANGUAGE: &str = "language";
const COLLECTION: &str = "rag";
/// The highest id of a passage: what every language can show of a whole number, so that a collection elsewhere can be read from all.
const MAX_ID: u64 = (1 << 53) - 1;
/// The directory of the word index beside the database.
pub(crate) const LEXICAL_DIR: &str = "lexical";
/// How the names of the files of vector graphs beside the database begin and end.
pub(crate) const SEGMENT_FILES: (&str, &str) = ("vectors-rag", ".segment");

/// The embedder whose vectors a knowledge base holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbedderInfo {
    /// Its [`id`](crate::llm::Embedder::id).
    pub id: String,
    /// The length of its vectors.
    pub dimension: usize,
}

/// A document of a knowledge base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentInfo {
    /// 32 hexadecimal digits, made from the name.
    pub id: String,
    /// The name that citations use: the path inside the folder it was found in, or the file's name.
    pub name: String,
    /// The file it came from, unless it was given as bytes.
    pub source: Option<String>,
    /// What it was read as.
    pub format: Format,
    /// SHA-256 of the file's bytes, in hexadecimal digits.
    pub content_hash: String,
    /// The size of the file in bytes.
    pub bytes: u64,
    /// How many passages it was cut into.
    pub chunks: usize,
    /// What of it could not be read, for people; for example a damaged page.
    pub warnings: Vec<String>,
    /// When it was ingested, in milliseconds since 1970.
    pub ingested_at_ms: i64,
    /// What the app said about it.
    #[serde(default)]
    pub metadata: Metadata,
}

#[derive(Serialize, Deserialize)]
struct StoredDocument {
    info: DocumentInfo,
    chunk_ids: Vec<u64>,
    /// Whether every passage has a vector.
    embedded: bool,
    /// The chunking that it was cut with, as JSON.
    chunking: String,
}

/// A passage as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Passage {
    pub document: String,
    pub name: String,
    pub index: usize,
    pub range: Range<usize>,
    pub section: Option<String>,
    /// The heading above it, where the passage itself does not contain it.
    pub context: Option<String>,
    pub text: String,
    /// What a locator is made of; passages of earlier versions have none.
    #[serde(default)]
    pub places: Places,
}

impl Passage {
    /// Names the place of a span of the document that lies in this passage.
    pub fn locator(&self, span: &Range<usize>) -> Option<String> {
        self.places.locator(span, &self.text, self.range.start).or_else(|| self.section.clone())
    }

    /// The nearest heading above a span of the document that lies in this passage.
    pub fn heading(&self, span: &Range<usize>) -> Option<String> {
        match self.places.has_headings() {
            true => self.places.heading(span).map(|heading| heading.label.clone()),
            false => self.section.clone(),
        }
    }

    /// Written down.
    fn encoded(&self) -> Result<Vec<u8>> {
        // About as long as it will be, so that it need not be moved while it grows.
        let mut out = Vec::with_capacity(self.text.len() + 512);
        serde_json::to_writer(&mut out, self).map_err(unwritten)?;
        Ok(out)
    }

    /// What is embedded and indexed: the text below its heading.
    pub fn indexed(&self) -> String {
        match &self.context {
            Some(context) => format!("{context}\n{}", self.text),
            None => self.text.clone(),
        }
    }

    /// What its document is called, where this is the first passage of one.
    fn names(&self, namer: &Namer) -> Vec<Name> {
        if self.index == 0 { namer.names(&self.name, &self.text) } else { Vec::new() }
    }
}

/// A document ready to be committed.
pub(crate) struct NewDocument {
    pub info: DocumentInfo,
    pub text: String,
    pub chunking: String,
    pub passages: Vec<NewPassage>,
    /// What the app says about it from now on; `None` for what it said before.
    pub metadata: Option<Metadata>,
}

impl NewDocument {
    /// About how many bytes of memory it takes until it is committed.
    pub fn weight(&self) -> usize {
        let of_passage = |new: &NewPassage| {
            new.record.len() + new.indexed.len() + new.vector.as_ref().map_or(0, |vector| vector.len() * 4)
        };
        self.text.len() + self.passages.iter().map(of_passage).sum::<usize>()
    }
}

/// A passage ready to be committed.
pub(crate) struct NewPassage {
    /// The first of the ids that it may have.
    id: u64,
    /// Of what is embedded and indexed, by which text that was embedded before is known.
    hash: [u8; 32],
    /// The passage, written down.
    record: Vec<u8>,
    /// What is embedded and indexed.
    pub indexed: String,
    names: Vec<Name>,
    pub vector: Option<Vec<f32>>,
    /// Whether the vectors are elsewhere and its own is there already.
    pub kept: bool,
}

impl NewPassage {
    /// The passages of a document, without vectors as yet.
    pub fn all(passages: &[Passage]) -> Result<Vec<NewPassage>> {
        let namer = Namer::new();
        // The same words may stand in a document many times over.
        let mut seen: HashMap<[u8; 32], u64> = HashMap::new();
        let new = |passage: &Passage| {
            let indexed = passage.indexed();
            let hash = passage_hash(&indexed);
            let times = seen.entry(hash).or_default();
            let id = chunk_id(&passage.document, *times, &indexed);
            *times += 1;
            let (names, record) = (passage.names(&namer), passage.encoded()?);
            Ok(NewPassage { id, hash, record, indexed, names, vector: None, kept: false })
        };
        passages.iter().map(new).collect()
    }
}

/// A stretch of a document around a passage.
pub(crate) struct Surroundings {
    text: String,
    span: Range<usize>,
    places: Places,
}

impl Surroundings {
    pub fn span(&self) -> &Range<usize> {
        &self.span
    }

    /// A part of it; `section` is what the part is called where nothing says better. `None` for what is no part of it, as when the
    /// document was changed since.
    pub fn part(&self, span: Range<usize>, section: Option<&str>) -> Option<Around> {
        let (start, end) = (span.start.checked_sub(self.span.start)?, span.end.checked_sub(self.span.start)?);
        let text = self.text.get(start..end)?.to_owned();
        let locator = self.places.locator(&span, &self.text, self.span.start);
        Some(Around { text, span, locator: locator.or_else(|| section.map(str::to_owned)) })
    }
}

/// What the word index is to learn of a transaction.
struct News {
    generation: u64,
    changed: BTreeSet<String>,
    entries: Vec<Indexed>,
}

/// What is to be done with the vectors of a transaction once it is committed.
enum Written {
    Nothing,
    Home(Staged),
    /// They wait for being brought elsewhere.
    Away(Vec<(u64, Vec<f32>)>),
}

/// Which knowledge base a node expects in a directory.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    /// What the node calls it.
    pub name: String,
    /// Its id, unless the node has not seen it before.
    pub id: Option<String>,
}

impl Expected {
    /// Refuses what is another, and notes the name where it has none.
    fn check(&self, transaction: &WriteTransaction, dir: &Path) -> Result<()> {
        let refused = |what: String| Error::conflict(format!("{} {what}", dir.display())).with_file(dir);
        let tables = tables(transaction)?;
        if !tables.is_empty() && !tables.iter().any(|table| table == SETTINGS.name()) {
            return Err(refused("is the directory of something else".into())
                .with_remedy("name an empty directory for the knowledge base"));
        }
        let mut settings = transaction.open_table(SETTINGS)?;
        let found = settings.get(OWNER)?.map(|value| value.value().to_owned());
        if self.id.is_some() && found != self.id {
            return Err(refused(format!("has another knowledge base than the one that is called {}", self.name))
                .with_remedy("connect the disk of that knowledge base, or open this one under another name"));
        }
        let name = settings.get(NAME)?.map(|value| value.value().to_owned());
        if let Some(other) = name.filter(|other| *other != self.name) {
            return Err(refused(format!("has the knowledge base {other}, not {}", self.name))
                .with_remedy(format!("open it by the name {other}, or name another directory")));
        }
        settings.insert(NAME, self.name.as_str())?;
        Ok(())
    }
}

/// What comes with a transaction.
#[derive(Default)]
struct Added {
    vectors: Vec<(u64, Vec<f32>)>,
    /// The passages whose vectors are elsewhere already.
    kept: Vec<u64>,
}

/// How a document stands to what is stored under its name.
pub(crate) enum Standing {
    /// Nothing under this name.
    New,
    /// The same bytes, cut and embedded as they would be now.
    Unchanged,
    /// Something else.
    Changed,
}

/// Sizes of a knowledge base.
pub(crate) struct Sizes {
    pub documents: u64,
    pub chunks: u64,
    pub vectors: u64,
    pub generation: u64,
}

/// The stored side of a knowledge base. All of it blocks.
pub(crate) struct KnowledgeStore {
    store: Store,
    pub lexical: Arc<Lexical>,
    pub vectors: Option<VectorIndex>,
    embedder: Option<EmbedderInfo>,
    /// Held by whoever brings the word index to the database's state.
    following: Mutex<()>,
    /// Made when somebody asks for it, and anew after every change.
    tree: Mutex<Option<Arc<Tree>>>,
    /// The collection of the vectors.
    collection: String,
    options: IndexOptions,
    /// Whether the vectors are elsewhere.
    away: bool,
    /// Those of them that wait for being brought there.
    unsent: Mutex<BTreeMap<u64, Vec<f32>>>,
    /// Cancelled when nobody has it any more.
    gone: CancellationToken,
    _until_gone: DropGuard,
}

impl KnowledgeStore {
    /// Opens what a directory holds and brings everything beside the database to the state of the database.
    pub fn open(
        dir: &Path,
        embedder: Option<EmbedderInfo>,
        language: Option<Language>,
        options: IndexOptions,
        expected: Option<&Expected>,
    ) -> Result<KnowledgeStore> {
        let store = Store::open(dir)?;
        let (owner, language, embedder, collection, forgotten, away) = store.write(|transaction| {
            expected.map_or(Ok(()), |expected| expected.check(transaction, dir))?;
            let forgotten = pending::forget(transaction, |_| true)?;
            let collection = pending::collection(transaction)?;
            transaction.open_table(COUNTERS)?;
            transaction.open_table(DOCUMENTS)?;
            transaction.open_table(TEXTS)?;
            transaction.open_table(CHUNKS)?;
            transaction.open_table(CHANGES)?;
            transaction.open_table(METADATA)?;
            transaction.open_multimap_table(PASSAGES)?;
            let mut settings = transaction.open_table(SETTINGS)?;
            let away = away::record(&settings)?.is_some_and(|record| record.whole);
            let owner = settings.get(OWNER)?.map(|value| value.value().to_owned());
            let owner = match owner {
                Some(owner) => owner,
                None => {
                    let owner = format!("{:032x}", rand::random::<u128>());
                    settings.insert(OWNER, owner.as_str())?;
                    owner
                }
            };
            let before =
                settings.get(LANGUAGE)?.map(|value| decode::<Language>(value.value().as_bytes())).transpose()?;
            let language = language.or(before).unwrap_or_default();
            if before != Some(language) {
                settings.insert(LANGUAGE, pending::text_of(&language)?.as_str())?;
            }
            let recorded = settings.get(EMBEDDER)?.map(|value| value.value().to_owned());
            let recorded: Option<EmbedderInfo> = recorded.as_deref().map(|text| decode(text.as_bytes())).transpose()?;
            match (recorded, embedder) {
                (Some(recorded), Some(given)) if recorded != given => Err(Error::conflict(format!(
                    "{} was embedded with {} ({} dimensions), not with {} ({} dimensions)",
                    dir.display(),
                    recorded.id,
                    recorded.dimension,
                    given.id,
                    given.dimension
                ))
                .with_file(dir)
                .with_remedy(format!(
                    "open it with {}, and change the embedder by reembed if it is to be another",
                    recorded.id
                ))),
                (Some(recorded), _) => Ok((owner, language, Some(recorded), collection, forgotten, away)),
                (None, Some(given)) => {
                    let text = String::from_utf8_lossy(&encode(&given)?).into_owned();
                    settings.insert(EMBEDDER, text.as_str())?;
                    Ok((owner, language, Some(given), collection, forgotten, away))
                }
                (None, None) => Ok((owner, language, None, collection, forgotten, away)),
            }
        })?;
        if away && options.metric != Metric::Cosine {
            return Err(Error::conflict(
                "the vectors of this knowledge base are elsewhere, where cosines are compared",
            )
            .with_file(dir)
            .with_remedy("open it with the metric cosine"));
        }
        // Before anybody reads.
        if let Err(error) = store.wipe() {
            tracing::warn!(code = %error.code(), "what was deleted could not be overwritten");
        }
        let vectors = embedder
            .as_ref()
            .filter(|_| !away)
            .map(|embedder| VectorIndex::open(&store, &collection, embedder.dimension, options))
            .transpose()?;
        let lexical = Arc::new(Lexical::open(&dir.join(LEXICAL_DIR), &owner, language)?);
        if let Some(vectors) = &vectors {
            vectors.seal_in_background();
        }
        let knowledge =
            KnowledgeStore { away, ..KnowledgeStore::new(store, lexical, vectors, embedder, collection, options) };
        forgotten.iter().for_each(|collection| knowledge.remove_segment(collection));
        knowledge.catch_up()?;
        Ok(knowledge)
    }

    fn new(
        store: Store,
        lexical: Arc<Lexical>,
        vectors: Option<VectorIndex>,
        embedder: Option<EmbedderInfo>,
        collection: String,
        options: IndexOptions,
    ) -> KnowledgeStore {
        let gone = CancellationToken::new();
        let _until_gone = gone.clone().drop_guard();
        KnowledgeStore {
            store,
            lexical,
            vectors,
            embedder,
            following: Mutex::default(),
            tree: Mutex::default(),
            collection,
            options,
            away: false,
            unsent: Mutex::default(),
            gone,
            _until_gone,
        }
    }

    /// The same knowledge by other vectors.
    fn beside(&self, vectors: VectorIndex, embedder: EmbedderInfo, collection: String) -> KnowledgeStore {
        let (store, lexical) = (self.store.clone(), self.lexical.clone());
        KnowledgeStore::new(store, lexical, Some(vectors), Some(embedder), collection, self.options)
    }

    /// The name of the collection of the vectors.
    pub fn collection(&self) -> &str {
        &self.collection
    }

    /// Cancelled when nobody has it any more.
    pub fn gone(&self) -> CancellationToken {
        self.gone.clone()
    }

    /// Deletes the file of a graph; one that stays is of no use to anybody, and in nobody's way.
    fn remove_segment(&self, collection: &str) {
        let Some(dir) = self.store.dir() else { return };
        if let Err(error) = std::fs::remove_file(dir.join(format!("vectors-{collection}.segment")))
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::debug!(%error, "the file of a vector graph stays");
        }
    }

    /// The embedder whose vectors are held.
    pub fn embedder(&self) -> Option<&EmbedderInfo> {
        self.embedder.as_ref()
    }

    /// Stores documents in place of their earlier versions, and removes others. They are durable and can be found on return.
    pub fn commit(&self, put: Vec<NewDocument>, remove: &[String]) -> Result<()> {
        self.commit_telling(put, remove, || ())
    }

    /// As [`commit`](KnowledgeStore::commit); hears when everything is durable and the next may begin, which may be before the word
    /// index has it. Its words are indexed while its vectors are written.
    pub fn commit_telling(&self, put: Vec<NewDocument>, remove: &[String], written: impl FnOnce()) -> Result<()> {
        let (news, heard) = mpsc::sync_channel(1);
        let (durable, is_durable) = mpsc::sync_channel(1);
        std::thread::scope(|scope| {
            let indexing = move || match heard.recv() {
                Ok(news) => self.follow(news, move || is_durable.recv().is_ok()),
                // Nothing was written.
                Err(_) => Ok(()),
            };
            let indexing = std::thread::Builder::new().name("words".into()).spawn_scoped(scope, indexing);
            let indexing = indexing.map_err(|error| Error::internal("no thread can be started").with_source(error))?;
            let put = self.put(put, remove, move |told| drop(news.send(told)));
            match &put {
                Ok(()) => {
                    let _ = durable.send(());
                    written();
                }
                Err(_) => drop(durable),
            }
            let followed = indexing.join();
            put?;
            followed.unwrap_or_else(|_| Err(Error::internal("indexing words did not finish")))
        })
    }

    /// The first half of a commit: everything is durable, and what was added is not found by its words before
    /// [`follow`](KnowledgeStore::follow), the second, which gets what this tells. The first half of the next may be done meanwhile.
    fn put(&self, put: Vec<NewDocument>, remove: &[String], tell: impl FnOnce(News)) -> Result<()> {
        match (&self.vectors, self.write(put, remove, tell)?) {
            (Some(index), Written::Home(staged)) => index.apply(staged),
            (_, Written::Away(added)) => self.keep_unsent(added),
            _ => {}
        }
        Ok(())
    }

    /// Brings the word index to a transaction that it has not seen, once that is durable; not at all where it never will be.
    fn follow(&self, news: News, is_durable: impl FnOnce() -> bool) -> Result<()> {
        {
            let _turn = self.following.lock().unwrap_or_else(PoisonError::into_inner);
            if self.lexical.generation() == Some(news.generation - 1) {
                let entries = news.entries.iter().map(Indexed::entry);
                let changed = news.changed.iter().map(String::as_str);
                return self.lexical.update(news.generation, changed, entries, is_durable);
            }
        }
        if is_durable() { self.catch_up() } else { Ok(()) }
    }

    /// The transaction alone: what is durable after a crash at any later point. Tells the word index of it before it is.
    fn write(&self, put: Vec<NewDocument>, remove: &[String], tell: impl FnOnce(News)) -> Result<Written> {
        self.store.write(|transaction| {
            let mut gone = Vec::new();
            let mut added = Added::default();
            let mut changed: BTreeSet<String> = remove.iter().cloned().collect();
            let replaced: BTreeSet<&str> = put.iter().map(|document| document.info.id.as_str()).collect();
            if replaced.len() < put.len() {
                return Err(Error::internal("two documents of one id were to be stored together"));
            }
            changed.extend(replaced.iter().map(|id| (*id).to_owned()));
            let going: BTreeSet<&str> = remove.iter().map(String::as_str).chain(replaced).collect();
            let mut any = false;
            for id in going {
                any |= take_out(transaction, id, &mut gone)?;
            }
            if any {
                store::leave_traces(transaction, store::Traces::Documents)?;
            }
            let mut described = transaction.open_table(METADATA)?;
            for id in remove {
                described.insert(id.as_str(), BLANK.as_slice())?;
                described.remove(id.as_str())?;
            }
            drop(described);
            let entries = put_in(transaction, put, &mut added)?;
            let generation = self.advance(transaction, &changed)?;
            tell(News { generation, changed, entries });
            let Added { vectors, kept } = added;
            if away::record(&transaction.open_table(SETTINGS)?)?.is_some() {
                let ids: Vec<u64> = vectors.iter().map(|(id, _)| *id).collect();
                away::follow(transaction, &gone, &ids, &kept)?;
            }
            Ok(match (&self.vectors, &self.embedder) {
                (Some(index), _) => Written::Home(index.stage(transaction, &gone, vectors)?),
                (None, Some(embedder)) if self.away => {
                    let prepared = |(id, vector)| Ok((id, Metric::Cosine.prepare(vector, embedder.dimension)?));
                    Written::Away(vectors.into_iter().map(prepared).collect::<Result<_>>()?)
                }
                _ => Written::Nothing,
            })
        })
    }

    /// Raises the generation, which is returned, and records which documents changed with it.
    fn advance(&self, transaction: &WriteTransaction, changed: &BTreeSet<String>) -> Result<u64> {
        let mut counters = transaction.open_table(COUNTERS)?;
        let generation = counters.get(GENERATION)?.map_or(0, |value| value.value()) + 1;
        counters.insert(GENERATION, generation)?;
        let mut changes = transaction.open_table(CHANGES)?;
        // What the word index has seen is not needed for catching up.
        let seen = self.lexical.generation().unwrap_or(0);
        changes.retain(|generation, _| generation > seen)?;
        changes.insert(generation, encode(changed)?.as_slice())?;
        Ok(generation)
    }

    /// Says something else about documents whose text stays. Ids that are not stored are passed over.
    pub fn describe(&self, documents: &[String], metadata: &Metadata) -> Result<()> {
        let other = |id: &String| -> Result<bool> {
            Ok(self.document(id)?.is_some_and(|document| document.metadata != *metadata))
        };
        let mut changed = Vec::new();
        for id in documents {
            if other(id)? {
                changed.push(id);
            }
        }
        if changed.is_empty() {
            return Ok(());
        }
        self.store.write(|transaction| {
            for id in changed {
                set_metadata(transaction, id, metadata)?;
            }
            // No word of any passage changed.
            self.advance(transaction, &BTreeSet::new()).map(drop)
        })?;
        self.catch_up()
    }

    /// Brings the word index to the generation of the database.
    fn catch_up(&self) -> Result<()> {
        let _turn = self.following.lock().unwrap_or_else(PoisonError::into_inner);
        self.store.read(|transaction| {
            let generation = transaction.open_table(COUNTERS)?.get(GENERATION)?.map_or(0, |value| value.value());
            let chunks = transaction.open_table(CHUNKS)?;
            let current = self.lexical.generation();
            if current == Some(generation) && self.lexical.len() == chunks.len()? {
                return Ok(());
            }
            let namer = Namer::new();
            let changed = match current {
                Some(current) if current < generation => missed(transaction, current, generation)?,
                _ => None,
            };
            if let Some(changed) = changed {
                let mut passages = Vec::new();
                let documents = transaction.open_table(DOCUMENTS)?;
                for id in &changed {
                    let Some(stored) = documents.get(id.as_str())? else { continue };
                    for chunk in decode::<StoredDocument>(stored.value())?.chunk_ids {
                        let value = chunks.get(chunk)?.ok_or_else(|| damaged("a passage is missing"))?;
                        passages.push(Indexed::new(&namer, chunk, decode(value.value())?));
                    }
                }
                let entries = passages.iter().map(Indexed::entry);
                self.lexical.update(generation, changed.iter().map(String::as_str), entries, || true)?;
                if self.lexical.len() == chunks.len()? {
                    return Ok(());
                }
            }
            tracing::info!(generation, "the word index of a knowledge base is rebuilt");
            let mut all = Vec::new();
            for entry in chunks.iter()? {
                let (chunk, value) = entry?;
                all.push(Indexed::new(&namer, chunk.value(), decode(value.value())?));
            }
            self.lexical.rebuild(generation, all.iter().map(Indexed::entry))
        })
    }

    /// Every document, by name.
    pub fn documents(&self) -> Result<Vec<DocumentInfo>> {
        self.store.read(|transaction| {
            let mut all = Vec::new();
            let described = transaction.open_table(METADATA)?;
            for entry in transaction.open_table(DOCUMENTS)?.iter()? {
                let info = decode::<StoredDocument>(entry?.1.value())?.info;
                let metadata = metadata_in(&described, &info.id)?;
                all.push(DocumentInfo { metadata, ..info });
            }
            all.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.id.cmp(&b.id)));
            Ok(all)
        })
    }

    /// A document by its id.
    pub fn document(&self, id: &str) -> Result<Option<DocumentInfo>> {
        self.store.read(|transaction| {
            let found = transaction.open_table(DOCUMENTS)?.get(id)?;
            let Some(found) = found.map(|value| decode::<StoredDocument>(value.value())).transpose()? else {
                return Ok(None);
            };
            let metadata = metadata_in(&transaction.open_table(METADATA)?, id)?;
            Ok(Some(DocumentInfo { metadata, ..found.info }))
        })
    }

    /// What the app said about those of the documents that it said something about.
    pub fn metadata<'d>(&self, documents: impl Iterator<Item = &'d str>) -> Result<BTreeMap<String, Metadata>> {
        self.store.read(|transaction| {
            let described = transaction.open_table(METADATA)?;
            let mut found = BTreeMap::new();
            for id in documents {
                if !found.contains_key(id) {
                    found.insert(id.to_owned(), metadata_in(&described, id)?);
                }
            }
            Ok(found)
        })
    }

    /// What stands around hits: with as many passages of the same document on either side as `count` says. `None` for a hit whose
    /// document has changed since.
    pub fn surroundings(&self, hits: &[Hit], count: usize) -> Result<Vec<Option<Surroundings>>> {
        self.store.read(|transaction| {
            let (documents, texts) = (transaction.open_table(DOCUMENTS)?, transaction.open_table(TEXTS)?);
            let chunks = transaction.open_table(CHUNKS)?;
            let mut known: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
            let mut all = Vec::with_capacity(hits.len());
            for hit in hits {
                let id = hit.document_id.as_str();
                if !known.contains_key(id) {
                    let stored = documents.get(id)?.map(|value| decode::<StoredDocument>(value.value())).transpose()?;
                    known.insert(id, stored.map(|stored| stored.chunk_ids).unwrap_or_default());
                }
                let order = &known[id];
                let Some(place) = order.iter().position(|other| *other == chunk(hit)) else {
                    all.push(None);
                    continue;
                };
                let mut span = hit.span.clone();
                let mut places: Option<Places> = None;
                let mut same = false;
                for (number, id) in
                    order.iter().enumerate().skip(place.saturating_sub(count)).take(place.min(count) + 1 + count)
                {
                    let value = chunks.get(id)?.ok_or_else(|| damaged("a passage is missing"))?;
                    let passage: Passage = decode(value.value())?;
                    same |= number == place && passage.range == hit.span;
                    span = span.start.min(passage.range.start)..span.end.max(passage.range.end);
                    match &mut places {
                        Some(places) => places.join(passage.places),
                        None => places = Some(passage.places),
                    }
                }
                let text = texts.get(id)?;
                let text = text.as_ref().and_then(|text| text.value().get(span.clone())).filter(|_| same);
                all.push(text.map(|text| Surroundings {
                    text: text.to_owned(),
                    span,
                    places: places.unwrap_or_default(),
                }));
            }
            Ok(all)
        })
    }

    /// The text that a document's spans count in.
    pub fn text(&self, id: &str) -> Result<Option<String>> {
        self.store.read(|transaction| Ok(transaction.open_table(TEXTS)?.get(id)?.map(|text| text.value().to_owned())))
    }

    /// Compares a file with what is stored under its document's id.
    pub fn standing(&self, id: &str, content_hash: &str, chunking: &str, embedding: bool) -> Result<Standing> {
        self.store.read(|transaction| {
            let Some(value) = transaction.open_table(DOCUMENTS)?.get(id)? else { return Ok(Standing::New) };
            let stored: StoredDocument = decode(value.value())?;
            let same = stored.info.content_hash == content_hash && stored.chunking == chunking;
            Ok(if same && (stored.embedded || !embedding) { Standing::Unchanged } else { Standing::Changed })
        })
    }

    /// Gives passages whose text was embedded before the vectors of then.
    pub fn recall(&self, new: &mut [NewPassage]) -> Result<()> {
        if self.away {
            return self.recognise(new);
        }
        let Some(vectors) = &self.vectors else { return Ok(()) };
        self.store.read(|transaction| {
            let passages = transaction.open_multimap_table(PASSAGES)?;
            new.iter_mut().try_for_each(|new| {
                new.vector = known(&passages, vectors, &new.hash)?;
                Ok(())
            })
        })
    }

    /// Finds out which passages are those that have a vector elsewhere.
    fn recognise(&self, new: &mut [NewPassage]) -> Result<()> {
        let ids: Vec<u64> = new.iter().map(|new| new.id).collect();
        let there = self.of_those_away(&ids)?;
        self.store.read(|transaction| {
            let chunks = transaction.open_table(CHUNKS)?;
            for new in new.iter_mut().filter(|new| there.contains(&new.id)) {
                let stored = chunks.get(new.id)?.map(|value| decode::<Passage>(value.value())).transpose()?;
                new.kept = stored.is_some_and(|stored| stored.indexed() == new.indexed);
            }
            Ok(())
        })
    }

    /// The vector of a text that was embedded before.
    pub fn known_vector(&self, indexed: &str) -> Result<Option<Vec<f32>>> {
        let Some(vectors) = &self.vectors else { return Ok(None) };
        self.store
            .read(|transaction| known(&transaction.open_multimap_table(PASSAGES)?, vectors, &passage_hash(indexed)))
    }

    /// The passages of those ids that still exist, in the order of the ids.
    pub fn passages(&self, ids: &[u64]) -> Result<Vec<(u64, Passage)>> {
        self.store.read(|transaction| {
            let chunks = transaction.open_table(CHUNKS)?;
            let mut found = Vec::with_capacity(ids.len());
            for id in ids {
                if let Some(value) = chunks.get(id)? {
                    found.push((*id, decode(value.value())?));
                }
            }
            Ok(found)
        })
    }

    /// The passages of hits, by the ids that hits have.
    pub fn passages_of(&self, ids: Vec<String>) -> Result<BTreeMap<String, Passage>> {
        let ids: Vec<u64> = ids.iter().filter_map(|id| u64::from_str_radix(id, 16).ok()).collect();
        Ok(self.passages(&ids)?.into_iter().map(|(id, passage)| (format!("{id:016x}"), passage)).collect())
    }

    /// The passages of a document, in its order.
    pub fn chunks_of(&self, document: &str) -> Result<Vec<u64>> {
        self.store.read(|transaction| {
            let found = transaction.open_table(DOCUMENTS)?.get(document)?;
            let stored = found.map(|value| decode::<StoredDocument>(value.value())).transpose()?;
            Ok(stored.map(|stored| stored.chunk_ids).unwrap_or_default())
        })
    }

    /// 32 hexadecimal digits that no other knowledge base has.
    pub fn id(&self) -> Result<String> {
        self.store.read(|transaction| {
            let found = transaction.open_table(SETTINGS)?.get(OWNER)?.map(|value| value.value().to_owned());
            found.ok_or_else(|| damaged("it has no id"))
        })
    }

    /// The tree over all passages.
    pub fn tree(&self) -> Result<Arc<Tree>> {
        let mut kept = self.tree.lock().unwrap_or_else(PoisonError::into_inner);
        self.store.read(|transaction| {
            let generation = transaction.open_table(COUNTERS)?.get(GENERATION)?.map_or(0, |value| value.value());
            if let Some(tree) = kept.as_ref().filter(|tree| tree.generation == generation) {
                return Ok(tree.clone());
            }
            let chunks = transaction.open_table(CHUNKS)?;
            let mut leaves = Vec::with_capacity(chunks.len()? as usize);
            for entry in chunks.iter()? {
                let (chunk, value) = entry?;
                leaves.push((chunk.value(), leaf(chunk.value(), &decode(value.value())?)));
            }
            let tree = Arc::new(Tree::new(generation, leaves));
            *kept = Some(tree.clone());
            Ok(tree)
        })
    }

    /// Lets a capability count no more.
    pub fn revoke(&self, capability: &str) -> Result<()> {
        self.store.write(|transaction| {
            transaction.open_table(REVOKED)?.insert(capability, ())?;
            Ok(())
        })
    }

    /// Whether a capability counts no more.
    pub fn is_revoked(&self, capability: &str) -> Result<bool> {
        self.store.read(|transaction| {
            let revoked = existing(transaction.open_table(REVOKED))?;
            Ok(revoked
                .map(|revoked| revoked.get(capability).map(|found| found.is_some()))
                .transpose()?
                .unwrap_or(false))
        })
    }

    /// What was found out about the two searches, if it was.
    pub fn balance(&self) -> Result<Option<Balance>> {
        self.store.read(|transaction| {
            let found = transaction.open_table(SETTINGS)?.get(BALANCE)?.map(|value| value.value().to_owned());
            found.map(|text| decode(text.as_bytes())).transpose()
        })
    }

    /// How much meaning counts against words, 0 to 1.
    pub fn dense_weight(&self) -> Result<f64> {
        Ok(self.balance()?.unwrap_or_default().dense_weight)
    }

    /// Keeps what was found out about the two searches.
    pub fn set_balance(&self, balance: &Balance) -> Result<()> {
        let text = String::from_utf8_lossy(&encode(balance)?).into_owned();
        self.store.write(|transaction| {
            transaction.open_table(SETTINGS)?.insert(BALANCE, text.as_str())?;
            Ok(())
        })
    }

    /// What was learnt about refusing in a mode, if anything was.
    pub fn calibration(&self, mode: Mode) -> Result<Option<Calibration>> {
        self.store.read(|transaction| {
            let settings = transaction.open_table(SETTINGS)?;
            let found = settings.get(calibration_key(mode).as_str())?.map(|value| value.value().to_owned());
            found.map(|text| decode(text.as_bytes())).transpose()
        })
    }

    /// Keeps what was learnt about refusing in a mode.
    pub fn set_calibration(&self, mode: Mode, calibration: &Calibration) -> Result<()> {
        let text = String::from_utf8_lossy(&encode(calibration)?).into_owned();
        self.store.write(|transaction| {
            transaction.open_table(SETTINGS)?.insert(calibration_key(mode).as_str(), text.as_str())?;
            Ok(())
        })
    }

    /// Passages in the order of their ids, which is no order of their contents: at most `most` that `keep` makes something of.
    pub fn sample<T>(&self, most: usize, mut keep: impl FnMut(u64, Passage) -> Option<T>) -> Result<Vec<T>> {
        self.store.read(|transaction| {
            let mut kept = Vec::new();
            for entry in transaction.open_table(CHUNKS)?.iter()? {
                if kept.len() == most {
                    break;
                }
                let (chunk, value) = entry?;
                kept.extend(keep(chunk.value(), decode(value.value())?));
            }
            Ok(kept)
        })
    }

    /// How much there is.
    pub fn sizes(&self) -> Result<Sizes> {
        self.store.read(|transaction| {
            Ok(Sizes {
                documents: transaction.open_table(DOCUMENTS)?.len()?,
                chunks: transaction.open_table(CHUNKS)?.len()?,
                vectors: match &self.vectors {
                    Some(vectors) => vectors.len() as u64,
                    None if self.away => away::count(transaction)?,
                    None => 0,
                },
                generation: transaction.open_table(COUNTERS)?.get(GENERATION)?.map_or(0, |value| value.value()),
            })
        })
    }
}

/// A passage as the word index takes it.
struct Indexed {
    chunk: u64,
    document: String,
    text: String,
    names: Vec<Name>,
}

impl Indexed {
    fn new(namer: &Namer, chunk: u64, passage: Passage) -> Indexed {
        Indexed { chunk, text: passage.indexed(), names: passage.names(namer), document: passage.document }
    }

    fn entry(&self) -> Entry<'_> {
        Entry { document: &self.document, chunk: self.chunk, text: &self.text, names: &self.names }
    }
}

/// What stands where something is to be removed: too much for a page in which there is room for several entries.
///
/// redb takes an entry out of a page where it stands, and what the others moved away from stays behind their end, page after page: bytes
/// of entries that may go later. An entry that does not fit where it stood makes redb write the others in a new page, which has nothing
/// else; the old one is free and [overwritten](Store::wipe).
const BLANK: [u8; 4096] = [0; 4096];

/// Takes a document out, and tells whether there was one.
fn take_out(transaction: &WriteTransaction, id: &str, gone: &mut Vec<u64>) -> Result<bool> {
    let mut documents = transaction.open_table(DOCUMENTS)?;
    let Some(stored) = documents.get(id)?.map(|value| decode::<StoredDocument>(value.value())).transpose()? else {
        return Ok(false);
    };
    documents.insert(id, BLANK.as_slice())?;
    documents.remove(id)?;
    let mut texts = transaction.open_table(TEXTS)?;
    texts.insert(id, String::from_utf8_lossy(&BLANK).as_ref())?;
    texts.remove(id)?;
    let mut chunks = transaction.open_table(CHUNKS)?;
    let mut passages = transaction.open_multimap_table(PASSAGES)?;
    for chunk in stored.chunk_ids {
        let found = chunks.get(chunk)?.map(|value| decode::<Passage>(value.value())).transpose()?;
        if let Some(passage) = found {
            chunks.insert(chunk, BLANK.as_slice())?;
            chunks.remove(chunk)?;
            passages.remove(passage_hash(&passage.indexed()).as_slice(), chunk)?;
        }
        gone.push(chunk);
    }
    Ok(true)
}

/// Keeps documents whose earlier versions were taken out.
fn put_in(transaction: &WriteTransaction, put: Vec<NewDocument>, added: &mut Added) -> Result<Vec<Indexed>> {
    let mut documents = transaction.open_table(DOCUMENTS)?;
    let mut texts = transaction.open_table(TEXTS)?;
    let mut chunks = transaction.open_table(CHUNKS)?;
    let mut entries = Vec::new();
    // In the order of their keys, so that neighbours in the database are written one after the other.
    let mut records: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let mut hashes: BTreeSet<([u8; 32], u64)> = BTreeSet::new();
    for NewDocument { info, text, chunking, passages, metadata } in put {
        let embedded = passages.iter().all(|new| new.vector.is_some() || new.kept);
        let mut chunk_ids = Vec::with_capacity(passages.len());
        for NewPassage { mut id, hash, record, indexed, names, vector, kept } in passages {
            while records.contains_key(&id) || chunks.get(id)?.is_some() {
                id = (id + 1) & MAX_ID;
            }
            records.insert(id, record);
            hashes.insert((hash, id));
            added.vectors.extend(vector.map(|vector| (id, vector)));
            added.kept.extend(kept.then_some(id));
            entries.push(Indexed { chunk: id, document: info.id.clone(), text: indexed, names });
            chunk_ids.push(id);
        }
        texts.insert(info.id.as_str(), text.as_str())?;
        if let Some(metadata) = &metadata {
            set_metadata(transaction, &info.id, metadata)?;
        }
        let stored = StoredDocument { info, chunk_ids, embedded, chunking };
        documents.insert(stored.info.id.as_str(), encode(&stored)?.as_slice())?;
    }
    for (id, record) in records {
        chunks.insert(id, record.as_slice())?;
    }
    let mut passages = transaction.open_multimap_table(PASSAGES)?;
    for (hash, id) in hashes {
        passages.insert(hash.as_slice(), id)?;
    }
    Ok(entries)
}

/// The vector of the text of this hash, where it was embedded before.
fn known(
    passages: &ReadOnlyMultimapTable<&[u8], u64>,
    vectors: &VectorIndex,
    hash: &[u8; 32],
) -> Result<Option<Vec<f32>>> {
    for chunk in passages.get(hash.as_slice())? {
        if let Some(vector) = vectors.get(chunk?.value())? {
            return Ok(Some(vector));
        }
    }
    Ok(None)
}

fn set_metadata(transaction: &WriteTransaction, id: &str, metadata: &Metadata) -> Result<()> {
    let mut described = transaction.open_table(METADATA)?;
    match metadata.is_empty() {
        true => described.remove(id)?,
        false => described.insert(id, encode(metadata)?.as_slice())?,
    };
    Ok(())
}

fn metadata_in(described: &impl ReadableTable<&'static str, &'static [u8]>, id: &str) -> Result<Metadata> {
    Ok(described.get(id)?.map(|value| decode(value.value())).transpose()?.unwrap_or_default())
}

/// The documents changed after one generation up to another; `None` when the record of a generation is missing.
fn missed(transaction: &ReadTransaction, after: u64, upto: u64) -> Result<Option<BTreeSet<String>>> {
    let mut expected = after + 1;
    let mut changed = BTreeSet::new();
    for entry in transaction.open_table(CHANGES)?.range(after + 1..=upto)? {
        let (generation, value) = entry?;
        if generation.value() != expected {
            return Ok(None);
        }
        expected += 1;
        changed.extend(decode::<BTreeSet<String>>(value.value())?);
    }
    Ok((expected == upto + 1).then_some(changed))
}

fn chunk_id(document: &str, times: u64, indexed: &str) -> u64 {
    let mut hash = Sha256::new();
    // Of what it says and not of where it stands, so that text which stays keeps its id when other text changes.
    hash.update(document.as_bytes());
    hash.update(times.to_le_bytes());
    hash.update(indexed.as_bytes());
    let digest = hash.finalize();
    digest.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes) & MAX_ID)
}

fn calibration_key(mode: Mode) -> String {
    format!("calibration.{mode:?}").to_lowercase()
}

fn passage_hash(indexed: &str) -> [u8; 32] {
    Sha256::digest(indexed.as_bytes()).into()
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(unwritten)
}

fn unwritten(error: serde_json::Error) -> Error {
    Error::internal("a record could not be written down").with_source(error)
}

fn decode<T: for<'d> Deserialize<'d>>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| damaged("a record cannot be read").with_source(error))
}

fn damaged(what: &str) -> Error {
    Error::corrupt_data(format!("the knowledge base is damaged: {what}"))
        .with_remedy("restore its directory from a backup, or destroy it and ingest its documents again")
}

#[cfg(test)]
mod tests;
