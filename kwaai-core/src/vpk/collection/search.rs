//! Asking the hosts, and ranking what they answer together with what they have not got yet.

use std::sync::atomic::Ordering;

use serde_json::{Map, Value};

use super::item::{Hit, unpack};
use super::state::State;
use super::{Collection, Current, HostName, Inner, blocking, tables};
use crate::vpk::{Metric, Quantized, Quantizer, Scores};
use crate::{Error, ErrorCode, Result};

/// The most hits of one search.
pub const MAX_HITS: usize = 10_000;

/// A host that keeps other segments than the owner thinks is put right, and asked again, so many times.
const ATTEMPTS: usize = 3;

/// What a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The best hits, the best first; equal scores in the order of their ids.
    pub hits: Vec<Hit>,
    /// The hosts that are known to have answered wrongly. Those whose replies came later are in
    /// [`stats`](Collection::stats) soon after.
    pub liars: Vec<HostName>,
}

impl Collection {
    /// Finds the `k` vectors that are most like this one, among those whose metadata have all the values of `filter`. Hosts
    /// are not told of the filter, nor of what was found.
    ///
    /// Under `Split` the answer is that of the fastest sufficient replies; nobody waits for the slowest. Of several copies the
    /// host that usually answers first is asked, and the next one too when it takes three times as long as it usually does.
    ///
    /// # Errors
    /// `invalid_argument` for a vector that does not fit the collection or a `k` of 0 or above [`MAX_HITS`]; `unreachable` when
    /// too few hosts answer, with the first of their reasons; `corrupt_data` when they answer wrongly, so that there is no
    /// answer; `permission_denied` under `Seal` after a wrong answer, until the collection is opened with another host.
    pub async fn search(&self, vector: &[f32], k: usize, filter: &Map<String, Value>) -> Result<Found> {
        if k == 0 || k > MAX_HITS {
            return Err(Error::invalid_argument(format!("a search has 1 to {MAX_HITS} hits")).with("argument", "k"));
        }
        let Answered { current, question, scores, liars } = self.inner.answered(vector).await?;
        let hits = self.inner.rank(current, question, scores, k, filter.clone()).await?;
        Ok(Found { hits, liars })
    }

    /// The score of every vector with this one, in no order. The hosts are asked as for a search.
    ///
    /// # Errors
    /// Those of [`search`](Collection::search).
    pub(crate) async fn scores(&self, vector: &[f32]) -> Result<Vec<(u64, f64)>> {
        let Answered { current, question, scores, .. } = self.inner.answered(vector).await?;
        blocking(move || Ok(scored(&current.state, current.owner.quantizer(), &question, &scores))).await
    }
}

/// What the hosts answered to a question, and how everything was then.
struct Answered {
    current: Current,
    question: Quantized,
    scores: Scores,
    /// The hosts that are known to have answered wrongly.
    liars: Vec<HostName>,
}

/// Every vector with its score.
fn scored(state: &State, quantizer: &Quantizer, question: &Quantized, scores: &Scores) -> Vec<(u64, f64)> {
    let score = |dot: i64, length: f32| match quantizer.metric() {
        Metric::Cosine => quantizer.cosine(dot),
        Metric::Dot => quantizer.cosine(dot) * f64::from(question.length) * f64::from(length),
    };
    let mut scored = Vec::with_capacity(state.known.len());
    for (segment, dots) in state.segments.values().zip(&scores.exact) {
        for (live, dot) in segment.live.iter().zip(dots) {
            scored.extend(live.map(|(vector, length)| (vector, score(*dot, length))));
        }
    }
    for (vector, values) in state.tail.iter() {
        let dot = values.iter().zip(&question.values).map(|(a, b)| i64::from(*a) * i64::from(*b)).sum();
        let length = state.known.get(vector).map_or(0.0, |known| known.length);
        scored.push((*vector, score(dot, length)));
    }
    scored
}

impl Inner {
    /// Asks the hosts until they answer rightly.
    async fn answered(&self, vector: &[f32]) -> Result<Answered> {
        self.check_there()?;
        let question = self.current().owner.quantizer().quantize(vector)?;
        let (mut failed, mut liars) = (None, Vec::new());
        // Each replica that lies costs one attempt.
        for _ in 0..ATTEMPTS + self.site().hosts.len() {
            let current = self.current();
            match self.scores(&current, &question).await? {
                Ok(scores) => {
                    liars.extend(scores.liars.iter().map(|host| current.site.name(*host)));
                    return Ok(Answered { current, question, scores, liars });
                }
                Err(error) if error.code() == ErrorCode::CorruptData => {
                    liars = current.site.liars().iter().map(|host| current.site.name(*host)).collect();
                    failed = Some(error);
                }
                Err(error) => {
                    self.put_right(&current).await;
                    failed = Some(error);
                }
            }
        }
        Err(failed.unwrap_or_else(|| Error::internal("a search was not tried")))
    }

    /// Brings to the hosts what they lack, and has them forget what does not count, unless the collection has changed since.
    async fn put_right(&self, seen: &Current) {
        let _record = self.writing.lock().await;
        let current = self.current();
        if current.state.generation != seen.state.generation || self.gone.load(Ordering::Acquire) {
            return;
        }
        for host in 0..current.site.hosts.len() {
            if let Err(error) = self.align(&current.site, host).await {
                tracing::debug!(code = %error.code(), "a host could not be put right");
            }
        }
    }

    /// The best of all vectors, with what belongs to them.
    async fn rank(
        &self,
        Current { state, owner, .. }: Current,
        question: Quantized,
        scores: Scores,
        k: usize,
        filter: Map<String, Value>,
    ) -> Result<Vec<Hit>> {
        let (store, id) = (self.store.clone(), self.id);
        blocking(move || {
            let mut ranked = scored(&state, owner.quantizer(), &question, &scores);
            let order = |a: &(u64, f64), b: &(u64, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
            if filter.is_empty() && ranked.len() > k {
                ranked.select_nth_unstable_by(k, order);
                ranked.truncate(k);
            }
            ranked.sort_unstable_by(order);
            let mut hits = Vec::with_capacity(k.min(ranked.len()));
            store.read(|tx| {
                for (vector, score) in ranked {
                    let (payload, metadata) = match tables::payload(tx, id, vector)? {
                        Some(packed) => unpack(&packed)?,
                        None => (None, Map::new()),
                    };
                    if filter.iter().all(|(name, value)| metadata.get(name) == Some(value)) {
                        hits.push(Hit { id: vector, score, payload, metadata });
                    }
                    if hits.len() == k {
                        break;
                    }
                }
                Ok(())
            })?;
            Ok(hits)
        })
        .await
    }
}
