//! Putting what a credential claims to the test, and the evidence beside the claim.
//!
//! The tester signs a [`Probe`]: which credential, which peer, and a seed, from which the work of the test follows. The peer
//! signs an [answer](answer_probe) that carries the probe's hash. What was measured is kept as a [`ClaimTest`] with both texts,
//! so that anybody can see later what was asked, and that it was answered.
//!
//! An `UptimeVC` is tested by whether the peer answers. An hour with probes is one sample, which counts by the share of them
//! that were answered: many probes in a row say no more than one. The mean of the hours is compared with `upShare`, and the
//! claim fails only when even the upper bound of that mean, at about 90 %, stays below it; fewer than five hours tell nothing. A `ThroughputVC` is tested by work
//! whose rate is compared with `tokensPerSecond`.
//!
//! A silent peer may be behind a broken network, so silence is a transport fault to its reputation. A rate that is too low, or
//! a wrong result, is a bad answer. A peer that answers and serves nothing that could be measured has done nothing wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use redb::{ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use serde_json::Map;
use sha2::{Digest, Sha256};

use super::claims::Claims;
use super::credential::CredentialType;
use super::experience::{Observation, Outcome};
use super::statement::{self, Reader, refused};
use super::{TrustGraph, decode, encode, json, proof};
use crate::identity::{Did, Signer};
use crate::store::existing;
use crate::{Error, ErrorCode, Result};

const PROBE: &str = "TrustProbe";
const ANSWER: &str = "TrustProbeAnswer";

/// Longest probe, and longest answer, that is read, in bytes.
pub const MAX_PROBE_BYTES: usize = 4096;

/// So many tests of one credential are kept; after that the oldest are forgotten.
pub const MAX_TESTS: usize = 64;

/// A probe is answered this long after it was made.
pub const PROBE_LIFETIME: Duration = Duration::from_secs(60);

/// How far what was measured may stay below what was claimed, as a share of the claim, unless the tester says otherwise.
pub const DEFAULT_TOLERANCE: f64 = 0.2;

/// Fewer samples of an uptime tell nothing: one silence may be the tester's own network.
const MIN_SAMPLES: u32 = 5;

const MILLISECONDS_PER_HOUR: i64 = 60 * 60 * 1000;

/// (credential, milliseconds since 1970, seed) → the test as JSON.
const TESTS: TableDefinition<(&str, i64, u64), &str> = TableDefinition::new("trust.tests");

/// What a test says of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// What was measured reaches the claim, within the tolerance.
    Holds,
    /// It stays below the claim, or the result was wrong.
    Fails,
    /// The peer did not answer, or there are too few samples to tell.
    Inconclusive,
}

/// A test of a claim, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimTest {
    /// The credential that makes the claim.
    pub credential_id: String,
    /// Its subject, which was tested.
    #[serde(with = "text")]
    pub peer: Did,
    /// The name of the claim: `upShare` or `tokensPerSecond`.
    pub claim: String,
    /// What it says.
    pub claimed: f64,
    /// What was measured, in the claim's unit; `None` when the peer did not answer a test that needs an answer.
    pub measured: Option<f64>,
    /// How many samples the measurement rests on: hours with probes for an uptime, tokens for a rate.
    pub samples: u32,
    /// How far the measurement may stay below the claim, as a share of it.
    pub tolerance: f64,
    /// What follows.
    pub verdict: Verdict,
    /// Whether the work was checked against this node's own result, and what came of that.
    pub correct: Option<bool>,
    /// The seed of the work.
    pub seed: u64,
    /// When it was made.
    #[serde(with = "text")]
    pub at: Timestamp,
    /// The probe as this node signed it.
    pub probe: String,
    /// The answer as the peer signed it; `None` when none came.
    pub answer: Option<String>,
}

mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

/// A signed question whether a peer is there, and the beginning of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Who tests, and signed it.
    pub tester: Did,
    /// Who is tested.
    pub subject: Did,
    /// The credential whose claim is tested.
    pub credential_id: String,
    /// The seed from which the work of the test follows.
    pub seed: u64,
    /// When it was made, to the second.
    pub made: Timestamp,
    json: String,
}

impl Probe {
    async fn sign(signer: &dyn Signer, subject: Did, credential_id: &str, seed: u64, now: Timestamp) -> Result<Probe> {
        let (tester, made) = (signer.did(), proof::whole_seconds(now)?);
        let mut members = Map::new();
        members.insert("tester".into(), tester.to_string().into());
        members.insert("subject".into(), subject.to_string().into());
        members.insert("credential".into(), credential_id.into());
        members.insert("seed".into(), json::hex(&seed.to_be_bytes()).into());
        members.insert("made".into(), made.to_string().into());
        let json = statement::sign(PROBE, members, signer).await?;
        Ok(Probe { tester, subject, credential_id: credential_id.to_owned(), seed, made, json })
    }

    /// Reads a probe and checks its form and its signature.
    ///
    /// # Errors
    /// `invalid_argument` or `resource_exhausted` with the rule `form`; `corrupt_data` with the rule `signature`;
    /// `unsupported` for another version.
    pub fn read(text: &str) -> Result<Probe> {
        let (mut reader, tester) = Reader::open(PROBE, text, MAX_PROBE_BYTES, "tester")?;
        let probe = Probe {
            tester,
            subject: reader.did("subject")?,
            credential_id: reader.text("credential")?,
            seed: u64::from_be_bytes(reader.bytes("seed")?),
            made: reader.time("made")?,
            json: text.to_owned(),
        };
        reader.end()?;
        Ok(probe)
    }

    /// The probe as it goes to the peer.
    pub fn to_json(&self) -> &str {
        &self.json
    }

    fn hash(&self) -> [u8; 32] {
        Sha256::digest(&self.json).into()
    }
}

/// What a tester measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measurement {
    /// The rate, for a `ThroughputVC`; an uptime is measured by the answer itself.
    pub tokens_per_second: Option<f64>,
    /// How many tokens the rate rests on.
    pub tokens: u32,
    /// Whether the results were what this node computes itself; `None` when it cannot.
    pub correct: Option<bool>,
    /// How long the answer took, in milliseconds.
    pub latency_ms: Option<f64>,
}

impl TrustGraph {
    /// Begins a test of what a kept credential claims: signs the probe. `seed` decides what work is asked for; a peer that
    /// knew it beforehand could prepare, so it is drawn at random where nothing has to be repeated.
    ///
    /// # Errors
    /// `not_found` when this node does not keep the credential; `unsupported` for a type that makes no claim that can be tested;
    /// those of [`Claims::read`](super::Claims::read); `invalid_argument` when it is about this node itself, or about nobody.
    pub async fn begin_test(&self, credential_id: &str, seed: u64) -> Result<Probe> {
        let (subject, _, _) = self.testable(credential_id)?;
        Probe::sign(&*self.signer, subject, credential_id, seed, self.clock.now()).await
    }

    /// Answers a probe that another node made of this one.
    ///
    /// # Errors
    /// Those of [`Probe::read`]; `invalid_argument` with the rule `audience` when it goes to somebody else, `expired` or
    /// `not_yet` when it is older than [`PROBE_LIFETIME`] or from the future; what the signer answers.
    pub async fn answer_probe(&self, text: &str) -> Result<String> {
        let (probe, now) = (Probe::read(text)?, self.clock.now());
        let lifetime = PROBE_LIFETIME.as_secs() as i64 + statement::CLOCK_SKEW_SECONDS;
        for (holds, rule, why) in [
            (probe.subject == self.did(), "audience", "the probe is for another peer"),
            (statement::is_past(probe.made, now), "not_yet", "the probe comes from the future"),
            (!statement::is_older(probe.made, lifetime, now), "expired", "the probe is too old"),
        ] {
            if !holds {
                return Err(refused(ErrorCode::InvalidArgument, rule, why));
            }
        }
        let mut members = Map::new();
        members.insert("subject".into(), self.did().to_string().into());
        members.insert("probe".into(), json::hex(&probe.hash()).into());
        members.insert("made".into(), proof::whole_seconds(now)?.to_string().into());
        statement::sign(ANSWER, members, &*self.signer).await
    }

    /// Ends a test: checks the peer's answer, compares what was measured with the claim, keeps the row of evidence and notes
    /// the outcome as experience with the peer.
    ///
    /// # Errors
    /// `invalid_argument` for a tolerance that is no share from 0 to 1, and for a measurement that is negative or no number;
    /// `corrupt_data` with the rule `signature`, `subject` or `nonce` when the answer is not the peer's answer to this
    /// probe; those of [`TrustGraph::begin_test`].
    pub async fn finish_test(
        &self,
        probe: &Probe,
        answer: Option<&str>,
        measured: Measurement,
        tolerance: f64,
    ) -> Result<ClaimTest> {
        check_tolerance(tolerance)?;
        if measured.tokens_per_second.is_some_and(|rate| !(0.0..=1e9).contains(&rate)) {
            return Err(Error::invalid_argument("the measured rate lies from 0 to 10^9"));
        }
        let (peer, kind, claimed) = self.testable(&probe.credential_id)?;
        if let Some(answer) = answer {
            check_answer(probe, answer)?;
        }
        let now = self.clock.now();
        let mut test = ClaimTest {
            credential_id: probe.credential_id.clone(),
            peer,
            claim: String::new(),
            claimed,
            measured: None,
            samples: 0,
            tolerance,
            verdict: Verdict::Inconclusive,
            correct: measured.correct,
            seed: probe.seed,
            at: Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now),
            probe: probe.json.clone(),
            answer: answer.map(str::to_owned),
        };
        let outcome = match kind {
            CredentialType::Uptime => {
                test.claim = "upShare".into();
                self.judge_uptime(&mut test)?;
                Some(if answer.is_some() { Outcome::Good } else { Outcome::TransportFault })
            }
            _ => {
                test.claim = "tokensPerSecond".into();
                judge_rate(&mut test, &measured)
            }
        };
        self.keep_test(&test).await?;
        if let Some(outcome) = outcome {
            let rate = test.measured.filter(|_| kind == CredentialType::Throughput);
            let observation = Observation {
                latency_ms: measured.latency_ms,
                promised: rate.map(|_| claimed),
                delivered: rate,
                ..Observation::new(outcome, now)
            };
            self.record(&peer, observation)?;
        }
        Ok(test)
    }

    /// The evidence beside a credential's claim: the tests of it that are kept, the oldest first.
    pub fn tests(&self, credential_id: &str) -> Result<Vec<ClaimTest>> {
        self.store.read(|transaction| {
            let Some(table) = existing(transaction.open_table(TESTS))? else { return Ok(Vec::new()) };
            let all = table.range((credential_id, i64::MIN, 0)..=(credential_id, i64::MAX, u64::MAX))?;
            all.map(|entry| decode("a test of a claim", entry?.1.value())).collect()
        })
    }

    /// Whom a credential is about, its type, and what it claims in a number.
    fn testable(&self, credential_id: &str) -> Result<(Did, CredentialType, f64)> {
        let credential = self.credential(credential_id)?;
        let subject = credential
            .subject()
            .filter(|subject| *subject != self.did())
            .ok_or_else(|| Error::invalid_argument("a credential about another peer is what can be tested"))?;
        match Claims::read(&credential)? {
            Some(Claims::Uptime(said)) => Ok((subject, CredentialType::Uptime, said.up_share)),
            Some(Claims::Throughput(said)) => Ok((subject, CredentialType::Throughput, said.tokens_per_second)),
            _ => Err(Error::unsupported("the credential claims nothing that can be put to the test")
                .with_remedy("test an UptimeVC or a ThroughputVC that says what was observed")),
        }
    }

    fn judge_uptime(&self, test: &mut ClaimTest) -> Result<()> {
        // Hour → how many probes were answered, and how many there were.
        let mut hours: BTreeMap<i64, (u32, u32)> = BTreeMap::new();
        let before = self.tests(&test.credential_id)?;
        for one in before.iter().rev().take(MAX_TESTS - 1).chain([&*test]) {
            let hour = one.at.as_millisecond().div_euclid(MILLISECONDS_PER_HOUR);
            let (answered, probes) = hours.entry(hour).or_default();
            *answered += u32::from(one.answer.is_some());
            *probes += 1;
        }
        test.samples = hours.len() as u32;
        let up: f64 = hours.values().map(|(answered, probes)| f64::from(*answered) / f64::from(*probes)).sum();
        let share = up / f64::from(test.samples);
        let needed = test.claimed * (1.0 - test.tolerance);
        test.measured = Some(share);
        test.verdict = if test.samples < MIN_SAMPLES {
            Verdict::Inconclusive
        } else if upper_bound(share, test.samples) < needed {
            Verdict::Fails
        } else if share >= needed {
            Verdict::Holds
        } else {
            Verdict::Inconclusive
        };
        Ok(())
    }

    async fn keep_test(&self, test: &ClaimTest) -> Result<()> {
        let (id, at, seed, text) = (test.credential_id.clone(), test.at.as_millisecond(), test.seed, encode(test)?);
        self.store
            .write_async(move |transaction| {
                let mut table = transaction.open_table(TESTS)?;
                table.insert((id.as_str(), at, seed), text.as_str())?;
                let all: Vec<(i64, u64)> = table
                    .range((id.as_str(), i64::MIN, 0)..=(id.as_str(), i64::MAX, u64::MAX))?
                    .map(|entry| entry.map(|(key, _)| (key.value().1, key.value().2)))
                    .collect::<std::result::Result<_, _>>()?;
                for (at, seed) in &all[..all.len().saturating_sub(MAX_TESTS)] {
                    table.remove((id.as_str(), *at, *seed))?;
                }
                Ok(())
            })
            .await
    }
}

/// Refuses what is no share.
pub(crate) fn check_tolerance(tolerance: f64) -> Result<()> {
    match (0.0..=1.0).contains(&tolerance) {
        true => Ok(()),
        false => Err(Error::invalid_argument(format!("the tolerance is a share from 0 to 1, and {tolerance} is not"))),
    }
}

/// Forgets the tests of a credential that is being removed.
pub(super) fn forget(transaction: &WriteTransaction, credential_id: &str) -> Result<()> {
    let mut table = transaction.open_table(TESTS)?;
    table.retain_in((credential_id, i64::MIN, 0)..=(credential_id, i64::MAX, u64::MAX), |_, _| false)?;
    Ok(())
}

fn check_answer(probe: &Probe, answer: &str) -> Result<()> {
    let (mut reader, subject) = Reader::open(ANSWER, answer, MAX_PROBE_BYTES, "subject")?;
    let hash: [u8; 32] = reader.bytes("probe")?;
    reader.time("made")?;
    reader.end()?;
    for (holds, rule, why) in [
        (subject == probe.subject, "subject", "somebody else answered the probe"),
        (hash == probe.hash(), "nonce", "the answer belongs to another probe"),
    ] {
        if !holds {
            return Err(refused(ErrorCode::CorruptData, rule, why).with("subject", subject));
        }
    }
    Ok(())
}

/// What follows of a measured rate, and what it says of the peer.
fn judge_rate(test: &mut ClaimTest, measured: &Measurement) -> Option<Outcome> {
    let answered = test.answer.is_some();
    test.samples = measured.tokens;
    test.measured = measured.tokens_per_second.filter(|_| answered);
    let (verdict, outcome) = match (test.measured, measured.correct) {
        (_, Some(false)) => (Verdict::Fails, Some(Outcome::Bad)),
        (None, _) => (Verdict::Inconclusive, (!answered).then_some(Outcome::TransportFault)),
        (Some(rate), _) if rate < test.claimed * (1.0 - test.tolerance) => (Verdict::Fails, Some(Outcome::Bad)),
        (Some(_), _) => (Verdict::Holds, Some(Outcome::Good)),
    };
    test.verdict = verdict;
    outcome
}

/// The upper bound, at about 90 %, of a share seen in so many samples (Wilson 1927).
fn upper_bound(share: f64, samples: u32) -> f64 {
    let (n, z) = (f64::from(samples), 1.2816);
    let (centre, spread) = (share + z * z / (2.0 * n), z * ((share * (1.0 - share) + z * z / (4.0 * n)) / n).sqrt());
    (centre + spread) / (1.0 + z * z / n)
}
