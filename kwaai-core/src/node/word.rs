//! Asking peers for their word about others, and giving this node's own.
//!
//! The unary method `kwaainet.trust.word` takes a [`WordRequest`](crate::trust::WordRequest) as JSON text and answers with a
//! [`TrustWord`](crate::trust::TrustWord). It is open to everybody: who is told anything is the business of this node's
//! [`Disclosures`](crate::trust::Disclosures), which allow nothing at first.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use libp2p::PeerId;

use super::Node;
use super::gate::TrustGate;
use super::question::{signer_of, text_of};
use crate::Result;
use crate::blocking::blocking;
use crate::identity::Did;
use crate::net::{Network, Peers, UnaryHandler};
use crate::trust::{Askers, Purpose, TakenWord, Tier, TrustGraph};

const METHOD: &str = "kwaainet.trust.word";
const TIMEOUT: Duration = Duration::from_secs(30);
/// How often a running node asks the peers that it knows.
const ROUND: Duration = Duration::from_secs(60 * 60);
/// So many are asked in a round, the best of them.
const MAX_ASKED: usize = 64;
/// So many are asked at the same time.
const PARALLEL: usize = 4;

/// Begins to give this node's word.
pub(super) fn serve(peers: &dyn Peers, gate: Arc<TrustGate>, askers: Arc<Askers>) -> Result<()> {
    peers.serve_unary(METHOD, Purpose::Open, Arc::new(Says { gate, askers }))
}

impl Node {
    /// Asks a peer what it saw of others by itself, and keeps that as its recommendations, in place of those that it gave before.
    /// How much they count in a [score](crate::trust::TrustGraph::score) depends on how well the peer agrees with this node's own
    /// experience. A peer that saw nobody, or does not say, is a result with no recommendations; what is kept of it stays then.
    ///
    /// A running node asks by itself, every hour, the connected peers that are at least Known.
    ///
    /// # Errors
    /// `unsupported` for a peer whose PeerId carries no key, or that gives no word; `invalid_argument` for this node itself;
    /// `busy` when the peer was asked too often; `corrupt_data`, `invalid_argument` or `resource_exhausted` with the broken `rule`
    /// for a word that does not hold, of which nothing is kept; `unreachable`, `timeout`, `closed`; failures of the disk.
    pub async fn ask_word(&self, peer: PeerId) -> Result<TakenWord> {
        self.open()?;
        ask(&self.inner.network, &self.inner.trust, peer).await
    }

    /// Asks for words until the node is shut down or dropped.
    pub(super) fn keep_words(&self) {
        self.every(ROUND, "asking for words", |inner| {
            let (network, trust) = (inner.network.clone(), inner.trust.clone());
            async move { ask_known(&network, &trust).await.map(drop) }
        });
    }
}

async fn ask(network: &Network, trust: &TrustGraph, peer: PeerId) -> Result<TakenWord> {
    let request = trust.request_word(signer_of(peer)?, rand::random()).await?;
    let body = Bytes::copy_from_slice(request.to_json().as_bytes());
    let answer = network.call(peer, METHOD, body, TIMEOUT).await?;
    let trust = trust.clone();
    // Many keys are read, and a batch may become due.
    let taken = blocking(move || trust.take_word(&request, text_of(&answer)?)).await;
    taken.map_err(|error| error.with("peer", peer))
}

/// Asks the connected peers that are at least Known, the best of them first, and answers what was taken.
async fn ask_known(network: &Network, trust: &TrustGraph) -> Result<Vec<TakenWord>> {
    let connected: Vec<Did> =
        network.connected().iter().filter_map(|peer| Did::from_peer_id(&peer.peer).ok()).collect();
    let graph = trust.clone();
    let scored = blocking(move || {
        let scores = graph.scores(&connected)?;
        Ok(connected.into_iter().zip(scores).collect::<Vec<_>>())
    });
    let mut known = scored.await?;
    known.retain(|(_, score)| score.tier >= Tier::Known);
    known.sort_by(|(a, a_score), (b, b_score)| b_score.value.total_cmp(&a_score.value).then(a.cmp(b)));
    let peers = known.into_iter().take(MAX_ASKED).filter_map(|(did, _)| did.to_peer_id().ok());
    let asked = stream::iter(peers).map(async |peer| match ask(network, trust, peer).await {
        Ok(taken) => Some(taken),
        Err(error) => {
            tracing::debug!(%peer, code = %error.code(), "the peer's word could not be had");
            None
        }
    });
    let taken: Vec<Option<TakenWord>> = asked.buffered(PARALLEL).collect().await;
    Ok(taken.into_iter().flatten().collect())
}

struct Says {
    gate: Arc<TrustGate>,
    askers: Arc<Askers>,
}

#[async_trait]
impl UnaryHandler for Says {
    async fn call(&self, caller: PeerId, body: Bytes) -> Result<Bytes> {
        let (text, asker) = (text_of(&body)?, Did::from_peer_id(&caller).ok());
        self.gate.ask_asker(caller).await?;
        let word = self.gate.trust().answer_word(&self.askers, asker, text).await?;
        Ok(Bytes::copy_from_slice(word.to_json().as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::trust::{CredentialType, Disclosure, Disclosures, Observation, Outcome};
    use jiff::Timestamp;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_node_asks_the_connected_peers_that_it_knows_and_no_others() {
        let start = async || Node::start(Config::default()).await.unwrap();
        let (asker, known, stranger, issuer) = (start().await, start().await, start().await, start().await);
        let everybody = Disclosures::default().with(Tier::Unknown, Disclosure::Experience);
        for node in [&known, &stranger] {
            node.trust().set_disclosures(&everybody).unwrap();
            node.trust().record(&issuer.did(), Observation::new(Outcome::Good, Timestamp::now())).unwrap();
            asker.connect(&node.info().unwrap().addresses[0].to_string()).await.unwrap();
        }
        asker.trust().trust_issuer(issuer.did(), &CredentialType::ALL).unwrap();
        let kind = CredentialType::VerifiedNode;
        let credential = issuer.trust().issue(kind, known.did(), Default::default(), None).await.unwrap();
        asker.trust().import_credential(&credential.to_json()).await.unwrap();
        let taken = ask_known(&asker.inner.network, &asker.inner.trust).await.unwrap();
        assert_eq!(taken.iter().map(|word| (word.recommender, word.count)).collect::<Vec<_>>(), [(known.did(), 1)]);
        let recommendations = asker.trust().recommendations().unwrap();
        assert_eq!(recommendations.iter().map(|word| word.about).collect::<Vec<_>>(), [issuer.did()]);
        for node in [asker, known, stranger, issuer] {
            node.shutdown(Duration::from_secs(2)).await.unwrap();
        }
    }
}
