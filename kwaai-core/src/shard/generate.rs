//! Runs tokens through a path of blocks, and a generation through its tokens.

use std::sync::Arc;
use std::time::Instant;

use libp2p::PeerId;
use tokio_util::sync::CancellationToken;

use super::cache::SpanCache;
use super::chain::RemoteHop;
use super::choice::Chooser;
use super::llama::Span;
use super::model::Model;
use super::session::compute;
use super::speech::Speech;
use super::wire::Hidden;
use crate::event::Sender;
use crate::llm::{FinishReason, GenerateEvent, Hop, Usage};
use crate::trust::Outcome;
use crate::{Error, Result};

/// A prompt is read in steps of this many tokens, on every route alike: results are bit-identical only between passes of
/// equal shape.
pub(super) const PREFILL: usize = 128;

/// Where a run of blocks is computed.
pub(super) enum Stage {
    /// Here. The cache is away while a thread computes with it.
    Local { span: Arc<Span>, cache: Option<SpanCache> },
    /// At a peer.
    Remote(RemoteHop),
}

/// All blocks of a model, in order, with the state of one text.
pub(super) struct Path {
    stages: Vec<Stage>,
    times: Vec<Vec<f64>>,
}

/// How a dealing with a peer on the path ended.
pub(super) struct Dealing {
    pub peer: PeerId,
    pub outcome: Outcome,
    pub latency_ms: Option<f64>,
}

impl Path {
    pub fn new(stages: Vec<Stage>) -> Path {
        let times = stages.iter().map(|_| Vec::new()).collect();
        Path { stages, times }
    }

    /// A path on this machine.
    ///
    /// # Errors
    /// `invalid_argument` when the model does not hold all its blocks.
    pub fn local(model: &Model, max_tokens: usize) -> Result<Path> {
        let blocks = model.config().blocks;
        let span = model.span().filter(|span| span.range() == (0..blocks)).ok_or_else(|| {
            Error::invalid_argument(format!("not all of the {blocks} blocks of this model are loaded here"))
                .with_remedy("load the model with all its blocks, or generate over peers")
        })?;
        Ok(Path::new(vec![Stage::Local { cache: Some(SpanCache::new(blocks, max_tokens)), span }]))
    }

    /// The next tokens of the text: their states before the first block to those after the last.
    async fn step(&mut self, mut hidden: Hidden, cancel: &CancellationToken) -> Result<Hidden> {
        for (stage, times) in self.stages.iter_mut().zip(&mut self.times) {
            let start = Instant::now();
            hidden = match stage {
                Stage::Remote(hop) => hop.step(hidden).await?,
                Stage::Local { span, cache } => {
                    let Some(mut taken) = cache.take() else {
                        return Err(Error::cancelled("the step before was cancelled"));
                    };
                    let (span, cancel) = (span.clone(), cancel.clone());
                    let (tokens, size) = (hidden.tokens, hidden.size);
                    let (values, taken) = blocking(move || {
                        let values = compute(&span, span.range(), hidden, &mut taken, &cancel);
                        (values, taken)
                    })
                    .await?;
                    *cache = Some(taken);
                    Hidden { tokens, size, values: values? }
                }
            };
            times.push(start.elapsed().as_secs_f64() * 1000.0);
        }
        Ok(hidden)
    }

    /// The stations with their times, the median of those after the first `prefill` steps (of all, if there are none).
    fn hops(&self, prefill: usize) -> Vec<Hop> {
        let hop = |(stage, times): (&Stage, &Vec<f64>)| {
            let (peer, blocks): (Option<&PeerId>, _) = match stage {
                Stage::Local { span, .. } => (None, span.range().start as u32..span.range().end as u32),
                Stage::Remote(hop) => (Some(&hop.peer), hop.blocks.clone()),
            };
            let ms = median(if times.len() > prefill { &times[prefill..] } else { times });
            Hop { peer: peer.map(PeerId::to_string), start_block: blocks.start, end_block: blocks.end, ms }
        };
        self.stages.iter().zip(&self.times).map(hop).collect()
    }

    /// Ends the sessions at the peers, and says how the dealing with each ended and the median time of its steps.
    pub async fn close(self) -> Vec<Dealing> {
        let closing = self.stages.into_iter().zip(self.times).filter_map(|(stage, times)| match stage {
            Stage::Remote(hop) => Some(async move {
                let (peer, outcome) = (hop.peer, hop.outcome());
                hop.close().await;
                let latency_ms = (!times.is_empty()).then(|| median(&times));
                outcome.map(|outcome| Dealing { peer, outcome, latency_ms })
            }),
            Stage::Local { .. } => None,
        });
        futures::future::join_all(closing).await.into_iter().flatten().collect()
    }
}

/// The logits of every token of a text, row by row.
pub(super) async fn logits(
    model: &Model,
    path: &mut Path,
    tokens: &[u32],
    cancel: &CancellationToken,
) -> Result<Vec<Vec<f32>>> {
    let mut rows = Vec::with_capacity(tokens.len());
    for chunk in tokens.chunks(PREFILL) {
        let hidden = read(model, path, chunk, cancel).await?;
        let model = model.clone();
        rows.extend(blocking(move || model.head(hidden)).await??);
    }
    Ok(rows)
}

async fn read(model: &Model, path: &mut Path, tokens: &[u32], cancel: &CancellationToken) -> Result<Hidden> {
    let (embedding, tokens) = (model.clone(), tokens.to_vec());
    let hidden = blocking(move || embedding.embed(&tokens)).await??;
    path.step(hidden, cancel).await
}

/// One generation, ready to run.
pub(super) struct Generation {
    pub model: Model,
    pub prompt: Vec<u32>,
    pub max_new: usize,
    pub chooser: Chooser,
    pub speech: Speech,
}

impl Generation {
    /// Generates into `events` until the model ends its turn, a stop text or a limit comes. What was sent before an
    /// error stays with the reader.
    pub async fn run(mut self, path: &mut Path, events: &Sender<GenerateEvent>) -> Result<()> {
        let cancel = events.cancellation();
        let prefill = self.prompt.len().div_ceil(PREFILL);
        let mut next = std::mem::take(&mut self.prompt);
        let mut usage = Usage { prompt_tokens: next.len() as u32, completion_tokens: 0 };
        let finish_reason = loop {
            let mut last = None;
            for chunk in next.chunks(PREFILL) {
                last = Some(read(&self.model, path, chunk, &cancel).await?);
            }
            let Some(hidden) = last else {
                return Err(Error::invalid_argument("the prompt has no tokens"));
            };
            let (model, mut chooser) = (self.model.clone(), self.chooser);
            let (choice, chooser) = blocking(move || {
                let row = model.head(last_row(hidden)).map(|mut rows| rows.pop().unwrap_or_default());
                (row.and_then(|row| chooser.choose(model.tokens()?, &row)), chooser)
            })
            .await?;
            let choice = choice?;
            self.chooser = chooser;
            if self.model.end_of_text().contains(&choice.token) {
                break None;
            }
            usage.completion_tokens += 1;
            let (event, stopped) = self.speech.push(choice.token, choice.chosen)?;
            if let Some(event) = event {
                events.send(event);
            }
            if stopped {
                break Some(FinishReason::Stop);
            }
            if usage.completion_tokens as usize == self.max_new {
                break Some(FinishReason::Length);
            }
            next = vec![choice.token];
        };
        let (rest, stopped, tool_calls) = self.speech.finish(finish_reason == Some(FinishReason::Stop))?;
        for event in rest {
            events.send(event);
        }
        let finish_reason = if stopped { FinishReason::Stop } else { finish_reason.unwrap_or(FinishReason::Stop) };
        events.send(GenerateEvent::Done { finish_reason, usage, path: path.hops(prefill), tool_calls });
        Ok(())
    }
}

fn last_row(mut hidden: Hidden) -> Hidden {
    let values = hidden.values.split_off(hidden.values.len() - hidden.size as usize);
    Hidden { tokens: 1, size: hidden.size, values }
}

fn median(times: &[f64]) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    match times.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => times[odd / 2],
        even => (times[even / 2 - 1] + times[even / 2]) / 2.0,
    }
}

/// Computes on a thread that may be busy for long, so that the runtime's workers never are.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::internal("a computation ended unexpectedly").with_source(error))
}
