//! Bringing the vectors of a knowledge base to a collection of vectors at other people's nodes.
//!
//! The vectors at home answer until the collection has all of them; then one transaction lets the collection answer, and those at home
//! are deleted and overwritten. Texts, words and answers stay.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::event::Sender;
use crate::rag::elsewhere::{Attached, Elsewhere};
use crate::rag::ingest::{Preparer, blocking};
use crate::rag::reembed::{Open, Retired};
use crate::rag::store::KnowledgeStore;
use crate::vpk::{Collection, Item, Metric, Mode};
use crate::{Error, Result};

/// What goes to a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutsourceOptions {
    /// The texts of the passages go with their vectors, as payloads that are sealed before they leave: whoever has the key of the collection
    /// finds and reads them on another device. Texts stay at home unless this is set; they stay there in any case.
    ///
    /// A payload is JSON: `document_id`, `document` (its name), `heading` (the one above the passage, or null) and `text`. Not under `plain`,
    /// and of a passage of at most [1 MiB](crate::vpk::MAX_PAYLOAD). When this is not as it was the last time, everything is brought again.
    pub texts: bool,
}

/// How vectors get to a collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OutsourceEvent {
    /// First of all: how much there is to do.
    Found {
        /// Passages of the knowledge base.
        passages: usize,
        /// Those whose vectors the collection has from before.
        done: usize,
    },
    /// The collection has taken vectors.
    Brought {
        /// Passages done.
        done: usize,
        /// Passages of the knowledge base, with those that came meanwhile.
        total: usize,
    },
    /// Last of all: the collection answers, and the hosts have everything.
    Finished {
        /// Passages whose vectors it holds.
        passages: usize,
        /// Vectors that were brought by this run.
        brought: usize,
    },
}

/// One run.
pub(super) struct Outsourcing {
    pub preparer: Preparer,
    pub collection: Collection,
    pub options: OutsourceOptions,
    pub events: Sender<OutsourceEvent>,
    pub changing: Arc<tokio::sync::Mutex<()>>,
    /// Held so that vectors go one way at a time.
    pub turn: tokio::sync::OwnedMutexGuard<()>,
}

impl Outsourcing {
    /// Runs to the end, a cancellation or a failure, and ends the stream. What was at home is deleted before, where nobody searches it;
    /// else as soon as nobody does, and at the latest when the knowledge base is opened again.
    pub async fn run(mut self) {
        let closing = self.preparer.closing.clone();
        let result = self.outsource().await;
        let Outsourcing { preparer, events, turn, .. } = self;
        drop((preparer, turn));
        match result {
            Ok(retired) => {
                events.finish(Ok(()));
                if let Some(retired) = retired {
                    retired.delete(&closing).await;
                }
            }
            Err(error) => events.finish(Err(error)),
        }
    }

    async fn outsource(&mut self) -> Result<Option<Retired>> {
        self.preparer.renew();
        let knowledge = self.preparer.knowledge.clone();
        self.check()?;
        let collection = Arc::new(self.claim(&knowledge).await?);
        let (passages, done) = match self.begin(&knowledge, &collection).await {
            Ok(begun) => begun,
            Err(error) => {
                if collection.is_new {
                    collection.release().await?;
                }
                return Err(error);
            }
        };
        self.events.send(OutsourceEvent::Found { passages, done });
        let attached = Arc::new(Attached::new(collection));
        if knowledge.is_away() {
            // From here on it answers, also where some host cannot take what is new just now.
            self.answer_by(&attached)?;
            let brought = self.tell(&attached, done).await?;
            self.collection.flush().await?;
            self.finish(brought).await?;
            return Ok(None);
        }
        let mut brought = self.tell(&attached, done).await?;
        self.preparer.unless_stopped(self.collection.flush()).await?;
        // From here on nothing comes or goes.
        let changing = self.changing.clone();
        let turn = self.preparer.unless_stopped(async { Ok(changing.lock().await) }).await?;
        brought += self.tell(&attached, done + brought).await?;
        self.preparer.unless_stopped(self.collection.flush()).await?;
        let before = knowledge.clone();
        let after = Arc::new(blocking(move || before.send_away()).await?);
        let retired =
            Retired { collection: knowledge.collection().to_owned(), gone: knowledge.gone(), knowledge: after.clone() };
        drop(knowledge);
        let embedder = self.preparer.embedder.clone();
        let claimed = self.preparer.opened.get().and_then(|open| open.claimed);
        self.preparer.opened.set(Open { knowledge: after, embedder, attached: Some(attached), claimed });
        self.preparer.renew();
        drop(turn);
        let left = retired.delete_now().await;
        self.finish(brought).await?;
        Ok(left)
    }

    /// Makes the collection that of this knowledge base, before the first vector goes there.
    async fn claim(&self, knowledge: &Arc<KnowledgeStore>) -> Result<Claimed> {
        let (store, id) = (knowledge.clone(), self.collection.id().to_string());
        let (has_begun, knowledge) = blocking(move || Ok((store.has_begun_away(&id)?, store.id()?))).await?;
        let is_new = self.collection.claim(&knowledge, has_begun).await?;
        Ok(Claimed { collection: self.collection.clone(), knowledge, is_new })
    }

    async fn begin(&self, knowledge: &Arc<KnowledgeStore>, collection: &Arc<Claimed>) -> Result<(usize, usize)> {
        let (store, id) = (knowledge.clone(), self.collection.id().to_string());
        let texts = self.options.texts;
        let begun = blocking(move || store.begin_away(&id, texts)).await?;
        let open = self.preparer.opened.get().ok_or_else(super::closed)?;
        self.preparer.opened.set(Open { claimed: Some(collection.clone()), ..open });
        Ok(begun)
    }

    /// Whether the collection can hold the vectors.
    fn check(&self) -> Result<()> {
        let info = self.preparer.knowledge.embedder().ok_or_else(|| {
            Error::unsupported("this knowledge base has no vectors, since it never had an embedder")
                .with_remedy("give it an embedder by reembed")
        })?;
        let config = self.collection.config();
        if config.dimension != info.dimension {
            return Err(Error::invalid_argument(format!(
                "vectors of {} have {} dimensions, those of the collection {}",
                info.id, info.dimension, config.dimension
            ))
            .with_remedy(format!("make a collection of {} dimensions", info.dimension)));
        }
        if config.metric != Metric::Cosine {
            return Err(Error::invalid_argument("the collection compares by inner products, and texts by cosines")
                .with_remedy("make a collection with the metric cosine"));
        }
        if self.options.texts && config.mode == Mode::Plain {
            return Err(Error::invalid_argument(
                "hosts of a plain collection would be told which text each vector is of",
            )
            .with_remedy("make a collection under seal or split, or keep the texts at home"));
        }
        let metric = self.preparer.knowledge.vectors.as_ref().map(|vectors| vectors.metric());
        if metric.is_some_and(|metric| metric != crate::vector::Metric::Cosine) {
            return Err(Error::unsupported("the vectors of this knowledge base are not compared by cosines"));
        }
        Ok(())
    }

    async fn tell(&self, attached: &Attached, before: usize) -> Result<usize> {
        let (knowledge, mut done) = (&self.preparer.knowledge, before);
        let told = |new: usize| {
            if self.preparer.stopped() {
                return Err(stopped());
            }
            done += new;
            let total = knowledge.standing_away()?.map_or(done, |standing| standing.passages as usize);
            self.events.send(OutsourceEvent::Brought { done: done.min(total), total });
            Ok(())
        };
        self.preparer.unless_stopped(attached.tell(knowledge, self.preparer.embedder.as_deref(), told)).await
    }

    fn answer_by(&self, attached: &Arc<Attached>) -> Result<()> {
        let open = self.preparer.opened.get().ok_or_else(super::closed)?;
        self.preparer.opened.set(Open { attached: Some(attached.clone()), ..open });
        Ok(())
    }

    async fn finish(&self, brought: usize) -> Result<()> {
        // The owner's database had them on their way to the hosts.
        let collection = self.collection.clone();
        blocking(move || collection.wipe()).await?;
        let knowledge = self.preparer.knowledge.clone();
        let passages = blocking(move || {
            // What somebody read when it was deleted may be free now.
            knowledge.wipe()?;
            Ok(knowledge.sizes()?.vectors as usize)
        });
        let passages = passages.await?;
        self.events.send(OutsourceEvent::Finished { passages, brought });
        Ok(())
    }
}

/// A collection that is this knowledge base's.
struct Claimed {
    collection: Collection,
    /// The id of the knowledge base.
    knowledge: String,
    /// Whether it was nobody's before.
    is_new: bool,
}

#[async_trait]
impl Elsewhere for Claimed {
    async fn cosines(&self, vector: &[f32]) -> Result<Vec<(u64, f32)>> {
        let all = self.collection.scores(vector).await?;
        Ok(all.into_iter().map(|(id, score)| (id, score as f32)).collect())
    }

    async fn put(&self, vectors: Vec<(u64, Vec<f32>)>, mut payloads: BTreeMap<u64, Vec<u8>>) -> Result<()> {
        let item = |(id, vector)| Item { payload: payloads.remove(&id), ..Item::new(id, vector) };
        self.collection.upsert_of(&self.knowledge, vectors.into_iter().map(item).collect()).await
    }

    async fn remove(&self, ids: Vec<u64>) -> Result<()> {
        self.collection.delete_of(&self.knowledge, ids).await.map(drop)
    }

    async fn release(&self) -> Result<()> {
        self.collection.release(&self.knowledge).await
    }
}

fn stopped() -> Error {
    Error::cancelled("bringing the vectors to a collection was cancelled; what it has is kept for the next time")
}
