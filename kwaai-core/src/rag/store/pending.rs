//! Vectors of another embedder that are being made, beside those that answer.
//!
//! They lie in a collection of their own, under the ids of their passages, and are kept by what was embedded: text that comes again, in
//! whichever document, takes the vector that is there. One transaction lets them take the place of the others; what passages came and
//! went until then is part of it.

use std::collections::BTreeSet;

use redb::{
    ReadTransaction, ReadableMultimapTable, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction,
};
use serde::{Deserialize, Serialize};

use super::{
    BALANCE, CHANGES, COLLECTION, COUNTERS, DOCUMENTS, EMBEDDER, EmbedderInfo, GENERATION, KnowledgeStore, PASSAGES,
    Passage, SETTINGS, StoredDocument, away, damaged, decode, encode,
};
use crate::store::existing;
use crate::vector::VectorIndex;
use crate::{Error, Result};

/// The passages that have a vector, each with the hash of the text that was embedded.
const MADE: TableDefinition<u64, &[u8]> = TableDefinition::new("rag.reembed.passages");
/// A passage for each text that was embedded.
const TEXTS: TableDefinition<&[u8], u64> = TableDefinition::new("rag.reembed.texts");

/// The setting that says what is being made.
const PENDING: &str = "reembed";
/// The setting with the name of the collection that answers, once it is not the first.
const CURRENT: &str = "collection";
/// The setting with the names of those that answered before and are not deleted yet.
const RETIRED: &str = "retired";
/// The counter of collections, so that no name comes twice.
const COLLECTIONS: &str = "collections";

type Hash = [u8; 32];

/// As it is written down.
#[derive(Serialize, Deserialize)]
struct Record {
    embedder: EmbedderInfo,
    collection: String,
}

/// What is being made.
pub(crate) struct Pending {
    record: Record,
    index: VectorIndex,
}

/// A text without a vector, and the passages that say it.
pub(crate) struct Missing {
    hash: Hash,
    passages: Vec<u64>,
}

/// Texts that were looked up.
pub(crate) struct Batch {
    /// Those that are to be embedded.
    pub texts: Vec<(Missing, String)>,
    /// Those that were embedded before.
    pub made: Vec<Made>,
}

/// The vector of a text.
pub(crate) struct Made {
    pub text: Missing,
    pub vector: Vec<f32>,
}

/// The name of the collection that answers.
pub(super) fn collection(transaction: &WriteTransaction) -> Result<String> {
    let settings = transaction.open_table(SETTINGS)?;
    let found = settings.get(CURRENT)?.map(|value| value.value().to_owned());
    Ok(found.unwrap_or_else(|| COLLECTION.to_owned()))
}

/// Deletes the collections that nobody searches any more, of which `which` says so. Tells which they were.
pub(super) fn forget(transaction: &WriteTransaction, which: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    let mut settings = transaction.open_table(SETTINGS)?;
    let retired = retired(&settings)?;
    let (gone, kept): (Vec<String>, Vec<String>) = retired.into_iter().partition(|name| which(name));
    for name in &gone {
        VectorIndex::delete_collection(transaction, name)?;
    }
    if !gone.is_empty() {
        settings.insert(RETIRED, text_of(&kept)?.as_str())?;
        away::leave_traces(transaction, &settings)?;
    }
    Ok(gone)
}

/// Lets a collection answer no more. It is deleted when nobody searches it.
pub(super) fn retire(settings: &mut redb::Table<'_, &'static str, &'static str>, collection: &str) -> Result<()> {
    let mut retired = retired(settings)?;
    retired.push(collection.to_owned());
    settings.insert(RETIRED, text_of(&retired)?.as_str())?;
    Ok(())
}

/// Whether vectors that answer no more are not deleted yet.
pub(super) fn is_retiring(settings: &impl ReadableTable<&'static str, &'static str>) -> Result<bool> {
    Ok(!retired(settings)?.is_empty())
}

fn retired(settings: &impl ReadableTable<&'static str, &'static str>) -> Result<Vec<String>> {
    let found = settings.get(RETIRED)?.map(|value| value.value().to_owned());
    found.map_or(Ok(Vec::new()), |text| decode(text.as_bytes()))
}

/// Whether the vectors of another embedder are being made, or were left half made.
pub(super) fn is_begun(settings: &impl ReadableTable<&'static str, &'static str>) -> Result<bool> {
    Ok(settings.get(PENDING)?.is_some())
}

/// Gives up what was made of another embedder. Tells the collection that it lay in.
pub(super) fn abandon(
    transaction: &WriteTransaction,
    settings: &mut redb::Table<'_, &'static str, &'static str>,
) -> Result<Option<String>> {
    let found = settings.remove(PENDING)?.map(|value| value.value().to_owned());
    let Some(record) = found.map(|text| decode::<Record>(text.as_bytes())).transpose()? else { return Ok(None) };
    VectorIndex::delete_collection(transaction, &record.collection)?;
    transaction.delete_table(MADE)?;
    transaction.delete_table(TEXTS)?;
    Ok(Some(record.collection))
}

pub(super) fn text_of<T: Serialize>(value: &T) -> Result<String> {
    Ok(String::from_utf8_lossy(&encode(value)?).into_owned())
}

impl KnowledgeStore {
    /// Goes on to make the vectors of an embedder, from where that was left, or begins it. What was made of another is given up.
    pub fn begin(&self, embedder: &EmbedderInfo) -> Result<Pending> {
        let (record, abandoned) = self.store.write(|transaction| {
            let mut settings = transaction.open_table(SETTINGS)?;
            let found = settings.get(PENDING)?.map(|value| value.value().to_owned());
            let found: Option<Record> = found.map(|text| decode(text.as_bytes())).transpose()?;
            let abandoned = match found {
                Some(record) if record.embedder == *embedder => return Ok((record, None)),
                Some(other) => {
                    VectorIndex::delete_collection(transaction, &other.collection)?;
                    away::leave_traces(transaction, &settings)?;
                    Some(other.collection)
                }
                None => None,
            };
            transaction.delete_table(MADE)?;
            transaction.delete_table(TEXTS)?;
            let mut counters = transaction.open_table(COUNTERS)?;
            let number = counters.get(COLLECTIONS)?.map_or(1, |value| value.value()) + 1;
            counters.insert(COLLECTIONS, number)?;
            let record = Record { embedder: embedder.clone(), collection: format!("{COLLECTION}-{number}") };
            settings.insert(PENDING, text_of(&record)?.as_str())?;
            transaction.open_table(MADE)?;
            transaction.open_table(TEXTS)?;
            Ok((record, abandoned))
        })?;
        if let Some(collection) = abandoned {
            self.remove_segment(&collection);
        }
        let index = VectorIndex::open(&self.store, &record.collection, record.embedder.dimension, self.options)?;
        Ok(Pending { record, index })
    }

    /// Lets what was made take the place of the vectors that answered. Nobody may change the knowledge base meanwhile. Those vectors
    /// stay for whoever still searches them, until they are [forgotten](KnowledgeStore::forget_retired).
    pub fn switch(&self, pending: Pending) -> Result<KnowledgeStore> {
        let Pending { record, index } = pending;
        let staged = self.store.write(|transaction| {
            let live = live(&transaction.open_multimap_table(PASSAGES)?)?;
            let made = transaction.open_table(MADE)?;
            let mut stale = Vec::new();
            let mut count = 0;
            for entry in made.iter()? {
                let (passage, hash) = entry?;
                match live.contains(&(passage.value(), hash_of(hash.value())?)) {
                    true => count += 1,
                    false => stale.push(passage.value()),
                }
            }
            if count != live.len() {
                return Err(Error::internal("a passage came while vectors were exchanged"));
            }
            drop(made);
            let mut settings = transaction.open_table(SETTINGS)?;
            // Without an embedder before there is none.
            if self.vectors.is_some() {
                retire(&mut settings, &self.collection)?;
            }
            settings.insert(EMBEDDER, text_of(&record.embedder)?.as_str())?;
            settings.insert(CURRENT, record.collection.as_str())?;
            settings.remove(PENDING)?;
            // What was found out by the other vectors holds for those alone.
            settings.remove(BALANCE)?;
            settings.retain(|name, _| !name.starts_with("calibration."))?;
            drop(settings);
            away::forget(transaction)?;
            transaction.delete_table(MADE)?;
            transaction.delete_table(TEXTS)?;
            let mut documents = transaction.open_table(DOCUMENTS)?;
            let mut embedded = Vec::new();
            for entry in documents.iter()? {
                let (id, value) = entry?;
                let stored: StoredDocument = decode(value.value())?;
                if !stored.embedded {
                    embedded.push((id.value().to_owned(), StoredDocument { embedded: true, ..stored }));
                }
            }
            for (id, stored) in embedded {
                documents.insert(id.as_str(), encode(&stored)?.as_slice())?;
            }
            // Answers that are kept were found by the other vectors.
            let mut counters = transaction.open_table(COUNTERS)?;
            let generation = counters.get(GENERATION)?.map_or(0, |value| value.value()) + 1;
            counters.insert(GENERATION, generation)?;
            transaction.open_table(CHANGES)?.insert(generation, encode(&BTreeSet::<String>::new())?.as_slice())?;
            index.stage(transaction, &stale, Vec::new())
        })?;
        index.apply(staged);
        let knowledge = self.beside(index, record.embedder, record.collection);
        // The exchange is durable, whatever becomes of the word index, which the next commit or opening brings up to it.
        if let Err(error) = knowledge.catch_up() {
            tracing::warn!(code = %error.code(), "the word index could not follow a change of the embedder");
        }
        Ok(knowledge)
    }

    /// Deletes the vectors that answered before, of the collection of that name.
    pub fn forget_retired(&self, collection: &str) -> Result<()> {
        let gone = self.store.write(|transaction| forget(transaction, |name| name == collection))?;
        gone.iter().for_each(|name| self.remove_segment(name));
        Ok(())
    }
}

impl Pending {
    /// The texts that have no vector yet, in an order that is always the same, and how many passages there are and have one.
    pub fn missing(&self, knowledge: &KnowledgeStore) -> Result<(Vec<Missing>, usize, usize)> {
        knowledge.store.read(|transaction| {
            let made = transaction.open_table(MADE)?;
            let (mut missing, mut all, mut done) = (Vec::new(), 0, 0);
            for entry in transaction.open_multimap_table(PASSAGES)?.iter()? {
                let (hash, ids) = entry?;
                let hash = hash_of(hash.value())?;
                let mut passages = Vec::new();
                for id in ids {
                    let id = id?.value();
                    all += 1;
                    match made.get(id)?.is_some_and(|of| of.value() == hash) {
                        true => done += 1,
                        false => passages.push(id),
                    }
                }
                if !passages.is_empty() {
                    missing.push(Missing { hash, passages });
                }
            }
            Ok((missing, all, done))
        })
    }

    /// Looks texts up. Those whose passages are gone are left out.
    pub fn read(&self, knowledge: &KnowledgeStore, missing: Vec<Missing>) -> Result<Batch> {
        let (mut texts, mut made) = (Vec::new(), Vec::new());
        for text in missing {
            let found = knowledge.store.read(|transaction| self.vector(transaction, &text.hash))?;
            if let Some(vector) = found {
                made.push(Made { text, vector });
                continue;
            }
            let Some((_, passage)) = knowledge.passages(&text.passages)?.into_iter().next() else { continue };
            let indexed = Passage::indexed(&passage);
            // Some passages may have been stored without vectors, beside those that have one of this very embedder.
            let same = knowledge.embedder() == Some(&self.record.embedder);
            let known = if same { knowledge.known_vector(&indexed)? } else { None };
            match known {
                Some(vector) => made.push(Made { text, vector }),
                None => texts.push((text, indexed)),
            }
        }
        Ok(Batch { texts, made })
    }

    /// How many passages there are, and how many of them have a vector.
    pub fn progress(&self, knowledge: &KnowledgeStore) -> Result<(usize, usize)> {
        knowledge.store.read(|transaction| {
            let all = transaction.open_multimap_table(PASSAGES)?.len()? as usize;
            // Some may be gone since.
            Ok((all, (transaction.open_table(MADE)?.len()? as usize).min(all)))
        })
    }

    fn vector(&self, transaction: &ReadTransaction, hash: &Hash) -> Result<Option<Vec<f32>>> {
        let Some(texts) = existing(transaction.open_table(TEXTS))? else { return Ok(None) };
        let Some(passage) = texts.get(hash.as_slice())?.map(|passage| passage.value()) else { return Ok(None) };
        let of = transaction.open_table(MADE)?.get(passage)?.is_some_and(|of| of.value() == hash);
        if of { self.index.get(passage) } else { Ok(None) }
    }

    /// Keeps vectors. They are durable on return.
    pub fn keep(&self, knowledge: &KnowledgeStore, made: Vec<Made>) -> Result<()> {
        let staged = knowledge.store.write(|transaction| {
            let (mut passages, mut texts) = (transaction.open_table(MADE)?, transaction.open_table(TEXTS)?);
            let mut add = Vec::with_capacity(made.len());
            for Made { text, vector } in made {
                for passage in text.passages {
                    passages.insert(passage, text.hash.as_slice())?;
                    texts.insert(text.hash.as_slice(), passage)?;
                    add.push((passage, vector.clone()));
                }
            }
            self.index.stage(transaction, &[], add)
        })?;
        self.index.apply(staged);
        Ok(())
    }
}

/// Every passage with the hash of its text.
fn live(passages: &impl ReadableMultimapTable<&'static [u8], u64>) -> Result<BTreeSet<(u64, Hash)>> {
    let mut live = BTreeSet::new();
    for entry in passages.iter()? {
        let (hash, ids) = entry?;
        let hash = hash_of(hash.value())?;
        for id in ids {
            live.insert((id?.value(), hash));
        }
    }
    Ok(live)
}

fn hash_of(bytes: &[u8]) -> Result<Hash> {
    bytes.try_into().map_err(|_| damaged("the hash of a text has another length"))
}
