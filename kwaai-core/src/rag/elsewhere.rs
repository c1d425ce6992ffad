//! A knowledge base whose vectors are in a collection elsewhere: what it asks that collection, and what it tells it.
#![cfg_attr(not(feature = "vpk"), allow(dead_code, reason = "without collections nothing is attached"))]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::llm::{Embedder, Text};
use crate::rag::ingest::{blocking, embed};
use crate::rag::reembed::Open;
use crate::rag::retrieval::{Hit, chunk};
use crate::rag::store::{KnowledgeStore, Waiting};
use crate::vector::{Metric, Neighbour};
use crate::{Error, Result};

/// The collection is told of so many passages at once: what a crash lets it be told twice.
const TOLD_AT_ONCE: usize = 512;
/// So many texts are embedded at once.
const EMBEDDED_AT_ONCE: usize = 64;
/// While documents come, the collection is told when so many vectors wait in memory.
const MANY: usize = 4096;

/// A collection, as far as a knowledge base needs one.
#[async_trait]
pub(super) trait Elsewhere: Send + Sync {
    /// The cosine of every vector with this one.
    async fn cosines(&self, vector: &[f32]) -> Result<Vec<(u64, f32)>>;

    /// Takes vectors with what goes with them, in the place of those of the same ids. They are durable on return.
    async fn put(&self, vectors: Vec<(u64, Vec<f32>)>, payloads: BTreeMap<u64, Vec<u8>>) -> Result<()>;

    /// Forgets vectors.
    async fn remove(&self, ids: Vec<u64>) -> Result<()>;

    /// Forgets all vectors, and then whose they were, so that others may use it.
    async fn release(&self) -> Result<()>;
}

/// A collection that the knowledge base does not use any more, as soon as nobody searches it.
pub(super) struct Left {
    pub collection: Arc<dyn Elsewhere>,
    pub gone: CancellationToken,
}

impl Left {
    /// Releases it as soon as nobody searches it any more.
    pub async fn release(self, closing: &CancellationToken) {
        let released = async {
            self.gone.cancelled().await;
            self.release_now().await;
        };
        closing.run_until_cancelled(released).await;
    }

    /// Releases it, unless somebody searches it still.
    pub async fn release_now(self) -> Option<Left> {
        if !self.gone.is_cancelled() {
            return Some(self);
        }
        if let Err(error) = self.collection.release().await {
            tracing::warn!(code = %error.code(), "a collection that is not used any more could not be emptied");
        }
        None
    }
}

/// The collection that a knowledge base has its vectors in.
pub(super) struct Attached {
    collection: Arc<dyn Elsewhere>,
    /// One tells it something at a time.
    telling: tokio::sync::Mutex<()>,
}

impl Attached {
    #[cfg(feature = "vpk")]
    pub fn new(collection: Arc<dyn Elsewhere>) -> Attached {
        Attached { collection, telling: tokio::sync::Mutex::default() }
    }

    /// Tells it what it was not told yet, a part at a time; `told` hears how many vectors were put in by each. Answers how many there
    /// were. Stops with what `told` says.
    pub async fn tell(
        &self,
        knowledge: &Arc<KnowledgeStore>,
        embedder: Option<&dyn Embedder>,
        mut told: impl FnMut(usize) -> Result<()> + Send,
    ) -> Result<usize> {
        let _turn = self.telling.lock().await;
        let mut count = 0;
        loop {
            let store = knowledge.clone();
            let waiting = blocking(move || store.waiting(TOLD_AT_ONCE)).await?;
            if waiting.is_empty() {
                return Ok(count);
            }
            let Waiting { mut put, texts, payloads, remove } = waiting;
            if !remove.is_empty() {
                self.collection.remove(remove.clone()).await?;
                let store = knowledge.clone();
                blocking(move || store.told(&[], &remove)).await?;
            }
            for batch in texts.chunks(EMBEDDED_AT_ONCE) {
                let embedder = embedder.ok_or_else(|| {
                    Error::unsupported("passages wait for being embedded, and there is no embedder")
                        .with_remedy("open the knowledge base with its embedder")
                })?;
                let input = batch.iter().map(|(_, text)| Text::Document(text.clone())).collect();
                let vectors = embed(embedder, input).await?;
                put.extend(batch.iter().map(|(id, _)| *id).zip(vectors));
            }
            let ids: Vec<u64> = put.iter().map(|(id, _)| *id).collect();
            let (store, new) = (knowledge.clone(), ids.len());
            if new > 0 {
                self.collection.put(put, payloads).await?;
                blocking(move || store.told(&ids, &[])).await?;
                count += new;
                told(new)?;
            }
        }
    }
}

/// Tells the collection of a knowledge base what it was not told yet. What it cannot be told goes on to wait.
pub(super) async fn follow(open: Open) {
    let Some(attached) = &open.attached else { return };
    if let Err(error) = attached.tell(&open.knowledge, open.embedder.as_deref(), |_| Ok(())).await {
        tracing::warn!(code = %error.code(), "a collection could not be told of passages, which wait");
    }
}

/// The same while documents come, once many vectors wait.
pub(super) async fn follow_many(open: Open) {
    if open.knowledge.unsent_len() >= MANY {
        follow(open).await;
    }
}

/// That its collection was not named since it was opened.
pub(super) fn detached() -> Error {
    Error::conflict("the vectors of this knowledge base are in a collection that it was not given since it was opened")
        .with_remedy("give it that collection by outsource, or search by words alone")
}

/// The cosines of a question with every passage, where the vectors are elsewhere: of one question to the collection.
pub(super) struct Cosines {
    of: BTreeMap<u64, f32>,
    /// The ids, the nearest first.
    order: Vec<u64>,
}

impl Cosines {
    /// Asks for them; `None` where the vectors are at home, or there is no question.
    pub async fn ask(open: &Open, vector: Option<&[f32]>) -> Result<Option<Arc<Cosines>>> {
        let Some(vector) = vector.filter(|_| open.knowledge.is_away()) else { return Ok(None) };
        let attached = open.attached.as_ref().ok_or_else(detached)?;
        let told = attached.collection.cosines(vector).await?;
        let (knowledge, vector) = (open.knowledge.clone(), vector.to_vec());
        blocking(move || {
            let of = knowledge.corrected(&vector, told)?;
            let mut order: Vec<u64> = of.keys().copied().collect();
            order.sort_by(|a, b| of[b].total_cmp(&of[a]).then(a.cmp(b)));
            Ok(Some(Arc::new(Cosines { of, order })))
        })
        .await
    }

    /// The nearest passages, as an index at home tells them. What the collection holds for others is none.
    pub fn nearest(
        &self,
        knowledge: &KnowledgeStore,
        k: usize,
        allowed: impl Fn(u64) -> bool,
    ) -> Result<Vec<Neighbour>> {
        let mut nearest = Vec::new();
        for part in self.order.chunks(k.max(TOLD_AT_ONCE)) {
            let wanted: Vec<u64> = part.iter().copied().filter(|id| allowed(*id)).collect();
            let own: BTreeSet<u64> = knowledge.of_those_away(&wanted)?;
            let found = wanted.into_iter().filter(|id| own.contains(id));
            nearest.extend(found.map(|id| Neighbour { id, score: self.of[&id] }));
            if nearest.len() >= k {
                break;
            }
        }
        nearest.truncate(k);
        Ok(nearest)
    }

    /// Those of these passages.
    pub fn of(&self, ids: &[u64]) -> Vec<(u64, f32)> {
        ids.iter().filter_map(|id| Some((*id, *self.of.get(id)?))).collect()
    }
}

/// The vectors of hits, made again of their texts, since those elsewhere cannot be had without telling a host what was found; `None`
/// where the vectors are at home.
pub(super) async fn again(open: &Open, hits: &[Hit]) -> Result<Option<BTreeMap<u64, Vec<f32>>>> {
    if !open.knowledge.is_away() {
        return Ok(None);
    }
    let embedder = open.embedder.as_ref().ok_or_else(|| {
        Error::unsupported(
            "how much hits differ is told by their vectors, which are elsewhere, and there is no embedder",
        )
        .with_remedy("open the knowledge base with its embedder, or search without diversity")
    })?;
    let (knowledge, ids) = (open.knowledge.clone(), hits.iter().map(chunk).collect::<Vec<u64>>());
    let texts = blocking(move || {
        let there = knowledge.of_those_away(&ids)?;
        let ids: Vec<u64> = ids.into_iter().filter(|id| there.contains(id)).collect();
        Ok(knowledge.passages(&ids)?.into_iter().map(|(id, passage)| (id, passage.indexed())).collect::<Vec<_>>())
    });
    let texts = texts.await?;
    let mut made = BTreeMap::new();
    for batch in texts.chunks(EMBEDDED_AT_ONCE) {
        let input = batch.iter().map(|(_, text)| Text::Document(text.clone())).collect();
        for ((id, _), vector) in batch.iter().zip(embed(embedder.as_ref(), input).await?) {
            made.insert(*id, Metric::Cosine.prepare(vector, embedder.dimension())?);
        }
    }
    Ok(Some(made))
}
