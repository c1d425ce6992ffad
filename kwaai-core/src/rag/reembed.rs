//! Another embedder for a knowledge base that goes on answering.
//!
//! Every passage is embedded again while the vectors of before answer; documents that come meanwhile are embedded by both. When nothing is
//! missing any more, one transaction exchanges the vectors, and from then on the new embedder is the one that is recorded.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::event::Sender;
use crate::llm::{Embedder, Text};
use crate::rag::elsewhere::{Attached, Elsewhere, Left};
use crate::rag::ingest::{Preparer, blocking, embed};
use crate::rag::store::{Batch, EmbedderInfo, KnowledgeStore, Made, Missing, Pending};
use crate::{Error, Result};

/// So many texts are embedded and made durable together: what a crash costs at most.
const TEXTS: usize = 128;
/// When no more texts than these are missing, changes wait until they are embedded.
const FEW: usize = 64;

/// How a change of the embedder gets on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ReembedEvent {
    /// First of all: how much there is to do.
    Found {
        /// Passages of the knowledge base.
        passages: usize,
        /// Those that have a vector of this embedder from before, when it was interrupted.
        done: usize,
    },
    /// Passages were embedded, and their vectors are durable.
    Embedded {
        /// Passages done.
        done: usize,
        /// Passages of the knowledge base, with those that came meanwhile.
        total: usize,
    },
    /// Last of all: the new embedder has taken the place of the other.
    Finished {
        /// Passages that have its vectors now.
        passages: usize,
        /// Texts that were embedded by this run.
        embedded: usize,
    },
}

/// The knowledge base as it is now.
#[derive(Clone)]
pub(super) struct Open {
    pub knowledge: Arc<KnowledgeStore>,
    /// The embedder of its vectors, unless it was opened without one.
    pub embedder: Option<Arc<dyn Embedder>>,
    /// The collection that its vectors are in, once it is known.
    pub attached: Option<Arc<Attached>>,
    /// The collection that it has claimed since it was opened, whether or not all vectors are there yet.
    pub claimed: Option<Arc<dyn Elsewhere>>,
}

/// Where everybody looks up what the knowledge base is now; nothing after the shutdown.
pub(super) struct Opened(Mutex<Option<Open>>);

impl Opened {
    pub fn new(open: Open) -> Opened {
        Opened(Mutex::new(Some(open)))
    }

    pub fn get(&self) -> Option<Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn take(&self) -> Option<Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Exchanges it, unless it was shut down.
    pub fn set(&self, open: Open) {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_some() {
            *slot = Some(open);
        }
    }
}

/// One change of the embedder.
pub(super) struct Reembedding {
    /// With the embedder that is to come.
    pub preparer: Preparer,
    pub embedder: Arc<dyn Embedder>,
    pub events: Sender<ReembedEvent>,
    pub changing: Arc<tokio::sync::Mutex<()>>,
    /// Held so that there is one at a time.
    pub turn: tokio::sync::OwnedMutexGuard<()>,
}

/// The vectors that answered before, when nobody searches them any more.
pub(super) struct Retired {
    pub collection: String,
    pub gone: CancellationToken,
    pub knowledge: Arc<KnowledgeStore>,
}

impl Retired {
    /// Deletes them as soon as nobody searches them any more; a knowledge base that is closed earlier does so when it opens.
    pub async fn delete(self, closing: &CancellationToken) {
        if closing.run_until_cancelled(self.gone.cancelled()).await.is_some() {
            self.delete_now().await;
        }
    }

    /// Deletes them, unless somebody searches them still.
    pub async fn delete_now(self) -> Option<Retired> {
        if !self.gone.is_cancelled() {
            return Some(self);
        }
        let Retired { collection, knowledge, .. } = self;
        let deleted = blocking(move || {
            knowledge.forget_retired(&collection)?;
            knowledge.wipe()
        });
        if let Err(error) = deleted.await {
            tracing::warn!(code = %error.code(), "vectors that answered before could not be deleted");
        }
        None
    }
}

impl Reembedding {
    /// Runs to the exchange, a cancellation or a failure, and ends the stream. Then the vectors of before are deleted, as soon as nobody
    /// searches them any more; a knowledge base that is closed earlier deletes them when it opens.
    pub async fn run(mut self) {
        let closing = self.preparer.closing.clone();
        let result = self.reembed().await;
        let Reembedding { preparer, events, turn, .. } = self;
        drop(preparer);
        // Whoever hears of the end may begin anew.
        drop(turn);
        let (retired, left) = match result {
            Ok(before) => {
                events.finish(Ok(()));
                before
            }
            Err(error) => return events.finish(Err(error)),
        };
        if let Some(retired) = retired {
            retired.delete(&closing).await;
        }
        if let Some(left) = left {
            left.release(&closing).await;
        }
    }

    async fn reembed(&mut self) -> Result<(Option<Retired>, Option<Left>)> {
        let info = EmbedderInfo { id: self.embedder.id(), dimension: self.embedder.dimension() };
        self.preparer.renew();
        let knowledge = self.preparer.knowledge.clone();
        let store = knowledge.clone();
        let pending = Arc::new(blocking(move || store.begin(&info)).await?);
        let (mut missing, passages, done) = self.missing(&pending).await?;
        self.events.send(ReembedEvent::Found { passages, done });
        let mut embedded = 0;
        while missing.len() > FEW {
            embedded += self.make(&pending, missing).await?;
            missing = self.missing(&pending).await?.0;
        }
        // From here on nothing comes or goes.
        let changing = self.changing.clone();
        let turn = self.preparer.unless_stopped(async { Ok(changing.lock().await) }).await?;
        let (missing, passages, _) = self.missing(&pending).await?;
        embedded += self.make(&pending, missing).await?;
        if self.preparer.stopped() {
            return Err(stopped());
        }
        let pending = Arc::into_inner(pending)
            .ok_or_else(|| Error::internal("somebody still makes vectors while they are exchanged"))?;
        let before = knowledge.clone();
        let after = Arc::new(blocking(move || before.switch(pending)).await?);
        let retired = knowledge.vectors.is_some().then(|| Retired {
            collection: knowledge.collection().to_owned(),
            gone: knowledge.gone(),
            knowledge: after.clone(),
        });
        let opened = self.preparer.opened.clone();
        let claimed = opened.get().and_then(|open| open.claimed);
        let mut left = claimed.map(|collection| Left { collection, gone: knowledge.gone() });
        drop(knowledge);
        opened.set(Open { knowledge: after, embedder: Some(self.embedder.clone()), attached: None, claimed: None });
        self.preparer.renew();
        drop(turn);
        self.preparer.settle().await;
        if let Some(collection) = left.take() {
            let closing = self.preparer.closing.clone();
            left = closing.run_until_cancelled(collection.release_now()).await.flatten();
        }
        self.events.send(ReembedEvent::Finished { passages, embedded });
        Ok((retired, left))
    }

    async fn missing(&self, pending: &Arc<Pending>) -> Result<(Vec<Missing>, usize, usize)> {
        let (pending, knowledge) = (pending.clone(), self.preparer.knowledge.clone());
        blocking(move || pending.missing(&knowledge)).await
    }

    /// Makes the vectors of texts; tells how many were embedded.
    async fn make(&self, pending: &Arc<Pending>, missing: Vec<Missing>) -> Result<usize> {
        let mut missing = missing.into_iter();
        let mut embedded = 0;
        loop {
            let batch: Vec<Missing> = missing.by_ref().take(TEXTS).collect();
            if batch.is_empty() {
                return Ok(embedded);
            }
            if self.preparer.stopped() {
                return Err(stopped());
            }
            let (from, knowledge) = (pending.clone(), self.preparer.knowledge.clone());
            let Batch { texts, mut made } = blocking(move || from.read(&knowledge, batch)).await?;
            if !texts.is_empty() {
                let input = texts.iter().map(|(_, text)| Text::Document(text.clone())).collect();
                let vectors = self.preparer.unless_stopped(embed(self.embedder.as_ref(), input)).await?;
                embedded += vectors.len();
                made.extend(texts.into_iter().zip(vectors).map(|((text, _), vector)| Made { text, vector }));
            }
            let (to, knowledge) = (pending.clone(), self.preparer.knowledge.clone());
            let (total, done) = blocking(move || {
                to.keep(&knowledge, made)?;
                to.progress(&knowledge)
            })
            .await?;
            self.events.send(ReembedEvent::Embedded { done, total });
        }
    }
}

fn stopped() -> Error {
    Error::cancelled("the change of the embedder was cancelled; what was embedded is kept for the next time")
}
