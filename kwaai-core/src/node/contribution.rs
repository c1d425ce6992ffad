//! What a node shares with others: nothing, until it is told to.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;

use super::Node;
use crate::blocking::blocking;
use crate::shard::Offer;
use crate::trust::{Minimum, Purpose, Tier};
use crate::{Error, Result};

/// What a node shares, and with whom.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contribution {
    /// The lowest tier of a peer that may use what is shared; `None` keeps the policy's minimum, `known` unless set.
    pub min_tier: Option<Tier>,
    /// Blocks of models that this node computes for others.
    pub blocks: Vec<BlockShare>,
}

/// Blocks of one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockShare {
    /// The directory of the model.
    pub model: PathBuf,
    /// Which blocks: the first, and one past the last.
    pub blocks: Range<u32>,
}

/// One change of what is shared at a time.
#[derive(Default)]
pub(super) struct Contributing(tokio::sync::Mutex<()>);

impl Node {
    /// Shares exactly this, and no longer what was shared before. An empty contribution stops sharing.
    ///
    /// # Errors
    /// Those of [`ShardEngine::serve`](crate::shard::ShardEngine::serve). After an error nothing is shared, and the minimum tier is what
    /// it was.
    pub async fn contribute(&self, contribution: Contribution) -> Result<Vec<Offer>> {
        self.open()?;
        let node = self.clone();
        // A task of its own: a caller that gives up stops the wait, not the change half way.
        let work = tokio::spawn(async move {
            let _one_at_a_time = node.inner.contribution.0.lock().await;
            node.stop_sharing().await?;
            let before = match contribution.min_tier {
                Some(tier) => Some(node.set_minimum(tier.into()).await?),
                None => None,
            };
            let shared = node.share(contribution.blocks).await;
            if shared.is_err() {
                node.stop_sharing().await?;
                if let Some(minimum) = before {
                    node.set_minimum(minimum).await?;
                }
            }
            shared
        });
        work.await.unwrap_or_else(|error| Err(Error::internal("a contribution did not finish").with_source(error)))
    }

    async fn share(&self, blocks: Vec<BlockShare>) -> Result<Vec<Offer>> {
        let mut offers = Vec::new();
        for share in blocks {
            offers.push(self.inner.shards.serve(&share.model, share.blocks).await?);
        }
        Ok(offers)
    }

    async fn stop_sharing(&self) -> Result<()> {
        let models: BTreeSet<String> = self.inner.shards.served().into_iter().map(|offer| offer.model).collect();
        for model in models {
            self.inner.shards.stop_serving(&model).await?;
        }
        Ok(())
    }

    /// Sets the least that lets a peer use what is shared, and returns what it was before.
    async fn set_minimum(&self, minimum: Minimum) -> Result<Minimum> {
        let trust = self.inner.trust.clone();
        let set = move || {
            let policy = trust.policy()?;
            let before = policy.minimum(Purpose::ServeBlocks);
            trust.set_policy(policy.with_minimum(Purpose::ServeBlocks, minimum)?)?;
            Ok(before)
        };
        blocking(set).await
    }
}
