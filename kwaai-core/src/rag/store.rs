//! What a knowledge base stores, and the one point where it is committed.
//!
//! Documents, passages and vectors are written in one redb transaction, which raises the generation. The word index is
//! brought to that generation afterwards, by the same code whether the transaction was committed a moment ago or before
//! the machine lost power: it applies the changes that it has missed, or is rebuilt.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use redb::{
    MultimapTableDefinition, ReadTransaction, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::rag::balance::Balance;
use crate::rag::calibration::Calibration;
use crate::rag::document::{Format, Places};
use crate::rag::lexical::{Entry, Lexical};
use crate::rag::names::{Name, Namer};
use crate::rag::retrieval::Mode;
use crate::rag::terms::Language;
use crate::store::Store;
use crate::vector::{IndexOptions, VectorIndex};
use crate::{Error, Result};

const SETTINGS: TableDefinition<&str, &str> = TableDefinition::new("rag.settings");
const COUNTERS: TableDefinition<&str, u64> = TableDefinition::new("rag.counters");
const DOCUMENTS: TableDefinition<&str, &[u8]> = TableDefinition::new("rag.documents");
const TEXTS: TableDefinition<&str, &str> = TableDefinition::new("rag.texts");
const CHUNKS: TableDefinition<u64, &[u8]> = TableDefinition::new("rag.chunks");
const PASSAGES: MultimapTableDefinition<&[u8], u64> = MultimapTableDefinition::new("rag.passages");
const CHANGES: TableDefinition<u64, &[u8]> = TableDefinition::new("rag.changes");

const GENERATION: &str = "generation";
const EMBEDDER: &str = "embedder";
/// A random name, by which an index of another knowledge base is told from its own.
const OWNER: &str = "owner";
const BALANCE: &str = "balance";
const COLLECTION: &str = "rag";
/// The directory of the word index beside the database.
pub(crate) const LEXICAL_DIR: &str = "lexical";
/// The file of the vector graph beside the database.
pub(crate) const SEGMENT_FILE: &str = "vectors-rag.segment";

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

    /// What is embedded and indexed: the text below its heading.
    pub fn indexed(&self) -> String {
        match &self.context {
            Some(context) => format!("{context}\n{}", self.text),
            None => self.text.clone(),
        }
    }
}

/// A document ready to be committed.
pub(crate) struct NewDocument {
    pub info: DocumentInfo,
    pub text: String,
    pub chunking: String,
    pub passages: Vec<(Passage, Option<Vec<f32>>)>,
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
    pub lexical: Lexical,
    pub vectors: Option<VectorIndex>,
    embedder: Option<EmbedderInfo>,
}

impl KnowledgeStore {
    /// Opens what a directory holds and brings everything beside the database to the state of the database.
    pub fn open(
        dir: &Path,
        embedder: Option<EmbedderInfo>,
        language: Language,
        options: IndexOptions,
    ) -> Result<KnowledgeStore> {
        let store = Store::open(dir)?;
        let (owner, embedder) = store.write(|transaction| {
            transaction.open_table(COUNTERS)?;
            transaction.open_table(DOCUMENTS)?;
            transaction.open_table(TEXTS)?;
            transaction.open_table(CHUNKS)?;
            transaction.open_table(CHANGES)?;
            transaction.open_multimap_table(PASSAGES)?;
            let mut settings = transaction.open_table(SETTINGS)?;
            let owner = settings.get(OWNER)?.map(|value| value.value().to_owned());
            let owner = match owner {
                Some(owner) => owner,
                None => {
                    let owner = format!("{:032x}", rand::random::<u128>());
                    settings.insert(OWNER, owner.as_str())?;
                    owner
                }
            };
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
                .with_remedy(format!("open it with {}, or destroy it and ingest its documents again", recorded.id))),
                (Some(recorded), _) => Ok((owner, Some(recorded))),
                (None, Some(given)) => {
                    let text = String::from_utf8_lossy(&encode(&given)?).into_owned();
                    settings.insert(EMBEDDER, text.as_str())?;
                    Ok((owner, Some(given)))
                }
                (None, None) => Ok((owner, None)),
            }
        })?;
        let vectors = embedder
            .as_ref()
            .map(|embedder| VectorIndex::open(&store, COLLECTION, embedder.dimension, options))
            .transpose()?;
        let lexical = Lexical::open(&dir.join(LEXICAL_DIR), &owner, language)?;
        if let Some(vectors) = &vectors {
            vectors.seal_in_background();
        }
        let knowledge = KnowledgeStore { store, lexical, vectors, embedder };
        knowledge.catch_up()?;
        Ok(knowledge)
    }

    /// The embedder whose vectors are held.
    pub fn embedder(&self) -> Option<&EmbedderInfo> {
        self.embedder.as_ref()
    }

    /// Replaces documents and removes others, all of it or nothing. On return everything can be found.
    pub fn commit(&self, put: Vec<NewDocument>, remove: &[String]) -> Result<()> {
        let staged = self.write(put, remove)?;
        if let (Some(vectors), Some(staged)) = (&self.vectors, staged) {
            vectors.apply(staged);
        }
        self.catch_up()
    }

    /// The transaction alone: what is durable after a crash at any later point.
    fn write(&self, put: Vec<NewDocument>, remove: &[String]) -> Result<Option<crate::vector::Staged>> {
        self.store.write(|transaction| {
            let mut gone = Vec::new();
            let mut added = Vec::new();
            let mut changed: BTreeSet<String> = remove.iter().cloned().collect();
            for id in remove {
                self.take_out(transaction, id, &mut gone)?;
            }
            for document in put {
                self.take_out(transaction, &document.info.id, &mut gone)?;
                changed.insert(document.info.id.clone());
                put_in(transaction, document, &mut added)?;
            }
            let mut counters = transaction.open_table(COUNTERS)?;
            let generation = counters.get(GENERATION)?.map_or(0, |value| value.value()) + 1;
            counters.insert(GENERATION, generation)?;
            let mut changes = transaction.open_table(CHANGES)?;
            // What the word index has seen is not needed for catching up.
            let seen = self.lexical.generation().unwrap_or(0);
            changes.retain(|generation, _| generation > seen)?;
            changes.insert(generation, encode(&changed)?.as_slice())?;
            self.vectors.as_ref().map(|vectors| vectors.stage(transaction, &gone, added)).transpose()
        })
    }

    fn take_out(&self, transaction: &WriteTransaction, id: &str, gone: &mut Vec<u64>) -> Result<()> {
        let mut documents = transaction.open_table(DOCUMENTS)?;
        let Some(stored) = documents.remove(id)?.map(|value| decode::<StoredDocument>(value.value())).transpose()?
        else {
            return Ok(());
        };
        transaction.open_table(TEXTS)?.remove(id)?;
        let mut chunks = transaction.open_table(CHUNKS)?;
        let mut passages = transaction.open_multimap_table(PASSAGES)?;
        for chunk in stored.chunk_ids {
            if let Some(value) = chunks.remove(chunk)? {
                let passage: Passage = decode(value.value())?;
                passages.remove(passage_hash(&passage.indexed()).as_slice(), chunk)?;
            }
            gone.push(chunk);
        }
        Ok(())
    }

    /// Brings the word index to the generation of the database.
    fn catch_up(&self) -> Result<()> {
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
                self.lexical.update(generation, changed.iter().map(String::as_str), entries)?;
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
            for entry in transaction.open_table(DOCUMENTS)?.iter()? {
                all.push(decode::<StoredDocument>(entry?.1.value())?.info);
            }
            all.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.id.cmp(&b.id)));
            Ok(all)
        })
    }

    /// A document by its id.
    pub fn document(&self, id: &str) -> Result<Option<DocumentInfo>> {
        self.store.read(|transaction| {
            let found = transaction.open_table(DOCUMENTS)?.get(id)?;
            Ok(found.map(|value| decode::<StoredDocument>(value.value())).transpose()?.map(|stored| stored.info))
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

    /// The vectors of those of the texts that were embedded before.
    pub fn known_vectors(&self, texts: &[String]) -> Result<Vec<Option<Vec<f32>>>> {
        let Some(vectors) = &self.vectors else { return Ok(vec![None; texts.len()]) };
        self.store.read(|transaction| {
            let passages = transaction.open_multimap_table(PASSAGES)?;
            let known = |text: &String| -> Result<Option<Vec<f32>>> {
                for chunk in passages.get(passage_hash(text).as_slice())? {
                    if let Some(vector) = vectors.get(chunk?.value())? {
                        return Ok(Some(vector));
                    }
                }
                Ok(None)
            };
            texts.iter().map(known).collect()
        })
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
                vectors: self.vectors.as_ref().map_or(0, |vectors| vectors.len() as u64),
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
        let names = if passage.index == 0 { namer.names(&passage.name, &passage.text) } else { Vec::new() };
        Indexed { chunk, text: passage.indexed(), document: passage.document, names }
    }

    fn entry(&self) -> Entry<'_> {
        Entry { document: &self.document, chunk: self.chunk, text: &self.text, names: &self.names }
    }
}

fn put_in(transaction: &WriteTransaction, document: NewDocument, added: &mut Vec<(u64, Vec<f32>)>) -> Result<()> {
    let mut chunks = transaction.open_table(CHUNKS)?;
    let mut passages = transaction.open_multimap_table(PASSAGES)?;
    let mut chunk_ids = Vec::with_capacity(document.passages.len());
    let embedded = document.passages.iter().all(|(_, vector)| vector.is_some());
    // The same words may stand in a document many times over.
    let mut seen: BTreeMap<[u8; 32], u64> = BTreeMap::new();
    for (passage, vector) in document.passages {
        let times = seen.entry(passage_hash(&passage.indexed())).or_default();
        let mut id = chunk_id(&passage, *times);
        *times += 1;
        while chunks.get(id)?.is_some() {
            id = id.wrapping_add(1);
        }
        chunks.insert(id, encode(&passage)?.as_slice())?;
        passages.insert(passage_hash(&passage.indexed()).as_slice(), id)?;
        added.extend(vector.map(|vector| (id, vector)));
        chunk_ids.push(id);
    }
    transaction.open_table(TEXTS)?.insert(document.info.id.as_str(), document.text.as_str())?;
    let stored = StoredDocument { info: document.info, chunk_ids, embedded, chunking: document.chunking };
    transaction.open_table(DOCUMENTS)?.insert(stored.info.id.as_str(), encode(&stored)?.as_slice())?;
    Ok(())
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

fn chunk_id(passage: &Passage, times: u64) -> u64 {
    let mut hash = Sha256::new();
    // Of what it says and not of where it stands, so that text which stays keeps its id when other text changes.
    hash.update(passage.document.as_bytes());
    hash.update(times.to_le_bytes());
    hash.update(passage.indexed().as_bytes());
    let digest = hash.finalize();
    digest.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn calibration_key(mode: Mode) -> String {
    format!("calibration.{mode:?}").to_lowercase()
}

fn passage_hash(indexed: &str) -> [u8; 32] {
    Sha256::digest(indexed.as_bytes()).into()
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::internal("a record could not be written down").with_source(error))
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
