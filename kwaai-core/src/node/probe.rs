//! Testing what peers' credentials claim, and answering those who test this node.
//!
//! The unary method `kwaainet.trust.probe` takes a signed [`Probe`] as JSON text and answers with the node's signed answer. It
//! is open to everybody, and costs one signature.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use libp2p::PeerId;

use super::Node;
use crate::net::{Peers, UnaryHandler};
use crate::shard::Model;
use crate::trust::{ClaimTest, Claims, DEFAULT_TOLERANCE, Measurement, Purpose, TrustGraph, check_tolerance};
use crate::{Error, Result};

const METHOD: &str = "kwaainet.trust.probe";
const TIMEOUT: Duration = Duration::from_secs(10);
/// A rate over fewer tokens is mostly noise, and over more a burden.
pub(super) const TOKENS: std::ops::RangeInclusive<u32> = 8..=512;

/// How a claim is put to the test.
#[derive(Debug, Clone)]
pub struct TestOptions {
    /// The model that a `ThroughputVC` speaks of, loaded here; its blocks need not be. With them the results are compared.
    pub model: Option<Model>,
    /// How far the measurement may stay below the claim, as a share of it, 0 to 1.
    pub tolerance: f64,
    /// How many tokens a rate is measured over, 8 to 512.
    pub tokens: u32,
    /// Decides what work is asked for. Drawn at random when it is not given, so that nobody can prepare for it.
    pub seed: Option<u64>,
}

impl Default for TestOptions {
    /// 32 tokens, and at most 20 % below the claim.
    fn default() -> TestOptions {
        TestOptions { model: None, tolerance: DEFAULT_TOLERANCE, tokens: 32, seed: None }
    }
}

/// Begins to answer.
pub(super) fn serve(peers: &dyn Peers, trust: TrustGraph) -> Result<()> {
    peers.serve_unary(METHOD, Purpose::Open, Arc::new(Answers(trust)))
}

impl Node {
    /// Puts what a kept credential claims to the test, at the peer that it is about: an `UptimeVC` by whether the peer answers a
    /// signed probe, a `ThroughputVC` by tokens that it computes. The row of evidence is kept beside the credential (see
    /// [`TrustGraph::tests`]), and this node's experience with the peer moves.
    ///
    /// # Errors
    /// Those of [`TrustGraph::begin_test`]; `invalid_argument` for a tolerance or a number of tokens out of range, and when the
    /// model is missing or another than the credential names; `corrupt_data` when the peer's answer is not its answer to
    /// this probe; `closed` after a shutdown. A peer that does not answer, or serves no block of the model, is a result and no
    /// error.
    pub async fn test_credential(&self, credential_id: &str, options: TestOptions) -> Result<ClaimTest> {
        self.open()?;
        if !TOKENS.contains(&options.tokens) {
            return Err(Error::invalid_argument(format!(
                "a rate is measured over {} to {} tokens, not {}",
                TOKENS.start(),
                TOKENS.end(),
                options.tokens
            )));
        }
        check_tolerance(options.tolerance)?;
        let trust = &self.inner.trust;
        let probe = trust.begin_test(credential_id, options.seed.unwrap_or_else(rand::random)).await?;
        let model = match Claims::read(&trust.credential(credential_id)?)? {
            Some(Claims::Throughput(said)) => Some(named(options.model, &said.model)?),
            _ => None,
        };
        let peer = probe.subject.to_peer_id()?;
        let start = Instant::now();
        let body = Bytes::copy_from_slice(probe.to_json().as_bytes());
        let answer = self.inner.network.call(peer, METHOD, body, TIMEOUT).await;
        let latency_ms = start.elapsed().as_secs_f64() * 1000.0;
        let answer = match &answer {
            Ok(answer) => Some(std::str::from_utf8(answer).map_err(|_| {
                Error::invalid_argument("the peer's answer is not UTF-8").with("rule", "form").with("peer", peer)
            })?),
            Err(error) => {
                tracing::debug!(%peer, code = %error.code(), "the peer did not answer a probe");
                None
            }
        };
        let mut measured = Measurement {
            tokens_per_second: None,
            tokens: options.tokens,
            correct: None,
            latency_ms: answer.is_some().then_some(latency_ms),
        };
        if let (Some(model), Some(_)) = (model, answer) {
            match self.inner.shards.probe(&model, peer, probe.seed, options.tokens).await {
                Ok(probed) => {
                    (measured.tokens_per_second, measured.correct) = (Some(probed.tokens_per_second), probed.correct);
                }
                Err(error) => tracing::debug!(%peer, code = %error.code(), "the peer's rate could not be measured"),
            }
        }
        trust.finish_test(&probe, answer, measured, options.tolerance).await.map_err(|error| error.with("peer", peer))
    }
}

fn named(model: Option<Model>, name: &str) -> Result<Model> {
    let model = model.ok_or_else(|| {
        Error::invalid_argument("a rate is tested with the model that the credential names")
            .with("model", name)
            .with_remedy("load the model, without blocks if need be, and pass it")
    })?;
    match model.id() == name {
        true => Ok(model),
        false => Err(Error::invalid_argument("the credential speaks of another model").with("model", name)),
    }
}

struct Answers(TrustGraph);

#[async_trait]
impl UnaryHandler for Answers {
    async fn call(&self, _caller: PeerId, body: Bytes) -> Result<Bytes> {
        let text = std::str::from_utf8(&body).map_err(|_| Error::invalid_argument("a probe is text in UTF-8"))?;
        self.0.answer_probe(text).await.map(Bytes::from)
    }
}
