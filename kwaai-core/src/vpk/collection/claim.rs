//! The knowledge base that a collection is for.
//!
//! Passages of two knowledge bases may have the same ids, as where both hold the same document. So a collection that one of them brings
//! its vectors to is for that one alone, which its owner's record says. Hosts hear nothing of it.

use super::item::Item;
use super::{Collection, Inner};
use crate::store;
use crate::{Error, Result};

impl Collection {
    /// Makes it the collection of a knowledge base, before the first vector comes. `brought` says that the knowledge base has begun to
    /// bring its vectors here; without that, those of an earlier time that are here still go away. Answers whether it was nobody's.
    ///
    /// # Errors
    /// `conflict` for that of another knowledge base, and for one that holds something else.
    pub(crate) async fn claim(&self, knowledge: &str, brought: bool) -> Result<bool> {
        let knowledge = knowledge.to_owned();
        self.change(move |inner| async move { inner.claim(knowledge, brought).await }).await
    }

    /// Makes it nobody's, where it is that of this knowledge base; its vectors are taken out before.
    pub(crate) async fn release(&self, knowledge: &str) -> Result<()> {
        let knowledge = knowledge.to_owned();
        self.change(move |inner| async move { inner.release(&knowledge).await }).await
    }

    /// Puts vectors of its knowledge base in, as [`upsert`](Collection::upsert) does.
    pub(crate) async fn upsert_of(&self, knowledge: &str, items: Vec<Item>) -> Result<()> {
        let knowledge = knowledge.to_owned();
        self.change(move |inner| async move { inner.upsert(items, Some(&knowledge)).await }).await
    }

    /// Takes vectors of its knowledge base out, as [`delete`](Collection::delete) does.
    pub(crate) async fn delete_of(&self, knowledge: &str, ids: Vec<u64>) -> Result<usize> {
        let knowledge = knowledge.to_owned();
        self.change(move |inner| async move { inner.delete(ids, Some(&knowledge)).await }).await
    }

    /// Overwrites what the owner's database still has of vectors that the hosts have taken. Blocks the thread.
    pub(crate) fn wipe(&self) -> Result<()> {
        self.inner.store.write(|transaction| store::leave_traces(transaction, store::Traces::Vectors))?;
        self.inner.store.wipe()
    }
}

impl Inner {
    async fn claim(&self, knowledge: String, brought: bool) -> Result<bool> {
        let mut record = self.lock().await?;
        let is_new = record.knowledge.is_none();
        let known = self.state().known;
        match &record.knowledge {
            Some(other) if *other != knowledge => {
                return Err(Error::conflict(format!(
                    "the collection {} has the vectors of another knowledge base",
                    self.id
                ))
                .with("collection", self.id)
                .with("knowledge", other)
                .with_remedy("make a collection for this knowledge base alone"));
            }
            None if !brought && !known.is_empty() => {
                return Err(Error::conflict(format!("the collection {} holds something else already", self.id))
                    .with("collection", self.id)
                    .with_remedy("make a collection for this knowledge base alone"));
            }
            _ => {}
        }
        if !brought && !known.is_empty() {
            self.take_out(known.keys().copied().collect()).await?;
        }
        let mut next = record.clone();
        next.knowledge = Some(knowledge);
        {
            let (name, next) = (self.name.clone(), next.clone());
            self.write(move |change| {
                // From here on vectors come to this database on their way to the hosts.
                store::leave_traces(change.tx, store::Traces::Vectors)?;
                change.record(&name, &next)
            })
            .await?;
        }
        *record = next;
        Ok(is_new)
    }

    async fn release(&self, knowledge: &str) -> Result<()> {
        let mut record = self.lock().await?;
        if record.knowledge.as_deref() != Some(knowledge) {
            return Ok(());
        }
        let known = self.state().known;
        if !known.is_empty() {
            self.take_out(known.keys().copied().collect()).await?;
        }
        let mut next = record.clone();
        next.knowledge = None;
        let (name, written) = (self.name.clone(), next.clone());
        self.write(move |change| change.record(&name, &written)).await?;
        *record = next;
        Ok(())
    }

    /// Whether this knowledge base, or the app where none is named, may change what is in it.
    pub(super) fn check_whose(&self, owner: Option<&str>, changes: Option<&str>) -> Result<()> {
        match (owner, changes) {
            (Some(owner), Some(changes)) if owner == changes => Ok(()),
            (None, None) => Ok(()),
            (Some(_), _) => Err(Error::conflict("the collection has the vectors of a knowledge base")
                .with("collection", self.id)
                .with_remedy("change the documents of the knowledge base, or make a collection for other vectors")),
            (None, Some(_)) => Err(Error::conflict("the collection is no longer that of the knowledge base")
                .with("collection", self.id)
                .with_remedy("bring the vectors there by outsource again")),
        }
    }
}
