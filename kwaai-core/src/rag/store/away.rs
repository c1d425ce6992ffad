//! Vectors that a collection elsewhere holds: which passages have one there, and what the collection was not told yet.
//!
//! Both are written in the transaction of the documents, so that after a crash nothing is forgotten that the collection is to learn. A
//! vector that waits is in memory alone: it was sent away in order not to be on this disk. After a crash it is made again of its text.
#![cfg_attr(not(feature = "vpk"), allow(dead_code, reason = "without collections nothing is sent to one"))]

use std::collections::{BTreeMap, BTreeSet};

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::{CHUNKS, DOCUMENTS, KnowledgeStore, Passage, SETTINGS, StoredDocument, decode, pending};
use crate::store::{self, existing};
use crate::vector::{Metric, dot};
use crate::{Error, Result};

/// The passages whose vectors the collection holds, or is to hold.
const THERE: TableDefinition<u64, ()> = TableDefinition::new("rag.outsource.there");
/// What it was not told yet: a passage that it is to hold, or to forget where this is false.
const WAITING: TableDefinition<u64, bool> = TableDefinition::new("rag.outsource.waiting");

/// The setting that says where the vectors are, or are brought.
const AWAY: &str = "outsource";

/// So many vectors wait in memory; more are made again of their texts.
const MOST_UNSENT: usize = 1 << 16;

/// As it is written down.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The id of the collection.
    pub collection: String,
    /// Whether all vectors are there and none is at home.
    pub whole: bool,
    /// Whether the texts go with them.
    #[serde(default)]
    pub texts: bool,
}

/// A passage as a payload: what is always true of it as long as it has its id.
#[derive(Serialize)]
struct Sealed<'p> {
    document_id: &'p str,
    document: &'p str,
    heading: Option<&'p str>,
    text: &'p str,
}

fn payload(passage: &Passage) -> Result<Vec<u8>> {
    let Passage { document, name, context, text, .. } = passage;
    super::encode(&Sealed { document_id: document, document: name, heading: context.as_deref(), text })
}

/// What a collection is to learn, and where its vectors come from.
#[derive(Default)]
pub(crate) struct Waiting {
    pub put: Vec<(u64, Vec<f32>)>,
    /// What is to be embedded again.
    pub texts: Vec<(u64, String)>,
    /// What goes with the vectors, where texts do.
    pub payloads: BTreeMap<u64, Vec<u8>>,
    pub remove: Vec<u64>,
}

impl Waiting {
    pub fn is_empty(&self) -> bool {
        self.put.is_empty() && self.texts.is_empty() && self.remove.is_empty()
    }
}

/// Where the vectors are.
pub(crate) struct Standing {
    pub record: Record,
    /// Passages whose vectors the collection holds, or is to hold.
    pub passages: u64,
    pub waiting: u64,
    /// Whether nothing of them is left at home.
    pub clean: bool,
}

pub(super) fn record(settings: &impl ReadableTable<&'static str, &'static str>) -> Result<Option<Record>> {
    let found = settings.get(AWAY)?.map(|value| value.value().to_owned());
    found.map(|text| decode(text.as_bytes())).transpose()
}

/// Lets the collection learn of what comes and goes with a transaction. `kept` are passages that it had before, by their text.
pub(super) fn follow(transaction: &WriteTransaction, gone: &[u64], added: &[u64], kept: &[u64]) -> Result<()> {
    let (mut there, mut waiting) = (transaction.open_table(THERE)?, transaction.open_table(WAITING)?);
    let gone: BTreeSet<u64> = gone.iter().copied().collect();
    let (stay, come): (BTreeSet<u64>, Vec<u64>) = {
        let stays = |id: &u64| gone.contains(id);
        (kept.iter().copied().filter(stays).collect(), kept.iter().copied().filter(|id| !stays(id)).collect())
    };
    for id in gone.difference(&stay) {
        if there.remove(id)?.is_some() {
            waiting.insert(id, false)?;
        }
    }
    for id in added.iter().chain(&come) {
        there.insert(id, ())?;
        waiting.insert(id, true)?;
    }
    Ok(())
}

/// Notes, with the transaction that deletes them, that vectors are deleted which are not to be on this disk any more.
pub(super) fn leave_traces(
    transaction: &WriteTransaction,
    settings: &impl ReadableTable<&'static str, &'static str>,
) -> Result<()> {
    match record(settings)?.is_some_and(|record| record.whole) {
        true => store::leave_traces(transaction, store::Traces::Vectors),
        false => Ok(()),
    }
}

/// The vectors come home, or stay there: the collection counts no more.
pub(super) fn forget(transaction: &WriteTransaction) -> Result<()> {
    transaction.open_table(SETTINGS)?.remove(AWAY)?;
    transaction.delete_table(THERE)?;
    transaction.delete_table(WAITING)?;
    Ok(())
}

/// How many passages have a vector there.
pub(super) fn count(transaction: &ReadTransaction) -> Result<u64> {
    Ok(existing(transaction.open_table(THERE))?.map(|there| there.len()).transpose()?.unwrap_or_default())
}

impl KnowledgeStore {
    /// Whether the vectors are elsewhere, and none is at home.
    pub fn is_away(&self) -> bool {
        self.away
    }

    /// Where the vectors are, or are brought.
    pub fn standing_away(&self) -> Result<Option<Standing>> {
        self.store.read(|transaction| {
            let settings = transaction.open_table(SETTINGS)?;
            let Some(record) = record(&settings)? else { return Ok(None) };
            let waiting = existing(transaction.open_table(WAITING))?;
            let waiting = waiting.map(|waiting| waiting.len()).transpose()?.unwrap_or_default();
            let passages = count(transaction)?;
            let is_wiped =
                !store::has_traces(transaction, store::Traces::Vectors)? && !pending::is_retiring(&settings)?;
            let clean = record.whole && is_wiped && !pending::is_begun(&settings)?;
            Ok(Some(Standing { passages, clean, record, waiting }))
        })
    }

    /// Whether it has begun to bring the vectors to a collection.
    ///
    /// # Errors
    /// `conflict` where they are brought to another.
    pub fn has_begun_away(&self, collection: &str) -> Result<bool> {
        self.store.read(|transaction| match record(&transaction.open_table(SETTINGS)?)? {
            Some(record) if record.collection == collection => Ok(true),
            Some(record) => Err(Error::conflict(format!(
                "the vectors of this knowledge base are in the collection {}, not in {collection}",
                record.collection
            ))
            .with("collection", record.collection)
            .with_remedy("open that collection, or bring the vectors home by reembed first")),
            None => Ok(false),
        })
    }

    /// Begins to bring the vectors to a collection, with `texts` or without, or goes on. Tells how many passages it is to hold, and how
    /// many of them it does. All of them are brought again when the texts are to come or to go.
    ///
    /// # Errors
    /// `conflict` where passages have no vector.
    pub fn begin_away(&self, collection: &str, texts: bool) -> Result<(usize, usize)> {
        self.store.write(|transaction| {
            let mut settings = transaction.open_table(SETTINGS)?;
            let (mut there, mut waiting) = (transaction.open_table(THERE)?, transaction.open_table(WAITING)?);
            match record(&settings)? {
                Some(record) if record.texts == texts => {}
                Some(record) => {
                    for entry in there.iter()? {
                        waiting.insert(entry?.0.value(), true)?;
                    }
                    settings.insert(AWAY, pending::text_of(&Record { texts, ..record })?.as_str())?;
                }
                None => {
                    for entry in transaction.open_table(DOCUMENTS)?.iter()? {
                        let stored: StoredDocument = decode(entry?.1.value())?;
                        if !stored.embedded {
                            let name = &stored.info.name;
                            return Err(Error::conflict(format!("{name} was ingested without an embedder"))
                                .with_remedy("give its passages vectors by reembed first"));
                        }
                    }
                    for entry in transaction.open_table(CHUNKS)?.iter()? {
                        let id = entry?.0.value();
                        there.insert(id, ())?;
                        waiting.insert(id, true)?;
                    }
                    let record = Record { collection: collection.to_owned(), whole: false, texts };
                    settings.insert(AWAY, pending::text_of(&record)?.as_str())?;
                }
            }
            let mut missing = 0;
            for entry in waiting.iter()? {
                missing += usize::from(entry?.1.value());
            }
            let all = there.len()? as usize;
            Ok((all, all.saturating_sub(missing)))
        })
    }

    /// What the collection is to learn next: of so many passages at most.
    pub fn waiting(&self, most: usize) -> Result<Waiting> {
        self.store.read(|transaction| {
            let mut found = Waiting::default();
            let Some(waiting) = existing(transaction.open_table(WAITING))? else { return Ok(found) };
            let chunks = transaction.open_table(CHUNKS)?;
            let passage = |id: u64| -> Result<Passage> {
                let stored = chunks.get(id)?.ok_or_else(|| super::damaged("a passage is missing"))?;
                decode(stored.value())
            };
            let texts = record(&transaction.open_table(SETTINGS)?)?.is_some_and(|record| record.texts);
            for entry in waiting.iter()?.take(most) {
                let (id, put) = entry?;
                let id = id.value();
                if !put.value() {
                    found.remove.push(id);
                    continue;
                }
                let home = self.vectors.as_ref().map(|vectors| vectors.get(id)).transpose()?.flatten();
                let vector = home.or_else(|| self.unsent().get(&id).cloned());
                let passage = (texts || vector.is_none()).then(|| passage(id)).transpose()?;
                match (vector, &passage) {
                    (Some(vector), _) => found.put.push((id, vector)),
                    (None, passage) => found.texts.extend(passage.as_ref().map(|passage| (id, passage.indexed()))),
                }
                if let Some(passage) = passage.filter(|_| texts) {
                    found.payloads.insert(id, payload(&passage)?);
                }
            }
            Ok(found)
        })
    }

    /// The collection has learnt of these; where something else is to be said of one since, that waits.
    pub fn told(&self, put: &[u64], removed: &[u64]) -> Result<()> {
        self.store.write(|transaction| {
            let mut waiting = transaction.open_table(WAITING)?;
            for (ids, said) in [(put, true), (removed, false)] {
                for id in ids {
                    let same = waiting.get(id)?.is_some_and(|now| now.value() == said);
                    if same {
                        waiting.remove(id)?;
                    }
                }
            }
            Ok(())
        })?;
        let mut unsent = self.unsent();
        put.iter().chain(removed).for_each(|id| drop(unsent.remove(id)));
        Ok(())
    }

    /// Everything is there: from here on the vectors at home count no more. Nobody may change the knowledge base meanwhile.
    pub fn send_away(&self) -> Result<KnowledgeStore> {
        let abandoned = self.store.write(|transaction| {
            let mut settings = transaction.open_table(SETTINGS)?;
            let record = record(&settings)?.ok_or_else(|| Error::internal("vectors were sent away to nowhere"))?;
            if transaction.open_table(WAITING)?.len()? > 0 {
                return Err(Error::internal("a passage came while vectors were sent away"));
            }
            settings.insert(AWAY, pending::text_of(&Record { whole: true, ..record })?.as_str())?;
            store::leave_traces(transaction, store::Traces::Vectors)?;
            pending::retire(&mut settings, &self.collection)?;
            pending::abandon(transaction, &mut settings)
        })?;
        if let Some(collection) = abandoned {
            self.remove_segment(&collection);
        }
        let (store, lexical, embedder) = (self.store.clone(), self.lexical.clone(), self.embedder.clone());
        Ok(KnowledgeStore {
            away: true,
            ..KnowledgeStore::new(store, lexical, None, embedder, self.collection.clone(), self.options)
        })
    }

    /// Whether it has something of documents that were deleted.
    pub fn has_traces(&self) -> Result<bool> {
        self.store.read(|transaction| store::has_traces(transaction, store::Traces::Documents))
    }

    /// Overwrites what the database's file still has of what was deleted.
    pub fn wipe(&self) -> Result<()> {
        self.store.wipe()
    }

    /// How many vectors wait in memory.
    pub fn unsent_len(&self) -> usize {
        self.unsent().len()
    }

    /// Keeps vectors until the collection has them.
    pub(super) fn keep_unsent(&self, added: Vec<(u64, Vec<f32>)>) {
        let mut unsent = self.unsent();
        let room = MOST_UNSENT.saturating_sub(unsent.len());
        unsent.extend(added.into_iter().take(room));
    }

    fn unsent(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Vec<f32>>> {
        self.unsent.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The cosines that a collection told, with what it was not told yet.
    pub fn corrected(&self, vector: &[f32], told: Vec<(u64, f32)>) -> Result<BTreeMap<u64, f32>> {
        let vector = Metric::Cosine.prepare(vector.to_vec(), vector.len())?;
        let mut cosines: BTreeMap<u64, f32> = told.into_iter().collect();
        self.store.read(|transaction| {
            let Some(waiting) = existing(transaction.open_table(WAITING))? else { return Ok(()) };
            for entry in waiting.iter()? {
                let (id, put) = entry?;
                let id = id.value();
                match (put.value(), self.unsent().get(&id)) {
                    (true, Some(unsent)) => drop(cosines.insert(id, dot(unsent, &vector))),
                    (true, None) => {}
                    (false, _) => drop(cosines.remove(&id)),
                }
            }
            Ok(())
        })?;
        Ok(cosines)
    }

    /// Those of the passages whose vectors are elsewhere.
    pub fn of_those_away(&self, ids: &[u64]) -> Result<BTreeSet<u64>> {
        self.store.read(|transaction| {
            let Some(there) = existing(transaction.open_table(THERE))? else { return Ok(BTreeSet::new()) };
            let mut found = BTreeSet::new();
            for id in ids {
                if there.get(id)?.is_some() {
                    found.insert(*id);
                }
            }
            Ok(found)
        })
    }
}
