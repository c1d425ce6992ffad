//! Asking peers how far they trust somebody, and answering them.
//!
//! The unary method `kwaainet.trust.query` takes a [`TrustQuestion`](crate::trust::TrustQuestion) as JSON text and answers
//! with a [`TrustStatement`]. It is open to everybody: how much an asker learns is the business of this node's
//! [`Disclosures`](crate::trust::Disclosures), which allow nothing at first.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use libp2p::PeerId;

use super::Node;
use super::gate::TrustGate;
use crate::identity::Did;
use crate::net::{Peers, UnaryHandler};
use crate::trust::{Askers, Minimum, Purpose, TrustStatement};
use crate::{Error, Result};

const METHOD: &str = "kwaainet.trust.query";
const TIMEOUT: Duration = Duration::from_secs(30);

/// Begins to answer questions.
pub(super) fn serve(peers: &dyn Peers, gate: Arc<TrustGate>, askers: Arc<Askers>) -> Result<()> {
    peers.serve_unary(METHOD, Purpose::Open, Arc::new(Answers { gate, askers }))
}

impl Node {
    /// Asks a peer where somebody else stands with it. The statement is the peer's opinion, signed and checked; it is not
    /// kept and changes no score here. A peer that does not want to say answers
    /// [`TrustAnswer::Unknown`](crate::trust::TrustAnswer::Unknown).
    ///
    /// # Errors
    /// `unsupported` for a peer whose PeerId carries no key, or that does not answer questions; `invalid_argument` when the
    /// question is about the peer itself; `busy` when the peer was asked too often; `corrupt_data` or `invalid_argument`
    /// with the broken `rule` for an answer that does not hold; `unreachable`, `timeout`, `closed`.
    pub async fn ask_trust(&self, peer: PeerId, about: Did) -> Result<TrustStatement> {
        self.put_question(peer, about, None).await
    }

    /// Asks a peer whether somebody else reaches a tier or a score with it; see [`Node::ask_trust`]. Peers answer this
    /// to more askers, because it tells less.
    pub async fn ask_trust_at_least(
        &self,
        peer: PeerId,
        about: Did,
        minimum: impl Into<Minimum>,
    ) -> Result<TrustStatement> {
        self.put_question(peer, about, Some(minimum.into())).await
    }

    async fn put_question(&self, peer: PeerId, about: Did, at_least: Option<Minimum>) -> Result<TrustStatement> {
        self.open()?;
        let responder = signer_of(peer)?;
        let trust = &self.inner.trust;
        let question = trust.question(responder, about, at_least, rand::random()).await?;
        let body = Bytes::copy_from_slice(question.to_json().as_bytes());
        let answer = self.inner.network.call(peer, METHOD, body, TIMEOUT).await?;
        let text = text_of(&answer).map_err(|error| error.with("peer", peer))?;
        trust.check_statement(&question, text).map_err(|error| error.with("peer", peer))
    }
}

/// The identity that signs what a peer says.
pub(super) fn signer_of(peer: PeerId) -> Result<Did> {
    Did::from_peer_id(&peer).map_err(|error| {
        Error::unsupported("the peer's PeerId carries no key, so that nothing it signs can be checked")
            .with("peer", peer)
            .with_source(error)
    })
}

/// The text of a statement as it came from a peer.
pub(super) fn text_of(body: &[u8]) -> Result<&str> {
    std::str::from_utf8(body).map_err(|_| Error::invalid_argument("a statement is text in UTF-8").with("rule", "form"))
}

struct Answers {
    gate: Arc<TrustGate>,
    askers: Arc<Askers>,
}

#[async_trait]
impl UnaryHandler for Answers {
    async fn call(&self, caller: PeerId, body: Bytes) -> Result<Bytes> {
        let (text, asker) = (text_of(&body)?, Did::from_peer_id(&caller).ok());
        self.gate.ask_asker(caller).await?;
        let statement = self.gate.trust().answer(&self.askers, asker, text).await?;
        Ok(Bytes::copy_from_slice(statement.to_json().as_bytes()))
    }
}
