//! Measuring how fast a peer computes its blocks, and whether what it computes is right.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use libp2p::PeerId;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::backend::{Backend, BlockSpan, SpanState, compute};
use super::chain::{RemoteHop, Wanted};
use super::generate::blocking;
use super::model::Model;
use super::serve::{INFO, read_info};
use super::wire::{Hidden, Precision};
use super::{ShardEngine, chain};
use crate::llm::HostWishes;
use crate::net::Peers;
use crate::trust::Outcome;
use crate::{Error, Result};

/// Waiting for what a host says about itself.
const ASK: Duration = Duration::from_secs(10);

/// What a probe of a peer found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Probed {
    /// Tokens per second of the whole model, had it all been computed at the peer's rate for its own blocks: one token at a
    /// time, the way to the peer and back included.
    pub tokens_per_second: f64,
    /// Whether every state was, to the bit, what this node computes; `None` where it has not the blocks or states are rounded
    /// on their way. An answer that nobody can have meant is wrong in any case.
    pub correct: Option<bool>,
}

impl ShardEngine {
    /// Has a peer compute `tokens` tokens, one after the other, through the longest run of blocks that it serves. Which tokens
    /// follows from the seed: the SHA-256 of seed and place, both as eight bytes with the highest first, of which the first four bytes
    /// are taken modulo the size of the vocabulary.
    ///
    /// # Errors
    /// `not_found` when the peer serves no block of the model; `untrusted_peer` when this node would not use it; the failure of
    /// a step.
    pub async fn probe(&self, model: &Model, peer: PeerId, seed: u64, tokens: u32) -> Result<Probed> {
        let (peers, _) = self.network()?;
        let (config, id) = (model.config(), model.id());
        let coverage = self.coverage(model).await?;
        let host = coverage.hosts.iter().find(|host| host.peer == peer);
        let host = host.ok_or_else(|| chain::serves_nothing(peer, id))?;
        if let Some(refused) = &host.refused {
            return Err(refused.clone());
        }
        let longest = host.spans.iter().max_by_key(|span| span.len()).cloned();
        let blocks = longest.ok_or_else(|| chain::serves_nothing(peer, id))?;
        let range = blocks.start as usize..blocks.end as usize;
        let precision = self.precision();
        let covers = |span: &Arc<dyn BlockSpan>| span.range().start <= range.start && span.range().end >= range.end;
        let own = match model.span().filter(|span| precision == Precision::F32 && covers(span)) {
            // Two backends agree to some digits, and never to the bit.
            Some(span) => (backend_of(peers, peer, id, &blocks).await? == Some(span.backend())).then_some(span),
            None => None,
        };
        let mut cache = own.map(|span| span.open(range, tokens as usize)).transpose()?;
        let size = config.hidden_size as u32;
        let wanted = Wanted {
            model: id.to_string(),
            max_tokens: tokens,
            size,
            patience: self.0.patience.clone(),
            wishes: HostWishes::default(),
        };
        let mut hop = RemoteHop::open(peers, peer, blocks.clone(), &wanted, precision).await?;
        let (mut seconds, mut correct) = (0.0, cache.as_ref().map(|_| true));
        for place in 0..tokens {
            let hidden = model.embed(&[token(seed, place, config.vocab_size)])?;
            let start = Instant::now();
            let there = match hop.step(hidden.clone()).await {
                Ok(there) => there,
                Err(error) if hop.outcome(true) == Some(Outcome::Bad) => {
                    tracing::debug!(%peer, code = %error.code(), "a probe was answered wrongly");
                    return Ok(Probed { tokens_per_second: 0.0, correct: Some(false) });
                }
                Err(error) => return Err(error),
            };
            seconds += start.elapsed().as_secs_f64();
            if let Some(kept) = cache.take() {
                let (here, kept) = computed(hidden, kept).await?;
                cache = Some(kept);
                correct = Some(correct == Some(true) && here == there.values);
            }
        }
        hop.close().await;
        if seconds <= 0.0 {
            return Err(Error::internal("no time passed while tokens were computed"));
        }
        let share = blocks.len() as f64 / config.blocks as f64;
        Ok(Probed { tokens_per_second: f64::from(tokens) / seconds * share, correct })
    }
}

/// What computes blocks at a peer.
async fn backend_of(peers: &Arc<dyn Peers>, peer: PeerId, model: &str, blocks: &Range<u32>) -> Result<Option<Backend>> {
    let said = read_info(&peers.call(peer, INFO, Bytes::new(), ASK).await?)?;
    let mut offers = said.offers.into_iter();
    let offer = offers.find(|offer| offer.model == model && offer.start <= blocks.start && offer.end >= blocks.end);
    Ok(offer.and_then(|offer| offer.backend))
}

async fn computed(hidden: Hidden, mut cache: Box<dyn SpanState>) -> Result<(Vec<f32>, Box<dyn SpanState>)> {
    blocking(move || {
        let values = compute(cache.as_mut(), hidden, &CancellationToken::new())?;
        Ok((values, cache))
    })
    .await?
}

/// The token that a seed draws for a place.
pub(super) fn token(seed: u64, place: u32, vocabulary: usize) -> u32 {
    let mut text = seed.to_be_bytes().to_vec();
    text.extend(u64::from(place).to_be_bytes());
    let hash = Sha256::digest(text);
    let drawn = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
    (drawn as usize % vocabulary) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_asks_for_the_same_tokens() {
        // Reckoned with another implementation of SHA-256.
        assert_eq!([0, 1, 2].map(|place| token(7, place, 1000)), [517, 284, 557]);
        assert!((0..500).all(|place| token(1, place, 3) < 3));
    }
}
