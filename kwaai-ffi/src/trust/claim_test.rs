//! Putting what a credential claims to the test.

use kwaai_core::Error;
use kwaai_core::node;
use kwaai_core::trust::{self, Verdict};
use serde::{Deserialize, Serialize};

use super::TrustGraph;
use crate::{CancelToken, Model, Result, rt};

/// The largest number up to which JavaScript tells whole numbers apart. The work of a test that one language repeats from
/// another's record has to follow from the same seed.
pub(super) const MAX_SEED: u64 = (1 << 53) - 1;

/// How a claim is put to the test; every part may be left out.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TestOptions {
    /// How far the measurement may stay below the claim, as a share of it, 0 to 1; 0.2 unless set.
    pub tolerance: Option<f64>,
    /// How many tokens a rate is measured over, 8 to 512; 32 unless set.
    pub tokens: Option<u32>,
    /// Decides what work is asked for, from 0 to 2^53 - 1. Drawn at random when it is not given.
    pub seed: Option<u64>,
}

/// A test of a claim, as it is kept beside the credential.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct ClaimTest {
    /// The credential that makes the claim.
    pub credential_id: String,
    /// The DID of its subject, which was tested.
    pub peer: String,
    /// The name of the claim: `upShare` or `tokensPerSecond`.
    pub claim: String,
    /// What it says.
    pub claimed: f64,
    /// What was measured, in the claim's unit; nothing when the peer did not answer a test that needs an answer.
    pub measured: Option<f64>,
    /// How many samples the measurement rests on: hours with probes for an uptime, tokens for a rate.
    pub samples: u32,
    /// How far the measurement may stay below the claim, as a share of it.
    pub tolerance: f64,
    /// `holds`, `fails` or `inconclusive`.
    pub verdict: String,
    /// Whether the work was checked against this node's own result, and what came of that.
    pub correct: Option<bool>,
    /// The seed of the work.
    pub seed: u64,
    /// When it was made, RFC 3339.
    pub at: String,
    /// The probe as this node signed it, JSON text.
    pub probe: String,
    /// The answer as the peer signed it; nothing when none came.
    pub answer: Option<String>,
}

impl TestOptions {
    /// What the core is told.
    ///
    /// # Errors
    /// `invalid_argument` for a seed above 2^53 - 1; `closed` for a model that was let go of.
    pub(crate) fn read(self, model: Option<&Model>) -> Result<node::TestOptions> {
        let seed = self.seed.unwrap_or_else(|| rand::random_range(0..=MAX_SEED));
        if seed > MAX_SEED {
            let message = format!("seed must be a whole number from 0 to {MAX_SEED}, not {seed}");
            return Err(Error::invalid_argument(message).into());
        }
        let usual = node::TestOptions::default();
        Ok(node::TestOptions {
            model: model.map(Model::core).transpose()?,
            tolerance: self.tolerance.unwrap_or(usual.tolerance),
            tokens: self.tokens.unwrap_or(usual.tokens),
            seed: Some(seed),
        })
    }
}

impl TrustGraph {
    /// The tests of a credential's claim that are kept, the oldest first: none for a credential that was never tested.
    pub async fn tests(&self, credential_id: String, cancel: CancelToken) -> Result<Vec<ClaimTest>> {
        let graph = self.handle.get()?;
        let tests = rt::blocking(&cancel, move || graph.tests(&credential_id)).await?;
        Ok(tests.into_iter().map(ClaimTest::from).collect())
    }
}

impl From<trust::ClaimTest> for ClaimTest {
    fn from(test: trust::ClaimTest) -> ClaimTest {
        let verdict = match test.verdict {
            Verdict::Holds => "holds",
            Verdict::Fails => "fails",
            Verdict::Inconclusive => "inconclusive",
        };
        ClaimTest {
            credential_id: test.credential_id,
            peer: test.peer.to_string(),
            claim: test.claim,
            claimed: test.claimed,
            measured: test.measured,
            samples: test.samples,
            tolerance: test.tolerance,
            verdict: verdict.into(),
            correct: test.correct,
            seed: test.seed,
            at: test.at.to_string(),
            probe: test.probe,
            answer: test.answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kwaai_core::ErrorCode;

    #[test]
    fn every_seed_is_one_that_every_language_can_write() {
        let read = |seed| TestOptions { seed, ..TestOptions::default() }.read(None).map(|options| options.seed);
        for seed in [0, MAX_SEED] {
            assert_eq!(read(Some(seed)).unwrap(), Some(seed));
        }
        for seed in [MAX_SEED + 1, u64::MAX] {
            assert_eq!(read(Some(seed)).unwrap_err().code, ErrorCode::InvalidArgument);
        }
        let drawn = read(None).unwrap();
        assert!(drawn.is_some_and(|seed| seed <= MAX_SEED) && drawn != read(None).unwrap());
    }
}
