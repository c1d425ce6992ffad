//! Asking the hosts, and ranking what they answer together with what they have not got yet.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use serde_json::{Map, Value};

use super::item::{Hit, unpack};
use super::state::State;
use super::{Collection, HostName, Inner, blocking, tables};
use crate::vpk::request::Call;
use crate::vpk::{Metric, Opening, Owner, Quantized, Scores, Step};
use crate::{Error, ErrorCode, Result};

/// The most hits of one search.
pub const MAX_HITS: usize = 10_000;

/// A host that keeps other segments than the owner thinks is put right, and asked again, so many times.
const ATTEMPTS: usize = 3;

/// How long the replies that a search did not wait for are still looked at, to find out who lies.
const AFTERWARDS: Duration = Duration::from_secs(10);

/// What a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The best hits, the best first; equal scores in the order of their ids.
    pub hits: Vec<Hit>,
    /// The hosts that are known to have answered wrongly. Those whose replies came later are in
    /// [`stats`](Collection::stats) soon after.
    pub liars: Vec<HostName>,
}

/// The replies to one question as they come.
type Replies = FuturesUnordered<std::pin::Pin<Box<dyn Future<Output = (usize, Result<Vec<u8>>)> + Send>>>;

impl Collection {
    /// Finds the `k` vectors that are most like this one, among those whose metadata have all the values of `filter`. Hosts
    /// are not told of the filter, nor of what was found.
    ///
    /// Under `Split` the answer is that of the fastest sufficient replies; nobody waits for the slowest.
    ///
    /// # Errors
    /// `invalid_argument` for a vector that does not fit the collection or a `k` of 0 or above [`MAX_HITS`]; `unreachable` when
    /// too few hosts answer, with the first of their reasons; `corrupt_data` when they answer wrongly, so that there is no
    /// answer; `permission_denied` under `Seal` after a wrong answer, until the collection is opened with another host.
    pub async fn search(&self, vector: &[f32], k: usize, filter: &Map<String, Value>) -> Result<Found> {
        if k == 0 || k > MAX_HITS {
            return Err(Error::invalid_argument(format!("a search has 1 to {MAX_HITS} hits")).with("argument", "k"));
        }
        let inner = &self.inner;
        inner.check_there()?;
        let question = inner.owner().1.quantizer().quantize(vector)?;
        let mut failed = None;
        for _ in 0..ATTEMPTS {
            let (state, owner) = (inner.state(), inner.owner().1);
            match inner.scores(&state, &owner, &question).await? {
                Ok(scores) => {
                    let liars = scores.liars.iter().map(|host| inner.hosts[*host].keeper.name()).collect();
                    let hits = inner.rank(state, owner, question, scores, k, filter.clone()).await?;
                    return Ok(Found { hits, liars });
                }
                Err(error) => {
                    inner.put_right(state.generation).await;
                    failed = Some(error);
                }
            }
        }
        Err(failed.unwrap_or_else(|| Error::internal("a search was not tried")))
    }
}

impl Inner {
    /// The scores of all sealed vectors. The inner error is one after which another attempt makes sense.
    async fn scores(
        &self,
        state: &State,
        owner: &Arc<dyn Owner>,
        question: &Quantized,
    ) -> Result<std::result::Result<Scores, Error>> {
        let stamps = state.stamps();
        if stamps.is_empty() {
            return Ok(Ok(Scores { exact: Vec::new(), liars: Vec::new() }));
        }
        let current: BTreeSet<usize> = (0..self.hosts.len()).filter(|host| !self.is_behind(*host)).collect();
        if current.len() < self.config.needed() {
            return Ok(Err(Error::unreachable("too few hosts have the segments")));
        }
        let (owner, values) = (owner.clone(), question.values.clone());
        let (asked, sessions) = blocking(move || Ok((owner.ask(&values, &stamps)?, owner.session()?))).await?;
        let replies: Replies = FuturesUnordered::new();
        for (host, (part, session)) in asked.parts.into_iter().zip(sessions).enumerate() {
            if !current.contains(&host) {
                continue;
            }
            let (keeper, collection) = (self.hosts[host].keeper.clone(), self.id);
            replies.push(Box::pin(async move {
                let call = async |call| {
                    let request = crate::vpk::Request { collection, capability: None, call };
                    keeper.call(request).await.map_err(|error| error.with("host", keeper.name()))
                };
                let mut answer = call(Call::Ask(part.clone())).await;
                if answer.as_ref().is_err_and(|error| error.code() == ErrorCode::NotFound) && !session.is_empty() {
                    answer = match call(Call::Admit(session)).await {
                        Ok(_) => call(Call::Ask(part)).await,
                        Err(error) => Err(error),
                    };
                }
                (host, answer)
            }));
        }
        self.collect(replies, asked.opening).await
    }

    async fn collect(
        &self,
        mut replies: Replies,
        mut opening: Box<dyn Opening>,
    ) -> Result<std::result::Result<Scores, Error>> {
        let (mut failed, mut offered) = (None, 0);
        while let Some((host, answer)) = replies.next().await {
            let reply = match answer {
                Ok(reply) => reply,
                Err(error) => {
                    failed.get_or_insert(error);
                    continue;
                }
            };
            offered += 1;
            let offer = blocking(move || {
                let step = opening.offer(host, &reply);
                Ok((opening, step))
            });
            let (back, step) = offer.await?;
            opening = back;
            match step? {
                Step::Wait => {}
                Step::Done(scores) => {
                    self.liars().extend(&scores.liars);
                    return Ok(Ok(self.watch(replies, opening, scores)));
                }
            }
        }
        let lies = || Error::corrupt_data("too many hosts answered wrongly").with_remedy("choose other hosts");
        let error = failed.filter(|_| offered < self.config.needed()).unwrap_or_else(lies);
        // What another attempt does not change is told as it is.
        match error.code() {
            ErrorCode::Conflict | ErrorCode::NotFound | ErrorCode::Busy => Ok(Err(error)),
            _ => Err(error),
        }
    }

    /// Looks at the replies that are still to come, for those that are wrong.
    fn watch(&self, mut replies: Replies, mut opening: Box<dyn Opening>, scores: Scores) -> Scores {
        if replies.is_empty() {
            return scores;
        }
        let liars = Arc::downgrade(&self.liars);
        tokio::spawn(async move {
            let rest = async {
                while let Some((host, answer)) = replies.next().await {
                    let (Ok(reply), Some(liars)) = (answer, liars.upgrade()) else { continue };
                    if let Ok(Step::Done(scores)) = opening.offer(host, &reply) {
                        liars.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(scores.liars);
                    }
                }
            };
            let _ = tokio::time::timeout(AFTERWARDS, rest).await;
        });
        scores
    }

    /// Brings to the hosts what they lack, and has them forget what does not count, unless the collection has changed since.
    async fn put_right(&self, generation: u64) {
        let _record = self.writing.lock().await;
        if self.state().generation != generation {
            return;
        }
        for host in 0..self.hosts.len() {
            if let Err(error) = self.align(host).await {
                tracing::debug!(code = %error.code(), "a host could not be put right");
            }
        }
    }

    /// The best of all vectors, with what belongs to them.
    async fn rank(
        &self,
        state: State,
        owner: Arc<dyn Owner>,
        question: Quantized,
        scores: Scores,
        k: usize,
        filter: Map<String, Value>,
    ) -> Result<Vec<Hit>> {
        let (store, id) = (self.store.clone(), self.id);
        blocking(move || {
            let quantizer = owner.quantizer();
            let score = |dot: i64, length: f32| match quantizer.metric() {
                Metric::Cosine => quantizer.cosine(dot),
                Metric::Dot => quantizer.cosine(dot) * f64::from(question.length) * f64::from(length),
            };
            let mut ranked: Vec<(f64, u64)> = Vec::with_capacity(state.known.len());
            for (segment, dots) in state.segments.values().zip(&scores.exact) {
                for (live, dot) in segment.live.iter().zip(dots) {
                    ranked.extend(live.map(|(vector, length)| (score(*dot, length), vector)));
                }
            }
            for (vector, values) in state.tail.iter() {
                let dot = values.iter().zip(&question.values).map(|(a, b)| i64::from(*a) * i64::from(*b)).sum();
                let length = state.known.get(vector).map_or(0.0, |known| known.length);
                ranked.push((score(dot, length), *vector));
            }
            let order = |a: &(f64, u64), b: &(f64, u64)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
            if filter.is_empty() && ranked.len() > k {
                ranked.select_nth_unstable_by(k, order);
                ranked.truncate(k);
            }
            ranked.sort_unstable_by(order);
            let mut hits = Vec::with_capacity(k.min(ranked.len()));
            store.read(|tx| {
                for (score, vector) in ranked {
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
