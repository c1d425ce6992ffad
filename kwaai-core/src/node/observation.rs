//! What this node sees of peers for itself, and the credentials that it issues from that.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use libp2p::PeerId;

use super::probe::TOKENS;
use super::{Inner, Node};
use crate::blocking::blocking;
use crate::identity::Did;
use crate::net::{Network, Peers};
use crate::shard::{HostPolicy, Model};
use crate::trust::{Claims, Credential, Outcome, ThroughputClaims, TrustGraph, Window};
use crate::{Error, ErrorCode, Result};

/// A call that costs its callee nothing: a question for no credentials.
const METHOD: &str = "kwaainet.trust.fetch";
const NOTHING: &[u8] = b"[]";
const TIMEOUT: Duration = Duration::from_secs(5);
/// Peers are looked at no more often than this.
const SHORTEST_ROUND: Duration = Duration::from_secs(1);
/// So many are looked at at the same time.
const PARALLEL: usize = 8;
/// So many measurements of a rate make one credential at most.
const MAX_RUNS: u32 = 64;

/// How a rate is measured for a `ThroughputVC`.
#[derive(Debug, Clone)]
pub struct RateOptions {
    /// How many tokens each run computes, 8 to 512.
    pub tokens: u32,
    /// How many runs there are, 1 to 64. The rate is that of all of them together.
    pub runs: u32,
    /// Decides what work is asked for. Drawn at random when it is not given, so that nobody can prepare for it.
    pub seed: Option<u64>,
    /// How long the credential holds; without end when it is not given.
    pub valid_for: Option<Duration>,
}

impl Default for RateOptions {
    /// Three runs of 32 tokens, and a credential without end.
    fn default() -> RateOptions {
        RateOptions { tokens: 32, runs: 3, seed: None, valid_for: None }
    }
}

impl Node {
    /// Looks whether a peer is up, and keeps that as a sample of its [sightings](TrustGraph::sightings): up is who answers a call,
    /// whatever it answers. [`TrustGraph::issue_uptime`] turns the samples into a credential.
    ///
    /// # Errors
    /// `unsupported` for a peer whose PeerId carries no key; `invalid_argument` for this node itself; `unreachable` when the
    /// peer does not answer and no other peer is connected, since the fault may be here: that is no sample; `closed` after a
    /// shutdown; those of [`TrustGraph::sight`].
    pub async fn sight(&self, peer: PeerId) -> Result<bool> {
        self.open()?;
        sight(&self.inner.network, &self.inner.trust, peer).await
    }

    /// Looks at every connected peer, and at those that were looked at within the last seven days, once each `period`, until
    /// the node is shut down or dropped. Of more than 1,365 it looks at those that it found up on the most days, and that it knows by
    /// credentials or dealings. What a bootstrap server does that issues `UptimeVC`s. A later call begins a
    /// second watch beside the first.
    ///
    /// # Errors
    /// `invalid_argument` for a period under a second; `closed` after a shutdown.
    pub fn watch_peers(&self, period: Duration) -> Result<()> {
        self.open()?;
        if period < SHORTEST_ROUND {
            return Err(Error::invalid_argument("peers are looked at once a second at most").with("argument", "period"));
        }
        self.every(period, "looking at peers", |inner| {
            let (network, trust) = (inner.network.clone(), inner.trust.clone());
            async move { watch(&network, &trust).await }
        });
        Ok(())
    }

    /// Measures how fast a peer computes its blocks of a model, and issues a `ThroughputVC` about what was measured: tokens per
    /// second of the whole model, as if the peer computed all of its blocks. The model is loaded here, its blocks need not be;
    /// with them the peer's results are compared with this node's own. The claim `compared` says whether they were: a rate without
    /// it is that of whatever the peer sent.
    ///
    /// # Errors
    /// `invalid_argument` for a number of tokens or runs out of range, and for this node itself; `corrupt_data` when a result was
    /// wrong, which is also noted as a bad answer; `unsupported` for a peer whose PeerId carries no key; `not_found` when it
    /// serves no block of the model; `unreachable`, `timeout`, `closed`; what the signer answers.
    pub async fn issue_throughput(&self, peer: PeerId, model: &Model, options: RateOptions) -> Result<Credential> {
        self.open()?;
        let subject = watchable(&self.inner.trust, peer)?;
        for (name, value, least, most) in
            [("tokens", options.tokens, *TOKENS.start(), *TOKENS.end()), ("runs", options.runs, 1, MAX_RUNS)]
        {
            if !(least..=most).contains(&value) {
                return Err(Error::invalid_argument(format!("`{name}` lies from {least} to {most}, not at {value}"))
                    .with("argument", name));
            }
        }
        let Inner { clock, shards, trust, .. } = &*self.inner;
        let (from, seed) = (clock.now(), options.seed.unwrap_or_else(rand::random));
        let (mut seconds_per_token, mut compared) = (0.0, true);
        for run in 0..options.runs {
            let probed = shards.probe(model, peer, seed.wrapping_add(u64::from(run)), options.tokens).await?;
            if probed.correct == Some(false) {
                self.inner.gate.observed(peer, Outcome::Bad, None).await;
                return Err(Error::corrupt_data("the peer computed a wrong result").with("peer", peer));
            }
            compared &= probed.correct == Some(true);
            seconds_per_token += 1.0 / probed.tokens_per_second;
        }
        // A window ends after it begins, also on a clock that stands still.
        let until = clock.now().max(from + Duration::from_secs(1));
        let window = Window { from, until, samples: u64::from(options.runs) };
        let claims = Claims::Throughput(ThroughputClaims {
            window,
            model: model.id().to_owned(),
            tokens_per_second: f64::from(options.runs) / seconds_per_token,
        });
        let mut claimed = claims.to_map();
        claimed.insert("compared".into(), compared.into());
        trust.issue(claims.kind(), subject, claimed, options.valid_for).await
    }
}

/// The key of a peer that this node can say something about.
fn watchable(trust: &TrustGraph, peer: PeerId) -> Result<Did> {
    let did = Did::from_peer_id(&peer)?;
    match did == trust.did() {
        true => Err(Error::invalid_argument("a node says nothing about itself").with("argument", "peer")),
        false => Ok(did),
    }
}

async fn sight(network: &Network, trust: &TrustGraph, peer: PeerId) -> Result<bool> {
    let did = watchable(trust, peer)?;
    let up = match network.call(peer, METHOD, Bytes::from_static(NOTHING), TIMEOUT).await {
        Ok(_) => true,
        Err(error) => {
            let connected = network.connected();
            match error.code() {
                ErrorCode::Unreachable | ErrorCode::NotFound | ErrorCode::Timeout
                    if connected.iter().any(|other| other.peer != peer) =>
                {
                    // Who answers that it does not know the call is there.
                    error.code() != ErrorCode::Timeout && connected.iter().any(|other| other.peer == peer)
                }
                ErrorCode::Unreachable | ErrorCode::NotFound | ErrorCode::Timeout => {
                    return Err(Error::unreachable("the peer does not answer, and no other peer is connected")
                        .with("peer", peer)
                        .with_source(error));
                }
                _ if connected.iter().any(|other| other.peer == peer) => true,
                // This node's own limits, or its end, say nothing about the peer.
                _ => return Err(error),
            }
        }
    };
    let trust = trust.clone();
    blocking(move || trust.sight(&did, up)).await?;
    Ok(up)
}

async fn watch(network: &Network, trust: &TrustGraph) -> Result<()> {
    let (graph, connected) = (trust.clone(), network.connected());
    let peers = blocking(move || {
        let connected: Vec<Did> = connected.iter().filter_map(|peer| Did::from_peer_id(&peer.peer).ok()).collect();
        graph.to_watch(&connected)
    });
    let peers = peers.await?.into_iter().filter_map(|did| did.to_peer_id().ok());
    let looks = stream::iter(peers).map(async |peer| {
        if let Err(error) = sight(network, trust, peer).await {
            tracing::debug!(%peer, code = %error.code(), "it is not known whether a peer is up");
        }
    });
    looks.buffer_unordered(PARALLEL).collect::<Vec<()>>().await;
    Ok(())
}
