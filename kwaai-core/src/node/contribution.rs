//! What a node shares with others: nothing, until it is told to.

use std::path::PathBuf;
use std::time::Duration;

use super::{DEFAULT_GRACE, Node};
use crate::blocking::blocking;
use crate::shard::{Amount, Offer};
use crate::trust::{Minimum, Purpose, Tier};
use crate::{Error, Result};

/// What a node shares, and with whom.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contribution {
    /// The lowest tier of a peer that may use what is shared; `None` keeps the policy's minimum, `known` unless set.
    pub min_tier: Option<Tier>,
    /// Blocks of models that this node computes for others.
    pub blocks: Vec<BlockShare>,
    /// What was shared before takes nothing new, and may end within this time; [`DEFAULT_GRACE`](super::DEFAULT_GRACE) unless set.
    pub grace: Option<Duration>,
}

/// Blocks of one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockShare {
    /// The model, as for [`ShardEngine::load`](crate::shard::ShardEngine::load).
    pub model: PathBuf,
    /// Which blocks, or how many: by itself as many as fit, where the swarm has them least, as a KwaaiNet node shares them when it
    /// starts. Blocks whose place was chosen are moved when that helps the swarm, at most every two minutes.
    pub blocks: Amount,
}

/// How often this node looks whether its blocks are better placed elsewhere, at most.
const REBALANCE: Duration = Duration::from_secs(120);
/// Sessions on blocks that move may end within this time.
const LEAVE: Duration = Duration::from_secs(60);

/// One change of what is shared at a time.
#[derive(Default)]
pub(super) struct Contributing(tokio::sync::Mutex<()>);

impl Node {
    /// Shares exactly this, and no longer what was shared before. An empty contribution stops sharing. Returns what is shared now.
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
            let shards = &node.inner.shards;
            shards.drain_all(contribution.grace.unwrap_or(DEFAULT_GRACE)).await?;
            let before = match contribution.min_tier {
                Some(tier) => Some(node.set_minimum(tier.into()).await?),
                None => None,
            };
            let shared = node.share(contribution.blocks).await;
            if shared.is_err() {
                shards.drain_all(Duration::ZERO).await?;
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

    /// Moves blocks whose place was chosen when that helps the swarm, again and again.
    pub(super) fn keep_blocks_placed(&self) {
        // Nodes that started together do not all look at the same moment.
        let period = REBALANCE + REBALANCE.mul_f64(rand::random_range(0.0..0.5));
        self.every(period, "moving blocks", |inner| {
            let shards = inner.shards.clone();
            async move {
                for (from, to) in shards.rebalance(LEAVE).await? {
                    tracing::info!(from = from.start, to = to.start, "blocks were moved to where the swarm has fewer");
                }
                Ok(())
            }
        });
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
